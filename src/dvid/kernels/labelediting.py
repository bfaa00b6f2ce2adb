"""Making compressed label blocks (their format: `dvid.kernels.labellayout`) out of others: splits, lower resolutions.

A sub-block at a time is unpacked, changed and written, so that a block needs no more memory than its serialization.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from dvid.errors import BadRequest
from dvid.kernels.buffers import addresses
from dvid.kernels.compiling import kernel
from dvid.kernels.labelblocks import fill_rows, fill_sub, load_table, unpack_sub
from dvid.kernels.labellayout import (
    ADDRESSES,
    BLOCK,
    HEAD_BYTES,
    LABELS,
    LARGEST_GRID,
    SUB,
    SUB_VOXELS,
    TRIPLE,
    Layout,
    bits_for,
    layout_of,
    locate_subs,
)
from dvid.kernels.labelwriting import (
    HASH_MULTIPLIER,
    append_solid,
    append_sub,
    finished,
    lacks_room,
    new_writer,
    with_room,
)
from dvid.kernels.words import load_u16, load_u32, load_u64, ones, signed, store_u64

_Bytes = NDArray[np.uint8]
_Labels = NDArray[np.uint64]
_Places = NDArray[np.int64]
_Runs = NDArray[np.int32]

_OUT = types.Array(types.uint8, 1, "C")
_RUNS = types.Array(types.int32, 2, "C", readonly=True)
_FOUND = types.Array(types.int64, 1, "C")
_ROW_BYTES = SUB * 8
_PLANE_BYTES = SUB * _ROW_BYTES
_HALF = SUB // 2
# Where the 2 x 2 x 2 voxels of a cell are.
_CELL = tuple(z * _PLANE_BYTES + y * _ROW_BYTES + x * 8 for z in (0, 1) for y in (0, 1) for x in (0, 1))


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _load(
    block: int, listed: int, number: int, tables: int, values: int, table: _Labels, sub: _Labels
) -> tuple[bool, np.uint64]:
    """Unpack a sub-block of a block of `listed` labels, unless it has one label for sure: whether, and which one."""
    if listed == 1:
        return True, load_u64(block + HEAD_BYTES)
    labels = load_u16(number)
    load_table(tables, labels, block + HEAD_BYTES, table)
    if labels < 2:
        return True, table[0] if labels else np.uint64(0)
    unpack_sub(values, bits_for(labels), table, signed(sub.ctypes.data), _PLANE_BYTES, _ROW_BYTES)
    return False, np.uint64(0)


# ---- paint --------------------------------------------------------------------------------------


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _mark(runs: _Runs, at: Layout, marks: _Bytes) -> int:
    """Set the bits of the runs' voxels, x fastest and the lowest bit first; the first run outside the block, or -1."""
    for i in range(len(runs)):
        x, y, z = np.int64(runs[i, 0]), np.int64(runs[i, 1]), np.int64(runs[i, 2])
        stop = x + runs[i, 3]
        if not (0 <= x < stop <= at.gx * SUB and 0 <= y < at.gy * SUB and 0 <= z < at.gz * SUB):
            return i
        row = (z * at.gy * SUB + y) * at.gx
        while x < stop:
            last = min(stop, (x | 7) + 1)
            marks[row + (x >> 3)] |= np.uint8(((1 << (last - x)) - 1) << (x & 7))
            x = last
    return -1


