"""The last decoded pieces of files, so that neighbouring boxes do not decode the same slice again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy.typing as npt

MAX_BYTES = 64 << 20


class PieceCache:
    """Keeps the most recently used arrays, of at most `max_bytes` in all. Safe from several threads."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._pieces: OrderedDict[Hashable, npt.NDArray[Any]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable, decode: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """The array of a key, made by `decode` if it is not kept; not to be written to."""
        with self._lock:
            piece = self._pieces.get(key)
            if piece is not None:
                self._pieces.move_to_end(key)
                return piece
        piece = decode()
        if piece.nbytes <= self._max_bytes:
            with self._lock:
                if key not in self._pieces:
                    self._pieces[key] = piece
                    self._bytes += piece.nbytes
                while self._bytes > self._max_bytes:
                    self._bytes -= self._pieces.popitem(last=False)[1].nbytes
        return piece
