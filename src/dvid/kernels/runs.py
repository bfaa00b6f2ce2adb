"""Work on runs of voxels along x: put them in order, join and cut them.

Runs are (n, 4) int32 arrays of x, y, z and length: as they are on the wire, so that sending them copies nothing. *In
order* means sorted by z, y and x, disjoint, and with touching runs joined, as far as a length fits 32 bits. Spans, in
`dvid.kernels.spans`, are runs of blocks as regions of interest have them: z, y, first x, last x.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from dvid.errors import BadRequest, TooLarge
from dvid.geometry import Zyx
from dvid.kernels.compiling import kernel

Runs = NDArray[np.int32]
Points = NDArray[np.int32]
Longs = NDArray[np.int64]

LONGEST = 2**31 - 1
"""Voxels in the longest run."""

_RUNS = types.Array(types.int32, 2, "C")
_READ_RUNS = types.Array(types.int32, 2, "C", readonly=True)
_LONGS = types.Array(types.int64, 1, "C")
_STOP = 2**31
_DIGIT_BITS = 16
_MOST_ROWS = 2**24


def count_voxels(runs: Runs) -> int:
    """Number of voxels in disjoint runs."""
    return int(runs[:, 3].sum(dtype=np.int64))


@kernel(types.int64(_READ_RUNS), nogil=True)
def _first_wrong(runs: Runs) -> int:
    for i in range(len(runs)):
        if runs[i, 3] < 1 or np.int64(runs[i, 0]) + runs[i, 3] > _STOP:
            return i
    return -1


def first_wrong_run(runs: Runs) -> int:
    """The first run that has no voxels, or one whose x is beyond 32 bits; -1 if there is none."""
    return int(_first_wrong(np.ascontiguousarray(runs)))


# ---- order --------------------------------------------------------------------------------------


def _stable_order(*columns: NDArray[np.int32]) -> NDArray[np.intp]:
    """The order by columns, the least significant first, in which equal rows stay as they were.

    Digits of 16 bits are what NumPy sorts by counting; coordinates mostly have one: more than twice as fast as `lexsort`.
    """
    order: NDArray[np.intp] | None = None
    for column in columns:
        low = int(column.min())
        size = int(column.max()) - low
        for shift in range(0, size.bit_length(), _DIGIT_BITS):
            digits = ((column.astype(np.int64) - low) >> shift).astype(np.uint16)
            if order is None:
                order = digits.argsort(kind="stable")
            else:
                order = order[digits[order].argsort(kind="stable")]
    return np.arange(len(columns[0])) if order is None else order


@kernel(types.boolean(_READ_RUNS), nogil=True)
def _in_order(runs: Runs) -> bool:
    for i in range(1, len(runs)):
        z, y = runs[i, 2], runs[i, 1]
        if z == runs[i - 1, 2] and y == runs[i - 1, 1]:
            stop = np.int64(runs[i - 1, 0]) + runs[i - 1, 3]
            if runs[i, 0] < stop or (runs[i, 0] == stop and runs[i - 1, 3] < LONGEST):
                return False
        elif z < runs[i - 1, 2] or (z == runs[i - 1, 2] and y < runs[i - 1, 1]):
            return False
    return True


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _join(runs: Runs, begin: int, kept: int) -> int:
    """Join runs from `begin` on, which are sorted by z, y and x, and write them from `kept` <= begin on; where it ended."""
    if begin >= len(runs):
        return kept
    x, y, z = np.int64(runs[begin, 0]), runs[begin, 1], runs[begin, 2]
    stop = x + np.int64(runs[begin, 3])
    for i in range(begin + 1, len(runs)):
        first = np.int64(runs[i, 0])
        last = first + runs[i, 3]
        if z == runs[i, 2] and y == runs[i, 1] and x <= first <= stop:
            stop = max(stop, last)
            if stop - x <= LONGEST:
                continue
            first, last = np.int64(x + LONGEST), stop
            stop = first
        runs[kept, 0], runs[kept, 1], runs[kept, 2], runs[kept, 3] = x, y, z, stop - x
        kept += 1
        x, y, z, stop = first, runs[i, 1], runs[i, 2], last
    runs[kept, 0], runs[kept, 1], runs[kept, 2], runs[kept, 3] = x, y, z, stop - x
    return kept + 1


@kernel(types.int64(_RUNS), nogil=True)
def _join_all(runs: Runs) -> int:
    return _join(runs, 0, 0)  # type: ignore[no-any-return]


def ordered_runs(runs: Runs) -> Runs:
    """The same voxels in order. Runs that are in order already are returned as they are.

    Args:
        runs: (n, 4) int32, each with at least one voxel, in any order; they may overlap.

    Returns:
        (m, 4) int32, m <= n.
    """
    runs = np.ascontiguousarray(runs)
    if _in_order(runs):
        return runs
    ordered = runs[_stable_order(runs[:, 0], runs[:, 1], runs[:, 2])]
    return ordered[: _join_all(ordered)]


@kernel(types.int64(_READ_RUNS, types.int64, types.int64, _LONGS, _RUNS), nogil=True)
def _join_blocks(runs: Runs, height: int, width: int, places: Longs, out: Runs) -> int:
    """Bring each row of blocks in order of z, y and x by counting, then join; the number of runs left."""
    begin, kept = 0, 0
    while begin < len(runs):
        row_z, row_y = np.int64(runs[begin, 2]) // height, np.int64(runs[begin, 1]) // width
        places[:] = 0
        end = begin
        while end < len(runs):
            z, y = np.int64(runs[end, 2]), np.int64(runs[end, 1])
            if z // height != row_z or y // width != row_y:
                break
            places[(z - row_z * height) * width + (y - row_y * width)] += 1
            end += 1
        at = begin
        for row in range(len(places)):
            count = places[row]
            places[row] = at
            at += count
        for i in range(begin, end):
            z, y = np.int64(runs[i, 2]), np.int64(runs[i, 1])
            place = (z - row_z * height) * width + (y - row_y * width)
            at = places[place]
            places[place] += 1
            for column in range(4):
                out[at, column] = runs[i, column]
        kept = _join(out[:end], begin, kept)
        begin = end
    return kept


def join_blocks(runs: Runs, block_zyx: Zyx) -> Runs:
    """Join the runs found block by block where they touch across the faces of neighbours in x.

    One pass of counting for each row of blocks: no sorting, and pieces of whole rows of blocks may be joined on their own.

    Args:
        runs: (n, 4) int32, disjoint; sorted by block (z, y, x of blocks), and in each block by z, y and x.
        block_zyx: shape of a block in voxels.

    Returns:
        (m, 4) int32, m <= n, sorted by row of blocks (z, y), and in each of these by z, y and x.

    Raises:
        BadRequest: a face of a block has no voxels, or more than 2^24.
    """
    height, width, _ = block_zyx
    if height < 1 or width < 1 or height * width > _MOST_ROWS:
        raise BadRequest(f"a block of {block_zyx} (zyx) voxels is not one whose runs can be joined")
    out = np.empty((len(runs), 4), np.int32)
    places = np.empty(height * width, np.int64)
    return out[: _join_blocks(np.ascontiguousarray(runs), height, width, places, out)]


@kernel(types.int64(_READ_RUNS, _RUNS), nogil=True)
def _runs_of_points(points_zyx: Points, out: Runs) -> int:
    count = 0
    for i in range(len(points_zyx)):
        z, y, x = points_zyx[i]
        if count and out[count - 1, 2] == z and out[count - 1, 1] == y:
            first = np.int64(out[count - 1, 0])
            length = np.int64(out[count - 1, 3])
            if first <= x < first + length:
                continue
            if x == first + length and length < LONGEST:
                out[count - 1, 3] += 1
                continue
        out[count, 0], out[count, 1], out[count, 2], out[count, 3] = x, y, z, 1
        count += 1
    return count


def runs_of_points(points_zyx: Points) -> Runs:
    """The runs of points, or of blocks by their coordinates.

    Args:
        points_zyx: (n, 3) int32, sorted by z, y and x; a point may come twice.

    Returns:
        (m, 4) int32 in order.
    """
    out = np.empty((len(points_zyx), 4), np.int32)
    return out[: _runs_of_points(np.ascontiguousarray(points_zyx), out)].copy()


# ---- cutting ------------------------------------------------------------------------------------


@kernel(types.int64(_READ_RUNS, types.int64), nogil=True)
def _count_pieces(runs: Runs, width: int) -> int:
    count = 0
    for i in range(len(runs)):
        x = np.int64(runs[i, 0])
        count += (x + runs[i, 3] - 1) // width - x // width + 1
    return count


@kernel(types.int64(_READ_RUNS, types.UniTuple(types.int64, 3), _RUNS, _RUNS), nogil=True)
def _cut(runs: Runs, block_zyx: Zyx, blocks_zyx: Points, pieces: Runs) -> int:
    depth, height, width = block_zyx
    count = 0
    for i in range(len(runs)):
        x, y, z = np.int64(runs[i, 0]), np.int64(runs[i, 1]), np.int64(runs[i, 2])
        stop = x + runs[i, 3]
        block_z, block_y = z // depth, y // height
        while x < stop and count < len(pieces):
            block_x = x // width
            end = min(stop, (block_x + 1) * width)
            blocks_zyx[count, 0], blocks_zyx[count, 1], blocks_zyx[count, 2] = block_z, block_y, block_x
            pieces[count, 0] = x - block_x * width
            pieces[count, 1] = y - block_y * height
            pieces[count, 2] = z - block_z * depth
            pieces[count, 3] = end - x
            count += 1
            x = end
    return count


_READ_POINTS = types.Array(types.int64, 2, "C", readonly=True)


@kernel(types.int64(_READ_RUNS, types.UniTuple(types.int64, 3), _READ_POINTS, types.int64, _RUNS), nogil=True)
def _keep(runs: Runs, block_zyx: Zyx, blocks_zyx: Longs, limit: int, kept: Runs) -> int:
    """Write as many parts as there is room for; how many there are, or one more than `limit` if there are more."""
    depth, height, width = block_zyx
    count = 0
    for i in range(len(runs)):
        x, y, z = np.int64(runs[i, 0]), np.int64(runs[i, 1]), np.int64(runs[i, 2])
        stop = x + runs[i, 3]
        block_z, block_y, block_x = z // depth, y // height, x // width
        low, high = 0, len(blocks_zyx)  # the first block that does not lie before that of the run's first voxel
        while low < high:
            middle = (low + high) // 2
            a, b, c = blocks_zyx[middle]
            if a < block_z or (a == block_z and (b < block_y or (b == block_y and c < block_x))):
                low = middle + 1
            else:
                high = middle
        while low < len(blocks_zyx) and blocks_zyx[low, 0] == block_z and blocks_zyx[low, 1] == block_y:
            begin = max(x, blocks_zyx[low, 2] * width)
            end = min(stop, (blocks_zyx[low, 2] + 1) * width)
            if begin >= stop:
                break
            if count == limit:
                return count + 1
            if count < len(kept):
                kept[count, 0], kept[count, 1], kept[count, 2], kept[count, 3] = begin, y, z, end - begin
            count += 1
            low += 1
    return count


def runs_within(runs: Runs, block_zyx: Zyx, blocks_zyx: Longs, limit: int) -> Runs:
    """The parts of runs that lie in some blocks. The time depends on the runs and the parts, not on how long runs are.

    Args:
        runs: (n, 4) int32.
        block_zyx: shape of a block in voxels.
        blocks_zyx: (b, 3) int64, sorted by z, y and x, none twice.
        limit: the most parts to make.

    Returns:
        (m, 4) int32 in the order of the runs; none reaches into a second block.

    Raises:
        TooLarge: there would be more than `limit` parts.
    """
    runs, blocks_zyx = np.ascontiguousarray(runs), np.ascontiguousarray(blocks_zyx, np.int64)
    count = _keep(runs, block_zyx, blocks_zyx, limit, np.empty((0, 4), np.int32))
    if count > limit:
        raise TooLarge(f"{len(runs)} runs have more than {limit} parts in {len(blocks_zyx)} blocks")
    kept = np.empty((count, 4), np.int32)
    _keep(runs, block_zyx, blocks_zyx, limit, kept)
    return kept


def cut_runs(runs: Runs, block_zyx: Zyx, limit: int) -> tuple[Points, Longs, Runs]:
    """Cut runs at the faces of blocks, and group the pieces by block.

    Takes some 100 bytes of memory for each piece.

    Args:
        runs: (n, 4) int32, in order, each with at least one voxel.
        block_zyx: shape of a block in voxels.
        limit: the most pieces to make.

    Returns:
        blocks_zyx: (b, 3) int32: the blocks, sorted by z, y and x.
        bounds: (b + 1,) int64: block i has the pieces bounds[i] to bounds[i + 1] - 1.
        pieces: (p, 4) int32: x, y, z from the first voxel of the block, and length; in order within each block.

    Raises:
        BadRequest: the block has no voxels.
        TooLarge: there would be more than `limit` pieces.
    """
    if min(block_zyx) < 1:
        raise BadRequest(f"a block of {block_zyx} (zyx) voxels cannot hold pieces of runs")
    runs = np.ascontiguousarray(runs)
    count: int = _count_pieces(runs, block_zyx[2])
    if count > limit:
        raise TooLarge(
            f"{len(runs)} runs have {count} pieces in blocks of {block_zyx} (zyx); at most {limit} can be cut"
        )
    blocks_zyx = np.empty((count, 3), np.int32)
    pieces = np.empty((count, 4), np.int32)
    if not count:
        return blocks_zyx, np.zeros(1, np.int64), pieces
    _cut(runs, block_zyx, blocks_zyx, pieces)
    order = _stable_order(blocks_zyx[:, 2], blocks_zyx[:, 1], blocks_zyx[:, 0])
    blocks_zyx, pieces = blocks_zyx[order], pieces[order]
    begins = np.flatnonzero(np.any(blocks_zyx[1:] != blocks_zyx[:-1], axis=1)) + 1
    bounds = np.concatenate(([0], begins, [count])).astype(np.int64)
    return blocks_zyx[bounds[:-1]], bounds, pieces
