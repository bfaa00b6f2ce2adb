"""The table of the data instances of a repo."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QMargins, QModelIndex, QPersistentModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from dvidclient.gui.catalogue import InstanceEntry, extents_text, pixel_type_text, times, voxel_size_text
from dvidclient.gui.strip import plain_tip

COLUMNS = ("Name", "Type", "Shape x, y, z", "Pixel type", "Voxel size", "Axes", "Block", "Extents")
# One long name shall not push all else out of the window.
WIDEST_COLUMN = 260


class InstancesView(QTreeWidget):
    """Data instances with what the server tells of them."""

    instance_selected = Signal(object)
    """The InstanceEntry that is selected; None where none is."""
    entered = Signal()
    """The Enter key, or a double click."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setItemDelegate(_Roomy(self))
        self.setColumnCount(len(COLUMNS))
        self.setHeaderLabels(COLUMNS)
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setAllColumnsShowFocus(True)
        self.setAlternatingRowColors(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setSortingEnabled(True)
        self.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.setAccessibleName("Data instances")
        self._instances: dict[str, InstanceEntry] = {}
        self.doubleClicked.connect(self._enter)
        self.currentItemChanged.connect(self._select)
        self.header().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.header().setStretchLastSection(True)

    @property
    def selected_instance(self) -> InstanceEntry | None:
        """The instance that is selected."""
        item = self.currentItem()
        return self._instances.get(item.text(0)) if item and not item.isHidden() else None

    def show_instances(self, instances: Sequence[InstanceEntry]) -> None:
        """Lists instances; the one that was selected, or one of its name, is selected again."""
        current = self.currentItem()
        before = current.text(0) if current else None
        self.blockSignals(True)
        self.clear()
        self._instances = {instance.name: instance for instance in instances}
        self.addTopLevelItems([_item(instance) for instance in instances])
        for column in range(len(COLUMNS) - 1):
            self.resizeColumnToContents(column)
            self.setColumnWidth(column, min(WIDEST_COLUMN, self.columnWidth(column)))
        self.blockSignals(False)
        self.select(before)

    def select(self, name: str | None) -> None:
        """Selects an instance; without a name, or where it is not listed, the first volume that has something in it."""
        shown = [item for item in self._items() if not item.isHidden()]
        wanted = next((item for item in shown if item.text(0) == name), None)
        if wanted is None:
            full = [item for item in shown if (volume := self._instances[item.text(0)].volume) and volume.size_xyz]
            wanted = next(iter(full or shown), None)
        self.blockSignals(True)
        if wanted is None:
            self.setCurrentIndex(QModelIndex())
        else:
            self.setCurrentItem(wanted)
        self.blockSignals(False)
        self.instance_selected.emit(self.selected_instance)

    def show_only(self, names: set[str]) -> None:
        """Hides all instances but some; where the selected one is hidden, the first that is left is selected."""
        for item in self._items():
            item.setHidden(item.text(0) not in names)
        current = self.currentItem()
        if current is None or current.isHidden():
            self.select(None)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Enter is told; all other keys do what they do in a list."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._enter()
        else:
            super().keyPressEvent(event)

    def _enter(self, *_: object) -> None:
        self.entered.emit()

    def _select(self, *_: object) -> None:
        self.instance_selected.emit(self.selected_instance)

    def _items(self) -> list[QTreeWidgetItem]:
        return [item for row in range(self.topLevelItemCount()) if (item := self.topLevelItem(row)) is not None]


class _Roomy(QStyledItemDelegate):
    """Cells with some room around their text."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:  # noqa: N802
        return super().sizeHint(option, index).grownBy(QMargins(0, 3, 10, 3))


def _item(instance: InstanceEntry) -> QTreeWidgetItem:
    cells = [instance.name, instance.typename]
    if volume := instance.volume:
        cells += [
            times(volume.size_xyz) if volume.size_xyz else "empty",
            pixel_type_text(volume),
            voxel_size_text(volume),
            volume.axes,
            times(volume.block_xyz) if volume.block_xyz else "",
            extents_text(volume),
        ]
    item = QTreeWidgetItem(cells)
    for column, cell in enumerate(cells):
        item.setToolTip(column, plain_tip(f"{COLUMNS[column]}: {cell}") if cell else "")
    return item
