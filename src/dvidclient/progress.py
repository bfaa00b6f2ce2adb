"""How far a long read or write has come: told to a function, or shown as a bar."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO, TypeAlias

from dvidclient.errors import BadArgument

Progress: TypeAlias = bool | Callable[[int, int], object] | None
"""True for a bar, or a function that is given the bytes that are done and all there are; None or False for nothing."""

WIDTH = 30
BETWEEN_SECONDS = 0.1


class Meter:
    """Counts the bytes of a read or write that several threads share.

    Args:
        total: bytes in all.
        what: what is done, in words (``reading z 0:64 ... of volume 'em'``).
        progress: whom to tell: after each part, one call at a time, from the thread that did the part.

    Raises:
        BadArgument: for a ``progress`` that is none.
    """

    def __init__(self, total: int, what: str, progress: Progress) -> None:
        if progress is not None and not isinstance(progress, bool) and not callable(progress):
            raise BadArgument(f"progress: expected True or a function of two integers, got {progress!r}")
        self._tell = Bar(what) if progress is True else progress or None
        self._total = total
        self._done = 0
        self._lock = threading.Lock()

    def add(self, part: int) -> None:
        """So many bytes more are done."""
        if self._tell is None:
            return
        with self._lock:
            self._done += part
            self._tell(self._done, self._total)


class Bar:
    """A bar of one line on a terminal, or in a notebook. Writes nothing where there is neither, such as to a file.

    Args:
        what: written before the bar.
        stream: default: the standard error stream.
    """

    def __init__(self, what: str, stream: TextIO | None = None) -> None:
        self._what = what
        self._stream = sys.stderr if stream is None else stream
        self._shown = self._stream.isatty() or _in_notebook()
        self._started = time.monotonic()
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Draws it anew, if some time has passed or all is done."""
        now = time.monotonic()
        if not self._shown or (now < self._next and done < total):
            return
        self._next = now + BETWEEN_SECONDS
        self._stream.write(f"\r{self.line(done, total, now - self._started)}{chr(10) if done >= total else ''}")
        self._stream.flush()

    def line(self, done: int, total: int, seconds: float) -> str:
        """The line, such as ``reading em [######    ]  60 %  80.5 of 134.2 MB, 310 MB/s``."""
        share = done / total if total else 1.0
        filled = "#" * int(WIDTH * share)
        speed = f", {done / seconds / 1e6:.0f} MB/s" if seconds > 0 else ""
        return f"{self._what} [{filled:<{WIDTH}}] {share:4.0%}  {done / 1e6:.1f} of {total / 1e6:.1f} MB{speed}"


def _in_notebook() -> bool:
    """Whether the output goes to a page, on which a line can be written anew as on a terminal."""
    return "ipykernel" in sys.modules
