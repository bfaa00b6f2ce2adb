"""Changing the data of one instance at one version."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

from dvid import errors
from dvid.errors import LockedNode
from dvid.storage.protocol import Buffer, Transaction
from dvid.versions import layout, work
from dvid.versions.catalogue import Directory, Node, put_number, read_number, touch
from dvid.versions.envelope import Format, seal, unseal
from dvid.versions.records import InstanceRecord, now
from dvid.versions.stores import Snapshots
from dvid.versions.view import View

FIRST_MUTATION = 1_000_000_000
"""Mutation ids of a repo count from here, as in the reference server."""

_json_lines = msgspec.json.Encoder()


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
        snapshots: Snapshots | None = None,
        mutation: int | None = None,
    ) -> None:
        """`transaction` is of the store that holds the instance's data; `mutation` is an id to use, instead of the next."""
        super().__init__(transaction, directory, node, instance, snapshots)
        locked = instance.versioned and node.record.locked
        if locked and not unlocked:
            raise LockedNode(
                f"node {node.record.uuid} is committed: write to a child of it (POST .../newversion or .../branch)"
            )
        if locked:
            put_number(transaction, self._epoch_key(), self.epoch() + 1)
        self._user, self._app = user, app
        self._mutation, self._logged = mutation, 0

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
        own = self.snapshot.get(full)
        had = None if own is None else own[0] != Format.TOMBSTONE
        if own is not None:
            self.snapshot.delete(full)
        inherits = bool(self.heirs(table, key))
        if inherits:
            self.bury(table, key)
        return inherits if had is None else had

    def bury(self, table: bytes, key: bytes) -> None:
        """Store that the key has no value at this version, whatever ancestors hold."""
        full = self.key(table, key)
        self.snapshot.put(full, seal(full, b"", Format.TOMBSTONE))
        mark = layout.table_prefix(self.instance.number, layout.TOMBSTONES)
        if self.snapshot.get(mark) is None:
            self.snapshot.put(mark, seal(mark, b""))

    def set_property(self, name: str, value: Any) -> None:
        """Set a versioned property of the instance. Infos show it, so the repo's stamp changes."""
        self.put(layout.PROPERTIES, name.encode(), msgspec.msgpack.encode(value))
        touch(self.snapshot, self.instance.repo)

    def set_number(self, name: str, value: int) -> None:
        """Set a number of the instance that all versions share."""
        put_number(self.snapshot, self._number_key(name), value)

    def ask(self, whats: list[bytes], stamp: int) -> None:
        """Ask for work to be done at this version in the background: see `dvid.versions.work`."""
        work.ask(self.snapshot, self.instance, self._version, whats, stamp)

    def forget(self, what: bytes) -> None:
        """Take work that was asked for at this version off the list: it need not be done."""
        work.forget(self.snapshot, self.instance, self._version, what)

    def log(self, action: str, *events: Mapping[str, Any]) -> int:
        """Add events to the mutation log of this version; the mutation id they share, unique in the repo."""
        mutation = self._mutation
        if mutation is None:
            mutation = next_mutation(self.snapshot, self.instance.repo)
        common: dict[str, Any] = {"UUID": self.node.uuid, "MutationID": mutation, "Timestamp": now()}
        if self._user:
            common["User"] = self._user
        if self._app:
            common["App"] = self._app
        lines = _json_lines.encode_lines([{"Action": action, **event, **common} for event in events])
        key = self._events_prefix() + layout.pack_u64(mutation)
        if self._mutation is not None and self._logged:  # it has this id already
            key += layout.pack_u32(self._logged)
        self._logged += 1
        self.snapshot.put(key, seal(key, lines))
        return mutation

    def put_blob(self, content: bytes) -> str:
        """Keep content in the instance's blob store; its reference, a hash of the content.

        Raises:
            errors.Conflict: another content has the same reference.
        """
        reference = blob_reference(content)
        key = layout.table_prefix(self.instance.number, layout.BLOBS) + reference.encode()
        stored = self.snapshot.get(key)
        if stored is None:
            self.snapshot.put(key, seal(key, content))
        elif unseal(key, stored).payload != content:
            raise errors.Conflict(f"the blob store has another content under the reference {reference}, which it keeps")
        return reference


def next_mutation(transaction: Transaction, repo: int) -> int:
    """A mutation id that the repo has not used, and never will again. The transaction is of the metadata store."""
    counter = layout.MUTATION + layout.pack_u32(repo)
    last = read_number(transaction, counter)
    mutation = FIRST_MUTATION if last is None else last + 1
    put_number(transaction, counter, mutation)
    return mutation


def blob_reference(content: bytes) -> str:
    """A URL-friendly reference that depends on the content alone: FNV-1 of 128 bits in base64, as in the reference server.

    Contents that have the same reference can be made on purpose: who stores by it must compare.
    """
    from dvid.kernels.checksums import fnv128  # not above: few programs need it, and loading kernels takes a moment

    return base64.urlsafe_b64encode(fnv128(content)).decode()
