"""Boxes of voxels in requests: which box is meant, and the voxels that are sent for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from dvid.codecs.compression import gzip_decompress, lz4_decompress
from dvid.errors import BadRequest, TooLarge
from dvid.geometry import MAX_COORDINATE, Box, Xyz, Zyx, reverse3
from dvid.routes import Call
from dvid.storage.protocol import Buffer

Planes = Callable[[int], Buffer]
"""Gives the bytes of the next so many planes (z) of a box; what it gave the time before last is not valid any longer."""

Part = TypeVar("Part")
Given = TypeVar("Given")


def requested_box(size: tuple[int, ...], offset: Xyz) -> Box:
    """The box that a request names.

    Raises:
        BadRequest: the size is not one of a volume, or the box leaves the coordinates.
    """
    if len(size) != 3:
        raise BadRequest(f"size: three numbers, x_y_z, were expected for a volume, not {len(size)}")
    return within(Box.at(reverse3(offset), (size[2], size[1], size[0])))


def within(box: Box) -> Box:
    """The same box, if it ends within the coordinates.

    Raises:
        BadRequest: it does not.
    """
    if max(box.stop_zyx) > MAX_COORDINATE:
        raise BadRequest(f"the box ends at {box.stop_zyx[::-1]}, beyond the largest coordinate {MAX_COORDINATE}")
    return box


def need_aligned(box: Box, block_zyx: Zyx, otherwise: str = "") -> None:
    """Refuse a box that is not made of whole blocks; `otherwise` says what else can be done than to give such a one.

    Raises:
        BadRequest: it cuts some.
    """
    if not box.is_aligned(block_zyx):
        raise BadRequest(
            f"the box from {box.start_zyx[::-1]} to {box.stop_zyx[::-1]} (x, y, z) cuts blocks of {block_zyx[::-1]}: "
            f"give offset and size in whole blocks{otherwise}"
        )


def sent_planes(call: Call, compression: str, box: Box, voxel_bytes: int, depth: int) -> Planes:
    """The planes of a box, as they come with the request's body.

    Args:
        call: the request.
        compression: of the body: lz4, gzip, or the empty string.
        box: which.
        voxel_bytes: bytes of a voxel.
        depth: the most planes that are asked for at a time.
    """
    length = box.voxels * voxel_bytes
    plane, seen = length // box.shape_zyx[0], 0
    if compression:
        whole = memoryview(sent_voxels(call, compression, length))

        def given(count: int) -> memoryview:
            nonlocal seen
            seen += count * plane
            return whole[seen - count * plane : seen]

        return given
    _check_announced(call, length)
    if length > call.limits.body_bytes:
        raise TooLarge(f"the box has {length} bytes, the limit is {call.limits.body_bytes} (limits.bodyBytes)")
    rooms = np.empty((min(2, -(-box.shape_zyx[0] // depth)), depth * plane), np.uint8)  # each of one layer of blocks

    def planes(count: int) -> memoryview:
        nonlocal seen
        room = rooms[seen // rooms.shape[1] % len(rooms)]
        filled, wanted = 0, count * plane
        while filled < wanted:
            piece = call.read(wanted - filled)
            if not piece:
                raise BadRequest(_wrong_length(length, seen + filled))
            room[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
            filled += len(piece)
        seen += filled
        return memoryview(room[:wanted])

    return planes


def work_behind(parts: Sequence[Part], receive: Callable[[Part], Given], work: Callable[[Part, Given], None]) -> None:
    """Work on what was received for one part while what belongs to the next part comes in."""
    if len(parts) == 1:
        work(parts[0], receive(parts[0]))
        return
    with ThreadPoolExecutor(1, "parts") as pool:
        before: Future[None] | None = None
        for part in parts:
            given = receive(part)
            if before is not None:
                before.result()
            before = pool.submit(work, part, given)
        if before is not None:
            before.result()


def expect_end(call: Call) -> None:
    """Refuse a body that has more than was read of it.

    Raises:
        BadRequest: it has.
    """
    if call.read(1):
        raise BadRequest("the request's body has more bytes than the box takes")


def plain_body(call: Call, expected: int) -> bytes:
    """The voxels in a request's body.

    Raises:
        BadRequest: they are not as many bytes as expected.
    """
    _check_announced(call, expected)
    return _checked(call.body(), expected)


def sent_voxels(call: Call, compression: str, expected: int) -> bytes:
    """The voxels in a request's body, compressed as `lz4`, `gzip` or not at all.

    Raises:
        BadRequest: they are not as many bytes as expected.
    """
    if compression == "lz4":
        return lz4_decompress(call.body(), expected)
    if compression == "gzip":
        return _checked(gzip_decompress(call.body(), expected, "the voxels"), expected)
    return plain_body(call, expected)


def _wrong_length(expected: int, found: int | str) -> str:
    return f"the box takes {expected} bytes of voxels; the request's body has {found}"


def _checked(data: bytes, expected: int) -> bytes:
    if len(data) != expected:
        raise BadRequest(_wrong_length(expected, len(data)))
    return data


def _check_announced(call: Call, expected: int) -> None:
    announced = call.header("Content-Length")
    if announced is not None and announced.isdecimal() and int(announced) != expected:
        raise BadRequest(_wrong_length(expected, announced))
