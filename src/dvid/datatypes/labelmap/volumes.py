"""Requests for voxels of labels: boxes, slices, single points."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from dvid.codecs import labellz4, segmentation
from dvid.codecs.compression import gzip_compress, gzip_stream
from dvid.codecs.images import encode_image, parse_format
from dvid.datatypes.boxes import expect_end, need_aligned, requested_box, sent_planes, within, work_behind
from dvid.datatypes.imageblk.layout import layout_of
from dvid.datatypes.labelmap import faults
from dvid.datatypes.labelmap.arguments import HASH, SUPERVOXELS, checked_body
from dvid.datatypes.labelmap.writes import WHERE_TOLD, Draft
from dvid.datatypes.planes import Plane, parse_dims, scaled, stored_size
from dvid.datatypes.roi.operations import sampled_mask, touched_blocks, voxel_mask
from dvid.errors import BadRequest
from dvid.geometry import MAX_COORDINATE, MIN_COORDINATE, BlockRange, Box, Xyz
from dvid.kernels.colours import pseudocolours
from dvid.labels.blocks import block_shape
from dvid.labels.reading import VOXEL_BYTES, labels_at, read_label_bytes, read_labels, stream_labels
from dvid.labels.scales import lowest
from dvid.labels.tables import Labels
from dvid.routes import JSON, TEXT, Argument, Call, Reply, Route, choice, coordinates, flag, integer, json_reply, xyz
from dvid.storage.protocol import Buffer
from dvid.versions.view import View

MAX_WHOLE_BYTES = 1 << 29
"""Images and volumes that are compressed as one are made whole in memory: this is the most voxel bytes one may have."""

_WHOLE_BYTES = 3 << 20
_MAX_POINTS = 1 << 20
_points = msgspec.json.Decoder(list[tuple[int, int, int]]).decode


# ---- reading ------------------------------------------------------------------------------------


def check_scale(view: View, scale: int) -> None:
    """Refuse a scale that the instance does not have.

    Raises:
        BadRequest: there is no such scale.
    """
    if scale > lowest(view):
        raise BadRequest(f"scale: this instance has the scales 0 to {lowest(view)} (MaxDownresLevel), not {scale}")


def _checked_box(call: Call, view: View, box: Box, scale: int, *, whole: bool) -> Box:
    voxels = layout_of(view.instance)
    check_scale(view, scale)
    voxels.check_size(box, call.limits.answer_bytes)
    if whole:
        voxels.check_size(box, MAX_WHOLE_BYTES, "for what is compressed as one, or is an image")
    return box


def _mask(view: View, box: Box, scale: int, roi: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which voxels of a box lie in a region: that of their first voxel at full resolution counts."""
    region = view.sibling(roi)
    return sampled_mask(region, box, scale) if scale else voxel_mask(region, box)


def _masked(view: View, box: Box, scale: int, supervoxels: bool, roi: str) -> Labels:
    labels = read_labels(view, box, scale, supervoxels=supervoxels)
    if roi:
        labels *= _mask(view, box, scale, roi)
    return labels


def get_raw(
    call: Call,
    dims: Plane | None,
    size: tuple[int, ...],
    offset: Xyz,
    format: str,  # noqa: A002 - named as in the path
    roi: str,
    scale: int,
    supervoxels: bool,
    compression: str,
    isotropic: bool = False,
) -> Reply:
    """Answer a slice as an image, or a box as voxels."""
    if dims is not None:
        if compression not in ("", "lz4", "gzip"):
            raise BadRequest("compression is for volumes; the format of a slice is the last part of the path")
        image = _slice(call, dims, size, offset, roi, scale, supervoxels, isotropic)
        return Reply(*encode_image(image, parse_format(format)))
    if format not in ("", "octet-stream"):
        raise BadRequest(f"volumes of labels leave as octet-stream, not as {format[:40]!r}")
    box = requested_box(size, offset)
    with call.view() as view:
        _checked_box(call, view, box, scale, whole=compression not in ("", "gzip"))
        if roi:
            voxel_mask(view.sibling(roi), Box((0, 0, 0), (0, 0, 0)))  # whether it is a region at all
        if compression.startswith("google"):
            return _google(_masked(view, box, scale, supervoxels, roi), gzipped=compression == "googlegzip")
        length = box.voxels * VOXEL_BYTES
        if length <= _WHOLE_BYTES or compression == "lz4":
            data = (
                _masked(view, box, scale, supervoxels, roi).data.cast("B")
                if roi
                else read_label_bytes(view, box, scale, supervoxels=supervoxels)
            )
            if compression == "lz4":
                return Reply(labellz4.encode(data, box.shape_zyx))
            return Reply(gzip_compress(data) if compression else data)
    pieces = _pieces(call, box, roi, scale, supervoxels)
    return Reply(gzip_stream(pieces)) if compression else Reply(pieces, length=length)


