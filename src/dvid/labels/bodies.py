"""Bodies: which there are, how large they are, and of which supervoxels they are made."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dvid.errors import CorruptValue, NotFound
from dvid.labels import memory
from dvid.labels.tables import BODIES, BODY, BODY_ROWS, MEMBERS, Labels, label_key, label_keys, label_range, labels_of
from dvid.versions import layout
from dvid.versions.edit import Edit
from dvid.versions.view import View

Bodies = NDArray[np.void]
"""Rows of BODIES, of dtype `BODY`; all zero where there is no such body."""

_WRONG_LENGTH = f"a row of the table of bodies has another length than {BODY.itemsize} bytes"
_row = struct.Struct("<QQ?")


class Body(NamedTuple):
    """A row of BODIES."""

    voxels: int
    mutation: int
    """The last that changed it."""
    own: bool
    """Whether it holds the supervoxel of its number."""


def _rows(payloads: list[bytes]) -> Bodies:
    absent = bytes(BODY.itemsize)
    data = b"".join(payload or absent for payload in payloads)
    if len(data) != BODY.itemsize * len(payloads):
        raise CorruptValue(_WRONG_LENGTH)
    return np.frombuffer(data, BODY).copy()


def bodies(view: View, labels: Labels) -> Bodies:
    """The rows of some bodies."""
    rows, _ = memory.rows(view, BODIES, BODY_ROWS, labels, BODY.itemsize)
    found: Bodies = rows.view(BODY)[:, 0]
    return found


def body(view: View, label: int) -> Body | None:
    """A body, or None where there is none of that label."""
    value = view.get(BODIES, label_key(label))
    if value is None:
        return None
    if len(value.payload) != BODY.itemsize:
        raise CorruptValue(_WRONG_LENGTH)
    return Body._make(_row.unpack(value.payload))


def existing(view: View, label: int) -> Body:
    """A body.

    Raises:
        NotFound: there is none of that label.
    """
    found = body(view, label)
    if found is None:
        raise NotFound(f"there is no body {label} at this version")
    return found


def all_bodies(view: View, first: int = 0, last: int = 2**64 - 1) -> Iterator[tuple[Labels, Bodies]]:
    """The bodies from one label to another, both included, in order: labels and rows, many at a time."""
    for batch in view.batches(BODIES, *label_range(first, last)):
        yield labels_of(batch.keys), _rows(batch.payloads)


def members(view: View, label: int, own: bool | None = None) -> Labels:
    """The supervoxels of a body, in order.

    Args:
        view: the instance.
        label: the body.
        own: whether its own supervoxel is one of them, if the caller knows.
    """
    if own is None:
        found = body(view, label)
        own = found is not None and found.own
    alone = np.array([label], np.uint64)
    if not _may_have_members(view, [label_key(label)])[0]:
        return alone if own else alone[:0]
    others = [labels_of(keys, 8) for keys in view.key_batches(MEMBERS, *label_range(label))]
    if own:
        others.append(alone)
    return np.sort(np.concatenate(others)) if others else np.empty(0, np.uint64)


def members_of(view: View, labels: Labels, rows: Bodies) -> tuple[Labels, NDArray[np.intp]]:
    """The supervoxels of many bodies, with their rows: (n,) uint64, and (n,) which of the bodies each belongs to."""
    own = np.flatnonzero(rows["own"] != 0)
    lists, places = [labels[own]], [own]
    for at in np.flatnonzero(may_have_members(view, labels)).tolist():
        others = members(view, int(labels[at]), own=False)
        lists.append(others)
        places.append(np.full(len(others), at, np.intp))
    return np.concatenate(lists), np.concatenate(places)


def may_have_members(view: View, labels: Labels) -> NDArray[np.bool_]:
    """False for bodies that have no supervoxels but their own, and never had: the search for others can be saved."""
    return np.array(_may_have_members(view, label_keys(labels)), bool)


def _may_have_members(view: View, keys: list[bytes]) -> list[bool]:
    prefix, tail = layout.table_prefix(view.instance.number, MEMBERS), 8 + layout.VERSION_BYTES
    rest = bytes(tail)
    return [entry is not None for entry in view.snapshot.seek_many([prefix + key + rest for key in keys], tail)]


def put_body(edit: Edit, label: int, voxels: int, mutation: int, *, own: bool) -> None:
    """Write the row of a body."""
    edit.put(BODIES, label_key(label), np.array((voxels, mutation, own), BODY).tobytes())
    memory.changed(edit, BODY_ROWS)


def put_bodies(edit: Edit, labels: Labels, rows: Bodies) -> None:
    """Write the rows of bodies; those without voxels cease to be."""
    data, size = rows.tobytes(), BODY.itemsize
    for at, (key, voxels) in enumerate(zip(label_keys(labels), rows["voxels"].tolist(), strict=True)):
        if voxels:
            edit.put(BODIES, key, data[at * size : (at + 1) * size])
        else:
            edit.delete(BODIES, key)
    memory.changed(edit, BODY_ROWS)
