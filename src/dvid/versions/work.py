"""Work of an instance that waits to be done in the background, such as lower resolutions of what was written.

A row of WORK is put in the transaction that makes the work necessary, and removed in the one that has done it: a crash
loses none. Its key says what is to be done at which version; its value is a stamp, the id of the mutation that asked
for it last. Who does the work computes its result from a snapshot, and stores it only if the stamp is still the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from dvid.storage.protocol import Snapshot, Transaction
from dvid.versions import layout
from dvid.versions.envelope import seal, unseal
from dvid.versions.records import InstanceRecord


class Task(NamedTuple):
    """Something to be done at a version."""

    version: int
    what: bytes
    stamp: int


def _key(instance: int, version: int, what: bytes = b"") -> bytes:
    return layout.table_prefix(instance, layout.WORK) + layout.pack_u32(version) + what


def ask(transaction: Transaction, instance: InstanceRecord, version: int, whats: list[bytes], stamp: int) -> None:
    """Ask for work at a version; what was asked for before gets the new stamp."""
    for what in whats:
        key = _key(instance.number, version, what)
        transaction.put(key, seal(key, layout.pack_u64(stamp)))
    busy = layout.BUSY + layout.pack_u32(instance.number)
    if whats and transaction.get(busy) is None:
        transaction.put(busy, seal(busy, b""))


def is_asked(snapshot: Snapshot, instance: InstanceRecord, version: int, what: bytes) -> bool:
    """True if something waits to be done at a version."""
    return snapshot.get(_key(instance.number, version, what)) is not None


def finish(transaction: Transaction, instance: InstanceRecord, task: Task) -> bool:
    """Take a task off the list; False, and nothing, if it was asked for anew or is done already."""
    key = _key(instance.number, task.version, task.what)
    stored = transaction.get(key)
    if stored is None or layout.unpack_u64(unseal(key, stored).payload) != task.stamp:
        return False
    return transaction.delete(key)


def forget(transaction: Transaction, instance: InstanceRecord, version: int, what: bytes) -> None:
    """Take something off the list because it need not be done."""
    transaction.delete(_key(instance.number, version, what))


def versions_at_work(snapshot: Snapshot, instance: InstanceRecord) -> Iterator[int]:
    """The versions at which something waits to be done."""
    low = _key(instance.number, 0)
    high = layout.after(layout.table_prefix(instance.number, layout.WORK))
    while (entry := next(iter(snapshot.scan(low, high)), None)) is not None:
        version = layout.unpack_u32(entry.key[5:9])
        yield version
        low = _key(instance.number, version + 1)


def tasks(snapshot: Snapshot, instance: InstanceRecord, most: int) -> list[Task]:
    """The first tasks of an instance, in the order of version and key."""
    prefix = layout.table_prefix(instance.number, layout.WORK)
    found = islice(snapshot.scan(prefix, layout.after(prefix)), most)
    return [
        Task(layout.unpack_u32(key[5:9]), key[9:], layout.unpack_u64(unseal(key, stored).payload))
        for key, stored in found
    ]


def waiting(snapshot: Snapshot, instance: InstanceRecord, most: int) -> int:
    """How many tasks wait, counted up to a number."""
    prefix = layout.table_prefix(instance.number, layout.WORK)
    return sum(1 for _ in islice(snapshot.scan(prefix, layout.after(prefix)), most))


def busy_instances(snapshot: Snapshot) -> list[int]:
    """The numbers of instances that may have something to do."""
    return [layout.unpack_u32(entry.key[-4:]) for entry in snapshot.scan(layout.BUSY, layout.after(layout.BUSY))]


def retire(transaction: Transaction, number: int) -> None:
    """Note that an instance that is no more has nothing to do."""
    transaction.delete(layout.BUSY + layout.pack_u32(number))


def rest(transaction: Transaction, instance: InstanceRecord) -> None:
    """Note that an instance has nothing to do, if that is so."""
    if not waiting(transaction, instance, 1):
        retire(transaction, instance.number)
