"""Lower resolutions that an instance gets later: which of their blocks are to be made.

Scales that were kept once are kept for good: who lowers `MaxDownresLevel` hides them, and what is written asks for their
blocks as before, so that none is ever out of date. The blocks of scales that are added are asked for, at every version
that has written something below them, by going through all blocks of the last scale there was. Where these are
many, that takes many transactions: a task (see `dvid.versions.work`) tells how far it has come. It is at the root version and
the first of all tasks; while it waits, nobody can read or send blocks of the added scales.
"""

from __future__ import annotations

import secrets
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dvid.labels.tables import BLOCKS, SCALES, block_key
from dvid.storage.protocol import Snapshot, Transaction
from dvid.versions import layout, work
from dvid.versions.catalogue import put_number, read_number
from dvid.versions.records import InstanceRecord
from dvid.versions.view import View
from dvid.versions.work import Task

_MARK: Final = b"\0"  # no block of scale 0 is ever asked for
_AT_ONCE: Final = 5_000
"""Blocks that one transaction goes through."""

_BLOCK_BYTES: Final = len(block_key(0, (0, 0, 0)))
_ZERO: Final = 2**31

Rows = NDArray[np.int64]
"""Versions and blocks, (n, 4): version, z, y, x."""


class _Growth(NamedTuple):
    """How far it has come."""

    base: int
    """The last scale there was."""
    table: bytes
    """Which is gone through: WORK, whose blocks are to come, and then BLOCKS."""
    cursor: bytes
    """The key to go on with, without instance and table."""

    def packed(self) -> bytes:
        return _MARK + bytes((self.base,)) + self.table + self.cursor


def is_growth(task: Task) -> bool:
    """True if a task is to ask for the blocks of added scales, and not to make one."""
    return task.what[:1] == _MARK


def last_before_growth(snapshot: Snapshot, instance: InstanceRecord) -> int | None:
    """The last scale whose blocks are all there or asked for, as long as those of added ones are not; None if all are."""
    return next((task.what[1] for task in work.tasks(snapshot, instance, 1) if is_growth(task)), None)


def last_kept(view: View) -> int:
    """The number of the lowest resolution that is kept, whether or not it can be asked for."""
    return max(int(view.instance.settings["MaxDownresLevel"]), view.number(SCALES))


def keep_scales(transaction: Transaction, instance: InstanceRecord, root: int, lowest: int) -> None:
    """Prepare for another number of lower resolutions; those there are stay.

    Args:
        transaction: of the store with the instance's data: before or when its record changes.
        instance: its record as it was.
        root: the root version of its repo.
        lowest: the number of the lowest resolution that there is to be.
    """
    noted = read_number(transaction, _number_key(instance)) or 0
    before = max(int(instance.settings["MaxDownresLevel"]), noted)
    if (after := max(before, lowest)) > noted:
        put_number(transaction, _number_key(instance), after)
    if lowest <= before:
        return
    base = before
    for task in work.tasks(transaction, instance, 1):
        if is_growth(task) and work.finish(transaction, instance, task):  # then that begins anew
            base = min(base, task.what[1])
    _proceed(transaction, instance, root, _Growth(base, layout.WORK, b""))


def proceed(transaction: Transaction, instance: InstanceRecord, task: Task) -> bool:
    """Ask for some more blocks of added scales; False, and nothing, if another has done it already."""
    if not work.finish(transaction, instance, task):
        return False
    at = _Growth(task.what[1], task.what[2:3], task.what[3:])
    _proceed(transaction, instance, task.version, at)
    return True


def _proceed(transaction: Transaction, instance: InstanceRecord, root: int, at: _Growth) -> None:
    following: _Growth | None = at
    left = _AT_ONCE
    while following is not None and left > 0:
        at = following
        prefix = layout.table_prefix(instance.number, at.table)
        whole = prefix + bytes((at.base,)) if at.table == BLOCKS else prefix
        keys = _keys(transaction, max(whole, prefix + at.cursor), layout.after(whole), left)
        own = [key[len(prefix) :] for key in keys]
        _ask(
            transaction, instance, at.base, _rows_of_blocks(own) if at.table == BLOCKS else _rows_of_work(own, at.base)
        )
        following = _following(at, own, ended=len(keys) < left)
        left -= len(keys)
    if following is not None:
        work.ask(transaction, instance, root, [following.packed()], _stamp())


def _keys(transaction: Transaction, low: bytes, high: bytes, most: int) -> list[bytes]:
    found: list[bytes] = []
    for keys in transaction.key_batches(low, high):
        found += keys[: most - len(found)]
        if len(found) == most:
            break
    return found


def _following(at: _Growth, keys: list[bytes], *, ended: bool) -> _Growth | None:
    if not ended:
        return at._replace(cursor=keys[-1] + b"\0")
    return None if at.table == BLOCKS else _Growth(at.base, BLOCKS, b"")


def _rows_of_blocks(keys: list[bytes]) -> Rows:
    """Of keys of blocks, with their versions at the end."""
    rows = _numbers([key for key in keys if len(key) == _BLOCK_BYTES + layout.VERSION_BYTES], 1)
    return np.column_stack((layout.NEWEST - rows[:, 3], rows[:, :3] - _ZERO))


def _rows_of_work(keys: list[bytes], scale: int) -> Rows:
    """Of keys of work, which begin with versions: the blocks of a scale."""
    here = [
        key[: layout.VERSION_BYTES] + key[layout.VERSION_BYTES + 1 :]
        for key in keys
        if len(key) == _BLOCK_BYTES + layout.VERSION_BYTES and key[layout.VERSION_BYTES] == scale
    ]
    rows = _numbers(here, 0)
    return np.column_stack((rows[:, 0], rows[:, 1:] - _ZERO))


def _numbers(keys: list[bytes], start: int) -> Rows:
    """The four numbers that begin at a byte of each key."""
    data = b"".join(key[start : start + 16] for key in keys)
    return np.frombuffer(data, ">u4").reshape(-1, 4).astype(np.int64)


def _ask(transaction: Transaction, instance: InstanceRecord, base: int, rows: Rows) -> None:
    """Ask for the blocks of all added scales that depend on some, unless they are there or asked for.

    What was asked for meanwhile keeps its stamp: who is making such a block may have begun before the last write.
    """
    last = read_number(transaction, _number_key(instance)) or 0
    blocks = layout.table_prefix(instance.number, BLOCKS)
    asked: dict[int, list[bytes]] = {}
    for scale in range(base + 1, last + 1):
        rows[:, 1:] >>= 1
        rows = np.unique(rows, axis=0)
        for version, z, y, x in rows.tolist():
            what = block_key(scale, (z, y, x))
            if transaction.get(blocks + what + layout.inverted(version)) is not None:
                continue
            if not work.is_asked(transaction, instance, version, what):
                asked.setdefault(version, []).append(what)
    for version, whats in asked.items():
        work.ask(transaction, instance, version, whats, _stamp())


def _stamp() -> int:
    """A number that no mutation has: those are counted."""
    return secrets.randbits(62) | 1 << 62


def _number_key(instance: InstanceRecord) -> bytes:
    return layout.table_prefix(instance.number, layout.NUMBERS) + SCALES.encode()
