"""The requests that image instances take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from dvid.codecs.compression import gzip_compress, gzip_decompress, lz4_compress, lz4_decompress
from dvid.codecs.images import encode_image, encode_volume_jpeg, parse_format
from dvid.datatypes.imageblk import operations as ops
from dvid.datatypes.imageblk.layout import VoxelLayout, layout_of
from dvid.datatypes.imageblk.reading import PIECE_BYTES, read_box, read_bytes, stream_box
from dvid.datatypes.imageblk.slices import ObliquePlane, Plane, oblique_image, parse_dims, scaled, stored_size
from dvid.datatypes.imageblk.writing import (
    Planes,
    full_key,
    not_aligned,
    planes_of,
    put_blocks,
    sealed_blocks,
    write_box,
)
from dvid.datatypes.voxels import set_extents
from dvid.errors import BadRequest, Conflict, TooLarge
from dvid.geometry import MAX_COORDINATE, BlockRange, Box, Xyz, Zyx, reverse3
from dvid.routes import (
    JSON,
    TEXT,
    Argument,
    Call,
    Reply,
    Route,
    choice,
    coordinates,
    flag,
    integer,
    integers,
    json_reply,
    xyz,
)
from dvid.versions import layout as keys
from dvid.versions import repos
from dvid.versions.view import Edit, View

MAX_IMAGE_BYTES = 1 << 28
"""Images and compressed volumes are made whole in memory: this is the most voxel bytes one may have."""

METADATA = "application/vnd.dvid-nd-data+json"


# ---- raw and isotropic --------------------------------------------------------------------------


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
    if dims is None:
        attenuation = 0  # volumes are data, not pictures: the reference makes the outside 0, and so do we
    if dims is not None:
        if compression:
            raise BadRequest("compression is for volumes; the format of a slice is the last part of the path")
        return _slice(call, dims, size, offset, format, roi, attenuation, isotropic)
    box = _box(size, offset)
    with call.view() as view:
        voxels = layout_of(view.instance)
        voxels.check_size(box, call.limits.answer_bytes)
        if format not in ("", "octet-stream"):
            return _jpeg_volume(view, box, format, roi, attenuation)
        length = voxels.bytes_of(box)
        if roi or compression or length <= PIECE_BYTES:
            if length > max(MAX_IMAGE_BYTES, PIECE_BYTES):
                raise TooLarge(
                    f"a masked or compressed box may have {MAX_IMAGE_BYTES} bytes, not {length}: ask for less"
                )
            data = ops.read_masked(view, box, roi, attenuation).tobytes() if roi else read_bytes(view, box)
            return Reply(_compressed(data, compression))
    return Reply(_pieces(call, box), length=length)


def get_isotropic(call: Call, **arguments: Any) -> Reply:
    """Like `get_raw`, with square pixels."""
    return get_raw(call, **arguments, isotropic=True)


def _pieces(call: Call, box: Box) -> Iterator[bytes]:
    with call.view() as view:
        yield from stream_box(view, box)


def _compressed(data: bytes, compression: str) -> bytes:
    if compression == "lz4":
        return lz4_compress(data)
    return gzip_compress(data) if compression == "gzip" else data


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
            voxels.check_size(Box.at((0, 0, 0), (1, height, width)), MAX_IMAGE_BYTES)
        box = _within(plane.box(stored, offset))
        voxels.check_size(box, min(MAX_IMAGE_BYTES, call.limits.answer_bytes))
        if roi:
            volume = voxels.array(ops.read_masked(view, box, roi, attenuation), box.shape_zyx)
        else:
            volume = read_box(view, box)
    image = plane.image(volume)
    if isotropic:
        image = scaled(image, (width, height), interpolate=voxels.interpolable)
    return Reply(*encode_image(image, image_format))


def _jpeg_volume(view: View, box: Box, format_text: str, roi: str, attenuation: int) -> Reply:
    image_format = parse_format(format_text)
    voxels = layout_of(view.instance)
    if image_format.kind != "jpg" or voxels.itemsize != 1:
        raise BadRequest(
            "volumes leave as octet-stream, or those of 8-bit gray also as one jpg, planes under each other"
        )
    voxels.check_size(box, MAX_IMAGE_BYTES)
    data = ops.read_masked(view, box, roi, attenuation) if roi else np.frombuffer(read_bytes(view, box), np.uint8)
    return Reply(encode_volume_jpeg(data.reshape(box.shape_zyx), image_format.quality), "image/jpeg")


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
    box = _box(size, offset)
    with call.view() as view:
        voxels = layout_of(view.instance)
        voxels.check_size(box, call.limits.decompressed_bytes)
        if not box.is_aligned(voxels.block_zyx):
            if not unaligned:
                raise BadRequest(not_aligned(box, voxels))
            data = np.frombuffer(_body(call, compression, voxels.bytes_of(box)), np.uint8)
            call.edit(
                lambda edit: write_box(edit, box, data, mutate=mutate, unaligned=True, inside=_inside(edit, roi, box))
            )
            return Reply(b"", TEXT)
        # Compressed and sealed while the body arrives, so that the transaction is short and memory holds it once.
        planes = _planes(call, compression, voxels, box)
        seal = partial(sealed_blocks, view.instance, partial(full_key, view), box, planes, _inside(view, roi, box))
        sealed, version = list(seal()), full_key(view, (0, 0, 0))
        _expect_end(call)

    def write(edit: Edit) -> int:
        if full_key(edit, (0, 0, 0)) != version:
            raise Conflict("the branch has moved to another node while the request came in: send it again")
        return put_blocks(edit, box, sealed, mutate=mutate)

    call.edit(write)
    return Reply(b"", TEXT)


def _inside(view: View, roi: str, box: Box) -> Callable[[Zyx], bool] | None:
    return ops.blocks_inside(view, roi, box) if roi else None


def _planes(call: Call, compression: str, voxels: VoxelLayout, box: Box) -> Planes:
    """The planes of a box, as they come with the request's body."""
    length = voxels.bytes_of(box)
    if compression:
        return planes_of(voxels, box, np.frombuffer(_body(call, compression, length), np.uint8))
    announced = call.header("Content-Length")
    if announced is not None and announced != str(length):
        raise BadRequest(_wrong_length(length, announced))
    if length > call.limits.body_bytes:
        raise TooLarge(f"the box has {length} bytes, the limit is {call.limits.body_bytes} (limits.bodyBytes)")
    plane, seen = length // box.shape_zyx[0], 0

    def planes(count: int) -> bytearray:
        nonlocal seen
        room = bytearray()
        while len(room) < count * plane:
            piece = call.read(count * plane - len(room))
            if not piece:
                raise BadRequest(_wrong_length(length, seen + len(room)))
            room += piece
        seen += len(room)
        return room

    return planes


