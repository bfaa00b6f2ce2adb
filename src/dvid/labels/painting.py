"""Voxels with the labels of bodies, as datatypes have them that show no supervoxels.

What is written there is the label of a body, and what is split off a body gets the label of another. Blocks hold
supervoxels all the same, so that merges touch no block. Mostly a body's own supervoxel is written; but where that was
merged into another body, and is its supervoxel still, another number stands in for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dvid.codecs.labelblocks import Block, deflate, inflate, labels_of, paint, relabel, trusted
from dvid.errors import BadRequest
from dvid.geometry import Zyx
from dvid.kernels.runs import count_voxels
from dvid.labels import tables
from dvid.labels.accounts import account
from dvid.labels.blocks import block_shape
from dvid.labels.bodies import Body, bodies, body, members
from dvid.labels.index import Entries, all_entries
from dvid.labels.mapping import bodies_of, is_identity, lookup, put_mappings
from dvid.labels.numbering import LARGEST, new_labels, saw_label
from dvid.labels.scales import ask_for_scales
from dvid.labels.splits import Runs, SplitBody, blocks_at, runs_by_block
from dvid.labels.tables import BLOCKS, MEMBERS, Labels, block_key, label_key
from dvid.labels.writing import NewBlock
from dvid.storage.protocol import Buffer
from dvid.versions.edit import Edit
from dvid.versions.envelope import Format

_NO_RUNS = np.empty((0, 4), np.int32)


# ---- writing ------------------------------------------------------------------------------------


def supervoxels_for(edit: Edit, labels: Labels) -> Labels:
    """The supervoxels to be written so that voxels have some labels; these are taken for granted from now on.

    Args:
        edit: the instance.
        labels: (n,) uint64, of bodies that there are or are to be; each once.

    Returns:
        (n,) uint64, each once.
    """
    owners, told = lookup(edit, labels)
    taken = np.flatnonzero(told & (owners != labels) & (owners != 0))
    if not len(taken):
        return labels
    found, asked = labels.copy(), labels[taken]
    there = bodies(edit, asked)["voxels"] != 0
    for at, label in zip(taken[there].tolist(), asked[there].tolist(), strict=True):
        found[at] = _a_member(edit, label)
    absent = asked[~there]
    if len(absent):
        fresh = np.array(new_labels(edit, len(absent)), np.uint64)
        put_mappings(edit, fresh, absent)
        found[taken[~there]] = fresh
    return found


def _a_member(edit: Edit, label: int) -> int:
    stop = label_key(label + 1) if label < 2**64 - 1 else None
    return tables.label_of(next(edit.keys(MEMBERS, label_key(label), stop)), 8)


def as_supervoxels(edit: Edit, blocks: Sequence[NewBlock]) -> list[NewBlock]:
    """Blocks of labels of bodies, as they are to be stored."""
    if is_identity(edit) or not blocks:
        return list(blocks)
    labels = np.unique(np.concatenate([block.supervoxels for block in blocks]))
    supervoxels = supervoxels_for(edit, labels)
    if np.array_equal(labels, supervoxels):
        return list(blocks)
    return [_with(block, labels, supervoxels, block_shape(edit)) for block in blocks]


def _with(block: NewBlock, labels: Labels, supervoxels: Labels, block_zyx: Zyx) -> NewBlock:
    """A block with supervoxels in place of labels; all that it holds are among these."""
    made = supervoxels[np.searchsorted(labels, block.supervoxels)]
    if np.array_equal(made, block.supervoxels):
        return block
    data = trusted(inflate(block.data, block_zyx))
    listed = labels_of(data)
    at = np.searchsorted(labels, listed)
    at[at == len(labels)] = 0
    changed = np.where(labels[at] == listed, supervoxels[at], listed)
    order = np.argsort(made)
    return NewBlock(block.place_zyx, deflate(trusted(relabel(data, changed))), made[order], block.voxels[order])


# ---- splitting ----------------------------------------------------------------------------------


def split_off(edit: Edit, label: int, runs: Runs, sent: Buffer, wanted: int = 0) -> SplitBody:
    """Give some voxels of a body another label.

    The time depends on the blocks of these voxels, not on the body.

    Args:
        edit: the instance.
        label: the body.
        runs: the voxels, in order; all of them must belong to the body.
        sent: the runs as they were sent, without a header before them: kept in the blob store for the mutation log.
        wanted: the label that they get, perhaps of a body that there is; 0 for a new one.

    Raises:
        BadRequest: there is no such body, the runs hold nothing, all of it, or something else, or `wanted` is no other label.
    """
    row = _existing(edit, label)
    new, supervoxel = _target(edit, label, wanted)
    pieces = runs_by_block(runs, block_shape(edit), label, row.voxels)
    changes = [Entries.none()]
    for _, place, block in blocks_at(edit, pieces):
        if block is None:
            raise _outside(label, f"block {place[::-1]} (x, y, z) was never written")
        listed = labels_of(block)
        made, counts = paint(block, pieces[place], np.full(len(listed), supervoxel, np.uint64), listed)
        if counts[-1]:
            raise _outside(label, f"it holds voxels of label 0 in block {place[::-1]} (x, y, z)")
        touched = np.flatnonzero(counts[:-1])
        owners = bodies_of(edit, listed[touched])
        if (foreign := owners != np.uint64(label)).any():
            other = int(owners[np.argmax(foreign)])
            raise _outside(label, f"it holds voxels of label {other} in block {place[::-1]} (x, y, z)")
        old = Entries(listed[touched], np.repeat([np.array(place, np.int64)], len(touched), 0), counts[touched])
        changes += [old.times(-1), _as_one(supervoxel, old)]
        edit.put(BLOCKS, block_key(0, place), deflate(trusted(made)), Format.GZIP)
    return _finish(edit, "split", row, label, new, Entries.joined(changes), pieces, sent)


def split_off_blocks(edit: Edit, label: int, runs: Runs, sent: Buffer, wanted: int = 0) -> SplitBody:
    """Give the voxels of a body in some blocks another label.

    Args:
        edit: the instance.
        label: the body.
        runs: the blocks, as runs in block coordinates, in order; it must be in each of them.
        sent: as for `split_off`.
        wanted: as for `split_off`.

    Raises:
        BadRequest: there is no such body, it is not in one of the blocks, or in no others; or as for `split_off`.
    """
    row = _existing(edit, label)
    new, supervoxel = _target(edit, label, wanted)
    supervoxels = members(edit, label, row.own)
    entries = all_entries(edit, supervoxels)
    count, held = count_voxels(runs), entries.blocks()
    if count > len(held):  # before they are told apart: runs can be long
        raise _outside(label, f"it holds {count} blocks, the label is in {len(held)}")
    places = _points(runs)
    absent = set(places).difference(map(tuple, held.tolist()))
    if absent:
        raise _outside(label, f"the label is not in block {min(absent)[::-1]} (x, y, z)")
    chosen = set(places)
    inside = [tuple(place) in chosen for place in entries.blocks_zyx.tolist()]
    old = entries.chosen(np.array(inside, bool))
    for _, place, block in blocks_at(edit, places):
        if block is not None:
            edit.put(BLOCKS, block_key(0, place), deflate(_with_one(block, supervoxels, supervoxel)), Format.GZIP)
    changes = Entries.joined([old.times(-1), _as_one(supervoxel, old)])
    return _finish(edit, "splitcoarse", row, label, new, changes, places, sent)


def _points(runs: Runs) -> list[Zyx]:
    lengths = runs[:, 3].astype(np.int64)
    x = np.repeat(runs[:, 0] - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
    points = np.stack((np.repeat(runs[:, 2], lengths), np.repeat(runs[:, 1], lengths), x), 1)
    return [(z, y, x) for z, y, x in points.tolist()]


def _with_one(block: Block, supervoxels: Labels, supervoxel: int) -> Block:
    """A block with one supervoxel in place of others."""
    listed = labels_of(block)
    made = np.where(np.isin(listed, supervoxels), np.uint64(supervoxel), listed)
    if len(np.unique(made)) == len(made):
        return trusted(relabel(block, made))
    return trusted(paint(block, _NO_RUNS, made, made)[0])  # once in the list


def _as_one(supervoxel: int, entries: Entries) -> Entries:
    return Entries(np.full(len(entries), supervoxel, np.uint64), entries.blocks_zyx, entries.voxels)


def _existing(edit: Edit, label: int) -> Body:
    row = body(edit, label)
    if row is None:
        raise BadRequest(f"split: there is no label {label} at this version")
    return row


def _target(edit: Edit, label: int, wanted: int) -> tuple[int, int]:
    """The label that is split off, and the supervoxel to be written for it."""
    if not wanted:
        new = new_labels(edit)[0]
        return new, new
    if not 1 <= wanted <= LARGEST or wanted == label:
        raise BadRequest(f"split: a label from 1 to {LARGEST} other than {label} was expected, not {wanted}")
    saw_label(edit, wanted)
    return wanted, int(supervoxels_for(edit, np.array([wanted], np.uint64))[0])


def _outside(label: int, why: str) -> BadRequest:
    return BadRequest(f"split: the sparse volume must be a part of label {label}; {why}")


def _finish(
    edit: Edit, what: str, row: Body, label: int, new: int, changes: Entries, places: Iterable[Zyx], sent: Buffer
) -> SplitBody:
    gone: NDArray[np.int64] = changes.voxels[changes.voxels > 0]
    voxels = int(gone.sum())
    if voxels >= row.voxels:
        raise BadRequest(f"split: the sparse volume holds all of label {label}; nothing would remain of it")
    event = {"Target": label, "NewLabel": new, "Split": edit.put_blob(bytes(sent))}
    sizes = {"SplitSize": voxels, "RemainSize": row.voxels - voxels}
    mutation = edit.log(f"{what}-complete", {**event, **sizes})
    account(edit, changes, mutation)
    ask_for_scales(edit, 0, places, mutation)
    return SplitBody(new, mutation)