@kernel(_OUT(BLOCK, _RUNS, LABELS, LABELS, types.boolean, types.int64, _FOUND), nogil=True)
def _paint(
    data: _Bytes, runs: _Runs, inside: _Labels, outside: _Labels, write: bool, multiplier: int, counts: _Places
) -> _Bytes:
    """The counts are: the first run outside the block, or -1; the voxels in runs of each entry of the list; of none."""
    block = signed(data.ctypes.data)
    at = layout_of(block)
    marks = np.zeros(at.gz * SUB * at.gy * SUB * at.gx, np.uint8)
    counts[0] = _mark(runs, at, marks)
    if counts[0] >= 0:
        return np.empty(0, np.uint8)
    writer = new_writer(at.gz * at.gy * at.gx, multiplier)
    codes = np.empty(SUB_VOXELS, np.uint16)
    table, sub, own = np.empty(SUB_VOXELS, np.uint64), np.empty(SUB_VOXELS, np.uint64), np.empty(SUB_VOXELS, np.uint64)
    number, tables, values = at.numbers, at.tables, at.values
    for z in range(0, at.gz * SUB, SUB):
        for y in range(0, at.gy * SUB, SUB):
            for x in range(at.gx):
                labels, entries, packed = 1, signed(0), values
                if at.labels > 1:
                    labels, entries = load_u16(number), tables
                    number += 2
                    tables += 4 * labels
                    values += bits_for(labels) * (SUB_VOXELS // 8)
                marked = 0
                for row in range(SUB * SUB):
                    marked += ones(marks[((z + (row >> 3)) * at.gy * SUB + y + (row & 7)) * at.gx + x])
                if write and lacks_room(writer):
                    writer = with_room(writer)
                if labels < 2:
                    place = len(inside)  # without data: of no entry
                    if labels:
                        place = load_u32(entries) if at.labels > 1 else 0
                    counts[1 + place] += marked
                    if not write:
                        continue
                    within = inside[place] if labels else np.uint64(0)
                    without = outside[place] if labels else np.uint64(0)
                    if marked == 0 or marked == SUB_VOXELS or within == without:
                        append_solid(writer, within if marked == SUB_VOXELS else without)
                        continue
                    fill_sub(signed(sub.ctypes.data), _PLANE_BYTES, _ROW_BYTES, without)
                    for row in range(SUB * SUB):
                        bits = marks[((z + (row >> 3)) * at.gy * SUB + y + (row & 7)) * at.gx + x]
                        for i in range(SUB):
                            if (bits >> i) & 1:
                                sub[row * SUB + i] = within
                elif marked:
                    for i in range(labels):
                        table[i] = np.uint64(load_u32(entries + 4 * i))
                    unpack_sub(packed, bits_for(labels), table, signed(sub.ctypes.data), _PLANE_BYTES, _ROW_BYTES)
                    for row in range(SUB * SUB):
                        bits = marks[((z + (row >> 3)) * at.gy * SUB + y + (row & 7)) * at.gx + x]
                        for i in range(SUB):
                            voxel = row * SUB + i
                            place = signed(sub[voxel])
                            if (bits >> i) & 1:
                                counts[1 + place] += 1
                                sub[voxel] = inside[place]
                            else:
                                sub[voxel] = outside[place]
                elif write:
                    load_table(entries, labels, signed(outside.ctypes.data), table)
                    unpack_sub(packed, bits_for(labels), table, signed(sub.ctypes.data), _PLANE_BYTES, _ROW_BYTES)
                if write:
                    append_sub(writer, sub, codes, own)
    made: _Bytes = finished(writer, at.gz, at.gy, at.gx)
    return made


def _painted(
    block: _Bytes, runs: _Runs, inside: _Labels, outside: _Labels, *, write: bool
) -> tuple[_Bytes, NDArray[np.int64]]:
    if runs.ndim != 2 or runs.shape[1] != 4:
        raise BadRequest(f"runs have the shape {runs.shape}, expected (n, 4)")
    counts = np.zeros(2 + len(inside), np.int64)
    made = _paint(block, np.ascontiguousarray(runs, np.int32), inside, outside, write, HASH_MULTIPLIER, counts)
    wrong = int(counts[0])
    if wrong >= 0:
        raise BadRequest(f"the run {runs[wrong].tolist()} (x, y, z, length) does not lie in its block")
    return made, counts[1:]


def paint_block(block: _Bytes, runs: _Runs, inside: _Labels, outside: _Labels) -> tuple[_Bytes, NDArray[np.int64]]:
    """Give the voxels of a checked block other labels: some inside runs, others outside.

    Args:
        block: (bytes,) uint8.
        runs: (n, 4) int32: x, y, z, counted from the block's first voxel, and length; in any order, they may overlap.
        inside: (N,) uint64: for each entry of the block's list the label of its voxels in the runs.
        outside: (N,) uint64: that of its other voxels.

    Returns:
        The serialized block, and (N + 1,) int64: how many voxels of each entry are in the runs, and how many in sub-blocks
        without data. Those keep their label, 0.

    Raises:
        BadRequest: a run is empty or reaches out of the block, or there are more or fewer labels than in its list.
    """
    listed = _listed(block)
    if len(inside) != listed or len(outside) != listed:
        raise BadRequest(f"{len(inside)} and {len(outside)} labels given for a label block with a list of {listed}")
    return _painted(
        block, runs, np.ascontiguousarray(inside, np.uint64), np.ascontiguousarray(outside, np.uint64), write=True
    )


def count_in_runs(block: _Bytes, runs: _Runs) -> NDArray[np.int64]:
    """How many voxels of each entry of a checked block's list are in runs, and how many in sub-blocks without data.

    Args:
        block: (bytes,) uint8.
        runs: as for `paint_block`.

    Returns:
        (N + 1,) int64.

    Raises:
        BadRequest: a run is empty or reaches out of the block.
    """
    none = np.zeros(_listed(block), np.uint64)
    return _painted(block, runs, none, none, write=False)[1]


def _listed(block: _Bytes) -> int:
    return int(block[12:16].view(np.uint32)[0])


# ---- lower resolutions --------------------------------------------------------------------------


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _winner(cell: int) -> np.uint64:
    """The most frequent label but 0 of the 2 x 2 x 2 voxels from an address on, of equally frequent ones the lowest."""
    best, votes = np.uint64(0), 0
    for i in range(8):
        label = load_u64(cell + _CELL[i])
        if label == 0 or label == best:
            continue
        found = 0
        for j in range(8):
            found += signed(load_u64(cell + _CELL[j]) == label)
        if found > votes or (found == votes and label < best):
            best, votes = label, found
    return best


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _halve(fine: int, target: int) -> None:
    """Reduce the sub-block at an address to an eighth of another one."""
    for z in range(_HALF):
        for y in range(_HALF):
            for x in range(_HALF):
                cell = fine + 2 * (z * _PLANE_BYTES + y * _ROW_BYTES + x * 8)
                label = load_u64(cell)
                change = np.uint64(0)
                for i in range(1, 8):
                    change |= load_u64(cell + _CELL[i]) ^ label
                store_u64(target + z * _PLANE_BYTES + y * _ROW_BYTES + x * 8, label if change == 0 else _winner(cell))


@kernel(_OUT(ADDRESSES, TRIPLE, types.int64), nogil=True)
def _downres(children: NDArray[np.uint64], grid_zyx: tuple[int, int, int], multiplier: int) -> _Bytes:
    gz, gy, gx = grid_zyx
    subs = gz * gy * gx
    tables, values = np.empty((8, subs), np.int64), np.empty((8, subs), np.int64)
    numbers, listed = np.empty(8, np.int64), np.empty(8, np.int64)
    for octant in range(8):
        if children[octant]:
            at = layout_of(signed(children[octant]))
            numbers[octant], listed[octant] = at.numbers, at.labels
            if at.labels > 1:
                locate_subs(at, tables[octant], values[octant])
    writer = new_writer(subs, multiplier)
    codes = np.empty(SUB_VOXELS, np.uint16)
    table, sub, own = np.empty(SUB_VOXELS, np.uint64), np.empty(SUB_VOXELS, np.uint64), np.empty(SUB_VOXELS, np.uint64)
    fine = np.empty(SUB_VOXELS, np.uint64)
    to, of = signed(sub.ctypes.data), signed(fine.ctypes.data)
    for coarse in range(subs):
        z, y, x = coarse // (gy * gx), coarse // gx % gy, coarse % gx
        whole, only = True, np.uint64(0)
        for part in range(8):
            cz, cy, cx = 2 * z + (part >> 2), 2 * y + ((part >> 1) & 1), 2 * x + (part & 1)
            octant = (cz // gz) * 4 + (cy // gy) * 2 + cx // gx
            block = signed(children[octant])
            target = to + _HALF * _CELL[part]
            solid, label = True, np.uint64(0)
            if block:
                i = ((cz % gz) * gy + cy % gy) * gx + cx % gx
                number = numbers[octant] + 2 * i
                solid, label = _load(block, listed[octant], number, tables[octant, i], values[octant, i], table, fine)
            if solid:
                fill_rows(target, _HALF, _HALF, _HALF, _PLANE_BYTES, _ROW_BYTES, label)
            else:
                _halve(of, target)
            if part == 0:
                only = label
            whole = whole and solid and label == only
        if lacks_room(writer):
            writer = with_room(writer)
        if whole:
            append_solid(writer, only)
        else:
            append_sub(writer, sub, codes, own)
    made: _Bytes = finished(writer, gz, gy, gx)
    return made


def downres_blocks(children: Sequence[_Bytes | None], block_shape_zyx: tuple[int, int, int]) -> _Bytes:
    """Make the block of half the resolution: each voxel is the most frequent label of 2 x 2 x 2.

    Label 0 does not count unless there is nothing else; of equally frequent labels the lowest is taken, as the
    reference server does (https://github.com/janelia-flyem/dvid/blob/master/datatype/common/labels/compressed.go).

    Args:
        children: 8 checked blocks: (0, 0, 0), (0, 0, 1), (0, 1, 0)... in z, y, x; None for absent ones, which are zeros.
        block_shape_zyx: voxels of each block, also of the one that is made.

    Returns:
        The serialized block.

    Raises:
        BadRequest: there are not 8 children, one has another shape, or blocks cannot have that shape.
    """
    if len(children) != 8:
        raise BadRequest(f"{len(children)} blocks given for one of half the resolution, expected 8")
    if any(side % SUB or not 0 < side <= SUB * LARGEST_GRID for side in block_shape_zyx):
        raise BadRequest(f"label blocks of {block_shape_zyx} voxels: each side must be a multiple of 8 up to 1024")
    grid_zyx = (block_shape_zyx[0] // SUB, block_shape_zyx[1] // SUB, block_shape_zyx[2] // SUB)
    head = np.array(grid_zyx[::-1], np.uint32).tobytes()
    for octant, child in enumerate(children):
        if child is not None and child[: len(head)].tobytes() != head:
            raise BadRequest(f"block {octant} of 8 has another shape than {block_shape_zyx} (z, y, x)")
    found = addresses([None if child is None else child.data for child in children])
    made: _Bytes = _downres(found, grid_zyx, HASH_MULTIPLIER)
    return made
