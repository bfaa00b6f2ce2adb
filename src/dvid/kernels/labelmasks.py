"""Where some labels of compressed label blocks are (their format: `dvid.kernels.labellayout`): masks, and runs along x.

A mask has 64 bytes for each sub-block, a bit for each voxel: x fastest, then y, z; the lowest bit of a byte first. This
is how sparse volumes are sent in the format "blocks".
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from dvid.errors import BadRequest
from dvid.geometry import MAX_COORDINATE, MIN_COORDINATE, Box
from dvid.kernels.compiling import kernel
from dvid.kernels.labellayout import (
    ADDRESSES,
    BLOCK,
    PLACES,
    POINTS,
    SUB,
    SUB_VOXELS,
    bits_for,
    layout_of,
    row_first,
    row_word,
)
from dvid.kernels.native import copy_bytes
from dvid.kernels.words import load_u8, load_u16, load_u32, load_u64, lowest_one, ones, signed, store_u32, store_u64

MASK_BYTES = SUB_VOXELS // 8
"""Bytes of the mask of a sub-block."""
NONE, ALL, SOME = range(3)
"""How much of a block or a sub-block is meant; the content flags of the format "blocks"."""

_Bytes = NDArray[np.uint8]
_Places = NDArray[np.int64]
_Runs = NDArray[np.int32]

_FLAGS = types.Array(types.boolean, 1, "C", readonly=True)
_OUT = types.Array(types.uint8, 1, "C")
_RUNS = types.Array(types.int32, 2, "C")
_SIX = types.UniTuple(types.int64, 6)
_EVERY_BIT = np.uint64(2**64 - 1)
_RUN_BYTES = 16
_EVERYWHERE = 3 * (MIN_COORDINATE,) + 3 * (MAX_COORDINATE + 1,)


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _fill_mask(target: int, word: np.uint64) -> None:
    for i in range(8):
        store_u64(target + 8 * i, word)


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _mask_sub(values: int, labels: int, meant: _Bytes, target: int) -> int:
    """Write the mask of a sub-block of several labels; `meant` (512,) is 1 for those that are meant."""
    bits = bits_for(labels)
    found = 0
    mask = np.uint64((1 << bits) - 1)
    for z in range(SUB):
        plane = np.uint64(0)
        for y in range(SUB):
            row = z * SUB + y
            word = row_word(values, row, bits)
            byte = np.uint64(meant[row_first(values, row, bits, word)])
            for x in range(1, SUB):
                byte |= np.uint64(meant[signed((word >> np.uint64(bits * (7 - x))) & mask)]) << np.uint64(x)
            plane |= byte << np.uint64(8 * y)
        store_u64(target + 8 * z, plane)
        found += ones(plane)
    return NONE if found == 0 else ALL if found == SUB_VOXELS else SOME


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _mask(block: int, flags: _Bytes, masks: _Bytes, contents: _Bytes, meant: _Bytes) -> None:
    """Fill in mask and content of each sub-block."""
    at = layout_of(block)
    number, tables, values = at.numbers, at.tables, at.values
    target = signed(masks.ctypes.data)
    for i in range(at.gz * at.gy * at.gx):
        content = NONE
        if at.labels == 1:
            content = ALL if flags[0] else NONE
        else:
            labels = load_u16(number)
            chosen = 0
            for j in range(labels):
                meant[j] = np.uint8(flags[load_u32(tables + 4 * j)])
                chosen += signed(meant[j])
            if chosen == labels:
                content = ALL if labels else NONE
            elif chosen:
                content = _mask_sub(values, labels, meant, target)
            number += 2
            tables += 4 * labels
            values += bits_for(labels) * MASK_BYTES
        if content != SOME:
            _fill_mask(target, _EVERY_BIT if content == ALL else np.uint64(0))
        contents[i] = content
        target += MASK_BYTES


# ---- runs ---------------------------------------------------------------------------------------


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _more_room(runs: _Runs, used: int, needed: int) -> _Runs:
    larger = np.empty((max(2 * len(runs), used + needed), 4), np.int32)
    copy_bytes(larger.ctypes.data, runs.ctypes.data, _RUN_BYTES * used)
    return larger


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _put(target: int, x: int, y: int, z: int, length: int) -> int:
    """Write a run; the address behind it."""
    store_u32(target, np.uint32(x))
    store_u32(target + 4, np.uint32(y))
    store_u32(target + 8, np.uint32(z))
    store_u32(target + 12, np.uint32(length))
    return target + _RUN_BYTES


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _row_runs(mask: int, start: int, stop: int, oz: int, oy: int, ox: int, target: int) -> int:
    """Write the runs from `start` to `stop` of a row whose bytes are 64 apart; the address behind the last one."""
    begun = -1
    # 8 sub-blocks at a time are a word.
    for x in range(start & ~63, stop, 64):
        word = np.uint64(0)
        at = mask + (x >> 3) * MASK_BYTES
        for i in range(min(8, (stop - x + 7) >> 3)):
            word |= np.uint64(load_u8(at + i * MASK_BYTES)) << np.uint64(8 * i)
        if x < start:
            word &= _EVERY_BIT << np.uint64(start - x)
        if stop - x < 64:
            word &= (np.uint64(1) << np.uint64(stop - x)) - np.uint64(1)
        # Where a bit is not as the one before, a run begins or ends.
        changes = word ^ ((word << np.uint64(1)) | np.uint64(begun >= 0))
        while changes:
            change = x + lowest_one(changes)
            changes &= changes - np.uint64(1)
            if begun < 0:
                begun = change
            else:
                target = _put(target, ox + begun, oy, oz, change - begun)
                begun = -1
    return target if begun < 0 else _put(target, ox + begun, oy, oz, stop - begun)


@kernel(
    types.Tuple((_RUNS, types.Array(types.int64, 1, "C")))(ADDRESSES, POINTS, _FLAGS, PLACES, _SIX, types.intp),
    nogil=True,
)
def _runs(
    addresses: NDArray[np.uint64],
    origins_zyx: _Places,
    flags: _Bytes,
    starts: _Places,
    bounds: tuple[int, int, int, int, int, int],
    subs: int,
) -> tuple[_Runs, _Places]:
    masks, contents = np.empty(subs * MASK_BYTES, np.uint8), np.empty(subs, np.uint8)
    meant, rows = np.empty(SUB_VOXELS, np.uint8), np.empty(subs, np.uint8)
    ends = np.empty(len(addresses), np.int64)
    runs = np.empty((1024, 4), np.int32)
    used = 0
    for i in range(len(addresses)):
        block = signed(addresses[i])
        at = layout_of(block)
        oz, oy, ox = origins_zyx[i]
        z0, z1 = max(bounds[0] - oz, 0), min(bounds[3] - oz, at.gz * SUB)
        y0, y1 = max(bounds[1] - oy, 0), min(bounds[4] - oy, at.gy * SUB)
        x0, x1 = max(bounds[2] - ox, 0), min(bounds[5] - ox, at.gx * SUB)
        if z0 < z1 and y0 < y1 and x0 < x1:
            _mask(block, flags[starts[i] :], masks, contents, meant)
            for row in range(at.gz * at.gy):
                rows[row] = NONE
                for x in range(x0 >> 3, (x1 + 7) >> 3):
                    rows[row] |= contents[row * at.gx + x]
            most = (y1 - y0) * at.gx * (SUB // 2)
            for z in range(z0, z1):
                if used + most > len(runs):
                    runs = _more_room(runs, used, most)
                begin = signed(runs.ctypes.data)
                target = begin + _RUN_BYTES * used
                for y in range(y0, y1):
                    row = (z >> 3) * at.gy + (y >> 3)
                    if rows[row] != NONE:
                        mask = signed(masks.ctypes.data) + row * at.gx * MASK_BYTES + (z & 7) * SUB + (y & 7)
                        target = _row_runs(mask, x0, x1, oz + z, oy + y, ox, target)
                used = (target - begin) // _RUN_BYTES
        ends[i] = used
    return runs[:used].copy(), ends


@kernel(types.UniTuple(types.int64, 2)(ADDRESSES, POINTS, PLACES, types.int64), nogil=True)
def _fits(addresses: NDArray[np.uint64], origins_zyx: _Places, starts: _Places, flags: int) -> tuple[int, int]:
    """The first block whose flags or place do not fit, or -1; and the sub-blocks of the largest one."""
    largest = 0
    for i in range(len(addresses)):
        block = signed(addresses[i])
        if block == 0 or starts[i] < 0 or starts[i + 1] > flags or starts[i + 1] - starts[i] != load_u32(block + 12):
            return i, 0
        subs = 1
        for axis in range(3):
            along = load_u32(block + 8 - 4 * axis)
            if not MIN_COORDINATE <= origins_zyx[i, axis] <= MAX_COORDINATE + 1 - along * SUB:
                return i, 0
            subs *= along
        largest = max(largest, subs)
    return -1, largest


def block_runs(
    addresses: NDArray[np.uint64],
    origins_zyx: NDArray[np.int64],
    flags: NDArray[np.bool_],
    flag_starts: _Places,
    box: Box | None = None,
) -> tuple[_Runs, _Places]:
    """The runs along x of the voxels whose labels are meant, in one call for many checked blocks.

    Args:
        addresses: (n,) where each block begins in memory (`dvid.kernels.buffers.addresses`).
        origins_zyx: (n, 3) int64: first voxel of each block, in coordinates that fit 32 bits.
        flags: for each entry of the label lists whether it is meant, one block's list behind the other's.
        flag_starts: (n + 1,) int64: where the flags of each block begin, and the last ones end.
        box: the runs are cut off where they leave it; None for whole blocks.

    Returns:
        (r, 4) int32 x, y, z, length: block by block, in order of z, y, x within each, not joined between blocks; and
        where the runs of each block end: (n,) int64.

    Raises:
        BadRequest: the arrays do not fit each other or the blocks, or a block reaches beyond 32 bits.
    """
    count = len(addresses)
    if origins_zyx.shape != (count, 3) or len(flag_starts) != count + 1:
        raise BadRequest(
            f"{count} blocks, origins of shape {origins_zyx.shape}, {len(flag_starts)} starts of flags: they do not fit"
        )
    origins_zyx = np.ascontiguousarray(origins_zyx, np.int64)
    wrong, largest = _fits(addresses, origins_zyx, flag_starts, len(flags))
    if wrong >= 0:
        raise BadRequest(
            f"block {wrong} of {count} is absent, has another number of labels than flags, or lies beyond 32 bits:"
            f" its first voxel is {origins_zyx[wrong].tolist()} (z, y, x)"
        )
    bounds = _EVERYWHERE if box is None else (*box.start_zyx, *box.stop_zyx)
    limited = tuple(min(max(edge, MIN_COORDINATE), MAX_COORDINATE + 1) for edge in bounds)
    runs, ends = _runs(addresses, origins_zyx, flags, flag_starts, limited, largest)
    return runs, ends


# ---- the format "blocks" ------------------------------------------------------------------------


@kernel(_OUT(BLOCK, _FLAGS, types.UniTuple(types.int64, 3)), nogil=True)
def _binary(data: _Bytes, flags: _Bytes, origin_xyz: tuple[int, int, int]) -> _Bytes:
    block = signed(data.ctypes.data)
    at = layout_of(block)
    subs = at.gz * at.gy * at.gx
    masks, contents = np.empty(subs * MASK_BYTES, np.uint8), np.empty(subs, np.uint8)
    _mask(block, flags, masks, contents, np.empty(SUB_VOXELS, np.uint8))
    some = whole = 0
    for i in range(subs):
        some += signed(contents[i] == SOME)
        whole += signed(contents[i] == ALL)
    mixed = some or 0 < whole < subs
    out = np.empty(13 + (subs + some * MASK_BYTES if mixed else 0), np.uint8)
    target = signed(out.ctypes.data)
    for axis in range(3):
        store_u32(target + 4 * axis, np.uint32(origin_xyz[axis]))
    out[12] = SOME if mixed else ALL if whole else NONE
    if mixed:
        to = 13
        source = signed(masks.ctypes.data)
        for i in range(subs):
            out[to] = contents[i]
            to += 1
            if contents[i] == SOME:
                for j in range(8):
                    store_u64(target + to + 8 * j, load_u64(source + MASK_BYTES * i + 8 * j))
                to += MASK_BYTES
    return out


def binary_block(block: _Bytes, flags: NDArray[np.bool_], origin_zyx: tuple[int, int, int]) -> _Bytes:
    """A checked block as it is sent in sparse volumes of the format "blocks".

    Args:
        block: (bytes,) uint8.
        flags: (N,) bool: whether each entry of the label list is meant.
        origin_zyx: the block's first voxel.

    Returns:
        uint8: int32 x, y, z of the first voxel; a byte: 0, nothing in the block is meant, 1, everything, 2, both; only
        if it is 2, such a byte for each sub-block, each 2 followed by the mask of that sub-block. Source: `sparsevol` in
        https://github.com/janelia-flyem/dvid/blob/master/datatype/labelmap/labelmap.go.

    Raises:
        BadRequest: there are more or fewer flags than labels, or the origin does not fit 32 bits.
    """
    labels = int(block[12:16].view(np.uint32)[0])
    if len(flags) != labels:
        raise BadRequest(f"{len(flags)} flags given for a label block with a list of {labels}")
    if not all(MIN_COORDINATE <= edge <= MAX_COORDINATE for edge in origin_zyx):
        raise BadRequest(f"the voxel {origin_zyx} (z, y, x) lies beyond 32 bits")
    made: _Bytes = _binary(block, flags, origin_zyx[::-1])
    return made
