"""Reading DVID's compressed label blocks (their format: `dvid.kernels.labellayout`): decode, count, look up points."""

from __future__ import annotations

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from dvid.errors import BadRequest
from dvid.kernels.compiling import kernel
from dvid.kernels.labellayout import (
    ADDRESSES,
    BLOCK,
    HEAD_BYTES,
    LABELS,
    PLACES,
    POINTS,
    SUB,
    SUB_VOXELS,
    TRIPLE,
    bits_for,
    layout_of,
    locate_subs,
    row_first,
    row_word,
)
from dvid.kernels.words import load_u8, load_u16, load_u32, load_u64, ones, signed, store_u64

_Labels = NDArray[np.uint64]
_Places = NDArray[np.int64]
_Bytes = NDArray[np.uint8]
_COUNTS = types.Array(types.uint64, 1, "C")

_OWN_LABELS = np.empty(0, np.uint64)
_OWN_STARTS = np.empty(0, np.int64)


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def fill_rows(target: int, planes: int, rows: int, run: int, to_plane: int, to_row: int, label: np.uint64) -> None:
    """Write one label into `planes` x `rows` x `run` voxels, with so many bytes from plane to plane and row to row."""
    for z in range(planes):
        for y in range(rows):
            at = target + z * to_plane + y * to_row
            for x in range(run):
                store_u64(at + 8 * x, label)


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def fill_sub(target: int, to_plane: int, to_row: int, label: np.uint64) -> None:
    """Write one label into a whole sub-block."""
    for z in range(SUB):
        for y in range(SUB):
            at = target + z * to_plane + y * to_row
            for x in range(SUB):
                store_u64(at + 8 * x, label)


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def load_table(tables: int, labels: int, list_address: int, table: _Labels) -> None:
    """The labels that a sub-block's table points to."""
    for i in range(labels):
        table[i] = load_u64(list_address + 8 * load_u32(tables + 4 * i))


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def unpack_sub(values: int, bits: int, table: _Labels, target: int, to_plane: int, to_row: int) -> None:
    """Write the voxels of a whole sub-block of more than one label."""
    if bits == 1:
        # Without a look-up the compiler works on several voxels at a time.
        zero, change = table[0], table[0] ^ table[1]
        for row in range(64):
            byte = np.uint64(load_u8(values + row))
            at = target + (row >> 3) * to_plane + (row & 7) * to_row
            for x in range(8):
                chosen = np.uint64(0) - ((byte >> np.uint64(7 - x)) & np.uint64(1))
                store_u64(at + 8 * x, zero ^ (change & chosen))
        return
    mask = np.uint64((1 << bits) - 1)
    for row in range(64):
        word = row_word(values, row, bits)
        at = target + (row >> 3) * to_plane + (row & 7) * to_row
        store_u64(at, table[row_first(values, row, bits, word)])
        for x in range(1, 8):
            store_u64(at + 8 * x, table[signed((word >> np.uint64(bits * (7 - x))) & mask)])


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _unpack_part(
    values: int,
    bits: int,
    table: _Labels,
    part: tuple[int, int, int, int, int, int],
    target: int,
    to_plane: int,
    to_row: int,
) -> None:
    """Write the voxels of a sub-block from (z0, y0, x0) up to (z1, y1, x1), the first of them at the target."""
    z0, z1, y0, y1, x0, x1 = part
    mask = np.uint64((1 << bits) - 1)
    for z in range(z0, z1):
        for y in range(y0, y1):
            row = z * SUB + y
            word = row_word(values, row, bits)
            at = target + (z - z0) * to_plane + (y - y0) * to_row
            for x in range(x0, x1):
                if x == 0:
                    place = row_first(values, row, bits, word)
                else:
                    place = signed((word >> np.uint64(bits * (7 - x))) & mask)
                store_u64(at + 8 * (x - x0), table[place])


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _overlap(origin: int, extent: int, limit: int) -> tuple[int, int]:
    """First and last + 1 voxel of something that begins at `origin`, counted from there, that lie below the limit.

    The tests come first, so that no sum can overflow.
    """
    if origin >= limit or origin <= -extent:
        return 0, 0
    return max(-origin, 0), min(limit - origin, extent)


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _decode(
    block: int,
    list_address: int,
    oz: int,
    oy: int,
    ox: int,
    box: int,
    box_shape: tuple[int, int, int],
    to_plane: int,
    to_row: int,
    table: _Labels,
) -> None:
    """Write what a block and a box share, with the labels from another list."""
    at = layout_of(block)
    z0, z1 = _overlap(oz, at.gz * SUB, box_shape[0])
    y0, y1 = _overlap(oy, at.gy * SUB, box_shape[1])
    x0, x1 = _overlap(ox, at.gx * SUB, box_shape[2])
    if z0 >= z1 or y0 >= y1 or x0 >= x1:
        return
    if at.labels == 1:
        target = box + (oz + z0) * to_plane + (oy + y0) * to_row + (ox + x0) * 8
        fill_rows(target, z1 - z0, y1 - y0, x1 - x0, to_plane, to_row, load_u64(list_address))
        return
    number, tables, values = at.numbers, at.tables, at.values
    for z in range(0, at.gz * SUB, SUB):
        if z >= z1:
            break
        for y in range(0, at.gy * SUB, SUB):
            inside = z + SUB > z0 and y + SUB > y0 and y < y1
            for x in range(0, at.gx * SUB, SUB):
                labels = load_u16(number)
                bits = bits_for(labels)
                if inside and x + SUB > x0 and x < x1:
                    load_table(tables, labels, list_address, table)
                    whole = z >= z0 and z + SUB <= z1 and y >= y0 and y + SUB <= y1 and x >= x0 and x + SUB <= x1
                    only = table[0] if labels == 1 else np.uint64(0)
                    if whole:
                        target = box + (oz + z) * to_plane + (oy + y) * to_row + (ox + x) * 8
                        if labels < 2:
                            fill_sub(target, to_plane, to_row, only)
                        else:
                            unpack_sub(values, bits, table, target, to_plane, to_row)
                    else:
                        a, b = max(z0 - z, 0), min(z1 - z, SUB)
                        c, d = max(y0 - y, 0), min(y1 - y, SUB)
                        e, f = max(x0 - x, 0), min(x1 - x, SUB)
                        target = box + (oz + z + a) * to_plane + (oy + y + c) * to_row + (ox + x + e) * 8
                        if labels < 2:
                            fill_rows(target, b - a, d - c, f - e, to_plane, to_row, only)
                        else:
                            _unpack_part(values, bits, table, (a, b, c, d, e, f), target, to_plane, to_row)
                number += 2
                tables += 4 * labels
                values += bits * (SUB_VOXELS // 8)


@kernel(
    types.intp(ADDRESSES, LABELS, PLACES, POINTS, TRIPLE, types.uintp, TRIPLE, types.intp, types.intp),
    nogil=True,
)
def _decode_blocks(
    addresses: NDArray[np.uint64],
    labels: _Labels,
    starts: _Places,
    origins_zyx: _Places,
    shape_zyx: tuple[int, int, int],
    box_address: int,
    box_shape: tuple[int, int, int],
    to_plane: int,
    to_row: int,
) -> int:
    table = np.empty(SUB_VOXELS, np.uint64)
    box = signed(box_address)
    for i in range(len(addresses)):
        oz, oy, ox = origins_zyx[i]
        block = signed(addresses[i])
        if block == 0:
            z0, z1 = _overlap(oz, shape_zyx[0], box_shape[0])
            y0, y1 = _overlap(oy, shape_zyx[1], box_shape[1])
            x0, x1 = _overlap(ox, shape_zyx[2], box_shape[2])
            if z0 < z1 and y0 < y1 and x0 < x1:
                target = box + (oz + z0) * to_plane + (oy + y0) * to_row + (ox + x0) * 8
                fill_rows(target, z1 - z0, y1 - y0, x1 - x0, to_plane, to_row, np.uint64(0))
            continue
        list_address = block + HEAD_BYTES
        if len(starts):
            if starts[i] < 0 or starts[i] + load_u32(block + 12) > min(starts[i + 1], len(labels)):
                return i
            list_address = signed(labels.ctypes.data) + 8 * starts[i]
        _decode(block, list_address, oz, oy, ox, box, box_shape, to_plane, to_row, table)
    return -1


def decode_blocks(
    addresses: NDArray[np.uint64],
    origins_zyx: NDArray[np.int64],
    block_shape_zyx: tuple[int, int, int],
    box_address: int,
    box_shape_zyx: tuple[int, int, int],
    labels: _Labels | None = None,
    label_starts: _Places | None = None,
    strides: tuple[int, int] | None = None,
) -> None:
    """Write the parts of checked blocks that lie in a box into it, in one call without the interpreter's lock.

    Args:
        addresses: (n,) where each block begins in memory (`dvid.kernels.buffers.addresses`); 0 for absent ones,
            which are written as zeros.
        origins_zyx: (n, 3) int64: first voxel of each block, relative to the box's first voxel.
        block_shape_zyx: voxels of the absent blocks; the others know theirs.
        box_address: where the box begins in memory: uint64 voxels that are the caller's to write.
        box_shape_zyx: voxels of the box. What no block covers is left as it was.
        labels: label lists to write instead of the blocks' own, one behind the other, each in the order of its block's.
        label_starts: (n + 1,) int64: where the list of each block begins in `labels`, and the last one ends.
        strides: bytes from plane to plane and from row to row of the box; None where it is C-contiguous.

    Raises:
        BadRequest: the arrays do not fit each other, or a list is shorter than its block's.
    """
    count = len(addresses)
    if labels is None or label_starts is None:
        labels, label_starts = _OWN_LABELS, _OWN_STARTS
    elif len(label_starts) != count + 1:
        raise BadRequest(f"{len(label_starts)} starts of label lists given, expected {count + 1}")
    if origins_zyx.shape != (count, 3):
        raise BadRequest(f"origins have the shape {origins_zyx.shape}, expected {(count, 3)}")
    to_plane, to_row = strides or (box_shape_zyx[1] * box_shape_zyx[2] * 8, box_shape_zyx[2] * 8)
    wrong = _decode_blocks(
        addresses, labels, label_starts, origins_zyx, block_shape_zyx, box_address, box_shape_zyx, to_plane, to_row
    )
    if wrong >= 0:
        raise BadRequest(f"the label list given for block {wrong} of {count} is shorter than the block's own")


# ---- count, points ------------------------------------------------------------------------------


@kernel(types.void(BLOCK, _COUNTS), nogil=True)
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


@kernel(types.int64(ADDRESSES, PLACES, POINTS, _COUNTS), nogil=True)
def _labels_of_points(addresses: NDArray[np.uint64], ends: _Places, points_zyx: _Places, found: _Labels) -> int:
    """Write the labels; returns the first point that lies outside its block, or -1."""
    tables, values = np.empty(0, np.int64), np.empty(0, np.int64)
    i = 0
    for number in range(len(addresses)):
        block = signed(addresses[number])
        if block == 0:
            while i < ends[number]:
                found[i] = np.uint64(0)
                i += 1
            continue
        at, labels = layout_of(block), block + HEAD_BYTES
        subs = at.gz * at.gy * at.gx if at.labels > 1 else 0
        if subs > len(tables):
            tables, values = np.empty(subs, np.int64), np.empty(subs, np.int64)
        if subs:
            locate_subs(at, tables, values)
        while i < ends[number]:
            z, y, x = points_zyx[i]
            if not (0 <= z < at.gz * SUB and 0 <= y < at.gy * SUB and 0 <= x < at.gx * SUB):
                return i
            place = 0
            if subs:
                sub = ((z >> 3) * at.gy + (y >> 3)) * at.gx + (x >> 3)
                count = load_u16(at.numbers + 2 * sub)
                if count == 0:
                    found[i] = np.uint64(0)
                    i += 1
                    continue
                bits = bits_for(count)
                if bits:
                    row = (z & 7) * SUB + (y & 7)
                    word = row_word(values[sub], row, bits)
                    if x & 7:
                        place = signed((word >> np.uint64(bits * (7 - (x & 7)))) & np.uint64((1 << bits) - 1))
                    else:
                        place = row_first(values[sub], row, bits, word)
                place = load_u32(tables[sub] + 4 * place)
            found[i] = load_u64(labels + 8 * place)
            i += 1
    return -1


def labels_of_points(addresses: NDArray[np.uint64], ends: NDArray[np.int64], points_zyx: NDArray[np.int64]) -> _Labels:
    """The labels of voxels of many checked blocks, in one call without the interpreter's lock.

    Args:
        addresses: (m,) where each block begins in memory (`dvid.kernels.buffers.addresses`); 0 for absent ones.
        ends: (m,) int64, not falling: the points of block i end before ends[i], where those of the next one begin.
        points_zyx: (n, 3) int64 voxels, each counted from the first one of its block.

    Returns:
        (n,) uint64; 0 for voxels of absent blocks and of sub-blocks without data.

    Raises:
        BadRequest: a point lies outside its block, or the arrays do not fit each other.
    """
    count = len(points_zyx)
    if points_zyx.shape != (count, 3) or len(ends) != len(addresses) or (ends[-1] if len(ends) else 0) != count:
        raise BadRequest(
            f"points have the shape {points_zyx.shape}; expected (n, 3), for {len(addresses)} blocks with ends up to n"
        )
    found = np.empty(count, np.uint64)
    wrong = _labels_of_points(addresses, ends, np.ascontiguousarray(points_zyx, np.int64), found)
    if wrong >= 0:
        raise BadRequest(f"point {points_zyx[wrong].tolist()} (z, y, x) lies outside the block")
    return found
