"""2D images: PNG and JPEG for answers, PNG, JPEG and TIFF for imports, and volumes kept as one tall gray JPEG.

How voxels become pixels (the layout that DVID's clients decode):

| voxel                              | PNG                                                              | JPEG                         |
|------------------------------------|------------------------------------------------------------------|------------------------------|
| uint8, int8                        | gray, 8 bits                                                     | gray                         |
| uint16, int16                      | gray, 16 bits                                                    | gray, the upper 8 bits       |
| uint32, int32, float32; 4 x uint8  | RGBA, 8 bits: the little-endian bytes in order                   | RGB, darkened by alpha       |
| uint64, int64, float64             | RGBA, 16 bits: the little-endian bytes, in order, as file bytes  | RGB, darkened by alpha       |

An RGBA image whose every alpha is the largest is written as RGB.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import simplejpeg
from isal import isal_zlib
from numpy.typing import NDArray
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from dvid.errors import BadRequest, DvidError, TooLarge

DEFAULT_JPEG_QUALITY = 80
LARGEST_JPEG_EXTENT = 65_535

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB, _GRAY_ALPHA, _RGBA = 2, 4, 6
_PNG_COLOR_TYPES = {1: 0, 3: _RGB, 4: _RGBA}
_PNG_UP = 2
_PNG_AVERAGE = 3
_LARGEST_PNG_EXTENT = 2**31 - 1
# Modes of Pillow whose arrays hold what the file holds, and what is made of others.
_PILLOW_MODES = ("L", "LA", "RGB", "RGBA", "I;16", "I;16B", "I", "F")
_PILLOW_CONVERSIONS = {"1": "L", "P": "RGBA"}

Pixels = NDArray[Any]


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """An image format as a request names it."""

    kind: Literal["png", "jpg"]
    """The encoding."""
    quality: int = DEFAULT_JPEG_QUALITY
    """JPEG quality, 1 to 100; PNG does not use it."""

    @property
    def media_type(self) -> str:
        """The MIME type of an image in this format."""
        return "image/png" if self.kind == "png" else "image/jpeg"


def parse_format(text: str) -> ImageFormat:
    """Parse `png`, `jpg`, `jpeg`, `jpg:QUALITY`, or nothing for PNG.

    Raises:
        BadRequest: another format, or a quality that is not a number from 1 to 100.
    """
    name, colon, quality = text.partition(":")
    kinds: dict[str, Literal["png", "jpg"]] = {"": "png", "png": "png", "jpg": "jpg", "jpeg": "jpg"}
    if name not in kinds:
        raise BadRequest(f'image format must be "png", "jpg" or "jpg:QUALITY", not "{text}"')
    if not colon:
        return ImageFormat(kinds[name])
    if not (quality.isascii() and quality.isdigit() and len(quality) <= 3 and 1 <= int(quality) <= 100):
        raise BadRequest(f'image quality must be a number from 1 to 100, not "{quality}"')
    return ImageFormat(kinds[name], int(quality))


def encode_image(voxels_yx: NDArray[Any], image_format: ImageFormat) -> tuple[bytes, str]:
    """Encode a slice of voxels.

    Args:
        voxels_yx: shape (y, x), any integer or float type of 1, 2, 4 or 8 bytes; or (y, x, 4) and (y, x, 3) of uint8.
        image_format: what to encode to.

    Returns:
        The encoded image and its media type.

    Raises:
        BadRequest: the image is empty or too large for the format, or its voxels have no place in it.
    """
    pixels = _pixels(voxels_yx)
    if image_format.kind == "png":
        return _encode_png(pixels, smooth=voxels_yx.dtype.itemsize == 1), image_format.media_type
    return _encode_jpeg(_for_jpeg(pixels), image_format.quality), image_format.media_type


def encode_volume_jpeg(volume_zyx: NDArray[np.uint8], quality: int = DEFAULT_JPEG_QUALITY) -> bytes:
    """Encode a gray volume as one JPEG as wide as x and as high as y times z: the sections one below the other.

    Raises:
        BadRequest: the volume is not uint8, is empty, or is larger than a JPEG can be.
    """
    if volume_zyx.ndim != 3 or volume_zyx.dtype != np.uint8:
        raise BadRequest(f"only 3D volumes of uint8 can be JPEG, not {volume_zyx.ndim}D of {volume_zyx.dtype}")
    depth, height, width = volume_zyx.shape
    return _encode_jpeg(np.ascontiguousarray(volume_zyx).reshape(depth * height, width, 1), quality)


def encode_jpeg_block(block_zyx: NDArray[np.uint8]) -> bytes:
    """Encode a block as blocks of JPEG-compressed instances are kept and sent: see `encode_volume_jpeg`."""
    return encode_volume_jpeg(block_zyx)


def decode_jpeg_block(data: bytes | memoryview, shape_zyx: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Decode a block that was encoded by `encode_jpeg_block`, here or by another server.

    Raises:
        BadRequest: not a gray JPEG of the block's size, or damaged.
    """
    depth, height, width = shape_zyx
    found_height, found_width, gray = _jpeg_header(data)
    if (found_height, found_width, gray) != (depth * height, width, True):
        color = "gray" if gray else "color"
        raise BadRequest(
            f"JPEG block is a {color} image of {found_width} x {found_height} pixels, "
            f"expected a gray one of {width} x {depth * height}"
        )
    return _decode_jpeg(data, gray=True).reshape(shape_zyx)


