"""Writing protobuf messages of labels from arrays: what `dvid.kernels.protobuf` reads."""

from __future__ import annotations

import numba
import numpy as np
from numba import types

from dvid.kernels.compiling import kernel
from dvid.kernels.protobuf import AXIS_BITS, BLOCK_LIMIT, BYTES, SIGN, VARINT, Bytes, Counts, Labels, Longs, Points

_TEXT = types.Array(types.uint8, 1, "C", readonly=True)
_BUFFER = types.Array(types.uint8, 1, "C")
_LABELS = types.Array(types.uint64, 1, "C", readonly=True)
_COUNTS = types.Array(types.uint32, 1, "C", readonly=True)
_READ_LONGS = types.Array(types.int64, 1, "C", readonly=True)
_LONGS = types.Array(types.int64, 1, "C")
_LONG_TABLE = types.Array(types.int64, 2, "C")
_POINTS = types.Array(types.int32, 2, "C", readonly=True)


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _varint_size(value: np.uint64) -> int:
    size = 1
    while value > np.uint64(0x7F):
        value >>= np.uint64(7)
        size += 1
    return size


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _put_varint(out: Bytes, at: int, value: np.uint64) -> int:
    while value > np.uint64(0x7F):
        out[at] = (value & np.uint64(0x7F)) | np.uint64(0x80)
        value >>= np.uint64(7)
        at += 1
    out[at] = value
    return at + 1


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _block_code(z: int, y: int, x: int) -> np.uint64:
    """Three numbers of 21 bits, x lowest, each a sign and a magnitude."""
    code = 0
    for value in (z, y, x):
        code = code << AXIS_BITS | (SIGN | -value if value < 0 else value)
    return np.uint64(code)


@kernel(
    types.int64(
        *(
            _LABELS,
            _LABELS,
            _READ_LONGS,
            _POINTS,
            _LABELS,
            _COUNTS,
            _READ_LONGS,
            types.boolean,
        ),
        *(_LONGS, _LONG_TABLE),
    ),
    nogil=True,
)
def _measure(
    labels: Labels,
    mutids: Labels,
    bounds: Longs,
    blocks_zyx: Points,
    supervoxels: Labels,
    counts: Counts,
    tails: Longs,
    framed: bool,
    sizes: Longs,
    places: Longs,
) -> int:
    """Bytes of all messages, or -1 - the entry whose block has no key. `sizes`: of the SVCount that begins at an entry."""
    total = 0
    for message in range(len(labels)):
        size = int(tails[message + 1]) - int(tails[message])
        if labels[message]:
            size += 1 + _varint_size(labels[message])
        if mutids[message]:
            size += 1 + _varint_size(mutids[message])
        at, end = bounds[message], bounds[message + 1]
        while at < end:
            z, y, x = np.int64(blocks_zyx[at, 0]), np.int64(blocks_zyx[at, 1]), np.int64(blocks_zyx[at, 2])
            if max(abs(z), abs(y), abs(x)) >= BLOCK_LIMIT:
                return -1 - int(at)
            first, inside = at, 0
            while at < end and blocks_zyx[at, 2] == x and blocks_zyx[at, 1] == y and blocks_zyx[at, 0] == z:
                inside += 4 + _varint_size(supervoxels[at]) + _varint_size(np.uint64(counts[at]))
                at += 1
            sizes[first] = inside
            block = 2 + _varint_size(_block_code(z, y, x)) + _varint_size(np.uint64(inside)) + inside
            size += 1 + _varint_size(np.uint64(block)) + block
        if framed:
            total += 1 + _varint_size(np.uint64(size))
        places[message, 0] = total
        total += size
        places[message, 1] = total
    return total


@kernel(
    types.void(
        *(_LABELS, _LABELS, _READ_LONGS, _POINTS, _LABELS, _COUNTS, _TEXT, _READ_LONGS),
        *(types.boolean, _LONGS, _LONG_TABLE, _BUFFER),
    ),
    nogil=True,
)
def _write(
    labels: Labels,
    mutids: Labels,
    bounds: Longs,
    blocks_zyx: Points,
    supervoxels: Labels,
    counts: Counts,
    texts: Bytes,
    tails: Longs,
    framed: bool,
    sizes: Longs,
    places: Longs,
    out: Bytes,
) -> None:
    """Write what was measured. A tag is the number of the field, shifted by 3, and its wire type."""
    to = 0
    for message in range(len(labels)):
        if framed:
            out[to] = 1 << 3 | BYTES
            to = _put_varint(out, to + 1, np.uint64(places[message, 1] - places[message, 0]))
        at, end = bounds[message], bounds[message + 1]
        while at < end:
            z, y, x = blocks_zyx[at]
            code, inside = _block_code(np.int64(z), np.int64(y), np.int64(x)), np.uint64(sizes[at])
            block = np.int64(inside) + 2 + _varint_size(code) + _varint_size(inside)
            out[to] = 1 << 3 | BYTES
            to = _put_varint(out, to + 1, np.uint64(block))
            out[to] = 1 << 3 | VARINT
            to = _put_varint(out, to + 1, code)
            out[to] = 2 << 3 | BYTES
            to = _put_varint(out, to + 1, inside)
            stop = to + np.int64(inside)
            while to < stop:
                out[to] = 1 << 3 | BYTES
                out[to + 1] = 2 + _varint_size(supervoxels[at]) + _varint_size(np.uint64(counts[at]))
                out[to + 2] = 1 << 3 | VARINT
                to = _put_varint(out, to + 3, supervoxels[at])
                out[to] = 2 << 3 | VARINT
                to = _put_varint(out, to + 1, np.uint64(counts[at]))
                at += 1
        if labels[message]:
            out[to] = 2 << 3 | VARINT
            to = _put_varint(out, to + 1, labels[message])
        if mutids[message]:
            out[to] = 3 << 3 | VARINT
            to = _put_varint(out, to + 1, mutids[message])
        for i in range(tails[message], tails[message + 1]):
            out[to] = texts[i]
            to += 1


def write_indices(
    labels: Labels,
    mutids: Labels,
    bounds: Longs,
    blocks_zyx: Points,
    supervoxels: Labels,
    counts: Counts,
    tails: tuple[Bytes, Longs],
    framed: bool,
) -> tuple[Bytes, Longs] | int:
    """Write LabelIndex messages, one behind the other.

    Args:
        labels: (m,) uint64: the body of each index.
        mutids: (m,) uint64.
        bounds: (m + 1,) int64: index i has the entries bounds[i] to bounds[i + 1] - 1. From 0 to n, not falling.
        blocks_zyx: (n, 3) int32: the block of each entry; equal ones of an index stand together.
        supervoxels: (n,) uint64.
        counts: (n,) uint32.
        tails: the bytes of all texts as fields 4 to 6, and (m + 1,) int64 where those of each index begin.
        framed: with a frame before each, so that together they are a LabelIndices message.

    Returns:
        The bytes, and (m, 2) int64 where each message begins and ends in them; or the first entry whose block has a
        coordinate beyond `BLOCK_LIMIT`.
    """
    texts, text_bounds = tails
    sizes, places = np.empty(len(counts), np.int64), np.empty((len(labels), 2), np.int64)
    arrays = (labels, mutids, bounds, blocks_zyx, supervoxels, counts)
    total: int = _measure(*arrays, text_bounds, framed, sizes, places)
    if total < 0:
        return -1 - total
    out = np.empty(total, np.uint8)
    _write(*arrays, texts, text_bounds, framed, sizes, places, out)
    return out, places
