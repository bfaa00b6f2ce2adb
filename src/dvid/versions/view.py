"""Reading the data of one instance at one version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import msgspec

from dvid.errors import UnknownNode
from dvid.storage.protocol import Entry, Snapshot
from dvid.versions import layout
from dvid.versions.catalogue import Directory, Node, read_number
from dvid.versions.envelope import HEADER_BYTES, Batch, Format, Value, unseal, unseal_many
from dvid.versions.inheritance import Inheritance
from dvid.versions.instances import list_instances
from dvid.versions.records import InstanceRecord
from dvid.versions.sieve import Sieve
from dvid.versions.stores import Snapshots, absent

_AT_ONCE = 1000


class Conflict(NamedTuple):
    """A key of which a merged version inherits several values."""

    table: bytes
    key: bytes
    versions: list[int]
    """The versions that hold the values; none is in the past of another."""
    values: list[Value]
    """Their values, tombstones among them."""


class View(Inheritance):
    """What one instance holds at one version, as one snapshot shows it. Not shared between threads."""

    def __init__(
        self,
        snapshot: Snapshot,
        directory: Directory,
        node: Node,
        instance: InstanceRecord,
        snapshots: Snapshots | None = None,
    ) -> None:
        """`snapshot` is of the store that holds the instance's data; `snapshots` are those of all, if there are several."""
        metadata = snapshot if snapshots is None else snapshots.metadata
        if instance.versioned:
            lineage = node.lineage
        else:  # all nodes of the repo share the root's values
            root = directory.repo(metadata, instance.repo).root_version
            lineage = directory.lineages.of(metadata, root)
        super().__init__(snapshot, metadata, directory, lineage, instance.name)
        self._snapshots = snapshots
        self.instance = instance
        self.node = node.record
        self._node = node

    def sibling(self, name: str) -> View:
        """Another instance of the same repo at the same node, in the same snapshot where it is in the same store.

        Raises:
            UnknownInstance: the repo has none of that name.
            StoreAbsent: its data is in a store that is not open.
        """
        other = self._directory.instance(self._metadata, self.instance.repo, name)
        if other.store == self.instance.store:
            snapshot = self.snapshot
        elif self._snapshots is not None:
            snapshot = self._snapshots.of(other)
        else:
            raise absent(other)
        return View(snapshot, self._directory, self._node, other, self._snapshots)

    def siblings(self) -> list[InstanceRecord]:
        """All instances of the repo, by name; this one, too."""
        return list_instances(self._metadata, self.instance.repo)

    def at(self, selector: str) -> View:
        """The same instance at another node.

        Raises:
            UnknownNode: nothing in this repo has that name.
        """
        node = self._directory.node(self._metadata, selector)
        if node.record.repo != self.instance.repo:
            raise UnknownNode(f"{selector!r} is a node of another repo")
        return View(self.snapshot, self._directory, node, self.instance, self._snapshots)

    def version(self, version: int) -> View:
        """The same instance at the node with that version number."""
        node = self._directory.version(self._metadata, version)
        return View(self.snapshot, self._directory, node, self.instance, self._snapshots)

    def key(self, table: bytes, key: bytes) -> bytes:
        """The stored key of `key` at this version."""
        return layout.pack_u32(self.instance.number) + table + key + self._inverted

    # ---- reading ----------------------------------------------------------------------------

    def get(self, table: bytes, key: bytes) -> Value | None:
        """The value of a key at this version, or None.

        Raises:
            CorruptValue: the stored value fails its checksum.
            MergeConflict: the version inherits several values.
        """
        start = self.key(table, key)
        entry = self.snapshot.seek(start, layout.VERSION_BYTES)
        return None if entry is None else self._settle(entry)

    def get_many(self, table: bytes, keys: Iterable[bytes]) -> list[Value | None]:
        """The values of several keys, in the order of the keys."""
        prefix, suffix = layout.table_prefix(self.instance.number, table), self._inverted
        starts = [prefix + key + suffix for key in keys]
        settle = self._settle
        return [
            None if entry is None else settle(entry) for entry in self.snapshot.seek_many(starts, layout.VERSION_BYTES)
        ]

    def get_batches(self, table: bytes, keys: Sequence[bytes], *, small: bool = False) -> Iterator[Batch]:
        """The values of several keys, in the order of the keys, copied out of the store: fast for small values.

        A key without a value has the format TOMBSTONE and an empty payload.

        Args:
            table: in which.
            keys: as they are stored, without the version.
            small: the values are known to be: what was written at this very version is read faster then.
        """
        prefix, suffix = layout.table_prefix(self.instance.number, table), self._inverted
        starts = [prefix + key + suffix for key in keys]
        done = 0
        while done < len(starts):
            full = starts[done : done + _AT_ONCE]
            exact = self.snapshot.get_small(full) if small else {}
            if len(exact) == len(full):
                values = list(exact.values())
                payloads = [value[HEADER_BYTES:] for value in values]
                yield Batch(list(keys[done : done + len(full)]), unseal_many(full, values), payloads)
                done += len(full)
                continue
            entries = self._with_older(full, exact) if exact else self.snapshot.seek_batch(full, layout.VERSION_BYTES)
            small = 2 * len(exact) > len(full)
            found: list[bytes] = []
            values = []
            there: list[int] = []
            for at, entry in enumerate(entries):
                if entry is None:
                    continue
                key, value = entry
                if key != full[at]:
                    visible = self._visible(Entry(key, memoryview(value)))
                    if visible is None:
                        continue
                    key, value = visible[0], bytes(visible[1])
                found.append(key)
                values.append(value)
                there.append(at)
            count = len(entries)
            formats = unseal_many(found, values)
            payloads = [value[HEADER_BYTES:] for value in values]
            if len(there) < count:
                all_formats, all_payloads = [int(Format.TOMBSTONE)] * count, [b""] * count
                for at, form, payload in zip(there, formats, payloads, strict=True):
                    all_formats[at], all_payloads[at] = form, payload
                formats, payloads = all_formats, all_payloads
            yield Batch(list(keys[done : done + count]), formats, payloads)
            done += count

    def _with_older(self, starts: list[bytes], exact: dict[bytes, bytes]) -> list[tuple[bytes, bytes] | None]:
        """What `seek_batch` finds, all of it, where some of it is known."""
        rest = [start for start in starts if start not in exact]
        older: list[tuple[bytes, bytes] | None] = []
        while len(older) < len(rest):
            older += self.snapshot.seek_batch(rest[len(older) :], layout.VERSION_BYTES)
        others = iter(older)
        return [(start, exact[start]) if start in exact else next(others) for start in starts]

    def stored(self, table: bytes, keys: Iterable[bytes]) -> tuple[list[bytes], list[memoryview | None]]:
        """What is stored for several keys, still wrapped and unchecked, with the full key of each (see `envelope`).

        For kernels that check and copy many values in one call. Absent values are None.
        """
        prefix, suffix = layout.table_prefix(self.instance.number, table), self._inverted
        full = [prefix + key + suffix for key in keys]
        values: list[memoryview | None] = []
        for at, entry in enumerate(self.snapshot.seek_many(full, layout.VERSION_BYTES)):
            if entry is None:
                values.append(None)
            elif entry[0] == full[at]:
                values.append(entry[1])
            elif (found := self._visible(entry)) is None:
                values.append(None)
            else:
                full[at], stored = found
                values.append(stored)
        return full, values

    def heirs(self, table: bytes, key: bytes) -> list[Value]:
        """The values of a key that this version inherits: several where merged histories hold different ones."""
        entry = self.snapshot.seek(self.key(table, key), layout.VERSION_BYTES)
        found = None if entry is None else self._nearest(*entry)
        values = [] if found is None else [unseal(*heir) for heir in self._with_rivals(*found)]
        return [value for value in values if value.format != Format.TOMBSTONE]

    def rivals(self, table: bytes, key: bytes) -> list[int]:
        """The versions whose values of a key are in conflict at this one; empty where it has one value, or none."""
        entry = self.snapshot.seek(self.key(table, key), layout.VERSION_BYTES)
        found = None if entry is None else self._nearest(*entry)
        heirs = [] if found is None else self._with_rivals(*found)
        if len(heirs) < 2 or all(stored[0] == Format.TOMBSTONE for _, stored in heirs):
            return []
        return [layout.version_of(heir) for heir, _ in heirs]

    def _settle(self, entry: Entry) -> Value | None:
        """The value to read where `entry` is the newest that may be visible."""
        found = self._visible(entry)
        if found is None:
            return None
        value = unseal(*found)
        return None if value.format == Format.TOMBSTONE else value

    def scan(self, table: bytes, start: bytes = b"", stop: bytes | None = None) -> Iterator[tuple[bytes, Value]]:
        """The keys with start <= key < stop that have a value at this version, in order, with their values.

        Raises:
            CorruptValue: a stored value fails its checksum.
            MergeConflict: the version inherits several values of a key.
        """
        low, high, cut = self._bounds(table, start, stop)
        merged = self._lineage.merged
        for key, stored in self._newest(low, high):
            if merged:
                key, stored = self._only(self._with_rivals(key, stored))
            value = unseal(key, stored)
            if value.format != Format.TOMBSTONE:
                yield key[cut:-4], value

    def batches(self, table: bytes, start: bytes = b"", stop: bytes | None = None) -> Iterator[Batch]:
        """What `scan` gives, many at a time and copied out of the store: several times faster for small values."""
        low, high, cut = self._bounds(table, start, stop)
        sieve = Sieve(self.sees)
        for keys, values in self.snapshot.batches(low, high):
            chosen = sieve.newest(keys)
            if chosen is not None:
                last, many = keys[-1], len(keys)
                keys, values = [keys[i] for i in chosen], [values[i] for i in chosen]
            if self._lineage.merged:
                for i, key in enumerate(keys):
                    if self._unseen_by(layout.version_of(key)) is not None:
                        keys[i], stored = self._only(self._with_rivals(key, memoryview(values[i])))
                        values[i] = bytes(stored)
            formats = unseal_many(keys, values)
            if Format.TOMBSTONE in formats:
                kept = [i for i, form in enumerate(formats) if form != Format.TOMBSTONE]
                keys, values = [keys[i] for i in kept], [values[i] for i in kept]
                formats = [formats[i] for i in kept]
            if keys:
                yield Batch([key[cut:-4] for key in keys], formats, [value[HEADER_BYTES:] for value in values])
            if chosen is not None and sieve.is_sparse(len(chosen), many):
                rest = self.scan(table, sieve.behind(last)[cut:], stop)
                while entries := list(islice(rest, 100)):
                    yield Batch(
                        [key for key, _ in entries],
                        [value.format for _, value in entries],
                        [bytes(value.payload) for _, value in entries],
                    )
                return

    def keys(self, table: bytes, start: bytes = b"", stop: bytes | None = None) -> Iterator[bytes]:
        """The keys with start <= key < stop that have a value at this version, in order; `scan` without the values.

        Checksums are not looked at, and keys whose values are in conflict belong to them.
        """
        return chain.from_iterable(self.key_batches(table, start, stop))

    def key_batches(self, table: bytes, start: bytes = b"", stop: bytes | None = None) -> Iterator[list[bytes]]:
        """What `keys` gives, many at a time."""
        low, high, cut = self._bounds(table, start, stop)
        if self.snapshot.get(layout.table_prefix(self.instance.number, layout.TOMBSTONES)) is None:
            sieve = Sieve(self.sees)
            for keys in self.snapshot.key_batches(low, high):
                chosen = sieve.newest(keys)
                if chosen is None:
                    yield [key[cut:-4] for key in keys]
                    continue
                yield [keys[i][cut:-4] for i in chosen]
                if sieve.is_sparse(len(chosen), len(keys)):
                    low = sieve.behind(keys[-1])
                    break
            else:
                return
        living = (key[cut:-4] for key, stored in self._newest(low, high) if self._lives(key, stored))
        while keys := list(islice(living, 1000)):
            yield keys

    def _bounds(self, table: bytes, start: bytes, stop: bytes | None) -> tuple[bytes, bytes, int]:
        prefix = layout.table_prefix(self.instance.number, table)
        return prefix + start, layout.after(prefix) if stop is None else prefix + stop, len(prefix)

    def conflicts(self) -> Iterator[Conflict]:
        """The keys of which this version inherits several values, in all versioned tables of the instance."""
        instance = layout.pack_u32(self.instance.number)
        for low, high in (
            (instance + layout.PROPERTIES, layout.after(instance + layout.PROPERTIES)),
            (instance + layout.DATA, layout.after(instance)),
        ):
            for key, stored in self._newest(low, high):
                heirs = self._with_rivals(key, stored)
                if len(heirs) > 1:
                    versions = [layout.version_of(heir) for heir, _ in heirs]
                    yield Conflict(key[4:5], key[5:-4], versions, [unseal(*heir) for heir in heirs])

    def property(self, name: str) -> Any:
        """A versioned property of the instance, such as its extents, or None.

        Raises:
            MergeConflict: the version inherits several values.
        """
        value = self.get(layout.PROPERTIES, name.encode())
        return None if value is None else msgspec.msgpack.decode(value.payload)

    def properties(self, name: str) -> list[Any]:
        """All values of a property that this version inherits: several where merged histories hold different ones."""
        return [msgspec.msgpack.decode(value.payload) for value in self.heirs(layout.PROPERTIES, name.encode())]

    def epoch(self) -> int:
        """How often the instance was changed at a committed node, which only admins can do."""
        return read_number(self.snapshot, self._epoch_key()) or 0

    def _epoch_key(self) -> bytes:
        return layout.EPOCH + layout.pack_u32(self.instance.number)

    def number(self, name: str) -> int:
        """A number of the instance that all versions share; 0 until it is set."""
        return read_number(self.snapshot, self._number_key(name)) or 0

    def _number_key(self, name: str) -> bytes:
        return layout.table_prefix(self.instance.number, layout.NUMBERS) + name.encode()

    def written_at(self, table: bytes, key: bytes) -> int | None:
        """The version whose value of a key is read at this one, or None where it has no value."""
        start = self.key(table, key)
        entry = self.snapshot.seek(start, layout.VERSION_BYTES)
        found = None if entry is None else self._visible(entry)
        return None if found is None or found[1][0] == Format.TOMBSTONE else layout.version_of(found[0])

    def events_of(self, version: int, mutation: int) -> list[dict[str, Any]]:
        """The events that a version has of a mutation; none where it is of another version."""
        prefix = layout.table_prefix(self.instance.number, layout.EVENTS) + layout.pack_u32(version)
        prefix += layout.pack_u64(mutation)
        return [
            msgspec.json.decode(line)
            for key, stored in self.snapshot.scan(prefix, layout.after(prefix))
            for line in bytes(unseal(bytes(key), stored).payload).splitlines()
        ]

    def events(self) -> Iterator[bytes]:
        """The events of this very version, oldest first, each as one JSON object."""
        prefix = self._events_prefix()
        for key, stored in self.snapshot.scan(prefix, layout.after(prefix)):
            yield from bytes(unseal(bytes(key), stored).payload).splitlines()

    def _events_prefix(self) -> bytes:
        return layout.table_prefix(self.instance.number, layout.EVENTS) + layout.pack_u32(self.node.version)

    def blob(self, reference: str) -> bytes | None:
        """The content kept under a reference of the instance's blob store, or None."""
        key = layout.table_prefix(self.instance.number, layout.BLOBS) + reference.encode()
        stored = self.snapshot.get(key)
        return None if stored is None else bytes(unseal(key, stored).payload)
