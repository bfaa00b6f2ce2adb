"""Requests for boxes of voxels: `raw` and `isotropic`, to read and to write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dvid.codecs.compression import gzip_compress, gzip_stream, lz4_compress
from dvid.codecs.images import encode_image, encode_volume_jpeg, parse_format
from dvid.datatypes.boxes import expect_end, need_aligned, requested_box, sent_planes, sent_voxels, within
from dvid.datatypes.imageblk import operations as ops
from dvid.datatypes.imageblk.layout import layout_of
from dvid.datatypes.imageblk.reading import memory_at, read_box, read_bytes, stream_box
from dvid.datatypes.imageblk.writing import Draft, merge_box
from dvid.datatypes.planes import Plane, scaled, stored_size
from dvid.errors import BadRequest
from dvid.geometry import Box, Xyz, Zyx
from dvid.routes import TEXT, Call, Reply
from dvid.versions.edit import Edit
from dvid.versions.view import View

MAX_IMAGE_BYTES = 1 << 28
"""Images and volumes compressed with LZ4 are made whole in memory: this is the most voxel bytes one may have."""

WHOLE_BYTES = 1 << 20
"""Volumes of at most so many bytes are answered in one piece."""

_WIRE_ACCELERATION = 8  # of LZ4: 70 % of the time and 95 % of the saving, on microscope images with their noise


# ---- reading ------------------------------------------------------------------------------------


def get_raw(
    call: Call,
    dims: Plane | None,
    size: tuple[int, ...],
    offset: Xyz,
    format: str,  # noqa: A002 - named as in the path
    roi: str,
    attenuation: int,
    compression: str,
    isotropic: bool = False,
) -> Reply:
    """Answer a slice as an image, or a box as voxels."""
    if attenuation and not roi:
        raise BadRequest("attenuation is for what lies outside a region: name it with roi=")
    if dims is not None:
        if compression:
            raise BadRequest("compression is for volumes; the format of a slice is the last part of the path")
        return _slice(call, dims, size, offset, format, roi, attenuation, isotropic)
    box = requested_box(size, offset)
    with call.view() as view:
        voxels = layout_of(view.instance)
        voxels.check_size(box, call.limits.answer_bytes)
        if roi:
            ops.check_region(view, roi)
        if format not in ("", "octet-stream"):
            return _jpeg_volume(view, box, format, roi)
        length = voxels.bytes_of(box)
        if length <= WHOLE_BYTES or compression == "lz4":
            if compression:
                voxels.check_size(box, MAX_IMAGE_BYTES, "for LZ4, which needs it in one piece")
            data = ops.read_masked(view, box, roi).data if roi else read_bytes(view, box)
            if compression == "lz4":
                return Reply(lz4_compress(data, _WIRE_ACCELERATION))
            return Reply(gzip_compress(data) if compression else data)
    # In a volume, what lies outside the region is always 0, as in the reference server: it is data, not a picture.
    pieces = _pieces(call, box, roi)
    return Reply(gzip_stream(pieces)) if compression else Reply(pieces, length=length)


def get_isotropic(call: Call, **arguments: Any) -> Reply:
    """Like `get_raw`, with square pixels."""
    return get_raw(call, **arguments, isotropic=True)


def _pieces(call: Call, box: Box, roi: str) -> Iterator[bytes]:
    with call.view() as view:
        itemsize = layout_of(view.instance).itemsize
        for part, data, address in stream_box(view, box):
            if roi:
                ops.darken(view, part, memory_at(address, (*part.shape_zyx, itemsize)), roi)
            yield data


def _slice(
    call: Call,
    plane: Plane,
    size: tuple[int, ...],
    offset: Xyz,
    format_text: str,
    roi: str,
    attenuation: int,
    isotropic: bool,
) -> Reply:
    image_format = parse_format(format_text)
    if len(size) != 2:
        raise BadRequest(f"size: two numbers, width_height, were expected for a slice, not {len(size)}")
    width, height = size
    with call.view() as view:
        voxels = layout_of(view.instance)
        stored = (width, height)
        if isotropic:
            stored = stored_size(stored, plane, tuple(view.instance.settings["VoxelSize"]))
            if min(stored) < 1:
                raise BadRequest(f"the image of {width} x {height} pixels is less than one voxel wide or high")
            voxels.check_size(Box.at((0, 0, 0), (1, height, width)), MAX_IMAGE_BYTES, "for images")
        box = within(plane.box(stored, offset))
        voxels.check_size(box, call.limits.answer_bytes)
        voxels.check_size(box, MAX_IMAGE_BYTES, "for images")
        if roi:
            ops.check_region(view, roi, attenuation)
            volume = voxels.array(ops.read_masked(view, box, roi, attenuation), box.shape_zyx)
        else:
            volume = read_box(view, box)
    image = plane.image(volume)
    if isotropic:
        image = scaled(image, (width, height), interpolate=voxels.interpolable)
    return Reply(*encode_image(image, image_format))


def _jpeg_volume(view: View, box: Box, format_text: str, roi: str) -> Reply:
    image_format = parse_format(format_text)
    voxels = layout_of(view.instance)
    if image_format.kind != "jpg" or voxels.itemsize != 1:
        raise BadRequest(
            "volumes leave as octet-stream, or those of 8-bit gray also as one jpg, planes under each other"
        )
    voxels.check_size(box, MAX_IMAGE_BYTES, "for images")
    volume = ops.read_masked(view, box, roi) if roi else np.frombuffer(read_bytes(view, box), np.uint8)
    return Reply(encode_volume_jpeg(volume.reshape(box.shape_zyx), image_format.quality), "image/jpeg")


# ---- writing ------------------------------------------------------------------------------------


def post_raw(
    call: Call,
    dims: Plane | None,
    size: tuple[int, ...],
    offset: Xyz,
    roi: str,
    mutate: bool,
    unaligned: bool,
    compression: str,
) -> Reply:
    """Store a box of voxels."""
    if dims is not None:
        raise BadRequest("slices cannot be stored: POST 3D boxes (0_1_2) of whole blocks")
    box = requested_box(size, offset)
    # The view ends before the body arrives: a slow client must not keep the store from using its old pages again.
    with call.view() as view:
        voxels = layout_of(view.instance)
        voxels.check_size(box, call.limits.decompressed_bytes, "limits.decompressedBytes")
        aligned = box.is_aligned(voxels.block_zyx)
        if not unaligned:
            need_aligned(box, voxels.block_zyx, ", or add unaligned=true")
        if not aligned:  # a thin box takes few bytes, and may touch a thousand times as many: they are read and written
            touched = box.blocks(voxels.block_zyx).box(voxels.block_zyx)
            voxels.check_size(touched, call.limits.decompressed_bytes, "limits.decompressedBytes, for whole blocks")
        inside = _inside(view, roi, box)
        draft = Draft(view, box, inside) if aligned else None
    if draft is None:
        data = np.frombuffer(sent_voxels(call, compression, voxels.bytes_of(box)), np.uint8)

        def write(edit: Edit) -> Reply:
            merge_box(edit, box, data, mutate=mutate, inside=_inside(edit, roi, box))
            return Reply(b"", TEXT)

        return call.edit(write)
    draft.seal_while_they_come(sent_planes(call, compression, box, voxels.itemsize, voxels.block_zyx[0]))
    expect_end(call)
    return put_draft(call, draft, mutate=mutate)


def put_draft(call: Call, draft: Draft, *, mutate: bool, grow: bool = True) -> Reply:
    """Store a draft at the instance that a request names."""

    def write(edit: Edit) -> Reply:
        draft.store(edit, mutate=mutate, grow=grow)
        return Reply(b"", TEXT)

    reply = call.edit(write)
    draft.clear()
    return reply


def _inside(view: View, roi: str, box: Box) -> Callable[[Zyx], bool] | None:
    return ops.blocks_inside(view, roi, box) if roi else None


def refuse_isotropic(call: Call, **_: Any) -> Reply:
    """Refuse to store isotropic images."""
    raise BadRequest("isotropic images cannot be stored: POST to raw")
