"""Where two accounts of labels differ at a version, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dvid.geometry import Zyx
from dvid.labels.index import Entries, Points
from dvid.labels.sums import Kind, bucket_of
from dvid.labels.tables import BLOCKS, BODIES, INDEX, MEMBERS, Labels, label_key, member_keys, pair_keys
from dvid.labels.tallies import Stored, bodies_in, place_of, summed

_MOST_HELD = 1 << 23
"""Entries that are compared at once."""

Buckets = NDArray[np.bool_]
"""Which labels are compared: those of some buckets."""


@dataclass(frozen=True, slots=True)
class Differences:
    """What is stored, and what it should be: arrays of one length."""

    kind: Kind
    labels: Labels
    """Supervoxels; bodies where it is about sizes."""
    places: NDArray[np.int64] | Labels
    """Blocks (n, 3), zyx; or bodies, where it is about members; or nothing."""
    stored: NDArray[np.int64]
    """Voxels; 1 or 0 where it is about members."""
    expected: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def described(self, most: int) -> Iterator[tuple[bytes, str]]:
        """The table and key of the first ones, and what is wrong."""
        stored, expected = self.stored[:most].tolist(), self.expected[:most].tolist()
        labels, places = self.labels[:most], self.places[:most].tolist()
        if self.kind is Kind.VOXELS:
            keys = pair_keys(labels, self.places[:most].astype(np.int64) >> 3)
            for label, (z, y, x), key, was, is_ in zip(labels.tolist(), places, keys, stored, expected, strict=True):
                what = f"supervoxel {label} has {is_} voxels in block {x},{y},{z}, and the index tells of {was}"
                yield INDEX + key, what
        elif self.kind is Kind.SIZES:
            for label, was, is_ in zip(labels.tolist(), stored, expected, strict=True):
                yield BODIES + label_key(label), f"body {label} has {is_} voxels, and its row tells of {was}"
        else:
            for label, body, is_ in zip(labels.tolist(), places, expected, strict=True):
                yield _membership(label, body, is_)


def _membership(supervoxel: int, body: int, expected: int) -> tuple[bytes, str]:
    if not body:
        what = f"supervoxel {supervoxel} has voxels, and is mapped to 0, which is no body"
    elif expected:
        what = f"supervoxel {supervoxel} is mapped to body {body}, which does not have it as a member"
    else:
        what = f"supervoxel {supervoxel} is a member of body {body}, and has no voxels or is mapped to another body"
    if supervoxel == body:
        return BODIES + label_key(body), what
    return MEMBERS + member_keys(body, np.array([supervoxel], np.uint64))[0], what


def at_version(stored: Stored, place: int, flagged: Mapping[Kind, Buckets]) -> Iterator[Differences]:
    """The differences at a version.

    Args:
        stored: the instance.
        place: of the version.
        flagged: the kinds to compare, with the buckets that labels are compared of.
    """
    seen = stored.versions.sees[place]
    for kind, buckets in flagged.items():
        for found in _in_rounds(buckets, partial(_COMPARE[kind], stored, seen)):
            if len(found):
                yield found


class _TooMany(Exception):
    """More entries than are compared at once."""


def _in_rounds(buckets: Buckets, compare: Callable[[Buckets, int], Differences]) -> Iterator[Differences]:
    """Compare the labels of as many buckets at once as there is room for."""
    waiting = [np.flatnonzero(buckets)]
    while waiting:
        some = waiting.pop()
        chosen = np.zeros(len(buckets), bool)
        chosen[some] = True
        try:
            found = compare(chosen, _MOST_HELD if len(some) > 1 else 1 << 62)
        except _TooMany:
            waiting += [some[len(some) // 2 :], some[: len(some) // 2]]
            continue
        yield found


class _Collected:
    """Entries from many parts of the store."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    def hold(self, count: int) -> None:
        """So many more.

        Raises:
            _TooMany: these are too many.
        """
        self._held += count
        if self._held > self._most:
            raise _TooMany


def _chosen(labels: Labels, buckets: Buckets) -> NDArray[np.bool_]:
    chosen: NDArray[np.bool_] = buckets[bucket_of(labels, len(buckets))]
    return chosen


# ---- voxels -------------------------------------------------------------------------------------


def _compare_voxels(stored: Stored, seen: NDArray[np.bool_], buckets: Buckets, most: int) -> Differences:
    collected = _Collected(most)
    counted, unreadable = _in_blocks(stored, seen, buckets, collected)
    indexed = [Entries.none()]
    for rows in stored.index():
        visible = rows.rows.visible(seen)
        entries, _ = rows.entries(visible[_chosen(rows.supervoxels[visible], buckets)])
        collected.hold(len(entries))
        indexed.append(entries)
    both = Entries.joined([counted, *indexed])
    is_counted = np.arange(len(both)) < len(counted)
    z, y, x = both.blocks_zyx.T
    order = np.lexsort((x, y, z, both.supervoxels))
    both, is_counted = both.chosen(order), is_counted[order]
    first = np.ones(len(both), bool)
    first[1:] = both.supervoxels[1:] != both.supervoxels[:-1]
    first[1:] |= (both.blocks_zyx[1:] != both.blocks_zyx[:-1]).any(1)
    starts = np.flatnonzero(first)
    if not len(starts):
        return _none(Kind.VOXELS)
    expected = np.add.reduceat(np.where(is_counted, both.voxels, 0), starts)
    told = np.add.reduceat(np.where(is_counted, 0, both.voxels), starts)
    wrong = expected != told
    if unreadable:
        blocks = both.blocks_zyx[starts]
        wrong &= ~np.isin(_packed(blocks), _packed(np.array(unreadable, np.int64)))
    at = starts[wrong]
    return Differences(Kind.VOXELS, both.supervoxels[at], both.blocks_zyx[at], told[wrong], expected[wrong])


