"""Reading all of a store and saying what is wrong with it: checksums, records, and what refers to what.

It works beside servers that write: data are read a stretch at a time, each in a snapshot of its own, so that the store
can use freed room again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

import msgspec

from dvid.errors import CorruptValue, DvidError
from dvid.storage.protocol import MAX_KEY, Snapshot, Store
from dvid.versions import layout
from dvid.versions.catalogue import stamp_of
from dvid.versions.edit import Edit, blob_reference
from dvid.versions.envelope import Format, Value, expand, unseal
from dvid.versions.inventory import BAD_DATA, Inventory, Problem, read_inventory, read_side_tables
from dvid.versions.records import InstanceRecord, NodeRecord
from dvid.versions.stores import check_metadata

STRETCH_SECONDS = 2.0
_END = b"\xff" * MAX_KEY
_REPORTED = 1024  # entries between two calls of `progress`

ContentCheck = Callable[[InstanceRecord, bytes, bytes, Value], None]
"""Checks one value of an instance, given its table, its type-specific key and the value. Raises what it finds."""

InstanceCheck = Callable[[Snapshot, Snapshot, InstanceRecord, Mapping[int, NodeRecord]], Iterator[Problem]]
"""Checks whether the values of an instance fit together, given the store with the records, the one with its data, its
record, and all nodes by their versions."""

Sources = Callable[[], AbstractContextManager[tuple[Snapshot, Snapshot, InstanceRecord, Mapping[int, NodeRecord]]]]
"""Opens what an `InstanceCheck` is given, as it is by now."""
Editing = Callable[[str, Callable[[Edit], int]], int]
"""Runs an operation at the node of a UUID, committed or not, in a transaction."""


@dataclass(frozen=True, slots=True)
class Mended:
    """What was mended of an instance at a node."""

    node: str
    what: str
    count: int
    """How many rows or entries were changed."""
    failure: str = ""
    """Why others could not be."""


Repair = Callable[[Sources, Editing], Iterator[Mended]]
"""Mends what is wrong with an instance; what it did."""


def check_expands(_: InstanceRecord, __: bytes, ___: bytes, value: Value) -> None:
    """The check of types that store bytes of any kind: they decompress."""
    expand(value)


def verify(
    store: Store,
    check_content: ContentCheck = check_expands,
    progress: Callable[[int], None] | None = None,
    others: Mapping[str, Store] | None = None,
    check_instance: Callable[[InstanceRecord], InstanceCheck | None] | None = None,
) -> Iterator[Problem]:
    """Read everything; what is wrong, as it is found.

    Args:
        store: to read: the one with the records of repos, nodes and instances.
        check_content: checks the values of instances.
        progress: hears how many more entries were read.
        others: the other stores that hold data of instances, by name. Instances in further ones are problems.
        check_instance: gives what checks whether the values of an instance fit together, if its type can tell. Each is
            read in one snapshot.

    Raises:
        StoreUnusable: the records are in another store.
    """
    check_metadata(store)
    others = others or {}
    records = _Records(store)
    with store.snapshot() as snapshot:
        inventory = records.of(snapshot)
    yield from inventory.problems
    yield from inventory.contradictions()
    for number, instance in inventory.instances.items():
        if instance.store and instance.store not in others:
            what = f"its data is in the store {instance.store!r}, which was not read"
            yield Problem(layout.INSTANCE + layout.pack_u32(number), what, instance.name)
    if progress is not None:
        progress(inventory.entries)
    yield from _verify_data(records, "", store, check_content, progress)
    for name, other in others.items():
        with other.snapshot() as snapshot:
            tables = read_side_tables(snapshot)
        yield from tables.problems
        if progress is not None:
            progress(tables.entries)
        yield from _verify_data(records, name, other, check_content, progress)
    for number, instance in inventory.instances.items():
        check = None if check_instance is None else check_instance(instance)
        if check is not None:  # records that change meanwhile are read anew for each of these
            yield from _verify_instance(records, store, others, number, check)


def _verify_instance(
    records: _Records, store: Store, others: Mapping[str, Store], number: int, check: InstanceCheck
) -> Iterator[Problem]:
    with ExitStack() as stack:
        metadata = stack.enter_context(store.snapshot())
        inventory = records.of(metadata)
        instance = inventory.instances.get(number)
        if instance is None or (instance.store and instance.store not in others):  # deleted by now, or told of before
            return
        data = stack.enter_context(others[instance.store].snapshot()) if instance.store else metadata
        try:
            yield from check(metadata, data, instance, inventory.nodes)
        except (DvidError, *BAD_DATA) as error:
            key = layout.INSTANCE + layout.pack_u32(number)
            yield Problem(key, f"it cannot be checked as a whole: {error or type(error).__name__}", instance.name)


class _Records:
    """The records of a store that is changed meanwhile."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: tuple[bytes, Inventory] | None = None

    def of(self, snapshot: Snapshot) -> Inventory:
        """The records that a snapshot shows. An instance that is gone since the last time counts as deleted."""
        stamp = stamp_of(snapshot)
        if self._known is None or self._known[0] != stamp:
            inventory = read_inventory(snapshot)
            if self._known is not None:
                before = self._known[1]
                inventory.doomed |= (before.doomed | before.instances.keys()) - inventory.instances.keys()
            self._known = stamp, inventory
        return self._known[1]

    @contextmanager
    def beside(self, other: Store) -> Iterator[tuple[Snapshot, Inventory]]:
        """A snapshot of another store, or of this one, and the records that go with it."""
        if other is self._store:
            with other.snapshot() as snapshot:
                yield snapshot, self.of(snapshot)
            return
        with self._store.snapshot() as before:  # what is deleted next counts as deleted, not as unknown
            self.of(before)
        with other.snapshot() as snapshot:
            with self._store.snapshot() as after:  # and what was made just before is known
                inventory = self.of(after)
            yield snapshot, inventory


