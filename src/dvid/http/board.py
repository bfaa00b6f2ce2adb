"""What the worker processes of one server share: a piece of memory made before they are forked.

Each worker has a slot of its own in which it publishes one small document; the others only read it. So no lock is
needed between processes, and a worker that dies leaves its last document behind for its successor.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
import time
from contextlib import suppress

_number = struct.Struct("<Q")
_PAGE = 4096
_HALF = 256 * 1024  # a length and a document
_SLOT = 8 + 2 * _HALF  # how many documents were published, then the last two
_PLACES = 0  # offset of the number of heavy requests that may run


class Board:
    """The shared memory of a server's workers."""

    def __init__(self, workers: int, places: int) -> None:
        self.workers = workers
        self.started = time.time()
        """When the server was started (seconds since 1970)."""
        self._memory = mmap.mmap(-1, _PAGE + workers * _SLOT)
        self._locks = os.memfd_create("dvid-heavy-requests", os.MFD_CLOEXEC)
        self._taken: set[int] = set()
        self._lock = threading.Lock()
        self.places = places

    @property
    def places(self) -> int:
        """How many heavy requests may run at the same time, in all workers together."""
        return int(_number.unpack_from(self._memory, _PLACES)[0])

    @places.setter
    def places(self, count: int) -> None:
        _number.pack_into(self._memory, _PLACES, count)

    def take_place(self) -> int | None:
        """A place for a heavy request, or None. It comes back by `leave_place`, or when this process ends."""
        # A lock on one byte of a file that exists in memory only: the kernel lets go of it when the process dies.
        with self._lock:
            for place in range(self.places):
                if place not in self._taken:
                    with suppress(OSError):
                        fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
                        self._taken.add(place)
                        return place
        return None

    def leave_place(self, place: int) -> None:
        """Give a place back."""
        with self._lock:
            self._taken.discard(place)
            fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, place)

    def publish(self, worker: int, document: bytes) -> None:
        """Put a document into a worker's slot; one that is too long for it is left out."""
        if len(document) > _HALF - _number.size:
            return
        slot = _PAGE + worker * _SLOT
        count = int(_number.unpack_from(self._memory, slot)[0]) + 1
        start = slot + _number.size + count % 2 * _HALF  # what is read at this moment is in the other half
        _number.pack_into(self._memory, start, len(document))
        self._memory[start + _number.size : start + _number.size + len(document)] = document
        _number.pack_into(self._memory, slot, count)

    def read(self, worker: int) -> bytes:
        """The document in a worker's slot; empty if there is none."""
        slot = _PAGE + worker * _SLOT
        while True:
            count = int(_number.unpack_from(self._memory, slot)[0])
            start = slot + _number.size + count % 2 * _HALF
            length = int(_number.unpack_from(self._memory, start)[0])
            document = self._memory[start + _number.size : start + _number.size + length]
            if count == _number.unpack_from(self._memory, slot)[0]:
                return document
