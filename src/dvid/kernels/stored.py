"""From stored blocks straight into a box: check, decompress and copy in one call.

A stored block is `format byte | 8 bytes checksum, big-endian | payload`, as `dvid.versions.envelope` wraps it; which
format bytes mean what is told by the caller.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numba import carray, types
from numpy.typing import NDArray

from dvid.errors import BadRequest
from dvid.kernels.boxes import _copy_block, _overlap
from dvid.kernels.native import address_pointer, lz4_decompress_safe, xxh3_64

HEADER_BYTES = 9
LZ4_SIZE_BYTES = 4
"""An LZ4 payload begins with the size of what it holds, 4 bytes little-endian."""

DONE, OTHER, CORRUPT = 0, 1, 2
"""What became of a block: copied (or filled), left to the caller because of its format, or damaged."""

_LZ4_SIZE_LIMIT = 2**31

_Sizes = NDArray[np.int64]
_Addresses = NDArray[np.uint64]


class Codes(NamedTuple):
    """The format bytes that the kernel knows."""

    nothing: int
    raw: int
    lz4: int


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _fill(
    origin_zyx: NDArray[np.intp],
    shape_zyx: tuple[int, int, int],
    background: NDArray[np.uint8],
    box: int,
    box_shape: tuple[int, int, int],
) -> None:
    itemsize = len(background)
    z0, z1 = _overlap(origin_zyx[0], shape_zyx[0], box_shape[0])
    y0, y1 = _overlap(origin_zyx[1], shape_zyx[1], box_shape[1])
    x0, x1 = _overlap(origin_zyx[2], shape_zyx[2], box_shape[2] // itemsize)
    out = carray(address_pointer(box), box_shape)
    for z in range(z0, z1):
        for y in range(y0, y1):
            for x in range(x0, x1):
                for i in range(itemsize):
                    out[z, y, x * itemsize + i] = background[i]


_TRIPLE = types.UniTuple(types.intp, 3)


@numba.njit(  # type: ignore[untyped-decorator]
    types.intp(
        types.Array(types.uintp, 1, "C"),
        types.Array(types.intp, 1, "C"),
        types.Array(types.uintp, 1, "C"),
        types.Array(types.intp, 1, "C"),
        types.Array(types.intp, 2, "C"),
        _TRIPLE,
        types.Array(types.uint8, 1, "C", readonly=True),
        types.uintp,
        _TRIPLE,
        _TRIPLE,
        types.boolean,
        types.Array(types.uint8, 1, "C"),
    ),
    nogil=True,
    cache=True,
)
def _gather_stored(
    values: _Addresses,
    value_sizes: _Sizes,
    keys: _Addresses,
    key_sizes: _Sizes,
    origins_zyx: NDArray[np.intp],
    shape_zyx: tuple[int, int, int],
    background: NDArray[np.uint8],
    box: int,
    box_shape: tuple[int, int, int],
    codes: tuple[int, int, int],
    check: bool,
    states: NDArray[np.uint8],
) -> int:
    itemsize = len(background)
    size = shape_zyx[0] * shape_zyx[1] * shape_zyx[2] * itemsize
    plain = np.empty(0, np.uint8)
    left = 0
    for i in range(len(values)):
        states[i] = DONE
        if not values[i]:
            _fill(origins_zyx[i], shape_zyx, background, box, box_shape)
            continue
        states[i] = CORRUPT
        length = value_sizes[i] - HEADER_BYTES
        if length < 0:
            left += 1
            continue
        head = carray(address_pointer(values[i]), (HEADER_BYTES,))
        form = head[0]
        payload = values[i] + np.uintp(HEADER_BYTES)
        if check:
            checksum = np.uint64(0)
            for j in range(1, HEADER_BYTES):
                checksum = (checksum << np.uint64(8)) | np.uint64(head[j])
            seed = xxh3_64(keys[i], key_sizes[i], np.uint64(form))
            if xxh3_64(payload, length, seed) != checksum:
                left += 1
                continue
        if form == codes[0]:
            _fill(origins_zyx[i], shape_zyx, background, box, box_shape)
            states[i] = DONE
        elif form == codes[1] and length == size:
            _copy_block(payload, origins_zyx[i], shape_zyx, itemsize, box, box_shape, True)
            states[i] = DONE
        elif form == codes[2] and LZ4_SIZE_BYTES < length < _LZ4_SIZE_LIMIT:
            if len(plain) == 0:
                plain = np.empty(size, np.uint8)
            block = np.uintp(plain.ctypes.data)
            source = payload + np.uintp(LZ4_SIZE_BYTES)
            if lz4_decompress_safe(source, block, length - LZ4_SIZE_BYTES, size) != size:
                left += 1
                continue
            _copy_block(block, origins_zyx[i], shape_zyx, itemsize, box, box_shape, True)
            states[i] = DONE
        elif form == codes[1]:
            left += 1
        else:
            states[i] = OTHER
            left += 1
    return left


def gather_stored(
    values: tuple[_Addresses, _Sizes],
    keys: tuple[_Addresses, _Sizes],
    origins_zyx: NDArray[np.int64],
    block_shape_zyx: tuple[int, int, int],
    background: NDArray[np.uint8],
    box_address: int,
    box_shape: tuple[int, int, int],
    codes: Codes,
    *,
    check: bool = True,
) -> NDArray[np.uint8] | None:
    """Copy the parts of stored blocks that lie in a box into it.

    Args:
        values: addresses and sizes of the stored blocks (`dvid.kernels.buffers.locate`); address 0 for absent ones,
            which are filled with the background.
        keys: addresses and sizes of their keys, from which their checksums begin.
        origins_zyx: (n, 3) first voxel of each block, relative to the box's first voxel.
        block_shape_zyx: voxels of each block.
        background: the bytes of one background voxel; their number is the item size.
        box_address: where the box begins in memory: z * y * x bytes that are the caller's to write.
        box_shape: of the box: z, y, x * item size.
        codes: the format bytes.
        check: compare checksums; False where an earlier call has done so for the same blocks.

    Returns:
        What became of each block (DONE, OTHER, CORRUPT), or None where all are done.

    Raises:
        BadRequest: the arrays do not fit each other.
    """
    count = len(values[0])
    if len(keys[0]) != count or origins_zyx.shape != (count, 3) or box_shape[2] % len(background):
        raise BadRequest(f"{count} blocks, {len(keys[0])} keys, origins of shape {origins_zyx.shape}: they do not fit")
    states = np.empty(count, np.uint8)
    left = _gather_stored(
        *values, *keys, origins_zyx, block_shape_zyx, background, box_address, box_shape, tuple(codes), check, states
    )
    return states if left else None