def _google(labels: Labels, *, gzipped: bool) -> Reply:
    if any(edge % 8 for edge in labels.shape):
        raise BadRequest(
            f"compression: google works for boxes whose sizes are multiples of 8, not {labels.shape[::-1]} (x, y, z)"
        )
    data = segmentation.encode(labels)
    return Reply(gzip_compress(data) if gzipped else data, headers={"Content-Encoding": "gzip"} if gzipped else {})


def _pieces(call: Call, box: Box, roi: str, scale: int, supervoxels: bool) -> Iterator[bytes]:
    with call.view() as view:
        for part, data in stream_labels(view, box, scale, supervoxels=supervoxels):
            if roi:
                labels = np.frombuffer(data, np.uint64).reshape(part.shape_zyx)
                yield (labels * _mask(view, part, scale, roi)).tobytes()
            else:
                yield data


def get_isotropic(call: Call, **arguments: Any) -> Reply:
    """Like `get_raw`, with square pixels."""
    return get_raw(call, **arguments, isotropic=True)


def _slice(
    call: Call,
    plane: Plane,
    size: tuple[int, ...],
    offset: Xyz,
    roi: str,
    scale: int,
    supervoxels: bool,
    isotropic: bool,
) -> np.ndarray[Any, np.dtype[Any]]:
    """The labels of a slice: (row, column) uint64."""
    if len(size) != 2:
        raise BadRequest(f"size: two numbers, width_height, were expected for a slice, not {len(size)}")
    width, height = size
    with call.view() as view:
        voxels, stored = layout_of(view.instance), (width, height)
        if isotropic:
            stored = stored_size(stored, plane, tuple(view.instance.settings["VoxelSize"]))
            if min(stored) < 1:
                raise BadRequest(f"the image of {width} x {height} pixels is less than one voxel wide or high")
            voxels.check_size(Box.at((0, 0, 0), (1, height, width)), MAX_WHOLE_BYTES, "for images")
        box = _checked_box(call, view, within(plane.box(stored, offset)), scale, whole=True)
        image = plane.image(_masked(view, box, scale, supervoxels, roi))
    return scaled(image, (width, height), interpolate=False) if isotropic else image


def get_pseudocolor(
    call: Call,
    dims: Plane | None,
    size: tuple[int, ...],
    offset: Xyz,
    format: str,  # noqa: A002 - named as in the path
    roi: str,
    scale: int,
    supervoxels: bool,
) -> Reply:
    """Answer a slice with a colour for each label."""
    if dims is None:
        raise BadRequest("pseudocolor answers slices: dims are xy, xz or yz")
    image = _slice(call, dims, size, offset, roi, scale, supervoxels, isotropic=False)
    return Reply(*encode_image(pseudocolours(np.ascontiguousarray(image)), parse_format(format)))


def get_label(call: Call, coord: Xyz, scale: int, supervoxels: bool) -> Reply:
    """Answer the label of one voxel."""
    with call.view() as view:
        (label,) = _labels_at(call, view, np.array([coord]), scale, supervoxels).tolist()
    return Reply(b'{"Label": %d}' % label, JSON)


def get_labels(call: Call, scale: int, supervoxels: bool, hash: str) -> Reply:  # noqa: A002 - named as in the query
    """Answer the labels of many voxels."""
    data = checked_body(call, hash)
    try:
        points = _points(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"a JSON list of points was expected, like [[10, 20, 30], [11, 20, 30]]: {error}") from None
    if len(points) > _MAX_POINTS:
        raise BadRequest(f"{len(points)} points were sent; at most {_MAX_POINTS} are taken at a time")
    try:
        points_xyz = np.fromiter(chain.from_iterable(points), np.int64, 3 * len(points)).reshape(-1, 3)
    except OverflowError:
        points_xyz = np.full((1, 3), 2**62)
    if len(points_xyz) and not (points_xyz.min() >= MIN_COORDINATE and points_xyz.max() <= MAX_COORDINATE):
        raise BadRequest("a point has a coordinate outside the 32-bit range")
    with call.view() as view:
        return json_reply(_labels_at(call, view, points_xyz, scale, supervoxels).tolist())


def _labels_at(call: Call, view: View, points_xyz: NDArray[np.int64], scale: int, supervoxels: bool) -> Labels:
    check_scale(view, scale)
    look_up = faults.labels_at if faults.are_wanted(call, view) else labels_at
    return look_up(view, points_xyz[:, ::-1], scale, supervoxels=supervoxels)


# ---- writing ------------------------------------------------------------------------------------


