from __future__ import annotations

import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from dvid.errors import BadRequest, NotFound, TooLarge
from dvid.interop import open_source

VOLUME = np.random.default_rng(3).integers(0, 60000, (6, 50, 70), dtype=np.uint16)
COLOURS = np.random.default_rng(4).integers(0, 255, (6, 50, 70, 3), dtype=np.uint8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "v.tif"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True, "rowsperstrip": 7},
        {"compression": "lzw", "tile": (32, 16)},
        {"compression": "zstd", "tile": (16, 16)},
        {"tile": (32, 32)},
        {"bigtiff": True, "compression": "packbits"},
        {"byteorder": ">"},
        {"byteorder": ">", "compression": "zlib"},
        {"contiguous": False, "metadata": None},
    ],
)
def test_pages_of_every_storage_are_read_box_by_box(path, options):
    tifffile.imwrite(path, VOLUME, photometric="minisblack", **options)
    with open_source(str(path)) as source:
        assert (source.shape_zyx, source.dtype, source.channels) == (VOLUME.shape, np.dtype("=u2"), 1)
        for start, shape in (((0, 0, 0), VOLUME.shape), ((2, 13, 31), (3, 30, 35)), ((5, 49, 69), (1, 1, 1))):
            where = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
            np.testing.assert_array_equal(source.read(start, shape), VOLUME[where])


@pytest.mark.parametrize(
    ("options", "stored"),
    [
        ({"photometric": "rgb"}, COLOURS),
        ({"photometric": "rgb", "compression": "zlib", "tile": (16, 32)}, COLOURS),
        ({"photometric": "rgb", "planarconfig": "separate", "compression": "zlib"}, COLOURS.transpose(0, 3, 1, 2)),
        ({"imagej": True, "metadata": {"axes": "ZCYX"}}, COLOURS.transpose(0, 3, 1, 2)),
        ({"ome": True, "compression": "zlib", "metadata": {"axes": "CZYX"}}, COLOURS.transpose(3, 0, 1, 2)),
        ({"ome": True, "compression": "zlib", "metadata": {"axes": "ZCYX"}}, COLOURS.transpose(0, 3, 1, 2)),
    ],
)
def test_channels_come_last_however_they_are_stored(path, options, stored):
    tifffile.imwrite(path, stored, **options)
    with open_source(str(path)) as source:
        assert (source.shape_zyx, source.channels) == (COLOURS.shape[:3], 3)
        np.testing.assert_array_equal(source.read((1, 2, 3), (4, 40, 60)), COLOURS[1:5, 2:42, 3:63])


def test_the_voxel_size_of_imagej_is_read(path):
    about = {"axes": "ZYX", "spacing": 0.05, "unit": "um"}
    tifffile.imwrite(path, VOLUME, imagej=True, resolution=(1 / 0.004, 1 / 0.008), metadata=about)
    with open_source(str(path)) as source:
        assert source.voxel_size_zyx == pytest.approx((50.0, 8.0, 4.0))
        assert source.units == "nanometers"


