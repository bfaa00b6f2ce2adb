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
from dvid.kernels.buffers import addresses, locate, new_bytes
from dvid.kernels.stored import Codes, gather_stored
from dvid.storage.protocol import Buffer
from dvid.versions import layout as keys
from dvid.versions.envelope import Format, Value, expand, seal, unseal
from dvid.versions.view import View

PIECE_BYTES = 1 << 19
"""Large answers leave in pieces of about this size, which stay in the processor's cache on their way."""

# Plain numbers: Numba takes 40 µs to recognise enumeration members, in every call.
_CODES = Codes(nothing=int(Format.TOMBSTONE), raw=int(Format.RAW), lz4=int(Format.LZ4))


def block_keys(blocks: BlockRange) -> list[bytes]:
    """The keys of blocks, in their order."""
    return [keys.block_key(block) for block in blocks]


def block_origins(blocks: BlockRange, block_zyx: Zyx, start_zyx: Zyx) -> NDArray[np.int64]:
    """First voxel of each block relative to `start_zyx`: (n, 3) int64, zyx."""
    (z0, y0, x0), (z1, y1, x1) = blocks.start_zyx, blocks.stop_zyx
    grid = np.empty((z1 - z0, y1 - y0, x1 - x0, 3), np.int64)
    bz, by, bx = block_zyx
    sz, sy, sx = start_zyx
    grid[..., 0] = np.arange(z0 * bz - sz, z1 * bz - sz, bz)[:, None, None]
    grid[..., 1] = np.arange(y0 * by - sy, y1 * by - sy, by)[None, :, None]
    grid[..., 2] = np.arange(x0 * bx - sx, x1 * bx - sx, bx)[None, None, :]
    return grid.reshape(-1, 3)


def decoded_block(value: Value, voxels: VoxelLayout) -> Buffer:
    """The voxels of a stored block, as bytes.

    Raises:
        CorruptValue: they are not as many as a block has.
    """
    if value.format == Format.JPEG:
        try:
            data: Buffer = decode_jpeg_block(value.payload, voxels.block_zyx).tobytes()
        except DvidError as error:
            raise CorruptValue(f"a block stored as JPEG cannot be decoded: {error}") from error
    else:
        data = expand(value)
    if len(data) != voxels.block_bytes:
        raise CorruptValue(f"a stored block has {len(data)} bytes, not {voxels.block_bytes}")
    return data


class _Stored:
    """The stored blocks of a range, found and ready to be copied from."""

    def __init__(self, view: View, blocks: BlockRange, voxels: VoxelLayout) -> None:
        self._voxels = voxels
        self._blocks = blocks
        # The lists keep alive what the addresses point to.
        self._keys, self._values = view.stored(keys.DATA, block_keys(blocks))
        self._located_keys, self._located_values = locate(self._keys), locate(self._values)
        self._checked = False

    def into(self, start_zyx: Zyx, address: int, shape_zyx: Zyx) -> None:
        """Copy what lies in the box of that start and shape to an address; absent voxels are 0.

        Raises:
            CorruptValue: a block fails its checksum, or does not decompress to a block.
        """
        voxels = self._voxels
        origins = block_origins(self._blocks, voxels.block_zyx, start_zyx)
        depth, height, width = shape_zyx
        room = depth, height, width * voxels.itemsize
        states = gather_stored(
            self._located_values,
            self._located_keys,
            origins,
            voxels.block_zyx,
            voxels.nothing,
            address,
            room,
            _CODES,
            check=not self._checked,
        )
        self._checked = True
        if states is not None:
            self._copy_others(states, origins, address, room)

    def _copy_others(self, states: NDArray[np.uint8], origins: NDArray[np.int64], address: int, room: Zyx) -> None:
        """Copy the blocks in formats that the kernel does not know."""
        chosen = np.flatnonzero(states).tolist()
        others = [self.decoded(number) for number in chosen]
        box = np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8)), room)
        voxels = self._voxels
        gather_blocks(addresses(others), origins[chosen], voxels.block_zyx, voxels.nothing, box)

    def decoded(self, number: int) -> Buffer | None:
        """The voxels of a block, or None where there is none.

        Raises:
            CorruptValue: it fails its checksum, or does not decode to a block.
        """
        stored = self._values[number]
        if stored is None:
            return None
        value = unseal(self._keys[number], stored)
        return None if value.format == Format.TOMBSTONE else decoded_block(value, self._voxels)

    def unpacked(self) -> _Stored:
        """The same, with what is compressed decompressed and wrapped anew, for several calls of `into`."""
        for number, stored in enumerate(self._values):
            if stored is not None and stored[0] != Format.RAW:
                data = self.decoded(number)
                self._values[number] = None if data is None else memoryview(seal(self._keys[number], data))
        self._located_values = locate(self._values)
        return self


def read_bytes(view: View, box: Box) -> bytes:
    """The voxels of a box as bytes: channels side by side, x next, then y, then z. What nobody wrote is 0."""
    voxels = layout_of(view.instance)
    data, address = new_bytes(voxels.bytes_of(box))
    _Stored(view, box.blocks(voxels.block_zyx), voxels).into(box.start_zyx, address, box.shape_zyx)
    return data


def read_box(view: View, box: Box) -> NDArray[np.generic]:
    """The voxels of a box: shape (z, y, x), or (z, y, x, channel) where there are several channels."""
    voxels = layout_of(view.instance)
    shape = box.shape_zyx if voxels.channels == 1 else (*box.shape_zyx, voxels.channels)
    out = np.empty(shape, voxels.dtype)
    _Stored(view, box.blocks(voxels.block_zyx), voxels).into(box.start_zyx, out.ctypes.data, box.shape_zyx)
    return out


def stream_box(view: View, box: Box) -> Iterator[bytes]:
    """The voxels of a box as bytes, in pieces, one layer of blocks after another."""
    voxels = layout_of(view.instance)
    _, height, width = box.shape_zyx
    plane = height * width * voxels.itemsize
    step = max(1, PIECE_BYTES // plane)
    for layer in box.blocks(voxels.block_zyx).layers():
        stored = _Stored(view, layer, voxels)
        part = layer.box(voxels.block_zyx) & box
        if part.shape_zyx[0] > step:
            stored = stored.unpacked()
        for z in range(part.start_zyx[0], part.stop_zyx[0], step):
            planes = min(step, part.stop_zyx[0] - z)
            piece, address = new_bytes(planes * plane)
            stored.into((z, *box.start_zyx[1:]), address, (planes, height, width))
            yield piece


def read_blocks(view: View, block_keys: list[bytes]) -> list[Buffer | None]:
    """The voxels of single blocks as bytes, in the order of the keys; None for those that nobody wrote."""
    voxels = layout_of(view.instance)
    values = view.get_many(keys.DATA, block_keys)
    return [None if value is None else decoded_block(value, voxels) for value in values]
