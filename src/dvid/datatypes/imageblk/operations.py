"""What can be asked of an image instance besides boxes: block streams, masks, descriptions."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvid.codecs.images import encode_jpeg_block
from dvid.datatypes.imageblk.layout import layout_of
from dvid.datatypes.imageblk.reading import decoded_block, read_blocks, read_bytes
from dvid.datatypes.roi.operations import block_mask, voxel_mask
from dvid.datatypes.voxels import block_zyx, extents_of, voxel_extended
from dvid.errors import BadRequest
from dvid.geometry import Box, Zyx
from dvid.storage.protocol import Buffer
from dvid.versions import layout as keys
from dvid.versions.envelope import Format
from dvid.versions.view import View

_BLOCK_HEADER = struct.Struct("<iiii")
_BLOCKS_AT_ONCE = 64


# ---- regions of interest ------------------------------------------------------------------------


def read_masked(view: View, box: Box, roi: str, attenuation: int) -> NDArray[np.uint8]:
    """The bytes of a box, (z, y, x, itemsize), with what lies outside a region made dark.

    Args:
        view: the image.
        box: where.
        roi: name of the region's instance.
        attenuation: outside, values are divided by 2 to this power; 0 makes them zero.

    Raises:
        BadRequest: attenuation is asked of voxels of more than one byte.
    """
    voxels = layout_of(view.instance)
    if attenuation and voxels.itemsize != 1:
        raise BadRequest("attenuation works for voxels of 8 bits only")
    data = np.frombuffer(bytearray(read_bytes(view, box)), np.uint8).reshape(*box.shape_zyx, voxels.itemsize)
    outside = ~voxel_mask(view.sibling(roi), box)
    if attenuation:
        data[outside] >>= attenuation
    else:
        data[outside] = 0
    return data


def blocks_inside(view: View, roi: str, box: Box) -> Callable[[Zyx], bool]:
    """Which blocks of the image touch a region: a test of block coordinates in the box.

    The region's blocks may have another size than the image's.
    """
    size = block_zyx(view.instance)
    blocks = box.blocks(size)
    region = view.sibling(roi)
    if block_zyx(region.instance) == size:
        mask, (z0, y0, x0) = block_mask(region, blocks.box(size))[0], blocks.start_zyx
        return lambda block: bool(mask[block[0] - z0, block[1] - y0, block[2] - x0])
    return lambda block: bool(block_mask(region, Box.at(*_corner(block, size)))[0].any())


def _corner(block: Zyx, size: Zyx) -> tuple[Zyx, Zyx]:
    z, y, x = (number * extent for number, extent in zip(block, size, strict=True))
    return (z, y, x), size


# ---- streams of blocks --------------------------------------------------------------------------


def stream_blocks(view: View, blocks: Iterable[Zyx], compression: str) -> Iterator[bytes]:
    """Those of the blocks that somebody wrote, each behind a header of four int32: x, y, z, number of bytes.

    Args:
        view: the image.
        blocks: block coordinates, in the order wanted.
        compression: "uncompressed" for voxels, "jpeg" for JPEG images of them (one row of planes under the other).
    """
    voxels = layout_of(view.instance)
    waiting: list[Zyx] = []

    def flush() -> bytes:
        pieces: list[Buffer] = []
        values = view.get_many(keys.DATA, [keys.block_key(block) for block in waiting])
        for (z, y, x), value in zip(waiting, values, strict=True):
            if value is None:
                continue
            if compression != "jpeg":
                data = decoded_block(value, voxels)
            elif value.format == Format.JPEG:
                data = value.payload
            else:
                plain = np.frombuffer(decoded_block(value, voxels), np.uint8)
                data = encode_jpeg_block(plain.reshape(voxels.block_zyx))
            pieces += (_BLOCK_HEADER.pack(x, y, z, len(data)), data)
        return b"".join(pieces)

    for block in blocks:
        waiting.append(block)
        if len(waiting) == _BLOCKS_AT_ONCE:
            yield flush()
            waiting.clear()
    if waiting:
        yield flush()


def check_block_compression(view: View, compression: str) -> str:
    """How blocks leave in a stream: "jpeg" or "uncompressed".

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
        return "uncompressed"
    if voxels.itemsize != 1:
        raise BadRequest("compression: these voxels have more than 8 bits, JPEG cannot hold them: ask for uncompressed")
    return "jpeg"


def read_row(view: View, start_zyx: Zyx, count: int) -> Iterator[bytes]:
    """The voxels of `count` blocks along x, background for those that nobody wrote."""
    voxels = layout_of(view.instance)
    depth, height, width = voxels.block_zyx
    empty = np.tile(voxels.background, depth * height * width).tobytes()
    z, y, x = start_zyx
    for first in range(x, x + count, _BLOCKS_AT_ONCE):
        row = [keys.block_key((z, y, i)) for i in range(first, min(first + _BLOCKS_AT_ONCE, x + count))]
        yield b"".join(empty if data is None else data for data in read_blocks(view, row))


# ---- descriptions -------------------------------------------------------------------------------


def extended(view: View) -> dict[str, Any]:
    """The "Extended" part of an instance's info; the last entry tells clients that POST raw takes unaligned=true."""
    return {**voxel_extended(view), "UnalignedWrites": True}


def metadata(view: View) -> dict[str, Any]:
    """The layout of the volume, in the terms of application/vnd.dvid-nd-data+json."""
    settings = view.instance.settings
    extents = extents_of(view)
    offset, size = ((0, 0, 0), (0, 0, 0)) if extents is None else (extents.start_zyx[::-1], extents.shape_zyx[::-1])
    axes = [
        {"Label": label, "Resolution": resolution, "Units": units, "Size": extent, "Offset": start}
        for label, resolution, units, extent, start in zip(
            "XYZ", settings["VoxelSize"], settings["VoxelUnits"], size, offset, strict=True
        )
    ]
    return {"Axes": axes, "Properties": extended(view)}