def test_the_voxel_size_of_ome_is_read(path):
    about = {"axes": "ZYX", "PhysicalSizeX": 4.6, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 4.6}
    about |= {"PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 0.05, "PhysicalSizeZUnit": "µm"}
    tifffile.imwrite(path, VOLUME, ome=True, metadata=about)
    with open_source(str(path)) as source:
        assert (source.voxel_size_zyx, source.units) == ((50.0, 4.6, 4.6), "nanometers")


def test_a_file_that_says_nothing_of_its_voxels_gives_none(path):
    tifffile.imwrite(path, VOLUME, photometric="minisblack", resolution=(72, 72), resolutionunit="INCH")
    with open_source(str(path)) as source:
        assert (source.voxel_size_zyx, source.units) == (None, None)


@pytest.mark.parametrize("axes", ["TYX", "ZYX"])
def test_frames_in_time_are_taken_for_planes(path, axes):
    tifffile.imwrite(path, VOLUME, imagej=True, metadata={"axes": axes})
    with open_source(str(path)) as source:
        assert source.shape_zyx == VOLUME.shape


def test_a_movie_of_volumes_is_refused(path):
    tifffile.imwrite(path, np.zeros((2, 3, 8, 8), np.uint8), imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(BadRequest, match="TZYX"):
        open_source(str(path))


def test_pages_of_different_kinds_are_listed_and_chosen_by_number(path):
    with tifffile.TiffWriter(path) as writer:
        writer.write(VOLUME, photometric="minisblack", metadata=None)
        writer.write(VOLUME[:2, :10, :20].astype(np.uint8), photometric="minisblack", metadata=None)
    with pytest.raises(BadRequest, match=r"0: \(6, 50, 70\) uint16, 1: \(2, 10, 20\) uint8"):
        open_source(str(path))
    with open_source(str(path), "1") as source:
        assert source.shape_zyx == (2, 10, 20)
    for wrong in ("2", "-1", "raw"):
        with pytest.raises(BadRequest, match="no series"):
            open_source(str(path), wrong)


@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib"}, {"tile": (16, 16), "compression": "lzw"}, {"imagej": True}]
)
def test_a_file_cut_short_anywhere_is_refused(path, options):
    tifffile.imwrite(path, VOLUME, **({"photometric": "minisblack"} if "imagej" not in options else {}), **options)
    whole = path.read_bytes()
    for keep in (1, 4, 8, 100, len(whole) // 3, len(whole) // 2, len(whole) - 200):
        path.write_bytes(whole[:keep])
        with pytest.raises(BadRequest, match=r"v\.tif"), open_source(str(path)) as source:
            source.read((0, 0, 0), source.shape_zyx)


def test_many_channels_without_planes_are_taken_for_planes(path):
    tifffile.imwrite(path, VOLUME, imagej=True, metadata={"axes": "CYX"})
    with open_source(str(path)) as source:
        np.testing.assert_array_equal(source.read((0, 0, 0), VOLUME.shape), VOLUME)
    with open_source(str(path), axes="cyx") as source:
        assert (source.shape_zyx, source.channels) == ((1, 50, 70), 6)


@pytest.mark.parametrize("axes", ["yxz", "zzyx", "zxy", "yx", "-yx", "tyx", ""])
def test_axes_that_do_not_fit_the_pages_are_refused(path, axes):
    tifffile.imwrite(path, VOLUME, photometric="minisblack", compression="zlib")
    with pytest.raises(BadRequest, match="does not fit"):
        open_source(str(path), axes=axes)


def test_a_bomb_in_a_strip_is_not_unpacked(path):
    tifffile.imwrite(path, np.zeros((40, 40), np.uint8), photometric="minisblack", compression="zlib", metadata=None)
    with tifffile.TiffFile(path) as file:
        counts = file.pages.first.tags["StripByteCounts"]
        where, offsets = counts.valueoffset, file.pages.first.tags["StripOffsets"].valueoffset
    whole = bytearray(path.read_bytes())
    bomb = zlib.compress(bytes(300 << 20))
    whole[where : where + 4] = len(bomb).to_bytes(4, "little")
    whole[offsets : offsets + 4] = len(whole).to_bytes(4, "little")
    path.write_bytes(whole + bomb)
    # In a process of its own: the peak of this one is that of all tests before.
    script = """
import contextlib, pathlib, sys
from dvid.errors import BadRequest
from dvid.interop import open_source
import dvid.interop.tiff
def peak():  # that of getrusage(2) is handed on by the process that started this one
    return int(pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
before = peak()
with contextlib.suppress(BadRequest), open_source(sys.argv[1]) as source:
    assert not source.read((0, 0, 0), (1, 40, 40)).any()
print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    kilobytes = int(done.stdout)
    assert kilobytes < 100 << 10


@settings(max_examples=150)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_but_never_breaks(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("tiff") / "v.tif"
    options = data.draw(
        st.sampled_from([{}, {"compression": "zlib", "rowsperstrip": 9}, {"tile": (16, 16), "compression": "lzw"}])
    )
    tifffile.imwrite(path, VOLUME[:2, :40, :40], photometric="minisblack", **options)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 10))):
        # Most of the meaning is in the header and the first page's directory.
        end = data.draw(st.sampled_from([16, 400, len(whole)]))
        whole[data.draw(st.integers(0, min(end, len(whole)) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    refusal = str(path)
    try:
        with open_source(str(path)) as source:
            source.read((0, 0, 0), tuple(min(n, 40) for n in source.shape_zyx))
    except (BadRequest, NotFound, TooLarge) as error:
        refusal = str(error)
    assert "v.tif" in refusal


def test_pages_that_go_in_circles_are_refused(path):
    tifffile.imwrite(path, VOLUME[:2], photometric="minisblack", metadata=None, contiguous=False)
    with tifffile.TiffFile(path) as file:
        second = file.pages[1].offset
    whole = bytearray(path.read_bytes())
    (entries,) = np.frombuffer(whole[second : second + 2], "<u2")
    link = second + 2 + 12 * int(entries)
    whole[link : link + 4] = second.to_bytes(4, "little")
    path.write_bytes(whole)
    with pytest.raises(BadRequest, match="no end"):
        open_source(str(path))


def test_a_small_box_of_a_large_file_takes_little_memory(path):
    with tifffile.TiffWriter(path) as writer:
        for z in range(20):
            plane = np.full((2048, 2048), z, np.uint8)
            writer.write(plane, tile=(256, 256), compression="zlib", photometric="minisblack", metadata=None)
    with open_source(str(path)) as source:
        source.read((0, 0, 0), (1, 1, 1))
    tracemalloc.start()
    try:
        with open_source(str(path)) as source:
            box = source.read((0, 1000, 1000), (20, 64, 64))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(box[:, 0, 0], np.arange(20))
    assert peak < 12 << 20
