"""Splitting supervoxels, alone or where a body is split: the only edits of bodies that rewrite blocks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from dvid.codecs.labelblocks import Block, count_inside, deflate, labels_of, paint, relabel, trusted
from dvid.errors import BadRequest, Conflict
from dvid.geometry import Zyx
from dvid.kernels.runs import count_voxels, cut_runs, runs_within
from dvid.labels.blocks import block_shape, expanded, stored_blocks
from dvid.labels.bodies import body as body_row
from dvid.labels.bodies import existing, put_body
from dvid.labels.grouping import held_by
from dvid.labels.index import Entries, all_entries, change_index, is_anywhere, sizes_of
from dvid.labels.mapping import body_of, put_mapping
from dvid.labels.moves import Move, regroup, use_up
from dvid.labels.numbering import LARGEST, new_labels, saw_label
from dvid.labels.scales import ask_for_scales
from dvid.labels.tables import (
    BLOCKS,
    BODIES,
    MAPPING,
    MEMBERS,
    SPLIT,
    SPLITS,
    Labels,
    block_key,
    label_key,
    member_keys,
)
from dvid.storage.protocol import Buffer
from dvid.versions import layout
from dvid.versions.edit import Edit
from dvid.versions.envelope import Format
from dvid.versions.view import View

Runs = NDArray[np.int32]
"""(n, 4): x, y, z of the first voxel, and voxels along x."""

_MOST_PIECES = 1 << 23
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


class BlockRuns(Mapping[Zyx, Runs]):
    """Runs by the block they lie in, counted from its first voxel. Memory: some 30 bytes for each piece of a run."""

    def __init__(self, runs: Runs, block_zyx: Zyx) -> None:
        """Raises TooLarge where the blocks cut the runs into more than 2^23 pieces."""
        self._places, self._bounds, self._pieces = cut_runs(runs, block_zyx, _MOST_PIECES)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Zyx]:
        for first in range(0, len(self._places), _AT_ONCE):
            yield from map(tuple, self._places[first : first + _AT_ONCE].tolist())

    def __getitem__(self, place: Zyx) -> Runs:
        at = bisect_left(range(len(self)), place, key=lambda i: tuple(self._places[i].tolist()))
        if at == len(self) or tuple(self._places[at].tolist()) != place:
            raise KeyError(place)
        return self._pieces[self._bounds[at] : self._bounds[at + 1]]


def runs_by_block(runs: Runs, block_zyx: Zyx, label: int, voxels: int) -> BlockRuns:
    """The runs that split something off a label, by block.

    Args:
        runs: disjoint, in any order.
        block_zyx: shape of a block in voxels.
        label: is split.
        voxels: that it has.

    Raises:
        BadRequest: the runs have more voxels than the label.
    """
    sent = count_voxels(runs)  # before anything that takes longer the longer the runs are
    if sent > voxels:
        raise BadRequest(
            f"split: the sparse volume must be a part of label {label}; it has {sent} voxels, the label has {voxels}"
        )
    return BlockRuns(runs, block_zyx)


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


def blocks_at(view: View, places: Iterable[Zyx]) -> Iterator[tuple[int, Zyx, Block | None]]:
    """The blocks of full resolution at some places: the number of the place, itself, and its block or None."""
    first, rest = 0, iter(places)
    while some := list(islice(rest, _AT_ONCE)):
        # All at once: what is stored may move when the caller writes.
        blocks = [None if block is None else expanded(view, block) for block in stored_blocks(view, 0, some)]
        for at, (place, block) in enumerate(zip(some, blocks, strict=True), first):
            yield at, place, block
        first += len(some)


def rewrite(edit: Edit, divided: Mapping[int, Parts], runs: Runs) -> tuple[Entries, list[Zyx]]:
    """Give the voxels of supervoxels the labels of their parts, in all blocks and in the index.

    Args:
        edit: the instance.
        divided: the supervoxels, and the labels of their parts.
        runs: what is split off; what of it lies outside the supervoxels is ignored.

    Returns:
        The index entries of the parts, and the blocks.
    """
    old = np.array(sorted(divided), np.uint64)
    new = np.array([(divided[label].split, divided[label].remain) for label in old.tolist()], np.uint64).reshape(-1, 2)
    own = all_entries(edit, old).by_block()
    which = np.searchsorted(old, own.supervoxels)
    z, y, x = own.blocks_zyx.T
    starts = np.flatnonzero(np.diff(z, prepend=z[:1] - 1) | np.diff(y, prepend=0) | np.diff(x, prepend=0))
    ends = [*starts[1:].tolist(), len(own)]
    places: list[Zyx] = [(z, y, x) for z, y, x in own.blocks_zyx[starts].tolist()]
    shape = block_shape(edit)
    pieces = BlockRuns(runs_within(runs, shape, own.blocks_zyx[starts], _MOST_PIECES), shape)
    split_off = np.zeros(len(own), np.int64)
    for at, place, block in blocks_at(edit, places):
        if block is None:
            continue
        listed = labels_of(block)
        found = np.searchsorted(old, listed)
        found[found == len(old)] = 0
        is_old = old[found] == listed
        remain = np.where(is_old, new[found, 1], listed)
        inside = pieces.get(place)
        if inside is None:
            made = relabel(block, remain)
        else:
            made, voxels = paint(block, inside, np.where(is_old, new[found, 0], listed), remain)
            sums = np.zeros(len(old), np.int64)
            np.add.at(sums, found[is_old], voxels[:-1][is_old])
            here = slice(starts[at], ends[at])
            split_off[here] = sums[which[here]]
        edit.put(BLOCKS, block_key(0, place), deflate(trusted(made)), Format.GZIP)
    entries = Entries.joined(
        [
            Entries(new[which, 0], own.blocks_zyx, split_off),
            Entries(new[which, 1], own.blocks_zyx, own.voxels - split_off),
        ]
    )
    entries = entries.chosen(entries.voxels > 0)
    change_index(edit, Entries.joined([own.times(-1), entries]))
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
    entries, places = rewrite(edit, {supervoxel: parts}, runs)
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
    put_body(edit, body, row.voxels, mutation, own=row.own and body != supervoxel)
    if downres:
        ask_for_scales(edit, 0, places, mutation)
    return Divided(parts, split_voxels, remain_voxels, mutation)


def replace_member(edit: Edit, body: int, supervoxel: int, parts: Parts) -> None:
    """Let the parts of a supervoxel take its place in a body; its number is no supervoxel's any longer."""
    _replace_members(edit, body, {supervoxel: parts})


