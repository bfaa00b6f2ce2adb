"""How large bodies and supervoxels are, and how far they reach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dvid.geometry import Zyx
from dvid.kernels.indexrows import distinct
from dvid.labels.bodies import bodies, may_have_members
from dvid.labels.index import Points, entries_of, sizes_of
from dvid.labels.tables import Labels
from dvid.versions.view import View

_BLOCKS_AT_ONCE = 1 << 18


@dataclass(frozen=True, slots=True)
class Extent:
    """Where voxels are, to the block."""

    voxels: int
    blocks: int
    """How many blocks hold one of them."""
    first_zyx: Zyx
    """The smallest coordinates of these blocks, in blocks."""
    last_zyx: Zyx
    """The largest ones, included."""


def body_sizes(view: View, labels: Labels) -> NDArray[np.uint64]:
    """The voxels of each body: (n,) uint64; 0 where there is no such body."""
    return bodies(view, labels)["voxels"].astype(np.uint64)


def supervoxel_sizes(view: View, supervoxels: Labels) -> NDArray[np.uint64]:
    """The voxels of each supervoxel: (n,) uint64; 0 where there is none of them.

    A supervoxel that is all of its body is as large as the body: only the others are counted in the index.
    """
    rows = bodies(view, supervoxels)
    sizes = rows["voxels"].astype(np.uint64)
    alone = rows["own"] != 0
    at = np.flatnonzero(alone)
    alone[at] = ~may_have_members(view, supervoxels[at])
    rest = np.flatnonzero(~alone)
    sizes[rest] = sizes_of(view, supervoxels[rest]).astype(np.uint64)
    return sizes


def extent_of(view: View, supervoxels: Labels) -> Extent | None:
    """How far some supervoxels reach, or None if there are none of them. Memory follows their blocks."""
    voxels, held, most = 0, 0, _BLOCKS_AT_ONCE
    parts: list[Points] = []
    for entries in entries_of(view, supervoxels):
        voxels += int(entries.voxels.sum())
        parts.append(entries.blocks_zyx)
        held += len(entries)
        if held > most:
            parts = [distinct(np.concatenate(parts))]
            held = len(parts[0])
            most = max(2 * held, _BLOCKS_AT_ONCE)
    if not parts:
        return None
    blocks = distinct(np.concatenate(parts))
    (z0, y0, x0), (z1, y1, x1) = blocks.min(0).tolist(), blocks.max(0).tolist()
    return Extent(voxels, len(blocks), (z0, y0, x0), (z1, y1, x1))
