"""DVID's compressed label blocks: from bytes to labels and back. Their format: `dvid.kernels.labellayout`.

A block is here a uint8 array over its serialized bytes, as `checked` returns it for bytes of any origin, and `trusted`
for bytes that were checked before. Everything else takes such an array and reads nothing outside it. Bytes that did not
pass `checked` must never get that far.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dvid.codecs.compression import deflate_raw, gzip_compress, gzip_decompress, gzip_joined
from dvid.errors import BadRequest
from dvid.geometry import Zyx
from dvid.kernels import labellayout as layout
from dvid.kernels.buffers import addresses
from dvid.kernels.labelblocks import count_labels, decode_blocks
from dvid.kernels.labelediting import count_in_runs, downres_blocks, paint_block
from dvid.kernels.labellayout import SUB
from dvid.kernels.labelwriting import encode_blocks as _encode_blocks

Buffer = bytes | bytearray | memoryview
Block = NDArray[np.uint8]
Labels = NDArray[np.uint64]

_HEAD = struct.Struct("<4I")

_WRONG = {
    layout.SHORT: "has {size} bytes, and its head alone needs {number}",
    layout.GRID: "says that it has {number} sub-blocks along an axis, expected 1 to 128",
    layout.NO_LABEL: "has no label",
    layout.LENGTH: "has {size} bytes, and its tables tell of {number}",
    layout.CROWDED: "says that a sub-block has {number} labels, expected at most 512",
    layout.PLACE: "refers to label {number} of {labels}",
    layout.VALUE: "has a voxel that refers to entry {number} of its sub-block's table, which is shorter",
}


# ---- bytes --------------------------------------------------------------------------------------


def checked(data: Buffer, shape_zyx: Zyx | None = None, what: str = "label block") -> Block:
    """Look through serialized bytes of any origin.

    Args:
        data: the bytes, not compressed.
        shape_zyx: the voxels that the block must have; None for any.
        what: names the block in an error.

    Returns:
        (bytes,) uint8 over the same memory.

    Raises:
        BadRequest: the bytes are no label block, or one of another shape.
    """
    block = np.frombuffer(data, np.uint8)
    wrong, number = layout.check_block(block)
    if wrong != layout.FINE:
        labels = _HEAD.unpack_from(block.data)[3] if len(block) >= _HEAD.size else 0
        raise BadRequest(f"{what} {_WRONG[wrong].format(size=len(block), number=number, labels=labels)}")
    if shape_zyx is not None and block_shape(block) != shape_zyx:
        raise BadRequest(f"{what} has {block_shape(block)} voxels (z, y, x), expected {shape_zyx}")
    return block


def trusted(data: Buffer) -> Block:
    """The bytes of a block that was checked before, or was made here: (bytes,) uint8 over the same memory."""
    return np.frombuffer(data, np.uint8)


def largest_bytes(shape_zyx: Zyx) -> int:
    """The bytes of a serialized block in which no two voxels have the same label."""
    voxels = math.prod(shape_zyx)
    return _HEAD.size + voxels * 12 + voxels // SUB**3 * 2 + voxels * 9 // 8


def deflate(block: Buffer | Block, level: int = 1) -> bytes:
    """Gzip a serialized block, as it is stored and sent.

    Raises:
        BadRequest: gzip has no such level.
    """
    return gzip_compress(block.data if isinstance(block, np.ndarray) else block, level)


def inflate(data: Buffer, shape_zyx: Zyx, what: str = "label block") -> bytes:
    """The serialized block in gzip data; it is yet to be checked.

    Raises:
        TooLarge: it has more bytes than a block of that shape can have.
        BadRequest: the data are not gzip, damaged or truncated.
    """
    return gzip_decompress(data, largest_bytes(shape_zyx), what)


# ---- parts --------------------------------------------------------------------------------------


def block_shape(block: Block) -> Zyx:
    """Voxels along z, y and x."""
    gx, gy, gz, _ = _HEAD.unpack_from(block.data)
    return gz * SUB, gy * SUB, gx * SUB


def labels_of(block: Block) -> Labels:
    """The label list: (N,) uint64 over the block's memory. It can hold duplicates, and labels that no voxel has."""
    return block[_HEAD.size : _HEAD.size + 8 * _count(block)].view(np.uint64)


