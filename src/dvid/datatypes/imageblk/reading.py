"""Reading boxes of voxels: blocks are copied from the store's memory map straight into the answer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dvid.codecs.images import decode_jpeg_block
from dvid.datatypes.imageblk.layout import VoxelLayout, layout_of
from dvid.errors import CorruptValue, DvidError
from dvid.geometry import BlockRange, Box, Zyx
from dvid.kernels.boxes import gather_blocks, gather_lz4_blocks
from dvid.kernels.buffers import locate
from dvid.storage.protocol import Buffer
from dvid.versions import layout as keys
from dvid.versions.envelope import Format, Value, expand
from dvid.versions.view import View

PIECE_BYTES = 1 << 19
"""Large answers leave in pieces of about this size, which stay in the processor's cache on their way."""

_LZ4_HEADER = 4


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


class _Gathered:
    """Blocks ready to be copied from: where their bytes lie, and what keeps these alive."""

    def __init__(self, values: list[Value | None], voxels: VoxelLayout) -> None:
        self._voxels = voxels
        self._packed: list[int] = []  # numbers of the blocks that LZ4 must unpack
        plain: list[Buffer | None] = []
        size = voxels.block_bytes
        for number, value in enumerate(values):
            if value is None:
                plain.append(None)
            elif value.format == Format.RAW and len(value.payload) == size:
                plain.append(value.payload)
            elif value.format == Format.LZ4:
                self._packed.append(number)
                plain.append(value.payload)
            else:
                plain.append(decoded_block(value, voxels))
        self._plain = plain  # keeps the buffers alive
        self._addresses, self._sizes = locate(plain)

    def into(self, origins_zyx: NDArray[np.int64], box: NDArray[np.uint8]) -> None:
        """Copy what lies in the box, which is (z, y, x * itemsize)."""
        voxels = self._voxels
        if not self._packed:
            gather_blocks(self._addresses, origins_zyx, voxels.block_zyx, voxels.nothing, box)
            return
        packed = np.zeros(len(self._addresses), bool)
        packed[self._packed] = True
        if not packed.all():
            rest = ~packed
            gather_blocks(self._addresses[rest], origins_zyx[rest], voxels.block_zyx, voxels.nothing, box)
        bad = gather_lz4_blocks(
            self._addresses[packed] + np.uint64(_LZ4_HEADER),
            self._sizes[packed] - _LZ4_HEADER,
            origins_zyx[packed],
            voxels.block_zyx,
            voxels.nothing,
            box,
        )
        if bad >= 0:
            raise CorruptValue(f"a stored block does not decompress to {voxels.block_bytes} bytes")

    def unpack(self) -> None:
        """Decompress what is compressed, once, for several calls of `into`."""
        if not self._packed:
            return
        voxels = self._voxels
        depth, height, width = voxels.block_zyx
        room = np.empty((len(self._packed) * depth, height, width * voxels.itemsize), np.uint8)
        origins = np.zeros((len(self._packed), 3), np.int64)
        origins[:, 0] = np.arange(len(self._packed)) * depth
        packed = np.array(self._packed)
        bad = gather_lz4_blocks(
            self._addresses[packed] + np.uint64(_LZ4_HEADER),
            self._sizes[packed] - _LZ4_HEADER,
            origins,
            voxels.block_zyx,
            voxels.nothing,
            room,
        )
        if bad >= 0:
            raise CorruptValue(f"a stored block does not decompress to {voxels.block_bytes} bytes")
        self._room = room
        self._addresses[packed] = room.ctypes.data + np.arange(len(packed), dtype=np.uint64) * np.uint64(
            voxels.block_bytes
        )
        self._packed = []


def read_bytes(view: View, box: Box) -> NDArray[np.uint8]:
    """The voxels of a box as bytes: (z, y, x * itemsize) uint8. What nobody wrote is 0."""
    voxels = layout_of(view.instance)
    depth, height, width = box.shape_zyx
    out = np.empty((depth, height, width * voxels.itemsize), np.uint8)
    blocks = box.blocks(voxels.block_zyx)
    values = view.get_many(keys.DATA, block_keys(blocks))
    _Gathered(values, voxels).into(block_origins(blocks, voxels.block_zyx, box.start_zyx), out)
    return out


def read_box(view: View, box: Box) -> NDArray[np.generic]:
    """The voxels of a box: shape (z, y, x), or (z, y, x, channel) where there are several channels."""
    return layout_of(view.instance).array(read_bytes(view, box), box.shape_zyx)


def stream_box(view: View, box: Box) -> Iterator[bytes]:
    """The voxels of a box as bytes, in pieces, one layer of blocks after another."""
    voxels = layout_of(view.instance)
    _, height, width = box.shape_zyx
    row = width * voxels.itemsize
    step = max(1, PIECE_BYTES // (height * row))
    for layer in box.blocks(voxels.block_zyx).layers():
        gathered = _Gathered(view.get_many(keys.DATA, block_keys(layer)), voxels)
        gathered.unpack()
        part = layer.box(voxels.block_zyx) & box
        for z in range(part.start_zyx[0], part.stop_zyx[0], step):
            planes = min(step, part.stop_zyx[0] - z)
            piece = np.empty((planes, height, row), np.uint8)
            start_zyx = (z, box.start_zyx[1], box.start_zyx[2])
            gathered.into(block_origins(layer, voxels.block_zyx, start_zyx), piece)
            yield piece.tobytes()


def read_blocks(view: View, block_keys: list[bytes]) -> list[Buffer | None]:
    """The voxels of single blocks as bytes, in the order of the keys; None for those that nobody wrote."""
    voxels = layout_of(view.instance)
    values = view.get_many(keys.DATA, block_keys)
    return [None if value is None else decoded_block(value, voxels) for value in values]
