"""Which body a supervoxel belongs to.

Where histories were merged, a supervoxel that one of them has moved into a body that another has changed as well is
nobody's: the histories' rows of MAPPING may get along with each other, and the body they make is in none of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dvid.errors import CorruptValue, MergeConflict
from dvid.labels import memory
from dvid.labels.bodies import bodies
from dvid.labels.rows import Rows, There, rows_of
from dvid.labels.tables import BODIES, BODY_ROWS, MAPPING, MAPPINGS, Labels, label_key, label_keys, labels_of
from dvid.versions import layout
from dvid.versions.edit import Edit
from dvid.versions.view import View


def _mapped(payloads: list[bytes]) -> Labels:
    data = b"".join(payloads)
    if len(data) != 8 * len(payloads):
        raise CorruptValue("a row of the mapping has another length than 8 bytes")
    return np.frombuffer(data, "<u8").astype(np.uint64)


def is_identity(view: View) -> bool:
    """True if no supervoxel of the instance was ever given another body than that of its own number, at any version."""
    return view.number(MAPPINGS) == 0


def lookup(view: View, supervoxels: Labels) -> tuple[Labels, NDArray[np.bool_]]:
    """The bodies of supervoxels, and which of them are told by a row of MAPPING: the others are their own bodies'.

    Raises:
        MergeConflict: merged histories have changed the body of one of them.
    """
    told = np.zeros(len(supervoxels), bool)
    if not len(supervoxels) or is_identity(view):
        return supervoxels, told
    if view.node.merged:
        rows, told = memory.rows(view, MAPPING, MAPPINGS, supervoxels, 8, read=_undisputed, beside=BODY_ROWS)
    else:
        rows, told = memory.rows(view, MAPPING, MAPPINGS, supervoxels, 8)
    return np.where(told, rows.view("<u8")[:, 0], supervoxels), told


def _undisputed(view: View, table: bytes, supervoxels: Labels, size: int) -> tuple[Rows, There]:
    """The rows of supervoxels at a version where histories were merged.

    Raises:
        MergeConflict: one was moved in a history that does not know all that was done to the body it was moved to.
    """
    rows, there = rows_of(view, table, supervoxels, size)
    keys, values = view.stored(table, label_keys(supervoxels))  # those that say there is no row, too
    moved = np.array([at for at, value in enumerate(values) if value is not None], np.int64)
    owners = np.where(there, rows.view("<u8")[:, 0], supervoxels)[moved]
    try:
        view.stored(BODIES, label_keys(np.unique(owners)))
    except MergeConflict:
        rivals: dict[int, list[View]] = {}
        for at, owner in zip(moved.tolist(), owners.tolist(), strict=True):
            if owner not in rivals:
                rivals[owner] = [view.version(version) for version in view.rivals(BODIES, label_key(owner))]
            since = layout.version_of(keys[at])
            if not all(rival.sees(since) for rival in rivals[owner]):
                raise MergeConflict(
                    f"instance {view.instance.name!r}: of the histories that were merged, one has moved supervoxel "
                    f"{supervoxels[at]} into body {owner}, and another has changed this body: merge with /resolve"
                ) from None
    return rows, there


def bodies_of(view: View, supervoxels: Labels) -> Labels:
    """The body of each supervoxel: (n,) uint64. 0 where a number is no supervoxel's any longer."""
    return lookup(view, supervoxels)[0]


def verified_bodies_of(view: View, supervoxels: Labels) -> Labels:
    """The body of each supervoxel: (n,) uint64. 0 where there is no such supervoxel, or was none when it was mapped."""
    asked, places = np.unique(supervoxels, return_inverse=True)
    found, told = lookup(view, asked)
    unsure = np.flatnonzero(~told)
    there = bodies(view, asked[unsure])["own"] != 0
    found = found.copy()
    found[unsure[~there]] = 0
    return found[places]


def body_of(view: View, supervoxel: int) -> int:
    """The body of a supervoxel."""
    if is_identity(view):
        return supervoxel
    if view.node.merged:
        return int(bodies_of(view, np.array([supervoxel], np.uint64))[0])
    value = view.get(MAPPING, label_key(supervoxel))
    return supervoxel if value is None else int.from_bytes(value.payload, "little")


def all_mappings(view: View, first: int = 0) -> Iterator[tuple[Labels, Labels]]:
    """All rows of MAPPING from a supervoxel on, in order: supervoxels and their bodies, many at a time."""
    for batch in view.batches(MAPPING, label_key(first)):
        supervoxels = labels_of(batch.keys)
        if view.node.merged:
            _undisputed(view, MAPPING, supervoxels, 8)
        yield supervoxels, _mapped(batch.payloads)


def put_mapping(edit: Edit, supervoxels: Labels, body: int) -> None:
    """Map supervoxels to a body, or to 0."""
    if not len(supervoxels):
        return
    mapped = body.to_bytes(8, "little")
    for key in label_keys(supervoxels[supervoxels != body]):
        edit.put(MAPPING, key, mapped)
    if body and bool((supervoxels == body).any()):
        edit.delete(MAPPING, label_key(body))
    _changed(edit)


def put_mappings(edit: Edit, supervoxels: Labels, bodies: Labels) -> None:
    """Map each supervoxel to the body beside it, or to 0. Where one comes several times, its last body counts."""
    if not len(supervoxels):
        return
    backwards, first = np.unique(supervoxels[::-1], return_index=True)
    bodies = bodies[::-1][first]
    data = bodies.astype("<u8").tobytes()
    for at, (key, own) in enumerate(zip(label_keys(backwards), (backwards == bodies).tolist(), strict=True)):
        if own:
            edit.delete(MAPPING, key)
        else:
            edit.put(MAPPING, key, data[8 * at : 8 * at + 8])
    _changed(edit)


def unmap(edit: Edit, supervoxels: Labels) -> None:
    """Let supervoxels belong to the bodies of their own numbers."""
    for key in label_keys(supervoxels):
        edit.delete(MAPPING, key)
    _changed(edit)


def _changed(edit: Edit) -> None:
    memory.changed(edit, MAPPINGS)