def relabel(block: Block, labels: Labels) -> bytes:
    """The same voxels with another label list: serialized bytes.

    Args:
        block: a block.
        labels: (N,) uint64, in the order of the block's list; duplicates are allowed.

    Raises:
        BadRequest: there are more or fewer labels than in the block's list.
    """
    head, rest = _relabelled(block, labels)
    return head + rest


def deflated_rest(block: Block) -> bytes:
    """What of a block does not change with its labels, compressed: see `deflate_relabelled`."""
    return deflate_raw(_rest(block))


def deflate_relabelled(block: Block, labels: Labels, rest: bytes) -> bytes:
    """The same voxels with another label list, gzipped as by `deflate`, from what `deflated_rest` made of the block.

    Raises:
        BadRequest: there are more or fewer labels than in the block's list.
    """
    return gzip_joined(*_relabelled(block, labels), rest)


def _relabelled(block: Block, labels: Labels) -> tuple[bytes, memoryview]:
    """A block with another label list, in two parts: up to the end of the list, and all that follows."""
    count = _count(block)
    if len(labels) != count:
        raise BadRequest(f"{len(labels)} labels given for a label block with a list of {count}")
    head = block.data[: _HEAD.size].tobytes() + np.ascontiguousarray(labels, np.uint64).tobytes()
    return head, _rest(block)


def _rest(block: Block) -> memoryview:
    return block.data[_HEAD.size + 8 * _count(block) :]


