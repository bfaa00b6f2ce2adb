"""The rows of an instance at all its versions at once, as the store has them: what `dvid.labels.verify` goes by.

Views show one version each. To read every version that way costs as much as all that each can see; rows as they are
stored cost as much as was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dvid.errors import CorruptValue
from dvid.labels.tables import BLOCKS, BODIES, INDEX, MAPPING, MEMBERS, Labels
from dvid.storage.protocol import Snapshot
from dvid.versions import layout
from dvid.versions.envelope import HEADER_BYTES, Format, unseal, unseal_many
from dvid.versions.lineage import Lineage, Lineages
from dvid.versions.records import InstanceRecord, NodeRecord

KEY_BYTES = {BLOCKS: 13, INDEX: 20, BODIES: 8, MEMBERS: 16, MAPPING: 8}
"""How long the keys of each table are."""

_NOWHERE = -1

Places = NDArray[np.int64]
"""Versions by their places in `Versions.numbers`, or rows by their places in `Rows`."""


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions that have rows of their own, and those where histories were merged: parents before children."""

    numbers: NDArray[np.int64]
    uuids: list[str]
    sees: NDArray[np.bool_]
    """(n, n): whether the first version is the second one, or descends from it."""
    starts_with: NDArray[np.bool_]
    """(n, n): whether the first parent of the first version sees the second one."""
    merges: list[int]
    """Places of versions that have several parents."""

    def __len__(self) -> int:
        return len(self.numbers)

    def from_on(self, places: list[int]) -> list[int]:
        """The places of some versions and of those that descend from them."""
        found: list[int] = np.flatnonzero(self.sees[:, places].any(1)).tolist()
        return found


def read_versions(
    metadata: Snapshot, data: Snapshot, instance: InstanceRecord, nodes: dict[int, NodeRecord]
) -> Versions:
    """The versions of an instance that `Versions` is about.

    Args:
        metadata: the store with the records of nodes.
        data: the store with the data of the instance.
        instance: which.
        nodes: the nodes of its repo.
    """
    suffixes: set[bytes] = set()
    for table in KEY_BYTES:
        prefix = layout.table_prefix(instance.number, table)
        for keys in data.key_batches(prefix, layout.after(prefix)):
            suffixes.update({key[-4:] for key in keys})
    merged = {number for number, node in nodes.items() if len(node.parents) > 1} if instance.versioned else set()
    found = sorted(({layout.version_of(suffix) for suffix in suffixes} & nodes.keys()) | merged)
    numbers = np.array(found, np.int64)
    lineages = Lineages()
    chains = np.array([nodes[number].chain for number in found], np.int64)
    sees, starts_with = np.zeros((2, len(found), len(found)), bool)
    for at, number in enumerate(found):
        sees[at] = _seen(lineages.of(metadata, number), chains, numbers)
        if nodes[number].parents:
            starts_with[at] = _seen(lineages.of(metadata, nodes[number].parents[0]), chains, numbers)
    uuids = [nodes[number].uuid for number in found]
    return Versions(numbers, uuids, sees, starts_with, [found.index(number) for number in sorted(merged)])


