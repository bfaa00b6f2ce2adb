"""Reading the rows of many labels from tables whose rows have one size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dvid.errors import CorruptValue
from dvid.labels.tables import Labels, label_keys, label_range, labels_of
from dvid.versions.view import View

Rows = NDArray[np.uint8]
There = NDArray[np.bool_]

_MANY = 200  # labels from which on it is tried to read all that lies between them, too
_TRIED = 100
_WORTH = 2  # rows that are read one after another while one is sought


def rows_of(view: View, table: bytes, labels: Labels, size: int) -> tuple[Rows, There]:
    """The rows of labels.

    Args:
        view: the instance.
        table: one whose keys are labels.
        labels: (n,) uint64, in any order.
        size: bytes of each of its rows.

    Returns:
        The rows, (n, size) uint8, zero where there is none; and (n,) where there is one.

    Raises:
        CorruptValue: a row has another size.
    """
    if len(labels) < _MANY or view.node.merged:  # where histories were merged, a row between them may be in conflict
        return _sought(view, table, labels, size)
    asked, places = np.unique(labels, return_inverse=True)
    rows, there = _passed(view, table, asked, size)
    return rows[places], there[places]


def _sought(view: View, table: bytes, labels: Labels, size: int) -> tuple[Rows, There]:
    batches = view.get_batches(table, label_keys(labels), small=True)
    payloads = [payload for batch in batches for payload in batch.payloads]
    there = np.fromiter(map(bool, payloads), bool, len(payloads))
    rows = np.zeros((len(labels), size), np.uint8)
    rows[there] = _joined(table, [payload for payload in payloads if payload], size)
    return rows, there


def _passed(view: View, table: bytes, labels: Labels, size: int) -> tuple[Rows, There]:
    """The rows of different labels in order: the table is read from the first on, as long as enough of it is asked for."""
    rows, there = np.zeros((len(labels), size), np.uint8), np.zeros(len(labels), bool)
    first, last = int(labels[0]), int(labels[-1])
    place = passed = 0
    for batch in view.batches(table, *label_range(first, last)):
        held = labels_of(batch.keys)
        at = np.searchsorted(labels, held)
        hit = labels[at] == held
        rows[at[hit]] = _joined(table, batch.payloads, size)[hit]
        there[at[hit]] = True
        place = int(at[-1] + hit[-1])
        passed += len(held)
        if passed > _TRIED and place * _WORTH < passed:
            rows[place:], there[place:] = _sought(view, table, labels[place:], size)
            break
    return rows, there


def _joined(table: bytes, payloads: list[bytes], size: int) -> Rows:
    data = b"".join(payloads)
    if len(data) != size * len(payloads):
        raise CorruptValue(f"a row of table {table.hex()} has another length than {size} bytes")
    return np.frombuffer(data, np.uint8).reshape(-1, size)
