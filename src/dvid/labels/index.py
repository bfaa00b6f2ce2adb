"""Where supervoxels are: the blocks that hold them, and how many voxels they have there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dvid.errors import CorruptValue
from dvid.kernels.indexrows import distinct, in_order, merge_rows, unpack_rows
from dvid.labels.tables import ENTRY, INDEX, REGION, Labels, label_range, labels_of, pair_keys
from dvid.versions.edit import Edit
from dvid.versions.view import View

_MANY = 16  # supervoxels from which on it pays to read the rows between them, too
_SPARSE = 8  # where not even one row in so many is of one of them, their rows are sought

Points = NDArray[np.int64]


_FEW = 4


@dataclass(frozen=True, slots=True)
class Entries:
    """Voxels of supervoxels in blocks, one entry for each supervoxel of each block: three arrays of one length."""

    supervoxels: Labels
    blocks_zyx: Points
    """(n, 3) int64."""
    voxels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.supervoxels)

    @classmethod
    def none(cls) -> Self:
        """No entries."""
        return cls(np.empty(0, np.uint64), np.empty((0, 3), np.int64), np.empty(0, np.int64))

    @classmethod
    def joined(cls, parts: list[Entries]) -> Self:
        """All entries of several lists."""
        if not parts:
            return cls.none()
        if len(parts) == 1:
            return cls(parts[0].supervoxels, parts[0].blocks_zyx, parts[0].voxels)
        return cls(
            np.concatenate([part.supervoxels for part in parts]),
            np.concatenate([part.blocks_zyx for part in parts]),
            np.concatenate([part.voxels for part in parts]),
        )

    def chosen(self, which: NDArray[Any]) -> Entries:
        """Some of the entries."""
        return Entries(self.supervoxels[which], self.blocks_zyx[which], self.voxels[which])

    def by_block(self) -> Entries:
        """The same, sorted by block (z, y, x), then by supervoxel."""
        if in_order(self.blocks_zyx, self.supervoxels):
            return self
        z, y, x = self.blocks_zyx.T
        return self.chosen(np.lexsort((self.supervoxels, x, y, z)))

    def blocks(self) -> Points:
        """The different blocks, sorted by z, y, x: (m, 3) int64."""
        return distinct(self.blocks_zyx)

    def times(self, factor: int) -> Entries:
        """The same with other numbers of voxels: -1 for what is taken away."""
        return Entries(self.supervoxels, self.blocks_zyx, self.voxels * factor)


def _unpacked(keys: list[bytes], payloads: list[bytes]) -> Entries:
    found = unpack_rows(keys, payloads)
    if found is None:
        raise CorruptValue("a row of the index is no whole number of entries, or names a block that no region has")
    return Entries(*found)


def entries_of(view: View, supervoxels: Labels) -> Iterator[Entries]:
    """The entries of some supervoxels, many at a time: in the order of their numbers, then by region, then by block."""
    if len(supervoxels) < _MANY:
        for supervoxel in sorted(set(supervoxels.tolist())):
            first = [
                (key, bytes(value.payload)) for key, value in islice(view.scan(INDEX, *label_range(supervoxel)), _FEW)
            ]
            if len(first) < _FEW:  # batches are slower to begin
                if first:
                    yield _unpacked([key for key, _ in first], [payload for _, payload in first])
                continue
            for batch in view.batches(INDEX, *label_range(supervoxel)):
                yield _unpacked(batch.keys, batch.payloads)
        return
    wanted = np.unique(supervoxels)
    place = 0
    while place < len(wanted):
        for batch in view.batches(INDEX, *label_range(int(wanted[place]), int(wanted[-1]))):
            held = labels_of(batch.keys)
            chosen = np.flatnonzero(wanted[np.searchsorted(wanted, held)] == held)
            if len(chosen) == len(held):
                yield _unpacked(batch.keys, batch.payloads)
            elif len(chosen):
                yield _unpacked([batch.keys[at] for at in chosen], [batch.payloads[at] for at in chosen])
            place = int(np.searchsorted(wanted, held[-1]))
            if wanted[place] != held[-1] and len(chosen) * _SPARSE < len(held):
                break  # what lies between is more than it costs to go on from the next one
        else:
            return


def all_entries(view: View, supervoxels: Labels) -> Entries:
    """The entries of some supervoxels, all at once."""
    return Entries.joined(list(entries_of(view, supervoxels)))


def told_of(view: View, wanted: Entries) -> Entries:
    """What the index tells of supervoxels in blocks; nothing where it knows of none. Those of a pair that comes twice, once."""
    regions = wanted.blocks_zyx >> 3
    keys = sorted(set(pair_keys(wanted.supervoxels, regions)))
    found = [
        (key, row)
        for batch in view.get_batches(INDEX, keys)
        for key, row in zip(batch.keys, batch.payloads, strict=True)
    ]
    told = _unpacked([key for key, _ in found], [row for _, row in found])
    both = Entries.joined([wanted, told])
    _, pairs = np.unique(
        np.column_stack((both.supervoxels.view(np.int64), both.blocks_zyx)), axis=0, return_inverse=True
    )
    return told.chosen(np.isin(pairs.ravel()[len(wanted) :], pairs.ravel()[: len(wanted)]))


def sizes_of(view: View, supervoxels: Labels) -> NDArray[np.int64]:
    """The voxels of each supervoxel: (n,) int64."""
    counted, places = np.unique(supervoxels, return_inverse=True)
    sizes = np.zeros(len(counted), np.int64)
    for part in entries_of(view, counted):
        np.add.at(sizes, np.searchsorted(counted, part.supervoxels), part.voxels)
    return sizes[places]


def is_anywhere(view: View, supervoxel: int) -> bool:
    """True if some block holds the supervoxel."""
    return next(view.keys(INDEX, *label_range(supervoxel)), None) is not None


def change_index(edit: Edit, changes: Entries) -> Labels:
    """Add voxels to the index, or take some away.

    Args:
        edit: the instance.
        changes: voxels more, or less where negative; an entry may come several times.

    Returns:
        The supervoxels of which some row has ceased to be: they may be nowhere now.

    Raises:
        CorruptValue: a supervoxel would have less than no voxels in a block, so the index was wrong before.
    """
    if not len(changes):
        return np.empty(0, np.uint64)
    regions = changes.blocks_zyx >> 3
    inner = changes.blocks_zyx & (REGION - 1)
    local = (inner[:, 0] << 6) | (inner[:, 1] << 3) | inner[:, 2]
    order = np.lexsort((local, regions[:, 2], regions[:, 1], regions[:, 0], changes.supervoxels))
    supervoxels, regions, local = changes.supervoxels[order], regions[order], local[order]
    last = np.ones(len(order), bool)
    last[:-1] = (supervoxels[1:] != supervoxels[:-1]) | (regions[1:] != regions[:-1]).any(1)
    ends = np.flatnonzero(last)
    keys = pair_keys(supervoxels[ends], regions[ends])
    rows = [payload for batch in edit.get_batches(INDEX, keys) for payload in batch.payloads]
    if any(len(row) % ENTRY.itemsize for row in rows):
        raise CorruptValue("a row of the index is no whole number of entries")
    merged, wrong = merge_rows(rows, local, changes.voxels[order], ends + 1)
    if wrong is not None:
        raise CorruptValue(
            f"the index of supervoxel {supervoxels[ends[wrong]]} does not fit the blocks: `dvid verify --repair` mends it"
        )
    gone = []
    for at, (key, old, new) in enumerate(zip(keys, rows, merged, strict=True)):
        if new:
            if new != old:
                edit.put(INDEX, key, new)
        elif old:
            edit.delete(INDEX, key)
            gone.append(at)
    return np.unique(supervoxels[ends[np.array(gone, np.intp)]])
