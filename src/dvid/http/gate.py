"""How many requests of one worker are worked on at the same time.

A worker has more threads than that: clients who send or take their bytes slowly are to hold a sleeping thread and not a
place among the working ones. Who waits for a client says so, and keeps its place as long as the wait is short, since
giving it away and taking it again would cost more than most waits last. A thread of the worker takes the places of
those that wait for long.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

SHORT = 0.05
"""How many seconds a request keeps its place while it waits for its client; it may be twice as long."""


@dataclass(eq=False, slots=True)
class Exchange:
    """A request that nothing was answered to yet."""

    address: str
    """Of its client."""
    heard: float
    """Latest time at which something of it can have arrived, while nothing is waited for (time.monotonic)."""
    reading: float | None = None
    """Since when the bytes of its client are waited for; None: they are not."""
    cut: bool = False
    """True if its wait may have been ended because nothing came: connections from its address were cut meanwhile."""
    tried: float | None = None
    """When that was last done on its behalf."""


class Gate:
    """Places for working requests. Enter and leave come in pairs, in any thread."""

    def __init__(self, places: int) -> None:
        self._places: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(places):
            self._places.put(None)
        self._count = places
        self._numbers = count()
        self._waiting: dict[int, float] = {}
        self._exchanges: set[Exchange] = set()
        self.enter = self._places.get

    def leave(self) -> None:
        """Give the place back."""
        self._places.put(None)

    @property
    def running(self) -> int:
        """How many requests are worked on."""
        return self._count - self._places.qsize()

    def begin_wait(self) -> int:
        """Begin to wait for a client; a number for `end_wait`."""
        number = next(self._numbers)
        self._waiting[number] = time.monotonic()
        return number

    def end_wait(self, number: int) -> None:
        """Go on after a wait, with the place one had or a new one."""
        if self._waiting.pop(number, None) is None:
            self.enter()

    def take_from_waiting(self) -> None:
        """Take the places of those who have been waiting for long."""
        latest = time.monotonic() - SHORT
        for number, since in list(self._waiting.items()):
            # Either this thread or the waiting one gets the entry, and with it the say over the place.
            if since < latest and self._waiting.pop(number, None) is not None:
                self.leave()

    def arrive(self, address: str) -> Exchange:
        """Note a request that has come in from an address."""
        exchange = Exchange(address, time.monotonic())
        self._exchanges.add(exchange)
        return exchange

    def depart(self, exchange: Exchange) -> None:
        """Forget a request: its answer leaves. Of no effect the second time."""
        self._exchanges.discard(exchange)

    def exchanges(self) -> list[Exchange]:
        """The requests that nothing was answered to yet."""
        return list(self._exchanges)

    @contextmanager
    def reading(self, exchange: Exchange) -> Iterator[None]:
        """Wait for the bytes of a client."""
        number = self.begin_wait()
        exchange.cut, exchange.tried, exchange.reading = False, None, time.monotonic()
        try:
            yield
        finally:
            exchange.heard, exchange.reading = time.monotonic(), None
            self.end_wait(number)

    def longest_read(self) -> float:
        """For how many seconds a request has been waiting for its client's bytes, the longest one."""
        now = time.monotonic()
        return max((now - since for exchange in self.exchanges() if (since := exchange.reading)), default=0.0)
