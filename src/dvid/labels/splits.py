"""Splitting supervoxels: the only edit of bodies that rewrites blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dvid.codecs.labelblocks import deflate, labels_of, relabel, split, trusted
from dvid.errors import BadRequest, Conflict
from dvid.geometry import Zyx
from dvid.kernels.runs import cut_runs
from dvid.labels.blocks import block_shape, expanded, stored_blocks
from dvid.labels.bodies import existing, put_body
from dvid.labels.index import Entries, all_entries, change_index, is_anywhere
from dvid.labels.mapping import body_of, put_mapping
from dvid.labels.numbering import LARGEST, new_labels, saw_label
from dvid.labels.scales import ask_for_scales
from dvid.labels.tables import BLOCKS, BODIES, MAPPING, MEMBERS, SPLIT, SPLITS, block_key, label_key, member_keys
from dvid.storage.protocol import Buffer
from dvid.versions import layout
from dvid.versions.envelope import Format
from dvid.versions.view import Edit, View

Runs = NDArray[np.int32]
"""(n, 4): x, y, z of the first voxel, and voxels along x."""

_MOST_PIECES = 1 << 26
_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Parts:
    """The two labels that take the place of a supervoxel's."""

    split: int
    """Of its voxels inside the runs."""
    remain: int
    """Of its others."""


@dataclass(frozen=True, slots=True)
class Divided:
    """What a split has made of a supervoxel."""

    parts: Parts
    split_voxels: int
    remain_voxels: int
    mutation: int


def runs_by_block(runs: Runs, block_zyx: Zyx) -> Mapping[Zyx, Runs]:
    """The runs of each block, counted from its first voxel."""
    places, bounds, pieces = cut_runs(runs, block_zyx, _MOST_PIECES)
    starts = bounds.tolist()
    return {
        (z, y, x): pieces[begin:end]
        for (z, y, x), begin, end in zip(places.tolist(), starts[:-1], starts[1:], strict=True)
    }


def is_used(view: View, label: int) -> bool:
    """True if a number is, or was, that of a body or supervoxel at this version."""
    key = label_key(label)
    return view.get(BODIES, key) is not None or view.get(MAPPING, key) is not None or is_anywhere(view, label)


def chosen_parts(edit: Edit, supervoxel: int, wanted_split: int, wanted_remain: int) -> Parts:
    """The labels of the parts: those that are wished for, or new ones where that is 0.

    Raises:
        BadRequest: a label that is wished for is none, or both are the same.
        Conflict: it is used already.
    """
    for label in filter(None, (wanted_split, wanted_remain)):
        if not 1 <= label <= LARGEST:
            raise BadRequest(f"split: a label from 1 to {LARGEST} was expected, not {label}")
        if is_used(edit, label):
            raise Conflict(f"split: the label {label} is used already at this version")
        saw_label(edit, label)
    if wanted_split and wanted_split == wanted_remain:
        raise BadRequest(f"split: the two parts cannot both be {wanted_split}")
    fresh = (
        iter(new_labels(edit, (not wanted_split) + (not wanted_remain)))
        if not (wanted_split and wanted_remain)
        else iter(())
    )
    return Parts(wanted_split or next(fresh), wanted_remain or next(fresh))


def rewrite(edit: Edit, supervoxel: int, parts: Parts, runs: Mapping[Zyx, Runs]) -> tuple[Entries, list[Zyx]]:
    """Give the voxels of a supervoxel the labels of its parts, in all blocks.

    Args:
        edit: the instance.
        supervoxel: which.
        parts: the labels.
        runs: the part that is split off: runs of each block, counted from its first voxel.

    Returns:
        The index entries of the parts, and the blocks.
    """
    own = all_entries(edit, np.array([supervoxel], np.uint64)).by_block()
    places: list[Zyx] = [(z, y, x) for z, y, x in own.blocks_zyx.tolist()]
    counts = np.zeros((len(places), 2), np.int64)
    for first in range(0, len(places), _AT_ONCE):
        some = places[first : first + _AT_ONCE]
        blocks = [None if b is None else expanded(edit, b) for b in stored_blocks(edit, 0, some)]
        for at, (place, block) in enumerate(zip(some, blocks, strict=True), first):
            if block is None:
                continue
            inside = runs.get(place)
            if inside is None:
                labels = labels_of(block).copy()
                labels[labels == supervoxel] = parts.remain
                made, voxels = trusted(relabel(block, labels)), (0, int(own.voxels[at]))
            else:
                divided = split(block, inside, supervoxel, parts.split, parts.remain)
                made, voxels = trusted(divided.block), (divided.split, divided.remain)
            counts[at] = voxels
            edit.put(BLOCKS, block_key(0, place), deflate(made), Format.GZIP)
    entries = Entries.joined(
        [
            Entries(np.full(len(places), label, np.uint64), own.blocks_zyx, counts[:, column])
            for column, label in enumerate((parts.split, parts.remain))
        ]
    )
    change_index(edit, Entries.joined([own.times(-1), entries.chosen(entries.voxels > 0)]))
    return entries, places


