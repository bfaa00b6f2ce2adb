"""Balls in a search grid: which of them matter in a box, which neurite a point belongs to, how deep it is inside.

A point belongs to the neurite whose ball is nearest in power distance: squared distance less squared radius.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from dvid.interop.neuropil import GRID, Balls


class Grid(NamedTuple):
    """Balls sorted by grid cell: those of cell c are `starts[c]` to `starts[c + 1]`."""

    table: npt.NDArray[np.float32]  # (n, 4): z, y, x, radius
    labels: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    origin: npt.NDArray[np.int64]  # of the grid, in cells
    cells: npt.NDArray[np.int64]  # cells along z, y, x


def sort_into_grid(balls: Balls) -> Grid:
    """Sorts balls into cells of `GRID` voxels."""
    if not len(balls.radius):
        no_cells = np.zeros(3, np.int64)
        return Grid(np.empty((0, 4), np.float32), np.empty(0, np.int64), np.zeros(1, np.int64), no_cells, no_cells)
    cell = np.floor(balls.centre_zyx / GRID).astype(np.int64)
    origin = cell.min(axis=0)
    cells = cell.max(axis=0) - origin + 1
    flat = np.ravel_multi_index(tuple((cell - origin).T), tuple(cells))
    order = np.argsort(flat, kind="stable")
    starts = np.searchsorted(flat[order], np.arange(int(np.prod(cells)) + 1))
    table = np.column_stack([balls.centre_zyx, balls.radius])[order].astype(np.float32)
    return Grid(np.ascontiguousarray(table), balls.label[order], starts.astype(np.int64), origin, cells)


@njit(cache=True, nogil=True)
def gather(grid, low, high, reach, found):  # type: ignore[no-untyped-def]
    """Indices of the balls in the grid cells within `reach` of a box; returns how many."""
    count = 0
    first = np.empty(3, np.int64)
    last = np.empty(3, np.int64)
    for axis in range(3):
        first[axis] = max(int(np.floor((low[axis] - reach) / GRID)) - grid.origin[axis], 0)
        last[axis] = min(int(np.floor((high[axis] + reach) / GRID)) - grid.origin[axis], grid.cells[axis] - 1)
    for z in range(first[0], last[0] + 1):
        for y in range(first[1], last[1] + 1):
            for x in range(first[2], last[2] + 1):
                cell = (z * grid.cells[1] + y) * grid.cells[2] + x
                for ball in range(grid.starts[cell], grid.starts[cell + 1]):
                    if count < found.shape[0]:
                        found[count] = ball
                        count += 1
    return count


@njit(cache=True, nogil=True)
def keep_contenders(grid, found, count, low, high, kept):  # type: ignore[no-untyped-def]
    """Copies the balls that may be of the first or second neurite in some voxel of a box; returns how many.

    A ball whose least power distance within the box is above the greatest one of two different neurites can win
    nowhere, not even the second place.
    """
    first = np.float32(1e30)
    second = np.float32(1e30)
    first_label = -1
    for index in range(count):
        ball = found[index]
        far = -grid.table[ball, 3] * grid.table[ball, 3]
        for axis in range(3):
            away = max(grid.table[ball, axis] - low[axis], high[axis] - grid.table[ball, axis])
            far += away * away
        if far < first:
            if grid.labels[ball] != first_label:
                second = first
                first_label = grid.labels[ball]
            first = far
        elif far < second and grid.labels[ball] != first_label:
            second = far
    keep = 0
    for index in range(count):
        ball = found[index]
        near = -grid.table[ball, 3] * grid.table[ball, 3]
        for axis in range(3):
            away = max(low[axis] - grid.table[ball, axis], grid.table[ball, axis] - high[axis], np.float32(0))
            near += away * away
        if near <= second:
            kept[keep] = ball
            keep += 1
    return keep


@njit(cache=True, nogil=True, inline="always")
def _lead(planes, one, other, half):  # type: ignore[no-untyped-def]
    """The least amount by which `one` is nearer than `other` within a box of half edges `half` around the origin.

    The difference of two power distances is linear in the position, so its least value is at a corner.
    """
    lead = planes[other, 3] - planes[one, 3]
    for axis in range(3):
        lead -= np.float32(2) * abs(planes[other, axis] - planes[one, axis]) * half[axis]
    return lead


@njit(cache=True, nogil=True)
def list_contenders(grid, found, count, low, high, planes, labels):  # type: ignore[no-untyped-def]
    """Fills the table of the balls that may be of the first or second neurite in some voxel of a box.

    Args:
        grid: The balls.
        found: Indices of candidates.
        count: How many there are.
        low: First corner of the box, z, y, x.
        high: Last corner.
        planes: Rows of (centre z, y, x relative to the middle of the box, squared centre less squared radius): the
            power distance at p is the squared length of p, less twice centre times p, plus the last.
        labels: Their labels.

    Returns:
        How many there are.
    """
    half = np.empty(3, np.float32)
    for axis in range(3):
        half[axis] = (high[axis] - low[axis]) / 2
    first, second = -1, -1
    for index in range(count):
        ball = found[index]
        labels[index] = grid.labels[ball]
        planes[index, 3] = -grid.table[ball, 3] * grid.table[ball, 3]
        for axis in range(3):
            centre = grid.table[ball, axis] - (low[axis] + half[axis])
            planes[index, axis] = centre
            planes[index, 3] += centre * centre
        if first < 0 or planes[index, 3] < planes[first, 3]:
            if first >= 0 and labels[first] != labels[index]:
                second = first
            first = index
        elif labels[index] != labels[first] and (second < 0 or planes[index, 3] < planes[second, 3]):
            second = index
    if second < 0:
        return count
    # A ball counts for nothing where another one of its label, or two of two other labels, are nearer everywhere.
    kept = 0
    for index in range(count):
        behind_first = index != first and _lead(planes, first, index, half) > 0
        behind_second = index != second and _lead(planes, second, index, half) > 0
        behind = behind_first and behind_second
        behind |= behind_first and labels[index] == labels[first]
        behind |= behind_second and labels[index] == labels[second]
        for other in range(kept):
            if behind:
                break
            behind = labels[other] == labels[index] and _lead(planes, other, index, half) > 0
            if behind and index == second:
                second = other
        if not behind:
            # The two to compare with move along.
            if index == first:
                first = kept
            elif index == second:
                second = kept
            planes[kept] = planes[index]
            labels[kept] = labels[index]
            kept += 1
    return kept


@njit(cache=True, nogil=True)
def keep_touching(grid, found, count, low, high, around, kept):  # type: ignore[no-untyped-def]
    """Copies the balls whose surface, widened by `around` voxels, touches a box; returns how many."""
    keep = 0
    for index in range(count):
        ball = found[index]
        reach = grid.table[ball, 3] + around
        square = np.float32(0)
        for axis in range(3):
            away = max(low[axis] - grid.table[ball, axis], grid.table[ball, axis] - high[axis], np.float32(0))
            square += away * away
        if square < reach * reach:
            kept[keep] = ball
            keep += 1
    return keep


@njit(cache=True, nogil=True)
def nearest(planes, labels, count, z, y, x):  # type: ignore[no-untyped-def]
    """The label of the neurite at a position relative to the middle of the box, and the distance to the next one."""
    first = np.float32(1e30)
    second = np.float32(1e30)
    first_ball = -1
    second_ball = -1
    for index in range(count):
        power = planes[index, 3] - np.float32(2) * (planes[index, 0] * z + planes[index, 1] * y + planes[index, 2] * x)
        if power < second:
            if power < first:
                if first_ball >= 0 and labels[index] != labels[first_ball]:
                    second, second_ball = first, first_ball
                first, first_ball = power, index
            elif labels[index] != labels[first_ball]:
                second, second_ball = power, index
    if second_ball < 0:
        return labels[first_ball], np.float32(1e3)
    dz = planes[first_ball, 0] - planes[second_ball, 0]
    dy = planes[first_ball, 1] - planes[second_ball, 1]
    dx = planes[first_ball, 2] - planes[second_ball, 2]
    return labels[first_ball], (second - first) / (np.float32(2) * np.sqrt(dz * dz + dy * dy + dx * dx))


@njit(cache=True, nogil=True)
def depth_inside(grid, kept, count, label, z, y, x):  # type: ignore[no-untyped-def]
    """How deep in voxels a position is inside the balls of a label; negative outside."""
    inside = np.float32(-1e3)
    for index in range(count):
        ball = kept[index]
        if grid.labels[ball] == label:
            dz, dy, dx = grid.table[ball, 0] - z, grid.table[ball, 1] - y, grid.table[ball, 2] - x
            inside = max(inside, grid.table[ball, 3] - np.sqrt(dz * dz + dy * dy + dx * dx))
    return inside


@njit(cache=True, nogil=True)
def activity(grid, kept, count, z, y, x):  # type: ignore[no-untyped-def]
    """Nearness to the middle of an active zone, where membranes are dark and thick: 1 at the middle, 0 far away."""
    square = np.float32(1e6)
    for index in range(count):
        ball = kept[index]
        dz, dy, dx = grid.table[ball, 0] - z, grid.table[ball, 1] - y, grid.table[ball, 2] - x
        square = min(square, dz * dz + dy * dy + dx * dx)
    return np.float32(np.exp(-square / np.float32(90))) if square < 450 else np.float32(0)
