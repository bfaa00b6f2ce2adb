"""Label indices as clients know them: for a body, the blocks that hold it, with the voxels of each supervoxel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dvid.codecs.labelindex import LabelIndex, LabelIndices, Stamp
from dvid.errors import BadRequest
from dvid.labels.blocks import block_shape
from dvid.labels.bodies import Bodies, bodies, existing, members, members_of, put_bodies
from dvid.labels.changes import Changes, log_index
from dvid.labels.index import Entries, all_entries, change_index
from dvid.labels.mapping import bodies_of
from dvid.labels.numbering import LARGEST, saw_label
from dvid.labels.tables import BODY, MEMBERS, Labels
from dvid.versions.edit import Edit
from dvid.versions.view import View

_LABELS_AT_ONCE = 1 << 10
_VOXELS_AT_ONCE = 1 << 30
_NO_STAMP = Stamp()


def index_of(view: View, label: int) -> LabelIndex:
    """The index of a body.

    Raises:
        NotFound: there is no such body.
    """
    row = existing(view, label)
    change = Changes(view).last(label, row)
    return assembled(label, all_entries(view, members(view, label, row.own)), change.mutation, change.stamp)


def assembled(label: int, entries: Entries, mutation: int, stamp: Stamp) -> LabelIndex:
    """An index from its entries, in whatever order."""
    entries = entries.by_block()
    blocks, counts = entries.blocks_zyx.astype(np.int32), entries.voxels.astype(np.uint32)
    return LabelIndex(label, blocks, entries.supervoxels, counts, mutation, stamp)


def indices_of(view: View, labels: Labels) -> Iterator[LabelIndices]:
    """The indices of bodies in their order, some at a time; those of bodies that there are not have no entries.

    Memory follows the largest index, not all of them.
    """
    changes = Changes(view)
    for start in range(0, len(labels), _LABELS_AT_ONCE):
        some = labels[start : start + _LABELS_AT_ONCE]
        rows = bodies(view, some)
        begin = 0
        for end in _ends(some.tolist(), rows["voxels"].tolist()):
            yield _indices(view, some[begin:end], rows[begin:end], changes)
            begin = end


def _ends(labels: list[int], voxels: list[int]) -> Iterator[int]:
    """Where to cut a list of bodies, so that no part has too many voxels, or a label twice."""
    seen: set[int] = set()
    together = 0
    for at, (label, size) in enumerate(zip(labels, voxels, strict=True)):
        together += size
        if seen and (together > _VOXELS_AT_ONCE or label in seen):
            yield at
            seen, together = set(), size
        seen.add(label)
    yield len(labels)


def _indices(view: View, labels: Labels, rows: Bodies, changes: Changes) -> LabelIndices:
    supervoxels, places = members_of(view, labels, rows)
    order = np.argsort(supervoxels)
    supervoxels, places = supervoxels[order], places[order]
    entries = all_entries(view, supervoxels)
    owners = places[np.searchsorted(supervoxels, entries.supervoxels)]
    z, y, x = entries.blocks_zyx.T
    order = np.lexsort((entries.supervoxels, x, y, z, owners))
    entries = entries.chosen(order)
    there = np.flatnonzero(rows["voxels"] != 0)
    mutations, stamps = np.zeros(len(labels), np.uint64), [_NO_STAMP] * len(labels)
    for at, change in zip(there.tolist(), changes.of(labels[there], rows[there]), strict=True):
        mutations[at], stamps[at] = change.mutation, change.stamp
    return LabelIndices(
        labels,
        np.searchsorted(owners[order], np.arange(len(labels) + 1)),
        entries.blocks_zyx.astype(np.int32),
        entries.supervoxels,
        entries.voxels.astype(np.uint32),
        mutations,
        stamps,
    )


# ---- replacing ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Membership:
    """Which supervoxels belong to which bodies: pairs."""

    supervoxels: Labels
    bodies: Labels

    def without(self, other: _Membership) -> _Membership:
        """The pairs that the other has not."""
        mine, theirs = (np.stack((one.bodies, one.supervoxels), 1) for one in (self, other))
        both = np.concatenate((theirs, mine))
        _, first = np.unique(both, axis=0, return_index=True)
        kept = np.sort(first[first >= len(theirs)]) - len(theirs)
        return _Membership(self.supervoxels[kept], self.bodies[kept])

    def keys(self) -> list[bytes]:
        """The keys in MEMBERS."""
        data = np.stack((self.bodies, self.supervoxels), 1).astype(">u8").tobytes()
        return [data[at : at + 16] for at in range(0, len(data), 16)]

    def others(self) -> list[bytes]:
        """The keys in MEMBERS that have a row: those of a body's own supervoxel have none."""
        which = self.bodies != self.supervoxels
        return _Membership(self.supervoxels[which], self.bodies[which]).keys()


def replace_indices(edit: Edit, posted: LabelIndices) -> None:
    """Put indices in the place of what bodies had; a body whose index has no entries ceases to be.

    Supervoxels leave the bodies they belonged to. Neither blocks nor the mapping change.

    Raises:
        BadRequest: a label is none or comes twice, a supervoxel is in two bodies, or has more voxels than its block.
    """
    if not len(posted):
        return
    _check(edit, posted)
    owners = np.repeat(posted.labels, np.diff(posted.bounds))
    new = _pairs(owners, posted.supervoxels)
    old = _present(edit, posted.labels)
    elsewhere = _held_elsewhere(edit, new, posted.labels)
    touched = np.unique(np.concatenate((old.supervoxels, new.supervoxels)))
    before = all_entries(edit, touched)
    after = Entries(posted.supervoxels, posted.blocks_zyx.astype(np.int64), posted.counts.astype(np.int64))
    change_index(edit, Entries.joined([before.times(-1), after]))
    for key in old.without(new).others():
        edit.delete(MEMBERS, key)
    for key in elsewhere.others():
        edit.delete(MEMBERS, key)
    for key in new.without(old).others():
        edit.put(MEMBERS, key, b"")
    mutations = _log(edit, posted)
    _put_posted(edit, posted, owners, new, mutations)
    _take_from(edit, elsewhere, before, int(mutations.max()))
    saw_label(edit, int(max(posted.labels.max(), posted.supervoxels.max(initial=0))))