def decode_jpeg(data: bytes | memoryview, max_pixels: int) -> NDArray[np.uint8]:
    """Decode a JPEG to (y, x), or (y, x, 3) where it has color.

    Raises:
        TooLarge: the image has more than `max_pixels`; nothing was decoded.
        BadRequest: not a JPEG, or damaged.
    """
    height, width, gray = _jpeg_header(data)
    _check_pixels("JPEG", width * height, max_pixels)
    return _decode_jpeg(data, gray=gray)


def decode_image(data: bytes | memoryview, max_pixels: int) -> NDArray[Any]:
    """Decode a PNG, JPEG or TIFF (of one page) to (y, x) or (y, x, channels), of the type that the file holds.

    Raises:
        TooLarge: the image has more than `max_pixels`; nothing was decoded.
        BadRequest: another format, or damaged.
    """
    start = bytes(data[:8])
    if start == _PNG_SIGNATURE:
        return _decode_png(data, max_pixels)
    if start[:3] == b"\xff\xd8\xff":
        return decode_jpeg(data, max_pixels)
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _decode_with_pillow(TiffImageFile, data, max_pixels)
    raise BadRequest(f"the image is neither PNG, JPEG nor TIFF: it starts with {start!r}")


def _pixels(voxels_yx: NDArray[Any]) -> Pixels:
    """View voxels as pixels (y, x, channels) of uint8 or of big-endian uint16."""
    dtype = voxels_yx.dtype
    if 0 in voxels_yx.shape or voxels_yx.ndim not in (2, 3):
        raise BadRequest(f"an image must have a width and a height, not the shape {voxels_yx.shape}")
    if voxels_yx.ndim == 3:
        if dtype != np.uint8 or voxels_yx.shape[2] not in (3, 4):
            raise BadRequest(f"no image has {voxels_yx.shape[2]} channels of {dtype}")
        return _without_opaque_alpha(voxels_yx)
    if dtype.kind not in "uif" or dtype == np.float16:
        raise BadRequest(f"no image has pixels of {dtype}")
    if dtype.itemsize == 1:
        return voxels_yx[:, :, None].view(np.uint8)
    if dtype.itemsize == 2:
        return voxels_yx[:, :, None].view(dtype.str.replace("i", "u")).astype(">u2")
    channel = np.dtype(np.uint8 if dtype.itemsize == 4 else ">u2")
    little_endian = np.ascontiguousarray(voxels_yx, dtype.newbyteorder("<"))
    return _without_opaque_alpha(little_endian.view(channel).reshape(*voxels_yx.shape, 4))


def _without_opaque_alpha(pixels: Pixels) -> Pixels:
    if pixels.shape[2] == 4 and (pixels[:, :, 3] == np.iinfo(pixels.dtype).max).all():
        return pixels[:, :, :3]
    return pixels


def _encode_png(pixels: Pixels, *, smooth: bool) -> bytes:
    """Write a PNG: https://www.w3.org/TR/png-3/.

    One filter for all rows and ISA-L's deflate: on 512 x 512 of electron microscopy a tenth of libpng's time at
    the same size. The average filter is best on smooth gray values, the up filter on all that is not.
    """
    height, width, channels = pixels.shape
    if max(height, width) > _LARGEST_PNG_EXTENT:
        raise BadRequest(f"an image of {width} x {height} pixels is larger than a PNG can be")
    depth = pixels.dtype.itemsize
    step = channels * depth
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(height, width * step)
    filtered = np.empty((height, 1 + width * step), np.uint8)
    if smooth:
        filtered[:, 0] = _PNG_AVERAGE
        predicted = np.zeros(rows.shape, np.uint16)
        predicted[1:] = rows[:-1]
        predicted[:, step:] += rows[:, :-step]
        predicted >>= 1
        np.subtract(rows, predicted, out=filtered[:, 1:], dtype=np.uint16, casting="unsafe")
    else:
        filtered[:, 0] = _PNG_UP
        filtered[0, 1:] = rows[0]
        np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8 * depth, _PNG_COLOR_TYPES[channels], 0, 0, 0)
    image_data = isal_zlib.compress(filtered, 1)
    return b"".join((_PNG_SIGNATURE, *_chunk(b"IHDR", header), *_chunk(b"IDAT", image_data), *_chunk(b"IEND", b"")))