def split_supervoxel(
    edit: Edit,
    supervoxel: int,
    runs: Runs,
    sent: Buffer,
    *,
    split_label: int = 0,
    remain_label: int = 0,
    downres: bool = True,
) -> Divided:
    """Split a supervoxel in two, both of which stay in its body.

    Args:
        edit: the instance.
        supervoxel: which.
        runs: what is split off; what of it lies outside the supervoxel is ignored.
        sent: the runs as they were sent, without a header before them: kept in the blob store for the mutation log.
        split_label: the label of what is split off; 0 for a new one.
        remain_label: the label of what remains; 0 for a new one.
        downres: let the lower resolutions follow.

    Raises:
        BadRequest: there is no such supervoxel, or it has no voxel, or no other, in the runs.
        Conflict: a label that is wished for is used already.
    """
    if not is_anywhere(edit, supervoxel):
        raise BadRequest(f"split: there is no supervoxel {supervoxel} at this version")
    body = body_of(edit, supervoxel)
    row = existing(edit, body)
    parts = chosen_parts(edit, supervoxel, split_label, remain_label)
    entries, places = rewrite(edit, supervoxel, parts, runs_by_block(runs, block_shape(edit)))
    is_split = entries.supervoxels == parts.split
    split_voxels, remain_voxels = int(entries.voxels[is_split].sum()), int(entries.voxels[~is_split].sum())
    if not split_voxels:
        raise BadRequest(f"split: no voxel of the sparse volume belongs to supervoxel {supervoxel}")
    if not remain_voxels:
        raise BadRequest(f"split: the sparse volume holds all of supervoxel {supervoxel}; nothing would remain of it")
    replace_member(edit, body, supervoxel, parts)
    mutation = edit.log(
        "split-supervoxel-complete",
        {
            "Supervoxel": supervoxel,
            "Body": body,
            "SplitSupervoxel": parts.split,
            "RemainSupervoxel": parts.remain,
            "Split": edit.put_blob(bytes(sent)),
            "SplitSize": split_voxels,
            "RemainSize": remain_voxels,
        },
    )
    put_split(edit, mutation, 0, supervoxel, parts)
    put_body(edit, body, int(row["voxels"]), mutation, own=bool(row["own"]) and body != supervoxel)
    if downres:
        ask_for_scales(edit, 0, places, mutation)
    return Divided(parts, split_voxels, remain_voxels, mutation)


def replace_member(edit: Edit, body: int, supervoxel: int, parts: Parts) -> None:
    """Let the parts of a supervoxel take its place in a body; its number is no supervoxel's any longer."""
    both = np.array([parts.split, parts.remain], np.uint64)
    put_mapping(edit, both, body)
    put_mapping(edit, np.array([supervoxel], np.uint64), 0)
    if supervoxel != body:
        edit.delete(MEMBERS, member_keys(body, np.array([supervoxel], np.uint64))[0])
    for key in member_keys(body, both):
        edit.put(MEMBERS, key, b"")


def put_split(edit: Edit, mutation: int, number: int, supervoxel: int, parts: Parts) -> None:
    """Note what was split into what; `number` counts the splits of one mutation."""
    row = np.array((supervoxel, parts.remain, parts.split, edit.node.version), SPLIT)
    edit.put(SPLITS, layout.pack_u64(mutation) + layout.pack_u32(number), row.tobytes())
