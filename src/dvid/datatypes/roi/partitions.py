"""Boxes of blocks that cover a region: how to hand it out to many workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from dvid.datatypes.roi.operations import read_spans, z_range
from dvid.datatypes.voxels import block_zyx
from dvid.errors import TooLarge
from dvid.geometry import Zyx, reverse3
from dvid.kernels.spans import COVER, GRID, LEGACY, cut_windows
from dvid.versions.view import View

Longs = NDArray[np.int64]

MAX_BATCH = 1024
MAX_BOXES = 1 << 20

__all__ = ["COVER", "GRID", "LEGACY", "MAX_BATCH", "MAX_BOXES", "Partition", "partition", "partition_json"]

_AT_ONCE = 4096

_json = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Partition:
    """Boxes that cover a region. All corners are in blocks, z, y, x; last corners belong to the boxes."""

    first_zyx: Longs
    """(n, 3) first block of each box."""
    last_zyx: Longs
    """(n, 3) last block of each box."""
    total: Longs
    """(n,) blocks of each box."""
    active: Longs
    """(n,) those of them that belong to the region."""
    cut_short: NDArray[np.bool_]
    """(n,) True where the reference server takes the first voxel of the last block for the last voxel of the box."""
    considered: int
    """Blocks of all boxes, with those of a grid that have no block of the region and so are left out."""
    region: tuple[Zyx, Zyx]
    """First and last block of the box around the region."""


def partition(view: View, batch: int, style: int) -> Partition:
    """Cut a region into boxes.

    Args:
        view: the region.
        batch: blocks along the edge of a box.
        style: GRID: cubes of `batch` blocks, slab by slab and row by row centred on the region. The slabs follow each
            other without a gap, as on the reference server: behind a hole of the region as thick as a slab, some boxes
            are too low in z.
            COVER: boxes of at most `batch` blocks along each axis, shrunk to the blocks of the region in them.
            LEGACY: boxes of about `batch` blocks whose sizes share out what does not divide evenly, as the reference
            server makes them. There, a box that ends at a hole gives its blocks to the box made before it, which takes
            over the last corner. The boxes then need not cover the region; their numbers of blocks are right in sum.

    Raises:
        TooLarge: there would be more than `MAX_BOXES` boxes.
    """
    parts: list[Longs] = []
    boxes = considered = 0
    low: tuple[int, ...] = (2**40,) * 3
    high: tuple[int, ...] = (-(2**40),) * 3
    for slab in _slabs(view, batch, style):
        windows, of_slab = _cut_slab(slab, batch, style, MAX_BOXES - boxes)
        spans = slab.spans
        low = tuple(map(min, low, spans[:, :3].min(0).tolist()))
        high = tuple(map(max, high, spans[:, [0, 1, 3]].max(0).tolist()))
        parts.append(windows)
        boxes += len(windows)
        considered += of_slab
    if not boxes:
        none = np.empty((0, 3), np.int64)
        return Partition(none, none, none[:, 0], none[:, 0], none[:, 0] > 0, 0, ((0, 0, 0), (0, 0, 0)))
    table = np.concatenate(parts)
    continues = table[:, 8] != 0
    continues[:1] = False
    starts = np.flatnonzero(~continues)
    ends = np.append(starts[1:], len(table)) - 1
    return Partition(
        table[starts, 0:3],
        table[ends, 3:6],
        np.add.reduceat(table[:, 6], starts),
        np.add.reduceat(table[:, 7], starts),
        continues[ends],
        considered,
        (low, high),  # type: ignore[arg-type]
    )


@dataclass(frozen=True, slots=True)
class _Slab:
    """The spans of some neighbouring layers: (n, 4) int64 of z, y, first x, last x."""

    first_z: int
    last_z: int
    spans: Longs


def _slabs(view: View, batch: int, style: int) -> Iterator[_Slab]:
    low, high = z_range(view) or (0, 0)
    left = (high - low + 1) % batch
    first = low - left // 2 if style == GRID else low
    last = first + batch - 1
    thicker = left if style == LEGACY else 0
    gathered: list[Longs] = []
    for layer in read_spans(view):
        z, spans = int(layer[0, 0]), layer.astype(np.int64)
        while z > last and len(spans):
            if gathered:
                yield _Slab(first, last, np.concatenate(gathered))
                gathered = []
            if style == COVER:
                first = low + (z - low) // batch * batch
                last = first + batch - 1
            else:
                # The reference server goes one slab on with every span, until z is in the slab.
                first, last = last + 1, last + batch + (thicker > 0)
                thicker = max(thicker - 1, 0)
                gathered, spans = [spans[:1]], spans[1:]
        if len(spans):
            gathered.append(spans)
    if gathered:
        yield _Slab(first, last, np.concatenate(gathered))


def _cut_slab(slab: _Slab, batch: int, style: int, limit: int) -> tuple[Longs, int]:
    """The boxes of a slab: first z, y, x, last z, y, x, blocks, blocks of the region, 1 if joined to the box before.

    And the number of blocks looked at.
    """
    y = slab.spans[:, 1]
    low, height = int(y.min()), int(y.max() - y.min() + 1)
    left = height % batch
    shared = left if style == LEGACY else 0
    origin = low - left // 2 if style == GRID else low
    offset = y - origin
    thick = shared * (batch + 1)
    row = np.where(offset < thick, offset // (batch + 1), shared + (offset - thick) // batch)
    order = np.lexsort((slab.spans[:, 2], row))
    spans, row = slab.spans[order], row[order]
    starts = np.flatnonzero(np.diff(row, prepend=row[0] - 1))
    row = row[starts]
    windows = cut_windows(spans, np.append(starts, len(spans)), batch, style, limit)
    if windows is None:
        raise TooLarge(f"the partition has more than {MAX_BOXES} boxes: ask for larger ones with batchsize")
    first_y = origin + row * batch + np.minimum(row, shared)
    last_y = first_y + batch - 1 + (row < shared)
    table = np.empty((len(windows), 9), np.int64)
    if style == COVER:
        table[:, :6] = windows[:, 5:11]
    else:
        table[:, 0], table[:, 3] = slab.first_z, slab.last_z
        table[:, 1], table[:, 4] = first_y[windows[:, 3]], last_y[windows[:, 3]]
        table[:, 2], table[:, 5] = windows[:, 0], windows[:, 1]
    table[:, 6] = np.prod(table[:, 3:6] - table[:, 0:3] + 1, axis=1)
    table[:, 7], table[:, 8] = windows[:, 4], windows[:, 2]
    if style != GRID:
        return table, sum(table[:, 6].tolist())
    # The grid of a row begins left // 2 before it and ends at least the rest of left behind it.
    width = np.maximum.reduceat(spans[:, 3], starts) - spans[starts, 2] + 1
    return table, int(((width - 1 + width % batch) // batch + 1).sum()) * batch**3


def partition_json(view: View, parts: Partition) -> Iterator[bytes]:
    """A partition as the reference server writes it, in pieces. Points are voxels, chunks are blocks, both x, y, z."""
    edge = np.array(block_zyx(view.instance)[::-1], np.int64)
    first_block, last_block = parts.region
    head = {
        "NumTotalBlocks": parts.considered,
        "NumActiveBlocks": int(parts.active.sum()),
        "NumSubvolumes": len(parts.active),
        "ROI": {"MinChunk": reverse3(first_block), "MaxChunk": reverse3(last_block)},
    }
    piece = _json.encode(head)[:-1] + b',"Subvolumes":['
    for start in range(0, len(parts.active), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        first, last = parts.first_zyx[some, ::-1], parts.last_zyx[some, ::-1]
        last_point = np.where(parts.cut_short[some, None], last * edge, (last + 1) * edge - 1)
        columns = (first * edge, last_point, first, last, parts.total[some], parts.active[some])
        boxes = [
            dict(zip(_FIELDS, values, strict=True))
            for values in zip(*(column.tolist() for column in columns), strict=True)
        ]
        yield piece + _json.encode(boxes)[1:-1]
        piece = b","
    yield (piece if piece != b"," else b"") + b"]}"


_FIELDS = ("MinPoint", "MaxPoint", "MinChunk", "MaxChunk", "TotalBlocks", "ActiveBlocks")
