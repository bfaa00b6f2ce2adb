"""Reading labels: boxes of voxels, and single voxels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dvid.geometry import Box, Zyx
from dvid.kernels.buffers import addresses, new_bytes
from dvid.kernels.indexrows import distinct
from dvid.kernels.labelblocks import labels_of_points
from dvid.labels.blocks import block_shape
from dvid.labels.mapping import bodies_of
from dvid.labels.scales import Scales
from dvid.labels.tables import Labels
from dvid.versions.view import View

VOXEL_BYTES = 8
_BLOCKS_AT_ONCE = 64
_PIECE_BYTES = 1 << 19  # larger ones come from the kernel and go back to it, page by page: four times as slow
_SUB = 8  # planes of a sub-block: whole ones are decoded fastest


def _decode(view: View, scales: Scales, box: Box, scale: int, into: int, *, supervoxels: bool) -> None:
    shape = block_shape(view)
    for part in box.blocks(shape).parts(_BLOCKS_AT_ONCE):
        opened = scales.open(scale, list(part))
        opened.decode(into, box, shape, None if supervoxels else opened.as_bodies(view))


def read_labels(view: View, box: Box, scale: int = 0, *, supervoxels: bool = False) -> Labels:
    """The labels of a box: (z, y, x) uint64; 0 where nothing was written.

    Args:
        view: the instance.
        box: in voxels of the scale.
        scale: 0 for full resolution; each further one has half of it.
        supervoxels: give supervoxels, not the bodies they belong to.
    """
    out = np.empty(box.shape_zyx, np.uint64)
    _decode(view, Scales(view), box, scale, out.ctypes.data, supervoxels=supervoxels)
    return out


def read_label_bytes(view: View, box: Box, scale: int = 0, *, supervoxels: bool = False) -> bytes:
    """The labels of a box as bytes: little-endian, x fastest."""
    data, address = new_bytes(box.voxels * VOXEL_BYTES)
    _decode(view, Scales(view), box, scale, address, supervoxels=supervoxels)
    return data


def stream_labels(view: View, box: Box, scale: int = 0, *, supervoxels: bool = False) -> Iterator[tuple[Box, bytes]]:
    """The labels of a box in pieces that follow each other in memory order: parts of the box, and their bytes."""
    shape, scales = block_shape(view), Scales(view)
    for layer in box.blocks(shape).layers():
        slab = layer.box(shape) & box
        if len(layer) > _BLOCKS_AT_ONCE:  # a wider layer is read row by row, so that memory follows the piece
            for piece in slab.parts(_PIECE_BYTES // VOXEL_BYTES):
                data, address = new_bytes(piece.voxels * VOXEL_BYTES)
                _decode(view, scales, piece, scale, address, supervoxels=supervoxels)
                yield piece, data
            continue
        opened = scales.open(scale, list(layer))
        lists = None if supervoxels else opened.as_bodies(view)
        for piece in _planes(slab):
            data, address = new_bytes(piece.voxels * VOXEL_BYTES)
            opened.decode(address, piece, shape, lists)
            yield piece, data


def _planes(slab: Box) -> Iterator[Box]:
    """A box cut between sub-blocks, or between planes where that leaves large pieces."""
    (z0, y0, x0), (z1, y1, x1) = slab.start_zyx, slab.stop_zyx
    step = _SUB if (y1 - y0) * (x1 - x0) * VOXEL_BYTES * _SUB <= _PIECE_BYTES else 1
    z = z0
    while z < z1:
        after = min(z1, (z // step + 1) * step)
        yield from Box((z, y0, x0), (after, y1, x1)).parts(_PIECE_BYTES // VOXEL_BYTES)
        z = after


def labels_at(view: View, points_zyx: NDArray[np.int64], scale: int = 0, *, supervoxels: bool = False) -> Labels:
    """The label of each point: (n,) uint64 for (n, 3) int64; 0 where nothing was written."""
    found = np.zeros(len(points_zyx), np.uint64)
    if not len(points_zyx):
        return found
    shape, scales = np.array(block_shape(view)), Scales(view)
    blocks = points_zyx // shape
    order = np.lexsort((blocks[:, 2], blocks[:, 1], blocks[:, 0]))
    ends = np.flatnonzero(np.append((np.diff(blocks[order], axis=0) != 0).any(1), True)) + 1
    local = points_zyx[order] - blocks[order] * shape
    places: list[Zyx] = [(z, y, x) for z, y, x in distinct(blocks).tolist()]
    for first in range(0, len(places), _BLOCKS_AT_ONCE):
        some = slice(first, first + _BLOCKS_AT_ONCE)
        begin, end = int(ends[first - 1]) if first else 0, int(ends[some][-1])
        blocks_there = scales.read(scale, places[some])
        at = addresses([None if block is None else block.data for block in blocks_there])
        found[order[begin:end]] = labels_of_points(at, ends[some] - begin, local[begin:end])
    return found if supervoxels else bodies_of(view, found)
