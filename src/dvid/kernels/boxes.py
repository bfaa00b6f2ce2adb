"""Copying between a box of voxels and the blocks of a grid.

A box is a C-contiguous uint8 array of shape (z, y, x * itemsize): voxels are bytes here, so that one compiled kernel
serves all types. Origins are the blocks' first voxels relative to the box's first voxel, (z, y, x), and may be negative.
What lies outside the box is neither read nor written, so a slice one voxel thick touches only its own bytes.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from dvid.errors import BadRequest
from dvid.kernels.compiling import kernel
from dvid.kernels.native import copy_bytes

Bytes = NDArray[np.uint8]

# What is only read may be read-only: a request's body, a view of a store.
_ADDRESSES = types.Array(types.uintp, 1, "C", readonly=True)
_ORIGINS = types.Array(types.intp, 2, "C", readonly=True)
_VOXEL = types.Array(types.uint8, 1, "C", readonly=True)
_BOX = types.Array(types.uint8, 3, "C")
_READ_BOX = types.Array(types.uint8, 3, "C", readonly=True)
_BLOCKS = types.Array(types.uint8, 2, "C")


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _overlap(origin: int, extent: int, limit: int) -> tuple[int, int]:
    """First and last + 1 box coordinate of a block along one axis; empty where they do not meet.

    The tests come first, so that no sum can overflow.
    """
    if origin >= limit or origin <= -extent:
        return 0, 0
    return max(origin, 0), min(origin + extent, limit)


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _copy_rows(target: np.uintp, target_row: int, source: np.uintp, source_row: int, rows: int, run: int) -> None:
    """Copy `run` bytes of each of `rows` rows that begin so many bytes after each other.

    Copies of a length that the compiler knows are a few instructions, others a call: the common lengths are spelt out
    (rows of blocks, and the single bytes of a yz slice). That takes a third of the time for blocks of 32 voxels.
    """
    to, of = np.uintp(target_row), np.uintp(source_row)
    if run == 32:
        for _ in range(rows):
            copy_bytes(target, source, 32)
            target += to
            source += of
    elif run == 64:
        for _ in range(rows):
            copy_bytes(target, source, 64)
            target += to
            source += of
    elif run == 1:
        for _ in range(rows):
            copy_bytes(target, source, 1)
            target += to
            source += of
    else:
        for _ in range(rows):
            copy_bytes(target, source, run)
            target += to
            source += of


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _copy_block(
    block: int,
    origin_zyx: NDArray[np.intp],
    shape_zyx: tuple[int, int, int],
    itemsize: int,
    box: int,
    box_shape: tuple[int, int, int],
    into_box: bool,
) -> None:
    """Copy what the block and the box at two addresses share, one way or the other."""
    oz, oy, ox = origin_zyx
    bz, by, bx = shape_zyx
    box_z, box_y, box_row = box_shape
    z0, z1 = _overlap(oz, bz, box_z)
    y0, y1 = _overlap(oy, by, box_y)
    x0, x1 = _overlap(ox, bx, box_row // itemsize)
    run = (x1 - x0) * itemsize
    if run <= 0 or y1 <= y0 or z1 <= z0:
        return
    block_row = bx * itemsize
    rows = y1 - y0
    if run == block_row == box_row:
        # Whole rows on both sides lie one behind the other: one copy for each section.
        run *= rows
        rows = 1
    for z in range(z0, z1):
        inside = block + np.uintp(((z - oz) * by + (y0 - oy)) * block_row + (x0 - ox) * itemsize)
        outside = box + np.uintp((z * box_y + y0) * box_row + x0 * itemsize)
        if into_box:
            _copy_rows(outside, box_row, inside, block_row, rows, run)
        else:
            _copy_rows(inside, block_row, outside, box_row, rows, run)


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _fill_block(origin_zyx: NDArray[np.intp], shape_zyx: tuple[int, int, int], background: Bytes, box: Bytes) -> None:
    """Fill what a missing block and the box share with the bytes of the background voxel."""
    itemsize = len(background)
    z0, z1 = _overlap(origin_zyx[0], shape_zyx[0], box.shape[0])
    y0, y1 = _overlap(origin_zyx[1], shape_zyx[1], box.shape[1])
    x0, x1 = _overlap(origin_zyx[2], shape_zyx[2], box.shape[2] // itemsize)
    for z in range(z0, z1):
        for y in range(y0, y1):
            if itemsize == 1:
                box[z, y, x0:x1] = background[0]
            else:
                for x in range(x0, x1):
                    for i in range(itemsize):
                        box[z, y, x * itemsize + i] = background[i]


@kernel(types.void(_ADDRESSES, _ORIGINS, types.UniTuple(types.intp, 3), _VOXEL, _BOX), nogil=True)
def _gather(
    addresses: NDArray[np.uintp],
    origins_zyx: NDArray[np.intp],
    shape_zyx: tuple[int, int, int],
    background: Bytes,
    box: Bytes,
) -> None:
    for i in range(len(addresses)):
        if addresses[i]:
            _copy_block(
                addresses[i], origins_zyx[i], shape_zyx, len(background), np.uintp(box.ctypes.data), box.shape, True
            )
        else:
            _fill_block(origins_zyx[i], shape_zyx, background, box)


@kernel(
    types.void(_READ_BOX, _ORIGINS, types.UniTuple(types.intp, 3), types.intp, types.intp, _BLOCKS),
    nogil=True,
)
def _scatter(
    box: Bytes,
    origins_zyx: NDArray[np.intp],
    shape_zyx: tuple[int, int, int],
    itemsize: int,
    header: int,
    out: Bytes,
) -> None:
    for i in range(len(origins_zyx)):
        block = np.uintp(out.ctypes.data) + np.uintp(i * out.shape[1] + header)
        _copy_block(block, origins_zyx[i], shape_zyx, itemsize, np.uintp(box.ctypes.data), box.shape, False)


def gather_blocks(
    addresses: NDArray[np.uint64],
    origins_zyx: NDArray[np.int64],
    block_shape_zyx: tuple[int, int, int],
    background: Bytes,
    box: Bytes,
) -> None:
    """Copy the parts of blocks that lie in a box into it.

    Args:
        addresses: (n,) where each block's voxels begin in memory, all of them as many bytes as the block shape says;
            0 for a missing block, which is filled with the background. See `dvid.kernels.buffers.locate`.
        origins_zyx: (n, 3) first voxel of each block, relative to the box's first voxel.
        block_shape_zyx: voxels of each block.
        background: the bytes of one background voxel; their number is the item size.
        box: (z, y, x * itemsize) uint8, C-contiguous; written. What no block covers is left as it was.

    Raises:
        BadRequest: an array has another shape, type or layout.
    """
    shape_zyx = _checked(block_shape_zyx, len(background), box)
    _check_count(len(addresses), origins_zyx)
    _gather(addresses, origins_zyx, shape_zyx, background, box)


def scatter_blocks(
    box: Bytes,
    origins_zyx: NDArray[np.int64],
    block_shape_zyx: tuple[int, int, int],
    itemsize: int,
    out: Bytes,
    header: int = 0,
) -> None:
    """Copy the parts of a box that lie in blocks into them.

    Args:
        box: (z, y, x * itemsize) uint8, C-contiguous.
        origins_zyx: (n, 3) first voxel of each block, relative to the box's first voxel.
        block_shape_zyx: voxels of each block.
        itemsize: bytes of a voxel.
        out: (n, header + block bytes) uint8, C-contiguous; written. What the box does not cover is left as it was.
        header: bytes to leave free in front of each block.

    Raises:
        BadRequest: an array has another shape, type or layout.
    """
    shape_zyx = _checked(block_shape_zyx, itemsize, box)
    _check_count(len(out), origins_zyx)
    row = header + math.prod(shape_zyx) * itemsize
    if header < 0 or out.shape != (len(out), row):
        raise BadRequest(f"room for blocks has the shape {out.shape}, expected {(len(out), row)}")
    _scatter(box, origins_zyx, shape_zyx, itemsize, header, out)


def _checked(block_shape_zyx: tuple[int, int, int], itemsize: int, box: Bytes) -> tuple[int, int, int]:
    if (
        len(block_shape_zyx) != 3
        or min(*block_shape_zyx, itemsize) < 1
        or math.prod(block_shape_zyx) * itemsize >= 2**31
    ):
        raise BadRequest(f"blocks of {block_shape_zyx} voxels of {itemsize} bytes: expected 1 to 2**31 - 1 bytes")
    if box.ndim != 3 or box.shape[2] % itemsize:
        raise BadRequest(f"a box of shape {box.shape} does not hold voxels of {itemsize} bytes")
    return block_shape_zyx


def _check_count(count: int, origins_zyx: NDArray[np.int64]) -> None:
    if origins_zyx.shape != (count, 3):
        raise BadRequest(f"origins have the shape {origins_zyx.shape}, expected {(count, 3)}")