def _check(view: View, posted: LabelIndices) -> None:
    for labels in (posted.labels, posted.supervoxels):
        wrong = labels[(labels == 0) | (labels > LARGEST)]
        if len(wrong):
            raise BadRequest(f"an index names the label {wrong[0]}; labels from 1 to {LARGEST} were expected")
    labels, often = np.unique(posted.labels, return_counts=True)
    if len(labels) < len(posted):
        raise BadRequest(f"the index of label {labels[often > 1][0]} comes twice")
    z, y, x = block_shape(view)
    if posted.counts.max(initial=0) > z * y * x:
        at = int(posted.counts.argmax())
        raise BadRequest(
            f"supervoxel {posted.supervoxels[at]} cannot have {posted.counts[at]} voxels in a block of {z * y * x}"
        )


def _pairs(owners: Labels, supervoxels: Labels) -> _Membership:
    """The membership that entries tell.

    Raises:
        BadRequest: a supervoxel is in two bodies.
    """
    if not len(owners):
        return _Membership(supervoxels, owners)
    pairs = np.unique(np.stack((supervoxels, owners), 1), axis=0)
    twice = np.flatnonzero(pairs[1:, 0] == pairs[:-1, 0])
    if len(twice):
        supervoxel, body = pairs[twice[0]]
        raise BadRequest(
            f"supervoxel {supervoxel} cannot be in two bodies: it is in the index of {body} and in that of {pairs[twice[0] + 1, 1]}"
        )
    return _Membership(pairs[:, 0].copy(), pairs[:, 1].copy())


def _present(view: View, labels: Labels) -> _Membership:
    """The supervoxels that some bodies have now."""
    supervoxels, places = members_of(view, labels, bodies(view, labels))
    return _Membership(supervoxels, labels[places])


def _held_elsewhere(view: View, new: _Membership, posted: Labels) -> _Membership:
    """Where the supervoxels belong to bodies that get no index, as far as the mapping tells."""
    foreign = []
    for holders in (bodies_of(view, new.supervoxels), new.supervoxels):
        batches = view.get_batches(MEMBERS, _Membership(new.supervoxels, holders).keys())
        formats = [form for batch in batches for form in batch.formats]
        held = (np.array(formats, np.int64) != 0) | ((holders == new.supervoxels) & _own(view, new.supervoxels))
        held &= ~np.isin(holders, posted)
        foreign.append(np.stack((new.supervoxels[held], holders[held]), 1))
    pairs = np.unique(np.concatenate(foreign), axis=0)
    return _Membership(pairs[:, 0].copy(), pairs[:, 1].copy())


def _own(view: View, labels: Labels) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = bodies(view, labels)["own"] != 0
    return found


def _log(edit: Edit, posted: LabelIndices) -> Labels:
    """Log what was posted; the mutation of each index. Those that tell of the same last change share one."""
    groups: dict[tuple[int, Stamp], list[int]] = {}
    for at, told in enumerate(zip(posted.last_mutids.tolist(), posted.stamps, strict=True)):
        groups.setdefault(told, []).append(at)
    mutations = np.zeros(len(posted), np.uint64)
    for (mutid, stamp), places in groups.items():
        mutations[places] = log_index(edit, posted.labels[places].tolist(), mutid, stamp)
    return mutations


def _put_posted(edit: Edit, posted: LabelIndices, owners: Labels, new: _Membership, mutations: Labels) -> None:
    order = np.argsort(posted.labels)
    labels = posted.labels[order]
    rows = np.zeros(len(labels), BODY)
    voxels = np.zeros(len(labels), np.int64)
    np.add.at(voxels, np.searchsorted(labels, owners), posted.counts.astype(np.int64))
    rows["voxels"], rows["mutation"] = voxels, mutations[order]
    rows["own"] = np.isin(labels, new.supervoxels[new.supervoxels == new.bodies])
    put_bodies(edit, labels, rows)


def _take_from(edit: Edit, taken: _Membership, before: Entries, mutation: int) -> None:
    """Let bodies lose supervoxels, with the voxels that these had."""
    if not len(taken.bodies):
        return
    supervoxels, places = np.unique(before.supervoxels, return_inverse=True)
    sizes = np.zeros(len(supervoxels) + 1, np.int64)
    np.add.at(sizes, places, before.voxels)
    at = np.searchsorted(supervoxels, taken.supervoxels)
    known = np.append(supervoxels, np.uint64(0))[at] == taken.supervoxels
    labels, of = np.unique(taken.bodies, return_inverse=True)
    rows = bodies(edit, labels)
    left = rows["voxels"].astype(np.int64)
    np.subtract.at(left, of, np.where(known, sizes[at], 0))
    rows["voxels"] = np.maximum(left, 0)
    rows["own"] &= ~np.isin(labels, taken.supervoxels[taken.supervoxels == taken.bodies])
    rows["mutation"] = mutation
    put_bodies(edit, labels, rows)
