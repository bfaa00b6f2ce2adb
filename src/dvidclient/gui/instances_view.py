"""The table of the data instances of a repo."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter

from qtpy.QtCore import QMargins, QModelIndex, QPersistentModelIndex, QSize, Qt
from qtpy.QtWidgets import QHeaderView, QStyledItemDelegate, QStyleOptionViewItem, QTreeWidgetItem, QWidget

from dvidclient.gui.catalogue import InstanceEntry, extents_text, pixel_type_text, times, voxel_size_text
from dvidclient.gui.entry_list import EntryList
from dvidclient.gui.strip import plain_tip

COLUMNS = ("Name", "Type", "Shape x, y, z", "Pixel type", "Voxel size", "Axes", "Block", "Extents")
# One long name shall not push all else out of the window.
WIDEST_COLUMN = 260


class InstancesView(EntryList[InstanceEntry]):
    """Data instances, by name, with what the server tells of them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(attrgetter("name"), _row, parent)
        self.setItemDelegate(_Roomy(self))
        self.setColumnCount(len(COLUMNS))
        self.setHeaderLabels(COLUMNS)
        self.setAlternatingRowColors(True)
        self.setSortingEnabled(True)
        self.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.setAccessibleName("Data instances")
        self.header().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.header().setStretchLastSection(True)
        # Of thousands of instances, Qt looks at so many to find how wide columns must be.
        self.header().setResizeContentsPrecision(200)

    def show_entries(self, entries: Iterable[InstanceEntry]) -> None:
        """Lists instances, in columns as wide as they need."""
        super().show_entries(entries)
        for column in range(len(COLUMNS) - 1):
            self.resizeColumnToContents(column)
            self.setColumnWidth(column, min(WIDEST_COLUMN, self.columnWidth(column)))

    def first_choice(self, shown: Sequence[InstanceEntry]) -> InstanceEntry:
        """The first volume that has something in it."""
        return next((entry for entry in shown if entry.volume and entry.volume.size_xyz), shown[0])


class _Roomy(QStyledItemDelegate):
    """Cells with some room around their text."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:  # noqa: N802
        return super().sizeHint(option, index).grownBy(QMargins(0, 3, 10, 3))


def _row(instance: InstanceEntry) -> QTreeWidgetItem:
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
