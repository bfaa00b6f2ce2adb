"""The pane that tells what is known of what is selected."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import QTextBrowser, QWidget

from dvidclient.gui.catalogue import InstanceEntry, NodeEntry, RepoEntry
from dvidclient.gui.details import details_html
from dvidclient.gui.strip import is_dark

LINK_ON_DARK = "#7fb2ff"


class DetailsView(QTextBrowser):
    """A page on a version, a data instance and their repo; ``anchorClicked`` tells of links to other versions."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setOpenLinks(False)
        self.setAccessibleName("Details")

    def show_details(
        self, repo: RepoEntry | None, node: NodeEntry | None, instance: InstanceEntry | None, log: Sequence[str] | str
    ) -> None:
        """Shows another page; arguments as of ``details_html``."""
        # Dark palettes that programs make often keep the dark blue for links.
        self.document().setDefaultStyleSheet(f"a {{ color: {LINK_ON_DARK} }}" if is_dark(self.palette()) else "")
        self.setHtml(details_html(repo, node, instance, log))
