from __future__ import annotations

import gc
import struct
import sys
import tracemalloc
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dvid.errors import BadRequest, NotFound, TooLarge
from dvid.interop import open_source

PLANES = np.random.default_rng(5).integers(0, 255, (12, 40, 30), dtype=np.uint8)


def write_pngs(folder, planes=PLANES, name="slice_{}.png"):
    folder.mkdir(exist_ok=True)
    for z, plane in enumerate(planes):
        Image.fromarray(plane).save(folder / name.format(z))


@pytest.mark.parametrize("name", ["slice_{}.png", "{}.png", "a2_s{}_b10.PNG"])
def test_slices_are_in_the_natural_order_of_their_names(tmp_path, name):
    write_pngs(tmp_path / "em", name=name)
    with open_source(str(tmp_path / "em")) as source:
        np.testing.assert_array_equal(source.read((0, 0, 0), PLANES.shape), PLANES)
        assert source.preferred_chunk_zyx == (1, 40, 30)


def test_a_pattern_chooses_slices(tmp_path):
    write_pngs(tmp_path / "em")
    (tmp_path / "em" / "notes.txt").write_text("x")
    with open_source(str(tmp_path / "em" / "slice_1*.png")) as source:
        np.testing.assert_array_equal(source.read((0, 0, 0), (3, 40, 30)), PLANES[[1, 10, 11]])
    with pytest.raises(NotFound, match="no file matches"):
        open_source(str(tmp_path / "em" / "none*.png"))


def test_a_single_image_is_a_volume_of_one_plane(tmp_path):
    write_pngs(tmp_path / "em")
    with open_source(str(tmp_path / "em" / "slice_3.png")) as source:
        np.testing.assert_array_equal(source.read((0, 0, 0), (1, 40, 30))[0], PLANES[3])


def test_other_files_beside_the_slices_are_left_alone(tmp_path):
    write_pngs(tmp_path / "em")
    (tmp_path / "em" / "readme.txt").write_text("x")
    (tmp_path / "em" / ".hidden.tif").write_text("x")
    assert open_source(str(tmp_path / "em")).shape_zyx == PLANES.shape


def test_a_folder_without_images_is_refused_with_what_is_there(tmp_path):
    with pytest.raises(NotFound, match="is empty"):
        open_source(str(tmp_path))
    (tmp_path / "table.csv").write_text("x")
    with pytest.raises(NotFound, match=r"table\.csv"):
        open_source(str(tmp_path))


def test_a_folder_of_several_kinds_of_images_is_refused(tmp_path):
    write_pngs(tmp_path / "em")
    Image.fromarray(PLANES[0]).save(tmp_path / "em" / "x.jpg")
    with pytest.raises(BadRequest, match="1 jpeg and 12 png"):
        open_source(str(tmp_path / "em"))


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (PLANES[0, :, :-1], "29 x 40 uint8, where"),
        (PLANES[0].astype(np.uint16), "30 x 40 uint16, where"),
        (np.stack([PLANES[0]] * 3, axis=2), "30 x 40 uint8 with 3 channels, where"),
    ],
)
def test_a_slice_that_differs_is_named(tmp_path, odd, message):
    write_pngs(tmp_path / "em")
    (tmp_path / "em" / "slice_7.png").write_bytes(imagecodecs.png_encode(odd))
    with pytest.raises(BadRequest, match=rf"slice_7\.png is {message}"):
        open_source(str(tmp_path / "em"))


def test_a_slice_that_is_no_image_is_named(tmp_path):
    write_pngs(tmp_path / "em")
    (tmp_path / "em" / "slice_7.png").write_text("not an image")
    with pytest.raises(BadRequest, match=r"slice_7\.png is not a TIFF, PNG or JPEG"):
        open_source(str(tmp_path / "em"))


