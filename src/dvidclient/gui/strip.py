"""A message in its place: what went wrong there, and a button to try again."""

from __future__ import annotations

import html

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget


def is_dark(palette: QPalette) -> bool:
    """Whether text is brighter than what it stands on."""
    return (
        palette.color(QPalette.ColorRole.WindowText).lightness() > palette.color(QPalette.ColorRole.Window).lightness()
    )


def error_ink(palette: QPalette) -> QColor:
    """The colour of words that tell of something wrong, in a list."""
    return QColor("#ff9d94" if is_dark(palette) else "#b3261e")


def plain_tip(text: str) -> str:
    """A tooltip that shows a text as it is: Qt takes what looks like HTML for HTML, and names and notes may be anything."""
    if not Qt.mightBeRichText(text):  # type: ignore[attr-defined]  # PySide6 has it, and does not tell
        return text
    return f"<qt>{html.escape(text)}</qt>".replace("\n", "<br>")


MOST_LINES = 7


class MessageStrip(QFrame):
    """Some lines of text above a list or a picture, hidden while there is nothing to say; the tooltip has all of it."""

    retry = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("strip")
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.text.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.text.setMaximumHeight(MOST_LINES * self.text.fontMetrics().lineSpacing())
        self.button = QPushButton("Retry")
        self.button.clicked.connect(self.retry)
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 4, 8, 4)
        row.addWidget(self.text, 1)
        row.addWidget(self.button, 0, Qt.AlignmentFlag.AlignTop)
        self.hide()

    def show_error(self, message: str) -> None:
        """Says what went wrong."""
        back, edge = ("#4a2b2b", "#8a4a4a") if is_dark(self.palette()) else ("#fdecea", "#e5a8a2")
        ink = QColor("#ffffff" if is_dark(self.palette()) else "#4a1410").name()
        self.setStyleSheet(
            f"#strip {{ background: {back}; border: 1px solid {edge}; border-radius: 4px; }} #strip QLabel {{ color: {ink}; }}"
        )
        self.text.setText(message)
        self.text.setToolTip(plain_tip(message))
        self.show()

    def clear(self) -> None:
        """Nothing is wrong any more."""
        self.text.clear()
        self.hide()
