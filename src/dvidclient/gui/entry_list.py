"""A list of entries of which one is selected: what the lists of repos and of data instances have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QTreeWidget, QTreeWidgetItem, QWidget

Entry = TypeVar("Entry")
# Of an entry. Not its key: Qt does not give all texts back as they were.
NUMBER = Qt.ItemDataRole.UserRole


class EntryList(QTreeWidget, Generic[Entry]):
    """A row for each entry. One that is shown is selected, as long as there are any; some may be hidden.

    Args:
        key_of: what tells an entry from the others, and is the same after the server was asked anew.
        row_of: the row that shows an entry.
        parent: the widget that it is part of.
    """

    entry_selected = Signal(object)
    """The entry that is selected; None where none is."""
    entered = Signal()
    """The Enter key, or a double click."""

    def __init__(
        self,
        key_of: Callable[[Entry], str],
        row_of: Callable[[Entry], QTreeWidgetItem],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._key_of = key_of
        self._row_of = row_of
        self._entries: list[Entry] = []
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setAllColumnsShowFocus(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.doubleClicked.connect(self._enter)
        self.currentItemChanged.connect(self._select)

    @property
    def selected_entry(self) -> Entry | None:
        """The entry that is selected."""
        item = self.currentItem()
        return self._entry(item) if item and not item.isHidden() else None

    @property
    def shown_entries(self) -> list[Entry]:
        """The entries that are not hidden, from top to bottom."""
        return [self._entry(item) for item in self._items() if not item.isHidden()]

    def show_entries(self, entries: Iterable[Entry]) -> None:
        """Lists other entries; the one that was selected, or that has its key, is selected again."""
        current = self.currentItem()
        before = self._key(current) if current else None
        self.blockSignals(True)
        self.clear()
        self._entries = list(entries)
        rows = [self._row_of(entry) for entry in self._entries]
        for number, row in enumerate(rows):
            row.setData(0, NUMBER, number)
        self.addTopLevelItems(rows)
        self.blockSignals(False)
        self.select(before)

    def select(self, key: str | None) -> None:
        """Selects an entry; without a key, or where it is not shown, the one that is looked at first."""
        shown = {self._key(item): item for item in self._items() if not item.isHidden()}
        if key not in shown and shown:
            key = self._key_of(self.first_choice(list(map(self._entry, shown.values()))))
        self.blockSignals(True)
        if key in shown:
            self.setCurrentItem(shown[key])
        else:
            self.setCurrentIndex(QModelIndex())
        self.blockSignals(False)
        self.entry_selected.emit(self.selected_entry)

    def first_choice(self, shown: Sequence[Entry]) -> Entry:
        """Which of the entries that are shown, at least one, is selected where nothing else says which."""
        return shown[0]

    def show_only(self, keys: set[str]) -> None:
        """Hides all entries but some; where the selected one is hidden, another is selected."""
        for item in self._items():
            item.setHidden(self._key(item) not in keys)
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
        self.entry_selected.emit(self.selected_entry)

    def _items(self) -> list[QTreeWidgetItem]:
        return [item for row in range(self.topLevelItemCount()) if (item := self.topLevelItem(row)) is not None]

    def _entry(self, item: QTreeWidgetItem) -> Entry:
        number: int = item.data(0, NUMBER)
        return self._entries[number]

    def _key(self, item: QTreeWidgetItem) -> str:
        return self._key_of(self._entry(item))
