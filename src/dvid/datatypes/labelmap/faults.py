"""Three faults of the reference server's labelmap, for those who need its answers and not the right ones.

They are asked for by `server.referenceFaults`; docs/compatibility.md tells of them. Each function here stands in for one that
is right, and nothing else depends on any of them. Sources: `datatype/labelmap/points.go`, `datatype/common/labels/compressed.go` and
`datatype/common/labels/index.go` of https://github.com/janelia-flyem/dvid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dvid.codecs.labelblocks import Block, labels_of
from dvid.codecs.labelblocks import block_shape as shape_of
from dvid.datatypes.labelmap.arguments import need_index
from dvid.geometry import Box
from dvid.labels import reading, sparse
from dvid.labels.blocks import block_shape
from dvid.labels.index import Points
from dvid.labels.mapping import bodies_of, body_of
from dvid.labels.scales import Scales
from dvid.labels.tables import Labels
from dvid.routes import Call
from dvid.versions.view import View

_Longs = NDArray[np.int64]
_HEAD_BYTES, _SUB, _SUB_VOXELS = 16, 8, 512
_STRIDES_ZYX = (64, 8, 1)


def are_wanted(call: Call, view: View) -> bool:
    """Whether to answer as the reference does. Other types share requests of labelmap, but not its faults."""
    return bool(call.config.server.reference_faults) and view.instance.typename == "labelmap"


# ---- label, labels: a point at negative coordinates is looked up elsewhere ------------------------


def labels_at(view: View, points_zyx: _Longs, scale: int = 0, *, supervoxels: bool = False) -> Labels:
    """What `dvid.labels.reading.labels_at` finds, but coordinates are divided towards zero.

    A point at -5 is thus looked for at -5 of block 0.
    """
    found = reading.labels_at(view, points_zyx, scale, supervoxels=True)
    negative = np.flatnonzero((points_zyx < 0).any(1))
    points_zyx = points_zyx[negative]
    inside = np.fmod(points_zyx, block_shape(view))
    blocks, which = np.unique((points_zyx - inside) // block_shape(view), axis=0, return_inverse=True)
    order = np.argsort(which.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(which.ravel(), minlength=len(blocks)))
    scales = Scales(view)
    for (z, y, x), some in zip(blocks.tolist(), np.split(order, ends[:-1]), strict=False):
        (block,) = scales.read(scale, [(z, y, x)])
        found[negative[some]] = 0 if block is None else _read_astray(block, inside[some])
    return found if supervoxels else bodies_of(view, found)


def _read_astray(block: Block, inside_zyx: _Longs) -> Labels:
    """What bits of a block are found for points that may have negative places in it; 0 where there are none."""
    labels = labels_of(block)
    if len(labels) == 1:
        return labels.repeat(len(inside_zyx))
    _, gy, gx = (edge // _SUB for edge in shape_of(block))
    counts = _sub_counts(block)
    bits = np.ceil(np.log2(np.maximum(counts, 1))).astype(np.int64)
    tables_at = _HEAD_BYTES + 8 * len(labels) + 2 * len(counts)
    values_at = tables_at + 4 * int(counts.sum())
    table = block[tables_at:values_at].view(np.uint32)
    values = np.append(block[values_at:], np.zeros(2, np.uint8)).astype(np.int64)

    sz, sy, sx = (inside_zyx >> 3).T
    sub = (sz * gy + sy) * gx + sx
    there = sub >= 0
    sub[~there] = 0
    width = bits[sub]
    bit = (np.cumsum(bits) - bits)[sub] * _SUB_VOXELS + np.fmod(inside_zyx, _SUB) @ _STRIDES_ZYX * width
    at = np.maximum(bit, 0) >> 3
    value = (values[at] << 8 | values[at + 1]) >> (16 - (bit & 7) - width) & ((1 << width) - 1)
    entry = (np.cumsum(counts) - counts)[sub] + value
    there &= (counts[sub] > 0) & (bit >= 0) & (entry < len(table))  # beyond these the reference fails
    found = np.zeros(len(inside_zyx), np.uint64)
    found[there] = labels[table[entry[there]]]
    return found


def _sub_counts(block: Block) -> _Longs:
    """How many labels each sub-block has, in a block of several; else 0."""
    count = len(labels_of(block))
    subs = math.prod(shape_of(block)) // _SUB_VOXELS
    if count == 1:
        return np.zeros(subs, np.int64)
    at = _HEAD_BYTES + 8 * count
    return block[at : at + 2 * subs].view(np.uint16).astype(np.int64)


# ---- GET sparsevol: maxx is not heeded within a sub-block of one label ----------------------------


def stream_runs(view: View, sought: sparse.Sought, box: Box | None = None) -> Iterator[sparse.Runs]:
    """What `dvid.labels.sparse.stream_runs` finds, but runs go on to the end of sub-blocks of one label."""
    if not box or not box.stop_zyx[2] % _SUB:
        yield from sparse.stream_runs(view, sought, box)
        return
    z, y, stop = box.stop_zyx
    for runs in sparse.stream_runs(view, sought, Box(box.start_zyx, (z, y, (stop | 7) + 1))):
        beyond = np.flatnonzero(runs[:, 0].astype(np.int64) + runs[:, 3] > stop)
        subs_zyx = np.stack([runs[beyond, 2] >> 3, runs[beyond, 1] >> 3, np.full(len(beyond), stop >> 3)], 1)
        cut = beyond[~_have_one_label(view, sought.scale, subs_zyx)]
        runs[cut, 3] = stop - runs[cut, 0]
        yield runs[runs[:, 3] > 0]


def _have_one_label(view: View, scale: int, subs_zyx: Points) -> NDArray[np.bool_]:
    """Whether sub-blocks that are there have one label, in blocks that have several."""
    gz, gy, gx = (edge // _SUB for edge in block_shape(view))
    places, which = np.unique(subs_zyx // (gz, gy, gx), axis=0, return_inverse=True)
    blocks = Scales(view).read(scale, [(z, y, x) for z, y, x in places.tolist()])
    counts = np.array([_sub_counts(block) for block in blocks if block is not None]).reshape(-1, gz * gy * gx)
    z, y, x = (subs_zyx % (gz, gy, gx)).T
    one: NDArray[np.bool_] = counts[which.ravel(), (z * gy + y) * gx + x] == 1
    return one


# ---- HEAD sparsevol: bounds are what has to be left -----------------------------------------------


def is_outside(view: View, label: int, box: Box, *, supervoxel: bool) -> bool:
    """Whether a body, or the one that a supervoxel belongs to, is in a block outside of bounds.

    Raises:
        NotFound: there is no such body.
    """
    need_index(view)
    blocks = sparse.seek(view, body_of(view, label) if supervoxel else label).blocks_zyx
    first, last = _quotients(np.array(box.start_zyx), view), _quotients(np.array(box.stop_zyx) - 1, view)
    return bool(((blocks < first) | (blocks > last)).any())


def _quotients(voxel_zyx: _Longs, view: View) -> _Longs:
    """The block of a voxel by a division towards zero."""
    shape = np.array(block_shape(view))
    blocks: _Longs = (voxel_zyx - np.fmod(voxel_zyx, shape)) // shape
    return blocks
