"""What repos and versions have in common: when they were made and changed, and a log of lines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from dvidclient.connection import Connection


class Logged(ABC):
    """What the server describes with a document, and keeps a log of."""

    @property
    @abstractmethod
    def document(self) -> Mapping[str, Any]:
        """How the server describes it."""

    @property
    @abstractmethod
    def path(self) -> str:
        """Of its requests."""

    @property
    @abstractmethod
    def connection(self) -> Connection:
        """To its server."""

    @property
    def created(self) -> str:
        """When it was made, as the server writes times (RFC 3339)."""
        return str(self.document.get("Created") or "")

    @property
    def updated(self) -> str:
        """When it was last changed: of a version, its state, note or log."""
        return str(self.document.get("Updated") or "")

    @property
    def log(self) -> list[str]:
        """The lines of its log, asked for anew."""
        return log_lines(self.connection.ask(f"{self.path}/log", f"the log of {self}"))

    def write_log(self, lines: str | Iterable[str]) -> None:
        """Adds lines to its log."""
        self.connection.tell(f"{self.path}/log", f"writing to the log of {self}", document={"log": as_lines(lines)})


def log_lines(answer: Any) -> list[str]:
    """The lines of the answer to ``GET .../log``."""
    lines = answer.get("log") if isinstance(answer, Mapping) else None
    return [str(line) for line in lines or []]


def as_lines(lines: str | Iterable[str]) -> list[str]:
    """One line or several."""
    return [lines] if isinstance(lines, str) else list(lines)
