"""How far voxels are from each other: the least Euclidean distance between one set of voxels and each of some others.

Exact, in a time that grows with the voxels and not with their number squared: a distance transform, axis by axis, by lower
envelopes of parabolas. Source: P. Felzenszwalb and D. Huttenlocher, Distance Transforms of Sampled Functions
(https://doi.org/10.4086/toc.2012.v008a019), in whole numbers as by A. Meijster, J. Roerdink and W. Hesselink, A General
Algorithm for Computing Distance Transforms in Linear Time (https://doi.org/10.1007/0-306-47025-X_36).
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from dvid.errors import BadRequest
from dvid.kernels.compiling import kernel
from dvid.kernels.words import signed

LONGEST_SIDE = 1024
"""Voxels along an axis, so that squares of distances fit 32 bits with much to spare."""

TARGET = 1
"""The mark from whose voxels distances are measured."""
FIRST_OTHER = 2
"""The mark of the first of the other sets; 0 is the mark of voxels that are in none."""
ABSENT = -1
"""What is found where there are no voxels of the one or the other mark."""

_Marks = NDArray[np.uint64]
_Found = NDArray[np.int64]
_Squares = NDArray[np.int32]
_Box = tuple[int, int, int, int, int, int]

_MARKS = types.Array(types.uint64, 3, "C", readonly=True)
_FOUND = types.Array(types.int64, 1, "C")
_UNKNOWN = 0
_TOUCHING = 1
_FAR = 4 * LONGEST_SIDE


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _touch(here: int, there: int, found: _Found) -> None:
    """Note the marks of two neighbours."""
    if here == TARGET and FIRST_OTHER <= there < FIRST_OTHER + len(found):
        found[there - FIRST_OTHER] = _TOUCHING
    elif there == TARGET and FIRST_OTHER <= here < FIRST_OTHER + len(found):
        found[here - FIRST_OTHER] = _TOUCHING


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _look(marks: _Marks, found: _Found) -> bool:
    """Find out which sets are there at all, and which touch the target; True if the target is there."""
    depth, height, width = marks.shape
    target = False
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                mark = signed(marks[z, y, x])
                if mark == 0:
                    continue
                if mark == TARGET:
                    target = True
                elif FIRST_OTHER <= mark < FIRST_OTHER + len(found) and found[mark - FIRST_OTHER] == ABSENT:
                    found[mark - FIRST_OTHER] = _UNKNOWN
                if x + 1 < width:
                    _touch(mark, signed(marks[z, y, x + 1]), found)
                if y + 1 < height:
                    _touch(mark, signed(marks[z, y + 1, x]), found)
                if z + 1 < depth:
                    _touch(mark, signed(marks[z + 1, y, x]), found)
    return target


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _is_open(mark: int, found: _Found, open_sets: NDArray[np.uint8]) -> bool:
    return FIRST_OTHER <= mark < FIRST_OTHER + len(found) and open_sets[mark - FIRST_OTHER] != 0


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _box_of(marks: _Marks, found: _Found, open_sets: NDArray[np.uint8], columns: NDArray[np.uint8]) -> _Box:
    """The box around the target and the sets whose distance is open; notes in which columns along z these have voxels."""
    depth, height, width = marks.shape
    z0, y0, x0, z1, y1, x1 = depth, height, width, 0, 0, 0
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                mark = signed(marks[z, y, x])
                if mark == 0:
                    continue
                if _is_open(mark, found, open_sets):
                    columns[y, x] = 1
                elif mark != TARGET:
                    continue
                z0, z1 = min(z0, z), z + 1
                y0, y1 = min(y0, y), max(y1, y + 1)
                x0, x1 = min(x0, x), max(x1, x + 1)
    return z0, y0, x0, z1, y1, x1


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _measure_row(row: _Marks, squares: _Squares, x0: int, x1: int) -> bool:
    """Square distances to the target in a row along x; False, and nothing written, where it has none of it."""
    nearest = -_FAR
    for x in range(x0, x1):
        if signed(row[x]) == TARGET:
            nearest = x
        squares[x - x0] = min(x - nearest, _FAR)
    if nearest < 0:
        return False
    nearest = _FAR
    for x in range(x1 - 1, x0 - 1, -1):
        if signed(row[x]) == TARGET:
            nearest = x
        gap = min(int(squares[x - x0]), nearest - x)
        squares[x - x0] = gap * gap
    return True


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _envelope(places: _Found, heights: _Found, count: int, length: int, tops: _Found, starts: _Found) -> int:
    """The lower envelope of parabolas over 0 to length - 1.

    Args:
        places: where each has its lowest point, ascending.
        heights: how high that is.
        count: how many there are.
        length: of the line.
        tops: becomes the parabolas that are lowest somewhere, in their order.
        starts: becomes where each of them begins to be lowest.

    Returns:
        How many are lowest somewhere.
    """
    kept = 0
    for i in range(count):
        place, height = places[i], heights[i]
        begin = 0
        while kept:
            before = tops[kept - 1]
            at = starts[kept - 1]
            if (at - places[before]) ** 2 + heights[before] <= (at - place) ** 2 + height:
                # Both are whole and at most 2^23: their quotient as a float has the right whole part.
                rise = place * place - places[before] * places[before] + height - heights[before]
                begin = 1 + int(rise / (2 * (place - places[before])))
                break
            kept -= 1
        if begin < length:
            tops[kept], starts[kept] = i, begin
            kept += 1
    return kept


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _measure(marks: _Marks, found: _Found, open_sets: NDArray[np.uint8], columns: NDArray[np.uint8]) -> None:
    """Find the distances that are open."""
    z0, y0, x0, z1, y1, x1 = _box_of(marks, found, open_sets, columns)
    depth, height, width = z1 - z0, y1 - y0, x1 - x0
    squares = np.empty((depth, height, width), np.int32)
    longest = max(depth, height)
    places, heights = np.empty(longest, np.int64), np.empty(longest, np.int64)
    tops, starts = np.empty(longest, np.int64), np.empty(longest, np.int64)
    planes = np.empty(depth, np.int64)
    held = 0
    for z in range(depth):
        count = 0
        for y in range(height):
            if _measure_row(marks[z0 + z, y0 + y], squares[z, y], x0, x1):
                places[count] = y
                count += 1
        if count == 0:
            continue
        planes[held] = z
        held += 1
        for x in range(width):
            for i in range(count):
                heights[i] = squares[z, places[i], x]
            top = _envelope(places, heights, count, height, tops, starts) - 1
            for y in range(height - 1, -1, -1):
                while starts[top] > y:
                    top -= 1
                squares[z, y, x] = (y - places[tops[top]]) ** 2 + heights[tops[top]]
    for y in range(height):
        for x in range(width):
            if columns[y0 + y, x0 + x] == 0:
                continue
            for i in range(held):
                heights[i] = squares[planes[i], y, x]
            top = _envelope(planes, heights, held, depth, tops, starts) - 1
            for z in range(depth - 1, -1, -1):
                while starts[top] > z:
                    top -= 1
                mark = signed(marks[z0 + z, y0 + y, x0 + x])
                if _is_open(mark, found, open_sets):
                    square = (z - planes[tops[top]]) ** 2 + heights[tops[top]]
                    best = found[mark - FIRST_OTHER]
                    if best == _UNKNOWN or square < best:
                        found[mark - FIRST_OTHER] = square


@kernel(types.void(_MARKS, _FOUND), nogil=True)
def _nearest(marks: _Marks, found: _Found) -> None:
    found[:] = ABSENT
    if not _look(marks, found):
        found[:] = ABSENT
        return
    open_sets = (found == _UNKNOWN).astype(np.uint8)
    if open_sets.any():
        _measure(marks, found, open_sets, np.zeros(marks.shape[1:], np.uint8))


def nearest_squares(marks: _Marks, others: int) -> _Found:
    """How near the target and other sets of voxels come to each other.

    Takes half the memory of the marks at most.

    Args:
        marks: (z, y, x) uint64: `TARGET`, `FIRST_OTHER` and the numbers that follow; anything else is no set.
        others: how many other sets there are.

    Returns:
        (others,) int64: the square of the least distance between a voxel of the target and one of that set, in voxels;
        `ABSENT` where there are none of the one or the other.

    Raises:
        BadRequest: the array is not one of marks, or a side is longer than `LONGEST_SIDE`.
    """
    if marks.ndim != 3 or marks.dtype != np.uint64 or max(marks.shape) > LONGEST_SIDE:
        raise BadRequest(
            f"marks are (z, y, x) uint64 of at most {LONGEST_SIDE} voxels a side, not {marks.dtype} {marks.shape}"
        )
    found = np.empty(others, np.int64)
    _nearest(np.ascontiguousarray(marks), found)
    return found
