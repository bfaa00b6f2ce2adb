"""Single images as slices of a volume: PNG, JPEG and TIFF files of one plane."""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np

from dvid.codecs.images import decode_image
from dvid.errors import BadRequest, TooLarge
from dvid.interop import tiff
from dvid.interop.piece_cache import PieceCache
from dvid.interop.resolution import Size
from dvid.interop.tiff_metadata import read_resolution
from dvid.interop.volumes import SinkPlan, Voxels, check_piece

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

JPEG_QUALITY = 95
PNG_LEVEL = 3

_PNG_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
_MAX_FILE_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """What a slice says about itself.

    Attributes:
        shape_yx: Size in pixels.
        channels: Values per pixel.
        dtype: Of the pixels.
    """

    shape_yx: tuple[int, int]
    channels: int
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        colours = f" with {self.channels} channels" if self.channels > 1 else ""
        return f"{self.shape_yx[1]} x {self.shape_yx[0]} {self.dtype}{colours}"


@dataclass(frozen=True, slots=True)
class SliceDetails:
    """What only the first slice of a stack is asked: how it is stored, and the voxel size."""

    piece_yx: tuple[int, int]
    voxel_size_zyx: Size | None
    units: str | None


def read_header(path: str) -> SliceHeader:
    """Reads what an image file says about itself, without decoding it.

    Raises:
        BadRequest: If it is no image of a supported kind, is damaged, or holds several planes.
        TooLarge: If it would decode to more than can be read in one go.
    """
    with open(path, "rb") as file:
        head = file.read(32)
        if head.startswith(PNG_MAGIC):
            header = _parse_png(head, path)
        elif head.startswith(JPEG_MAGIC):
            header = _find_jpeg_frame(file, path)
        elif head[:4] in TIFF_MAGICS:
            return _read_tiff_header(path)
        else:
            raise BadRequest(f"{path} is not a TIFF, PNG or JPEG file")
    if 0 in header.shape_yx:
        raise BadRequest(f"{path} is damaged: its size is {header.shape_yx[1]} x {header.shape_yx[0]}")
    check_piece((*header.shape_yx, header.channels), header.dtype, path)
    return header


def read_details(path: str, header: SliceHeader) -> SliceDetails:
    """Reads how the first slice of a stack is stored and which voxel size it states."""
    with open(path, "rb") as file:
        is_tiff = file.read(4) in TIFF_MAGICS
    if not is_tiff:
        return SliceDetails(header.shape_yx, None, None)
    with tiff.open_file(path) as file, tiff.reading(path):
        size, units = read_resolution(file)
        return SliceDetails(tiff.PageReader(file.pages.first, path).segment_yx, size, units)


def read_rectangle(path: str, header: SliceHeader, start_yx: tuple[int, int], out: Voxels, cache: PieceCache) -> None:
    """Reads a rectangle of a slice.

    Args:
        path: Of the file.
        header: What the file said when the stack was opened.
        start_yx: First pixel.
        out: Filled with the rectangle; its shape (y, x, channels) says how large it is.
        cache: Keeps what was decoded.

    Raises:
        BadRequest: If the file is damaged or has changed.
    """
    with open(path, "rb") as file:
        is_tiff = file.read(4) in TIFF_MAGICS
    if is_tiff:
        with tiff.open_file(path) as opened, tiff.reading(path):
            page = tiff.PageReader(opened.pages.first, path)
            _check_same(SliceHeader(page.shape_yx, page.channels, page.dtype), header, path)

            def fetch(offset: int, count: int) -> bytes:
                opened.filehandle.seek(offset)
                return bytes(opened.filehandle.read(count))

            page.read(fetch, start_yx, out, cache)
        return
    plane = cache.get(path, lambda: _decode(path, header))
    y, x = start_yx
    out[...] = plane[y : y + out.shape[0], x : x + out.shape[1]]


def encode(kind: str, plane: Voxels, plan: SinkPlan) -> bytes:
    """Encodes a slice as an image file.

    Args:
        kind: "png", "jpeg" or "tiff".
        plane: y, x, and channels where there are several.
        plan: Of the volume it is part of.
    """
    plane = np.ascontiguousarray(plane)
    if kind == "png":
        return bytes(imagecodecs.png_encode(plane, level=PNG_LEVEL))
    if kind == "jpeg":
        return bytes(imagecodecs.jpeg8_encode(plane, level=JPEG_QUALITY))
    return tiff.encode_page(plane, plan)


def _decode(path: str, header: SliceHeader) -> Voxels:
    if os.path.getsize(path) > _MAX_FILE_BYTES:
        raise BadRequest(f"{path} has {os.path.getsize(path)} bytes: at most {_MAX_FILE_BYTES} are read")
    _check_same(read_header(path), header, path)
    with open(path, "rb") as file:
        data = file.read()
    try:
        plane = decode_image(data, math.prod(header.shape_yx))
    except (BadRequest, TooLarge) as error:
        raise BadRequest(f"{path} is damaged: {error}") from None
    plane = plane.reshape(*plane.shape[:2], -1)
    decoded = SliceHeader(plane.shape[:2], plane.shape[2], plane.dtype)
    if decoded != header:  # a second header
        raise BadRequest(f"{path} is damaged: its header says {header}, and it decodes to {decoded}")
    return plane


def _check_same(found: SliceHeader, expected: SliceHeader, path: str) -> None:
    if found != expected:
        raise BadRequest(f"{path} has changed: it was {expected} and is now {found}")


def _parse_png(head: bytes, path: str) -> SliceHeader:
    # PNG specification, 11.2.2: IHDR is the first chunk.
    if len(head) < 29 or head[12:16] != b"IHDR":
        raise BadRequest(f"{path} is damaged: it has no PNG header")
    width, height, depth, colour = struct.unpack_from(">IIBB", head, 16)
    if colour == 3:
        raise BadRequest(
            f"{path} is a PNG with a palette, whose indices may be labels or colours: save it as greyscale or RGB"
        )
    if colour not in _PNG_CHANNELS or depth not in (1, 2, 4, 8, 16):
        raise BadRequest(f"{path} is damaged: PNG colour type {colour} with {depth} bits is unknown")
    return SliceHeader((height, width), _PNG_CHANNELS[colour], np.dtype(np.uint16 if depth == 16 else np.uint8))


def _find_jpeg_frame(file: Any, path: str) -> SliceHeader:
    # ITU-T T.81, annex B: markers with lengths, until a start of frame.
    position = 2
    while True:
        file.seek(position)
        head = file.read(10)
        if len(head) < 10 or head[0] != 0xFF:
            raise BadRequest(f"{path} is damaged: it has no JPEG frame header")
        marker = head[1]
        if marker == 0xFF:
            position += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            precision, height, width, channels = struct.unpack_from(">BHHB", head, 4)
            if precision != 8 or channels not in (1, 3):
                raise BadRequest(
                    f"{path} is a JPEG of {channels} channels of {precision} bits: 1 or 3 of 8 bits are read"
                )
            return SliceHeader((height, width), channels, np.dtype(np.uint8))
        else:
            position += 2 + struct.unpack_from(">H", head, 2)[0]


def _read_tiff_header(path: str) -> SliceHeader:
    with tiff.open_file(path) as file, tiff.reading(path):
        pages = len(file.pages)
        if pages != 1 or (file.series and file.series[0].size != file.pages.first.size):
            raise BadRequest(
                f"{path} holds {file.series[0].shape if file.series else pages}: a slice of a stack is one page"
            )
        page = tiff.PageReader(file.pages.first, path)
        return SliceHeader(page.shape_yx, page.channels, page.dtype)
