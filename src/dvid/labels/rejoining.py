"""Taking the split of a supervoxel back, and splitting it once more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dvid.codecs.labelblocks import decode, deflate, encode, labels_of, relabel
from dvid.codecs.sparsevols import decode_rles, rles_header
from dvid.errors import Conflict, CorruptValue
from dvid.geometry import Zyx
from dvid.labels.blocks import expanded, stored_blocks
from dvid.labels.bodies import body, existing, put_body
from dvid.labels.grouping import held_by
from dvid.labels.index import Entries, all_entries, change_index, is_anywhere, sizes_of
from dvid.labels.logged import Logged, gone, log_undo, refusal
from dvid.labels.mapping import body_of, put_mapping
from dvid.labels.scales import ask_for_scales
from dvid.labels.splits import Parts, put_split, replace_member, rewrite
from dvid.labels.tables import BLOCKS, MEMBERS, SPLITS, Labels, block_key, member_keys
from dvid.versions import layout
from dvid.versions.edit import Edit
from dvid.versions.envelope import Format

_AT_ONCE = 256


def rejoin(edit: Edit, logged: Logged) -> int:
    """Give both parts of a supervoxel its old label, in the body that has them by now; the mutation id.

    Raises:
        Conflict: they are not what the split has made.
    """
    event = logged.events[0]
    supervoxel, parts = _told(event)
    both = np.array([parts.split, parts.remain], np.uint64)
    for part, voxels, told in zip(
        both.tolist(), sizes_of(edit, both).tolist(), (event["SplitSize"], event["RemainSize"]), strict=True
    ):
        if not voxels:
            raise gone(edit, logged, part, body_of(edit, part) or event["Body"])
        if voxels != told:
            why = f"supervoxel {part} has {voxels} voxels by now; the split gave it {told}"
            raise refusal(edit, logged, why, part, row=body(edit, body_of(edit, part)))
    owner = body_of(edit, parts.split)
    if body_of(edit, parts.remain) != owner:
        why = f"the supervoxels {parts.split} and {parts.remain} belong to different bodies by now"
        raise refusal(edit, logged, why, parts.split, lambda move: _holds(move.supervoxels, both))
    row = body(edit, owner)
    if row is None or not held_by(edit, owner, row.own, both).all():
        raise gone(edit, logged, parts.split, owner)
    if is_anywhere(edit, supervoxel) or body_of(edit, supervoxel) not in (0, supervoxel):
        raise refusal(edit, logged, f"{supervoxel} is the number of a supervoxel again", supervoxel)
    mutation = log_undo(edit, logged, [event])
    one = np.array([supervoxel], np.uint64)
    places = _relabel(edit, both, supervoxel)
    put_mapping(edit, both, 0)
    put_mapping(edit, one, owner)
    for key in member_keys(owner, both):
        edit.delete(MEMBERS, key)
    own = row.own and owner not in both.tolist()
    if supervoxel != owner:
        edit.put(MEMBERS, member_keys(owner, one)[0], b"")
    else:
        own = True
    edit.delete(SPLITS, layout.pack_u64(logged.original) + layout.pack_u32(0))
    put_body(edit, owner, row.voxels, mutation, own=own)
    ask_for_scales(edit, 0, places, mutation)
    return mutation


def split_again(edit: Edit, logged: Logged) -> int:
    """Split a supervoxel as it was split before; the mutation id.

    Raises:
        Conflict: it is not what it was, or the labels of its parts are in use.
    """
    event = logged.events[0]
    supervoxel, parts = _told(event)
    if not is_anywhere(edit, supervoxel):
        raise gone(edit, logged, supervoxel, body_of(edit, supervoxel) or event["Body"])
    for part in (parts.split, parts.remain):
        if body(edit, part) is not None or body_of(edit, part) not in (0, part) or is_anywhere(edit, part):
            why = f"{part} is the number of a body or supervoxel again"
            raise refusal(edit, logged, why, part)
    sent = edit.blob(event["Split"])
    if sent is None:
        raise Conflict(
            f"mutation {logged.mutation} cannot be taken back: its sparse volume is no longer in the blob store"
        )
    owner = body_of(edit, supervoxel)
    row = existing(edit, owner)
    runs = decode_rles(rles_header(len(sent) // 16) + sent)  # the log keeps them without the header
    entries, places = rewrite(edit, {supervoxel: parts}, runs)
    is_split = entries.supervoxels == np.uint64(parts.split)
    sizes = int(entries.voxels[is_split].sum()), int(entries.voxels[~is_split].sum())
    if sizes != (event["SplitSize"], event["RemainSize"]):
        why = f"the voxels of supervoxel {supervoxel} have changed"
        raise refusal(edit, logged, why, supervoxel, row=row)
    replace_member(edit, owner, supervoxel, parts)
    mutation = log_undo(edit, logged, [event])
    put_split(edit, logged.original, 0, supervoxel, parts)
    put_body(edit, owner, row.voxels, mutation, own=row.own and owner != supervoxel)
    ask_for_scales(edit, 0, places, mutation)
    return mutation


def _told(event: Mapping[str, Any]) -> tuple[int, Parts]:
    """The supervoxel of a split, and its parts."""
    try:
        return event["Supervoxel"], Parts(event["SplitSupervoxel"], event["RemainSupervoxel"])
    except KeyError as error:
        raise CorruptValue(f"an event of mutation {event.get('MutationID')} does not tell what it split") from error


def _holds(supervoxels: Labels, some: Labels) -> bool:
    return bool(np.isin(some, supervoxels).any())


def _relabel(edit: Edit, parts: Labels, supervoxel: int) -> list[Zyx]:
    """Give the voxels of two supervoxels one label, in all blocks and in the index; the blocks."""
    entries = all_entries(edit, parts)
    places: list[Zyx] = [(z, y, x) for z, y, x in entries.blocks().tolist()]
    for first in range(0, len(places), _AT_ONCE):
        some = places[first : first + _AT_ONCE]
        stored = [None if block is None else expanded(edit, block) for block in stored_blocks(edit, 0, some)]
        for place, block in zip(some, stored, strict=True):
            if block is None:
                continue
            labels = labels_of(block)
            made = np.where(np.isin(labels, parts), np.uint64(supervoxel), labels)
            # A list without duplicates: encoded anew where both parts were in the block.
            data = relabel(block, made) if len(np.unique(made)) == len(made) else encode(decode(block, made))
            edit.put(BLOCKS, block_key(0, place), deflate(data), Format.GZIP)
    joined = Entries(np.full(len(entries), supervoxel, np.uint64), entries.blocks_zyx, entries.voxels)
    change_index(edit, Entries.joined([entries.times(-1), joined]))
    return places