def _chunk(kind: bytes, content: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    checksum = isal_zlib.crc32(content, isal_zlib.crc32(kind))
    return struct.pack(">I", len(content)), kind, content, struct.pack(">I", checksum)


def _for_jpeg(pixels: Pixels) -> NDArray[np.uint8]:
    """Reduce pixels to gray or RGB of uint8; alpha darkens, as against a black background."""
    if pixels.shape[2] == 4:
        largest = np.iinfo(pixels.dtype).max
        alpha = pixels[:, :, 3].astype(np.uint16 if largest == 255 else np.uint32)
        darkened = np.empty((*pixels.shape[:2], 3), pixels.dtype)
        # Channel by channel: numpy is slow along an axis of three.
        for channel in range(3):
            darkened[:, :, channel] = pixels[:, :, channel] * alpha // alpha.dtype.type(largest)
        pixels = darkened
    if pixels.dtype.itemsize == 2:
        pixels = pixels >> 8
    return np.ascontiguousarray(pixels, np.uint8)


def _encode_jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    height, width, channels = pixels.shape
    if not 0 < max(height, width) <= LARGEST_JPEG_EXTENT or not min(height, width):
        raise BadRequest(f"a JPEG has 1 to {LARGEST_JPEG_EXTENT} pixels a side, not {width} x {height}")
    encoded: bytes = simplejpeg.encode_jpeg(pixels, quality, "GRAY" if channels == 1 else "RGB", "420")
    return encoded


def _jpeg_header(data: bytes | memoryview) -> tuple[int, int, bool]:
    """Height, width, and whether it is gray."""
    try:
        height, width, color_space, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise BadRequest(f"not a valid JPEG: {error}") from None
    return height, width, color_space == "Gray"


def _decode_jpeg(data: bytes | memoryview, *, gray: bool) -> NDArray[np.uint8]:
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "GRAY" if gray else "RGB")
    except ValueError as error:
        raise BadRequest(f"not a valid JPEG: {error}") from None
    return pixels[:, :, 0] if gray else pixels


def _decode_png(data: bytes | memoryview, max_pixels: int) -> NDArray[Any]:
    if len(data) < 33 or bytes(data[8:16]) != b"\0\0\0\rIHDR":
        raise BadRequest("not a valid PNG: it has no header")
    width, height, depth, color_type = struct.unpack_from(">IIBB", data, 16)
    _check_pixels("PNG", width * height, max_pixels)
    if depth != 16 or color_type not in (_RGB, _GRAY_ALPHA, _RGBA):
        return _decode_with_pillow(PngImageFile, data, max_pixels)
    # Pillow keeps 8 of the 16 bits: told which, it gives the upper bytes, or the lower ones, or gray and alpha as bytes.
    if color_type == _GRAY_ALPHA:
        pairs = _decode_with_pillow(PngImageFile, data, max_pixels, "RGBA")
        return np.ascontiguousarray(pairs).view(">u2").astype(np.uint16)
    kind = "RGB" if color_type == _RGB else "RGBA"
    pixels = _decode_with_pillow(PngImageFile, data, max_pixels, f"{kind};16B").astype(np.uint16)
    pixels <<= 8
    pixels |= _decode_with_pillow(PngImageFile, data, max_pixels, f"{kind};16L")
    return pixels


def _decode_with_pillow(
    plugin: type[ImageFile], data: bytes | memoryview, max_pixels: int, raw_mode: str = ""
) -> NDArray[Any]:
    """Decode with Pillow's plugin for one format, going past `Image.open` and its own limit.

    `raw_mode` says how to understand the file's bytes, if not as the plugin would.
    """
    try:
        with plugin(io.BytesIO(data)) as image:
            if raw_mode:
                image.tile = [tile._replace(args=raw_mode) for tile in image.tile]
            _check_pixels(str(image.format), image.width * image.height, max_pixels)
            pages = getattr(image, "n_frames", 1)
            if pages != 1:
                raise BadRequest(f"the {image.format} has {pages} pages, expected one")
            if image.mode in _PILLOW_MODES:
                return np.asarray(image)
            if image.mode not in _PILLOW_CONVERSIONS:
                raise BadRequest(f"the {image.format} has pixels of the kind {image.mode}, which is not supported")
            return np.asarray(image.convert(_PILLOW_CONVERSIONS[image.mode]))
    except (DvidError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - the plugins raise nearly any exception on a damaged file
        raise BadRequest(f"not a valid {plugin.format}: {error!r}") from None


def _check_pixels(kind: str, pixels: int, max_pixels: int) -> None:
    if pixels > max_pixels:
        raise TooLarge(f"the {kind} has {pixels} pixels, more than the limit of {max_pixels}")
