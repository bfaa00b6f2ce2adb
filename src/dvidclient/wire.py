"""Voxels on the wire: arrays (z, y, x, c) in C order, little-endian, between HTTP bodies and memory."""

from __future__ import annotations

import functools
import http.client
from typing import Any

import numpy as np
import urllib3

from dvidclient import answers

Voxels = np.ndarray[Any, np.dtype[Any]]

# Small enough to stay in a processor's cache between the socket and the array.
PIECE_BYTES = 256 << 10
# What is received straight into its place goes through no such cache, and needs fewer calls.
STRAIGHT_BYTES = 4 << 20


def as_zyxc(array: Voxels, axes: str) -> Voxels:
    """A view (z, y, x, c) of an array whose axes are ``axes``; axes that it does not have get size 1."""
    view = array.transpose([axes.index(axis) for axis in "zyxc" if axis in axes])
    return view[tuple(slice(None) if axis in axes else None for axis in "zyxc")]


def from_zyxc(voxels_zyxc: Voxels, axes: str) -> Voxels:
    """A view with the axes ``axes`` of an array (z, y, x, c) whose other axes have size 1."""
    view = voxels_zyxc[tuple(slice(None) if axis in axes else 0 for axis in "zyxc")]
    present = [axis for axis in "zyxc" if axis in axes]
    return view.transpose([present.index(axis) for axis in axes])


def wire_bytes(voxels_zyxc: Voxels) -> memoryview:
    """The bytes to send for an array (z, y, x, c); copied only where they do not lie like this in memory."""
    wire = np.ascontiguousarray(voxels_zyxc, dtype=voxels_zyxc.dtype.newbyteorder("<"))
    return wire.reshape(-1).view(np.uint8).data


def receive_voxels(response: urllib3.BaseHTTPResponse, target_zyxc: Voxels, first_channel: int, channels: int) -> None:
    """Reads the voxels of an answer into an array (z, y, x, c) of any strides.

    Args:
        response: holds ``channels`` channels of each voxel, of the type of the array.
        target_zyxc: takes the channels from ``first_channel`` on, as many as it has.
        first_channel: the first channel that is wanted.
        channels: how many channels the answer has.

    Raises:
        urllib3.exceptions.ProtocolError: where the answer is longer or shorter than the array.
    """
    wire = target_zyxc.dtype.newbyteorder("<")
    nz, ny, nx, wanted = target_zyxc.shape
    expected = nz * ny * nx * channels * wire.itemsize
    declared = response.headers.get("Content-Length")
    if declared is not None and declared != str(expected):
        raise urllib3.exceptions.ProtocolError(f"expected {expected} bytes of voxels, the server sends {declared}")
    if wanted == channels and target_zyxc.dtype == wire and target_zyxc.flags.c_contiguous:
        _fill(response, target_zyxc.reshape(-1).view(np.uint8).data)
    else:
        row_bytes = nx * channels * wire.itemsize
        rows = max(1, min(ny, PIECE_BYTES // row_bytes))
        planes = max(1, PIECE_BYTES // (ny * row_bytes)) if rows == ny else 1
        buffer = np.empty(planes * rows * row_bytes, np.uint8)
        chosen = slice(first_channel, first_channel + wanted)
        for z in range(0, nz, planes):
            for y in range(0, ny, rows):
                part = target_zyxc[z : z + planes, y : y + rows]
                piece = buffer[: part.shape[0] * part.shape[1] * row_bytes]
                _fill(response, piece.data)
                part[...] = piece.view(wire).reshape(*part.shape[:3], channels)[..., chosen]
    if response.read(1):
        raise urllib3.exceptions.ProtocolError(f"expected {expected} bytes of voxels, the server sends more")


@functools.cache
def lz4_block() -> Any:
    """The module ``lz4.block``, or None where it is not installed."""
    try:
        import lz4.block
    except ImportError:
        return None
    return lz4.block


def compressed(voxels: memoryview) -> bytes:
    """The bytes of voxels as one lz4 block, without a length before it."""
    packed: bytes = lz4_block().compress(voxels, store_size=False)
    return packed


def largest_lz4(size: int) -> int:
    """How many bytes the lz4 block of so many has at most, which is what lz4 makes of noise."""
    return size + size // 255 + 16


def receive_lz4(response: urllib3.BaseHTTPResponse, target_zyxc: Voxels, first_channel: int, channels: int) -> None:
    """As ``receive_voxels``, of an answer that is one lz4 block; takes as much memory again as the voxels of the answer.

    Raises:
        urllib3.exceptions.ProtocolError: where it is no such block, or one of more or fewer voxels.
    """
    wire = target_zyxc.dtype.newbyteorder("<")
    shape = (*target_zyxc.shape[:3], channels)
    expected = int(np.prod(shape, dtype=np.int64)) * wire.itemsize
    packed = answers.whole(response, largest_lz4(expected))
    try:
        voxels = lz4_block().decompress(packed, uncompressed_size=expected)
        if len(voxels) != expected:
            raise ValueError(f"it holds {len(voxels)} bytes")
    except (ValueError, lz4_block().LZ4BlockError) as error:
        raise urllib3.exceptions.ProtocolError(f"expected lz4 of {expected} bytes of voxels: {error}") from error
    chosen = slice(first_channel, first_channel + target_zyxc.shape[3])
    target_zyxc[...] = np.frombuffer(voxels, wire).reshape(shape)[..., chosen]


def _fill(response: urllib3.BaseHTTPResponse, target: memoryview) -> None:
    socket_end = _socket_end(response)
    at = 0
    while at < len(target):
        if socket_end is None:
            piece = response.read(min(PIECE_BYTES, len(target) - at))
            got = len(piece)
            target[at : at + got] = piece
        else:
            got = _receive_into(socket_end, target[at : at + STRAIGHT_BYTES])
        if not got:
            raise urllib3.exceptions.ProtocolError(f"the answer ended {len(target) - at} bytes early")
        at += got
    if socket_end is not None and response.length_remaining is not None:
        response.length_remaining -= at


def _socket_end(response: urllib3.BaseHTTPResponse) -> http.client.HTTPResponse | None:
    """What reads from the socket into memory of one's own, which urllib3 has no call for; None where there is none."""
    behind = getattr(response, "_fp", None)
    return behind if isinstance(behind, http.client.HTTPResponse) and not behind.isclosed() else None


def _receive_into(socket_end: http.client.HTTPResponse, target: memoryview) -> int:
    try:
        return socket_end.readinto(target)
    except (OSError, http.client.HTTPException) as error:
        raise urllib3.exceptions.ProtocolError(f"the connection broke: {error!r}") from error
