"""Writing DVID's compressed label blocks (their format: `dvid.kernels.labellayout`), sub-block by sub-block."""

from __future__ import annotations

import secrets
from typing import NamedTuple

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from dvid.errors import BadRequest
from dvid.kernels.compiling import kernel
from dvid.kernels.labellayout import HEAD_BYTES, LARGEST_GRID, POINTS, SUB, SUB_VOXELS, TRIPLE, bits_for
from dvid.kernels.native import copy_bytes
from dvid.kernels.words import load_u64, signed, store_u8, store_u32, store_u64, turned

# A sub-block's labels are told apart by one pass over it for each; from so many on, by hashing.
_PASSES = 12
_PACKED_BYTES = 9 * SUB_VOXELS // 8
# Rows of voxels are written 8 bytes at a time, whatever their length.
_SLACK = 8
_LABELS, _SUBS, _PLACES, _VALUES, _LAST, _MULTIPLIER, _SHIFT = range(7)
_FIRST_LABELS = 1024
_FIRST_SHIFT = 64 - 11
_OWN_SHIFT = 64 - 10

HASH_MULTIPLIER = secrets.randbits(63) | 1
"""Another one in each process: nobody can choose labels that share a place in the tables. It is passed to kernels, since
what they are compiled with is kept on disk."""

_Bytes = NDArray[np.uint8]
_Labels = NDArray[np.uint64]


