"""Copying between a box of voxels and the blocks of a grid.

A box is a C-contiguous uint8 array of shape (z, y, x * itemsize): voxels are bytes here, so that one compiled kernel
serves all types. Origins are the blocks' first voxels relative to the box's first voxel, (z, y, x), and may be negative.
What lies outside the box is neither read nor written, so a slice one voxel thick touches only its own bytes.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from dvid.errors import BadRequest
from dvid.kernels.native import copy_bytes, lz4_decompress_safe

Bytes = NDArray[np.uint8]


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _overlap(origin: int, extent: int, limit: int) -> tuple[int, int]:
    """First and last + 1 box coordinate of a block along one axis; empty where they do not meet.

    The tests come first, so that no sum can overflow.
    """
    if origin >= limit or origin <= -extent:
        return 0, 0
    return max(origin, 0), min(origin + extent, limit)


@numba.njit(  # type: ignore[untyped-decorator]
    "void(uintp, intp, intp, intp, intp, intp, intp, intp, uint8[:, :, ::1], boolean)", nogil=True, cache=True
)
def _copy_block(
    block: int, oz: int, oy: int, ox: int, bz: int, by: int, bx: int, itemsize: int, box: Bytes, into_box: bool
) -> None:
    """Copy what a block and the box share, one way or the other."""
    box_z, box_y, box_row = box.shape
    z0, z1 = _overlap(oz, bz, box_z)
    y0, y1 = _overlap(oy, by, box_y)
    x0, x1 = _overlap(ox, bx, box_row // itemsize)
    run = (x1 - x0) * itemsize
    if run <= 0 or y1 <= y0 or z1 <= z0:
        return
    block_row = bx * itemsize
    first = box.ctypes.data
    for z in range(z0, z1):
        inside = block + np.uintp(((z - oz) * by + (y0 - oy)) * block_row + (x0 - ox) * itemsize)
        outside = first + np.uintp((z * box_y + y0) * box_row + x0 * itemsize)
        if run == block_row == box_row:
            # Whole rows on both sides: one copy for the section.
            count = (y1 - y0) * run
            if into_box:
                copy_bytes(outside, inside, count)
            else:
                copy_bytes(inside, outside, count)
            continue
        for _ in range(y0, y1):
            if into_box:
                copy_bytes(outside, inside, run)
            else:
                copy_bytes(inside, outside, run)
            inside += np.uintp(block_row)
            outside += np.uintp(box_row)


@numba.njit(  # type: ignore[untyped-decorator]
    "void(intp, intp, intp, intp, intp, intp, uint8[::1], uint8[:, :, ::1])", nogil=True, cache=True
)
def _fill_block(oz: int, oy: int, ox: int, bz: int, by: int, bx: int, background: Bytes, box: Bytes) -> None:
    """Fill what a missing block and the box share with the bytes of the background voxel."""
    itemsize = len(background)
    box_z, box_y, box_row = box.shape
    z0, z1 = _overlap(oz, bz, box_z)
    y0, y1 = _overlap(oy, by, box_y)
    x0, x1 = _overlap(ox, bx, box_row // itemsize)
    for z in range(z0, z1):
        for y in range(y0, y1):
            if itemsize == 1:
                box[z, y, x0:x1] = background[0]
            else:
                for x in range(x0, x1):
                    for i in range(itemsize):
                        box[z, y, x * itemsize + i] = background[i]


@numba.njit(  # type: ignore[untyped-decorator]
    "void(uintp[::1], intp[:, ::1], intp, intp, intp, uint8[::1], uint8[:, :, ::1])", nogil=True, cache=True
)
def _gather(
    addresses: NDArray[np.uintp],
    origins_zyx: NDArray[np.intp],
    bz: int,
    by: int,
    bx: int,
    background: Bytes,
    box: Bytes,
) -> None:
    for i in range(len(addresses)):
        oz, oy, ox = origins_zyx[i]
        if addresses[i]:
            _copy_block(addresses[i], oz, oy, ox, bz, by, bx, len(background), box, True)
        else:
            _fill_block(oz, oy, ox, bz, by, bx, background, box)


@numba.njit(  # type: ignore[untyped-decorator]
    "intp(uintp[::1], intp[::1], intp[:, ::1], intp, intp, intp, uint8[::1], uint8[:, :, ::1])", nogil=True, cache=True
)
def _gather_lz4(
    addresses: NDArray[np.uintp],
    sizes: NDArray[np.intp],
    origins_zyx: NDArray[np.intp],
    bz: int,
    by: int,
    bx: int,
    background: Bytes,
    box: Bytes,
) -> int:
    itemsize = len(background)
    plain = np.empty(bz * by * bx * itemsize, np.uint8)
    for i in range(len(addresses)):
        oz, oy, ox = origins_zyx[i]
        if not addresses[i]:
            _fill_block(oz, oy, ox, bz, by, bx, background, box)
            continue
        if lz4_decompress_safe(addresses[i], plain.ctypes.data, sizes[i], len(plain)) != len(plain):
            return i
        _copy_block(plain.ctypes.data, oz, oy, ox, bz, by, bx, itemsize, box, True)
    return -1


@numba.njit(  # type: ignore[untyped-decorator]
    "void(uint8[:, :, ::1], intp[:, ::1], intp, intp, intp, intp, intp, uint8[:, ::1])", nogil=True, cache=True
)
def _scatter(
    box: Bytes, origins_zyx: NDArray[np.intp], bz: int, by: int, bx: int, itemsize: int, header: int, out: Bytes
) -> None:
    for i in range(len(origins_zyx)):
        oz, oy, ox = origins_zyx[i]
        start = out.ctypes.data + np.uintp(i * out.shape[1] + header)
        _copy_block(start, oz, oy, ox, bz, by, bx, itemsize, box, False)


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
    depth, height, width = _checked(block_shape_zyx, len(background), box)
    _check_count(len(addresses), origins_zyx)
    _gather(addresses, origins_zyx, depth, height, width, background, box)


def gather_lz4_blocks(
    addresses: NDArray[np.uint64],
    sizes: NDArray[np.int64],
    origins_zyx: NDArray[np.int64],
    block_shape_zyx: tuple[int, int, int],
    background: Bytes,
    box: Bytes,
) -> int:
    """Like `gather_blocks` for blocks that are raw LZ4 blocks of `sizes` bytes: decompress and copy in one call.

    Returns:
        The index of the first block that does not decompress to exactly a block's bytes, or -1.
    """
    depth, height, width = _checked(block_shape_zyx, len(background), box)
    _check_count(len(addresses), origins_zyx)
    if len(sizes) != len(addresses):
        raise BadRequest(f"{len(sizes)} sizes given for {len(addresses)} addresses")
    bad: int = _gather_lz4(addresses, sizes, origins_zyx, depth, height, width, background, box)
    return bad


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
    depth, height, width = _checked(block_shape_zyx, itemsize, box)
    _check_count(len(out), origins_zyx)
    row = header + depth * height * width * itemsize
    if header < 0 or out.shape != (len(out), row):
        raise BadRequest(f"room for blocks has the shape {out.shape}, expected {(len(out), row)}")
    _scatter(box, origins_zyx, depth, height, width, itemsize, header, out)


def _checked(block_shape_zyx: tuple[int, int, int], itemsize: int, box: Bytes) -> tuple[int, int, int]:
    depth, height, width = block_shape_zyx
    if min(depth, height, width, itemsize) < 1 or depth * height * width * itemsize >= 2**31:
        raise BadRequest(f"blocks of {block_shape_zyx} voxels of {itemsize} bytes: expected 1 to 2**31 - 1 bytes")
    if box.ndim != 3 or box.shape[2] % itemsize:
        raise BadRequest(f"a box of shape {box.shape} does not hold voxels of {itemsize} bytes")
    return depth, height, width


def _check_count(count: int, origins_zyx: NDArray[np.int64]) -> None:
    if origins_zyx.shape != (count, 3):
        raise BadRequest(f"origins have the shape {origins_zyx.shape}, expected {(count, 3)}")