def _expect_end(call: Call) -> None:
    if call.read(1):
        raise BadRequest("the request's body has more bytes than the box takes")


def _wrong_length(expected: int, found: int | str) -> str:
    return f"the box takes {expected} bytes of voxels; the request's body has {found}"


def refuse_isotropic(call: Call, **_: Any) -> Reply:
    """Refuse to store isotropic images."""
    raise BadRequest("isotropic images cannot be stored: POST to raw")


def _body(call: Call, compression: str, expected: int) -> bytes:
    """The voxels in a request's body, exactly as many bytes as expected."""
    if compression == "lz4":
        return lz4_decompress(call.body(), expected)
    if compression == "gzip":
        data = gzip_decompress(call.body(), expected, "the voxels")
    else:
        data = call.body()
    if len(data) != expected:
        raise BadRequest(_wrong_length(expected, len(data)))
    return data


# ---- blocks -------------------------------------------------------------------------------------


def get_blocks(call: Call, start: Xyz, count: int) -> Reply:
    """Answer a row of blocks."""
    with call.view() as view:
        voxels = layout_of(view.instance)
        length = count * voxels.block_bytes
        if length > call.limits.answer_bytes:
            raise TooLarge(
                f"{count} blocks have {length} bytes, the limit is {call.limits.answer_bytes} (limits.answerBytes)"
            )
        _within(_row(reverse3(start), count).box(voxels.block_zyx))
    return Reply(_stream(call, lambda view: ops.read_row(view, reverse3(start), count)), length=length)