def _replace_members(edit: Edit, body: int, divided: Mapping[int, Parts]) -> None:
    gone = np.array(list(divided), np.uint64)
    parts = np.array([(both.split, both.remain) for both in divided.values()], np.uint64).reshape(-1)
    put_mapping(edit, parts, body)
    put_mapping(edit, gone, 0)
    for key in member_keys(body, gone[gone != np.uint64(body)]):
        edit.delete(MEMBERS, key)
    for key in member_keys(body, parts):
        edit.put(MEMBERS, key, b"")


def put_split(edit: Edit, mutation: int, number: int, supervoxel: int, parts: Parts) -> None:
    """Note what was split into what; `number` counts the splits of one mutation."""
    row = np.array((supervoxel, parts.remain, parts.split, edit.node.version), SPLIT)
    edit.put(SPLITS, layout.pack_u64(mutation) + layout.pack_u32(number), row.tobytes())


# ---- splitting bodies ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SplitBody:
    """What a split has made of a body."""

    label: int
    """The new body."""
    mutation: int


def _inside(edit: Edit, body: int, own: bool, runs: BlockRuns) -> tuple[Labels, NDArray[np.int64]]:
    """The supervoxels of a body that runs touch, and how many of their voxels are inside.

    Raises:
        BadRequest: something else lies in the runs. It ends there, however much more there is.
    """
    known = np.empty(0, np.uint64)
    labels, counts = [known], [np.empty(0, np.int64)]
    for _, place, block in blocks_at(edit, runs):
        voxels = np.ones(1, np.int64) if block is None else count_inside(block, runs[place])
        listed = np.empty(0, np.uint64) if block is None else labels_of(block)
        touched = np.flatnonzero(voxels)
        found = np.append(listed, np.uint64(0))[touched]
        new = np.setdiff1d(found, known)
        foreign = new[~held_by(edit, body, own, new) | (new == 0)] if len(new) else new
        if len(foreign):
            raise BadRequest(
                f"split: {_foreign(edit, int(foreign[0]))} lie in the sparse volume, which must be a part of body {body}"
            )
        known = np.union1d(known, new)
        labels.append(found)
        counts.append(voxels[touched])
    found, at = np.unique(np.concatenate(labels), return_inverse=True)
    sums = np.zeros(len(found), np.int64)
    np.add.at(sums, at, np.concatenate(counts))
    return found, sums


def split_body(edit: Edit, body: int, runs: Runs, sent: Buffer) -> SplitBody:
    """Split some voxels off a body and make a body of them.

    Supervoxels that lie in the runs as a whole move to the new body. Those that the runs cut are split in two.

    Args:
        edit: the instance.
        body: which.
        runs: what is split off, in order; all of it must belong to the body.
        sent: the runs as they were sent, without a header before them: kept in the blob store for the mutation log.

    Raises:
        BadRequest: there is no such body, or the runs hold nothing, all of it, or something else.
    """
    row = body_row(edit, body)
    if row is None:
        raise BadRequest(f"split: there is no body {body} at this version")
    touched, inside = _inside(edit, body, row.own, runs_by_block(runs, block_shape(edit), body, row.voxels))
    if not len(touched):
        raise BadRequest("split: the sparse volume that was sent has no voxels")
    voxels = int(inside.sum())
    if voxels >= row.voxels:
        raise BadRequest(f"split: the sparse volume holds all of body {body}; nothing would remain of it")
    is_cut = inside < sizes_of(edit, touched)
    cut: list[int] = touched[is_cut].tolist()
    fresh = iter(new_labels(edit, 1 + 2 * len(cut)))
    label = next(fresh)
    divided = {supervoxel: Parts(next(fresh), next(fresh)) for supervoxel in cut}
    mutation = edit.log(
        "split-complete",
        {
            "Target": body,
            "NewLabel": label,
            "Split": edit.put_blob(bytes(sent)),
            "SVSplits": {str(old): {"Split": parts.split, "Remain": parts.remain} for old, parts in divided.items()},
            "SplitSize": voxels,
            "RemainSize": row.voxels - voxels,
        },
    )
    if divided:
        _, places = rewrite(edit, divided, runs)
        _replace_members(edit, body, divided)
        for number, (supervoxel, parts) in enumerate(divided.items()):
            put_split(edit, mutation, number, supervoxel, parts)
        put_body(edit, body, row.voxels, mutation, own=row.own and body not in divided)
        ask_for_scales(edit, 0, places, mutation)
    moved = np.concatenate((touched[~is_cut], np.array([parts.split for parts in divided.values()], np.uint64)))
    moves = [Move(body, label, moved, voxels, ends=False, founds=True)]
    regroup(edit, moves, mutation)
    use_up(edit, moves)
    return SplitBody(label, mutation)


def _foreign(view: View, supervoxel: int) -> str:
    """Names voxels that are not those of a body."""
    if not supervoxel:
        return "voxels of label 0"
    return f"voxels of supervoxel {supervoxel} of body {body_of(view, supervoxel)}"
