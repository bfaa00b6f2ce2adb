"""Images: pixel layouts as other decoders see them, sizes before memory, and damaged files."""

import contextlib
import gc
import io
import struct
import sys
import tracemalloc
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from dvid.codecs.images import (
    DEFAULT_JPEG_QUALITY,
    ImageFormat,
    decode_image,
    decode_jpeg,
    decode_jpeg_block,
    encode_image,
    encode_jpeg_block,
    encode_volume_jpeg,
    parse_format,
)
from dvid.errors import BadRequest, TooLarge

PNG = ImageFormat("png")
JPG = ImageFormat("jpg")
SHAPES = arrays.array_shapes(min_dims=2, max_dims=2, max_side=20)


def smooth(height=64, width=80):
    """A gray image that JPEG can keep."""
    y, x = np.mgrid[:height, :width]
    return (120 + 60 * np.sin(x / 9) + 50 * np.cos(y / 7)).astype(np.uint8)


def png(voxels):
    encoded, media_type = encode_image(voxels, PNG)
    assert media_type == "image/png"
    return imagecodecs.png_decode(encoded)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", PNG),
        ("png", PNG),
        ("jpg", ImageFormat("jpg", 80)),
        ("jpeg", ImageFormat("jpg", 80)),
        ("jpg:1", ImageFormat("jpg", 1)),
        ("jpeg:100", ImageFormat("jpg", 100)),
    ],
)
def test_formats_are_parsed(text, expected):
    assert parse_format(text) == expected
    assert DEFAULT_JPEG_QUALITY == 80


@pytest.mark.parametrize(
    "text",
    ["gif", "PNG", "jpg:", "jpg:0", "jpg:101", "jpg:-5", "jpg:x", "jpg:8.5", "jpg:80:80", "jpg:٣", "jpg:" + "1" * 99],
)
def test_an_unknown_format_or_quality_is_refused(text):
    with pytest.raises(BadRequest):
        parse_format(text)


@given(arrays.arrays(np.uint8, SHAPES))
def test_uint8_is_gray_in_png(voxels):
    assert np.array_equal(png(voxels), voxels)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_image(voxels, PNG)[0]))), voxels)


@given(arrays.arrays(np.uint16, SHAPES))
def test_uint16_is_gray_in_png(voxels):
    decoded = png(voxels)
    assert decoded.dtype == np.uint16
    assert np.array_equal(decoded, voxels)


@given(st.sampled_from(["<u4", "<i4", "<f4", ">u4"]).flatmap(lambda dtype: arrays.arrays(dtype, SHAPES)))
def test_four_bytes_are_rgba_in_png_in_little_endian_order(voxels):
    voxels[0, 0] = 5  # not opaque
    little_endian = voxels.astype(voxels.dtype.newbyteorder("<"))
    assert png(voxels).tobytes() == little_endian.tobytes()


@given(st.sampled_from(["<u8", "<i8", "<f8"]).flatmap(lambda dtype: arrays.arrays(dtype, SHAPES)))
def test_eight_bytes_are_rgba_of_16_bits_in_png_with_the_bytes_in_order(voxels):
    voxels[0, 0] = 5  # not opaque
    decoded = png(voxels)
    assert decoded.dtype == np.uint16
    assert decoded.astype(">u2").tobytes() == voxels.tobytes()


@given(arrays.arrays(np.uint8, SHAPES.map(lambda shape: (*shape, 4))))
def test_rgba_stays_rgba_unless_it_is_opaque(voxels):
    voxels[0, 0, 3] = 5
    assert np.array_equal(png(voxels), voxels)
    voxels[..., 3] = 255
    assert np.array_equal(png(voxels), voxels[..., :3])


@given(arrays.arrays(np.int8, SHAPES))
def test_signed_bytes_are_written_as_they_are(voxels):
    assert png(voxels).tobytes() == voxels.tobytes()


def test_slices_of_any_memory_layout_are_encoded():
    volume = np.random.default_rng(0).integers(0, 2**32, (9, 8, 7), np.uint32)
    for plane in (volume[:, 3, :], volume[:, :, 2], volume[4].T, volume[::2, 1, ::-1]):
        assert png(plane).tobytes() == plane.tobytes()
        assert np.array_equal(png((plane >> 24).astype(np.uint8)), plane >> 24)


@pytest.mark.parametrize(
    "voxels",
    [
        np.zeros((0, 5), np.uint8),
        np.zeros((5, 0), np.uint8),
        np.zeros((5, 5, 5, 5), np.uint8),
        np.zeros((5, 5, 2), np.uint8),
        np.zeros((5, 5, 4), np.uint16),
        np.zeros((5, 5), np.float16),
        np.zeros((5, 5), np.complex64),
        np.zeros((5, 5), bool),
        np.zeros(5, np.uint8),
    ],
)
@pytest.mark.parametrize("kind", [PNG, JPG])
def test_voxels_that_are_no_image_are_refused(voxels, kind):
    with pytest.raises(BadRequest):
        encode_image(voxels, kind)


