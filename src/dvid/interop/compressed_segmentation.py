"""Reading Neuroglancer's compressed segmentation.

Words are uint32, little-endian. For each channel there is a word that tells at which word its data begin. There, for each block,
x fastest, stand two words: where its table begins and, in the highest 8 bits, how many bits a voxel has (0, 1, 2, 4, 8, 16
or 32); where its voxels begin. Both count words from the first of these. The voxels of a block, x fastest, the lowest bits
first, are places in its table. Source: https://github.com/google/neuroglancer/tree/master/src/sliceview/compressed_segmentation
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from dvid.errors import BadRequest
from dvid.interop.volumes import ShapeZYX, Voxels

_Words = npt.NDArray[np.uint32]

_WIDTHS = (0, 1, 2, 4, 8, 16, 32)
_MOST_VOXELS = 1 << 22
"""Blocks are decoded many at a time: this many voxels."""


def decode(data: bytes, shape_zyx: ShapeZYX, channels: int, dtype: np.dtype[Any], block_zyx: ShapeZYX) -> Voxels:
    """Decodes a chunk.

    Args:
        data: The bytes.
        shape_zyx: Of the chunk.
        channels: Values per voxel.
        dtype: uint32 or uint64.
        block_zyx: Of the blocks that the chunk is made of; the last along an axis may reach beyond it.

    Returns:
        An array (channel, z, y, x).

    Raises:
        BadRequest: If the bytes are no such chunk.
    """
    if len(data) % 4:
        raise BadRequest(f"compressed segmentation has {len(data)} bytes, which are not words of 4")
    words: _Words = np.frombuffer(data, "<u4")
    grid = tuple(-(-size // edge) for size, edge in zip(shape_zyx, block_zyx, strict=True))
    out = np.empty((channels, *shape_zyx), dtype)
    try:
        for channel in range(channels):
            _decode_channel(words[int(words[channel]) :], out[channel], grid, block_zyx)
    except IndexError:
        raise BadRequest(f"compressed segmentation of {len(data)} bytes leads beyond its end") from None
    return out


def _decode_channel(words: _Words, out: Voxels, grid: tuple[int, ...], block_zyx: ShapeZYX) -> None:
    blocks = math.prod(grid)
    if len(words) < 2 * blocks:
        raise BadRequest(f"compressed segmentation is cut short: it has no heads of {blocks} blocks")
    heads = words[: 2 * blocks].astype(np.int64).reshape(-1, 2)
    tables, widths, starts = heads[:, 0] & 0xFFFFFF, heads[:, 0] >> 24, heads[:, 1]
    for width in np.unique(widths).tolist():
        if width not in _WIDTHS:
            raise BadRequest(f"compressed segmentation has voxels of {width} bits, not one of {_WIDTHS}")
        for some in _batches(np.flatnonzero(widths == width), block_zyx):
            labels = _labels(words, tables[some], starts[some], width, math.prod(block_zyx), out.dtype)
            _place(labels.reshape(-1, *block_zyx), np.unravel_index(some, grid), out)


def _batches(places: npt.NDArray[np.int64], block_zyx: ShapeZYX) -> Iterator[npt.NDArray[np.int64]]:
    at_once = max(1, _MOST_VOXELS // math.prod(block_zyx))
    for first in range(0, len(places), at_once):
        yield places[first : first + at_once]


def _labels(
    words: _Words,
    tables: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    width: int,
    voxels: int,
    dtype: np.dtype[Any],
) -> Voxels:
    """The labels of some blocks that have so many bits for each voxel: (block, voxel). Raises IndexError beyond the end."""
    codes = np.zeros((len(tables), 1), np.int64)
    if width:
        count = -(-voxels * width // 32)
        packed = words[starts[:, None] + np.arange(count)].astype(np.int64)
        shifts = np.arange(0, 32, width)
        codes = (packed[:, :, None] >> shifts & (1 << width) - 1).reshape(len(tables), -1)[:, :voxels]
    per_label = dtype.itemsize // 4
    at = tables[:, None] + codes * per_label
    labels = words[at].astype(dtype)
    if per_label == 2:
        labels |= words[at + 1].astype(dtype) << np.uint64(32)
    return np.broadcast_to(labels, (len(tables), voxels))


def _place(blocks: Voxels, places: tuple[npt.NDArray[np.intp], ...], out: Voxels) -> None:
    edges = blocks.shape[1:]
    for block, *place in zip(blocks, *(axis.tolist() for axis in places), strict=True):
        z, y, x = (at * edge for at, edge in zip(place, edges, strict=True))
        target = out[z : z + edges[0], y : y + edges[1], x : x + edges[2]]
        target[...] = block[: target.shape[0], : target.shape[1], : target.shape[2]]
