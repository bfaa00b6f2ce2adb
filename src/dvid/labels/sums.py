"""Sums that tell whether two accounts of the same labels agree, without holding either in memory: see `dvid.labels.verify`."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dvid.labels.strata import Rows
from dvid.labels.tables import BLOCKS, BODIES, MEMBERS, Labels
from dvid.labels.tallies import IndexRows, Stored, bodies_in, mapped, place_of, spread

_MOST_SUMS: Final = 1 << 21
_MOST_BUCKETS, _LEAST_BUCKETS = 1 << 12, 1 << 6

Hashes = NDArray[np.uint64]


class Kind(StrEnum):
    """What is told in two ways."""

    VOXELS = "index"
    """Voxels of supervoxels in blocks."""
    MEMBERS = "members"
    """Which supervoxel belongs to which body."""
    SIZES = "sizes"
    """Voxels of bodies."""


class Sums:
    """Sums of what each version has changed, told in one way and, negative, in the other: all must be 0."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored
        count = len(stored.versions)
        self._buckets = min(max(_MOST_SUMS // count, _LEAST_BUCKETS), _MOST_BUCKETS)
        self._buckets = 1 << (self._buckets.bit_length() - 1)
        self._sums = {kind: np.zeros(count * self._buckets, np.uint64) for kind in Kind}
        self.highest: Labels = np.zeros(count, np.uint64)
        """The highest label that each version has written."""
        self._add_blocks()
        for rows in stored.index():
            self._add_index(rows)
            self._add_owners(rows)
        self._add_bodies()
        self._add_members()

    def suspicious(self) -> Iterator[tuple[int, dict[Kind, NDArray[np.bool_]]]]:
        """Places of versions where something does not agree, parents first: with the buckets of each kind."""
        wrong = {kind: sums.reshape(-1, self._buckets) != 0 for kind, sums in self._sums.items()}
        for place in range(len(self._stored.versions)):
            flagged = {kind: buckets[place] for kind, buckets in wrong.items() if buckets[place].any()}
            if flagged:
                yield place, flagged

    def _add(self, kind: Kind, places: NDArray[np.int64], labels: Labels, amounts: Hashes) -> None:
        at = places * self._buckets + bucket_of(labels, self._buckets)
        np.add.at(self._sums[kind], at, amounts)

    def _saw(self, places: NDArray[np.int64], labels: Labels) -> None:
        np.maximum.at(self.highest, places, labels)

    def _add_blocks(self) -> None:
        for rows in self._stored.rows(BLOCKS, high=b"\x01"):
            tallies = [self._stored.tally(rows, row) for row in range(len(rows))]
            where, which, signs = rows.changes(self._stored.versions)
            for place, row, sign in zip(where.tolist(), which.tolist(), signs.tolist(), strict=True):
                tally = tallies[row]
                if tally is None or not len(tally[0]):
                    continue
                labels, voxels = tally
                block = np.array([place_of(rows, row)], np.int64)
                places = np.full(len(labels), place)
                self._add(Kind.VOXELS, places, labels, _of_block(labels, block) * _unsigned(sign * voxels))
                if sign > 0:
                    self._saw(places, labels)

    def _add_index(self, index: IndexRows) -> None:
        where, which, signs = index.rows.changes(self._stored.versions)
        entries, counts = index.entries(which)
        amounts = _of_block(entries.supervoxels, entries.blocks_zyx)
        amounts *= _unsigned(-np.repeat(signs, counts) * entries.voxels)
        self._add(Kind.VOXELS, np.repeat(where, counts), entries.supervoxels, amounts)
        came = signs > 0
        self._saw(where[came], index.supervoxels[which[came]])

    def _add_owners(self, index: IndexRows) -> None:
        versions, rows = self._stored.versions, index.rows
        if not len(rows):
            return
        supervoxels, starts, of_row = np.unique(index.supervoxels, return_index=True, return_inverse=True)
        counts = np.diff(np.append(starts, len(rows)))
        mapping = _mapping_of(self._stored, supervoxels)
        touched = [np.stack((rows.versions, of_row))]
        touched += [
            np.stack((np.full(len(supervoxels), merge), np.arange(len(supervoxels)))) for merge in versions.merges
        ]
        if mapping is not None:
            touched.append(np.stack((mapping.rows.versions, mapping.of_row)))
        pairs = np.unique(np.concatenate(touched, 1), axis=1)
        bounds = np.flatnonzero(np.diff(pairs[0], prepend=-1, append=len(versions)))
        for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            place, some = int(pairs[0, first]), pairs[1, first:last]
            among = spread(starts[some], counts[some])
            for seen, sign in ((versions.sees[place], 1), (versions.starts_with[place], -1)):
                visible = rows.visible(seen, among)
                sizes = np.zeros(len(some), np.int64)
                np.add.at(sizes, np.searchsorted(some, of_row[visible]), index.voxels[visible])
                owners = supervoxels[some]
                if mapping is not None:
                    mapping.enter(owners, some, seen)
                there = np.flatnonzero(sizes)
                self._enter(place, supervoxels[some[there]], owners[there], sizes[there], sign)

    def _enter(self, place: int, supervoxels: Labels, owners: Labels, sizes: NDArray[np.int64], sign: int) -> None:
        places = np.full(len(supervoxels), place)
        self._add(Kind.MEMBERS, places, supervoxels, _of_pair(supervoxels, owners) * _unsigned(np.int64(sign)))
        self._add(Kind.SIZES, places, owners, mix(owners) * _unsigned(sign * sizes))

    def _add_bodies(self) -> None:
        for rows in self._stored.rows(BODIES):
            where, which, signs = rows.changes(self._stored.versions)
            labels, found = rows.numbers()[which], bodies_in(rows)[which]
            sizes = found["voxels"].astype(np.uint64) * _unsigned(-signs)
            self._add(Kind.SIZES, where, labels, mix(labels) * sizes)
            own = found["own"] != 0
            self._add(
                Kind.MEMBERS, where[own], labels[own], _of_pair(labels[own], labels[own]) * _unsigned(-signs[own])
            )
            self._saw(where[signs > 0], labels[signs > 0])

    def _add_members(self) -> None:
        for rows in self._stored.rows(MEMBERS):
            where, which, signs = rows.changes(self._stored.versions)
            bodies, supervoxels = rows.numbers()[which], rows.numbers(8)[which]
            self._add(Kind.MEMBERS, where, supervoxels, _of_pair(supervoxels, bodies) * _unsigned(-signs))


class _Mapping:
    """Rows of MAPPING of some supervoxels, that are to be found by the places of these."""

    def __init__(self, rows: Rows, of_row: NDArray[np.int64], count: int) -> None:
        self.rows, self.of_row = rows, of_row
        self._starts = np.searchsorted(of_row, np.arange(count))
        self._counts = np.searchsorted(of_row, np.arange(count), "right") - self._starts
        self._bodies = mapped(rows)

    def enter(self, owners: Labels, some: NDArray[np.int64], seen: NDArray[np.bool_]) -> None:
        """Write the owners of some supervoxels, where these versions are seen, over others."""
        visible = self.rows.visible(seen, spread(self._starts[some], self._counts[some]))
        owners[np.searchsorted(some, self.of_row[visible])] = self._bodies[visible]


def _mapping_of(stored: Stored, supervoxels: Labels) -> _Mapping | None:
    rows = stored.mapping(supervoxels)
    if rows is None or not len(rows):
        return None
    labels = rows.numbers()
    at = np.minimum(np.searchsorted(supervoxels, labels), len(supervoxels) - 1)
    kept = np.flatnonzero(supervoxels[at] == labels)
    if not len(kept):
        return None
    chosen = Rows(
        rows.keys[kept],
        rows.versions[kept],
        [rows.payloads[row] for row in kept.tolist()],
        rows.formats[kept],
        rows.groups[kept],
    )
    return _Mapping(chosen, at[kept], len(supervoxels))


# ---- hashes -------------------------------------------------------------------------------------


def mix(numbers: Hashes) -> Hashes:
    """A hash of each number: SplitMix64 (Steele, Lea, Flood 2014)."""
    hashes = numbers + np.uint64(0x9E3779B97F4A7C15)
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    hashed: Hashes = hashes ^ (hashes >> np.uint64(31))
    return hashed


def bucket_of(labels: Labels, buckets: int) -> NDArray[np.int64]:
    """The bucket of each label; `buckets` is a power of 2."""
    return (mix(labels) >> np.uint64(32) & np.uint64(buckets - 1)).astype(np.int64)


def _unsigned(numbers: NDArray[np.int64] | np.int64) -> Hashes:
    """Numbers modulo 2^64."""
    return np.asarray(numbers, np.int64).astype(np.uint64)


def _of_pair(one: Labels, other: Labels) -> Hashes:
    return mix(mix(one) + other * np.uint64(3))


def _of_block(labels: Labels, blocks_zyx: NDArray[np.int64]) -> Hashes:
    z, y, x = (_unsigned(column) for column in blocks_zyx.T)
    where = mix(mix(z) + y) + x
    return mix(mix(labels) + mix(where) * np.uint64(3))
