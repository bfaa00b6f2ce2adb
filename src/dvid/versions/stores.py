"""Several stores under one database: repos, nodes and instances in one, the data of some instances in others.

The first is called the metadata store here; it holds the data of all other instances, too. Each of the others belongs to
one metadata store, under one name, and says so itself.

Whoever writes to another store may read the metadata store meanwhile, and not write to it; whoever keeps writers out of
other stores in order to write to the metadata store takes them in the order of their names, and the metadata store last.
So nobody waits in a circle.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Protocol

from dvid.errors import StoreAbsent, StoreUnusable
from dvid.storage.protocol import MAX_KEY, Snapshot, Store, Transaction
from dvid.versions import layout
from dvid.versions.catalogue import read_number
from dvid.versions.envelope import seal, unseal
from dvid.versions.records import InstanceRecord

_IDENTITY_BYTES = 16


class Choice(Protocol):
    """Names the store of a new instance; "" is the metadata store."""

    def __call__(
        self, *, name: str, typename: str, root_uuid: str, data_uuid: str, tags: Mapping[str, str] | None
    ) -> str:
        """The name of the store."""
        ...


def absent(instance: InstanceRecord) -> StoreAbsent:
    """The error for an instance whose store is not open."""
    return StoreAbsent(
        f"the data of instance {instance.name!r} is in the store {instance.store!r}, which is not open here: "
        f"the configuration needs a table [store.{instance.store}] with its path"
    )


def store_of(others: Mapping[str, Store], instance: InstanceRecord) -> Store:
    """The other store that holds the data of an instance.

    Raises:
        StoreAbsent: it is not open.
    """
    try:
        return others[instance.store]
    except KeyError:
        raise absent(instance) from None


class Snapshots:
    """What one read or edit sees of each store; each is opened when it is first asked for. Not shared between threads.

    Args:
        metadata: what it sees of the metadata store.
        others: the other stores by name.
        stack: closes what is opened.
        own: name of the other store that is open already, and what is seen of it.
        check: raises if an instance does not exist any more. It is asked where a store is opened later than the
            metadata were read: the data of an instance that was deleted in between may be gone.
    """

    __slots__ = ("_check", "_late", "_open", "_others", "_stack", "metadata")

    def __init__(
        self,
        metadata: Snapshot,
        others: Mapping[str, Store],
        stack: ExitStack,
        *,
        own: tuple[str, Snapshot] | None = None,
        check: Callable[[InstanceRecord], None] | None = None,
    ) -> None:
        self.metadata = metadata
        self._others = others
        self._stack = stack
        self._open = {"": metadata} if own is None else {"": metadata, own[0]: own[1]}
        self._late: set[str] = set()
        self._check = check

    def of(self, instance: InstanceRecord) -> Snapshot:
        """What is seen of the store that holds an instance's data.

        Raises:
            StoreAbsent: the store is not open.
            UnknownInstance: the instance has been deleted meanwhile.
        """
        name = instance.store
        if name not in self._open and name not in self._others:
            raise absent(instance)
        snapshot = self._named(name)
        if self._check is not None and name in self._late:
            self._check(instance)
        return snapshot

    def all(self) -> list[Snapshot]:
        """What is seen of each store, the metadata store first."""
        return [self.metadata, *map(self._named, self._others)]

    def _named(self, name: str) -> Snapshot:
        snapshot = self._open.get(name)
        if snapshot is None:
            snapshot = self._open[name] = self._stack.enter_context(self._others[name].snapshot())
            self._late.add(name)
        return snapshot


# ---- which stores belong together ---------------------------------------------------------------


def check_metadata(store: Store) -> None:
    """Check that a store may serve as a metadata store.

    Raises:
        StoreUnusable: it holds the data of instances whose records are in another one.
    """
    with store.snapshot() as snapshot:
        owner = _owner(snapshot)
    if owner is not None:
        raise StoreUnusable(
            f"this is the store {owner[1]!r} of a database whose repos are kept in another folder: "
            "open it with the configuration file that names both"
        )


def join(metadata: Store, others: Mapping[str, Store], *, read_only: bool = False) -> None:
    """Check that other stores belong to a metadata store, and note it in those that are new.

    Raises:
        StoreUnusable: one belongs elsewhere, or is known under another name, or is newer than the metadata.
    """
    identity = _identity(metadata, read_only=read_only)
    for name, store in others.items():
        with store.snapshot() as snapshot:  # before the metadata are looked at: their instances come first
            owner = _owner(snapshot)
            is_other = owner is None and next(snapshot.scan(layout.REPO, layout.after(layout.REPO)), None) is not None
            last = next(snapshot.scan(layout.pack_u32(1), b"\xff" * MAX_KEY, reverse=True), None)
            highest = 0 if last is None else layout.unpack_u32(last.key[:4])
        with metadata.snapshot() as snapshot:
            given = read_number(snapshot, layout.COUNTER + b"instance") or 0
        if is_other:
            raise StoreUnusable(f"the store {name!r} holds repos of its own: it can only be the metadata store")
        if owner is not None and owner[0] != identity:
            raise StoreUnusable(f"the store {name!r} belongs to another database: its repos are not those opened here")
        if owner is not None and owner[1] != name:
            raise StoreUnusable(
                f"the store {name!r} is known to its database as {owner[1]!r}: name it so in the configuration"
            )
        if highest > given:
            raise StoreUnusable(
                f"the store {name!r} holds data of instance number {highest}, and the metadata knows of {given}: "
                "one of them is an older copy; restore copies that belong together, the metadata being the younger"
            )
        if owner is None and not read_only:
            value = seal(layout.OWNER, identity + name.encode())
            store.transact(partial(_put_owner, value))


def _put_owner(value: bytes, transaction: Transaction) -> None:
    transaction.put(layout.OWNER, value)


def _identity(metadata: Store, *, read_only: bool) -> bytes:
    with metadata.snapshot() as snapshot:
        stored = snapshot.get(layout.IDENTITY)
        if stored is not None:
            return bytes(unseal(layout.IDENTITY, stored).payload)
    if read_only:
        return b""
    made = os.urandom(_IDENTITY_BYTES)

    def keep(transaction: Transaction) -> bytes:
        stored = transaction.get(layout.IDENTITY)  # of another process that was faster
        if stored is not None:
            return bytes(unseal(layout.IDENTITY, stored).payload)
        transaction.put(layout.IDENTITY, seal(layout.IDENTITY, made))
        return made

    return metadata.transact(keep)


def _owner(snapshot: Snapshot) -> tuple[bytes, str] | None:
    """Identity of the metadata store that a store belongs to, and its name there."""
    stored = snapshot.get(layout.OWNER)
    if stored is None:
        return None
    payload = bytes(unseal(layout.OWNER, stored).payload)
    return payload[:_IDENTITY_BYTES], payload[_IDENTITY_BYTES:].decode()