def post_raw(
    call: Call,
    dims: Plane | None,
    size: tuple[int, ...],
    offset: Xyz,
    roi: str,
    mutate: bool,
    compression: str,
    bodies: bool = False,
) -> Reply:
    """Store a box of supervoxels, or of bodies."""
    if dims is not None:
        raise BadRequest("slices cannot be stored: POST 3D boxes (0_1_2) of whole blocks")
    box = requested_box(size, offset)
    with call.view() as view:  # ends before the body arrives: clients may be slow
        voxels, shape = layout_of(view.instance), block_shape(view)
        voxels.check_size(box, call.limits.decompressed_bytes, "limits.decompressedBytes")
        need_aligned(box, shape)
        inside = None
        if roi:
            mask, blocks = touched_blocks(view.sibling(roi), box, shape)
            first = np.array(blocks.start_zyx)
            inside = lambda place: bool(mask[tuple(np.array(place) - first)])  # noqa: E731
        draft = Draft(view, box, bodies=bodies)
    planes = sent_planes(call, compression, box, VOXEL_BYTES, shape[0])

    def add(layer: BlockRange, received: Buffer) -> None:
        slab = layer.box(shape)
        labels = np.frombuffer(received, np.uint64).reshape(slab.shape_zyx)
        draft.add_voxels(slab, labels, [place for place in layer if inside is None or inside(place)])

    work_behind(list(box.blocks(shape).layers()), lambda _: planes(shape[0]), add)
    expect_end(call)
    return draft.put(call, downres=True)


def refuse_isotropic(call: Call, **_: Any) -> Reply:
    """Refuse to store isotropic images."""
    raise BadRequest("isotropic images cannot be stored: POST to raw")


# ---- routes -------------------------------------------------------------------------------------

SCALE = Argument("scale", "0 is full resolution; each further scale has half of it.", integer(0, 255), default=0)

_DIMS = Argument(
    "dims", "Axes of the image: xy, xz, yz (or 0_1, 0_2, 1_2), or 0_1_2 for a volume.", parse_dims, example="0_1_2"
)
_SIZE = Argument("size", "Size in voxels along these axes.", coordinates, example="64_64_64")
_OFFSET = Argument("offset", "The first voxel: x_y_z, in voxels of the scale.", xyz, example="0_0_0")
_FORMAT = Argument("format", "Of slices: png, jpg or jpg:quality.", default="")
_ROI = Argument("roi", "Name of a region of interest: what lies outside is 0.", default="", foreign=True)
_COMPRESSION = Argument(
    "compression",
    "Of volumes: lz4, gzip, google (compressed_segmentation of Neuroglancer, in blocks of 8^3) or googlegzip.",
    choice("", "lz4", "gzip", "google", "googlegzip"),
    default="",
)
_PICTURE = partial(
    Route,
    arguments=(_DIMS, _SIZE, _OFFSET, _FORMAT),
    throttled=True,
    immutable=True,
)

ROUTES = (
    _PICTURE(
        "GET",
        "/raw/{dims}/{size}/{offset}[/{format}]",
        get_raw,
        "Answer a slice as an image, or a volume as uint64 labels: little-endian, x next, then y, then z. "
        "What nobody wrote is 0.",
        options=(_ROI, SCALE, SUPERVOXELS, _COMPRESSION),
    ),
    _PICTURE(
        "GET",
        "/isotropic/{dims}/{size}/{offset}[/{format}]",
        get_isotropic,
        "Like raw, but the pixels of a slice are as high as wide in the world.",
        options=(_ROI, SCALE, SUPERVOXELS, _COMPRESSION),
    ),
    _PICTURE(
        "GET",
        "/pseudocolor/{dims}/{size}/{offset}[/{format}]",
        get_pseudocolor,
        "Answer a slice with a colour for each label; label 0 is black.",
        options=(_ROI, SCALE, SUPERVOXELS),
        answers="image/png",
    ),
    Route(
        "GET",
        "/label/{coord}",
        get_label,
        "Answer the label of a voxel.",
        arguments=(Argument("coord", "The voxel: x_y_z.", xyz, example="10_20_30"),),
        options=(SCALE, SUPERVOXELS),
        answers=JSON,
        immutable=True,
    ),
    Route(
        "GET",
        "/labels",
        get_labels,
        "Answer the labels of many voxels, in their order.",
        options=(SCALE, SUPERVOXELS, HASH),
        body="A JSON list of points, [[x, y, z], ...].",
        answers=JSON,
    ),
    Route(
        "POST",
        "/raw/{dims}/{size}/{offset}",
        post_raw,
        f"Store a volume of supervoxels, in whole blocks; index, sizes and lower resolutions follow. {WHERE_TOLD}",
        arguments=(_DIMS, _SIZE, _OFFSET),
        options=(
            Argument("roi", "Store only the blocks that touch this region of interest.", default=""),
            Argument(
                "mutate",
                "Taken for clients of the reference server: what was there is looked at anyway.",
                flag,
                default=False,
            ),
            Argument("compression", "lz4 or gzip.", choice("", "lz4", "gzip"), default=""),
        ),
        body="The labels, as GET answers them.",
        answers=TEXT,
        writes=True,
        throttled=True,
    ),
    Route(
        "POST",
        "/isotropic/{dims}/{size}/{offset}",
        refuse_isotropic,
        "Refused: only raw volumes can be stored.",
        arguments=(_DIMS, _SIZE, _OFFSET),
        answers=TEXT,
        writes=True,
    ),
)
