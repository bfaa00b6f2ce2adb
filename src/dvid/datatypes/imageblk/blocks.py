"""Requests for whole blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from dvid.datatypes.boxes import need_aligned, plain_body, requested_box, within
from dvid.datatypes.imageblk.layout import layout_of
from dvid.datatypes.imageblk.raw import WHOLE_BYTES, put_draft
from dvid.datatypes.imageblk.streams import (
    Groups,
    groups_of,
    leaves_as_jpeg,
    stream_jpeg_blocks,
    stream_row,
    stream_voxel_blocks,
)
from dvid.datatypes.imageblk.writing import Draft, planes_of
from dvid.errors import BadRequest, TooLarge
from dvid.geometry import BlockRange, Xyz, Zyx, reverse3
from dvid.routes import Call, Reply
from dvid.versions.view import View


def get_blocks(call: Call, start: Xyz, count: int) -> Reply:
    """Answer a row of blocks."""
    with call.view() as view:
        voxels = layout_of(view.instance)
        length = count * voxels.block_bytes
        if length > call.limits.answer_bytes:
            raise TooLarge(
                f"{count} blocks have {length} bytes, the limit is {call.limits.answer_bytes} (limits.answerBytes)"
            )
        within(_row(reverse3(start), count).box(voxels.block_zyx))
        if length <= WHOLE_BYTES:
            return Reply(b"".join(stream_row(view, reverse3(start), count)))
    return Reply(_stream(call, lambda view: stream_row(view, reverse3(start), count)), length=length)


def post_blocks(call: Call, start: Xyz, count: int, mutate: bool) -> Reply:
    """Store a row of blocks."""
    with call.view() as view:  # ends before the body arrives: clients may be slow
        voxels = layout_of(view.instance)
        box = within(_row(reverse3(start), count).box(voxels.block_zyx))
        draft = Draft(view, box)
    voxels.check_size(box, call.limits.decompressed_bytes, "limits.decompressedBytes")
    data = np.frombuffer(plain_body(call, voxels.bytes_of(box)), np.uint8)
    depth, height, width = voxels.block_zyx
    blocks = data.reshape(count, depth, height, width * voxels.itemsize)
    volume = np.ascontiguousarray(blocks.transpose(1, 2, 0, 3)).reshape(-1)
    draft.seal(planes_of(voxels, box, volume))
    # As in the reference server, whole blocks don't grow the extents: those who write them set the extents.
    return put_draft(call, draft, mutate=mutate, grow=False)


def _row(start_zyx: Zyx, count: int) -> BlockRange:
    z, y, x = start_zyx
    return BlockRange(start_zyx, (z + 1, y + 1, x + count))


def get_subvolblocks(call: Call, size: tuple[int, ...], offset: Xyz, compression: str) -> Reply:
    """Answer the blocks of a box."""
    box = requested_box(size, offset)
    with call.view() as view:
        voxels = layout_of(view.instance)
        jpeg = leaves_as_jpeg(view, compression)
        voxels.check_size(box, call.limits.answer_bytes)
        need_aligned(box, voxels.block_zyx)
    return _blocks_reply(call, groups_of(box.blocks(voxels.block_zyx)), jpeg)


def get_specificblocks(call: Call, blocks: tuple[int, ...], compression: str, prefetch: bool) -> Reply:
    """Answer single blocks."""
    if len(blocks) % 3:
        raise BadRequest(f"blocks: three numbers for each block were expected, not {len(blocks)} in all")
    wanted = [reverse3((x, y, z)) for x, y, z in zip(blocks[::3], blocks[1::3], blocks[2::3], strict=True)]
    with call.view() as view:
        voxels = layout_of(view.instance)
        jpeg = leaves_as_jpeg(view, compression)
        size = len(wanted) * voxels.block_bytes
        if size > call.limits.answer_bytes:
            raise TooLarge(f"{len(wanted)} blocks have {size} bytes, the limit is {call.limits.answer_bytes}")
    if prefetch:
        return Reply(b"")
    return _blocks_reply(call, groups_of(wanted), jpeg)


def _blocks_reply(call: Call, groups: Groups, jpeg: bool) -> Reply:
    if jpeg:
        return Reply(_stream(call, lambda view: stream_jpeg_blocks(view, groups)))
    sized = _sized_stream(call, groups)
    length = int(next(sized))
    if length <= WHOLE_BYTES:
        return Reply(b"".join(sized))  # type: ignore[arg-type]
    return Reply(sized, length=length)  # type: ignore[arg-type]


def _sized_stream(call: Call, groups: Groups) -> Iterator[int | bytes]:
    """First the bytes of all, then the bytes: the view in which they were counted stays open for both."""
    with call.view() as view:
        length, pieces = stream_voxel_blocks(view, groups)
        yield length
        yield from pieces


def _stream(call: Call, pieces: Callable[[View], Iterator[bytes]]) -> Iterator[bytes]:
    with call.view() as view:
        yield from pieces(view)
