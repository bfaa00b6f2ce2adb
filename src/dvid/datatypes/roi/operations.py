"""What can be asked of a region, and how it is replaced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvid.datatypes.roi.layers import Packed, pack_layers, read_layers, read_some, replace_layers
from dvid.datatypes.voxels import block_zyx
from dvid.errors import BadRequest
from dvid.geometry import MAX_COORDINATE, MIN_COORDINATE, BlockRange, Box, Zyx
from dvid.kernels.spans import ordered_spans, paint_spans
from dvid.versions.edit import Edit
from dvid.versions.view import View

Mask = NDArray[np.bool_]
Ints = NDArray[np.int32]

_RANGE = "z"
_PIECE_BYTES = 1 << 20


# ---- the whole region ---------------------------------------------------------------------------


def read_spans(view: View) -> Iterator[Ints]:
    """All spans, a layer at a time.

    Yields:
        (n, 4) int32: z, y, first x, last x in blocks, sorted in this order.
    """
    for z, layer in read_layers(view):
        spans = np.empty((len(layer), 4), np.int32)
        spans[:, 0], spans[:, 1:] = z, layer
        yield spans


def checked_spans(spans: Ints) -> Ints:
    """Spans in order, overlapping ones made one.

    Args:
        spans: (n, 4) int32: z, y, first x, last x.

    Raises:
        BadRequest: a span ends before it begins.
    """
    backward = np.flatnonzero(spans[:, 3] < spans[:, 2])
    if len(backward):
        span = spans[backward[0]].tolist()
        raise BadRequest(f"span {span} (number {backward[0]}) ends before it begins: expected [z, y, x0, x1], x0 <= x1")
    return ordered_spans(spans)


def replace_region(edit: Edit, packed: Packed, z_range: tuple[int, int] | None, spans: int) -> None:
    """Make a region what `packed_region` prepared, whatever it was before."""
    replace_layers(edit, packed)
    _set_range(edit, z_range)
    low, high = z_range or (None, None)
    edit.log("post-roi" if packed else "delete-roi", {"Spans": spans, "MinZ": low, "MaxZ": high})


def packed_region(spans: Ints) -> tuple[Packed, tuple[int, int] | None, int]:
    """What `replace_region` stores for spans that `checked_spans` gave; made before the transaction, to keep it short."""
    z_range = (int(spans[0, 0]), int(spans[-1, 0])) if len(spans) else None
    return pack_layers(spans), z_range, len(spans)


def clear_region(edit: Edit) -> None:
    """Empty a region at this version."""
    replace_region(edit, [], None, 0)


def _set_range(edit: Edit, z_range: tuple[int, int] | None) -> None:
    known = edit.properties(_RANGE)
    wanted = list(z_range) if z_range else []
    if known != [wanted] and (known or wanted):  # infos show it: changing it costs all a look at the metadata
        edit.set_property(_RANGE, wanted)


def z_range(view: View) -> tuple[int, int] | None:
    """The first and last z of the region in blocks, or None if it is empty."""
    ranges = [pair for pair in view.properties(_RANGE) if pair]
    if not ranges:
        return None
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def extended(view: View) -> dict[str, Any]:
    """The "Extended" part of a region's info. An empty region has a MinZ beyond its MaxZ."""
    low, high = z_range(view) or (MAX_COORDINATE, MIN_COORDINATE)
    return {"BlockSize": view.instance.settings["BlockSize"], "MinZ": low, "MaxZ": high}


# ---- boxes and points ---------------------------------------------------------------------------


def _grid(view: View) -> Zyx:
    if view.instance.typename != "roi":
        raise BadRequest(f"{view.instance.name!r} holds {view.instance.typename} data, not a region of interest (roi)")
    return block_zyx(view.instance)


