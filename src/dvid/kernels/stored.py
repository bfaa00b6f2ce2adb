"""From stored blocks to voxels: check, unpack and copy many blocks in one call.

A stored block is `format byte | 8 bytes checksum, big-endian | payload`, as `dvid.versions.envelope` wraps it; which
format bytes mean what is told by the caller. The checksum is XXH3 (64 bits) of the payload, seeded with that of the
key, which is seeded with the format byte.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numba import carray, types
from numpy.typing import NDArray

from dvid.errors import BadRequest
from dvid.kernels.boxes import _copy_block, _overlap
from dvid.kernels.compiling import kernel
from dvid.kernels.native import address_pointer, copy_bytes, lz4_decompress_safe, xxh3_64

HEADER_BYTES = 9
LZ4_SIZE_BYTES = 4
"""An LZ4 payload begins with the size of what it holds, 4 bytes little-endian."""

DONE, OTHER, CORRUPT = 0, 1, 2
"""What became of a block: copied (or filled), left to the caller because of its format, or damaged."""

_LZ4_SIZE_LIMIT = 2**31

_Sizes = NDArray[np.int64]
_Addresses = NDArray[np.uint64]
_Located = tuple[_Addresses, _Sizes]
_Bytes = NDArray[np.uint8]


class Codes(NamedTuple):
    """The format bytes that the kernels know: numbers, not members of an enumeration (Numba takes long over those)."""

    nothing: int
    raw: int
    lz4: int


# What is only read may be read-only.
_ADDRESSES = types.Array(types.uintp, 1, "C", readonly=True)
_SIZES = types.Array(types.intp, 1, "C", readonly=True)
_ORIGINS = types.Array(types.intp, 2, "C", readonly=True)
_READ_ROWS = types.Array(types.uint8, 2, "C", readonly=True)
_VOXEL = types.Array(types.uint8, 1, "C", readonly=True)
_STATES = types.Array(types.uint8, 1, "C")
_TRIPLE = types.UniTuple(types.intp, 3)


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _check(value: int, size: int, key: int, key_size: int) -> bool:
    """Whether a stored value is what was stored under its key."""
    if size < HEADER_BYTES:
        return False
    head = carray(address_pointer(value), (HEADER_BYTES,))
    checksum = np.uint64(0)
    for j in range(1, HEADER_BYTES):
        checksum = (checksum << np.uint64(8)) | np.uint64(head[j])
    seed = xxh3_64(key, key_size, np.uint64(head[0]))
    found: bool = xxh3_64(value + np.uintp(HEADER_BYTES), size - HEADER_BYTES, seed) == checksum
    return found


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _unpack_lz4(payload: int, length: int, target: int, size: int) -> bool:
    """Decompress an LZ4 payload to exactly `size` bytes; whether it was that many."""
    if not LZ4_SIZE_BYTES < length < _LZ4_SIZE_LIMIT:
        return False
    source = payload + np.uintp(LZ4_SIZE_BYTES)
    whole: bool = lz4_decompress_safe(source, target, length - LZ4_SIZE_BYTES, size) == size
    return whole


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _touches(
    origin_zyx: NDArray[np.intp], shape_zyx: tuple[int, int, int], box_shape: tuple[int, int, int], itemsize: int
) -> bool:
    """Whether a block has a voxel in the box."""
    for axis in range(3):
        limit = box_shape[2] // itemsize if axis == 2 else box_shape[axis]
        if origin_zyx[axis] >= limit or origin_zyx[axis] <= -shape_zyx[axis]:
            return False
    return True


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _fill(
    origin_zyx: NDArray[np.intp],
    shape_zyx: tuple[int, int, int],
    background: _Bytes,
    box: int,
    box_shape: tuple[int, int, int],
) -> None:
    itemsize = len(background)
    z0, z1 = _overlap(origin_zyx[0], shape_zyx[0], box_shape[0])
    y0, y1 = _overlap(origin_zyx[1], shape_zyx[1], box_shape[1])
    x0, x1 = _overlap(origin_zyx[2], shape_zyx[2], box_shape[2] // itemsize)
    if z1 <= z0 or y1 <= y0 or x1 <= x0:
        return
    out = carray(address_pointer(box), box_shape)
    for x in range(x0, x1):
        for i in range(itemsize):
            out[z0, y0, x * itemsize + i] = background[i]
    first = box + np.uintp((z0 * box_shape[1] + y0) * box_shape[2] + x0 * itemsize)
    for z in range(z0, z1):
        for y in range(y0, y1):
            row = box + np.uintp((z * box_shape[1] + y) * box_shape[2] + x0 * itemsize)
            if row != first:
                copy_bytes(row, first, (x1 - x0) * itemsize)


@kernel(
    types.intp(
        _ADDRESSES,
        _SIZES,
        _ADDRESSES,
        _SIZES,
        _ORIGINS,
        _TRIPLE,
        _VOXEL,
        types.uintp,
        _TRIPLE,
        _TRIPLE,
        _STATES,
        _STATES,
    ),
    nogil=True,
)
def _gather_stored(
    values: _Addresses,
    value_sizes: _Sizes,
    keys: _Addresses,
    key_sizes: _Sizes,
    origins_zyx: NDArray[np.intp],
    shape_zyx: tuple[int, int, int],
    background: _Bytes,
    box: int,
    box_shape: tuple[int, int, int],
    codes: tuple[int, int, int],
    checked: _Bytes,
    states: _Bytes,
) -> int:
    itemsize = len(background)
    size = shape_zyx[0] * shape_zyx[1] * shape_zyx[2] * itemsize
    plain = np.empty(0, np.uint8)
    left = 0
    for i in range(len(values)):
        states[i] = DONE
        if not _touches(origins_zyx[i], shape_zyx, box_shape, itemsize):
            continue
        if not values[i]:
            _fill(origins_zyx[i], shape_zyx, background, box, box_shape)
            continue
        length = value_sizes[i] - HEADER_BYTES
        if not checked[i]:
            if not _check(values[i], value_sizes[i], keys[i], key_sizes[i]):
                states[i] = CORRUPT
                left += 1
                continue
            checked[i] = 1
        form = carray(address_pointer(values[i]), (1,))[0]
        payload = values[i] + np.uintp(HEADER_BYTES)
        if form == codes[0]:
            _fill(origins_zyx[i], shape_zyx, background, box, box_shape)
        elif form == codes[1] and length == size:
            _copy_block(payload, origins_zyx[i], shape_zyx, itemsize, box, box_shape, True)
        elif form == codes[2]:
            if len(plain) == 0:
                plain = np.empty(size, np.uint8)
            block = np.uintp(plain.ctypes.data)
            if _unpack_lz4(payload, length, block, size):
                _copy_block(block, origins_zyx[i], shape_zyx, itemsize, box, box_shape, True)
            else:
                states[i] = CORRUPT
                left += 1
        else:
            states[i] = CORRUPT if form == codes[1] else OTHER
            left += 1
    return left


def gather_stored(
    values: _Located,
    keys: _Located,
    origins_zyx: NDArray[np.int64],
    block_shape_zyx: tuple[int, int, int],
    background: _Bytes,
    box_address: int,
    box_shape: tuple[int, int, int],
    codes: Codes,
    checked: _Bytes,
) -> _Bytes | None:
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
        checked: (n,) uint8: 0 for the blocks whose checksum is to be compared, if they touch the box. It is set to 1
            when that was done, for further calls with the same blocks.

    Returns:
        (n,) uint8: what became of each block (DONE, OTHER, CORRUPT), or None where all are done.

    Raises:
        BadRequest: the arrays do not fit each other.
    """
    count = len(values[0])
    if not (len(keys[0]) == len(checked) == count and origins_zyx.shape == (count, 3)) or box_shape[2] % len(
        background
    ):
        raise BadRequest(f"{count} blocks, {len(keys[0])} keys, origins of shape {origins_zyx.shape}: they do not fit")
    states = np.empty(count, np.uint8)
    left = _gather_stored(
        *values, *keys, origins_zyx, block_shape_zyx, background, box_address, box_shape, tuple(codes), checked, states
    )
    return states if left else None


