"""Reading and writing the data of one instance at one version."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from dvid.errors import LockedNode, MergeConflict, UnknownNode
from dvid.storage.protocol import Buffer, Entry, Snapshot, Transaction
from dvid.versions import layout
from dvid.versions.catalogue import Directory, Node, read_number
from dvid.versions.envelope import Format, Value, seal, unseal
from dvid.versions.lineage import Lineage
from dvid.versions.records import InstanceRecord, now

FIRST_MUTATION = 1_000_000_000
"""Mutation ids of a repo count from here, as in the reference server."""

_json_lines = msgspec.json.Encoder()

_PATIENCE = 8  # versions of one key to step over before seeking past the rest


class View:
    """What one instance holds at one version, as one snapshot shows it. Not shared between threads."""

    def __init__(self, snapshot: Snapshot, directory: Directory, node: Node, instance: InstanceRecord) -> None:
        self.snapshot = snapshot
        self.instance = instance
        self.node = node.record
        self._node = node
        self._directory = directory
        self._lineages = directory.lineages
        if instance.versioned:
            lineage = node.lineage
        else:  # all nodes of the repo share the root's values
            root = directory.repo(snapshot, instance.repo).root_version
            lineage = directory.lineages.of(snapshot, root)
        self._lineage = lineage
        self._version = lineage.version
        self._inverted = layout.inverted(lineage.version)

    def sibling(self, name: str) -> View:
        """Another instance of the same repo at the same node, in the same snapshot.

        Raises:
            UnknownInstance: the repo has none of that name.
        """
        other = self._directory.instance(self.snapshot, self.instance.repo, name)
        return View(self.snapshot, self._directory, self._node, other)

    def at(self, selector: str) -> View:
        """The same instance at another node.

        Raises:
            UnknownNode: nothing in this repo has that name.
        """
        node = self._directory.node(self.snapshot, selector)
        if node.record.repo != self.instance.repo:
            raise UnknownNode(f"{selector!r} is a node of another repo")
        return View(self.snapshot, self._directory, node, self.instance)

    def version(self, version: int) -> View:
        """The same instance at the node with that version number."""
        return View(self.snapshot, self._directory, self._directory.version(self.snapshot, version), self.instance)

    def sees(self, version: int) -> bool:
        """True if `version` is this view's version or an ancestor of it."""
        return self._lineages.sees(self.snapshot, self._lineage, version)

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
        return self._settle(start, self.snapshot.seek(start, layout.VERSION_BYTES))

    def get_many(self, table: bytes, keys: Iterable[bytes]) -> list[Value | None]:
        """The values of several keys, in the order of the keys."""
        prefix, suffix = layout.table_prefix(self.instance.number, table), self._inverted
        starts = [prefix + key + suffix for key in keys]
        settle = self._settle
        return [
            None if entry is None else settle(start, entry)
            for start, entry in zip(starts, self.snapshot.seek_many(starts, layout.VERSION_BYTES), strict=True)
        ]

    def _settle(self, start: bytes, entry: Entry | None) -> Value | None:
        """The value to read at `start`, whose first candidate is `entry`."""
        if entry is None:
            return None
        key, stored = entry
        if self._lineage.merged:
            visible = self._visible(start[:-4])
            return None if visible is None else self._value(*visible)
        while key[-4:] != self._inverted and not self.sees(version := layout.version_of(key)):
            if version == 0:
                return None
            nearest = self.snapshot.seek(key[:-4] + layout.inverted(version - 1), layout.VERSION_BYTES)
            if nearest is None:
                return None
            key, stored = nearest
        return self._value(key, stored)

    def _visible(self, stem: bytes) -> tuple[bytes, memoryview] | None:
        """The one entry at `stem` that no other visible entry descends from."""
        heirs: list[tuple[bytes, memoryview, Lineage]] = []
        for key, stored in self.snapshot.scan(stem + self._inverted, stem + b"\xff" * 4 + b"\0"):
            version = layout.version_of(key)
            if not self.sees(version):
                continue
            if any(self._lineages.sees(self.snapshot, heir, version) for _, _, heir in heirs):
                continue
            heirs.append((bytes(key), stored, self._lineages.of(self.snapshot, version)))
        if len(heirs) > 1:
            versions = ", ".join(str(heir.version) for _, _, heir in heirs)
            raise MergeConflict(
                f"instance {self.instance.name!r}: the merged node inherits different values of one key, from versions "
                f"{versions}: write the key to decide, or merge with /resolve"
            )
        return heirs[0][:2] if heirs else None

    def _value(self, key: bytes, stored: memoryview) -> Value | None:
        value = unseal(key, stored)
        return None if value.format == Format.TOMBSTONE else value

    def scan(self, table: bytes, start: bytes = b"", stop: bytes | None = None) -> Iterator[tuple[bytes, Value]]:
        """The keys with start <= key < stop that have a value at this version, in order, with their values."""
        prefix = layout.table_prefix(self.instance.number, table)
        for key, stored in self._scan(prefix, start, stop):
            value = self._value(key, stored)
            if value is not None:
                yield key[len(prefix) : -4], value

    def keys(self, table: bytes, start: bytes = b"", stop: bytes | None = None) -> Iterator[bytes]:
        """The keys with start <= key < stop that have a value at this version, in order (their checksums unread)."""
        prefix = layout.table_prefix(self.instance.number, table)
        cut = len(prefix)
        for key, stored in self._scan(prefix, start, stop):
            if stored[0] != Format.TOMBSTONE:
                yield key[cut:-4]

    def _scan(self, prefix: bytes, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, memoryview]]:
        low, high = prefix + start, layout.after(prefix) if stop is None else prefix + stop
        sees, merged, version = self.sees, self._lineage.merged, self._version
        while True:
            done, idle = b"", 0
            for entry in self.snapshot.scan(low, high):
                key = bytes(entry[0])
                stem = key[:-4]
                if stem == done or layout.version_of(key) > version:
                    idle += 1
                    if idle > _PATIENCE:  # many versions of this key: seek to the next one that can matter
                        low = stem + (b"\xff" * 4 + b"\0" if stem == done else self._inverted)
                        break
                    continue
                if merged:
                    found = self._visible(stem)
                    done, idle = stem, 0
                    if found is not None:
                        yield found
                elif sees(layout.version_of(key)):
                    done, idle = stem, 0
                    yield key, entry[1]
            else:
                return

    def property(self, name: str) -> Any:
        """A versioned property of the instance, such as its extents, or None."""
        value = self.get(layout.PROPERTIES, name.encode())
        return None if value is None else msgspec.msgpack.decode(value.payload)

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


