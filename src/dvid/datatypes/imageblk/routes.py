"""The requests that image instances take: their declarations, and the handlers of those that describe."""

from __future__ import annotations

from typing import Any

import numpy as np

from dvid.codecs.images import encode_image, parse_format
from dvid.datatypes.descriptions import DESCRIPTION_ROUTES
from dvid.datatypes.imageblk.blocks import get_blocks, get_specificblocks, get_subvolblocks, post_blocks
from dvid.datatypes.imageblk.raw import MAX_IMAGE_BYTES, get_isotropic, get_raw, post_raw, refuse_isotropic
from dvid.datatypes.imageblk.slices import ObliquePlane, oblique_image
from dvid.datatypes.planes import parse_dims
from dvid.errors import BadRequest
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


def get_rawkey(call: Call, x: int, y: int, z: int) -> Reply:
    """Answer the key under which a block is stored."""
    with call.view() as view:
        return json_reply({"Key": view.key(keys.DATA, keys.block_key((z, y, x))).hex().upper()})


# ---- parsing ------------------------------------------------------------------------------------


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
_ROI = Argument("roi", "Name of a region of interest (roi instance).", default="", foreign=True)
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
    "immutable": True,
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
        immutable=True,
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
        immutable=True,
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
        immutable=True,
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
        immutable=True,
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
    *DESCRIPTION_ROUTES,
)
