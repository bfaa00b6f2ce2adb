"""Rows of an index: sorted lists of (block of a region, voxels) as one supervoxel has them in one region.

An entry is 6 bytes: the block's number in the region (uint16), then the voxels (uint32), both little-endian.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from dvid.kernels.compiling import kernel

ENTRY_BYTES = 6

KEY_BYTES = 20
"""Of a row's key: its label and the z, y, x of its region plus 2^31, big-endian."""

_REGION_BITS = 3
_REGION_BLOCKS = 1 << 3 * _REGION_BITS

_Bytes = NDArray[np.uint8]
_Labels = NDArray[np.uint64]
_Numbers = NDArray[np.int64]


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _put(out: _Bytes, at: int, block: int, voxels: int) -> None:
    out[at] = block & 255
    out[at + 1] = block >> 8
    for i in range(4):
        out[at + 2 + i] = (voxels >> (8 * i)) & 255


_ROWS = types.Array(types.uint8, 1, "C", readonly=True)
_INTEGERS = types.Array(types.int64, 1, "C", readonly=True)


_LABELS = types.Array(types.uint64, 1, "C")
_COUNTS = types.Array(types.int64, 1, "C")
_POINTS = types.Array(types.int64, 2, "C")


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _big_endian(data: _Bytes, at: int, size: int) -> int:
    value = np.int64(0)
    for i in range(size):
        value = value << np.int64(8) | np.int64(data[at + i])
    return int(value)


@kernel(types.boolean(_ROWS, _ROWS, _INTEGERS, _LABELS, _POINTS, _COUNTS), nogil=True)
def _unpack(
    keys: _Bytes, rows: _Bytes, ends: _Numbers, labels: _Labels, blocks_zyx: _Numbers, voxels: _Numbers
) -> bool:
    """False if an entry names a block that no region has."""
    at = 0
    for i in range(len(ends)):
        key = i * KEY_BYTES
        label = np.uint64(_big_endian(keys, key, 8))
        z = (_big_endian(keys, key + 8, 4) - (1 << 31)) << _REGION_BITS
        y = (_big_endian(keys, key + 12, 4) - (1 << 31)) << _REGION_BITS
        x = (_big_endian(keys, key + 16, 4) - (1 << 31)) << _REGION_BITS
        while at < ends[i]:
            entry = at * ENTRY_BYTES
            block = np.int64(rows[entry]) | np.int64(rows[entry + 1]) << 8
            if block >= _REGION_BLOCKS:
                return False
            labels[at] = label
            blocks_zyx[at, 0] = z + (block >> 2 * _REGION_BITS)
            blocks_zyx[at, 1] = y + (block >> _REGION_BITS & (1 << _REGION_BITS) - 1)
            blocks_zyx[at, 2] = x + (block & (1 << _REGION_BITS) - 1)
            count = np.int64(0)
            for j in range(4):
                count |= np.int64(rows[entry + 2 + j]) << (8 * j)
            voxels[at] = count
            at += 1
    return True


def unpack_rows(keys: list[bytes], rows: list[bytes]) -> tuple[_Labels, _Numbers, _Numbers] | None:
    """The entries of rows, one row after the other.

    Args:
        keys: of the rows, `KEY_BYTES` each.
        rows: each a whole number of entries.

    Returns:
        The label of each entry (n,) uint64, its block (n, 3) int64 zyx, and its voxels (n,) int64. None if a row is no
        whole number of entries, or names a block that no region has.
    """
    ends, end = [], 0
    for row in rows:
        count, rest = divmod(len(row), ENTRY_BYTES)
        if rest:
            return None
        end += count
        ends.append(end)
    labels, blocks_zyx, voxels = np.empty(end, np.uint64), np.empty((end, 3), np.int64), np.empty(end, np.int64)
    stored = np.frombuffer(b"".join(rows), np.uint8) if end else np.empty(0, np.uint8)
    packed = np.frombuffer(b"".join(keys), np.uint8) if keys else np.empty(0, np.uint8)
    whole = _unpack(packed, stored, np.array(ends, np.int64), labels, blocks_zyx, voxels)
    return (labels, blocks_zyx, voxels) if whole else None


