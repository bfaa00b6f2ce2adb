"""What a process remembers of labels that were read: blocks without gzip and with it, and rows of bodies and mappings.

Nothing here can be out of date. A block is remembered under its key and its checksum, rows under a number of their
table that changes with every change of it and was read in the same snapshot; that number is random, so that no two
states of a table, nor of two copies of a store, share one.
"""

from __future__ import annotations

import os
import secrets
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import numpy as np

from dvid.codecs.labelblocks import Block, deflated_rest
from dvid.kernels.labeltables import ABSENT, EMPTY, THERE, LabelTable
from dvid.labels.rows import Rows, There, rows_of
from dvid.labels.tables import Labels
from dvid.versions.edit import Edit
from dvid.versions.view import View

_MOST_BLOCK_BYTES: Final = 48 << 20
_ENTRY_BYTES: Final = 512  # of a block beside its own: those of one label have no more than 24
_TABLES: Final = 12
_CAPACITY: Final = 1 << 16  # of each table: 32,768 labels at most, 1.7 MB with rows of 17 bytes
_MULTIPLIER: Final = secrets.randbits(64) | 1


class BlockMemory:
    """Blocks that were read last, up to a number of bytes. Safe for use by many threads."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._held: OrderedDict[tuple[bytes, bytes], Block] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, name: tuple[bytes, bytes]) -> Block | None:
        """The block of that key and checksum, if it is remembered."""
        with self._lock:
            block = self._held.get(name)
            if block is not None:
                self._held.move_to_end(name)
        return block

    def put(self, name: tuple[bytes, bytes], block: Block) -> None:
        """Remember a block, and forget those that were not used for longest."""
        with self._lock:
            if name not in self._held:
                self._held[name] = block
                self._bytes += len(block) + _ENTRY_BYTES
            while self._bytes > self._most:
                self._bytes -= len(self._held.popitem(last=False)[1]) + _ENTRY_BYTES


blocks = BlockMemory(_MOST_BLOCK_BYTES)


class RestMemory:
    """Of blocks, what does not change with their labels, compressed; as long as the block itself is held. For many threads."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[weakref.ref[Block], bytes]] = {}

    def of(self, block: Block) -> bytes:
        """What `dvid.codecs.labelblocks.deflated_rest` makes of a block."""
        name = id(block)  # of no other block before this one is forgotten here
        held = self._held.get(name)
        if held is None:
            forget = weakref.ref(block, lambda _: self._held.pop(name, None))
            held = self._held[name] = forget, deflated_rest(block)
        return held[1]

    def __len__(self) -> int:
        return len(self._held)


rests = RestMemory()

_State = tuple[int, int]
_tables: OrderedDict[tuple[str, int, bytes], tuple[_State, LabelTable]] = OrderedDict()
_lock = threading.Lock()


def changed(edit: Edit, number: str) -> None:
    """Tell that a table has changed: its number gets another value."""
    edit.set_number(number, int.from_bytes(os.urandom(8), "big") | 1)


def rows(
    view: View,
    table: bytes,
    number: str,
    labels: Labels,
    size: int,
    *,
    read: Callable[[View, bytes, Labels, int], tuple[Rows, There]] = rows_of,
    beside: str = "",
) -> tuple[Rows, There]:
    """The rows of labels, remembered from one request to the next.

    Args:
        view: the instance.
        table: one whose keys are labels.
        number: the name of the number that `changed` changes with it.
        labels: (n,) uint64, in any order.
        size: bytes of each row.
        read: reads those that are not remembered.
        beside: the name of the number of another table that `read` goes by.

    Returns:
        As `dvid.labels.rows.rows_of`.
    """
    state = view.number(number), view.number(beside) if beside else 0
    if not state[0] or isinstance(view, Edit):  # what a transaction sees may never come to be
        return read(view, table, labels, size)
    remembered = _table(view, table, state, size)
    found, known = remembered.find(labels)
    unknown = np.flatnonzero(known == EMPTY)
    if len(unknown):
        asked = np.unique(labels[unknown])
        new, there = read(view, table, asked, size)
        remembered.put(asked, new, np.where(there, THERE, ABSENT).astype(np.uint8))
        places = np.searchsorted(asked, labels[unknown])
        found[unknown], known[unknown] = new[places], np.where(there[places], THERE, ABSENT)
    return found, known == THERE


def _table(view: View, table: bytes, state: _State, size: int) -> LabelTable:
    name = view.instance.data_uuid, view.node.version, table
    with _lock:
        held = _tables.get(name)
        if held is None or held[0] != state:
            held = _tables[name] = (state, LabelTable(size, _CAPACITY, _MULTIPLIER))
        _tables.move_to_end(name)
        while len(_tables) > _TABLES:
            _tables.popitem(last=False)
    return held[1]
