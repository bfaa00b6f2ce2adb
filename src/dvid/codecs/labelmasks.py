"""Where some labels of label blocks are: runs along x, and the binary blocks of sparse volumes (`format=blocks`)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dvid.codecs.labelblocks import Block
from dvid.errors import BadRequest
from dvid.geometry import Box, Zyx
from dvid.kernels.buffers import addresses
from dvid.kernels.labellayout import SUB
from dvid.kernels.labelmasks import binary_block, block_runs

Flags = NDArray[np.bool_]
Runs = NDArray[np.int32]

_STREAM_HEAD = struct.Struct("<3IQ")


def runs_of(
    blocks: Sequence[Block], origins_zyx: NDArray[np.int64], flags: Sequence[Flags], box: Box | None = None
) -> Runs:
    """The runs along x of the voxels whose labels are meant.

    Args:
        blocks: blocks (`dvid.codecs.labelblocks`).
        origins_zyx: (n, 3) int64: first voxel of each block.
        flags: for each block: (N,) bool, whether each entry of its label list is meant. Voxels of sub-blocks without
            data never are.
        box: the runs are cut off where they leave it; None for whole blocks.

    Returns:
        (r, 4) int32 x, y, z, length: block by block, in order of z, y, x within each; not joined between blocks
        (`dvid.kernels.runs.join_blocks` does that).

    Raises:
        BadRequest: there are not as many origins or flags as blocks or labels, or a block reaches beyond 32 bits.
    """
    if len(flags) != len(blocks):
        raise BadRequest(f"{len(flags)} lists of flags given for {len(blocks)} blocks")
    starts = np.zeros(len(blocks) + 1, np.int64)
    np.cumsum([len(own) for own in flags], out=starts[1:])
    every = np.concatenate([np.empty(0, np.bool_), *flags])
    return block_runs(addresses([block.data for block in blocks]), origins_zyx, every, starts, box)[0]


def stream_head(block_shape_zyx: Zyx, label: int) -> bytes:
    """What a stream of binary blocks begins with: uint32 sub-blocks along x, y and z, uint64 label."""
    gz, gy, gx = (side // SUB for side in block_shape_zyx)
    return _STREAM_HEAD.pack(gx, gy, gz, label)


def encode_binary(block: Block, flags: Flags, origin_zyx: Zyx) -> memoryview:
    """A block of a stream of binary blocks: its place, and a bit for each voxel where it has both kinds.

    Args:
        block: a block.
        flags: (N,) bool: whether each entry of its label list is meant.
        origin_zyx: its first voxel.

    Raises:
        BadRequest: there are more or fewer flags than labels, or the origin does not fit 32 bits.
    """
    return binary_block(block, flags, origin_zyx).data