def _packed(blocks_zyx: Points) -> NDArray[np.void]:
    """Each point as one value."""
    return np.ascontiguousarray(blocks_zyx).view(np.dtype((np.void, 24)))[:, 0]


def _in_blocks(
    stored: Stored, seen: NDArray[np.bool_], buckets: Buckets, collected: _Collected
) -> tuple[Entries, list[Zyx]]:
    """The entries of all blocks, and the blocks that cannot be read."""
    parts, unreadable = [Entries.none()], []
    for rows in stored.rows(BLOCKS, high=b"\x01"):
        for row in rows.visible(seen).tolist():
            place, tally = place_of(rows, row), stored.tally(rows, row)
            if tally is None:
                unreadable.append(place)
                continue
            chosen = _chosen(tally[0], buckets)
            labels = tally[0][chosen]
            collected.hold(len(labels))
            parts.append(Entries(labels, np.repeat(np.array([place], np.int64), len(labels), 0), tally[1][chosen]))
    return Entries.joined(parts), unreadable


def _none(kind: Kind) -> Differences:
    nothing = np.empty(0, np.int64)
    return Differences(kind, np.empty(0, np.uint64), nothing, nothing, nothing)


# ---- members ------------------------------------------------------------------------------------


def _compare_members(stored: Stored, seen: NDArray[np.bool_], buckets: Buckets, most: int) -> Differences:
    collected = _Collected(most)
    expected, told = [np.empty((0, 2), np.uint64)], [np.empty((0, 2), np.uint64)]
    for rows in stored.index():
        there, _ = rows.sizes(seen)
        there = there[_chosen(there, buckets)]
        collected.hold(len(there))
        expected.append(np.stack((there, stored.owners(there, seen)), 1))
    for bodies in stored.rows(BODIES):
        visible = bodies.visible(seen)
        own = bodies.numbers()[visible[bodies_in(bodies)["own"][visible] != 0]]
        own = own[_chosen(own, buckets)]
        collected.hold(len(own))
        told.append(np.stack((own, own), 1))
    for members in stored.rows(MEMBERS):
        visible = members.visible(seen)
        pairs = np.stack((members.numbers(8)[visible], members.numbers()[visible]), 1)
        pairs = pairs[_chosen(pairs[:, 0], buckets)]
        collected.hold(len(pairs))
        told.append(pairs)
    wanted, had = np.concatenate(expected), np.concatenate(told)
    pairs, often = np.unique(np.concatenate((wanted, had)), axis=0, return_counts=True)
    pairs = pairs[(often == 1) | (pairs[:, 1] == 0)]  # what is mapped to 0 has no right place
    is_wanted = np.isin(_packed_pairs(pairs), _packed_pairs(wanted)).astype(np.int64)
    return Differences(Kind.MEMBERS, pairs[:, 0].copy(), pairs[:, 1].copy(), 1 - is_wanted, is_wanted)


def _packed_pairs(pairs: Labels) -> NDArray[np.void]:
    return np.ascontiguousarray(pairs).view(np.dtype((np.void, 16)))[:, 0]


# ---- sizes --------------------------------------------------------------------------------------


def _compare_sizes(stored: Stored, seen: NDArray[np.bool_], buckets: Buckets, most: int) -> Differences:
    labels, sizes = np.empty(0, np.uint64), np.empty(0, np.int64)
    waiting: list[tuple[Labels, NDArray[np.int64]]] = []
    for index in stored.index():
        there, voxels = index.sizes(seen)
        owners = stored.owners(there, seen)
        kept = _chosen(owners, buckets) & (owners != 0)
        waiting.append((owners[kept], voxels[kept]))
        if sum(len(part) for part, _ in waiting) > max(len(labels), 1 << 18):
            labels, sizes = _together([(labels, sizes), *waiting])
            waiting = []
            _Collected(most).hold(len(labels))
    labels, sizes = _together([(labels, sizes), *waiting])
    told = [(np.empty(0, np.uint64), np.empty(0, np.int64))]
    collected = _Collected(most)
    for rows in stored.rows(BODIES):
        visible = rows.visible(seen)
        visible = visible[_chosen(rows.numbers()[visible], buckets)]
        collected.hold(len(visible))
        told.append((rows.numbers()[visible], bodies_in(rows)["voxels"][visible].astype(np.int64)))
    known, noted = _together(told)
    everyone = np.union1d(labels, known)
    expected, found = np.zeros((2, len(everyone)), np.int64)
    expected[np.searchsorted(everyone, labels)] = sizes
    found[np.searchsorted(everyone, known)] = noted
    wrong = expected != found
    return Differences(Kind.SIZES, everyone[wrong], everyone[wrong], found[wrong], expected[wrong])


def _together(parts: list[tuple[Labels, NDArray[np.int64]]]) -> tuple[Labels, NDArray[np.int64]]:
    return summed(np.concatenate([labels for labels, _ in parts]), np.concatenate([sizes for _, sizes in parts]))


_COMPARE: Mapping[Kind, Callable[[Stored, NDArray[np.bool_], Buckets, int], Differences]] = {
    Kind.VOXELS: _compare_voxels,
    Kind.MEMBERS: _compare_members,
    Kind.SIZES: _compare_sizes,
}
