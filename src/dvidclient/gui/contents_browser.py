"""The contents browser: a window on what a server holds, and a widget that lets its user choose from it.

``python contents_browser.py localhost:8000``, ``python -m dvidclient.gui.contents_browser``, ``dvid browse``; in a program
``ContentsBrowser("localhost:8000")``, or ``choose`` of the module ``dialog``.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    if not __package__:
        # Run as a file: the modules beside it are no modules of their own, and the package need not be installed.
        sys.path[0] = str(Path(__file__).resolve().parents[2])
    if importlib.util.find_spec("urllib3") is None:
        sys.exit("the contents browser needs numpy, urllib3 and Qt: pip install 'dvidclient[gui]'")
    from dvidclient.gui import why_no_windows

    if fault := why_no_windows():
        sys.exit(fault)

from functools import partial

from qtpy.QtCore import Qt, QTimer, QUrl, Signal
from qtpy.QtGui import QCloseEvent, QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QApplication,
    QFormLayout,
    QLabel,
    QLineEdit,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from dvidclient.connection import Connection, quoted
from dvidclient.gui.address_bar import AddressBar
from dvidclient.gui.background import Background
from dvidclient.gui.catalogue import Catalogue, NodeEntry, RepoEntry, listing
from dvidclient.gui.details_view import DetailsView
from dvidclient.gui.instances_view import InstancesView
from dvidclient.gui.preview_view import PreviewPanel
from dvidclient.gui.repos_view import RepoList
from dvidclient.gui.search import Found, search
from dvidclient.gui.selection import Mode, Selection, selected, what_is_missing
from dvidclient.gui.strip import MessageStrip
from dvidclient.gui.versions_view import KIND as GRAPH
from dvidclient.gui.versions_view import VersionsView
from dvidclient.log import log_lines

TITLE = "DVID contents browser"
TOKEN_VARIABLE = "DVID_ADMIN_TOKEN"  # the name of the variable, not a token
NOTHING_SELECTED = "select a version and a volume to look into it"


class ContentsBrowser(QWidget):
    """Repos, versions and data instances of a server, and which of them are selected.

    Args:
        url: of the server; without one the user is asked for it.
        mode: ``select_existing`` to choose a data instance at a version; ``specify_new`` to choose an open version and to type
            the name of a volume that is to be made there.
        token: sent as ``Authorization: Bearer``, to this server alone; without a url to the first one that is opened.
        parent: the widget that it is part of.
    """

    selection_changed = Signal(object)
    """The Selection, or None while not even a repo is selected."""
    chosen = Signal(object)
    """The Selection that was chosen with Enter or a double click, whole and valid."""

    def __init__(
        self,
        url: str | None = None,
        mode: Mode = "select_existing",
        *,
        token: str | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        if mode not in ("select_existing", "specify_new"):
            raise ValueError(f"mode: expected 'select_existing' or 'specify_new', got {mode!r}")
        self.mode: Mode = mode
        self._token = token
        self._token_for = url
        self._url: str | None = None
        self._catalogue: Catalogue | None = None
        self._log: list[str] | str = ""
        self._last: Selection | None = None
        self._found: dict[str, Found] | None = None
        self.background = Background(self)
        # One change of a repo changes all lists: what follows from it is done once.
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.timeout.connect(self._settled)
        self._build()
        self._connect()
        self.resize(1280, 800)
        self.setWindowTitle(TITLE)
        if url:
            self.open(url)
            self.repos.setFocus()
        else:
            self.preview.show_nothing("open a server to look into it")
            self.bar.address.setFocus()

    # ---- what others use ----------------------------------------------------------------------

    @property
    def selection(self) -> Selection | None:
        """What is selected; None while not even a repo is."""
        if self._catalogue is None:
            return None
        return selected(self.mode, self._catalogue.server.url, self.repo, self.node, self._name)

    @property
    def missing(self) -> str:
        """What still keeps the selection from being chosen, in words; empty where nothing does."""
        return what_is_missing(self.mode, self.repo, self.node, self._name)

    @property
    def repo(self) -> RepoEntry | None:
        """The repo that is selected."""
        return self.repos.selected_entry

    @property
    def node(self) -> NodeEntry | None:
        """The version that is selected."""
        return self.versions.selected_node

    @property
    def _name(self) -> str | None:
        if self.mode == "specify_new":
            return self.new_name.text()
        instance = self.instances.selected_entry
        return instance.name if instance else None

    def open(self, url: str) -> None:
        """Shows another server."""
        self._url = url
        self._token_for = self._token_for or url
        self.bar.show_address(url)
        self.strip.clear()
        self.background.drop_all()
        self._show(None)
        self.refresh()

    def refresh(self) -> None:
        """Asks the server anew; what is selected stays selected."""
        if self._url is not None:
            # Whoever types another address does not mean to tell that server the token of this one.
            token = self._token if self._url == self._token_for else None
            self.background.ask("contents", partial(listing, self._url, token), self._show, self._fail)

    # ---- how it is built ----------------------------------------------------------------------

    def _build(self) -> None:
        self.bar = AddressBar()
        self.strip = MessageStrip()
        self.repos = RepoList()
        self.versions = VersionsView(self.background)
        self.instances = InstancesView()
        self.preview = PreviewPanel(self.background)
        self.details = DetailsView()
        self.new_name = QLineEdit()
        self.new_name.setPlaceholderText("name of the new volume")
        self.new_name.setAccessibleName("Name of the new volume")
        self.complaint = QLabel()
        self.complaint.setWordWrap(True)

        middle = QSplitter(Qt.Orientation.Vertical)
        middle.addWidget(_titled("&Versions", self.versions))
        middle.addWidget(_titled("&Data instances", self.instances))
        middle.setSizes([430, 330])
        right = QSplitter(Qt.Orientation.Vertical)
        right.addWidget(_titled("S&lice", self.preview))
        right.addWidget(self.details)
        right.setSizes([430, 330])
        self.columns = QSplitter(Qt.Orientation.Horizontal)
        self.columns.addWidget(_titled("&Repositories", self.repos))
        self.columns.addWidget(middle)
        self.columns.addWidget(right)
        self.columns.setSizes([270, 620, 390])
        for number, share in enumerate((1, 3, 2)):
            self.columns.setStretchFactor(number, share)
        for splitter in (middle, right, self.columns):
            splitter.setChildrenCollapsible(False)
        column = QVBoxLayout(self)
        column.addWidget(self.bar)
        column.addWidget(self.strip)
        column.addWidget(self.columns, 1)
        if self.mode == "specify_new":
            form = QFormLayout()
            form.addRow("&Name of the new volume:", self.new_name)
            form.addRow("", self.complaint)
            column.addLayout(form)

    def _connect(self) -> None:
        self.bar.wanted.connect(self.open)
        self.bar.refresh.connect(self.refresh)
        self.bar.search_changed.connect(self._filter)
        self.bar.search.entered.connect(self._to_found)
        self.strip.retry.connect(self.refresh)
        self.background.busy_changed.connect(self._tell_busy)
        self.repos.entry_selected.connect(self._repo_changed)
        self.versions.node_selected.connect(self._settle_soon)
        self.versions.failed.connect(self._fail)
        self.instances.entry_selected.connect(self._settle_soon)
        self.details.anchorClicked.connect(self._go_to)
        self.new_name.textChanged.connect(self._tell)
        self.new_name.returnPressed.connect(self.choose_selection)
        # Not "activated", which one click is on some desktops.
        self.versions.entered.connect(self.choose_selection)
        self.instances.entered.connect(self.choose_selection)
        for keys, does in (("F5", self.refresh), ("Ctrl+F", self._to_search)):
            QShortcut(QKeySequence(keys), self, does, context=Qt.ShortcutContext.WidgetWithChildrenShortcut)

    # ---- what the server told -----------------------------------------------------------------

    def _show(self, catalogue: Catalogue | None) -> None:
        self._catalogue = catalogue
        self.strip.clear()
        if catalogue is not None and self._url is not None:
            self.bar.show_opened(self._url)
            self.setWindowTitle(f"{catalogue.server.url} – {TITLE}")
        self.repos.show_entries(catalogue.repos if catalogue else ())
        self._filter()

    def _fail(self, message: str) -> None:
        # What was listed before is still worth looking at.
        self.strip.show_error(message)

    def _tell_busy(self, _kind: str, _busy: bool) -> None:
        busy = any(map(self.background.busy, ("contents", "preview", "log")))
        self.bar.busy.setText("asking…" if busy else "drawing…" if self.background.busy(GRAPH) else "")

    # ---- what the user does -------------------------------------------------------------------

    def _repo_changed(self, repo: RepoEntry | None) -> None:
        self.versions.show_nodes(repo.nodes if repo else ())
        self.instances.show_entries(repo.instances if repo else ())
        self._mark_found()
        self._settle_soon()

    def _settle_soon(self, *_: object) -> None:
        self._settle.start()

    def _settled(self) -> None:
        """The selection has changed, and all lists agree on it."""
        node, instance = self.node, self.instances.selected_entry
        connection = self._catalogue.server.connection if self._catalogue else None
        if node is None or connection is None:
            self._log = []
            self.background.drop("log")
        else:
            self._log = "asking…"
            self.background.ask("log", partial(_log_of, connection, node.uuid), self._show_log, self._fail_log)
        if node is None or instance is None or connection is None:
            self.preview.show_nothing(self._why_nothing())
        else:
            self.preview.show_volume(connection, node.uuid, instance)
        self._show_details()
        self._tell()

    def _why_nothing(self) -> str:
        """Why nothing can be shown, in words."""
        if self._catalogue is None:
            return ""
        if not self._catalogue.repos:
            return "this server has no repositories"
        if self.repo is None:
            return "nothing here has what is searched for"
        if self.repo.fault:
            return f"{self.repo.title} cannot be shown: the server describes it wrongly: {self.repo.fault}"
        if self.background.busy(GRAPH):
            return "…"
        return NOTHING_SELECTED if self.repo.instances else "this repository has no data instances"

    def _show_log(self, lines: list[str]) -> None:
        self._log = lines
        self._show_details()

    def _fail_log(self, message: str) -> None:
        self._log = message
        self._show_details()

    def _show_details(self) -> None:
        self.details.show_details(self.repo, self.node, self.instances.selected_entry, self._log)

    def _tell(self, *_: object) -> None:
        """Tells the program around it of the selection, and the user what is missing."""
        if self.mode == "specify_new":
            self.complaint.setText(self.missing or "this name can be used")
        if (selection := self.selection) != self._last:
            self._last = selection
            self.selection_changed.emit(selection)

    def choose_selection(self) -> None:
        """Enter, or a double click: what is selected is chosen, if nothing is missing."""
        if not self.missing:
            self.chosen.emit(self.selection)
        elif self.mode == "specify_new" and self.repo is not None:
            self.new_name.setFocus()

    def _go_to(self, link: QUrl) -> None:
        self.versions.select(link.toString())

    # ---- search -------------------------------------------------------------------------------

    def _filter(self) -> None:
        text = self.bar.search.text()
        repos = self._catalogue.repos if self._catalogue else ()
        self._found = search(repos, text) if text.strip() else None
        self.repos.show_only({repo.uuid for repo in repos} if self._found is None else set(self._found))
        self._mark_found()

    def _mark_found(self) -> None:
        """Versions that were searched for stand out, and only those instances are listed; all, where the repo itself was."""
        repo = self.repo
        found = self._found.get(repo.uuid) if self._found is not None and repo is not None else None
        self.versions.highlight(set(found.node_uuids) if found and found.node_uuids else None)
        if repo is not None:
            named = found.instance_names if found and not found.itself else frozenset[str]()
            self.instances.show_only(set(named) or {instance.name for instance in repo.instances})

    def _to_search(self) -> None:
        self.bar.search.setFocus()
        self.bar.search.selectAll()

    def _to_found(self) -> None:
        """From the search field on to what was found: a version, an instance, or the list of repos."""
        repo = self.repo
        found = self._found.get(repo.uuid) if self._found is not None and repo is not None else None
        if found is None or found.itself:
            self.repos.setFocus()
        elif found.instance_names:
            self.instances.setFocus()
        else:
            newest_first = reversed(repo.nodes) if repo else ()
            self.versions.select(next(node.uuid for node in newest_first if node.uuid in found.node_uuids))
            self.versions.setFocus()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """Nobody waits for answers any more."""
        self.background.drop_all()
        super().closeEvent(event)


def _log_of(connection: Connection, uuid: str) -> list[str]:
    path = f"/api/node/{quoted(uuid, 'uuid')}/log"
    return log_lines(connection.ask(path, f"asking for the log of version {uuid[:8]}"))


def _titled(title: str, view: QWidget) -> QWidget:
    """A view below its name, which is its key with Alt."""
    label = QLabel(title)
    label.setBuddy(view)
    box = QWidget()
    column = QVBoxLayout(box)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(2)
    column.addWidget(label)
    column.addWidget(view, 1)
    return box


def run(url: str | None = None) -> int:
    """Opens the window on a server, or without one asks for it; returns when it is closed.

    A token in the variable DVID_ADMIN_TOKEN is for the server that is given, and told to no other one that is opened in the window.
    Ctrl-C in the terminal that it was started from closes it, too.
    """
    application = QApplication.instance() or QApplication(sys.argv[:1])
    browser = ContentsBrowser(url, token=(os.environ.get(TOKEN_VARIABLE) or None) if url else None)
    browser.show()
    # Python looks at signals only while it runs: while Qt waits for events, it does not.
    wake = QTimer()
    wake.timeout.connect(lambda: None)
    wake.start(200)
    before = signal.signal(signal.SIGINT, lambda *_: browser.close())
    try:
        return int(application.exec())
    finally:
        signal.signal(signal.SIGINT, before)


def main() -> int:
    """The command: with the address of a server, or without."""
    if len(sys.argv) > 2 or any(argument.startswith("-") for argument in sys.argv[1:]):
        print(f"usage: [{TOKEN_VARIABLE}=TOKEN] {Path(sys.argv[0]).name} [URL]", file=sys.stderr)
        return 2
    return run(sys.argv[1] if len(sys.argv) > 1 else None)


if __name__ == "__main__":
    sys.exit(main())