class Writer(NamedTuple):
    """A block that is being written. Its arrays have room for one more sub-block, and for more by `with_room`."""

    labels: _Labels
    """The label list."""
    hashed: NDArray[np.int32]
    """Open addressing: place in the label list + 1, or 0. At most half full."""
    numbers: NDArray[np.uint16]
    """Labels of each sub-block."""
    places: NDArray[np.uint32]
    """The sub-blocks' tables."""
    values: _Bytes
    """Packed voxels."""
    used: NDArray[np.int64]
    """Labels, sub-blocks, places and bytes of values so far; the place of the label that was asked for last; how labels
    are hashed: by which odd number they are multiplied, and how many bits of the product are dropped."""


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def new_writer(subs: int, multiplier: int) -> Writer:
    """Begin blocks of so many sub-blocks."""
    used = np.zeros(7, np.int64)
    used[_MULTIPLIER] = multiplier
    used[_SHIFT] = _FIRST_SHIFT
    return Writer(
        np.empty(_FIRST_LABELS, np.uint64),
        np.zeros(2 * _FIRST_LABELS, np.int32),
        np.empty(subs, np.uint16),
        np.empty(2 * SUB_VOXELS + 4 * subs, np.uint32),
        np.empty(2 * _PACKED_BYTES + 128 * subs + _SLACK, np.uint8),
        used,
    )


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def clear(writer: Writer) -> None:
    """Begin the next block."""
    writer.hashed[:] = 0
    writer.used[:_MULTIPLIER] = 0


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _slot(label: np.uint64, multiplier: int, shift: int) -> int:
    """Where to begin to look for a label: the top bits of its product with an odd number."""
    slot: int = signed((label * np.uint64(multiplier)) >> np.uint64(shift))
    return slot


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _grown(writer: Writer) -> Writer:
    used = writer.used
    labels, hashed, places, values = writer.labels, writer.hashed, writer.places, writer.values
    if used[_LABELS] + SUB_VOXELS > len(labels):
        labels = np.empty(2 * len(writer.labels), np.uint64)
        copy_bytes(labels.ctypes.data, writer.labels.ctypes.data, 8 * used[_LABELS])
        hashed = np.zeros(2 * len(labels), np.int32)
        used[_SHIFT] -= 1
        for place in range(used[_LABELS]):
            slot = _slot(labels[place], used[_MULTIPLIER], used[_SHIFT])
            while hashed[slot]:
                slot = (slot + 1) & (len(hashed) - 1)
            hashed[slot] = place + 1
    if used[_PLACES] + SUB_VOXELS > len(places):
        places = np.empty(2 * len(writer.places), np.uint32)
        copy_bytes(places.ctypes.data, writer.places.ctypes.data, 4 * used[_PLACES])
    if used[_VALUES] + _PACKED_BYTES + _SLACK > len(values):
        values = np.empty(2 * len(writer.values), np.uint8)
        copy_bytes(values.ctypes.data, writer.values.ctypes.data, used[_VALUES])
    return Writer(labels, hashed, writer.numbers, places, values, used)


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def lacks_room(writer: Writer) -> bool:
    """Whether `with_room` is due before the next sub-block."""
    used = writer.used
    return bool(
        used[_LABELS] + SUB_VOXELS > len(writer.labels)
        or used[_PLACES] + SUB_VOXELS > len(writer.places)
        or used[_VALUES] + _PACKED_BYTES + _SLACK > len(writer.values)
    )


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def with_room(writer: Writer) -> Writer:
    """The same writer with room for one more sub-block, whatever that holds."""
    while lacks_room(writer):
        writer = _grown(writer)
    return writer


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _place_of(writer: Writer, label: np.uint64) -> int:
    """The place of a label in the list, where it is put if it is new."""
    used, labels, hashed = writer.used, writer.labels, writer.hashed
    if used[_LABELS] and labels[used[_LAST]] == label:
        return used[_LAST]  # type: ignore[no-any-return]
    slot = _slot(label, used[_MULTIPLIER], used[_SHIFT])
    while hashed[slot]:
        if labels[hashed[slot] - 1] == label:
            used[_LAST] = hashed[slot] - 1
            return used[_LAST]  # type: ignore[no-any-return]
        slot = (slot + 1) & (len(hashed) - 1)
    place = used[_LABELS]
    labels[place] = label
    hashed[slot] = place + 1
    used[_LABELS] = place + 1
    used[_LAST] = place
    return place  # type: ignore[no-any-return]


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def append_solid(writer: Writer, label: np.uint64) -> None:
    """Write a sub-block of one label."""
    used = writer.used
    writer.places[used[_PLACES]] = _place_of(writer, label)
    writer.numbers[used[_SUBS]] = 1
    used[_PLACES] += 1
    used[_SUBS] += 1


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def tell_apart(sub: _Labels, codes: NDArray[np.uint16], own: _Labels, multiplier: int) -> int:
    """Number the labels of a sub-block in the order of their appearance.

    Args:
        sub: (512,) labels of the voxels.
        codes: (512,) written: the number of each voxel's label.
        own: (512,) written: the label of each number.
        multiplier: an odd number to hash with.

    Returns:
        How many labels there are.
    """
    codes[:] = 0
    first = count = 0
    while count < _PASSES:
        label = sub[first]
        own[count] = label
        this = np.uint16(count)
        rest = 0
        for i in range(SUB_VOXELS):
            other = np.uint16(codes[i] == this) & np.uint16(sub[i] != label)
            codes[i] += other
            rest += signed(other)
        count += 1
        if rest == 0:
            return count
        while codes[first] != count:
            first += 1
    hashed = np.zeros(2 * SUB_VOXELS, np.uint16)
    for i in range(first, SUB_VOXELS):
        if codes[i] < _PASSES:
            continue
        slot = _slot(sub[i], multiplier, _OWN_SHIFT)
        while hashed[slot] and own[hashed[slot] - 1] != sub[i]:
            slot = (slot + 1) & (len(hashed) - 1)
        if not hashed[slot]:
            own[count] = sub[i]
            count += 1
            hashed[slot] = count
        codes[i] = hashed[slot] - 1
    return count


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _pack(codes: NDArray[np.uint16], bits: int, target: int) -> None:
    """Write 512 numbers of so many bits, the most significant first, and up to 7 bytes more."""
    for row in range(SUB * SUB):
        word = np.uint64(0)
        for x in range(SUB):
            word |= np.uint64(codes[row * SUB + x]) << np.uint64(bits * (7 - x))
        at = target + row * bits
        if bits == 9:
            # The word has lost all but one bit of the first number.
            store_u8(at, np.uint8(codes[row * SUB] >> 1))
            store_u64(at + 1, turned(word))
        else:
            store_u64(at, turned(word << np.uint64(64 - 8 * bits)))


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def append_sub(writer: Writer, sub: _Labels, codes: NDArray[np.uint16], own: _Labels) -> None:
    """Write a sub-block of any labels: `sub` (512,); `codes` and `own` as for `tell_apart`."""
    used = writer.used
    count = tell_apart(sub, codes, own, used[_MULTIPLIER])
    if count == 1:
        append_solid(writer, own[0])
        return
    for i in range(count):
        writer.places[used[_PLACES] + i] = _place_of(writer, own[i])
    writer.numbers[used[_SUBS]] = count
    bits = bits_for(count)
    _pack(codes, bits, signed(writer.values.ctypes.data) + used[_VALUES])
    used[_PLACES] += count
    used[_SUBS] += 1
    used[_VALUES] += bits * (SUB_VOXELS // 8)


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def written_bytes(writer: Writer) -> int:
    """Bytes of the block when it is finished."""
    used = writer.used
    if used[_LABELS] == 1:
        return HEAD_BYTES + 8
    return HEAD_BYTES + 8 * used[_LABELS] + 2 * used[_SUBS] + 4 * used[_PLACES] + used[_VALUES]  # type: ignore[no-any-return]


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def finish(writer: Writer, gz: int, gy: int, gx: int, target: int) -> None:
    """Write the block's `written_bytes`."""
    used = writer.used
    labels = used[_LABELS]
    store_u32(target, np.uint32(gx))
    store_u32(target + 4, np.uint32(gy))
    store_u32(target + 8, np.uint32(gz))
    store_u32(target + 12, np.uint32(labels))
    at = target + HEAD_BYTES
    copy_bytes(np.uintp(at), np.uintp(writer.labels.ctypes.data), 8 * labels)
    if labels > 1:
        at += 8 * labels
        copy_bytes(np.uintp(at), np.uintp(writer.numbers.ctypes.data), 2 * used[_SUBS])
        at += 2 * used[_SUBS]
        copy_bytes(np.uintp(at), np.uintp(writer.places.ctypes.data), 4 * used[_PLACES])
        at += 4 * used[_PLACES]
        copy_bytes(np.uintp(at), np.uintp(writer.values.ctypes.data), used[_VALUES])


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def finished(writer: Writer, gz: int, gy: int, gx: int) -> _Bytes:
    """The block in an array of its own."""
    block = np.empty(written_bytes(writer), np.uint8)
    finish(writer, gz, gy, gx, signed(block.ctypes.data))
    return block


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def load_sub(source: int, to_plane: int, to_row: int, sub: _Labels) -> bool:
    """Copy a sub-block out of a box; if it has one label only, just its first voxel. Whether it has."""
    first = load_u64(source)
    target = signed(sub.ctypes.data)
    store_u64(target, first)
    for z in range(SUB):
        change = np.uint64(0)
        for y in range(SUB):
            at = source + z * to_plane + y * to_row
            for x in range(SUB):
                change |= load_u64(at + 8 * x) ^ first
        if change:
            for row in range(SUB * SUB):
                at = source + (row >> 3) * to_plane + (row & 7) * to_row
                copy_bytes(np.uintp(target + 64 * row), np.uintp(at), 64)
            return False
    return True


@kernel(
    types.Tuple((types.Array(types.uint8, 1, "C"), types.Array(types.int64, 1, "C")))(
        types.uintp, types.intp, types.intp, POINTS, TRIPLE, types.int64
    ),
    nogil=True,
)
def _encode_blocks(
    box_address: int,
    to_plane: int,
    to_row: int,
    origins_zyx: NDArray[np.int64],
    grid_zyx: tuple[int, int, int],
    multiplier: int,
) -> tuple[_Bytes, NDArray[np.int64]]:
    gz, gy, gx = grid_zyx
    writer = new_writer(gz * gy * gx, multiplier)
    sub, codes, own = np.empty(SUB_VOXELS, np.uint64), np.empty(SUB_VOXELS, np.uint16), np.empty(SUB_VOXELS, np.uint64)
    out = np.empty(0, np.uint8)
    ends = np.empty(len(origins_zyx), np.int64)
    end = 0
    for i in range(len(origins_zyx)):
        oz, oy, ox = origins_zyx[i]
        block = signed(box_address) + oz * to_plane + oy * to_row + ox * 8
        clear(writer)
        for z in range(gz):
            for y in range(gy):
                for x in range(gx):
                    source = block + z * SUB * to_plane + y * SUB * to_row + x * SUB * 8
                    if lacks_room(writer):
                        writer = with_room(writer)
                    if load_sub(source, to_plane, to_row, sub):
                        append_solid(writer, sub[0])
                    else:
                        append_sub(writer, sub, codes, own)
        size = written_bytes(writer)
        if end + size > len(out):
            larger = np.empty(end + size if len(origins_zyx) == 1 else 2 * (end + size), np.uint8)
            copy_bytes(larger.ctypes.data, out.ctypes.data, end)
            out = larger
        finish(writer, gz, gy, gx, signed(out.ctypes.data) + end)
        end += size
        ends[i] = end
    return out[:end], ends


def encode_blocks(
    box: _Labels, origins_zyx: NDArray[np.int64], block_shape_zyx: tuple[int, int, int]
) -> tuple[_Bytes, NDArray[np.int64]]:
    """Serialize blocks of a box, in one call without the interpreter's lock.

    Args:
        box: (z, y, x) uint64; also a part of a larger array.
        origins_zyx: (n, 3) int64: first voxel of each block; blocks lie in the box as a whole.
        block_shape_zyx: voxels of each block: multiples of 8, at most 1024.

    Returns:
        The blocks, one behind the other, and where each ends: (n,) int64.

    Raises:
        BadRequest: a block does not lie in the box, or cannot have that shape.
    """
    if any(side % SUB or not 0 < side <= SUB * LARGEST_GRID for side in block_shape_zyx):
        raise BadRequest(f"label blocks of {block_shape_zyx} voxels: each side must be a multiple of 8 up to 1024")
    if box.ndim != 3 or box.dtype != np.uint64:
        raise BadRequest(f"labels have the shape {box.shape} and type {box.dtype}, expected (z, y, x) and uint64")
    if origins_zyx.ndim != 2 or origins_zyx.shape[1] != 3:
        raise BadRequest(f"origins have the shape {origins_zyx.shape}, expected (n, 3)")
    room = np.subtract(box.shape, block_shape_zyx)
    if len(origins_zyx) and ((origins_zyx < 0).any() or (origins_zyx > room).any()):
        raise BadRequest(f"a block of {block_shape_zyx} voxels reaches out of the box of {box.shape}")
    if box.strides[2] != box.itemsize:
        box = np.ascontiguousarray(box)
    grid_zyx = (block_shape_zyx[0] // SUB, block_shape_zyx[1] // SUB, block_shape_zyx[2] // SUB)
    blocks, ends = _encode_blocks(
        box.ctypes.data,
        box.strides[0],
        box.strides[1],
        np.ascontiguousarray(origins_zyx, np.int64),
        grid_zyx,
        HASH_MULTIPLIER,
    )
    return blocks, ends
