"""Sparse volumes: where a body or supervoxel is, as runs of voxels along x, as runs of blocks, or as masks of blocks."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvid.codecs.labelblocks import Block, labels_of
from dvid.errors import NotFound
from dvid.geometry import Box, Zyx
from dvid.kernels.buffers import addresses
from dvid.kernels.indexrows import distinct
from dvid.kernels.labelmasks import binary_block, block_runs
from dvid.kernels.runs import join_blocks, runs_of_points
from dvid.labels.blocks import block_shape
from dvid.labels.bodies import existing, members
from dvid.labels.index import Points, all_entries
from dvid.labels.removals import remaining
from dvid.labels.scales import Scales
from dvid.labels.tables import Labels
from dvid.versions.view import View

Runs = NDArray[np.int32]
"""(n, 4): x, y, z of the first voxel or block, and how many along x."""

_BLOCKS_AT_ONCE = 256
_BLOCKS_HEAD = struct.Struct("<IIIQ")
_SUB = 8


@dataclass(frozen=True, slots=True)
class Sought:
    """What is looked for, and in which blocks of a scale it may be."""

    label: int
    supervoxels: Labels
    """In order."""
    scale: int
    blocks_zyx: Points
    """(n, 3) int64, sorted by z, y, x."""

    def within(self, box: Box | None, block_zyx: Zyx) -> Sought:
        """The same in the blocks only that touch a box of voxels of the scale."""
        if box is None:
            return self
        blocks = box.blocks(block_zyx)
        inside = (self.blocks_zyx >= blocks.start_zyx) & (self.blocks_zyx < blocks.stop_zyx)
        return Sought(self.label, self.supervoxels, self.scale, self.blocks_zyx[inside.all(1)])


def seek(view: View, label: int, scale: int = 0, *, supervoxel: bool = False) -> Sought:
    """Find a body, or a supervoxel.

    Raises:
        NotFound: there is none of that label.
    """
    if supervoxel:
        found = np.array([label], np.uint64)
    else:
        found = members(view, label, existing(view, label).own)
    entries = all_entries(view, found)
    at = remaining(view, label, entries.blocks_zyx)
    if not len(at):
        raise NotFound(f"there is no {'supervoxel' if supervoxel else 'body'} {label} at this version")
    return Sought(label, found, scale, distinct(at >> scale))


def _rows(sought: Sought) -> Iterator[list[Zyx]]:
    """The blocks, in whole rows along x, many at a time."""
    places: list[Zyx] = [(z, y, x) for z, y, x in sought.blocks_zyx.tolist()]
    some: list[Zyx] = []
    for _, row in groupby(places, key=lambda place: place[:2]):
        some += row
        if len(some) >= _BLOCKS_AT_ONCE:
            yield some
            some = []
    if some:
        yield some


def _flags(sought: Sought, labels: Labels) -> NDArray[np.bool_]:
    """Which labels are among the supervoxels."""
    wanted = sought.supervoxels
    at = np.searchsorted(wanted, labels)
    at[at == len(wanted)] = 0
    return wanted[at] == labels if len(wanted) else np.zeros(len(labels), bool)


def _found(view: View, sought: Sought) -> Iterator[tuple[list[Zyx], list[Block]]]:
    scales = Scales(view)
    for places in _rows(sought):
        blocks = scales.read(sought.scale, places)
        there = [(place, block) for place, block in zip(places, blocks, strict=True) if block is not None]
        yield [place for place, _ in there], [block for _, block in there]


def stream_runs(view: View, sought: Sought, box: Box | None = None) -> Iterator[Runs]:
    """The runs, a few rows of blocks at a time: row by row of blocks, and in each row in order of z, y, x.

    Args:
        view: the instance.
        sought: what is looked for.
        box: cut runs off where they leave it; None to leave them whole.
    """
    shape = block_shape(view)
    for places, blocks in _found(view, sought):
        if not blocks:
            continue
        lists = [labels_of(block) for block in blocks]
        starts = np.zeros(len(lists) + 1, np.int64)
        np.cumsum([len(labels) for labels in lists], out=starts[1:])
        origins = np.array(places, np.int64) * shape
        flags = _flags(sought, np.concatenate(lists))
        runs, _ = block_runs(addresses([block.data for block in blocks]), origins, flags, starts, box)
        if len(runs):
            yield join_blocks(runs, shape)


def stream_binary_blocks(view: View, sought: Sought) -> Iterator[bytes]:
    """The sparse volume as masks: see the format "blocks" of `sparsevol` in docs/http-api.md."""
    gz, gy, gx = (edge // _SUB for edge in block_shape(view))
    yield _BLOCKS_HEAD.pack(gx, gy, gz, sought.label)
    shape = np.array(block_shape(view))
    for places, blocks in _found(view, sought):
        pieces = []
        for place, block in zip(places, blocks, strict=True):
            flags = _flags(sought, labels_of(block))
            if flags.any():
                first: Any = tuple((np.array(place) * shape).tolist())
                pieces.append(binary_block(block, flags, first).tobytes())
        yield b"".join(pieces)


def coarse_runs(sought: Sought) -> Runs:
    """The blocks as runs along x, in order of z, y, x."""
    return runs_of_points(np.ascontiguousarray(sought.blocks_zyx.astype(np.int32)))
