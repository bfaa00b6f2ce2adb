"""Lines of logs, of repos and of versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def log_lines(answer: Any) -> list[str]:
    """The lines of the answer to ``GET .../log``."""
    lines = answer.get("log") if isinstance(answer, Mapping) else None
    return [str(line) for line in lines or []]


def as_lines(lines: str | Iterable[str]) -> list[str]:
    """One line or several."""
    return [lines] if isinstance(lines, str) else list(lines)
