"""Writing Neuroglancer's compressed segmentation: uint64 labels in blocks of 8 x 8 x 8.

Words are uint32, little-endian: a word 1 (where the only channel begins), then for each block, x fastest, two words: where
its table begins and, in the highest 8 bits, how many bits a voxel has (0, 1, 2, 4, 8 or 16); where its voxels begin. Both
count words from the first of these. Then the voxels of each block, x fastest, the lowest bits first: places in its
table; and the table: a uint64 for each label. Source:
https://github.com/google/neuroglancer/tree/master/src/sliceview/compressed_segmentation
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from dvid.errors import BadRequest, TooLarge
from dvid.kernels.compiling import kernel
from dvid.kernels.labellayout import SUB, SUB_VOXELS, TRIPLE
from dvid.kernels.labelwriting import HASH_MULTIPLIER, load_sub, tell_apart
from dvid.kernels.native import copy_bytes
from dvid.kernels.words import signed, store_u64

_Words = NDArray[np.uint32]
_Labels = NDArray[np.uint64]

_TABLE_LIMIT = 2**24
_MOST_WORDS = SUB_VOXELS * 16 // 32 + 2 * SUB_VOXELS
# Rows of voxels are written 8 bytes at a time, whatever their length.
_SLACK = 2


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _pack(codes: NDArray[np.uint16], bits: int, target: int) -> None:
    """Write 512 numbers of so many bits, the lowest bits first, and up to 7 bytes more."""
    for row in range(SUB * SUB):
        first = row * SUB
        word = np.uint64(0)
        if bits == 16:
            for x in range(4):
                word |= np.uint64(codes[first + x]) << np.uint64(16 * x)
            store_u64(target + row * 16, word)
            word = np.uint64(0)
            for x in range(4):
                word |= np.uint64(codes[first + 4 + x]) << np.uint64(16 * x)
            store_u64(target + row * 16 + 8, word)
        else:
            for x in range(SUB):
                word |= np.uint64(codes[first + x]) << np.uint64(bits * x)
            store_u64(target + row * bits, word)


@kernel(types.Array(types.uint32, 1, "C")(types.uintp, types.intp, types.intp, TRIPLE, types.int64), nogil=True)
def _compress(box_address: int, to_plane: int, to_row: int, grid_zyx: tuple[int, int, int], multiplier: int) -> _Words:
    """The words; none where a table would begin too far away."""
    gz, gy, gx = grid_zyx
    blocks = gz * gy * gx
    sub, codes, own = np.empty(SUB_VOXELS, np.uint64), np.empty(SUB_VOXELS, np.uint16), np.empty(SUB_VOXELS, np.uint64)
    out = np.empty(1 + 2 * blocks + 32 * blocks + _MOST_WORDS + _SLACK, np.uint32)
    out[0] = 1
    used = 1 + 2 * blocks
    for i in range(blocks):
        z, y, x = i // (gy * gx), i // gx % gy, i % gx
        source = signed(box_address) + SUB * (z * to_plane + y * to_row + x * 8)
        count, bits = 1, 0
        if load_sub(source, to_plane, to_row, sub):
            own[0] = sub[0]
        else:
            count, bits = tell_apart(sub, codes, own, multiplier), 1
            while 1 << bits < count:
                bits *= 2
        if used + _MOST_WORDS + _SLACK > len(out):
            larger = np.empty(2 * len(out), np.uint32)
            copy_bytes(larger.ctypes.data, out.ctypes.data, 4 * used)
            out = larger
        out[2 + 2 * i] = used - 1
        if bits:
            _pack(codes, bits, signed(out.ctypes.data) + 4 * used)
            used += SUB_VOXELS // 32 * bits
        if used - 1 >= _TABLE_LIMIT:
            return np.empty(0, np.uint32)
        out[1 + 2 * i] = (used - 1) | bits << 24
        copy_bytes(np.uintp(signed(out.ctypes.data) + 4 * used), own.ctypes.data, 8 * count)
        used += 2 * count
    return out[:used]


def compress_segmentation(box: _Labels) -> _Words:
    """Write labels as one channel of compressed segmentation.

    Args:
        box: (z, y, x) uint64, each side a multiple of 8; also a part of a larger array.

    Returns:
        (words,) uint32.

    Raises:
        BadRequest: the array has another type, or a side is no multiple of 8.
        TooLarge: there are too many labels for the format, which can place tables in the first 64 MiB only.
    """
    if box.ndim != 3 or box.dtype != np.uint64:
        raise BadRequest(f"labels have the shape {box.shape} and type {box.dtype}, expected (z, y, x) and uint64")
    if any(side % SUB or not side for side in box.shape):
        raise BadRequest(
            f"compressed segmentation of {box.shape[::-1]} voxels (x, y, z): each side must be a multiple of 8"
        )
    if box.strides[2] != box.itemsize:
        box = np.ascontiguousarray(box)
    grid_zyx = (box.shape[0] // SUB, box.shape[1] // SUB, box.shape[2] // SUB)
    words: _Words = _compress(box.ctypes.data, box.strides[0], box.strides[1], grid_zyx, HASH_MULTIPLIER)
    if not len(words):
        raise TooLarge(
            f"the labels of {box.shape[::-1]} voxels (x, y, z) take more than the 64 MiB that compressed segmentation"
            " can address: ask for a smaller box"
        )
    return words
