"""How many requests of one worker are worked on at the same time.

A worker has more threads than that, so that clients who send or take their bytes slowly hold a sleeping thread and
not a place among the working ones.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Places for working requests. Enter and leave come in pairs, in any thread."""

    def __init__(self, places: int) -> None:
        self._places: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(places):
            self._places.put(None)
        self._count = places
        self._waiting: dict[int, float] = {}
        self.enter = self._places.get

    def leave(self) -> None:
        """Give the place back."""
        self._places.put(None)

    @property
    def running(self) -> int:
        """How many requests are worked on."""
        return self._count - self._places.qsize()

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Wait for a client without holding a place."""
        thread = threading.get_ident()
        self._waiting.setdefault(thread, time.monotonic())
        self.leave()
        try:
            yield
        finally:
            self._waiting.pop(thread, None)
            self.enter()

    def longest_wait(self) -> float:
        """For how many seconds a request has been waiting for its client's bytes, the longest one."""
        now = time.monotonic()
        return max((now - since for since in list(self._waiting.values())), default=0.0)
