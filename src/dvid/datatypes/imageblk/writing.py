"""Writing boxes of voxels: whole blocks are made ready before the transaction begins, others are merged in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dvid.codecs.images import encode_jpeg_block
from dvid.datatypes.boxes import Planes, need_aligned, work_behind
from dvid.datatypes.imageblk.layout import VoxelLayout, layout_of
from dvid.datatypes.imageblk.memory import wrote
from dvid.datatypes.imageblk.reading import CODES, block_origins, read_bytes
from dvid.datatypes.voxels import grow_extents
from dvid.errors import Conflict
from dvid.geometry import BlockRange, Box, Zyx
from dvid.kernels.boxes import scatter_blocks
from dvid.kernels.sealing import seal_blocks
from dvid.storage.protocol import Buffer
from dvid.versions import layout as keys
from dvid.versions.edit import Edit
from dvid.versions.envelope import Format, compress, seal
from dvid.versions.records import InstanceRecord
from dvid.versions.view import View

_Bytes = NDArray[np.uint8]

Sealed = tuple[bytes, Buffer]
"""A stored key and its value."""

Encoder = Callable[[memoryview], tuple[Buffer, Format]]


def _encoder(instance: InstanceRecord) -> Encoder | None:
    """How the blocks of an instance are encoded one by one; None where the kernel does it (raw and LZ4)."""
    kind, _, level = instance.compression.partition(":")
    voxels = layout_of(instance)
    if kind in ("lz4", "none"):
        return None
    if kind == "jpeg":
        if voxels.itemsize != 1:
            return None
        return lambda block: (encode_jpeg_block(np.frombuffer(block, np.uint8).reshape(voxels.block_zyx)), Format.JPEG)
    form = {"gzip": Format.GZIP, "snappy": Format.SNAPPY}[kind]
    return lambda block: (compress(block, form, int(level or -1)), form)


def planes_of(voxels: VoxelLayout, box: Box, data: _Bytes) -> Planes:
    """The planes of a box whose bytes are all there."""
    _, height, width = box.shape_zyx
    plane = height * width * voxels.itemsize
    flat, at = data.reshape(-1), 0

    def planes(count: int) -> Buffer:
        nonlocal at
        at += count * plane
        return flat[at - count * plane : at].data

    return planes


def sealed_layer(
    instance: InstanceRecord,
    full_key: Callable[[Zyx], bytes],
    layer: BlockRange,
    planes: Buffer,
    inside: Callable[[Zyx], bool] | None = None,
) -> list[Sealed]:
    """The stored keys and values of the blocks of one layer (z).

    With the compression "lz4" those blocks are compressed that this makes smaller by at least a quarter: microscope
    images with their noise mostly stay as they are, and are then read at the speed of memory.

    Args:
        instance: that they are of.
        full_key: the stored key of a block.
        layer: which blocks.
        planes: the bytes of their voxels, x fastest.
        inside: which of them to write; None for all.
    """
    voxels, encode = layout_of(instance), _encoder(instance)
    lz4 = not instance.compression.startswith("none")
    box = layer.box(voxels.block_zyx)
    depth, height, width = box.shape_zyx
    slab = np.frombuffer(planes, np.uint8).reshape(depth, height, width * voxels.itemsize)
    origins = block_origins(layer, voxels.block_zyx, box.start_zyx)
    if inside is None:
        names = [full_key(block) for block in layer]
    else:
        chosen = [inside(block) for block in layer]
        names = [full_key(block) for block, taken in zip(layer, chosen, strict=True) if taken]
        origins = origins[np.array(chosen)]
    if not names:
        return []
    if encode is None:
        rows = np.frombuffer(b"".join(names), np.uint8).reshape(len(names), -1)
        values = seal_blocks(slab, origins, voxels.block_zyx, voxels.itemsize, rows, CODES, lz4=lz4)
        return list(zip(names, values, strict=True))
    room = np.empty((1, voxels.block_bytes), np.uint8)
    sealed: list[Sealed] = []
    for number, key in enumerate(names):
        scatter_blocks(slab, origins[number : number + 1], voxels.block_zyx, voxels.itemsize, room)
        sealed.append((key, seal(key, *encode(room[0].data))))
    return sealed


class Draft:
    """The blocks of an aligned box, made ready for an instance at a version before the transaction that stores them.

    So the transaction is short, and the view through which the instance was seen can end before the voxels are here.

    Args:
        view: the instance.
        box: of whole blocks.
        inside: which blocks to write; None for all.

    Raises:
        BadRequest: the box cuts blocks.
    """

    def __init__(self, view: View, box: Box, inside: Callable[[Zyx], bool] | None = None) -> None:
        block_zyx = layout_of(view.instance).block_zyx
        need_aligned(box, block_zyx)
        self._instance, self._box, self._inside = view.instance, box, inside
        self._layers, self._depth = list(box.blocks(block_zyx).layers()), block_zyx[0]
        self._key = partial(full_key, view)
        self._version = full_key(view, (0, 0, 0))
        self._blocks: list[Sealed] = []

    def seal(self, planes: Planes) -> None:
        """Cut voxels into blocks, compress and seal these: memory then holds them once, as they are stored."""
        for layer in self._layers:
            self._seal_layer(layer, planes(self._depth))

    def seal_while_they_come(self, planes: Planes) -> None:
        """The same for planes that take time to come: one layer of blocks is sealed while those of the next are waited for."""
        work_behind(self._layers, lambda _: planes(self._depth), self._seal_layer)

    def _seal_layer(self, layer: BlockRange, planes: Buffer) -> None:
        self._blocks += sealed_layer(self._instance, self._key, layer, planes, self._inside)

    def store(self, edit: Edit, *, mutate: bool, grow: bool = True) -> int:
        """Store the blocks; the mutation id.

        Args:
            edit: the same instance at the same version.
            mutate: the box may have been written before (told in the mutation log).
            grow: let the instance's extents hold the box.

        Raises:
            Conflict: it is another version by now: a branch has got a new leaf.
        """
        if full_key(edit, (0, 0, 0)) != self._version:
            raise Conflict("the branch has moved to another node while the voxels came in: send it again")
        return put_blocks(edit, self._box, self._blocks, mutate=mutate, grow=grow)

    def clear(self) -> None:
        """Let go of the blocks once they are stored."""
        written = sum(len(value) for _, value in self._blocks)
        self._blocks.clear()
        wrote(written)


def merge_box(edit: Edit, box: Box, data: _Bytes, *, mutate: bool, inside: Callable[[Zyx], bool] | None = None) -> int:
    """Write the voxels of a box that cuts blocks, whose other voxels stay what they are; the mutation id.

    Args:
        edit: the instance.
        box: where.
        data: the voxels' bytes, x fastest.
        mutate: the box may have been written before (told in the mutation log).
        inside: which blocks to write; None for all.
    """
    voxels = layout_of(edit.instance)
    volume = data.reshape(*box.shape_zyx, voxels.itemsize)
    return put_blocks(edit, box, _merged(edit, voxels, box, volume, inside), mutate=mutate)


def _merged(
    edit: Edit, voxels: VoxelLayout, box: Box, volume: _Bytes, inside: Callable[[Zyx], bool] | None
) -> Iterator[Sealed]:
    """The blocks that a box touches, one layer of them after another: their own voxels, and the box's over them."""
    key = partial(full_key, edit)
    for layer in box.blocks(voxels.block_zyx).layers():
        whole = layer.box(voxels.block_zyx)
        part = whole & box
        around = np.frombuffer(bytearray(read_bytes(edit, whole)), np.uint8)
        around = around.reshape(*whole.shape_zyx, voxels.itemsize)
        around[part.slices_in(whole)] = volume[part.slices_in(box)[0]]
        yield from sealed_layer(edit.instance, key, layer, around.data, inside)


def put_blocks(edit: Edit, box: Box, sealed: Iterable[Sealed], *, mutate: bool, grow: bool = True) -> int:
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