def test_a_slice_of_several_pages_is_named(tmp_path):
    for z in range(3):
        tifffile.imwrite(tmp_path / f"{z}.tif", PLANES[: 1 + z // 2 * 3], photometric="minisblack")
    with pytest.raises(BadRequest, match=r"2\.tif holds \(4, 40, 30\): a slice of a stack is one page"):
        open_source(str(tmp_path))


def test_slices_that_change_or_go_after_opening_are_named(tmp_path):
    write_pngs(tmp_path / "em")
    with open_source(str(tmp_path / "em")) as source:
        Image.fromarray(PLANES[0, :5]).save(tmp_path / "em" / "slice_7.png")
        (tmp_path / "em" / "slice_8.png").unlink()
        source.read((0, 0, 0), (7, 40, 30))
        with pytest.raises(BadRequest, match=r"slice_7\.png has changed"):
            source.read((7, 0, 0), (1, 40, 30))
        with pytest.raises(NotFound, match=r"slice_8\.png"):
            source.read((8, 0, 0), (1, 40, 30))


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4)])
def test_png_channels_are_read(tmp_path, mode, channels):
    image = Image.fromarray(PLANES[0]).convert(mode)
    image.save(tmp_path / "a.png")
    with open_source(str(tmp_path / "a.png")) as source:
        assert source.channels == channels
        np.testing.assert_array_equal(source.read((0, 5, 6), (1, 20, 10))[0], np.asarray(image)[5:25, 6:16])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_16_bits_keeps_them_all(tmp_path, channels):
    pixels = np.random.default_rng(channels).integers(0, 1 << 16, (20, 10, channels)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    with open_source(str(tmp_path / "a.png")) as source:
        read = source.read((0, 0, 0), (1, 20, 10))
        assert (source.channels, read.dtype) == (channels, np.uint16)
        np.testing.assert_array_equal(read.reshape(pixels.shape), pixels)


def test_damaged_slices_do_not_wear_out_the_interpreter(tmp_path):
    # A decoder that gives back one reference to None too many ends the process after some thousand bad files.
    path = tmp_path / "a.png"
    Image.fromarray(PLANES[0]).save(path)
    path.write_bytes(path.read_bytes()[:-40])
    gc.collect()
    before = sys.getrefcount(None)
    for _ in range(300):
        with open_source(str(path)) as source, pytest.raises(BadRequest, match=r"a\.png is damaged"):
            source.read((0, 0, 0), (1, 40, 30))
    gc.collect()
    assert before - sys.getrefcount(None) < 200


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_png_with_a_second_header_is_refused(tmp_path):
    Image.fromarray(PLANES[0]).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    second = chunk(b"IHDR", struct.pack(">IIBBBBB", 30, 20, 8, 0, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(whole[:33] + second + whole[33:])
    with open_source(str(tmp_path / "a.png")) as source, pytest.raises(BadRequest, match=r"a\.png is damaged"):
        source.read((0, 0, 0), (1, 40, 30))


def test_png_with_a_palette_is_refused(tmp_path):
    Image.fromarray(PLANES[0]).convert("P").save(tmp_path / "a.png")
    with pytest.raises(BadRequest, match="palette"):
        open_source(str(tmp_path / "a.png"))


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("progressive", [True, False])
def test_jpeg_is_read(tmp_path, mode, progressive):
    Image.fromarray(PLANES[0]).convert(mode).save(tmp_path / "a.jpg", quality=90, progressive=progressive)
    with open_source(str(tmp_path / "a.jpg")) as source, Image.open(tmp_path / "a.jpg") as image:
        assert source.channels == len(mode)
        box = source.read((0, 0, 0), (1, 40, 30))[0].astype(int)
        assert np.abs(box - np.asarray(image)).max() <= 3


def test_jpeg_of_four_colours_is_refused(tmp_path):
    Image.fromarray(PLANES[0]).convert("CMYK").save(tmp_path / "a.jpg")
    with pytest.raises(BadRequest, match="4 channels"):
        open_source(str(tmp_path / "a.jpg"))


@pytest.mark.parametrize("kind", ["png", "jpg", "tif"])
def test_a_slice_cut_short_anywhere_is_refused(tmp_path, kind):
    Image.fromarray(PLANES[0]).save(tmp_path / f"a.{kind}")
    whole = (tmp_path / f"a.{kind}").read_bytes()
    for keep in (1, 5, 20, len(whole) // 2, len(whole) - 40):
        (tmp_path / f"a.{kind}").write_bytes(whole[:keep])
        with pytest.raises(BadRequest, match=rf"a\.{kind}"):
            open_source(str(tmp_path / f"a.{kind}")).read((0, 0, 0), (1, 40, 30))


@settings(max_examples=100)
@given(data=st.data())
def test_a_damaged_slice_is_refused_or_read_but_never_breaks(tmp_path_factory, data):
    kind = data.draw(st.sampled_from(["png", "jpg", "tif"]))
    path = tmp_path_factory.mktemp("slice") / f"a.{kind}"
    Image.fromarray(PLANES[0]).save(path)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        end = data.draw(st.sampled_from([40, len(whole)]))
        whole[data.draw(st.integers(0, min(end, len(whole)) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    refusal = str(path)
    try:
        with open_source(str(path)) as source:
            source.read((0, 0, 0), tuple(min(n, 40) for n in source.shape_zyx))
    except (BadRequest, NotFound, TooLarge) as error:
        refusal = str(error)
    assert str(path) in refusal


def test_an_image_bomb_is_refused_before_it_is_decoded(tmp_path):
    head = struct.pack(">IIBBBBB", 200000, 200000, 8, 0, 0, 0, 0)
    image = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    (tmp_path / "bomb.png").write_bytes(image)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match=r"bomb\.png"):
            open_source(str(tmp_path / "bomb.png"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_many_boxes_of_a_large_stack_take_little_memory(tmp_path):
    plane = np.zeros((3000, 3000), np.uint8)
    for z in range(20):
        plane[:] = z
        (tmp_path / f"{z}.png").write_bytes(imagecodecs.png_encode(plane, level=1))
    tracemalloc.start()
    try:
        with open_source(str(tmp_path)) as source:
            for x in (0, 1000):
                np.testing.assert_array_equal(source.read((0, 1000, x), (20, 64, 64))[:, 0, 0], np.arange(20))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The 20 planes are 180 MB; 64 MB of them are kept.
    assert peak < 100 << 20


def test_the_fingerprint_tells_changed_slices(tmp_path):
    write_pngs(tmp_path / "em")
    first = open_source(str(tmp_path / "em")).fingerprint()
    assert open_source(str(tmp_path / "em")).fingerprint() == first
    Image.fromarray(PLANES[1]).save(tmp_path / "em" / "slice_7.png")
    assert open_source(str(tmp_path / "em")).fingerprint() != first
