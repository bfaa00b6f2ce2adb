"""Keeping index, bodies and members in step with the voxels in the blocks."""

from __future__ import annotations

import numpy as np

from dvid.errors import CorruptValue
from dvid.labels.bodies import bodies, put_bodies
from dvid.labels.index import Entries, change_index, is_anywhere
from dvid.labels.mapping import lookup, unmap
from dvid.labels.numbering import saw_label
from dvid.labels.tables import MEMBERS, Labels, member_keys
from dvid.versions.edit import Edit


def account(edit: Edit, changes: Entries, mutation: int) -> None:
    """Enter voxels that came or went: into the index, the sizes of bodies, and their members.

    A supervoxel that is new belongs to the body that it is mapped to, or else to that of its own number.

    Args:
        edit: the instance.
        changes: voxels more in each block, less where negative. Label 0 is left out.
        mutation: the id under which this is logged.
    """
    changes = changes.chosen((changes.supervoxels != 0) & (changes.voxels != 0))
    if not len(changes):
        return
    thinned = change_index(edit, changes)
    supervoxels, places = np.unique(changes.supervoxels, return_inverse=True)
    delta = np.zeros(len(supervoxels), np.int64)
    np.add.at(delta, places, changes.voxels)
    owners, _ = lookup(edit, supervoxels)
    if (gone := owners == 0).any():  # such a number is a supervoxel's once more
        unmap(edit, supervoxels[gone])
        owners = np.where(gone, supervoxels, owners)
    lost = np.array([label for label in thinned.tolist() if not is_anywhere(edit, label)], np.uint64)
    is_lost = np.isin(supervoxels, lost)
    _enter(edit, supervoxels, owners, delta, is_lost, mutation)
    came = delta > 0
    if came.any():
        saw_label(edit, int(supervoxels[came].max()))


def _enter(
    edit: Edit,
    supervoxels: Labels,
    owners: Labels,
    delta: np.ndarray[tuple[int], np.dtype[np.int64]],
    is_lost: np.ndarray[tuple[int], np.dtype[np.bool_]],
    mutation: int,
) -> None:
    changed, places = np.unique(owners, return_inverse=True)
    rows = bodies(edit, changed)
    sizes = rows["voxels"].astype(np.int64)
    np.add.at(sizes, places, delta)
    if (sizes < 0).any():
        wrong = int(changed[np.argmin(sizes)])
        raise CorruptValue(f"body {wrong} would have less than no voxels: `dvid verify --repair` mends its size")
    rows["voxels"] = sizes
    rows["mutation"] = mutation
    own = supervoxels == owners
    rows["own"][places[own]] = ~is_lost[own]
    put_bodies(edit, changed, rows)
    for body, supervoxel, lost in zip(owners[~own].tolist(), supervoxels[~own], is_lost[~own].tolist(), strict=True):
        (key,) = member_keys(body, np.array([supervoxel]))
        if lost:
            edit.delete(MEMBERS, key)
        else:
            edit.put(MEMBERS, key, b"")