@kernel(
    types.intp(_ADDRESSES, _SIZES, _ADDRESSES, _SIZES, _READ_ROWS, types.intp, types.uintp, _TRIPLE, _STATES),
    nogil=True,
)
def _unpack_stored(
    values: _Addresses,
    value_sizes: _Sizes,
    keys: _Addresses,
    key_sizes: _Sizes,
    heads: _Bytes,
    size: int,
    target: int,
    codes: tuple[int, int, int],
    states: _Bytes,
) -> int:
    head = heads.shape[1]
    left = 0
    for i in range(len(values)):
        states[i] = CORRUPT
        at = target + np.uintp(i * (head + size))
        copy_bytes(at, np.uintp(heads.ctypes.data) + np.uintp(i * head), head)
        at += np.uintp(head)
        if values[i] and _check(values[i], value_sizes[i], keys[i], key_sizes[i]):
            form = carray(address_pointer(values[i]), (1,))[0]
            payload, length = values[i] + np.uintp(HEADER_BYTES), value_sizes[i] - HEADER_BYTES
            if form == codes[1] and length == size:
                copy_bytes(at, payload, size)
                states[i] = DONE
            elif form == codes[2]:
                if _unpack_lz4(payload, length, at, size):
                    states[i] = DONE
            elif form != codes[1]:
                states[i] = OTHER
        left += states[i] != DONE
    return left


def unpack_stored(
    values: _Located, keys: _Located, heads: _Bytes, block_bytes: int, address: int, codes: Codes
) -> _Bytes | None:
    """Write stored blocks one behind the other, each behind a head of its own.

    Args:
        values: addresses and sizes of the stored blocks (`dvid.kernels.buffers.locate`), none of them absent.
        keys: addresses and sizes of their keys, from which their checksums begin.
        heads: (n, h) uint8: what to write in front of each block.
        block_bytes: of a block when it is unpacked.
        address: where to write: n * (h + block_bytes) bytes that are the caller's.
        codes: the format bytes.

    Returns:
        (n,) uint8: what became of each block (DONE; OTHER and CORRUPT: its room is left as it was, its head is
        written), or None where all are done.

    Raises:
        BadRequest: the arrays do not fit each other.
    """
    count = len(values[0])
    if len(keys[0]) != count or len(heads) != count:
        raise BadRequest(f"{count} blocks, {len(keys[0])} keys, {len(heads)} heads: they do not fit")
    states = np.empty(count, np.uint8)
    left = _unpack_stored(*values, *keys, heads, block_bytes, address, tuple(codes), states)
    return states if left else None
