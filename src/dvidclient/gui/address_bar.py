"""The bar at the top: which server, and what to look for in it."""

from __future__ import annotations

from qtpy.QtCore import QSettings, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QLineEdit, QPushButton, QToolButton, QWidget

MOST_ADDRESSES = 10
DEFAULT_ADDRESS = "localhost:8000"


def settings() -> QSettings:
    """Where the browser keeps what it was asked for before."""
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "dvidclient", "contents-browser")


def last_addresses() -> list[str]:
    """The servers that were looked at, the last one first."""
    found = settings().value("addresses") or []
    return [str(address) for address in ([found] if isinstance(found, str) else found)]


def remember(address: str) -> None:
    """Keeps a server for the next time."""
    addresses = [address, *(other for other in last_addresses() if other != address)]
    settings().setValue("addresses", addresses[:MOST_ADDRESSES])


class SearchField(QLineEdit):
    """A line of text; Esc empties it."""

    entered = Signal()
    """Enter, or the key down: on to what was found."""

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Esc is its own only while there is something in it: then it closes nothing."""
        if event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Down):
            self.entered.emit()
        else:
            super().keyPressEvent(event)


class AddressBar(QWidget):
    """The address of the server with those that were used before, a button to ask it again, and the search field."""

    wanted = Signal(str)
    """An address that is to be opened."""
    refresh = Signal()
    search_changed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.address = QComboBox()
        self.address.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.address.addItems(last_addresses() or [DEFAULT_ADDRESS])
        self.address.setMinimumContentsLength(24)
        self.address.setAccessibleName("Address of the server")
        line = self.line = QLineEdit()
        self.address.setLineEdit(line)
        line.setPlaceholderText(f"address of a server, such as {DEFAULT_ADDRESS}")
        line.returnPressed.connect(self._want)
        self.address.activated.connect(self._want)
        self.open_button = QPushButton("Open")
        self.open_button.setAutoDefault(False)
        self.open_button.clicked.connect(self._want)
        self.refresh_button = QToolButton()
        self.refresh_button.setText("Refresh")
        self.refresh_button.setToolTip("Ask the server anew (F5)")
        self.refresh_button.clicked.connect(self.refresh)
        self.busy = QLabel()
        self.search = SearchField()
        self.search.setPlaceholderText("Search names, UUIDs, notes (Ctrl+F)")
        self.search.setClearButtonEnabled(True)
        self.search.setAccessibleName("Search")
        self.search.textChanged.connect(self.search_changed)
        label = QLabel("&Server:")
        label.setBuddy(self.address)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(label)
        row.addWidget(self.address, 2)
        row.addWidget(self.open_button)
        row.addWidget(self.refresh_button)
        row.addWidget(self.busy)
        row.addStretch(1)
        row.addWidget(self.search, 2)

    def show_address(self, address: str) -> None:
        """Writes an address into the field."""
        self.address.setEditText(address)

    def show_opened(self, address: str) -> None:
        """An address has proved to be a server: it is offered the next time."""
        remember(address)
        self.address.blockSignals(True)
        self.address.clear()
        self.address.addItems(last_addresses())
        self.address.setEditText(address)
        self.address.blockSignals(False)

    def _want(self, *_: object) -> None:
        if address := self.address.currentText().strip():
            self.wanted.emit(address)
