"""Writing boxes of voxels: cut into blocks, compressed and sealed before the transaction begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from dvid.codecs.compression import lz4_compress
from dvid.codecs.images import encode_jpeg_block
from dvid.datatypes.imageblk.layout import VoxelLayout, layout_of
from dvid.datatypes.imageblk.reading import block_origins, read_bytes
from dvid.datatypes.voxels import grow_extents
from dvid.errors import BadRequest
from dvid.geometry import Box, Zyx
from dvid.kernels.boxes import scatter_blocks
from dvid.storage.protocol import Buffer
from dvid.versions import layout as keys
from dvid.versions.envelope import Format, compress, seal
from dvid.versions.records import InstanceRecord
from dvid.versions.view import Edit, View

_SAMPLE = 4096
_WORTH = 0.75  # LZ4 must save a quarter: less is not worth unpacking at every read

Encoder = Callable[[memoryview], tuple[Buffer, Format]]


def encoder_of(instance: InstanceRecord) -> Encoder:
    """How blocks of an instance are encoded for storage, as its Compression says.

    LZ4 is used for the blocks that it makes smaller by at least a quarter; a sample of the block is asked first.
    Microscope images with their noise mostly stay as they are, and are then read at the speed of memory.
    """
    kind, _, level = instance.compression.partition(":")
    voxels = layout_of(instance)
    if kind == "lz4":
        return _lz4_where_it_pays
    if kind == "jpeg":
        if voxels.channels == 1 and voxels.dtype == np.uint8:
            return lambda block: (
                encode_jpeg_block(np.frombuffer(block, np.uint8).reshape(voxels.block_zyx)),
                Format.JPEG,
            )
        return _lz4_where_it_pays
    form = {"none": Format.RAW, "gzip": Format.GZIP, "snappy": Format.SNAPPY}[kind]
    return lambda block: (compress(block, form, int(level or -1)), form)


def _lz4_where_it_pays(block: memoryview) -> tuple[Buffer, Format]:
    if len(block) > 2 * _SAMPLE:
        middle = len(block) // 2
        if len(lz4_compress(block[middle : middle + _SAMPLE])) > _WORTH * _SAMPLE:
            return block, Format.RAW
    packed = compress(block, Format.LZ4)
    return (packed, Format.LZ4) if len(packed) < _WORTH * len(block) else (block, Format.RAW)


Planes = Callable[[int], Buffer]
"""Gives the bytes of the next so many planes (z) of a box."""


def planes_of(voxels: VoxelLayout, box: Box, data: NDArray[np.uint8]) -> Planes:
    """The planes of a box whose bytes are all there."""
    _, height, width = box.shape_zyx
    plane = height * width * voxels.itemsize
    flat, at = data.reshape(-1), 0

    def planes(count: int) -> Buffer:
        nonlocal at
        at += count * plane
        return flat[at - count * plane : at].data

    return planes


def sealed_blocks(
    instance: InstanceRecord,
    full_key: Callable[[Zyx], bytes],
    box: Box,
    planes: Planes,
    inside: Callable[[Zyx], bool] | None = None,
) -> Iterator[tuple[bytes, bytes]]:
    """The stored keys and values of the blocks of an aligned box, one layer of blocks after another."""
    voxels, encode = layout_of(instance), encoder_of(instance)
    depth = voxels.block_zyx[0]
    _, height, width = box.shape_zyx
    room = None
    for layer in box.blocks(voxels.block_zyx).layers():
        slab = np.frombuffer(planes(depth), np.uint8).reshape(depth, height, width * voxels.itemsize)
        if room is None:
            room = np.empty((len(layer), voxels.block_bytes), np.uint8)
        start_zyx = (layer.start_zyx[0] * depth, *box.start_zyx[1:])
        scatter_blocks(slab, block_origins(layer, voxels.block_zyx, start_zyx), voxels.block_zyx, voxels.itemsize, room)
        for block, row in zip(layer, room, strict=True):
            if inside is None or inside(block):
                key = full_key(block)
                payload, form = encode(row.data)
                yield key, seal(key, payload, form)


def write_box(
    edit: Edit,
    box: Box,
    data: NDArray[np.uint8],
    *,
    mutate: bool = False,
    unaligned: bool = False,
    inside: Callable[[Zyx], bool] | None = None,
    grow: bool = True,
) -> int:
    """Write the voxels of a box; the mutation id.

    Args:
        edit: the instance.
        box: where.
        data: the voxels' bytes, x fastest.
        mutate: the box may have been written before (told in the mutation log).
        unaligned: allow a box whose faces cut blocks: their other voxels stay what they are.
        inside: which blocks to write; None for all.
        grow: let the instance's extents hold the box.

    Raises:
        BadRequest: the box cuts blocks, and `unaligned` is not set.
    """
    voxels = layout_of(edit.instance)
    whole = box
    if not box.is_aligned(voxels.block_zyx):
        if not unaligned:
            raise BadRequest(not_aligned(box, voxels))
        whole = box.blocks(voxels.block_zyx).box(voxels.block_zyx)
        around = np.frombuffer(bytearray(read_bytes(edit, whole)), np.uint8)
        around = around.reshape(*whole.shape_zyx, voxels.itemsize)
        around[box.slices_in(whole)] = data.reshape(*box.shape_zyx, voxels.itemsize)
        data = around
    planes = planes_of(voxels, whole, data)
    sealed = sealed_blocks(edit.instance, lambda block: full_key(edit, block), whole, planes, inside)
    return put_blocks(edit, box, sealed, mutate=mutate, grow=grow)


def put_blocks(edit: Edit, box: Box, sealed: Iterable[tuple[bytes, bytes]], *, mutate: bool, grow: bool = True) -> int:
    """Store sealed blocks that make up a box; the mutation id."""
    count = 0
    for key, value in sealed:
        edit.put_sealed(key, value)
        count += 1
    if grow:
        grow_extents(edit, box)
    event = {"Offset": list(box.start_zyx[::-1]), "Size": list(box.shape_zyx[::-1]), "Blocks": count}
    return edit.log("mutate-blocks" if mutate else "ingest-blocks", event)


def full_key(view: View, block: Zyx) -> bytes:
    """The stored key of a block at the view's version."""
    return view.key(keys.DATA, keys.block_key(block))


def not_aligned(box: Box, voxels: VoxelLayout) -> str:
    """Why a box cannot be written as it is."""
    return (
        f"the box from {box.start_zyx[::-1]} to {box.stop_zyx[::-1]} (x, y, z) cuts blocks of {voxels.block_zyx[::-1]}: "
        "give offset and size in whole blocks, or add unaligned=true"
    )
