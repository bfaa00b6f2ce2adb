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

_Bytes = NDArray[np.uint8]
_Numbers = NDArray[np.int64]


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _put(out: _Bytes, at: int, block: int, voxels: int) -> None:
    out[at] = block & 255
    out[at + 1] = block >> 8
    for i in range(4):
        out[at + 2 + i] = (voxels >> (8 * i)) & 255


_ROWS = types.Array(types.uint8, 1, "C", readonly=True)
_INTEGERS = types.Array(types.int64, 1, "C", readonly=True)


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