def post_blocks(call: Call, start: Xyz, count: int, mutate: bool) -> Reply:
    """Store a row of blocks."""
    with call.view() as view:
        voxels = layout_of(view.instance)
        box = _within(_row(reverse3(start), count).box(voxels.block_zyx))
        voxels.check_size(box, call.limits.decompressed_bytes)
        data = np.frombuffer(_body(call, "", voxels.bytes_of(box)), np.uint8)
    depth, height, width = voxels.block_zyx
    blocks = data.reshape(count, depth, height, width * voxels.itemsize)
    volume = np.ascontiguousarray(blocks.transpose(1, 2, 0, 3)).reshape(-1)
    # As in the reference server, whole blocks don't grow the extents: those who write them set the extents.
    call.edit(lambda edit: write_box(edit, box, volume, mutate=mutate, grow=False))
    return Reply(b"", TEXT)


def _row(start_zyx: Zyx, count: int) -> BlockRange:
    z, y, x = start_zyx
    return BlockRange(start_zyx, (z + 1, y + 1, x + count))


def get_subvolblocks(call: Call, size: tuple[int, ...], offset: Xyz, compression: str) -> Reply:
    """Answer the blocks of a box."""
    box = _box(size, offset)
    with call.view() as view:
        voxels = layout_of(view.instance)
        how = ops.check_block_compression(view, compression)
        voxels.check_size(box, call.limits.answer_bytes)
        if not box.is_aligned(voxels.block_zyx):
            raise BadRequest(not_aligned(box, voxels).partition(", or add")[0])
        blocks = box.blocks(voxels.block_zyx)
        if voxels.bytes_of(box) <= PIECE_BYTES:
            return Reply(b"".join(ops.stream_blocks(view, blocks, how)))
    return Reply(_stream(call, lambda view: ops.stream_blocks(view, blocks, how)))


def get_specificblocks(call: Call, blocks: tuple[int, ...], compression: str, prefetch: bool) -> Reply:
    """Answer single blocks."""
    if len(blocks) % 3:
        raise BadRequest(f"blocks: three numbers for each block were expected, not {len(blocks)} in all")
    wanted = [reverse3((x, y, z)) for x, y, z in zip(blocks[::3], blocks[1::3], blocks[2::3], strict=True)]
    with call.view() as view:
        voxels = layout_of(view.instance)
        how = ops.check_block_compression(view, compression)
        size = len(wanted) * voxels.block_bytes
        if size > call.limits.answer_bytes:
            raise TooLarge(f"{len(wanted)} blocks have {size} bytes, the limit is {call.limits.answer_bytes}")
    if prefetch:
        return Reply(b"")
    return Reply(_stream(call, lambda view: ops.stream_blocks(view, wanted, how)))


def _stream(call: Call, pieces: Callable[[View], Iterator[bytes]]) -> Iterator[bytes]:
    with call.view() as view:
        yield from pieces(view)


# ---- planes, descriptions -----------------------------------------------------------------------


def get_arb(
    call: Call,
    top_left: np.ndarray[Any, np.dtype[np.float64]],
    top_right: np.ndarray[Any, np.dtype[np.float64]],
    bottom_left: np.ndarray[Any, np.dtype[np.float64]],
    res: float,
    format: str,  # noqa: A002 - named as in the path
) -> Reply:
    """Answer the image on a plane in space."""
    image_format = parse_format(format)
    plane = ObliquePlane.through(top_left, top_right, bottom_left, res)
    with call.view() as view:
        image = oblique_image(view, plane, min(MAX_IMAGE_BYTES, call.limits.answer_bytes))
    return Reply(*encode_image(image, image_format))


def get_metadata(call: Call) -> Reply:
    """Describe the layout of the volume."""
    with call.view() as view:
        return json_reply(ops.metadata(view), METADATA)


def post_extents(call: Call) -> Reply:
    """Set the extents."""
    body = call.json()
    points = [body.get(name) if isinstance(body, dict) else None for name in ("MinPoint", "MaxPoint")]
    low, high = (_three_integers(point) for point in points)
    box = Box(reverse3(low), reverse3((high[0] + 1, high[1] + 1, high[2] + 1)))
    if not box:
        raise BadRequest(f"MaxPoint {list(high)} is below MinPoint {list(low)}")
    call.edit(lambda edit: set_extents(edit, box))
    return Reply(b"", TEXT)