@kernel(types.int64(types.Array(types.int64, 2, "A", readonly=True), _POINTS), nogil=True)
def _distinct(points_zyx: _Numbers, out: _Numbers) -> int:
    """Points without those that are as the one before them; -1 if one lies before that."""
    count = 0
    for i in range(len(points_zyx)):
        z, y, x = points_zyx[i]
        if count:
            a, b, c = out[count - 1]
            if z == a and y == b and x == c:
                continue
            if z < a or (z == a and (y < b or (y == b and x < c))):
                return -1
        out[count, 0], out[count, 1], out[count, 2] = z, y, x
        count += 1
    return count


def distinct(points_zyx: _Numbers) -> _Numbers:
    """The different points, sorted by z, y, x: (n, 3) int64 to (m, 3) int64."""
    out = np.empty((len(points_zyx), 3), np.int64)
    count = _distinct(points_zyx, out)
    if count < 0:
        z, y, x = points_zyx.T
        count = _distinct(points_zyx[np.lexsort((x, y, z))], out)
    return out if count == len(out) else out[:count].copy()


@kernel(
    types.boolean(types.Array(types.int64, 2, "A", readonly=True), types.Array(types.uint64, 1, "A", readonly=True)),
    nogil=True,
)
def _in_order(points_zyx: _Numbers, labels: _Labels) -> bool:
    for i in range(1, len(labels)):
        for axis in range(3):
            before, here = points_zyx[i - 1, axis], points_zyx[i, axis]
            if before != here:
                if before > here:
                    return False
                break
        else:
            if labels[i - 1] > labels[i]:
                return False
    return True


def in_order(points_zyx: _Numbers, labels: _Labels) -> bool:
    """Whether labels at points, (n, 3) int64 and (n,) uint64, are sorted by z, y, x, then by label."""
    return _in_order(points_zyx, labels)


@kernel(
    types.intp(
        _ROWS,
        _INTEGERS,
        _INTEGERS,
        _INTEGERS,
        _INTEGERS,
        types.Array(types.uint8, 1, "C"),
        types.Array(types.int64, 1, "C"),
    ),
    nogil=True,
)
def _merge(
    rows: _Bytes,
    row_ends: _Numbers,
    blocks: _Numbers,
    changes: _Numbers,
    change_ends: _Numbers,
    out: _Bytes,
    out_ends: _Numbers,
) -> int:
    """Merge; returns the number of the first row whose voxels of a block would become negative or too many, or -1."""
    row, change, end = 0, 0, 0
    for i in range(len(row_ends)):
        while row < row_ends[i] or change < change_ends[i]:
            have, want = 1 << 16, 1 << 16
            if row < row_ends[i]:
                have = int(np.int64(rows[row]) | np.int64(rows[row + 1]) << 8)
            if change < change_ends[i]:
                want = blocks[change]
            block, voxels = min(have, want), 0
            if have == block:
                for j in range(4):
                    voxels |= int(np.int64(rows[row + 2 + j]) << (8 * j))
                row += 6
            while change < change_ends[i] and blocks[change] == block:
                voxels += changes[change]
                change += 1
            if voxels < 0 or voxels >= 1 << 32:
                return i
            if voxels:
                _put(out, end, block, voxels)
                end += 6
        out_ends[i] = end
    return -1


def merge_rows(
    rows: list[bytes], blocks: _Numbers, changes: _Numbers, change_ends: _Numbers
) -> tuple[list[bytes], int | None]:
    """Add changes of voxel counts to rows of an index.

    Args:
        rows: as they are, each a whole number of entries sorted by block; empty where there is none.
        blocks: (m,) the blocks that change, those of the first row first; sorted within a row, and may repeat.
        changes: (m,) voxels more in each of them.
        change_ends: (n,) where the changes of each row end.

    Returns:
        The rows as they become, without blocks of no voxels; and the first row of which a block's voxels would be
        negative or 2^32 and more, or None. In that case the rows say nothing.
    """
    ends = np.cumsum(np.fromiter(map(len, rows), np.int64, len(rows)))
    old = np.frombuffer(b"".join(rows), np.uint8)
    out = np.empty(len(old) + ENTRY_BYTES * len(blocks), np.uint8)
    out_ends = np.empty(len(rows), np.int64)
    wrong = _merge(old, ends, blocks, changes, change_ends, out, out_ends)
    data, start, merged = out.tobytes(), 0, []
    for end in out_ends.tolist() if wrong < 0 else ():
        merged.append(data[start:end])
        start = end
    return merged, None if wrong < 0 else wrong