def solid(label: int, shape_zyx: Zyx) -> bytes:
    """The serialized block of one label.

    Raises:
        BadRequest: the sides are not multiples of 8 up to 1024.
    """
    gz, gy, gx = (side // SUB for side in shape_zyx)
    if any(side % SUB or not 0 < side <= SUB * layout.LARGEST_GRID for side in shape_zyx):
        raise BadRequest(f"label blocks of {shape_zyx} voxels: each side must be a multiple of 8 up to 1024")
    return struct.pack("<4IQ", gx, gy, gz, 1, label)


def _count(block: Block) -> int:
    count: int = _HEAD.unpack_from(block.data)[3]
    return count


# ---- voxels -------------------------------------------------------------------------------------


def decode(block: Block, labels: Labels | None = None) -> Labels:
    """The labels of all voxels.

    Args:
        block: a block.
        labels: (N,) uint64: labels to write instead of those of the block's list.

    Returns:
        (z, y, x) uint64.

    Raises:
        BadRequest: there are fewer labels than in the block's list.
    """
    voxels = np.empty(block_shape(block), np.uint64)
    decode_into([block], np.zeros((1, 3), np.int64), voxels, None if labels is None else [labels])
    return voxels


def decode_into(
    blocks: Sequence[Block | None],
    origins_zyx: NDArray[np.int64],
    box: Labels,
    labels: Sequence[Labels | None] | None = None,
    block_shape_zyx: Zyx = (0, 0, 0),
) -> None:
    """Write the parts of blocks that lie in a box into it; what no block covers is left as it was.

    Args:
        blocks: None for those that are absent: zeros are written.
        origins_zyx: (n, 3) int64: first voxel of each block, relative to the box's first voxel.
        box: (z, y, x) uint64, written: voxels along x lie one behind the other, rows and planes anywhere.
        labels: for each block, the labels to write instead of those of its list, or None.
        block_shape_zyx: voxels of the absent blocks.

    Raises:
        BadRequest: the arrays do not fit each other, or there are fewer labels than in a block's list.
    """
    if box.ndim != 3 or box.dtype != np.uint64 or (box.size and box.strides[2] != 8) or not box.flags.writeable:
        raise BadRequest(f"a box for labels has the shape {box.shape}, type {box.dtype} and steps {box.strides}")
    if labels is not None and len(labels) != len(blocks):
        raise BadRequest(f"{len(labels)} label lists given for {len(blocks)} blocks")
    views = [None if block is None else block.data for block in blocks]
    listed = starts = None
    if labels is not None:
        lists = [
            _NO_LABELS if block is None else labels_of(block) if own is None else own
            for block, own in zip(blocks, labels, strict=True)
        ]
        listed = np.concatenate([*lists, _NO_LABELS])
        starts = np.zeros(len(lists) + 1, np.int64)
        np.cumsum([len(own) for own in lists], out=starts[1:])
    decode_blocks(
        addresses(views),
        np.ascontiguousarray(origins_zyx, np.int64),
        block_shape_zyx,
        box.ctypes.data,
        (box.shape[0], box.shape[1], box.shape[2]),
        listed,
        starts,
        (box.strides[0], box.strides[1]),
    )


_NO_LABELS = np.empty(0, np.uint64)


def encode(voxels: Labels) -> bytes:
    """Serialize a block: labels in the order of their appearance, sub-block by sub-block.

    Args:
        voxels: (z, y, x) uint64, each side a multiple of 8 up to 1024; also a part of a larger array.

    Raises:
        BadRequest: the array is of another type, or a block cannot have its shape.
    """
    if voxels.ndim != 3:
        raise BadRequest(f"labels have the shape {voxels.shape}, expected (z, y, x)")
    shape_zyx = (voxels.shape[0], voxels.shape[1], voxels.shape[2])
    return _encode_blocks(voxels, np.zeros((1, 3), np.int64), shape_zyx)[0].tobytes()


def encode_blocks(box: Labels, origins_zyx: NDArray[np.int64], block_shape_zyx: Zyx) -> list[Block]:
    """Serialize blocks of a box in one call.

    Args:
        box: (z, y, x) uint64.
        origins_zyx: (n, 3) int64: first voxel of each block, relative to the box's; they lie in it as a whole.
        block_shape_zyx: voxels of each block.

    Returns:
        The serialized blocks, parts of one array.

    Raises:
        BadRequest: the box is of another type, a block reaches out of it or cannot have that shape.
    """
    blocks, ends = _encode_blocks(box, origins_zyx, block_shape_zyx)
    return np.split(blocks, ends[:-1]) if len(ends) else []


def count(block: Block) -> Labels:
    """How many voxels each entry of the label list has: (N,) uint64.

    Voxels of sub-blocks without data, whose label is 0, are in none of them.
    """
    return count_labels(block)


# ---- blocks out of blocks -----------------------------------------------------------------------


def paint(block: Block, runs: NDArray[np.int32], inside: Labels, outside: Labels) -> tuple[bytes, NDArray[np.int64]]:
    """Give voxels other labels: some inside runs, others outside.

    Args:
        block: a block.
        runs: (n, 4) int32: x, y, z, counted from the block's first voxel, and length, as `cut_runs` makes them
            (`dvid.kernels.runs`); in any order, they may overlap.
        inside: (N,) uint64: for each entry of the block's list the label of its voxels in the runs.
        outside: (N,) uint64: that of its other voxels.

    Returns:
        The block, serialized, with a label list without duplicates; and the counts of `count_inside`.

    Raises:
        BadRequest: a run is empty or reaches out of the block, or there are more or fewer labels than in its list.
    """
    made, counts = paint_block(block, runs, inside, outside)
    return made.tobytes(), counts


def count_inside(block: Block, runs: NDArray[np.int32]) -> NDArray[np.int64]:
    """How many voxels of each entry of the label list are in runs, and last how many voxels of sub-blocks without data.

    Args:
        block: a block.
        runs: as for `paint`.

    Returns:
        (N + 1,) int64.

    Raises:
        BadRequest: a run is empty or reaches out of the block.
    """
    return count_in_runs(block, runs)


def downres(children: Sequence[Block | None], block_shape_zyx: Zyx) -> bytes:
    """Make the block of half the resolution: each voxel is the most frequent label of 2 x 2 x 2.

    Label 0 does not count unless there is nothing else; of equally frequent labels the lowest is taken.

    Args:
        children: 8 blocks: (0, 0, 0), (0, 0, 1), (0, 1, 0)... in z, y, x; None for absent ones, which are zeros.
        block_shape_zyx: voxels of each block, also of the one that is made.

    Raises:
        BadRequest: there are not 8 children, one has another shape, or blocks cannot have that shape.
    """
    return downres_blocks(children, block_shape_zyx).tobytes()
