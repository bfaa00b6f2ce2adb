"""The data instances of a repo: functions over a transaction that make, change and remove them."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from dvid.errors import BadRequest, LockedNode, UnknownInstance
from dvid.storage.protocol import Snapshot, Transaction
from dvid.versions import layout
from dvid.versions.catalogue import name_key, put_number, read_instance, read_number, touch
from dvid.versions.envelope import seal, unseal
from dvid.versions.metadata import next_number, put_record
from dvid.versions.records import InstanceRecord, NodeRecord
from dvid.versions.stores import Choice

SWEPT_AT_ONCE = 5_000
"""Entries of deleted instances that one transaction removes."""


def create_instance(
    transaction: Transaction,
    node: NodeRecord,
    *,
    name: str,
    typename: str,
    settings: Mapping[str, Any],
    compression: str = "lz4",
    versioned: bool = True,
    tags: Mapping[str, str] | None = None,
    choose: Choice | None = None,
) -> InstanceRecord:
    """Make a data instance, on an open node of a repo. It can then be used at every node of the repo.

    `choose` names the store that holds its data, for good; without it, it is the metadata store.

    Raises:
        LockedNode: the node is committed.
        BadRequest: the repo has an instance of that name, or the name cannot be one.
    """
    key = name_key(node.repo, name)
    if node.locked:
        raise LockedNode(f"node {node.uuid} is committed: make data instances on an open node")
    if transaction.get(key) is not None:
        raise BadRequest(f"the repo has a data instance named {name!r} already")
    data_uuid = uuids.uuid4().hex
    store = ""
    if choose is not None:
        store = choose(name=name, typename=typename, root_uuid=node.uuid, data_uuid=data_uuid, tags=tags)
    record = InstanceRecord(
        number=next_number(transaction, "instance"),
        name=name,
        typename=typename,
        data_uuid=data_uuid,
        repo=node.repo,
        created_version=node.version,
        created_uuid=node.uuid,
        compression=compression,
        versioned=versioned,
        tags=None if tags is None else dict(tags),
        settings=dict(settings),
        store=store,
    )
    put_record(transaction, layout.INSTANCE + layout.pack_u32(record.number), record)
    put_number(transaction, key, record.number)
    touch(transaction, node.repo)
    return record


def list_instances(snapshot: Snapshot, repo: int) -> list[InstanceRecord]:
    """The instances of a repo, by name."""
    prefix = layout.NAME + layout.pack_u32(repo)
    numbers = [
        int.from_bytes(unseal(bytes(key), value).payload, "big")
        for key, value in snapshot.scan(prefix, layout.after(prefix))
    ]
    return [read_instance(snapshot, number) for number in numbers]


def change_instance(transaction: Transaction, instance: InstanceRecord, **changes: Any) -> InstanceRecord:
    """Replace fields of an instance's record (tags, syncs, settings)."""
    changed: InstanceRecord = msgspec.structs.replace(instance, **changes)
    put_record(transaction, layout.INSTANCE + layout.pack_u32(instance.number), changed)
    touch(transaction, instance.repo)
    return changed


def rename_instance(transaction: Transaction, instance: InstanceRecord, name: str) -> InstanceRecord:
    """Give an instance another name; instances synced with it follow.

    Raises:
        BadRequest: the name is in use or cannot be one.
    """
    key = name_key(instance.repo, name)
    if transaction.get(key) is not None:
        raise BadRequest(f"the repo has a data instance named {name!r} already")
    transaction.delete(name_key(instance.repo, instance.name))
    put_number(transaction, key, instance.number)
    renamed = change_instance(transaction, instance, name=name)
    for other in list_instances(transaction, instance.repo):
        if instance.name in other.syncs:
            syncs = tuple(name if sync == instance.name else sync for sync in other.syncs)
            change_instance(transaction, other, syncs=syncs)
    return renamed


def sync_instance(transaction: Transaction, instance: InstanceRecord, names: Sequence[str], *, replace: bool) -> None:
    """Name the instances that this one is kept in step with.

    Raises:
        UnknownInstance: the repo has no instance of such a name.
    """
    for name in names:
        if read_number(transaction, name_key(instance.repo, name)) is None:
            raise UnknownInstance(f"the repo has no data instance named {name!r} to sync with")
    before = () if replace else instance.syncs
    change_instance(transaction, instance, syncs=tuple(dict.fromkeys((*before, *names))))


def delete_instance(transaction: Transaction, instance: InstanceRecord) -> None:
    """Remove an instance: it is gone at once, its data when `sweep` comes by."""
    transaction.delete(name_key(instance.repo, instance.name))
    transaction.delete(layout.INSTANCE + layout.pack_u32(instance.number))
    mark = layout.DOOMED + layout.pack_u32(instance.number)
    transaction.put(mark, seal(mark, instance.store.encode()) if instance.store else b"")
    for other in list_instances(transaction, instance.repo):
        if instance.name in other.syncs:
            change_instance(transaction, other, syncs=tuple(sync for sync in other.syncs if sync != instance.name))
    touch(transaction, instance.repo)


def doomed(snapshot: Snapshot) -> Iterator[tuple[int, str]]:
    """The deleted instances whose data is still there: their numbers, and the stores that hold it."""
    for key, stored in snapshot.scan(layout.DOOMED, layout.after(layout.DOOMED)):
        yield layout.unpack_u32(key[-4:]), doomed_store(key, stored)


def doomed_store(key: bytes, stored: memoryview) -> str:
    """What an entry of the deleted instances says of the store."""
    return bytes(unseal(key, stored).payload).decode() if len(stored) else ""


def sweep(transaction: Transaction, limit: int = SWEPT_AT_ONCE) -> int:
    """Remove data of instances deleted from this store, at most `limit` entries; how many. 0: there is no more."""
    instance = next((number for number, store in doomed(transaction) if not store), None)
    if instance is None:
        return 0
    removed = erase(transaction, instance, limit)
    if removed < limit:
        forget(transaction, instance)
        removed += 1
    return removed


def erase(transaction: Transaction, instance: int, limit: int = SWEPT_AT_ONCE) -> int:
    """Remove data of an instance, at most `limit` entries; how many: fewer than `limit` if that was all."""
    prefix = layout.pack_u32(instance)
    transaction.delete(layout.EPOCH + prefix)
    return transaction.delete_range(prefix, layout.after(prefix), limit)


def forget(transaction: Transaction, instance: int) -> None:
    """Note that all data of a deleted instance is gone."""
    transaction.delete(layout.DOOMED + layout.pack_u32(instance))
