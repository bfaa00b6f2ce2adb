"""The versions of a repo: their graph, drawn, with a line of text for each."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent, QPainter, QPainterPath, QPalette, QPen, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeView,
    QWidget,
)

from dvidclient.gui.background import Background
from dvidclient.gui.catalogue import NodeEntry, when
from dvidclient.gui.graph import GraphLayout, lay_out
from dvidclient.gui.strip import is_dark, plain_tip

COLUMNS = ("Graph", "Version", "Branch", "Note", "Created (UTC)")
GRAPH, VERSION, BRANCH, NOTE, CREATED = range(5)
KIND = "graph"
NODE = Qt.ItemDataRole.UserRole + 1

UUID_STARTS = tuple(digit * 8 for digit in "0123456789abcdef")
LONGEST_TIME = "0000-00-00 00:00"
CELL_MARGIN = 16
# One long name shall not push all else out of the window.
WIDEST_COLUMN = 200
NARROWEST_NOTE = 120

LANE = 16
NARROWEST_LANE = 4
WIDEST_GRAPH = 320
RADIUS = 5.0
# Told apart by people who see colours differently, on white and on black: the set of Okabe and Ito, without black and yellow.
# https://jfly.uni-koeln.de/color/
LANE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
OPEN_COLOUR = "#2e9e4f"
FOUND_COLOUR = "#50e6b400"  # see-through: for dark and bright windows

Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True)
class Rows:
    """Versions with their graph laid out."""

    versions: tuple[NodeEntry, ...]
    """In the order in which they were given."""
    layout: GraphLayout
    nodes: tuple[NodeEntry, ...]
    """The version of each row."""
    row_of: Mapping[str, int]
    """The row of each version, by its UUID."""
    long_branches: tuple[str, ...]
    """The branches of which one has the widest name."""


def laid_out(versions: Sequence[NodeEntry]) -> Rows:
    """Gives versions their rows. Takes its time where there are thousands: for the background."""
    by_uuid = {node.uuid: node for node in versions}
    layout = lay_out(versions)
    row_of = {uuid: row for row, uuid in enumerate(layout.uuids)}
    long_branches = heapq.nlargest(20, {node.branch for node in versions}, key=len)
    return Rows(tuple(versions), layout, tuple(by_uuid[uuid] for uuid in layout.uuids), row_of, tuple(long_branches))


class VersionsModel(QAbstractTableModel):
    """Versions in the rows of their layout."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = laid_out(())
        self.matching: set[str] | None = None

    def show_rows(self, rows: Rows) -> None:
        """Takes other versions."""
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802
        """One row for each version."""
        return 0 if parent.isValid() else len(self.rows.nodes)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802
        """The graph and what is said beside it."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: N802
        """Names of the columns."""
        across = orientation == Qt.Orientation.Horizontal
        return COLUMNS[section] if across and role == Qt.ItemDataRole.DisplayRole else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, tooltip, colour and font of a cell, and its version for the role NODE."""
        node = self.rows.nodes[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return ("", node.uuid[:8], node.branch, _one_line(node.note), when(node.created))[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole:
            return plain_tip(_tooltip(node))
        if role == Qt.ItemDataRole.AccessibleTextRole and index.column() == GRAPH:
            return "committed" if node.locked else "open"
        if role == Qt.ItemDataRole.ForegroundRole:
            faint = node.locked or (self.matching is not None and node.uuid not in self.matching)
            view = self.parent()
            if faint and isinstance(view, QWidget):
                return view.palette().brush(QPalette.ColorRole.PlaceholderText)
        if role == Qt.ItemDataRole.BackgroundRole and self.matching is not None and node.uuid in self.matching:
            return QColor(FOUND_COLOUR)
        if role == NODE:
            return node
        return None


class VersionsView(QTreeView):
    """The version graph of a repo. Up and down go along the rows, left to the parent, right to the child.

    Args:
        background: where graphs are laid out.
        parent: the widget that it is part of.
    """

    node_selected = Signal(object)
    """The NodeEntry that is selected; None where none is."""
    entered = Signal()
    """The Enter key, or a double click."""
    failed = Signal(str)
    """Why a graph cannot be shown."""

    def __init__(self, background: Background, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._background = background
        self._wanted: str | None = None
        self.versions = VersionsModel(self)
        self.setModel(self.versions)
        self.setItemDelegateForColumn(GRAPH, _GraphDelegate(self))
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setAllColumnsShowFocus(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setAccessibleName("Versions")
        self.header().setStretchLastSection(False)
        self.header().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.header().sectionResized.connect(self._fit_note)
        self.doubleClicked.connect(self._enter)
        self.selectionModel().currentRowChanged.connect(self._select)

    @property
    def selected_node(self) -> NodeEntry | None:
        """The version that is selected."""
        index = self.currentIndex()
        return self.versions.rows.nodes[index.row()] if index.isValid() else None

    @property
    def shown_uuids(self) -> tuple[str, ...]:
        """The versions from top to bottom."""
        return self.versions.rows.layout.uuids

    def show_nodes(self, nodes: Sequence[NodeEntry]) -> None:
        """Shows the versions of a repo as soon as their graph is laid out.

        The one that was selected is then selected again, or the newest of the main line. Versions of another repo are gone
        at once; those of the same one stay until the new graph is there.

        Args:
            nodes: the first one is the root.
        """
        shown = self.versions.rows
        if tuple(nodes) == shown.versions:
            self._background.drop(KIND)
            self.select(self._selected_uuid)
            return
        if not nodes or nodes[0].uuid not in shown.row_of:
            self._wanted = None
            self._background.drop(KIND)
            self._show(laid_out(()))
        if nodes:
            self._background.ask(KIND, partial(laid_out, nodes), self._show, self._fail)

    def _fail(self, message: str) -> None:
        self.failed.emit(f"the version graph cannot be drawn: {message}")

    def _show(self, rows: Rows) -> None:
        wanted = self._wanted or self._selected_uuid
        self._wanted = None
        model = self.selectionModel()
        model.blockSignals(True)
        self.versions.show_rows(rows)
        model.blockSignals(False)
        width = min(WIDEST_GRAPH, LANE * rows.layout.lane_count) + LANE
        self.setColumnWidth(GRAPH, max(width, self.fontMetrics().horizontalAdvance(COLUMNS[GRAPH]) + 24))
        for column, texts in ((VERSION, UUID_STARTS), (BRANCH, rows.long_branches), (CREATED, (LONGEST_TIME,))):
            self.setColumnWidth(column, self._width(column, texts))
        self.select(wanted)
        self._bring_found_to_view()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Notes get the room that is left."""
        super().resizeEvent(event)
        self._fit_note()

    def _fit_note(self, resized: int = GRAPH, *_: int) -> None:
        """Notes are as wide as is left for them, but where that is too little: then the times are scrolled to."""
        if resized != NOTE:
            others = sum(map(self.columnWidth, (GRAPH, VERSION, BRANCH, CREATED)))
            self.setColumnWidth(NOTE, max(NARROWEST_NOTE, self.viewport().width() - others))

    def _width(self, column: int, texts: Iterable[str]) -> int:
        """Of a column. Not as Qt finds it, which looks at a thousand rows of each: some 0.2 s."""
        widest = max((self.fontMetrics().horizontalAdvance(text) for text in texts), default=0)
        return max(self.header().sectionSizeHint(column), min(widest + CELL_MARGIN, WIDEST_COLUMN))

    @property
    def _selected_uuid(self) -> str | None:
        node = self.selected_node
        return node.uuid if node else None

    def select(self, uuid: str | None) -> None:
        """Selects a version; without one, or where the repo does not have it, the newest of the main line.

        While the graph is laid out, one that is not shown so far is selected once it is.
        """
        rows = self.versions.rows
        row = rows.row_of.get(uuid) if uuid else None
        if row is None and self._background.busy(KIND):
            self._wanted = uuid
            return
        self._wanted = None
        if row is None and rows.nodes:
            row = next((row for row, lane in enumerate(rows.layout.lanes) if lane == 0), 0)
        model = self.selectionModel()
        model.blockSignals(True)
        self.setCurrentIndex(QModelIndex() if row is None else self.versions.index(row, VERSION))
        model.blockSignals(False)
        # Not what came by signals, as nothing may have changed but the repo.
        self.viewport().update()
        if row is not None:
            self._bring_to_view(row)
        self.node_selected.emit(self.selected_node)

    def highlight(self, uuids: set[str] | None) -> None:
        """Makes some versions stand out, and the others faint; with None all are as they are."""
        self.versions.matching = uuids
        self.viewport().update()
        self._bring_found_to_view()

    def _bring_found_to_view(self) -> None:
        """Of thousands of versions, those that were searched for may be far from what is seen."""
        row_of = self.versions.rows.row_of
        found = sorted(row_of[uuid] for uuid in self.versions.matching or () if uuid in row_of)
        if found and not any(map(self._is_seen, found)):
            self._bring_to_view(found[0])

    def _is_seen(self, row: int) -> bool:
        return self.viewport().rect().contains(self.visualRect(self.versions.index(row, VERSION)).center())

    def _bring_to_view(self, row: int) -> None:
        """Where it is not seen, with what is around it."""
        if not self._is_seen(row):
            self.scrollTo(self.versions.index(row, VERSION), QAbstractItemView.ScrollHint.PositionAtCenter)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Moves along the graph; all other keys do what they do in a list."""
        node = self.selected_node
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._enter()
            return
        if node is not None and event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            along = node.parents if event.key() == Qt.Key.Key_Left else node.children
            rows = self.versions.rows
            known = [uuid for uuid in along if uuid in rows.row_of]
            if known:
                same = [uuid for uuid in known if rows.nodes[rows.row_of[uuid]].branch == node.branch]
                self.select((same or known)[0])
            return
        super().keyPressEvent(event)

    def _enter(self, *_: object) -> None:
        self.entered.emit()

    def _select(self, *_: object) -> None:
        self.node_selected.emit(self.selected_node)


class _GraphDelegate(QStyledItemDelegate):
    """Draws the part of the graph that lies in a row."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:  # noqa: N802
        return QSize(LANE * 2, max(24, option.fontMetrics.height() + 8))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        # Not filled when selected: lanes could not be told apart on the colour of selections.
        painter.fillRect(option.rect, option.palette.color(QPalette.ColorRole.Base))
        model = index.model()
        assert isinstance(model, VersionsModel)
        layout, row, node = model.rows.layout, index.row(), model.rows.nodes[index.row()]
        place = QRectF(option.rect)
        step = max(NARROWEST_LANE, min(LANE, (place.width() - LANE) / max(1, layout.lane_count)))

        def x(lane: int) -> float:
            return place.left() + LANE / 2 + 2 + lane * step

        painter.save()
        painter.setClipRect(place)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        last_lane = int(place.width() / step) + 1
        for edge in layout.edges_at(row, last_lane):
            lane = edge.lane
            side = edge.child_lane if edge.parent_row == edge.child_row + 1 else lane
            painter.setPen(QPen(_lane_colour(lane), 2))
            centre = place.center().y()
            above, below = place.top() - place.height() / 2, place.bottom() + place.height() / 2
            if row == edge.child_row:
                to = edge.parent_lane if edge.parent_row == row + 1 else lane
                _draw(painter, x(edge.child_lane), centre, x(to), below)
            elif row == edge.parent_row:
                came = side if edge.parent_row > edge.child_row + 1 else edge.child_lane
                _draw(painter, x(came), above, x(edge.parent_lane), centre)
            else:
                came = edge.child_lane if row == edge.child_row + 1 else lane
                goes = edge.parent_lane if row == edge.parent_row - 1 else lane
                _draw(painter, x(came), above, x(lane), centre)
                _draw(painter, x(lane), centre, x(goes), below)
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        self._draw_node(painter, QPointF(x(layout.lanes[row]), place.center().y()), node, option.palette, chosen)
        painter.restore()

    def _draw_node(self, painter: QPainter, at: QPointF, node: NodeEntry, palette: QPalette, chosen: bool) -> None:
        """Open versions are green rings, committed ones gray squares; the selected one has a halo."""
        if chosen:
            painter.setPen(QPen(palette.color(QPalette.ColorRole.Base), 1))
            painter.setBrush(palette.color(QPalette.ColorRole.Highlight))
            painter.drawEllipse(at, RADIUS + 4.5, RADIUS + 4.5)
        if node.locked:
            painter.setPen(QPen(palette.color(QPalette.ColorRole.Base), 1))
            painter.setBrush(QColor("#b0b0b0" if is_dark(palette) else "#7a7a7a"))
            painter.drawRect(QRectF(at.x() - RADIUS + 0.5, at.y() - RADIUS + 0.5, 2 * RADIUS - 1, 2 * RADIUS - 1))
        else:
            painter.setPen(QPen(QColor(OPEN_COLOUR), 3))
            painter.setBrush(palette.color(QPalette.ColorRole.Base))
            painter.drawEllipse(at, RADIUS, RADIUS)


def _lane_colour(lane: int) -> QColor:
    return QColor(LANE_COLOURS[lane % len(LANE_COLOURS)])


def _draw(painter: QPainter, x0: float, y0: float, x1: float, y1: float) -> None:
    path = QPainterPath(QPointF(x0, y0))
    if x0 == x1:
        path.lineTo(x1, y1)
    else:
        middle = (y0 + y1) / 2
        path.cubicTo(QPointF(x0, middle), QPointF(x1, middle), QPointF(x1, y1))
    painter.drawPath(path)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _tooltip(node: NodeEntry) -> str:
    lines = [f"{node.uuid}", f"branch {node.branch}, made {when(node.created)} (UTC)"]
    if node.note:
        lines.append(node.note)
    lines.append(node.why_closed or "open: data can be written and new volumes made here")
    return "\n".join(lines)