def _three_integers(value: Any) -> Xyz:
    if not (isinstance(value, list) and len(value) == 3 and all(type(v) is int for v in value)):
        raise BadRequest('{"MinPoint": [x, y, z], "MaxPoint": [x, y, z]} with whole numbers was expected')
    if not all(-MAX_COORDINATE <= v < MAX_COORDINATE for v in value):
        raise BadRequest(f"the point {value} has a coordinate outside the 32-bit range")
    return value[0], value[1], value[2]


def post_resolution(call: Call) -> Reply:
    """Set the voxel size."""
    value = call.json()
    if not (
        isinstance(value, list) and len(value) == 3 and all(type(v) in (int, float) and 0 < v < 1e15 for v in value)
    ):
        raise BadRequest("the voxel size as three numbers above 0 was expected, like [8, 8, 8]")
    call.configure(
        lambda tx, instance: repos.change_instance(tx, instance, settings={**instance.settings, "VoxelSize": value})
    )
    return Reply(b"", TEXT)


def get_rawkey(call: Call, x: int, y: int, z: int) -> Reply:
    """Answer the key under which a block is stored."""
    with call.view() as view:
        return json_reply({"Key": view.key(keys.DATA, keys.block_key((z, y, x))).hex().upper()})


# ---- parsing ------------------------------------------------------------------------------------


def _box(size: tuple[int, ...], offset: Xyz) -> Box:
    if len(size) != 3:
        raise BadRequest(f"size: three numbers, x_y_z, were expected for a volume, not {len(size)}")
    return _within(Box.at(reverse3(offset), (size[2], size[1], size[0])))


def _within(box: Box) -> Box:
    if max(box.stop_zyx) > MAX_COORDINATE:
        raise BadRequest(f"the box ends at {box.stop_zyx[::-1]}, beyond the largest coordinate {MAX_COORDINATE}")
    return box


