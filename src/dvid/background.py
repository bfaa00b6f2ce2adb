"""Work that waits in a store, done a little at a time beside requests: lower resolutions, data of deleted instances, old replies.

Each function does a part, in transactions of its own, and says how much; it is called again until nothing is left.
"""

from __future__ import annotations

from functools import partial

from dvid.database import Database
from dvid.datatypes.base import datatype
from dvid.errors import CorruptValue, DvidError, UnknownInstance
from dvid.storage.protocol import Store
from dvid.versions import instances, work
from dvid.versions.catalogue import read_instance
from dvid.versions.retries import has_older, prune


def work_off(database: Database, most: int = 16) -> int:
    """Do some of the work that waits in the background, such as lower resolutions; how many tasks. 0: nothing waits.

    Raises:
        DvidError: nothing was done because that of an instance fails; what waits for others is done before.
    """
    done, failed = 0, None
    for store in database.stores:
        for number in _busy(store):
            try:
                done += _work_off(database, store, number, most)
            except DvidError as error:
                failed = error
    if failed is not None and not done:
        raise failed
    return done


def _busy(store: Store) -> list[int]:
    with store.snapshot() as snapshot:
        return work.busy_instances(snapshot)


def _work_off(database: Database, store: Store, number: int, most: int) -> int:
    with database.read() as (snapshot, directory):
        try:
            instance = read_instance(snapshot, number)
        except UnknownInstance:  # it was deleted
            store.transact(partial(work.retire, number=number))
            return 0
        with store.snapshot() as data:
            some = work.tasks(data, instance, most)
        if not some:
            store.transact(partial(work.rest, instance=instance))
            return 0
        first = some[0].version
        uuid = directory.version(snapshot, first).record.uuid
    some = [task for task in some if task.version == first]
    kind = datatype(instance.typename).work
    if kind is None:
        raise CorruptValue(f"work waits for instance {instance.name!r}, whose type {instance.typename} does none")
    with database.view(uuid, instance.name) as view:
        made = kind.compute(view, some)
    database.edit(uuid, instance.name, lambda edit: kind.store(edit, some, made), unlocked=True)
    return len(some)


def sweep(database: Database) -> int:
    """Remove some of the data of deleted instances; how many entries. 0: nothing is left to remove."""
    removed = database.store.transact(instances.sweep)
    if removed or not database.others:
        return removed
    with database.store.snapshot() as snapshot:
        waiting = next(((number, name) for number, name in instances.doomed(snapshot) if name in database.others), None)
    if waiting is None:
        return 0
    number, name = waiting
    removed = database.others[name].transact(lambda transaction: instances.erase(transaction, number))
    if removed < instances.SWEPT_AT_ONCE:
        database.store.transact(lambda transaction: instances.forget(transaction, number))
        removed += 1
    return removed


def forget_replies(database: Database, before: int) -> int:
    """Remove some of the replies kept for retries, from before a time in milliseconds since 1970; how many. 0: none is left."""
    removed = 0
    for store in database.stores:
        with store.snapshot() as snapshot:
            due = has_older(snapshot, before)
        if due:
            removed += store.transact(partial(prune, before=before))
    return removed
