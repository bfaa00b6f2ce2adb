"""Turns: one thread at a time, and none that wants little waits for more than a piece of what wants much."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator


class Turns:
    """Gives turns to threads, one at a time.

    There are two queues, for those who want little and for those who want much and take a turn for each piece of it. Where
    both wait, they take turns in turn, so that neither keeps the other waiting for long.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._holder: threading.Lock | None = None
        self._last_was_much = False
        self._queues: dict[bool, deque[threading.Lock]] = {False: deque(), True: deque()}

    @property
    def waiting(self) -> int:
        """How many threads wait."""
        return sum(map(len, self._queues.values()))

    @contextlib.contextmanager
    def turn(self, *, much: bool = False) -> Iterator[None]:
        """A turn of this thread, which must have none yet.

        Args:
            much: whether it is one of many that the thread will take for the same purpose.
        """
        mine = threading.Lock()
        mine.acquire()
        try:
            with self._mutex:
                if self._holder is None:
                    self._give(mine, much)
                else:
                    self._queues[much].append(mine)
            mine.acquire()
            yield
        finally:
            self._leave(mine, much)

    def _leave(self, mine: threading.Lock, much: bool) -> None:
        with self._mutex:
            # After Ctrl-C a thread may leave while it waits.
            if mine in self._queues[much]:
                self._queues[much].remove(mine)
            if self._holder is not mine:
                return
            self._holder = None
            next_is_much = bool(self._queues[True]) and not (self._last_was_much and self._queues[False])
            if self._queues[next_is_much]:
                self._give(self._queues[next_is_much].popleft(), next_is_much)

    def _give(self, whose: threading.Lock, much: bool) -> None:
        # Given before that thread runs: one that comes in between has to wait behind it.
        self._holder, self._last_was_much = whose, much
        whose.release()
