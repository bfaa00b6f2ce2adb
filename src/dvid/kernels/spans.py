"""Work on spans: runs of blocks along x. Read them from JSON, put them in order, paint them, gather them into boxes."""

from __future__ import annotations

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from dvid.kernels.compiling import kernel

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

_TEXT = types.Array(types.uint8, 1, "C", readonly=True)
_ROWS = types.Array(types.int32, 2, "C")
_READ_ROWS = types.Array(types.int32, 2, "C", readonly=True)
_PLANE = types.Array(types.uint8, 2, "C")
_LONGS = types.Array(types.int64, 1, "C", readonly=True)
_LONG_ROWS = types.Array(types.int64, 2, "C", readonly=True)
_LONG_TABLE = types.Array(types.int64, 2, "C")

_OPEN, _CLOSE, _COMMA, _MINUS, _ZERO, _NINE = b"[],-09"
_LARGEST = 2**31

GRID, LEGACY, COVER = range(3)
"""How `cut_windows` cuts a row of blocks."""


# ---- JSON ---------------------------------------------------------------------------------------


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _skip_space(text: NDArray[np.uint8], at: int) -> int:
    while at < len(text) and text[at] in (32, 9, 10, 13):
        at += 1
    return at


@kernel(types.UniTuple(types.int64, 2)(_TEXT, _ROWS), nogil=True)
def _parse(text: NDArray[np.uint8], rows: Ints) -> tuple[int, int]:
    """Rows read, and the place of the first thing that does not belong there (-1: all is well)."""
    count, width = 0, rows.shape[1]
    at = _skip_space(text, 0)
    if at == len(text) or text[at] != _OPEN:
        return count, at
    at = _skip_space(text, at + 1)
    if at < len(text) and text[at] == _CLOSE:
        at = _skip_space(text, at + 1)
        return count, -1 if at == len(text) else at
    while True:
        if at == len(text) or text[at] != _OPEN or count == len(rows):
            return count, at
        for column in range(width):
            at = _skip_space(text, at + 1)
            start = at
            negative = at < len(text) and text[at] == _MINUS
            if negative:
                at += 1
            first = at
            value = 0
            while at < len(text) and _ZERO <= text[at] <= _NINE and value <= _LARGEST:
                value = value * 10 + (text[at] - _ZERO)
                at += 1
            digits = at - first
            if digits == 0 or (digits > 1 and text[first] == _ZERO) or value > _LARGEST - (0 if negative else 1):
                return count, start
            rows[count, column] = -value if negative else value
            at = _skip_space(text, at)
            if at == len(text) or text[at] != (_CLOSE if column == width - 1 else _COMMA):
                return count, at
        count += 1
        at = _skip_space(text, at + 1)
        if at < len(text) and text[at] == _CLOSE:
            at = _skip_space(text, at + 1)
            return count, -1 if at == len(text) else at
        if at == len(text) or text[at] != _COMMA:
            return count, at
        at = _skip_space(text, at + 1)


