"""Bringing index, members and sizes of labels in line with voxels and mapping, which are never changed; and lower resolutions.

A snapshot tells what is wrong (`dvid.labels.differences`); each transaction looks again at what it mends, so that servers
may write meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dvid.codecs.labelblocks import checked, inflate
from dvid.errors import CorruptValue, DvidError
from dvid.geometry import Zyx
from dvid.labels.blocks import block_shape, stored_blocks
from dvid.labels.bodies import body, members, put_bodies
from dvid.labels.differences import Differences, at_version
from dvid.labels.index import Entries, change_index, is_anywhere, sizes_of
from dvid.labels.mapping import bodies_of, unmap
from dvid.labels.numbering import saw_label
from dvid.labels.staleness import repair_scales
from dvid.labels.sums import Kind, Sums
from dvid.labels.tables import BODY, ENTRY, INDEX, MEMBERS, REGION, member_keys, pair_keys
from dvid.labels.tallies import Stored
from dvid.labels.verify import stored_labels, too_low
from dvid.labels.writing import tallied
from dvid.versions.edit import Edit
from dvid.versions.verify import Editing, Mended, Sources

_AT_ONCE: Final = {Kind.VOXELS: 4000, Kind.MEMBERS: 2000, Kind.SIZES: 500}
"""Differences that one transaction mends."""

ACTION: Final = "repair"


def repair(sources: Sources, edit: Editing) -> Iterator[Mended]:
    """Mend what is wrong with the labels of an instance, from the first version that has something on; what was done."""
    with sources() as (_, _, instance, _):
        is_indexed = instance.settings.get("IndexedLabels", True)
    if is_indexed:
        yield from _repair_index(sources, edit)
    yield from repair_scales(sources, edit)


def _repair_index(sources: Sources, edit: Editing) -> Iterator[Mended]:
    with _opened(sources) as stored:
        sums = Sums(stored) if len(stored.versions) else None
        if sums is None:
            return
        wrong = stored.versions.from_on([place for place, _ in sums.suspicious()])
        nodes = [stored.versions.uuids[place] for place in wrong]
        low = [(stored.versions.uuids[place], label) for place, _, label in too_low(stored, sums.highest)]
    for node in nodes:
        with _opened(sources) as stored:
            contested = node in stored.versions.uuids and stored.is_contested(stored.versions.uuids.index(node))
        if contested:
            yield Mended(node, "labels", 0, "the merged node inherits different values of some keys")
            continue
        for kind in (Kind.VOXELS, Kind.MEMBERS, Kind.SIZES):
            yield from _mend(sources, edit, node, kind)
    for node, label in low:
        yield Mended(node, "largest label", edit(node, partial(_raise_limit, label)))


@contextmanager
def _opened(sources: Sources) -> Iterator[Stored]:
    with sources() as (metadata, data, instance, nodes):
        yield stored_labels(metadata, data, instance, nodes)


def _raise_limit(label: int, edit: Edit) -> int:
    saw_label(edit, label)
    return 1


def _mend(sources: Sources, edit: Editing, node: str, kind: Kind) -> Iterator[Mended]:
    count, failures = 0, []
    with _opened(sources) as stored:
        if node not in stored.versions.uuids:  # all its rows were wrong, and are gone
            return
        place = stored.versions.uuids.index(node)
        for found in at_version(stored, place, {kind: np.ones(64, bool)}):
            for some in _parts(found):
                try:
                    count += edit(node, partial(_MENDERS[kind], some))
                except CorruptValue as error:
                    failures.append(str(error))
    if count or failures:
        yield Mended(node, kind, count, "; ".join(failures[:3]))


def _parts(found: Differences) -> Iterator[Differences]:
    """A few differences at a time; those of a block together."""
    order = np.arange(len(found))
    if found.kind is Kind.VOXELS:
        z, y, x = found.places.T
        order = np.lexsort((x, y, z))
    for first in range(0, len(order), _AT_ONCE[found.kind]):
        some = order[first : first + _AT_ONCE[found.kind]]
        yield Differences(found.kind, found.labels[some], found.places[some], found.stored[some], found.expected[some])


# ---- one transaction each -----------------------------------------------------------------------


def _mend_index(some: Differences, edit: Edit) -> int:
    blocks = some.places.astype(np.int64)
    wanted = Entries(some.labels, blocks, np.zeros(len(some), np.int64))
    places: list[Zyx] = [(z, y, x) for z, y, x in wanted.blocks().tolist()]
    counts = {place: _tally(edit, place) for place in places}
    told = _told(edit, wanted)
    changes = np.zeros(len(some), np.int64)
    columns = (some.labels.tolist(), [(z, y, x) for z, y, x in blocks.tolist()], told.tolist())
    for at, (label, place, had) in enumerate(zip(*columns, strict=True)):
        tally = counts[place]
        if tally is not None:
            changes[at] = tally.get(label, 0) - had
    changed = np.flatnonzero(changes)
    if len(changed):
        edit.log(ACTION, {"Index": len(changed)})
        change_index(edit, Entries(some.labels[changed], blocks[changed], changes[changed]))
    return len(changed)


def _tally(edit: Edit, place: Zyx) -> dict[int, int] | None:
    """The voxels of each supervoxel of a block; None if it cannot be read."""
    shape = block_shape(edit)
    try:
        (stored,) = stored_blocks(edit, 0, [place])
        if stored is None:
            return {}
        labels, voxels = tallied(checked(inflate(stored, shape), shape))
    except DvidError:
        return None
    return dict(zip(labels.tolist(), voxels.tolist(), strict=True))


def _told(edit: Edit, wanted: Entries) -> NDArray[np.int64]:
    """The voxels that the index tells of. Rows that cannot be read are removed."""
    keys = pair_keys(wanted.supervoxels, wanted.blocks_zyx >> 3)
    inner = wanted.blocks_zyx & (REGION - 1)
    local = (inner[:, 0] << 6) | (inner[:, 1] << 3) | inner[:, 2]
    rows: dict[bytes, dict[int, int]] = {}
    for key in keys:
        if key not in rows:
            rows[key] = _index_row(edit, key)
    return np.array([rows[key].get(block, 0) for key, block in zip(keys, local.tolist(), strict=True)], np.int64)


def _index_row(edit: Edit, key: bytes) -> dict[int, int]:
    try:
        value = edit.get(INDEX, key)
        if value is None:
            return {}
        entries = np.frombuffer(bytes(value.payload), ENTRY)
    except (CorruptValue, ValueError):
        edit.delete(INDEX, key)
        return {}
    return dict(zip(entries["block"].tolist(), entries["voxels"].tolist(), strict=True))


def _mend_members(some: Differences, edit: Edit) -> int:
    supervoxels = np.unique(some.labels)
    there = np.array([is_anywhere(edit, label) for label in supervoxels.tolist()], bool)
    owners = bodies_of(edit, supervoxels)
    if (lost := there & (owners == 0)).any():  # as if it had been written anew
        unmap(edit, supervoxels[lost])
        owners = np.where(lost, supervoxels, owners)
    owner = dict(zip(supervoxels[there].tolist(), owners[there].tolist(), strict=True))
    pairs = {(s, b) for s, b in zip(some.labels.tolist(), some.places.tolist(), strict=True) if b} | set(owner.items())
    mutation = edit.log(ACTION, {"Members": len(pairs)})
    changed = sum(_put_member(edit, s, b, mutation, wanted=owner.get(s) == b) for s, b in sorted(pairs))
    return changed + int(lost.sum())


def _put_member(edit: Edit, supervoxel: int, label: int, mutation: int, *, wanted: bool) -> bool:
    """Let a supervoxel be a member of a body, or not; True if that was otherwise."""
    one = np.array([supervoxel], np.uint64)
    if supervoxel != label:
        (key,) = member_keys(label, one)
        if wanted == _is_member(edit, key):
            return False
        if wanted:
            edit.put(MEMBERS, key, b"")
        else:
            edit.delete(MEMBERS, key)
        return True
    row = _row(edit, label)
    if wanted == bool(row["own"]):
        return False
    if not row["voxels"]:
        row["voxels"], row["mutation"] = int(sizes_of(edit, one)[0]), mutation
    row["own"] = wanted
    put_bodies(edit, one, row.reshape(1))
    return True


def _is_member(edit: Edit, key: bytes) -> bool | None:
    """None if the row cannot be read."""
    try:
        return edit.get(MEMBERS, key) is not None
    except CorruptValue:
        return None


def _row(edit: Edit, label: int) -> Any:
    """The row of a body; zeros where there is none that can be read."""
    try:
        found = body(edit, label)
    except CorruptValue:
        found = None
    return np.zeros((), BODY) if found is None else np.array(found, BODY)


def _mend_sizes(some: Differences, edit: Edit) -> int:
    rows = np.zeros(len(some), BODY)
    mutation = edit.log(ACTION, {"Bodies": len(some)})
    changed = np.zeros(len(some), bool)
    for at, label in enumerate(some.labels.tolist()):
        rows[at] = _row(edit, label)
        voxels = int(sizes_of(edit, members(edit, label, bool(rows[at]["own"]))).sum())
        changed[at] = voxels != rows[at]["voxels"]
        rows[at]["voxels"] = voxels
        rows[at]["mutation"] = rows[at]["mutation"] or mutation
    put_bodies(edit, some.labels[changed], rows[changed])
    return int(changed.sum())


_MENDERS: Final[dict[Kind, Callable[[Differences, Edit], int]]] = {
    Kind.VOXELS: _mend_index,
    Kind.MEMBERS: _mend_members,
    Kind.SIZES: _mend_sizes,
}