def _vector(text: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    try:
        values = [float(part) for part in text.split("_")]
    except ValueError:
        values = []
    if len(values) != 3 or not all(abs(value) < 1e15 for value in values):
        raise BadRequest(f"a point x_y_z in world units was expected, not {text[:60]!r}")
    return np.array(values, np.float64)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e15:
        raise BadRequest(f"a number above 0 was expected, not {text[:40]!r}")
    return value


def _block_list(text: str) -> tuple[int, ...]:
    return integers(text, ",", "block coordinates") if text else ()


_DIMS = Argument(
    "dims", "Axes of the image: xy, xz, yz (or 0_1, 0_2, 1_2), or 0_1_2 for a volume.", parse_dims, example="0_1_2"
)
_SIZE = Argument("size", "Size in voxels along these axes.", coordinates, example="64_64_64")
_OFFSET = Argument("offset", "The first voxel: x_y_z.", xyz, example="0_0_0")
_FORMAT = Argument(
    "format",
    "png, jpg or jpg:quality for slices (default png); for volumes octet-stream, or jpg of 8-bit gray.",
    default="",
)
_ROI = Argument("roi", "Name of a region of interest (roi instance).", default="")
_ATTENUATION = Argument(
    "attenuation",
    "For slices: divide what lies outside the region by 2 to this power, 1 to 7, instead of making it 0. Outside is always 0 in volumes.",
    integer(1, 7),
    default=0,
)
_COMPRESSION = Argument("compression", "lz4 or gzip, for volumes.", choice("", "lz4", "gzip"), default="")
_MUTATE = Argument("mutate", "true if the blocks may have been written before.", flag, default=False)
_BLOCK_COMPRESSION = Argument(
    "compression", "uncompressed or jpeg; default: jpeg for instances stored as JPEG, else uncompressed.", default=""
)
_START = Argument("start", "Coordinates of the first block: x_y_z, in blocks.", xyz, example="10_20_30")
_COUNT = Argument("count", "Number of blocks along x.", integer(1, 2**31 - 1), example="8")

_PICTURE: dict[str, Any] = {
    "arguments": (_DIMS, _SIZE, _OFFSET, _FORMAT),
    "options": (_ROI, _ATTENUATION, _COMPRESSION),
    "throttled": True,
}

ROUTES = (
    Route(
        "GET",
        "/raw/{dims}/{size}/{offset}[/{format}]",
        get_raw,
        "Answer a slice as an image, or a volume as voxels: little-endian, channels of a voxel side by side, x next, then y, then z. "
        "What nobody wrote is 0.",
        **_PICTURE,
    ),
    Route(
        "GET",
        "/isotropic/{dims}/{size}/{offset}[/{format}]",
        get_isotropic,
        "Like raw, but the pixels of a slice are as high as wide in the world, as small as the smaller side of a voxel.",
        **_PICTURE,
    ),
    Route(
        "POST",
        "/raw/{dims}/{size}/{offset}",
        post_raw,
        "Store a volume. Offset and size must be whole blocks, unless unaligned=true.",
        arguments=(_DIMS, _SIZE, _OFFSET),
        options=(
            Argument("roi", "Store only the blocks that touch this region of interest.", default=""),
            _MUTATE,
            Argument(
                "unaligned",
                "true: take any box; read, change and write the blocks it cuts in one transaction.",
                flag,
                default=False,
            ),
            _COMPRESSION,
        ),
        body="The voxels, as GET answers them.",
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
    Route(
        "GET",
        "/blocks/{start}/{count}",
        get_blocks,
        "Answer a row of blocks along x: the voxels of one block after the other. The bytes of blocks that nobody wrote have the Background value.",
        arguments=(_START, _COUNT),
    ),
    Route(
        "POST",
        "/blocks/{start}/{count}",
        post_blocks,
        "Store a row of blocks along x. Other than raw, this leaves the extents as they are.",
        arguments=(_START, _COUNT),
        options=(_MUTATE,),
        body="The voxels of one block after the other.",
        answers=TEXT,
        writes=True,
    ),
    Route(
        "GET",
        "/subvolblocks/{size}/{offset}",
        get_subvolblocks,
        "Answer the blocks of a volume that somebody wrote, each behind a header of four int32: block x, y, z and number of bytes.",
        arguments=(_SIZE, _OFFSET),
        options=(_BLOCK_COMPRESSION,),
        throttled=True,
    ),
    Route(
        "GET",
        "/specificblocks",
        get_specificblocks,
        "Answer single blocks, in the form of subvolblocks.",
        options=(
            Argument("blocks", "Block coordinates x,y,z,x,y,z,...", _block_list, default=()),
            _BLOCK_COMPRESSION,
            Argument("prefetch", "true: answer nothing.", flag, default=False),
        ),
    ),
    Route(
        "GET",
        "/arb/{top_left}/{top_right}/{bottom_left}/{res}[/{format}]",
        get_arb,
        "Answer the image on a plane in any direction, interpolated between voxels. Corners are in world units.",
        arguments=(
            Argument("top_left", "World coordinates x_y_z of the image's top left pixel.", _vector, example="0_0_0"),
            Argument("top_right", "Of its top right pixel.", _vector, example="800_0_80"),
            Argument("bottom_left", "Of its bottom left pixel.", _vector, example="0_800_80"),
            Argument("res", "Distance of pixels, in world units.", _positive, example="8.0"),
            Argument("format", "png, jpg or jpg:quality.", default=""),
        ),
        answers="image/png",
        throttled=True,
    ),
    Route(
        "GET",
        "/metadata",
        get_metadata,
        "Describe axes, extents, resolution and values of the volume.",
        answers=METADATA,
    ),
    Route(
        "POST",
        "/extents",
        post_extents,
        "Set the extents of the volume.",
        body='A JSON object: {"MinPoint": [0, 0, 0], "MaxPoint": [300, 400, 500]}, both included.',
        answers=TEXT,
        writes=True,
    ),
    Route(
        "POST",
        "/resolution",
        post_resolution,
        "Set the voxel size of the volume.",
        body="A JSON list: [8, 8, 8].",
        answers=TEXT,
        writes=True,
        of_node=False,
    ),
    Route(
        "GET",
        "/rawkey",
        get_rawkey,
        "Answer the key under which the store keeps a block, in hexadecimal.",
        options=tuple(
            Argument(axis, f"Block coordinate {axis}.", integer(-(2**31), 2**31 - 1), example="0") for axis in "xyz"
        ),
        answers=JSON,
    ),
)