def _verify_data(
    records: _Records,
    name: str,
    store: Store,
    check_content: ContentCheck,
    progress: Callable[[int], None] | None,
) -> Iterator[Problem]:
    position: bytes | None = layout.pack_u32(1)
    while position is not None:
        with records.beside(store) as (snapshot, inventory):
            position = yield from _stretch(snapshot, position, inventory, name, check_content, progress)


def _stretch(
    snapshot: Snapshot,
    position: bytes,
    inventory: Inventory,
    store: str,
    check_content: ContentCheck,
    progress: Callable[[int], None] | None,
) -> Generator[Problem, None, bytes | None]:
    """Check data from a key on for a while; returns where to go on, or None at the end."""
    deadline = time.monotonic() + STRETCH_SECONDS
    count, key = 0, position
    entries = snapshot.scan(position, _END)
    while True:
        try:
            entry = next(entries, None)
        except DvidError as error:
            yield Problem(key, f"the store cannot be read beyond this key: {error}")
            return None
        if entry is None:
            break
        key = bytes(entry.key)
        problem = _check_entry(inventory, store, key, entry.value, check_content)
        if problem is not None:
            yield problem
        count += 1
        if count % _REPORTED == 0 and progress is not None:
            progress(_REPORTED)
        if count % 64 == 0 and time.monotonic() > deadline:
            if progress is not None:
                progress(count % _REPORTED)
            return key + b"\0"
    if progress is not None:
        progress(count % _REPORTED)
    return None


@dataclass(frozen=True, slots=True)
class _Place:
    """What a key of an instance's data says."""

    instance: InstanceRecord
    table: bytes
    own: bytes
    """The type-specific part."""
    version: int | None


def _check_entry(
    inventory: Inventory, store: str, key: bytes, stored: memoryview, check_content: ContentCheck
) -> Problem | None:
    if len(key) < 5:
        return Problem(key, f"a key of {len(key)} bytes is not of any table")
    number = layout.unpack_u32(key[:4])
    if number in inventory.doomed:  # deleted, and not yet swept away
        return None
    instance = inventory.instances.get(number)
    if instance is None:
        return Problem(key, f"data of instance number {number}, which does not exist")
    if instance.store != store:
        return Problem(
            key, f"data of an instance whose store is {instance.store!r}, in the store {store!r}", instance.name
        )
    uuid = ""
    try:
        place = _place(instance, key)
        if place.version is not None:
            node = inventory.nodes.get(place.version)
            if node is None:
                return Problem(key, f"data of version {place.version}, which does not exist", instance.name)
            uuid = node.uuid
            if node.repo != instance.repo:
                return Problem(key, "data of a version of another repo than the instance's", instance.name, uuid)
            repo = inventory.repos.get(instance.repo)
            shared = not instance.versioned and place.table >= layout.PROPERTIES
            if shared and repo is not None and place.version != repo.root_version:
                return Problem(key, "an unversioned instance has data beside those of the root", instance.name, uuid)
        _check_value(place, unseal(key, stored), check_content)
    except (DvidError, *BAD_DATA) as error:
        return Problem(key, str(error) or type(error).__name__, instance.name, uuid)
    return None


def _place(instance: InstanceRecord, key: bytes) -> _Place:
    table, own = key[4:5], key[5:]
    if table == layout.EVENTS:
        if len(own) not in (12, 16):
            raise CorruptValue(f"the key of an event has {len(own)} bytes after its table, not 12 or 16")
        return _Place(instance, table, own[4:], layout.unpack_u32(own[:4]))
    if table == layout.WORK:
        if len(own) <= layout.VERSION_BYTES:
            raise CorruptValue(f"the key of waiting work has {len(own)} bytes after its table: it lacks what to do")
        return _Place(instance, table, own[4:], layout.unpack_u32(own[:4]))
    if table == layout.NUMBERS:
        return _Place(instance, table, own, None)
    if table == layout.BLOBS or (table == layout.TOMBSTONES and not own):
        return _Place(instance, table, own, None)
    if table == layout.PROPERTIES or table >= layout.DATA:
        if len(own) <= layout.VERSION_BYTES:
            raise CorruptValue(
                f"a versioned key has {len(own)} bytes after its table: it lacks its name or its version"
            )
        return _Place(instance, table, own[: -layout.VERSION_BYTES], layout.version_of(own))
    raise CorruptValue(f"there is no table {table.hex()}")


def _check_value(place: _Place, value: Value, check_content: ContentCheck) -> None:
    if place.table == layout.EVENTS:
        for line in bytes(value.payload).splitlines():
            msgspec.json.decode(line)
    elif place.table in (layout.NUMBERS, layout.WORK):
        if place.table == layout.NUMBERS and not place.own.decode():
            raise CorruptValue("a number without a name")
        layout.unpack_u64(value.payload)
    elif place.table == layout.BLOBS:
        if blob_reference(bytes(value.payload)).encode() != place.own:
            raise CorruptValue("a blob is not what its reference says")
    elif value.format == Format.TOMBSTONE or place.table == layout.TOMBSTONES:
        if len(value.payload):
            raise CorruptValue(f"a deletion mark has {len(value.payload)} bytes of data")
    elif place.table == layout.PROPERTIES:
        place.own.decode()
        msgspec.msgpack.decode(expand(value))
    else:
        check_content(place.instance, place.table, place.own, value)
