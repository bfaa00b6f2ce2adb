"""The list of repos."""

from __future__ import annotations

from operator import attrgetter

from qtpy.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt
from qtpy.QtGui import QFont, QPainter, QPalette
from qtpy.QtWidgets import (
    QApplication,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeWidgetItem,
    QWidget,
)

from dvidclient.display import counted
from dvidclient.gui.catalogue import RepoEntry, when
from dvidclient.gui.entry_list import NUMBER, EntryList
from dvidclient.gui.strip import error_ink, plain_tip

LINES = NUMBER + 1
FAULTY = NUMBER + 2
MARGIN = 6


class RepoList(EntryList[RepoEntry]):
    """Repos, by the UUID of their root: their names, what they are for, how much is in them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(attrgetter("uuid"), _row, parent)
        self.setItemDelegate(_RepoDelegate(self))
        self.setHeaderHidden(True)
        # Otherwise texts end, in a narrow list, beyond it and not in "…".
        self.header().setStretchLastSection(False)
        self.header().setMinimumSectionSize(1)
        self.header().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName("Repositories")


def _row(repo: RepoEntry) -> QTreeWidgetItem:
    row = QTreeWidgetItem([repo.title])
    row.setData(0, LINES, _lines(repo))
    row.setData(0, FAULTY, bool(repo.fault))
    row.setToolTip(0, plain_tip(_tip(repo)))
    return row


def _lines(repo: RepoEntry) -> tuple[tuple[str, str], ...]:
    """What stands on the left and on the right of each line."""
    if repo.fault:
        return ((repo.title, repo.uuid[:8]), ("described wrongly by the server", ""), (repo.fault, ""))
    return (
        (repo.title, repo.uuid[:8]),
        (repo.description or "no description", ""),
        (_counts(repo), when(repo.updated)[:10]),
    )


def _tip(repo: RepoEntry) -> str:
    described = f"{repo.title}\n{repo.description}".strip()
    if repo.fault:
        return f"{described}\n\nlisted as {repo.uuid}\nthe server describes it wrongly: {repo.fault}"
    times = f"made {when(repo.created)}, changed {when(repo.updated)} (UTC)"
    return f"{described}\n\nroot {repo.uuid}\n{_counts(repo)}\n{times}"


def _counts(repo: RepoEntry) -> str:
    return f"{counted(repo.nodes, 'version')}, {counted(repo.instances, 'instance')}"


class _RepoDelegate(QStyledItemDelegate):
    """Three lines: name, description, figures."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:  # noqa: N802
        return QSize(120, 3 * option.fontMetrics.height() + 2 * MARGIN + 4)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        self.initStyleOption(option, index)
        option.text = ""
        style = option.widget.style() if option.widget else QApplication.style()
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, option, painter, option.widget)
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        palette, group = option.palette, QPalette.ColorGroup.Active
        if not option.state & QStyle.StateFlag.State_Active:
            group = QPalette.ColorGroup.Inactive
        ink = palette.color(group, QPalette.ColorRole.HighlightedText if chosen else QPalette.ColorRole.Text)
        faint = ink if chosen else palette.color(group, QPalette.ColorRole.PlaceholderText)
        if index.data(FAULTY) and not chosen:
            faint = error_ink(palette)
        bold = QFont(option.font)
        bold.setBold(True)
        line = option.fontMetrics.height() + 2
        place = option.rect.adjusted(MARGIN + 2, MARGIN, -MARGIN - 2, -MARGIN)
        painter.save()
        for number, (text, aside) in enumerate(index.data(LINES)):
            row = QRect(place.left(), place.top() + number * line, place.width(), line)
            painter.setFont(option.font)
            painter.setPen(faint)
            wide = option.fontMetrics.horizontalAdvance(aside) + MARGIN
            # In a narrow list the name is worth more than what stands beside it.
            if aside and row.width() > 2 * wide:
                painter.drawText(row, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight), aside)
                row.setWidth(row.width() - wide)
            if number == 0:
                painter.setFont(bold)
                painter.setPen(ink)
            shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, row.width())
            painter.drawText(row, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft), shown)
        painter.restore()
