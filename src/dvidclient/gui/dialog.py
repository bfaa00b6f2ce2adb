"""The contents browser as a dialog of another program: choose something, OK, Cancel."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QVBoxLayout, QWidget

from dvidclient.gui.contents_browser import TITLE, ContentsBrowser
from dvidclient.gui.selection import Mode, Selection


class ContentsDialog(QDialog):
    """A dialog in which a data instance at a version is chosen, or a place and a name for a new volume.

    Args:
        url: of the server; without one the user is asked for it.
        mode: ``select_existing`` or ``specify_new``, as of ``ContentsBrowser``.
        token: sent as ``Authorization: Bearer``.
        parent: the window that it belongs to.
    """

    def __init__(
        self,
        url: str | None = None,
        mode: Mode = "select_existing",
        *,
        token: str | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(TITLE)
        self.browser = ContentsBrowser(url, mode, token=token, parent=self)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self.ok = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        for button in (self.ok, self.buttons.button(QDialogButtonBox.StandardButton.Cancel)):
            button.setAutoDefault(False)  # Enter in a list chooses there, in the address opens, and presses no button
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.browser.selection_changed.connect(self._tell)
        self.browser.chosen.connect(self._accept)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.browser, 1)
        column.addWidget(self.buttons)
        self.buttons.setContentsMargins(11, 0, 11, 11)
        self.resize(self.browser.size())
        self._tell()

    @property
    def selection(self) -> Selection | None:
        """What was chosen; None until something whole and valid is selected."""
        return None if self.browser.missing else self.browser.selection

    def accept(self) -> None:
        """Ends with what is selected, if nothing is missing."""
        if not self.browser.missing:
            super().accept()

    def done(self, result: int) -> None:
        """Nobody waits for answers any more."""
        self.browser.background.drop_all()
        super().done(result)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Enter belongs to the lists and fields; Esc cancels."""
        if event.key() not in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            super().keyPressEvent(event)

    def _accept(self, _chosen: Selection) -> None:
        self.accept()

    def _tell(self, *_: object) -> None:
        missing = self.browser.missing
        self.ok.setEnabled(not missing)
        self.ok.setToolTip(missing)


def choose(
    url: str | None = None,
    mode: Mode = "select_existing",
    *,
    token: str | None = None,
    parent: QWidget | None = None,
) -> Selection | None:
    """Lets the user choose; returns what was chosen, or None after Cancel.

    Args:
        url: of the server; without one the user is asked for it.
        mode: ``select_existing`` for a data instance at a version; ``specify_new`` for an open version and a name that no
            instance of its repo has.
        token: sent as ``Authorization: Bearer``.
        parent: the window that the dialog belongs to.
    """
    dialog = ContentsDialog(url, mode, token=token, parent=parent)
    try:
        return dialog.selection if dialog.exec() == QDialog.DialogCode.Accepted else None
    finally:
        dialog.deleteLater()
