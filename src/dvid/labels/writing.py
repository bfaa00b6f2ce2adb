"""Writing blocks of supervoxels, and what hangs on them: index, bodies, extents, lower resolutions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dvid.codecs.labelblocks import Block, checked, count, deflate, encode_blocks, inflate, labels_of
from dvid.errors import BadRequest
from dvid.geometry import BlockRange, Box, Zyx
from dvid.labels.accounts import account
from dvid.labels.blocks import expanded, stored_blocks
from dvid.labels.changes import BLOCKS_APART, INDICES_APART, SCALES_APART, came_apart
from dvid.labels.growth import last_kept
from dvid.labels.index import Entries, told_of
from dvid.labels.numbering import LARGEST, saw_label
from dvid.labels.scales import ask_for_scales, make_way
from dvid.labels.tables import BLOCKS, Labels, block_key
from dvid.storage.protocol import Buffer
from dvid.versions.edit import Edit
from dvid.versions.envelope import Format


class NewBlock(NamedTuple):
    """A block to be stored."""

    place_zyx: Zyx
    data: Buffer
    """Gzipped."""
    supervoxels: Labels
    """Those it holds, 0 left out; each once."""
    voxels: NDArray[np.int64]
    """How many voxels each of them has."""


def tallied(block: Block) -> tuple[Labels, NDArray[np.int64]]:
    """The supervoxels of a block, 0 left out, and how many voxels each has."""
    labels, voxels = labels_of(block), count(block).astype(np.int64)
    found, places = np.unique(labels, return_inverse=True)
    sums = np.zeros(len(found), np.int64)
    np.add.at(sums, places, voxels)
    kept = (found != 0) & (sums != 0)
    return found[kept], sums[kept]


def from_wire(place_zyx: Zyx, data: Buffer, block_zyx: Zyx) -> NewBlock:
    """A block as clients send it, gzipped in the compressed layout.

    Raises:
        BadRequest: it is none, or has another shape.
    """
    what = f"the block at {place_zyx[::-1]}"
    block = checked(inflate(data, block_zyx, what), block_zyx, what)
    return _new(place_zyx, data, block)


def from_voxels(box: Box, voxels: Labels, block_zyx: Zyx, places: Sequence[Zyx]) -> list[NewBlock]:
    """Some blocks of a box of voxels.

    Args:
        box: where; its faces lie between blocks.
        voxels: its supervoxels, (z, y, x) uint64.
        block_zyx: voxels of a block.
        places: which of its blocks.
    """
    origins = np.array(places, np.int64).reshape(-1, 3) * block_zyx - np.array(box.start_zyx)
    blocks = encode_blocks(voxels, origins, block_zyx)
    return [_new(place, deflate(block), block) for place, block in zip(places, blocks, strict=True)]


def _new(place_zyx: Zyx, data: Buffer, block: Block) -> NewBlock:
    supervoxels, voxels = tallied(block)
    if len(supervoxels) and int(supervoxels[-1]) > LARGEST:
        raise BadRequest(
            f"the block at {place_zyx[::-1]} has voxels of {supervoxels[-1]}, which is no label: the largest is {LARGEST}"
        )
    return NewBlock(place_zyx, data, supervoxels, voxels)


def _entries(places: Iterable[Zyx], tallies: Iterable[tuple[Labels, NDArray[np.int64]]], sign: int) -> Entries:
    parts = [
        Entries(labels, np.repeat(np.array([place], np.int64), len(labels), 0), sign * voxels)
        for place, (labels, voxels) in zip(places, tallies, strict=True)
    ]
    return Entries.joined(parts)


def _old_entries(edit: Edit, places: Sequence[Zyx]) -> Entries:
    """What blocks hold that are about to be replaced, to be taken away."""
    stored = stored_blocks(edit, 0, places)
    there = [(place, tallied(expanded(edit, block))) for place, block in zip(places, stored, strict=True) if block]
    return _entries([place for place, _ in there], [tally for _, tally in there], -1)


def write_blocks(
    edit: Edit, blocks: Sequence[NewBlock], scale: int = 0, *, indexed: bool = True, downres: bool = False
) -> int:
    """Store blocks; the mutation id. Of several blocks for one place the last one counts.

    Args:
        edit: the instance.
        blocks: what to store.
        scale: the resolution they are of.
        indexed: enter their voxels into the index; only at scale 0.
        downres: ask for the lower resolutions that depend on them.
    """
    final = {block.place_zyx: block for block in blocks}
    places = list(final)
    mutation = edit.log("ingest-blocks", {"Scale": scale, "Blocks": len(places)})
    if indexed and scale == 0:
        new = _entries(places, ((block.supervoxels, block.voxels) for block in final.values()), 1)
        old = _old_entries(edit, places)
        if edit.number(BLOCKS_APART) or edit.number(INDICES_APART):  # the index may not tell what the blocks hold
            old = told_of(edit, Entries.joined([new, old])).times(-1)
        changes = Entries.joined([new, old])
    elif not scale:
        came_apart(edit, BLOCKS_APART)
    if scale:
        make_way(edit, scale, places)
    for place, block in final.items():
        edit.put(BLOCKS, block_key(scale, place), block.data, Format.GZIP)
    if indexed and scale == 0:
        account(edit, changes, mutation)
    elif largest := max((int(block.supervoxels[-1]) for block in final.values() if len(block.supervoxels)), default=0):
        saw_label(edit, largest)
    if downres:
        ask_for_scales(edit, scale, places, mutation)
    if scale or (not downres and last_kept(edit)):
        came_apart(edit, SCALES_APART)
    return mutation


def extents_of_blocks(places: Sequence[Zyx], block_zyx: Zyx) -> Box:
    """The box of voxels around some blocks."""
    points = np.array(places, np.int64).reshape(-1, 3)
    low, high = points.min(0).tolist(), (points.max(0) + 1).tolist()
    return BlockRange(tuple(low), tuple(high)).box(block_zyx)