def parse_rows(text: bytes, width: int) -> tuple[Ints, int]:
    """Read a JSON list of lists of `width` whole numbers each, without making a Python object of every number.

    Args:
        text: JSON like b"[[1,2,3],[4,5,6]]".
        width: numbers in each inner list.

    Returns:
        The numbers, (rows, width) int32, and -1; or the rows before a mistake and the byte at which it stands: what is
        not such a list, or a number beyond 32 bits.
    """
    data = np.frombuffer(text, np.uint8)
    # A row has at least a digit and a separator for each number, and its brackets.
    most = min(int(np.count_nonzero(data == _OPEN)), len(data) // (2 * width + 1) + 1)
    rows = np.empty((most, width), np.int32)
    count, wrong = _parse(data, rows)
    return rows[:count], int(wrong)


# ---- order --------------------------------------------------------------------------------------


@kernel(types.int64(_ROWS), nogil=True)
def _merge(spans: Ints) -> int:
    kept = 0
    for i in range(1, len(spans)):
        z, y, x0, x1 = spans[i]
        if z == spans[kept, 0] and y == spans[kept, 1] and x0 <= spans[kept, 3]:
            spans[kept, 3] = max(spans[kept, 3], x1)
        else:
            kept += 1
            spans[kept, 0], spans[kept, 1], spans[kept, 2], spans[kept, 3] = z, y, x0, x1
    return min(kept + 1, len(spans))


def ordered_spans(spans: Ints) -> Ints:
    """Spans in order, with those that overlap made one. Spans that merely touch stay as they are.

    Args:
        spans: (n, 4) int32: z, y, first x, last x, with first <= last.

    Returns:
        (m, 4) int32, sorted by z, y and x; disjoint.
    """
    order = np.lexsort((spans[:, 2], spans[:, 1], spans[:, 0]))
    ordered = np.ascontiguousarray(spans[order])
    return ordered[: _merge(ordered)]


# ---- painting -----------------------------------------------------------------------------------


@kernel(types.void(_READ_ROWS, _PLANE, types.int64, types.int64, types.int64), nogil=True)
def _paint(spans: Ints, plane: NDArray[np.uint8], first_row: int, first_column: int, scale: int) -> None:
    height, width = plane.shape
    for i in range(len(spans)):
        row = np.int64(spans[i, 0]) - first_row
        if 0 <= row < height:
            start = max(np.int64(spans[i, 1]) * scale - first_column, 0)
            stop = min((np.int64(spans[i, 2]) + 1) * scale - first_column, width)
            if start < stop:
                plane[row, start:stop] = 1


def paint_spans(spans: Ints, plane: NDArray[np.uint8], first_row: int, first_column: int, scale: int = 1) -> None:
    """Set the places of a plane that spans cover to 1.

    Args:
        spans: (n, 3) int32: y, first x, last x, in blocks.
        plane: (rows, columns) uint8, C-contiguous; written. A row is a row of blocks.
        first_row: the y of the first row, in blocks.
        first_column: the x of the first column, in columns.
        scale: columns to a block.
    """
    _paint(np.ascontiguousarray(spans), plane, first_row, first_column, scale)


# ---- boxes around spans -------------------------------------------------------------------------


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _project(x0: Longs, x1: Longs, runs: Longs) -> int:
    """The runs of x, [first, last], that spans sorted by x0 cover together; touching ones become one. Their number."""
    count = 0
    for i in range(len(x0)):
        if count and x0[i] <= runs[count - 1, 1] + 1:
            runs[count - 1, 1] = max(runs[count - 1, 1], x1[i])
        else:
            runs[count, 0], runs[count, 1] = x0[i], x1[i]
            count += 1
    return count


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _first_ending_at(runs: Longs, x: int) -> int:
    """The first of the sorted runs that ends at x or beyond."""
    low, high = 0, len(runs)
    while low < high:
        middle = (low + high) // 2
        if runs[middle, 1] < x:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _largest_hole(runs: Longs, first: int, last: int) -> tuple[int, int]:
    """The largest part of first..last that no run covers, the leftmost of several; (last + 1, last) if there is none."""
    best, best_first, best_last = 0, last + 1, last
    start = first
    for i in range(_first_ending_at(runs, first), len(runs)):
        if runs[i, 0] > last:
            break
        if runs[i, 0] - start > best:
            best, best_first, best_last = runs[i, 0] - start, start, runs[i, 0] - 1
        start = runs[i, 1] + 1
    if last + 1 - start > best:
        best_first, best_last = start, last
    return best_first, best_last


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _legacy_windows(runs: Longs, batch: int, out: Longs) -> int:
    """Windows of a row as the reference server's optimized partition has them; -1: no room."""
    count, run = 0, 0
    at, high = runs[0, 0], runs[-1, 1]
    left = (high - at + 1) % batch
    while at <= high:
        while runs[run, 1] < at:
            run += 1
        if left == 0 and runs[run, 0] - at >= batch:
            at += (runs[run, 0] - at) // batch * batch  # over the windows in which there is nothing
        stop = at + batch - 1
        if left > 0:
            stop += 1
            left -= 1
        hole, hole_last = _largest_hole(runs, at, stop)
        if hole > at:
            if count == len(out):
                return -1
            out[count, 0], out[count, 1], out[count, 2] = at, hole - 1, hole <= stop
            count += 1
        at = hole_last + 1
    return count


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _fixed_windows(runs: Longs, batch: int, on_grid: bool, out: Longs) -> int:
    """Windows of `batch` blocks of a row, those with something in them; -1: no room."""
    count = 0
    origin = runs[0, 0] - (runs[-1, 1] - runs[0, 0] + 1) % batch // 2
    for i in range(len(runs)):
        at = runs[i, 0]
        if count and at <= out[count - 1, 1]:
            at = out[count - 1, 1] + 1
        elif on_grid:
            at -= (at - origin) % batch
        while at <= runs[i, 1]:
            if count == len(out):
                return -1
            out[count, 0], out[count, 1], out[count, 2] = at, at + batch - 1, 0
            count += 1
            at += batch
    return count


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _count_blocks(zyx: Longs, begin: int, end: int, windows: Longs) -> None:
    """Count the blocks of spans begin..end that lie in each window, and find the extent of these blocks."""
    for i in range(len(windows)):
        windows[i, 4] = 0
        for axis in range(3):
            windows[i, 5 + axis], windows[i, 8 + axis] = 2**40, -(2**40)
    for i in range(begin, end):
        z, y, x0, x1 = zyx[i, 0], zyx[i, 1], zyx[i, 2], zyx[i, 3]
        at = _first_ending_at(windows, x0)
        while at < len(windows) and windows[at, 0] <= x1:
            first, last = max(windows[at, 0], x0), min(windows[at, 1], x1)
            windows[at, 4] += last - first + 1
            windows[at, 5], windows[at, 8] = min(windows[at, 5], z), max(windows[at, 8], z)
            windows[at, 6], windows[at, 9] = min(windows[at, 6], y), max(windows[at, 9], y)
            windows[at, 7], windows[at, 10] = min(windows[at, 7], first), max(windows[at, 10], last)
            at += 1


@kernel(types.int64(_LONG_ROWS, _LONGS, types.int64, types.int64, _LONG_TABLE), nogil=True)
def _cut(spans: Longs, rows: Longs, batch: int, style: int, out: Longs) -> int:
    runs = np.empty((len(spans), 2), np.int64)
    count = 0
    for row in range(len(rows) - 1):
        begin, end = rows[row], rows[row + 1]
        covered = runs[: _project(spans[begin:end, 2], spans[begin:end, 3], runs)]
        if style == LEGACY:
            found = _legacy_windows(covered, batch, out[count:])
        else:
            found = _fixed_windows(covered, batch, style == GRID, out[count:])
        if found < 0:
            return -1
        out[count : count + found, 3] = row
        _count_blocks(spans, begin, end, out[count : count + found])
        count += found
    return count


WINDOW_COLUMNS = 11


def cut_windows(spans: Longs, rows: Longs, batch: int, style: int, limit: int) -> Longs | None:
    """Cut rows of spans into windows along x.

    Args:
        spans: (n, 4) int64: z, y, first x, last x; sorted by row, then by first x.
        rows: (m + 1,) int64: row i is spans[rows[i]:rows[i + 1]], never empty.
        batch: blocks to a window.
        style: GRID: windows on a grid centred on each row; COVER: each window begins at a block; LEGACY: windows that
            end at the largest hole in them, as the reference server cuts an "optimized" partition.
        limit: the most windows to make.

    Returns:
        (windows, 11) int64, each with at least one block, or None if there would be more than `limit`. Columns: first
        x, last x, 1 if it ends at a hole (LEGACY), row, blocks in it, and the extent of these: first z, y, x,
        last z, y, x.
    """
    room = min(1024, limit)
    while True:
        out = np.empty((room, WINDOW_COLUMNS), np.int64)
        count: int = _cut(spans, rows, batch, style, out)
        if count >= 0:
            return out[:count]
        if room >= limit:
            return None
        room = min(room * 8, limit)