def block_mask(view: View, box: Box) -> tuple[Mask, BlockRange]:
    """Which blocks of a region that a box touches belong to it.

    Args:
        view: the region.
        box: of voxels.

    Returns:
        (z, y, x) bool, one for each of the region's own blocks in the block range that goes with it.

    Raises:
        BadRequest: the instance is not a region.
    """
    blocks = box.blocks(_grid(view))
    mask = np.zeros(blocks.shape_zyx, np.uint8)
    z0, y0, x0 = blocks.start_zyx
    if len(blocks):
        for z, spans in read_layers(view, z0, blocks.stop_zyx[0] - 1):
            paint_spans(spans, mask[z - z0], y0, x0)
    return mask.view(np.bool_), blocks


def touched_blocks(view: View, box: Box, grid_zyx: Zyx) -> tuple[Mask, BlockRange]:
    """Which blocks of another grid that a box touches have a voxel of the region, inside the box or out of it.

    Args:
        view: the region.
        box: of voxels.
        grid_zyx: voxels of a block of the other grid.

    Returns:
        (z, y, x) bool, one for each block of the other grid in the block range that goes with it.

    Raises:
        BadRequest: the instance is not a region.
    """
    wanted = box.blocks(grid_zyx)
    mask, own = block_mask(view, wanted.box(grid_zyx))
    for axis, (edge, own_edge) in enumerate(zip(grid_zyx, _grid(view), strict=True)):
        if edge == own_edge or not len(wanted):
            continue
        first = np.arange(wanted.start_zyx[axis], wanted.stop_zyx[axis], dtype=np.int64) * edge
        begin, end = first // own_edge - own.start_zyx[axis], (first + edge - 1) // own_edge - own.start_zyx[axis] + 1
        counts = np.insert(np.cumsum(mask, axis=axis, dtype=np.int32), 0, 0, axis=axis)
        mask = counts.take(end, axis=axis) > counts.take(begin, axis=axis)
    return mask, wanted


def voxel_mask(view: View, box: Box) -> Mask:
    """Which voxels of a box belong to a region: (z, y, x) bool.

    Raises:
        BadRequest: the instance is not a region.
    """
    grid = _grid(view)
    mask = np.zeros(box.shape_zyx, np.uint8)
    if box:
        blocks = box.blocks(grid)
        for z, spans in read_layers(view, blocks.start_zyx[0], blocks.stop_zyx[0] - 1):
            part = _layer_part(z, grid, box)
            mask[part.slices_in(box)] = _painted(spans, part, grid)
    return mask.view(np.bool_)


