"""Changes of labels: merges, splits, blocks that are deleted, and the mending of what is known of a label.

The voxels of a labelblk hold labels, not supervoxels: what is written is read, whatever was merged before. So a merge or
split gives voxels other labels, and each body is the one supervoxel of its number (see `dvid.labels.tables`; MEMBERS
and MAPPING stay empty). Voxels, index and sizes change in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dvid.codecs.labelblocks import deflate, labels_of, paint, relabel, trusted
from dvid.errors import BadRequest
from dvid.geometry import MAX_COORDINATE, Zyx
from dvid.labels.accounts import account
from dvid.labels.blocks import block_shape
from dvid.labels.bodies import bodies, put_bodies
from dvid.labels.grouping import bodies_to_merge
from dvid.labels.index import Entries, all_entries, change_index
from dvid.labels.moves import MERGE
from dvid.labels.numbering import LARGEST, new_labels, saw_label
from dvid.labels.removals import restore
from dvid.labels.splits import Runs, blocks_at, runs_by_block
from dvid.labels.tables import BLOCKS, Labels, block_key
from dvid.labels.writing import tallied
from dvid.storage.protocol import Buffer
from dvid.versions import layout
from dvid.versions.edit import Edit
from dvid.versions.envelope import Format
from dvid.versions.view import View

SPLIT = "split-complete"


@dataclass(frozen=True, slots=True)
class Split:
    """What a split has made."""

    label: int
    """Of the voxels that were split off."""
    mutation: int


@dataclass(frozen=True, slots=True)
class Mended:
    """What `mend` has found."""

    blocks: int
    """That were looked at."""
    wrong: int
    """Of these, those where the index was wrong."""
    restored: int
    """Blocks that the sparse volume left out, and does not any longer."""


def _one(label: int) -> Labels:
    return np.array([label], np.uint64)


def _places(entries: Entries) -> list[Zyx]:
    return [(z, y, x) for z, y, x in entries.blocks().tolist()]


def _moved(entries: Entries, target: int) -> Entries:
    """The changes of the index where voxels get another label."""
    arrived = Entries(np.full(len(entries), target, np.uint64), entries.blocks_zyx, entries.voxels)
    return Entries.joined([entries.times(-1), arrived])


def _relabel(edit: Edit, places: Sequence[Zyx], labels: Labels, target: int) -> None:
    """Give the voxels of some labels another one, in some blocks."""
    for _, place, block in blocks_at(edit, places):
        if block is None:
            continue
        listed = labels_of(block)
        made = trusted(relabel(block, np.where(np.isin(listed, labels), np.uint64(target), listed)))
        edit.put(BLOCKS, block_key(0, place), deflate(made), Format.GZIP)


# ---- merging ------------------------------------------------------------------------------------


def merge(edit: Edit, target: int, merged: Sequence[int]) -> int:
    """Give the voxels of labels another label; the mutation id.

    Raises:
        BadRequest: one of the labels does not exist, one comes twice, or there is nothing to merge.
    """
    if not merged:
        raise BadRequest("merge: at least two labels are needed, [target, label, ...]")
    bodies_to_merge(edit, [target, *merged], "label")
    labels = np.array(merged, np.uint64)
    entries = all_entries(edit, labels)
    mutation = edit.log(MERGE, {"Target": target, "Labels": list(merged)})
    _relabel(edit, _places(entries), labels, target)
    account(edit, _moved(entries, target), mutation)
    restore(edit, labels)
    return mutation


# ---- splitting ----------------------------------------------------------------------------------


def _begun(edit: Edit, label: int, runs: Runs, wanted: int) -> tuple[Entries, int]:
    """Where a label is that is to be split, and the label of what is split off.

    Raises:
        BadRequest: there is no such label, nothing is split off, or `wanted` is no label, or the one that is split.
    """
    if not len(runs):
        raise BadRequest("split: the sparse volume that was sent is empty")
    if wanted and not (1 <= wanted <= LARGEST and wanted != label):
        raise BadRequest(f"split: another label than {label} was expected for what is split off, not {wanted}")
    entries = all_entries(edit, _one(label))
    if not len(entries):
        raise BadRequest(f"split: there is no label {label} at this version")
    return entries, wanted or new_labels(edit)[0]


def _finished(
    edit: Edit, label: int, made: int, entries: Entries, parted: Entries, sent: Buffer, *, coarse: bool
) -> Split:
    voxels, remaining = int(parted.voxels.sum()), int(entries.voxels.sum() - parted.voxels.sum())
    if remaining <= 0:
        raise BadRequest(f"split: the sparse volume holds all of label {label}; nothing would remain of it")
    event = {
        "Target": label,
        "NewLabel": made,
        "Coarse": coarse,
        "Split": edit.put_blob(bytes(sent)),
        "SplitSize": voxels,
    }
    mutation = edit.log(SPLIT, event)
    saw_label(edit, made)
    account(edit, _moved(parted, made), mutation)
    return Split(made, mutation)


def split(edit: Edit, label: int, runs: Runs, sent: Buffer, *, wanted: int = 0) -> Split:
    """Give some voxels of a label another label.

    Args:
        edit: the instance.
        label: which.
        runs: the voxels, all of that label, and not all it has.
        sent: the runs as they were sent, without a header before them: kept in the blob store for the mutation log.
        wanted: the label they get, which may exist; 0 for a new one.

    Raises:
        BadRequest: there is no such label, voxels in the runs have another one, or nothing of it would remain.
    """
    entries, made = _begun(edit, label, runs, wanted)
    held = dict(zip(map(tuple, entries.blocks_zyx.tolist()), range(len(entries)), strict=True))
    pieces = runs_by_block(runs, block_shape(edit), label, int(entries.voxels.sum()))
    if outside := next((place for place in pieces if place not in held), None):
        raise BadRequest(f"split: there is no voxel of label {label} in block {outside[::-1]} (x, y, z)")
    which, counts = [], []
    for _, place, block in blocks_at(edit, pieces):
        listed = np.empty(0, np.uint64) if block is None else labels_of(block)
        own = listed == np.uint64(label)
        inside = 0
        if block is not None:
            painted, voxels = paint(block, pieces[place], np.where(own, np.uint64(made), listed), listed)
            inside = int(voxels[:-1][own].sum())
        if inside != int(pieces[place][:, 3].sum(dtype=np.int64)):
            raise BadRequest(
                f"split: the sparse volume has voxels in block {place[::-1]} (x, y, z) that are not of label {label}"
            )
        edit.put(BLOCKS, block_key(0, place), deflate(trusted(painted)), Format.GZIP)
        which.append(held[place])
        counts.append(inside)
    parted = entries.chosen(np.array(which))
    parted = Entries(parted.supervoxels, parted.blocks_zyx, np.array(counts, np.int64))
    return _finished(edit, label, made, entries, parted, sent, coarse=False)


def split_coarse(edit: Edit, label: int, runs: Runs, sent: Buffer, *, wanted: int = 0) -> Split:
    """Give the voxels of a label in some blocks another label.

    Args:
        edit: the instance.
        label: which.
        runs: the blocks, sorted and disjoint; there must be voxels of the label in each, and in others.
        sent: the runs as they were sent, without a header before them: kept in the blob store for the mutation log.
        wanted: the label they get, which may exist; 0 for a new one.

    Raises:
        BadRequest: there is no such label, it is not in all of the blocks, or in no others.
    """
    entries, made = _begun(edit, label, runs, wanted)
    wide = runs.astype(np.int64)
    first, after = wide[:, [2, 1, 0]], wide[:, 0] + wide[:, 3]
    order = np.lexsort((first[:, 2], first[:, 1], first[:, 0]))
    first, after = first[order], after[order]
    starts = [tuple(start) for start in first.tolist()]
    entries = entries.by_block()
    at = _last_not_behind(starts, entries.blocks_zyx.tolist())
    inside = at >= 0
    inside &= (entries.blocks_zyx[:, :2] == first[at, :2]).all(1) & (entries.blocks_zyx[:, 2] < after[at])
    parted = entries.chosen(inside)
    if len(parted) != int(wide[:, 3].sum()):
        raise BadRequest(
            f"split: label {label} is in {len(parted)} of the {int(wide[:, 3].sum())} blocks that were sent; it must be "
            "in all of them"
        )
    _relabel(edit, _places(parted), _one(label), made)
    return _finished(edit, label, made, entries, parted, sent, coarse=True)


def _last_not_behind(
    starts: Sequence[tuple[int, ...]], points: Sequence[Sequence[int]]
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """For each point the last start that does not lie behind it, or -1; both are sorted."""
    found, at = np.empty(len(points), np.int64), -1
    for number, point in enumerate(map(tuple, points)):
        while at + 1 < len(starts) and starts[at + 1] <= point:
            at += 1
        found[number] = at
    return found


# ---- deleting -----------------------------------------------------------------------------------


def stored_row(view: View, start_zyx: Zyx, count: int) -> list[Zyx]:
    """Those of some blocks along x that are stored."""
    z, y, x = start_zyx
    stop = min(x + count, MAX_COORDINATE)  # there is no block at the last coordinate: its voxels would lie beyond it
    keys = view.keys(BLOCKS, block_key(0, start_zyx), block_key(0, (z, y, stop)))
    return [layout.block_of(key[1:]) for key in keys]


def delete_blocks(edit: Edit, start_zyx: Zyx, count: int) -> int:
    """Delete some blocks along x: their voxels are 0 from now on. How many there were."""
    places = stored_row(edit, start_zyx, count)
    parts = []
    for _, place, block in blocks_at(edit, places):
        if block is not None:
            labels, voxels = tallied(block)
            parts.append(Entries(labels, np.repeat(np.array([place], np.int64), len(labels), 0), -voxels))
    for place in places:
        edit.delete(BLOCKS, block_key(0, place))
    if places:
        mutation = edit.log("delete-blocks", {"Start": list(start_zyx[::-1]), "Blocks": len(places)})
        account(edit, Entries.joined(parts), mutation)
    return len(places)


# ---- mending ------------------------------------------------------------------------------------


def mend(edit: Edit, label: int, runs: Runs) -> Mended:
    """Compare what is known of a label with the voxels, and put it right where it differs.

    Args:
        edit: the instance.
        label: which.
        runs: blocks to look at, beside those that the index names.
    """
    entries = all_entries(edit, _one(label))
    indexed = dict(zip(map(tuple, entries.blocks_zyx.tolist()), entries.voxels.tolist(), strict=True))
    named = [place for x, y, z, count in runs.tolist() for place in stored_row(edit, (z, y, x), count)]
    places: list[Zyx] = [(z, y, x) for z, y, x in {**indexed, **dict.fromkeys(named)}]
    changes = []
    for _, place, block in blocks_at(edit, places):
        labels, voxels = (_one(0), np.zeros(1, np.int64)) if block is None else tallied(block)
        difference = int(voxels[labels == np.uint64(label)].sum()) - indexed.get(place, 0)
        if difference:
            changes.append(Entries(_one(label), np.array([place], np.int64), np.array([difference])))
    rows = bodies(edit, _one(label))
    total = int(entries.voxels.sum()) + sum(int(change.voxels.sum()) for change in changes)
    if changes or int(rows["voxels"][0]) != total:
        mutation = edit.log("resync", {"Label": label, "Blocks": len(changes)})
        change_index(edit, Entries.joined(changes))
        rows["voxels"], rows["own"], rows["mutation"] = total, bool(total), mutation
        put_bodies(edit, _one(label), rows)
        saw_label(edit, label)
    restored = restore(edit, _one(label), _named(runs, named))
    return Mended(len(places), len(changes), restored)


def _named(runs: Runs, places: Iterable[Zyx]) -> Iterable[Zyx] | None:
    return places if len(runs) else None
