"""How near labels come to each other, block by block."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dvid.codecs.labelblocks import decode_into
from dvid.geometry import Zyx
from dvid.kernels.distances import ABSENT, FIRST_OTHER, TARGET, nearest_squares
from dvid.labels.blocks import block_shape
from dvid.labels.index import Points
from dvid.labels.scales import Scales
from dvid.labels.sparse import seek
from dvid.labels.tables import Labels
from dvid.versions.view import View

_VOXELS_AT_ONCE = 1 << 22
_AT_ORIGIN = np.zeros((1, 3), np.int64)


@dataclass(frozen=True, slots=True)
class Near:
    """How near a label comes to the target in a block that both are in."""

    block_zyx: Zyx
    label: int
    distance: float
    """The least Euclidean distance between a voxel of the one and a voxel of the other, in voxels of the scale."""


def stream_proximity(
    view: View, target: int, others: Sequence[int], scale: int = 0, *, supervoxels: bool = False
) -> Iterator[list[Near]]:
    """How near labels come to a target in each block that both are in: a few blocks at a time, also where there is nothing.

    Blocks come in the order of z, y, x, and labels in the order given. Voxels of other blocks do not count: two labels that
    touch across a face only are not near there.

    Args:
        view: the instance.
        target: a label other than 0.
        others: different labels, neither 0 nor the target.
        scale: 0 for full resolution; each further one has half of it.
        supervoxels: the labels are supervoxels, not bodies.

    Raises:
        NotFound: there is none of one of the labels.
    """
    places = _shared(view, target, others, scale, supervoxels=supervoxels)
    marks = _Marks(target, others)
    scales, shape = Scales(view), block_shape(view)
    step = max(_VOXELS_AT_ONCE // math.prod(shape), 1)
    voxels = np.empty(shape if places else (0, 0, 0), np.uint64)
    for first in range(0, len(places), step):
        some = places[first : first + step]
        opened = scales.open(scale, some)
        bodies = None if supervoxels else opened.as_bodies(view)
        found = opened.labels() if bodies is None else _parts(*bodies)
        near = []
        for place, block, labels in zip(some, opened.blocks, found, strict=True):
            own = marks.of(labels)
            if block is None or not (TARGET in own and (own >= FIRST_OTHER).any()):
                continue
            decode_into([block], _AT_ORIGIN, voxels, [own])
            squares = nearest_squares(voxels, len(others))
            near += [
                Near(place, other, math.sqrt(square))
                for other, square in zip(others, squares.tolist(), strict=True)
                if square != ABSENT
            ]
        yield near


def _parts(lists: Labels, starts: NDArray[np.int64]) -> list[Labels]:
    return [lists[begin:end] for begin, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)]


class _Marks:
    """What the kernel of distances wants to see in place of labels."""

    def __init__(self, target: int, others: Sequence[int]) -> None:
        labels = np.array([target, *others], np.uint64)
        order = np.argsort(labels)
        self._labels = labels[order]
        self._marks = order.astype(np.uint64) + np.uint64(TARGET)

    def of(self, labels: Labels) -> Labels:
        """The mark of each label; 0 for those that are not meant."""
        at = np.searchsorted(self._labels, labels)
        at[at == len(self._labels)] = 0
        found: Labels = np.where(self._labels[at] == labels, self._marks[at], np.uint64(0))
        return found


def _shared(view: View, target: int, others: Sequence[int], scale: int, *, supervoxels: bool) -> list[Zyx]:
    """The blocks that hold the target and some other label, sorted by z, y, x."""
    blocks_zyx = seek(view, target, scale, supervoxel=supervoxels).blocks_zyx
    shared = np.zeros(len(blocks_zyx), bool)
    for other in others:
        shared[_common(blocks_zyx, seek(view, other, scale, supervoxel=supervoxels).blocks_zyx)] = True
    return [(z, y, x) for z, y, x in blocks_zyx[shared].tolist()]


def _common(blocks_zyx: Points, others_zyx: Points) -> NDArray[np.intp]:
    """Which of some blocks are among others; each comes at most once in either list."""
    low, high = blocks_zyx.min(0), blocks_zyx.max(0)
    near = others_zyx[((others_zyx >= low) & (others_zyx <= high)).all(1)]
    both = np.concatenate((blocks_zyx, near))
    z, y, x = both.T
    order = np.lexsort((x, y, z))
    twice = (both[order[1:]] == both[order[:-1]]).all(1)
    found: NDArray[np.intp] = order[:-1][twice]
    return found