def stream_voxel_mask(view: View, box: Box, first_zyx: Zyx | None = None) -> Iterator[bytes]:
    """`voxel_mask` in pieces of about a megabyte: one byte for each voxel, 1 inside and 0 outside, x fastest.

    Args:
        view: the region.
        box: of voxels.
        first_zyx: leave out the spans that end before this block along one of the axes.
    """
    grid = _grid(view)
    first_z, first_y, first_x = first_zyx or (MIN_COORDINATE,) * 3
    _, height, width = box.shape_zyx
    rows = max(_PIECE_BYTES // width, 1)
    planes = max(rows // height, 1)
    nothing = np.empty((0, 3), np.int32)
    blocks = box.blocks(grid)
    for block_z in range(blocks.start_zyx[0], blocks.stop_zyx[0]):
        spans = next((spans for _, spans in read_layers(view, max(block_z, first_z), block_z)), nothing)
        if first_zyx:
            spans = spans[(spans[:, 0] >= first_y) & (spans[:, 2] >= first_x)]
        part = _layer_part(block_z, grid, box)
        (z0, y0, x0), (z1, y1, x1) = part.start_zyx, part.stop_zyx
        for z in range(z0, z1, planes):
            for y in range(y0, y1, rows):
                piece = Box((z, y, x0), (min(z + planes, z1), min(y + rows, y1), x1))
                yield np.broadcast_to(_painted(spans, piece, grid), piece.shape_zyx).tobytes()


def _layer_part(block_z: int, grid_zyx: Zyx, box: Box) -> Box:
    """What of a box lies in a layer of blocks."""
    (z0, y0, x0), (z1, y1, x1) = box.start_zyx, box.stop_zyx
    edge = grid_zyx[0]
    return Box((max(z0, block_z * edge), y0, x0), (min(z1, (block_z + 1) * edge), y1, x1))


def _painted(spans: Ints, box: Box, grid_zyx: Zyx) -> NDArray[np.uint8]:
    """The voxels of any plane of a box that lies in one layer of blocks: (y, x) uint8."""
    _, y0, x0 = box.start_zyx
    _, height, width = box.shape_zyx
    _, edge_y, edge_x = grid_zyx
    first, last = y0 // edge_y, (y0 + height - 1) // edge_y
    rows = np.zeros((last - first + 1, width), np.uint8)
    begin, end = np.searchsorted(spans[:, 0], (first, last + 1))
    paint_spans(spans[begin:end], rows, first, x0, edge_x)
    return rows[np.arange(y0, y0 + height, dtype=np.int64) // edge_y - first]


def points_inside(view: View, points_xyz: Ints) -> Mask:
    """Which points belong to a region.

    Args:
        view: the region.
        points_xyz: (n, 3) int32: voxel coordinates.

    Returns:
        (n,) bool.
    """
    return _blocks_inside(view, points_xyz[:, ::-1].astype(np.int64) // np.array(_grid(view)))


def sampled_mask(view: View, box: Box, scale: int) -> Mask:
    """Which voxels of a lower resolution have their first voxel in a region: (z, y, x) bool.

    Args:
        view: the region.
        box: in voxels of the scale.
        scale: each has half the resolution of the one before; 0 is full resolution.

    Raises:
        BadRequest: the instance is not a region.
    """
    step = 1 << min(scale, 32)  # from there on all but the voxel 0 lie outside the coordinates
    edges = zip(box.start_zyx, box.stop_zyx, strict=True)
    first = [np.arange(start, stop, dtype=np.int64) * step for start, stop in edges]
    inside_z, inside_y, inside_x = ((axis >= MIN_COORDINATE) & (axis <= MAX_COORDINATE) for axis in first)
    clipped = [axis.clip(MIN_COORDINATE, MAX_COORDINATE) // edge for axis, edge in zip(first, _grid(view), strict=True)]
    (z, of_z), (y, of_y), (x, of_x) = (np.unique(axis, return_inverse=True) for axis in clipped)
    mask = np.empty((len(z), len(y), len(x)), np.bool_)
    whole = Box((0, 0, 0), mask.shape)
    for part in whole.parts(_PIECE_BYTES):
        at = part.slices_in(whole)
        points = np.stack(np.meshgrid(z[at[0]], y[at[1]], x[at[2]], indexing="ij"), -1).reshape(-1, 3)
        mask[at] = _blocks_inside(view, points).reshape(part.shape_zyx)
    found: Mask = mask[np.ix_(of_z, of_y, of_x)]
    found &= inside_z[:, None, None]
    found &= inside_y[:, None]
    found &= inside_x
    return found


def _blocks_inside(view: View, blocks: NDArray[np.int64]) -> Mask:
    inside = np.zeros(len(blocks), np.bool_)
    order = np.argsort(blocks[:, 0], kind="stable")
    zs, starts = np.unique(blocks[order, 0], return_index=True)
    members = dict(zip(zs.tolist(), np.split(order, starts)[1:], strict=True))
    for z, spans in read_some(view, list(members)):
        places = members[z]
        # y and x in one number that sorts like the two; x counts from 0, so that it cannot borrow from y
        keys = (spans[:, 0].astype(np.int64) << 32) + (spans[:, 1].astype(np.int64) - MIN_COORDINATE)
        wanted = (blocks[places, 1] << 32) + (blocks[places, 2] - MIN_COORDINATE)
        nearest = spans[np.maximum(np.searchsorted(keys, wanted, "right") - 1, 0)]
        inside[places] = (
            (nearest[:, 0] == blocks[places, 1])
            & (nearest[:, 1] <= blocks[places, 2])
            & (blocks[places, 2] <= nearest[:, 2])
        )
    return inside
