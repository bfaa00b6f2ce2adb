"""Reading protobuf messages of labels into arrays: indices of bodies, and mappings of supervoxels.

The wire format: https://protobuf.dev/programming-guides/encoding/. A message of ten thousand map entries is ten thousand
Python objects for the protobuf library; here it is three arrays. Readers return what is wrong (a key of `PROBLEMS`) and where,
and never go beyond the input or the arrays, whatever the bytes are.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from dvid.kernels.compiling import kernel

Bytes = NDArray[np.uint8]
Labels = NDArray[np.uint64]
Counts = NDArray[np.uint32]
Longs = NDArray[np.int64]
Points = NDArray[np.int32]

BLOCK_LIMIT = 2**20
"""Block coordinates in a message lie between -BLOCK_LIMIT and BLOCK_LIMIT, both excluded: 20 bits and a sign."""

TRUNCATED, LONG_VARINT, BAD_FIELD, WRONG_TYPE, WIDE_COUNT, WIDE_BLOCK = range(-6, 0)
PROBLEMS = {
    TRUNCATED: "it ends within a field",
    LONG_VARINT: "a number takes more than 64 bits",
    BAD_FIELD: "a field has a number or a wire type that does not exist",
    WRONG_TYPE: "a field has another wire type than the message declares",
    WIDE_COUNT: "a count of voxels takes more than 32 bits",
    WIDE_BLOCK: "a block key takes more than 63 bits",
}

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
AXIS_BITS, SIGN = 21, 2**20
_MAGNITUDE = SIGN - 1
_MOST_FIELD = 2**29 - 1
_MOST_COUNT = 2**32 - 1

_READ_LABELS = types.Array(types.uint64, 1, "C", readonly=True)
_READ_COUNTS = types.Array(types.uint32, 1, "C", readonly=True)
_READ_LONGS = types.Array(types.int64, 1, "C", readonly=True)
_TEXT = types.Array(types.uint8, 1, "C", readonly=True)
_LABELS = types.Array(types.uint64, 1, "C")
_COUNTS = types.Array(types.uint32, 1, "C")
_LONGS = types.Array(types.int64, 1, "C")
_LONG_TABLE = types.Array(types.int64, 2, "C")
_POINTS = types.Array(types.int32, 2, "C")


# ---- the wire -----------------------------------------------------------------------------------


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _read_varint(data: Bytes, at: int, end: int) -> tuple[np.uint64, Any]:
    """A number, and where it ends or what is wrong."""
    value, shift, byte = np.uint64(0), np.uint64(0), np.uint64(0x80)
    while byte >= np.uint64(0x80) and at < end and shift < np.uint64(70):
        byte = np.uint64(data[at])
        value |= (byte & np.uint64(0x7F)) << shift
        shift += np.uint64(7)
        at += 1
    if shift == np.uint64(70) and byte > np.uint64(1):
        return value, LONG_VARINT
    if byte >= np.uint64(0x80):
        return value, TRUNCATED
    return value, at


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _read_field(data: Bytes, at: Any, end: int) -> tuple[Any, Any, np.uint64, Any, Any]:
    """Number, wire type, value (of a varint), where its bytes begin, and where they end or what is wrong."""
    tag, at = _read_varint(data, at, end)
    number, kind = np.int64(tag >> np.uint64(3)), np.int64(tag & np.uint64(7))
    value, stop = np.uint64(0), at
    if at >= 0:
        if number == 0 or number > _MOST_FIELD:
            stop = BAD_FIELD
        elif kind in (VARINT, BYTES):
            value, stop = _read_varint(data, at, end)
            if kind == BYTES and stop >= 0:
                at = stop
                stop = at + np.int64(value) if value <= np.uint64(end - at) else TRUNCATED
        elif kind in (FIXED64, FIXED32):
            stop = at + (8 if kind == FIXED64 else 4)
            if stop > end:
                stop = TRUNCATED
        else:
            stop = BAD_FIELD
    return number, kind, value, at, stop


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _block_order(code: np.uint64) -> np.uint64:
    """A number that grows as z, y and x of the block do: each with BLOCK_LIMIT added, instead of a sign."""
    order = np.int64(0)
    for axis in (2, 1, 0):
        bits = np.int64(code >> np.uint64(axis * AXIS_BITS))
        value = bits & _MAGNITUDE
        order = (order << AXIS_BITS) + BLOCK_LIMIT + (-value if bits & SIGN else value)
    return np.uint64(order)


# ---- LabelIndex ---------------------------------------------------------------------------------


# How deep in a message a field stands.
_INDICES, _INDEX, _BLOCK, _SVCOUNT, _COUNT = range(5)


# One loop for all depths: with a function for each, half of the time goes into counting references to the arrays.
@kernel(
    types.UniTuple(types.int64, 5)(
        *(_TEXT, types.boolean, _LABELS, _LABELS, _LONG_TABLE, _LONGS, _LABELS, _LONGS, _LABELS, _COUNTS)
    ),
    nogil=True,
)
def _read_indices(
    data: Bytes,
    framed: bool,
    labels: Labels,
    mutids: Labels,
    texts: Longs,
    block_bounds: Longs,
    codes: Labels,
    entry_bounds: Longs,
    supervoxels: Labels,
    counts: Counts,
) -> tuple[int, int, int, int, int]:
    """Fill the arrays as far as there is room: numbers of indices, blocks and entries; what is wrong, and where."""
    message, block, entry = 0, 0, 0
    at: Any = 0
    top = _INDICES if framed else _INDEX
    depth = top
    ends = np.empty(_COUNT + 1, np.int64)
    ends[depth] = len(data)
    code, supervoxel, count = np.uint64(0), np.uint64(0), np.uint64(0)
    while True:
        end = ends[depth]
        if at == end:
            if depth == _COUNT:
                if entry < len(supervoxels):
                    supervoxels[entry], counts[entry] = supervoxel, count
                entry += 1
            elif depth == _BLOCK:
                if block < len(codes):
                    codes[block], entry_bounds[block + 1] = code, entry
                block += 1
            elif depth == _INDEX:
                if message < len(labels):
                    block_bounds[message + 1] = block
                message += 1
            if depth == top:
                return message, block, entry, 0, 0
            depth -= 1
            continue
        field = at
        tag = np.uint64(data[at])
        at += 1
        if tag >= np.uint64(0x80):
            tag, at = _read_varint(data, field, end)
            if at < 0:
                return message, block, entry, at, field
        number, kind = np.int64(tag >> np.uint64(3)), np.int64(tag & np.uint64(7))
        if number == 0 or number > _MOST_FIELD:
            return message, block, entry, BAD_FIELD, field
        value, shift, byte = np.uint64(0), np.uint64(0), np.uint64(0x80)
        if kind in (VARINT, BYTES):
            while byte >= np.uint64(0x80) and at < end and shift < np.uint64(70):
                byte = np.uint64(data[at])
                value |= (byte & np.uint64(0x7F)) << shift
                shift += np.uint64(7)
                at += 1
            if shift == np.uint64(70) and byte > np.uint64(1):
                return message, block, entry, LONG_VARINT, field
            if byte >= np.uint64(0x80) or (kind == BYTES and value > np.uint64(end - at)):
                return message, block, entry, TRUNCATED, field
        elif kind in (FIXED64, FIXED32):
            at += 8 if kind == FIXED64 else 4
            if at > end:
                return message, block, entry, TRUNCATED, field
        else:
            return message, block, entry, BAD_FIELD, field

        is_message = (number == 2) if depth == _BLOCK else (number == 1 and depth != _COUNT)
        is_text = depth == _INDEX and number in (4, 5, 6)
        is_number = (
            (depth == _COUNT and number in (1, 2))
            or (depth == _BLOCK and number == 1)
            or (depth == _INDEX and number in (2, 3))
        )
        if ((is_message or is_text) and kind != BYTES) or (is_number and kind != VARINT):
            return message, block, entry, WRONG_TYPE, field
        if is_message:
            depth += 1
            ends[depth] = at + np.int64(value)
            if depth == _COUNT:
                supervoxel, count = np.uint64(0), np.uint64(0)
            elif depth == _BLOCK:
                code = np.uint64(0)
            continue
        if depth == _COUNT and number == 1:
            supervoxel = value
        elif depth == _COUNT and number == 2:
            if value > np.uint64(_MOST_COUNT):
                return message, block, entry, WIDE_COUNT, field
            count = value
        elif depth == _BLOCK and number == 1:
            if value >> np.uint64(3 * AXIS_BITS):
                return message, block, entry, WIDE_BLOCK, field
            code = value
        elif is_number and message < len(labels):
            if number == 2:
                labels[message] = value
            else:
                mutids[message] = value
        elif is_text and message < len(labels):
            texts[message, 2 * (number - 4)], texts[message, 2 * (number - 4) + 1] = at, at + np.int64(value)
        if kind == BYTES:
            at += np.int64(value)


@kernel(
    types.int64(_READ_LONGS, _READ_LABELS, _READ_LONGS, _READ_LABELS, _READ_COUNTS, _LONGS, _POINTS, _LABELS, _COUNTS),
    nogil=True,
)
def _settle(
    block_bounds: Longs,
    codes: Labels,
    entry_bounds: Longs,
    supervoxels: Labels,
    counts: Counts,
    bounds: Longs,
    out_blocks: Points,
    out_supervoxels: Labels,
    out_counts: Counts,
) -> int:
    """Sort by block and supervoxel; of equal keys the last holds, as in any map; counts of nothing are dropped."""
    kept = 0
    orders = np.empty(len(codes), np.uint64)
    for i in range(len(codes)):
        orders[i] = _block_order(codes[i])
    for message in range(len(block_bounds) - 1):
        begin, end = block_bounds[message], block_bounds[message + 1]
        own = orders[begin:end]
        sorted_already = True
        for i in range(1, len(own)):
            sorted_already = sorted_already and own[i - 1] < own[i]
        turn = np.arange(len(own)) if sorted_already else np.argsort(own, kind="mergesort")
        inner = turn
        for i in range(len(own)):
            order = own[turn[i]]
            if i + 1 < len(own) and own[turn[i + 1]] == order:
                continue
            first, last = entry_bounds[begin + turn[i]], entry_bounds[begin + turn[i] + 1]
            ids = supervoxels[first:last]
            ascending = True
            for j in range(1, len(ids)):
                ascending = ascending and ids[j - 1] < ids[j]
            if not ascending:
                inner = np.argsort(ids, kind="mergesort")
            for j in range(len(ids)):
                at = j if ascending else inner[j]
                if not ascending and j + 1 < len(ids) and ids[inner[j + 1]] == ids[at]:
                    continue
                if counts[first + at]:
                    out_blocks[kept, 0] = np.int64(order >> np.uint64(2 * AXIS_BITS)) - BLOCK_LIMIT
                    out_blocks[kept, 1] = (np.int64(order >> np.uint64(AXIS_BITS)) & (2 * SIGN - 1)) - BLOCK_LIMIT
                    out_blocks[kept, 2] = (np.int64(order) & (2 * SIGN - 1)) - BLOCK_LIMIT
                    out_supervoxels[kept] = ids[at]
                    out_counts[kept] = counts[first + at]
                    kept += 1
        bounds[message + 1] = kept
    return kept


Read = tuple[Labels, Labels, Longs, Longs, Labels, Longs, Labels, Counts]


def read_indices(
    data: Bytes, framed: bool, indices: int, blocks: int, entries: int
) -> tuple[tuple[int, int, int, int, int], Read]:
    """Check a message, count what is in it, and read it into arrays as far as there is room.

    Args:
        data: (n,) uint8: a LabelIndices message, or one LabelIndex.
        framed: True for LabelIndices.
        indices: room for so many indices.
        blocks: room for so many blocks.
        entries: room for so many entries.

    Returns:
        Numbers of indices, blocks, and entries, what is wrong (a key of `PROBLEMS`, 0 if nothing) and at which byte; and
        what was read, for `settle_indices`. If there was no room for all, read again with room for these numbers.
    """
    read = (
        np.zeros(indices, np.uint64),
        np.zeros(indices, np.uint64),
        np.zeros((indices, 6), np.int64),
        np.zeros(indices + 1, np.int64),
        np.empty(blocks, np.uint64),
        np.zeros(blocks + 1, np.int64),
        np.empty(entries, np.uint64),
        np.empty(entries, np.uint32),
    )
    return _read_indices(data, framed, *read), read


def settle_indices(
    read: Read, indices: int, blocks: int, entries: int
) -> tuple[Labels, Labels, Longs, Longs, Points, Labels, Counts]:
    """Put in order what was read whole, with the numbers that were found.

    Returns:
        labels: (m,) uint64: the body of each index.
        last_mutids: (m,) uint64.
        texts: (m, 6) int64: first and one behind the last byte of time, user and app of each.
        bounds: (m + 1,) int64: index i has the entries bounds[i] to bounds[i + 1] - 1.
        blocks_zyx: (n, 3) int32: the block of each entry; sorted by z, y and x in each index.
        supervoxels: (n,) uint64: sorted in each block.
        counts: (n,) uint32: voxels, never 0.
    """
    labels, mutids, texts = read[0][:indices].copy(), read[1][:indices].copy(), read[2][:indices].copy()
    parts = (read[3][: indices + 1], read[4][:blocks], read[5][: blocks + 1], read[6][:entries], read[7][:entries])
    bounds, blocks_zyx = np.zeros(indices + 1, np.int64), np.empty((entries, 3), np.int32)
    supervoxels, counts = np.empty(entries, np.uint64), np.empty(entries, np.uint32)
    kept: int = _settle(*parts, bounds, blocks_zyx, supervoxels, counts)
    return labels, mutids, texts, bounds, blocks_zyx[:kept], supervoxels[:kept], counts[:kept]


# ---- MappingOps ---------------------------------------------------------------------------------


@kernel(types.UniTuple(types.int64, 4)(_TEXT, _LABELS, _LABELS, _LONGS, _LABELS), nogil=True)
def _read_mappings(
    data: Bytes, mutids: Labels, mapped: Labels, bounds: Longs, originals: Labels
) -> tuple[int, int, int, int]:
    operation, entry, outer = 0, 0, 0
    while outer < len(data):
        number, kind, _, at, end = _read_field(data, outer, len(data))
        if end < 0:
            return operation, entry, end, outer
        if number == 1 and kind != BYTES:
            return operation, entry, WRONG_TYPE, outer
        outer = end
        if number != 1:
            continue
        while at < end:
            number, kind, value, begin, stop = _read_field(data, at, end)
            if stop < 0:
                return operation, entry, stop, at
            if 1 <= number <= 3 and kind != VARINT and not (number == 3 and kind == BYTES):
                return operation, entry, WRONG_TYPE, at
            if number == 3:
                while begin < stop:
                    value, after = _read_varint(data, begin, stop)
                    if after < 0:
                        return operation, entry, after, begin
                    if entry < len(originals):
                        originals[entry] = value
                    entry, begin = entry + 1, after
            elif number == 1 and operation < len(mutids):
                mutids[operation] = value
            elif number == 2 and operation < len(mutids):
                mapped[operation] = value
            at = stop
        operation += 1
        if operation <= len(mutids):
            bounds[operation] = entry
    return operation, entry, 0, 0


def read_mappings(
    data: Bytes, operations: int, originals: int
) -> tuple[tuple[int, int, int, int], tuple[Labels, Labels, Longs, Labels]]:
    """Check a MappingOps message, count what is in it, and read it into arrays as far as there is room.

    Args:
        data: (n,) uint8.
        operations: room for so many operations.
        originals: room for so many originals.

    Returns:
        Numbers of operations and originals, what is wrong (a key of `PROBLEMS`, 0 if nothing) and at which byte; and
        mutids: (m,) uint64.
        mapped: (m,) uint64: what is mapped to.
        bounds: (m + 1,) int64: operation i has the originals bounds[i] to bounds[i + 1] - 1.
        originals: (n,) uint64: what is mapped, in the order given.
    """
    mutids, mapped = np.zeros(operations, np.uint64), np.zeros(operations, np.uint64)
    bounds, found = np.zeros(operations + 1, np.int64), np.empty(originals, np.uint64)
    return _read_mappings(data, mutids, mapped, bounds, found), (mutids, mapped, bounds, found)
