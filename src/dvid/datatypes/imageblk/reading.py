"""Reading boxes of voxels: blocks are copied from the store's memory map straight into the answer."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dvid.codecs.images import decode_jpeg_block
from dvid.datatypes.imageblk.layout import VoxelLayout, layout_of
from dvid.errors import CorruptValue, DvidError
from dvid.geometry import BlockRange, Box, Zyx
from dvid.kernels.boxes import gather_blocks
from dvid.kernels.buffers import addresses, heads, locate, new_bytes
from dvid.kernels.stored import HEADER_BYTES, Codes, gather_stored, unpack_stored
from dvid.storage.protocol import Buffer
from dvid.versions import layout as keys
from dvid.versions.envelope import Format, Value, expand, unseal
from dvid.versions.view import View

PIECE_BYTES = 1 << 19
"""Large answers leave in pieces of about this size, which stay in the processor's cache on their way."""

BLOCKS_AT_ONCE = 1 << 14
"""So many blocks are looked up at a time."""

CODES = Codes(nothing=int(Format.TOMBSTONE), raw=int(Format.RAW), lz4=int(Format.LZ4))
"""The format bytes, for the kernels."""

_UNPACKED_BYTES = 32 << 20

_Bytes = NDArray[np.uint8]


def block_origins(blocks: BlockRange, block_zyx: Zyx, start_zyx: Zyx) -> NDArray[np.int64]:
    """First voxel of each block relative to `start_zyx`: (n, 3) int64, zyx."""
    (z0, y0, x0), (z1, y1, x1) = blocks.start_zyx, blocks.stop_zyx
    grid = np.empty((z1 - z0, y1 - y0, x1 - x0, 3), np.int64)
    bz, by, bx = block_zyx
    sz, sy, sx = start_zyx
    grid[..., 0] = np.arange(z0 * bz - sz, z1 * bz - sz, bz)[:, None, None]
    grid[..., 1] = np.arange(y0 * by - sy, y1 * by - sy, by)[:, None]
    grid[..., 2] = np.arange(x0 * bx - sx, x1 * bx - sx, bx)
    return grid.reshape(-1, 3)


def decoded_block(value: Value, voxels: VoxelLayout, key: bytes) -> Buffer:
    """The voxels of a block stored under a key, as bytes.

    Raises:
        CorruptValue: they are not as many as a block has.
    """
    if value.format == Format.JPEG:
        try:
            data: Buffer = decode_jpeg_block(value.payload, voxels.block_zyx).tobytes()
        except DvidError as error:
            raise CorruptValue(f"the block stored as JPEG under key {key.hex()} cannot be decoded: {error}") from error
    else:
        data = expand(value, key)
    if len(data) != voxels.block_bytes:
        raise CorruptValue(
            f"the block stored under key {key.hex()} has {len(data)} bytes, {voxels.block_bytes} were expected"
        )
    return data


