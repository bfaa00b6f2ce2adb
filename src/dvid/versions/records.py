"""What the store keeps about repos, nodes and instances: small records, encoded as MessagePack."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

Record = TypeVar("Record", bound=msgspec.Struct)

_encoder = msgspec.msgpack.Encoder()


class RepoRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A repository: a DAG of nodes and the instances that hold its data."""

    number: int
    root_version: int
    root_uuid: str
    created: str
    updated: str
    alias: str = ""
    description: str = ""
    passcode_hash: str = ""
    """Hex SHA-256 of the passcode that guards deletion, or empty."""
    properties: dict[str, Any] = {}


class NodeRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node of a repo's DAG: one version of all its data.

    Nodes form chains: a chain is a path along which each node continues its predecessor. Ancestry is kept per chain
    (see dvid.versions.lineage): `base` of a chain's first node says, for each chain it descends from, up to which
    version.
    """

    version: int
    uuid: str
    repo: int
    chain: int
    """Version of the first node of the chain."""
    created: str
    updated: str
    parents: tuple[int, ...] = ()
    branch: str = ""
    """Name of the branch; the empty string is "master"."""
    note: str = ""
    locked: bool = False
    base: tuple[tuple[int, int], ...] = ()
    """(chain, last version seen) of the ancestors outside the node's own chain; only in a chain's first node."""
    merged: bool = False
    """True if an ancestor, or the node itself, is a merge: keys may be in conflict."""


class InstanceRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A data instance: a named volume, key-value store and so on, with all versions of its data."""

    number: int
    name: str
    typename: str
    data_uuid: str
    repo: int
    created_version: int
    """Version of the node on which it was created."""
    created_uuid: str
    compression: str = "lz4"
    """none, lz4, gzip, snappy or jpeg, with an optional ":level"."""
    versioned: bool = True
    tags: dict[str, str] | None = None
    syncs: tuple[str, ...] = ()
    """Names of the instances it is kept in step with."""
    store: str = ""
    """Name of the store that holds its data; "" is the one that holds this record, too."""
    settings: dict[str, Any] = {}
    """What the datatype keeps: see its own configuration type."""


def encode(record: msgspec.Struct) -> bytes:
    """A record as bytes."""
    return _encoder.encode(record)


_decoders: dict[type, msgspec.msgpack.Decoder[Any]] = {}


def decode(data: bytes | memoryview, kind: type[Record]) -> Record:
    """A record from bytes."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    return decoder.decode(data)  # type: ignore[no-any-return]


def now() -> str:
    """The time as RFC 3339 with microseconds, UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def timestamp() -> str:
    """The time as the logs of nodes and repos begin their lines (RFC 3339, seconds)."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
