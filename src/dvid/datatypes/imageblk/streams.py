"""Streams of whole blocks: each behind a header of its own, or one behind the other."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import numpy as np

from dvid.codecs.images import encode_jpeg_block
from dvid.datatypes.imageblk.layout import VoxelLayout, layout_of
from dvid.datatypes.imageblk.reading import BLOCKS_AT_ONCE, PIECE_BYTES, StoredBlocks, decoded_block
from dvid.errors import BadRequest
from dvid.geometry import BlockRange, Zyx
from dvid.kernels.buffers import new_bytes
from dvid.storage.protocol import Buffer
from dvid.versions import layout as keys
from dvid.versions.envelope import Format, unseal
from dvid.versions.view import View

_HEADER = struct.Struct("<iiii")
_JPEGS_AT_ONCE = 64


def leaves_as_jpeg(view: View, compression: str) -> bool:
    """Whether blocks leave in a stream as JPEG.

    Blocks that are not stored as JPEG are not answered as JPEG unless asked for by that word, and then only if they
    can be: 8-bit voxels of one channel.

    Raises:
        BadRequest: another word, or voxels that JPEG cannot hold.
    """
    voxels = layout_of(view.instance)
    stored_as_jpeg = view.instance.compression.startswith("jpeg")
    if compression not in ("", "jpeg", "uncompressed"):
        raise BadRequest(f"compression: jpeg or uncompressed was expected, not {compression[:40]!r}")
    if compression == "uncompressed" or (not compression and not stored_as_jpeg):
        return False
    if voxels.itemsize != 1:
        raise BadRequest("compression: these voxels have more than 8 bits, JPEG cannot hold them: ask for uncompressed")
    return True


Groups = Callable[[], Iterator[list[Zyx]]]
"""Gives the coordinates of the blocks wanted, in their order, some at a time; the same in every call."""


def groups_of(blocks: BlockRange | list[Zyx]) -> Groups:
    """Blocks in groups of bounded size, so that what is known of them at one time is bounded, too."""
    if isinstance(blocks, BlockRange):
        return lambda: (list(part) for part in blocks.parts(BLOCKS_AT_ONCE))
    return lambda: (blocks[first : first + BLOCKS_AT_ONCE] for first in range(0, len(blocks), BLOCKS_AT_ONCE))


def stream_voxel_blocks(view: View, groups: Groups) -> tuple[int, Iterator[bytes]]:
    """Those of the blocks that somebody wrote, each behind a header of four int32: x, y, z, number of bytes.

    Returns:
        The bytes of all, and the bytes in pieces.
    """
    voxels = layout_of(view.instance)
    found, count, known = None, 0, 0
    for group in groups():
        found = _Group(view, group)
        count += len(found.present)
        known += 1
    # One group, as most requests are, is looked up once.
    several = (_Group(view, group) for group in groups()) if known > 1 else iter([found] if found else [])
    return count * (_HEADER.size + voxels.block_bytes), (piece for group in several for piece in group.pieces(voxels))


class _Group:
    """Some of the blocks wanted, found in the store."""

    def __init__(self, view: View, blocks: list[Zyx]) -> None:
        self._blocks = blocks
        self._stored = StoredBlocks(view, [keys.block_key(block) for block in blocks])
        self.present = self._stored.present()

    def pieces(self, voxels: VoxelLayout) -> Iterator[bytes]:
        size = voxels.block_bytes
        headers = np.empty((len(self.present), 4), "<i4")
        headers[:, :3] = np.array(self._blocks, np.int32)[self.present, ::-1]
        headers[:, 3] = size
        step = max(1, PIECE_BYTES // size)
        for first in range(0, len(headers), step):
            some = slice(first, first + step)
            fronts = headers[some].view(np.uint8)
            data, address = new_bytes(len(fronts) * (_HEADER.size + size))
            self._stored.unpack(self.present[some], fronts, address)
            yield data


def stream_jpeg_blocks(view: View, groups: Groups) -> Iterator[bytes]:
    """Those of the blocks that somebody wrote, as JPEG images: the planes (z) of a block under each other.

    Each is behind a header of four int32: x, y, z, number of bytes.
    """
    voxels = layout_of(view.instance)
    for group in groups():
        for first in range(0, len(group), _JPEGS_AT_ONCE):
            yield _jpeg_piece(view, voxels, group[first : first + _JPEGS_AT_ONCE])


def _jpeg_piece(view: View, voxels: VoxelLayout, blocks: list[Zyx]) -> bytes:
    pieces: list[Buffer] = []
    full, values = view.stored(keys.DATA, [keys.block_key(block) for block in blocks])
    for (z, y, x), key, stored in zip(blocks, full, values, strict=True):
        if stored is None or (value := unseal(key, stored)).format == Format.TOMBSTONE:
            continue
        data: Buffer = value.payload
        if value.format != Format.JPEG:
            plain = np.frombuffer(decoded_block(value, voxels, key), np.uint8)
            data = encode_jpeg_block(plain.reshape(voxels.block_zyx))
        pieces += (_HEADER.pack(x, y, z, len(data)), data)
    return b"".join(pieces)


def stream_row(view: View, start_zyx: Zyx, count: int) -> Iterator[bytes]:
    """The voxels of `count` blocks along x, background for those that nobody wrote."""
    voxels = layout_of(view.instance)
    depth, height, width = voxels.block_zyx
    z, y, x = start_zyx
    for part in BlockRange(start_zyx, (z + 1, y + 1, x + count)).parts(max(1, PIECE_BYTES // voxels.block_bytes)):
        many = len(part)
        data, address = new_bytes(many * voxels.block_bytes)
        origins = np.zeros((many, 3), np.int64)
        origins[:, 0] = np.arange(many) * depth
        stored = StoredBlocks(view, keys.block_keys(part))
        stored.into(origins, address, (many * depth, height, width), background=voxels.background)
        yield data
