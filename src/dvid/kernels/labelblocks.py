"""Reading DVID's compressed label blocks: check, count, look up points.

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

`check_block` reads bytes of any origin safely; all other kernels, here and in the modules beside, rely on its verdict.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from dvid.errors import BadRequest
from dvid.kernels.words import load_u8, load_u16, load_u32, load_u64, ones, signed, turned

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

NOWHERE = -1
"""The place of a voxel in a sub-block without data: its label is 0, whatever the list has."""

_Bytes = NDArray[np.uint8]
_Labels = NDArray[np.uint64]
_Places = NDArray[np.int64]

BLOCK = types.Array(types.uint8, 1, "C", readonly=True)
ADDRESSES = types.Array(types.uintp, 1, "C", readonly=True)
LABELS = types.Array(types.uint64, 1, "C", readonly=True)
PLACES = types.Array(types.int64, 1, "C", readonly=True)
POINTS = types.Array(types.int64, 2, "C", readonly=True)
TRIPLE = types.UniTuple(types.intp, 3)
_COUNTS = types.Array(types.uint64, 1, "C")
_FOUND = types.Array(types.int64, 1, "C")


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


@numba.njit(types.UniTuple(types.int64, 2)(BLOCK), nogil=True, cache=True)  # type: ignore[untyped-decorator]
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


# ---- count, points ------------------------------------------------------------------------------


@numba.njit(types.void(BLOCK, _COUNTS), nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _count(data: _Bytes, counts: _Labels) -> None:
    at = layout_of(signed(data.ctypes.data))
    subs = at.gz * at.gy * at.gx
    if at.labels == 1:
        counts[0] += np.uint64(subs * SUB_VOXELS)
        return
    number, tables, values = at.numbers, at.tables, at.values
    # Two tables by turns: adding to the place that was just written has to wait for it.
    even, odd = np.empty(SUB_VOXELS, np.uint32), np.empty(SUB_VOXELS, np.uint32)
    for _ in range(subs):
        labels = load_u16(number)
        bits = bits_for(labels)
        if labels == 1:
            counts[load_u32(tables)] += np.uint64(SUB_VOXELS)
        elif labels == 2:
            found = 0
            for i in range(8):
                found += ones(load_u64(values + 8 * i))
            counts[load_u32(tables)] += np.uint64(SUB_VOXELS - found)
            counts[load_u32(tables + 4)] += np.uint64(found)
        elif labels:
            even[:labels] = 0
            odd[:labels] = 0
            mask = np.uint64((1 << bits) - 1)
            for row in range(64):
                word = row_word(values, row, bits)
                even[row_first(values, row, bits, word)] += np.uint32(1)
                for x in range(1, 8):
                    place = signed((word >> np.uint64(bits * (7 - x))) & mask)
                    if x & 1:
                        odd[place] += np.uint32(1)
                    else:
                        even[place] += np.uint32(1)
            for i in range(labels):
                counts[load_u32(tables + 4 * i)] += np.uint64(even[i] + odd[i])
        number += 2
        tables += 4 * labels
        values += bits * (SUB_VOXELS // 8)


def count_labels(block: _Bytes) -> _Labels:
    """How many voxels each entry of a checked block's label list has.

    Returns:
        (N,) uint64. Voxels of sub-blocks without data, whose label is 0, are in none of them.
    """
    counts = np.zeros(int(block[12:16].view(np.uint32)[0]), np.uint64)
    _count(block, counts)
    return counts


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


@numba.njit(types.int64(BLOCK, POINTS, _FOUND), nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _find(data: _Bytes, points_zyx: _Places, found: _Places) -> int:
    at = layout_of(signed(data.ctypes.data))
    subs = at.gz * at.gy * at.gx if at.labels > 1 else 0
    tables, values = np.empty(subs, np.int64), np.empty(subs, np.int64)
    if subs:
        locate_subs(at, tables, values)
    for i in range(len(points_zyx)):
        z, y, x = points_zyx[i]
        if not (0 <= z < at.gz * SUB and 0 <= y < at.gy * SUB and 0 <= x < at.gx * SUB):
            return i
        if at.labels == 1:
            found[i] = 0
            continue
        sub = ((z >> 3) * at.gy + (y >> 3)) * at.gx + (x >> 3)
        labels = load_u16(at.numbers + 2 * sub)
        if labels == 0:
            found[i] = NOWHERE
            continue
        bits = bits_for(labels)
        place = 0
        if bits:
            row = (z & 7) * SUB + (y & 7)
            word = row_word(values[sub], row, bits)
            if x & 7:
                place = signed((word >> np.uint64(bits * (7 - (x & 7)))) & np.uint64((1 << bits) - 1))
            else:
                place = row_first(values[sub], row, bits, word)
        found[i] = load_u32(tables[sub] + 4 * place)
    return -1


def find_points(block: _Bytes, points_zyx: NDArray[np.int64]) -> _Places:
    """The places in a checked block's label list of voxels.

    Args:
        block: (bytes,) uint8.
        points_zyx: (n, 3) int64 voxels, counted from the block's first.

    Returns:
        (n,) int64, NOWHERE for voxels of sub-blocks without data: their label is 0.

    Raises:
        BadRequest: a point lies outside the block.
    """
    if points_zyx.ndim != 2 or points_zyx.shape[1] != 3:
        raise BadRequest(f"points have the shape {points_zyx.shape}, expected (n, 3)")
    found = np.empty(len(points_zyx), np.int64)
    wrong = _find(block, np.ascontiguousarray(points_zyx, np.int64), found)
    if wrong >= 0:
        raise BadRequest(f"point {points_zyx[wrong].tolist()} (z, y, x) lies outside the block")
    return found