def test_png_of_microscopy_is_no_larger_than_at_zlib_level_6():
    random = np.random.default_rng(1)
    noisy = np.clip(smooth(256, 256) + random.normal(0, 6, (256, 256)), 0, 255).astype(np.uint8)
    reference = io.BytesIO()
    Image.fromarray(noisy).save(reference, "PNG", compress_level=6)
    assert len(encode_image(noisy, PNG)[0]) < 1.3 * len(reference.getvalue())


def error_of(encoded, expected):
    decoded = np.asarray(Image.open(io.BytesIO(encoded))).astype(float)
    assert decoded.shape == expected.shape
    return np.abs(decoded - expected).mean()


def test_uint8_is_a_gray_jpeg_of_the_asked_quality():
    image = smooth()
    low, high = (encode_image(image, ImageFormat("jpg", quality)) for quality in (10, 95))
    assert high[1] == "image/jpeg"
    assert len(low[0]) < len(high[0])
    assert error_of(high[0], image) < 1
    assert error_of(high[0], image) < error_of(low[0], image) < 8


def test_uint16_is_the_upper_byte_in_jpeg():
    image = smooth()
    assert error_of(encode_image(image.astype(np.uint16) * 256 + 99, JPG)[0], image) < 1.5


def test_alpha_darkens_a_jpeg():
    image = smooth()
    rgba = np.dstack([image, image // 2, 255 - image, np.full_like(image, 128)])
    expected = rgba[..., :3].astype(float) * 128 / 255
    assert error_of(encode_image(rgba, ImageFormat("jpg", 95))[0], expected) < 3
    words = rgba.view("<u4")[..., 0]
    assert encode_image(words, JPG) == encode_image(rgba, JPG)
    rgba[..., 3] = 255
    assert error_of(encode_image(rgba, ImageFormat("jpg", 95))[0], rgba[..., :3]) < 3


def test_eight_bytes_have_a_jpeg_of_their_upper_bytes():
    image = smooth()
    channels = np.dstack([image, image // 2, 255 - image, np.full_like(image, 255)])
    # As the PNG has it: each channel is two bytes, the first the upper one.
    words = np.repeat(channels, 2, axis=2).view("<u8")[..., 0]
    assert error_of(encode_image(words, ImageFormat("jpg", 95))[0], channels[..., :3]) < 3


def test_a_jpeg_wider_than_the_format_allows_is_refused():
    with pytest.raises(BadRequest, match="65535"):
        encode_image(np.zeros((1, 65_536), np.uint8), JPG)
    with pytest.raises(BadRequest, match="65535"):
        encode_volume_jpeg(np.zeros((1024, 64, 1), np.uint8))


def test_a_volume_is_one_tall_jpeg_with_the_sections_below_each_other():
    volume = np.stack([smooth(64, 64) // (z // 16 + 1) for z in range(64)])
    encoded = encode_volume_jpeg(volume, 90)
    with Image.open(io.BytesIO(encoded)) as image:
        assert (image.size, image.mode) == ((64, 4096), "L")
    assert error_of(encoded, volume.reshape(4096, 64)) < 1.5


def test_a_volume_that_is_not_contiguous_is_encoded_in_its_order():
    volume = np.stack([smooth(32, 32) // (z // 8 + 1) for z in range(32)])
    assert encode_volume_jpeg(np.ascontiguousarray(volume.T)) == encode_volume_jpeg(volume.T)


def test_jpeg_blocks_come_back_with_their_shape():
    block = np.stack([smooth(24, 16) // (z // 4 + 1) for z in range(8)])
    decoded = decode_jpeg_block(memoryview(encode_jpeg_block(block)), (8, 24, 16))
    assert decoded.shape == block.shape
    assert np.abs(decoded.astype(float) - block).mean() < 3


def test_a_jpeg_block_of_another_size_or_in_color_is_refused():
    encoded = encode_jpeg_block(np.zeros((8, 16, 16), np.uint8))
    with pytest.raises(BadRequest, match="expected a gray one of 16 x 256"):
        decode_jpeg_block(encoded, (16, 16, 16))
    color = encode_image(np.zeros((128, 16, 3), np.uint8), JPG)[0]
    with pytest.raises(BadRequest, match="a color image of 16 x 128"):
        decode_jpeg_block(color, (8, 16, 16))


@pytest.mark.parametrize(
    "volume", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint16), np.zeros((4, 0, 4), np.uint8)]
)
def test_only_gray_volumes_of_bytes_are_jpeg(volume):
    with pytest.raises(BadRequest):
        encode_volume_jpeg(volume)


def files():
    """One file of each kind, with the array that it holds (None where it is only similar)."""
    gray, random = smooth(), np.random.default_rng(0)
    wide = random.integers(0, 2**16, (12, 10), np.uint16)
    rgba = random.integers(0, 256, (12, 10, 4), np.uint8)
    colors = {f"png of {n} x 16 bits": random.integers(0, 2**16, (12, 10, n), np.uint16) for n in (2, 3, 4)}
    tiffs = {}
    for name, options in {"plain": {}, "lzw": {"compression": "lzw"}, "tiled": {"tile": (16, 16)}}.items():
        stream = io.BytesIO()
        tifffile.imwrite(stream, gray, **options)
        tiffs[f"tiff {name}"] = (stream.getvalue(), gray)
    return {
        "png": (encode_image(gray, PNG)[0], gray),
        "png of 16 bits": (encode_image(wide, PNG)[0], wide),
        "png of color": (encode_image(rgba, PNG)[0], rgba),
        **{name: (imagecodecs.png_encode(color), color) for name, color in colors.items()},
        "jpg": (encode_image(gray, JPG)[0], None),
        "color jpg": (encode_image(np.dstack([gray] * 3), JPG)[0], None),
        **tiffs,
    }


@pytest.mark.parametrize("name", files())
def test_images_of_each_kind_are_decoded(name):
    data, expected = files()[name]
    decoded = decode_image(memoryview(data), 64 * 80)
    if expected is not None:
        assert decoded.dtype == expected.dtype
        assert np.array_equal(decoded, expected)
    else:
        assert np.abs(decoded.astype(float) - (smooth()[..., None] if decoded.ndim == 3 else smooth())).mean() < 3


@pytest.mark.parametrize("name", files())
def test_an_image_beyond_the_limit_is_refused_with_the_limit(name):
    with pytest.raises(TooLarge, match="limit of 100"):
        decode_image(files()[name][0], 100)


@pytest.mark.parametrize("name", files())
@given(draw=st.data())
def test_a_damaged_file_is_refused_or_decoded_within_the_limit(name, draw):
    data = bytearray(files()[name][0])
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(4, min(len(data), 400) - 1))] = draw.draw(st.integers(0, 255))
    cut = draw.draw(st.integers(0, len(data)))
    for damaged in (bytes(data), bytes(data[:cut])):
        try:
            decoded = decode_image(damaged, 6000)
        except (BadRequest, TooLarge):
            continue
        assert decoded.shape[0] * decoded.shape[1] <= 6000


@pytest.mark.parametrize("name", [name for name in files() if not name.startswith("tiff")])
def test_a_truncated_file_is_refused(name):
    data = files()[name][0]
    for kept in (0, 3, 10, 40, len(data) // 2):
        with pytest.raises(BadRequest):
            decode_image(data[:kept], 1 << 20)


def test_a_transparent_color_changes_no_value():
    gray = smooth()
    stream = io.BytesIO()
    Image.fromarray(gray).save(stream, "PNG", transparency=int(gray[0, 0]))
    assert np.array_equal(decode_image(stream.getvalue(), 1 << 20), gray)


def test_palettes_and_bits_are_decoded_to_bytes():
    gray = smooth()
    for image, expected in [
        (Image.fromarray(gray).convert("P"), np.dstack([gray, gray, gray, np.full_like(gray, 255)])),
        (Image.fromarray(gray > 100), (gray > 100) * np.uint8(255)),
    ]:
        for kind in ("PNG", "TIFF"):
            stream = io.BytesIO()
            image.save(stream, kind)
            decoded = decode_image(stream.getvalue(), 1 << 20)
            assert decoded.dtype == np.uint8
            assert np.array_equal(decoded, expected)


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<i4", "<f4"])
def test_tiff_of_wider_types_keeps_its_values(dtype):
    voxels = np.arange(20).reshape(4, 5).astype(dtype) * 3000
    stream = io.BytesIO()
    tifffile.imwrite(stream, voxels, byteorder=dtype[0])
    decoded = decode_image(stream.getvalue(), 1 << 20)
    assert (decoded.dtype.kind, decoded.dtype.itemsize) == (voxels.dtype.kind, voxels.dtype.itemsize)
    assert np.array_equal(decoded, voxels)


def test_damaged_files_do_not_wear_out_the_interpreter():
    # A decoder that gives back one reference to None too many ends the process after some thousand bad files.
    whole = [data for data, _ in files().values()]
    damaged = [data[: len(data) // 2] for data in whole] + [data[:60] + b"U" * 20 + data[80:] for data in whole]
    gc.collect()
    before = sys.getrefcount(None)
    for _ in range(300):
        for data in damaged:
            with contextlib.suppress(BadRequest):
                decode_image(data, 1 << 20)
    gc.collect()
    assert before - sys.getrefcount(None) < 200


def test_other_formats_are_refused():
    for garbage in (b"", b"GIF89a......", b"\xff\xd8"):
        with pytest.raises(BadRequest, match="neither PNG, JPEG nor TIFF"):
            decode_image(garbage, 100)
    with pytest.raises(BadRequest, match="not a valid JPEG"):
        decode_jpeg(b"not an image", 100)


def test_a_tiff_of_several_pages_is_refused():
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.zeros((3, 8, 8), np.uint8), photometric="minisblack")
    with pytest.raises(BadRequest, match="3 pages"):
        decode_image(stream.getvalue(), 1000)


def bomb():
    """A PNG that says it has 50,000 x 50,000 pixels."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_png_bomb_takes_no_memory():
    data = bomb()
    tracemalloc.start()
    with pytest.raises(TooLarge, match="2500000000 pixels, more than the limit of 1000000"):
        decode_image(data, 1_000_000)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
