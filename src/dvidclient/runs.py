"""Runs of voxels along x as arrays: sorting and joining them, cutting boxes out, from and to coordinates and masks.

An array of runs is int32 of the shape (n, 4): z, y and x of the first voxel of a run, and its length in voxels.
"""

from __future__ import annotations

import math

import numpy
import numpy.typing

from dvidclient.arguments import BoxZYX, Int32s, shape_of
from dvidclient.errors import BadArgument

MOST_RUNS = 1 << 29
"""The most of one array: 8 GiB."""
MOST_VOXELS = 1 << 31
"""The most that are written out voxel by voxel: coordinates of 24 GiB, or a mask of 2 GiB."""

_X_END = 1 << 31


def canonical(runs_zyxl: numpy.typing.NDArray[numpy.integer]) -> Int32s:
    """The same voxels in the one way there is: sorted by z, y and x, with those runs joined that touch or overlap.

    Raises:
        BadArgument: a run has no voxels, or reaches beyond coordinates of 32 bits.
    """
    if len(runs_zyxl) > MOST_RUNS:
        raise BadArgument(f"runs: expected at most {MOST_RUNS}, got {len(runs_zyxl)}")
    runs = runs_zyxl.astype(numpy.int32)
    starts, lengths = runs[:, 2].astype(numpy.int64), runs[:, 3].astype(numpy.int64)
    ends = starts + lengths
    if len(runs) and (lengths.min() < 1 or ends.max() > _X_END):
        wrong = runs[numpy.argmax((lengths < 1) | (ends > _X_END))].tolist()
        raise BadArgument(f"runs: expected lengths from 1 and ends of 32 bits, got z, y, x, length {wrong}")
    if not _sorted(runs):
        order = numpy.lexsort((runs[:, 2], runs[:, 1], runs[:, 0]))
        runs, starts, ends = runs[order], starts[order], ends[order]
    # Rows one behind the other on a line, each so long that none reaches the next one: what touches there touches here.
    rows = numpy.concatenate([[0], numpy.cumsum((numpy.diff(runs[:, :2], axis=0) != 0).any(axis=1))])[: len(runs)] << 33
    reach = numpy.maximum.accumulate(rows + ends)
    first = numpy.ones(len(runs), bool)
    first[1:] = (rows + starts)[1:] > reach[:-1]
    last = numpy.ones(len(runs), bool)
    last[:-1] = first[1:]
    joined = runs[first]
    spans = reach[last] - (rows + starts)[first]
    if len(spans) and spans.max() >= _X_END:
        raise BadArgument(
            f"runs: expected runs of less than 2^31 voxels also where they are joined, got one of {spans.max()}"
        )
    joined[:, 3] = spans
    return joined


def coordinates(runs_zyxl: Int32s) -> Int32s:
    """The voxels one by one: z, y, x of each (n, 3), in the order of the runs."""
    lengths = runs_zyxl[:, 3].astype(numpy.int64)
    _check_voxels(int(lengths.sum()), "coordinates")
    found = numpy.repeat(runs_zyxl[:, :3], lengths, axis=0)
    along = numpy.arange(len(found), dtype=numpy.int64)
    along -= numpy.repeat(numpy.cumsum(lengths) - lengths, lengths)
    found[:, 2] += along.astype(numpy.int32)
    return found


def of_mask(
    mask_zyx: numpy.typing.NDArray[numpy.bool_], offset_zyx: tuple[int, int, int]
) -> numpy.typing.NDArray[numpy.int64]:
    """The runs of a mask (z, y, x) whose first voxel lies at ``offset_zyx``; int64, as they may reach beyond 32 bits."""
    padded = numpy.zeros((*mask_zyx.shape[:2], mask_zyx.shape[2] + 2), numpy.int8)
    padded[:, :, 1:-1] = mask_zyx
    z, y, x = numpy.nonzero(numpy.diff(padded, axis=2))
    found = numpy.stack([z[::2], y[::2], x[::2], x[1::2] - x[::2]], axis=1)
    found[:, :3] += numpy.asarray(offset_zyx)
    return found.astype(numpy.int64, copy=False)


def to_mask(runs_zyxl: Int32s, box: BoxZYX) -> numpy.typing.NDArray[numpy.bool_]:
    """Which voxels of a box (z, y, x) belong to canonical runs."""
    shape = shape_of(box)
    _check_voxels(math.prod(shape), "a mask")
    inside = clipped(runs_zyxl, box).astype(numpy.int64) - [*(part.start for part in box), 0]
    begins = (inside[:, 0] * shape[1] + inside[:, 1]) * shape[2] + inside[:, 2]
    # Ones and zeros change places where a run begins, and again behind its end: a run up to the end of a row, and one from
    # the beginning of the next row, change the same place twice, which leaves it as it was.
    changes = numpy.zeros(math.prod(shape) + 1, numpy.uint8)
    changes[begins] ^= 1
    changes[begins + inside[:, 3]] ^= 1
    numpy.bitwise_xor.accumulate(changes, out=changes)
    mask: numpy.typing.NDArray[numpy.bool_] = changes[:-1].view(numpy.bool_).reshape(shape)
    return mask


def clipped(runs_zyxl: Int32s, box: BoxZYX) -> Int32s:
    """What of the runs lies in a box."""
    at_z, at_y, at_x = box
    z, y = runs_zyxl[:, 0], runs_zyxl[:, 1]
    found = runs_zyxl[(z >= at_z.start) & (z < at_z.stop) & (y >= at_y.start) & (y < at_y.stop)].astype(numpy.int64)
    ends = numpy.minimum(found[:, 2] + found[:, 3], at_x.stop)
    found[:, 2] = numpy.maximum(found[:, 2], at_x.start)
    found[:, 3] = ends - found[:, 2]
    inside: Int32s = found[found[:, 3] > 0].astype(numpy.int32)
    return inside


def _sorted(runs: Int32s) -> bool:
    before, behind = runs[:-1].T, runs[1:].T
    return bool(
        (
            (before[0] < behind[0])
            | (
                (before[0] == behind[0])
                & ((before[1] < behind[1]) | ((before[1] == behind[1]) & (before[2] <= behind[2])))
            )
        ).all()
    )


def _check_voxels(voxels: int, what: str) -> None:
    if voxels > MOST_VOXELS:
        raise BadArgument(
            f"{what} of {voxels} voxels: expected at most {MOST_VOXELS}; take the runs, or a part of them"
        )
