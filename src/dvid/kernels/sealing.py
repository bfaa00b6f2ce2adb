"""From voxels to stored blocks: cut, pack and seal many blocks in one call.

The values are those that `dvid.kernels.stored` reads, and `dvid.versions.envelope` wraps.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numba
import numpy as np
from numba import carray, types
from numpy.typing import NDArray

from dvid.errors import BadRequest
from dvid.kernels.boxes import _copy_block
from dvid.kernels.compiling import kernel
from dvid.kernels.native import address_pointer, copy_bytes, lz4_compress_fast, xxh3_64
from dvid.kernels.stored import HEADER_BYTES, LZ4_SIZE_BYTES, Codes

_SAMPLE = 4096
_SAMPLE_ACCELERATION = 8  # a rough look will do: it tells noise in half the time, and finds what packs well
_WORTH = 0.75  # LZ4 must save a quarter: less is not worth unpacking at every read
_SIZE_LIMIT = 2**31

_Bytes = NDArray[np.uint8]

_ORIGINS = types.Array(types.intp, 2, "C", readonly=True)
_KEYS = types.Array(types.uint8, 2, "C", readonly=True)
_BOX = types.Array(types.uint8, 3, "C", readonly=True)
_TRIPLE = types.UniTuple(types.intp, 3)


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _pack_lz4(block: int, size: int, room: _Bytes) -> int:
    """Compress a block in place behind the size that an LZ4 payload begins with.

    Returns:
        The bytes of the payload, or 0 where it is not worth it; then the block is as it was.
    """
    packed = np.uintp(room.ctypes.data)
    if size > 2 * _SAMPLE:
        # The block's middle is asked first: noise, as in most microscope images, is told in a tenth of the time.
        sample = lz4_compress_fast(block + np.uintp(size // 2), packed, _SAMPLE, len(room), _SAMPLE_ACCELERATION)
        if sample > _WORTH * _SAMPLE:
            return 0
    count = lz4_compress_fast(block, packed, size, int(_WORTH * size) - LZ4_SIZE_BYTES, 1)
    if count <= 0:
        return 0
    head = carray(address_pointer(block), (LZ4_SIZE_BYTES,))
    for i in range(LZ4_SIZE_BYTES):
        head[i] = (size >> (8 * i)) & 255
    copy_bytes(block + np.uintp(LZ4_SIZE_BYTES), packed, count)
    return int(count) + LZ4_SIZE_BYTES


@kernel(
    types.void(
        _BOX,
        _ORIGINS,
        _TRIPLE,
        types.intp,
        _KEYS,
        _TRIPLE,
        types.boolean,
        types.Array(types.uint8, 1, "C"),
        types.Array(types.intp, 1, "C"),
    ),
    nogil=True,
)
def _seal_blocks(
    box: _Bytes,
    origins_zyx: NDArray[np.intp],
    shape_zyx: tuple[int, int, int],
    itemsize: int,
    keys: _Bytes,
    codes: tuple[int, int, int],
    lz4: bool,
    out: _Bytes,
    ends: NDArray[np.int64],
) -> None:
    size = shape_zyx[0] * shape_zyx[1] * shape_zyx[2] * itemsize
    room = np.empty(max(size, 2 * _SAMPLE) if lz4 else 0, np.uint8)
    source = np.uintp(box.ctypes.data)
    end = 0
    for i in range(len(origins_zyx)):
        value = np.uintp(out.ctypes.data) + np.uintp(end)
        payload = value + np.uintp(HEADER_BYTES)
        _copy_block(payload, origins_zyx[i], shape_zyx, itemsize, source, box.shape, False)
        form, length = codes[1], size
        if lz4:
            packed = _pack_lz4(payload, size, room)
            if packed:
                form, length = codes[2], packed
        key = np.uintp(keys.ctypes.data) + np.uintp(i * keys.shape[1])
        checksum = xxh3_64(payload, length, xxh3_64(key, keys.shape[1], np.uint64(form)))
        head = carray(address_pointer(value), (HEADER_BYTES,))
        head[0] = form
        for j in range(HEADER_BYTES - 1):
            head[HEADER_BYTES - 1 - j] = (checksum >> np.uint64(8 * j)) & np.uint64(255)
        end += HEADER_BYTES + length
        ends[i] = end


def seal_blocks(
    box: _Bytes,
    origins_zyx: NDArray[np.int64],
    block_shape_zyx: tuple[int, int, int],
    itemsize: int,
    keys: _Bytes,
    codes: Codes,
    *,
    lz4: bool,
) -> list[memoryview]:
    """Cut blocks out of a box, and make of each what is stored under its key.

    Args:
        box: (z, y, x * itemsize) uint8, C-contiguous.
        origins_zyx: (n, 3) first voxel of each block, relative to the box's first voxel. All of it lies in the box.
        block_shape_zyx: voxels of each block.
        itemsize: bytes of a voxel.
        keys: (n, k) uint8: their keys.
        codes: the format bytes.
        lz4: compress the blocks that LZ4 makes smaller by at least a quarter; a sample of the block is asked first.

    Returns:
        The values to store, parts of one buffer.

    Raises:
        BadRequest: the arrays do not fit each other, or a block does not lie in the box.
    """
    count = len(keys)
    size = math.prod(block_shape_zyx) * itemsize
    if origins_zyx.shape != (count, 3) or box.ndim != 3 or box.shape[2] % itemsize or not 0 < size < _SIZE_LIMIT:
        raise BadRequest(
            f"{count} keys, origins of shape {origins_zyx.shape}, a box of shape {box.shape}, blocks of "
            f"{block_shape_zyx} voxels of {itemsize} bytes: they do not fit"
        )
    room_zyx = np.array((box.shape[0], box.shape[1], box.shape[2] // itemsize)) - block_shape_zyx
    if count and ((origins_zyx < 0).any() or (origins_zyx > room_zyx).any()):
        raise BadRequest(f"a block of {block_shape_zyx} voxels does not lie in the box of shape {box.shape}")
    out, ends = np.empty(count * (HEADER_BYTES + size), np.uint8), np.empty(count, np.int64)
    _seal_blocks(box, origins_zyx, block_shape_zyx, itemsize, keys, tuple(codes), lz4, out, ends)
    bounds = [0, *ends.tolist()]
    return [out.data[start:end] for start, end in pairwise(bounds)]