def _seen(lineage: Lineage, chains: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    extent = lineage.extent()
    known, places = np.unique(chains, return_inverse=True)
    last = np.array([extent.get(chain, 0) for chain in known.tolist()], np.int64)
    seen: NDArray[np.bool_] = numbers <= last[places]
    return seen


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a table in the order of their keys, newest version first; all versions of each key are there."""

    keys: NDArray[np.uint8]
    """(n, bytes): without table and version."""
    versions: Places
    payloads: list[bytes]
    formats: NDArray[np.int64]
    """Those of which nothing can be read count as TOMBSTONE."""
    groups: Places
    """(n,): the number of each row's key."""

    def __len__(self) -> int:
        return len(self.versions)

    def numbers(self, start: int = 0) -> Labels:
        """The label that begins at a byte of each key."""
        return self.keys[:, start : start + 8].copy().view(">u8")[:, 0].astype(np.uint64)

    def visible(self, seen: NDArray[np.bool_], among: Places | None = None) -> Places:
        """The row of each key that is to be read where these versions are seen; tombstones are left out.

        Args:
            seen: (versions,).
            among: look at these rows only, which are sorted.
        """
        rows = np.flatnonzero(seen[self.versions]) if among is None else among[seen[self.versions[among]]]
        groups = self.groups[rows]
        first = np.ones(len(rows), bool)
        first[1:] = groups[1:] != groups[:-1]
        rows = rows[first]
        living: Places = rows[self.formats[rows] != Format.TOMBSTONE]
        return living

    def are_contested(self, place: int, versions: Versions) -> bool:
        """True if a version inherits several values of a key, because histories were merged."""
        rows = np.flatnonzero(versions.sees[place][self.versions])
        groups = self.groups[rows]
        first = np.ones(len(rows), bool)
        first[1:] = groups[1:] != groups[:-1]
        newest = rows[first][np.cumsum(first) - 1] if len(rows) else rows
        rivals = ~versions.sees[self.versions[newest], self.versions[rows]]
        living = self.formats != Format.TOMBSTONE
        return bool((rivals & (living[rows] | living[newest])).any())

    def changes(self, versions: Versions) -> tuple[Places, Places, NDArray[np.int64]]:
        """What each version has changed.

        Returns:
            Versions, rows, and 1 where such a row can be read from then on, or -1 where it no longer can.
        """
        at = np.arange(len(self))
        before = self._before(versions)
        had = before != _NOWHERE
        own = ~np.isin(self.versions, versions.merges)
        parts = [(self.versions[own], at[own], 1), (self.versions[had & own], before[had & own], -1)]
        for merge in versions.merges:
            new, old = self.visible(versions.sees[merge]), self.visible(versions.starts_with[merge])
            for rows, sign in ((np.setdiff1d(new, old), 1), (np.setdiff1d(old, new), -1)):
                parts.append((np.full(len(rows), merge), rows, sign))
        where, rows = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
        signs = np.repeat([part[2] for part in parts], [len(part[1]) for part in parts])
        living = self.formats[rows] != Format.TOMBSTONE
        return where[living], rows[living], signs[living]

    def _before(self, versions: Versions) -> Places:
        """For each row the one of the same key that its version would inherit, or -1."""
        before = np.full(len(self), _NOWHERE)
        open_, step = np.arange(len(self)), 1
        while True:
            open_ = open_[open_ + step < len(self)]
            open_ = open_[self.groups[open_ + step] == self.groups[open_]]
            if not len(open_):
                return before
            found = versions.sees[self.versions[open_], self.versions[open_ + step]]
            before[open_[found]] = open_[found] + step
            open_, step = open_[~found], step + 1


def read_rows(
    snapshot: Snapshot,
    instance: InstanceRecord,
    table: bytes,
    versions: Versions,
    low: bytes = b"",
    high: bytes | None = None,
    together: int | None = None,
) -> Iterator[Rows]:
    """All rows of a table, many at a time. Those with keys or versions that cannot be are left out.

    Args:
        snapshot: of the store with the data.
        instance: which.
        table: which.
        versions: of the instance.
        low: the first key.
        high: the key behind the last one.
        together: rows whose keys begin with the same so many bytes are not torn apart; by default the whole key.
    """
    prefix, width = layout.table_prefix(instance.number, table), KEY_BYTES[table]
    cut, whole = len(prefix), len(prefix) + width + layout.VERSION_BYTES
    same = cut + (width if together is None else together)
    kept: tuple[list[bytes], list[bytes]] = [], []
    for keys, values in snapshot.batches(prefix + low, layout.after(prefix) if high is None else prefix + high):
        fine = [at for at, key in enumerate(keys) if len(key) == whole]
        kept[0].extend(keys[at] for at in fine)
        kept[1].extend(values[at] for at in fine)
        if not kept[0]:
            continue
        last = kept[0][-1][:same]
        at = len(kept[0])
        while at and kept[0][at - 1][:same] == last:
            at -= 1
        if at:
            yield _rows(kept[0][:at], kept[1][:at], cut, versions)
            kept = kept[0][at:], kept[1][at:]
    if kept[0]:
        yield _rows(*kept, cut, versions)


def _rows(keys: list[bytes], values: list[bytes], cut: int, versions: Versions) -> Rows:
    joined = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), -1)
    numbers = layout.NEWEST - joined[:, -4:].copy().view(">u4")[:, 0].astype(np.int64)
    places = np.searchsorted(versions.numbers, numbers)
    known = np.append(versions.numbers, 0)[places] == numbers
    formats = np.array(_formats(keys, values), np.int64)[known]
    chosen = np.flatnonzero(known)
    own = joined[known, cut:-4]
    groups = np.zeros(len(own), np.int64)
    if len(own) > 1:
        np.cumsum((own[1:] != own[:-1]).any(1), out=groups[1:])
    return Rows(own, places[known], [values[at][HEADER_BYTES:] for at in chosen.tolist()], formats, groups)


def _formats(keys: Sequence[bytes], values: Sequence[bytes]) -> list[int]:
    try:
        return unseal_many(keys, values)
    except CorruptValue:
        return [_format(key, value) for key, value in zip(keys, values, strict=True)]


def _format(key: bytes, value: bytes) -> int:
    try:
        return unseal(key, memoryview(value)).format
    except CorruptValue:  # it is told of where all values are looked at
        return Format.TOMBSTONE