class Edit(View):
    """Changes to one instance at one version, inside a transaction."""

    snapshot: Transaction

    def __init__(
        self,
        transaction: Transaction,
        directory: Directory,
        node: Node,
        instance: InstanceRecord,
        *,
        user: str = "",
        app: str = "",
        unlocked: bool = False,
    ) -> None:
        super().__init__(transaction, directory, node, instance)
        locked = instance.versioned and node.record.locked
        if locked and not unlocked:
            raise LockedNode(
                f"node {node.record.uuid} is committed: write to a child of it (POST .../newversion or .../branch)"
            )
        self._user, self._app = user, app

    def put(self, table: bytes, key: bytes, payload: Buffer, form: Format = Format.RAW) -> None:
        """Store a payload, already encoded as `form`, at this version."""
        full = self.key(table, key)
        self.snapshot.put(full, seal(full, payload, form))

    def put_sealed(self, full_key: bytes, sealed: Buffer) -> None:
        """Store what `seal` made for `key(...)` of this version (made outside the transaction, to keep it short)."""
        self.snapshot.put(full_key, sealed)

    def delete(self, table: bytes, key: bytes) -> bool:
        """Remove a key at this version; True if it had a value. What ancestors hold stays."""
        full = self.key(table, key)
        try:
            had = self.get(table, key) is not None
        except MergeConflict:
            had = True
        self.snapshot.delete(full)
        if self.snapshot.seek(full, layout.VERSION_BYTES) is not None:  # an older version may show through
            self.snapshot.put(full, seal(full, b"", Format.TOMBSTONE))
        return had

    def set_property(self, name: str, value: Any) -> None:
        """Set a versioned property of the instance. Infos show it, so the repo's stamp changes."""
        self.put(layout.PROPERTIES, name.encode(), msgspec.msgpack.encode(value))
        touch(self.snapshot, self.instance.repo)

    def log(self, action: str, *events: Mapping[str, Any]) -> int:
        """Add events to the mutation log of this version; the mutation id they share, unique in the repo."""
        counter = layout.MUTATION + layout.pack_u32(self.instance.repo)
        last = read_number(self.snapshot, counter)
        mutation = FIRST_MUTATION if last is None else last + 1
        put_number(self.snapshot, counter, mutation)
        common: dict[str, Any] = {"UUID": self.node.uuid, "MutationID": mutation, "Timestamp": now()}
        if self._user:
            common["User"] = self._user
        if self._app:
            common["App"] = self._app
        lines = _json_lines.encode_lines([{"Action": action, **event, **common} for event in events])
        key = self._events_prefix() + layout.pack_u64(mutation)
        self.snapshot.put(key, seal(key, lines))
        return mutation

    def put_blob(self, content: bytes) -> str:
        """Keep content in the instance's blob store; its reference, a hash of the content."""
        reference = blob_reference(content)
        key = layout.table_prefix(self.instance.number, layout.BLOBS) + reference.encode()
        self.snapshot.put(key, seal(key, content))
        return reference


def put_number(transaction: Transaction, key: bytes, number: int) -> None:
    """Store a number under a system key."""
    transaction.put(key, seal(key, layout.pack_u64(number)))


def touch(transaction: Transaction, repo: int) -> None:
    """Give the store and the repo a new stamp: whatever was derived from their metadata is out of date."""
    stamp = _new_stamp()
    transaction.put(layout.STAMP, stamp)
    transaction.put(layout.REPO_STAMP + layout.pack_u32(repo), stamp)


def _new_stamp() -> bytes:
    # Random, not counted up: a count could be given out twice when a group of transactions fails to commit.
    return os.urandom(12)


def blob_reference(content: bytes) -> str:
    """A URL-friendly reference that depends on the content alone (BLAKE2b, 128 bits, hexadecimal)."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def timestamp() -> str:
    """The time as the logs of nodes and repos begin their lines (RFC 3339, seconds)."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
