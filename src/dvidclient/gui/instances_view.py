"""The table of the data instances of a repo."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QFontMetrics, QGuiApplication
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from dvidclient.gui.catalogue import InstanceEntry, extents_text, pixel_type_text, times, voxel_size_text

COLUMNS = ("Name", "Type", "Shape x, y, z", "Pixel type", "Voxel size", "Axes", "Block", "Extents")
PADDING = 10


class InstancesView(QTreeWidget):
    """Data instances with what the server tells of them."""

    instance_selected = Signal(object)
    """The InstanceEntry that is selected; None where none is."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
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
        self.currentItemChanged.connect(lambda *_: self.instance_selected.emit(self.selected_instance))
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
            self.setColumnWidth(column, self.columnWidth(column) + PADDING)
        self.blockSignals(False)
        self.select(before)

    def select(self, name: str | None) -> None:
        """Selects an instance; without a name, or where it is not listed, the first volume that has something in it."""
        shown = [
            item for row in range(self.topLevelItemCount()) if (item := self.topLevelItem(row)) and not item.isHidden()
        ]
        wanted = next((item for item in shown if item.text(0) == name), None)
        if wanted is None:
            full = [item for item in shown if (volume := self._instances[item.text(0)].volume) and volume.size_xyz]
            wanted = (full or shown or [None])[0]
        self.blockSignals(True)
        self.setCurrentItem(wanted)
        self.blockSignals(False)
        self.instance_selected.emit(self.selected_instance)

    def show_only(self, names: set[str]) -> None:
        """Hides all instances but some; where the selected one is hidden, the first that is left is selected."""
        for row in range(self.topLevelItemCount()):
            item = self.topLevelItem(row)
            item.setHidden(item.text(0) not in names)
        current = self.currentItem()
        if current is None or current.isHidden():
            self.select(None)


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
    item.setSizeHint(0, QSize(0, QFontMetrics(QGuiApplication.font()).height() + 8))
    for column, cell in enumerate(cells):
        item.setToolTip(column, f"{COLUMNS[column]}: {cell}" if cell else "")
    return item
