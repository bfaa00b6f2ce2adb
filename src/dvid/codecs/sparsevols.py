"""Sparse volumes as run lengths: the format of `sparsevol`, `sparsevol-coarse` and of what is posted to split by.

All integers are little-endian. The legacy format ("rles") is a header of 12 bytes and then the runs:

    uint8   payload: 0, voxels have none
    uint8   number of dimensions: 3
    uint8   dimension of the runs: 0 (x)
    uint8   reserved
    uint32  number of voxels: the reference server always puts 0, and so do we
    uint32  number of runs
    int32   x, y, z and length of each run

Streaming run lengths ("srles") are the runs alone. A coarse volume is the same with block coordinates. In the stream of
`sparsevols-coarse`, each coarse volume is a uint64 label, an int32 number of runs, and the runs. Arrays of runs are those of
`dvid.kernels.runs`.
"""

from __future__ import annotations

import struct

import numpy as np

from dvid.errors import BadRequest, TooLarge
from dvid.kernels.runs import Runs, first_wrong_run, ordered_runs

Buffer = bytes | bytearray | memoryview

_HEADER = struct.Struct("<BBBBII")
_COARSE_HEADER = struct.Struct("<Qi")
_RUN_BYTES = 16
_RUN_DTYPE = np.dtype("<i4")

MAX_RUNS = 2**32 - 1
"""Most runs in one legacy sparse volume: its count has 32 bits."""
_MAX_COARSE_RUNS = 2**31 - 1


def rles_header(runs: int) -> bytes:
    """The header of a legacy sparse volume of so many runs.

    Raises:
        TooLarge: the count does not fit.
    """
    if runs > MAX_RUNS:
        raise TooLarge(
            f"a sparse volume of {runs} runs does not fit the rles format, which holds {MAX_RUNS}; ask for srles"
        )
    return _HEADER.pack(0, 3, 0, 0, 0, runs)


def encode_srles(runs: Runs) -> memoryview:
    """Runs as they go out; nothing is copied on machines that are little-endian."""
    return np.ascontiguousarray(runs, _RUN_DTYPE).reshape(-1).view(np.uint8).data


def encode_rles(runs: Runs) -> bytes:
    """A legacy sparse volume: the runs in the order given, of voxels or of blocks.

    Raises:
        TooLarge: the format cannot hold so many.
    """
    return b"".join((rles_header(len(runs)), encode_srles(runs)))


def encode_labelled_rles(label: int, block_runs: Runs) -> bytes:
    """One label's coarse volume for the stream of `sparsevols-coarse`.

    Raises:
        TooLarge: the format cannot hold so many runs.
    """
    if len(block_runs) > _MAX_COARSE_RUNS:
        raise TooLarge(f"label {label} has {len(block_runs)} runs of blocks; the format holds {_MAX_COARSE_RUNS}")
    return b"".join((_COARSE_HEADER.pack(label, len(block_runs)), encode_srles(block_runs)))


def decode_rles(data: Buffer, what: str = "the sparse volume") -> Runs:
    """Read a legacy sparse volume that was posted, of voxels or of blocks.

    The number of voxels in the header is ignored, as the reference server does: clients put 0 or a count.

    Args:
        data: header and runs, nothing behind them.
        what: names the data in an error.

    Returns:
        (n, 4) int32 runs in order: sorted by z, y and x, disjoint, whatever was posted. Perhaps none; perhaps a view of
        `data`.

    Raises:
        BadRequest: truncated, bytes too many, a payload, other than 3 dimensions, runs along another axis than x, a run
            without voxels, or one that leaves the 32-bit coordinates.
    """
    view = memoryview(data).cast("B")
    if len(view) < _HEADER.size:
        raise BadRequest(f"{what} has {len(view)} bytes, expected a header of {_HEADER.size} and then the runs")
    payload, dimensions, axis, _, _, count = _HEADER.unpack_from(view)
    if payload:
        raise BadRequest(f"{what} has a payload ({payload:#04x} in byte 0), expected a binary sparse volume (0x00)")
    if dimensions != 3:
        raise BadRequest(f"{what} has {dimensions} dimensions, expected 3")
    if axis:
        raise BadRequest(f"{what} has runs along dimension {axis}, expected 0 (x)")
    if len(view) != _HEADER.size + count * _RUN_BYTES:
        raise BadRequest(
            f"{what} says it has {count} runs, which take {_HEADER.size + count * _RUN_BYTES} bytes, "
            f"but it has {len(view)} bytes"
        )
    posted = np.frombuffer(view, _RUN_DTYPE, offset=_HEADER.size).reshape(-1, 4).astype(np.int32, copy=False)
    wrong = first_wrong_run(posted)
    if wrong >= 0:
        x, y, z, length = map(int, posted[wrong])
        raise BadRequest(
            f"run {wrong} of {what}, at x={x} y={y} z={z} with length {length}, "
            + ("has no voxels" if length < 1 else f"ends at x={x + length - 1}, beyond {2**31 - 1}")
        )
    return ordered_runs(posted)
