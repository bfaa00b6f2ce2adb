"""How DVID's compressed label blocks are laid out, and whether bytes are one.

A block covers (8 gz, 8 gy, 8 gx) voxels in sub-blocks of 8 x 8 x 8. All numbers are little-endian:

    uint32 gx, gy, gz   sub-blocks along each axis
    uint32 N            labels
    uint64[N]           the label list; duplicates and label 0 are allowed

and, only if N > 1 (a block of one label ends here), with sub-blocks in the order z, y, x, x fastest:

    uint16[gz gy gx]    Ns: labels of each sub-block, at most 512; 0 means that all its voxels are 0
    uint32[sum of Ns]   places in the label list, sub-block by sub-block: the sub-block's table
    bytes               for each sub-block of Ns > 1: 512 places in its table, of ceil(log2(Ns)) bits each, the most
                        significant bit first

Source: https://github.com/janelia-flyem/dvid/blob/master/datatype/common/labels/compressed.go. A row of 8 voxels along
x takes exactly as many bytes as a voxel takes bits, so every row can be read by itself.

`check_block` reads bytes of any origin safely; all other kernels of label blocks rely on its verdict.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from dvid.kernels.compiling import kernel
from dvid.kernels.words import load_u8, load_u16, load_u32, load_u64, signed, turned

SUB = 8
"""Voxels along each side of a sub-block."""
SUB_VOXELS = SUB**3
LARGEST_GRID = 128
"""Sub-blocks along one axis: blocks have at most 1024 voxels there."""
HEAD_BYTES = 16
"""Up to the label list."""

FINE, SHORT, GRID, NO_LABEL, LENGTH, CROWDED, PLACE, VALUE = range(8)
"""What `check_block` finds: all is well; too short for what it says; grid out of range; no label; another length than
it says; a sub-block of more than 512 labels; a table entry beyond the label list; a voxel beyond its table."""

_Bytes = NDArray[np.uint8]
_Labels = NDArray[np.uint64]
_Places = NDArray[np.int64]

BLOCK = types.Array(types.uint8, 1, "C", readonly=True)
ADDRESSES = types.Array(types.uintp, 1, "C", readonly=True)
LABELS = types.Array(types.uint64, 1, "C", readonly=True)
PLACES = types.Array(types.int64, 1, "C", readonly=True)
POINTS = types.Array(types.int64, 2, "C", readonly=True)
TRIPLE = types.UniTuple(types.intp, 3)


class Layout(NamedTuple):
    """Where the parts of a checked block are."""

    gz: int
    gy: int
    gx: int
    labels: int
    """Entries of the label list."""
    numbers: int
    """Address of the sub-blocks' label counts."""
    tables: int
    """Address of the first table."""
    values: int
    """Address of the first packed voxel."""


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def layout_of(block: int) -> Layout:
    """Read the head of the checked block at an address."""
    gx, gy, gz = load_u32(block), load_u32(block + 4), load_u32(block + 8)
    count = load_u32(block + 12)
    subs = gx * gy * gz
    numbers = block + HEAD_BYTES + 8 * count
    tables = numbers + 2 * subs
    total = 0
    if count > 1:
        for i in range(subs):
            total += load_u16(numbers + 2 * i)
    return Layout(gz, gy, gx, count, numbers, tables, tables + 4 * total)


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def bits_for(labels: int) -> int:
    """Bits of a voxel in a sub-block of so many labels."""
    bits = 0
    while labels > 1 << bits:
        bits += 1
    return bits


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def locate_subs(at: Layout, tables: _Places, values: _Places) -> None:
    """Fill in the addresses of each sub-block's table and packed voxels, for a block of more than one label."""
    table, value = at.tables, at.values
    for i in range(at.gz * at.gy * at.gx):
        tables[i] = table
        values[i] = value
        labels = load_u16(at.numbers + 2 * i)
        table += 4 * labels
        value += bits_for(labels) * (SUB_VOXELS // 8)


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def row_word(values: int, row: int, bits: int) -> np.uint64:
    """The 8 bytes that end with a row of 8 voxels, the last voxel in the lowest bits.

    They begin before the row where it is shorter, which is still inside the block, and never reach behind it.
    """
    return turned(load_u64(values + (row + 1) * bits - 8))  # type: ignore[no-any-return]


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def row_first(values: int, row: int, bits: int, word: np.uint64) -> int:
    """The first voxel of a row; of 9 bits, all but one lie before the row's word."""
    place: int = signed((word >> np.uint64(7 * bits)) & np.uint64((1 << bits) - 1))
    if bits == 9:
        place |= load_u8(values + row * 9) << 1
    return place


@kernel(types.UniTuple(types.int64, 2)(BLOCK), nogil=True)
def _check(data: _Bytes) -> tuple[int, int]:
    """What is wrong, and the number that tells of it."""
    block, size = signed(data.ctypes.data), len(data)
    if size < HEAD_BYTES:
        return SHORT, HEAD_BYTES
    subs = 1
    for axis in range(3):
        along = load_u32(block + 4 * axis)
        if not 1 <= along <= LARGEST_GRID:
            return GRID, along
        subs *= along
    count = load_u32(block + 12)
    if count == 0:
        return NO_LABEL, 0
    numbers = HEAD_BYTES + 8 * count
    if count == 1:
        return (FINE, 0) if size == numbers else (LENGTH, numbers)
    tables = numbers + 2 * subs
    if size < tables:
        return SHORT, tables
    total = packed = 0
    for i in range(subs):
        labels = load_u16(block + numbers + 2 * i)
        if labels > SUB_VOXELS:
            return CROWDED, labels
        total += labels
        packed += bits_for(labels) * (SUB_VOXELS // 8)
    if size != tables + 4 * total + packed:
        return LENGTH, tables + 4 * total + packed
    for i in range(total):
        place = load_u32(block + tables + 4 * i)
        if place >= count:
            return PLACE, place
    values = block + tables + 4 * total
    for i in range(subs):
        labels = load_u16(block + numbers + 2 * i)
        bits = bits_for(labels)
        if 0 < labels < 1 << bits:
            largest = np.uint64(0)
            mask = np.uint64((1 << bits) - 1)
            for row in range(64):
                word = row_word(values, row, bits)
                largest = max(largest, np.uint64(row_first(values, row, bits, word)))
                for x in range(1, 8):
                    largest = max(largest, (word >> np.uint64(bits * (7 - x))) & mask)
            if largest >= np.uint64(labels):
                return VALUE, signed(largest)
        values += bits * (SUB_VOXELS // 8)
    return FINE, 0


def check_block(block: _Bytes) -> tuple[int, int]:
    """Whether bytes of any origin are a label block that every other kernel can read without further checks.

    Args:
        block: (bytes,) uint8, C-contiguous.

    Returns:
        FINE and 0, or what is wrong and the number that tells of it: the length that is needed (SHORT, LENGTH), the
        sub-blocks along an axis (GRID), the labels of a sub-block (CROWDED), the place in the label list (PLACE) or
        in a table (VALUE).
    """
    wrong, number = _check(block)
    return int(wrong), int(number)