class StoredBlocks:
    """Blocks found in the store and ready to be copied from, as long as the view is open."""

    def __init__(self, view: View, block_keys: list[bytes]) -> None:
        self._voxels = layout_of(view.instance)
        # The lists keep alive what the addresses point to.
        self._keys, self._values = view.stored(keys.DATA, block_keys)
        self._located_keys, self._located_values = locate(self._keys), locate(self._values)
        self._checked = np.zeros(len(block_keys), np.uint8)
        self._room: _Bytes | None = None

    def into(
        self,
        origins_zyx: NDArray[np.int64],
        address: int,
        shape_zyx: Zyx,
        *,
        first: int = 0,
        background: _Bytes | None = None,
    ) -> None:
        """Copy what lies in a box to where the box is in memory.

        Args:
            origins_zyx: (n, 3) first voxel of each block relative to the box's first voxel.
            address: of the box: z * y * x * itemsize bytes.
            shape_zyx: of the box.
            first: number of the first of these n blocks among all.
            background: the bytes of an absent voxel; None for zeros.

        Raises:
            CorruptValue: a block fails its checksum, or does not decode to a block.
        """
        voxels = self._voxels
        depth, height, width = shape_zyx
        room = depth, height, width * voxels.itemsize
        background = voxels.nothing if background is None else background
        these = slice(first, first + len(origins_zyx))
        (values, value_sizes), (names, name_sizes) = self._located_values, self._located_keys
        states = gather_stored(
            (values[these], value_sizes[these]),
            (names[these], name_sizes[these]),
            origins_zyx,
            voxels.block_zyx,
            background,
            address,
            room,
            CODES,
            self._checked[these],
        )
        if states is not None:
            chosen = np.flatnonzero(states).tolist()
            others = [self.decoded(first + number) for number in chosen]
            box = memory_at(address, room)
            gather_blocks(addresses(others), origins_zyx[chosen], voxels.block_zyx, background, box)

    def decoded(self, number: int) -> Buffer | None:
        """The voxels of a block, or None where there is none.

        Raises:
            CorruptValue: it fails its checksum, or does not decode to a block.
        """
        stored, key = self._values[number], self._keys[number]
        if stored is None:
            return None
        value = unseal(key, stored)
        return None if value.format == Format.TOMBSTONE else decoded_block(value, self._voxels, key)

    def present(self) -> NDArray[np.intp]:
        """Which of the blocks somebody wrote: their numbers."""
        found, sizes = self._located_values
        # What only claims to be a tombstone is looked at like a block, and found out.
        tombstones = (heads(found, sizes, 1)[:, 0] == Format.TOMBSTONE) & (sizes == HEADER_BYTES)
        return np.flatnonzero((found != 0) & ~tombstones)

    def unpack(self, numbers: NDArray[np.intp], fronts: _Bytes, address: int) -> None:
        """Write some of the blocks one behind the other.

        Args:
            numbers: which.
            fronts: (n, h) uint8: what to write in front of each.
            address: where: n * (h + bytes of a block) bytes.

        Raises:
            CorruptValue: a block fails its checksum, or does not decode to a block.
        """
        size = self._voxels.block_bytes
        (values, value_sizes), (names, name_sizes) = self._located_values, self._located_keys
        if len(numbers) != len(values):
            values, value_sizes = values[numbers], value_sizes[numbers]
            names, name_sizes = names[numbers], name_sizes[numbers]
        states = unpack_stored((values, value_sizes), (names, name_sizes), fronts, size, address, CODES)
        if states is None:
            return
        room = memory_at(address, (len(numbers), fronts.shape[1] + size))
        for place in np.flatnonzero(states).tolist():
            data = self.decoded(int(numbers[place]))
            if data is None:
                raise CorruptValue(f"a tombstone with a value is stored under key {self._keys[numbers[place]].hex()}")
            room[place, fronts.shape[1] :] = np.frombuffer(data, np.uint8)

    def keep_unpacked(self) -> None:
        """Unpack what is compressed once, before it is copied from in several pieces.

        Raises:
            CorruptValue: a block fails its checksum, or does not decode to a block.
        """
        found, sizes = self._located_values
        present = self.present()
        packed = present[heads(found, sizes, 1)[present, 0] != Format.RAW]
        if not len(packed):
            return
        stride = HEADER_BYTES + self._voxels.block_bytes
        fronts = np.zeros((len(packed), HEADER_BYTES), np.uint8)
        fronts[:, 0] = Format.RAW
        self._room = room = np.empty(len(packed) * stride, np.uint8)
        self.unpack(packed, fronts, room.ctypes.data)
        found[packed] = room.ctypes.data + stride * np.arange(len(packed), dtype=np.uint64)
        sizes[packed] = stride
        self._checked[packed] = 1


def memory_at(address: int, shape: tuple[int, ...]) -> _Bytes:
    """The bytes at an address as an array."""
    return np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8)), shape)


def _read(view: View, voxels: VoxelLayout, box: Box, address: int) -> None:
    shape_zyx = box.shape_zyx
    for blocks in box.blocks(voxels.block_zyx).parts(BLOCKS_AT_ONCE):
        stored = StoredBlocks(view, keys.block_keys(blocks))
        stored.into(block_origins(blocks, voxels.block_zyx, box.start_zyx), address, shape_zyx)


def read_bytes(view: View, box: Box) -> bytes:
    """The voxels of a box as bytes: channels side by side, x next, then y, then z. What nobody wrote is 0."""
    voxels = layout_of(view.instance)
    data, address = new_bytes(voxels.bytes_of(box))
    _read(view, voxels, box, address)
    return data


def read_box(view: View, box: Box) -> NDArray[np.generic]:
    """The voxels of a box: shape (z, y, x), or (z, y, x, channel) where there are several channels."""
    voxels = layout_of(view.instance)
    shape = box.shape_zyx if voxels.channels == 1 else (*box.shape_zyx, voxels.channels)
    out = np.empty(shape, voxels.dtype)
    _read(view, voxels, box, out.ctypes.data)
    return out


def stream_box(view: View, box: Box) -> Iterator[tuple[Box, bytes, int]]:
    """The voxels of a box in pieces that follow each other in memory order.

    Yields:
        A part of the box, its voxels as bytes, and their address.
    """
    voxels = layout_of(view.instance)
    most = max(1, PIECE_BYTES // voxels.itemsize)
    for layer in box.blocks(voxels.block_zyx).layers():
        part = layer.box(voxels.block_zyx) & box
        stored = None
        if len(layer) <= BLOCKS_AT_ONCE:  # a wider layer is looked up piece by piece
            stored = StoredBlocks(view, keys.block_keys(layer))
            if part.voxels > most and len(layer) * voxels.block_bytes <= _UNPACKED_BYTES:
                stored.keep_unpacked()
        for piece in part.parts(most):
            data, address = new_bytes(voxels.bytes_of(piece))
            if stored is None:
                _read(view, voxels, piece, address)
            else:
                rows = piece.blocks(voxels.block_zyx)
                touched = BlockRange(
                    (layer.start_zyx[0], rows.start_zyx[1], layer.start_zyx[2]),
                    (layer.stop_zyx[0], rows.stop_zyx[1], layer.stop_zyx[2]),
                )
                first = (rows.start_zyx[1] - layer.start_zyx[1]) * layer.shape_zyx[2]
                origins = block_origins(touched, voxels.block_zyx, piece.start_zyx)
                stored.into(origins, address, piece.shape_zyx, first=first)
            yield piece, data, address
