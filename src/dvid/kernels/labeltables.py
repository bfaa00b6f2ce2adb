"""Tables of rows by label in memory: open addressing, never more than half full."""

from __future__ import annotations

import threading

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from dvid.kernels.compiling import kernel

_Labels = NDArray[np.uint64]
_Bytes = NDArray[np.uint8]

EMPTY, ABSENT, THERE = 0, 1, 2
"""What is known of a slot's label: there is none; it has no row; it has one."""

_LABELS = types.Array(types.uint64, 1, "C", readonly=True)
_OWN_LABELS = types.Array(types.uint64, 1, "C")
_STATES = types.Array(types.uint8, 1, "C")
_ROWS = types.Array(types.uint8, 2, "C")
_READ_ROWS = types.Array(types.uint8, 2, "C", readonly=True)
_READ_STATES = types.Array(types.uint8, 1, "C", readonly=True)


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _slot(label: np.uint64, labels: _Labels, states: _Bytes, multiplier: np.uint64) -> int:
    """Where a label is, or would be put."""
    mask = len(labels) - 1
    slot = np.int64((label * multiplier) >> np.uint64(32)) & mask
    while states[slot] != EMPTY and labels[slot] != label:
        slot = (slot + 1) & mask
    return int(slot)


# Without nogil: threads share a table, and none must see another in the middle of a change.


@kernel(types.void(_LABELS, _OWN_LABELS, _STATES, _ROWS, types.uint64, _ROWS, _STATES))
def _find(
    asked: _Labels,
    labels: _Labels,
    states: _Bytes,
    rows: _Bytes,
    multiplier: np.uint64,
    found: _Bytes,
    known: _Bytes,
) -> None:
    for i in range(len(asked)):
        slot = _slot(asked[i], labels, states, multiplier)
        known[i] = states[slot]
        if states[slot] == THERE:
            for j in range(rows.shape[1]):
                found[i, j] = rows[slot, j]


@kernel(types.void(_LABELS, _READ_ROWS, _READ_STATES, _OWN_LABELS, _STATES, _ROWS, types.uint64))
def _put(
    given: _Labels,
    given_rows: _Bytes,
    given_states: _Bytes,
    labels: _Labels,
    states: _Bytes,
    rows: _Bytes,
    multiplier: np.uint64,
) -> None:
    for i in range(len(given)):
        slot = _slot(given[i], labels, states, multiplier)
        labels[slot] = given[i]
        states[slot] = given_states[i]
        for j in range(rows.shape[1]):
            rows[slot, j] = given_rows[i, j]


class LabelTable:
    """Rows of one size by label. It forgets everything before it gets more than half full."""

    def __init__(self, row_bytes: int, capacity: int, multiplier: int) -> None:
        """`capacity` is a power of two; `multiplier` an odd number that nobody else knows, so that labels cannot be chosen to collide."""
        self._labels = np.zeros(capacity, np.uint64)
        self._states = np.zeros(capacity, np.uint8)
        self._rows = np.zeros((capacity, row_bytes), np.uint8)
        self._multiplier = multiplier
        self._held = 0
        self._lock = threading.Lock()

    def find(self, asked: _Labels) -> tuple[_Bytes, _Bytes]:
        """What is known of labels.

        Args:
            asked: (n,) uint64.

        Returns:
            Their rows, (n, row_bytes) uint8, zero where none is known; and (n,) uint8: EMPTY where nothing is known,
            ABSENT or THERE.
        """
        found = np.zeros((len(asked), self._rows.shape[1]), np.uint8)
        known = np.empty(len(asked), np.uint8)
        _find(np.ascontiguousarray(asked), self._labels, self._states, self._rows, self._multiplier, found, known)
        return found, known

    def put(self, labels: _Labels, rows: _Bytes, states: _Bytes) -> None:
        """Remember rows of labels: (n,) uint64, (n, row_bytes) and (n,) uint8, ABSENT or THERE."""
        if len(labels) > len(self._labels) // 2:
            return
        given = tuple(map(np.ascontiguousarray, (labels, rows, states)))
        with self._lock:  # two at once would count what they put in wrong, and a full table is searched forever
            if self._held + len(labels) > len(self._labels) // 2:
                self._states[:] = EMPTY
                self._held = 0
            self._held += len(labels)
            _put(*given, self._labels, self._states, self._rows, self._multiplier)
