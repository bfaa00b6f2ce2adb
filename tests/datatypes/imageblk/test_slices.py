"""Isotropic slices and planes in any direction, compared with plain loops over pixels."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvid.codecs.images import decode_image
from dvid.datatypes import planes
from dvid.datatypes.imageblk import slices
from dvid.datatypes.imageblk.slices import ObliquePlane
from dvid.datatypes.planes import XY, XZ, YZ, parse_dims, scaled, stored_size
from dvid.errors import BadRequest


def png(reply):
    assert reply.headers["content-type"] == "image/png"
    return decode_image(reply.content, 1 << 24)


def area_means(row, count):
    """The mean of each of `count` equal stretches of a row, by exact cover of each element."""
    means, step = [], len(row) / count
    for number in range(count):
        first, last = number * step, (number + 1) * step
        total = sum(
            float(row[i]) * max(0.0, min(i + 1, last) - max(i, first))
            for i in range(int(first), min(len(row), math.ceil(last)))
        )
        means.append(total / step)
    return means


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 20), st.booleans(), st.integers(1, 3), st.integers(0, 99))
def test_scaling_takes_the_mean_of_the_area_of_each_pixel(rows, columns, length, along_rows, channels, seed):
    shape = (rows, columns) if channels == 1 else (rows, columns, channels)
    image = np.random.default_rng(seed).random(shape)
    size = (length, rows) if along_rows else (columns, length)
    axis = 1 if along_rows else 0
    expected = np.apply_along_axis(area_means, axis, image, length)
    assert np.allclose(scaled(image, size, interpolate=True), expected)
    whole = (image * 255).astype(np.uint8)
    expected = np.floor(np.apply_along_axis(area_means, axis, whole, length) + 1e-6)
    assert np.abs(scaled(whole, size, interpolate=True).astype(int) - expected).max() <= 0


def test_scaling_strip_by_strip_gives_the_same(monkeypatch):
    image = np.random.default_rng(0).integers(0, 255, (30, 40), np.uint8)
    whole = scaled(image, (77, 30), interpolate=True), scaled(image, (40, 11), interpolate=True)
    monkeypatch.setattr(planes, "_STRIP", 7)
    assert np.array_equal(scaled(image, (77, 30), interpolate=True), whole[0])
    assert np.array_equal(scaled(image, (40, 11), interpolate=True), whole[1])


def test_without_interpolation_pixels_are_those_at_their_top_left():
    image = np.arange(12).reshape(3, 4)
    assert scaled(image, (8, 3), interpolate=False).tolist() == image.repeat(2, axis=1).tolist()
    assert scaled(image, (2, 3), interpolate=False).tolist() == image[:, ::2].tolist()
    assert scaled(image, (4, 3), interpolate=False) is image


def test_the_largest_numbers_stay_what_they_are():
    for dtype in (np.uint8, np.uint64, np.int64):
        image = np.full((4, 4), np.iinfo(dtype).max, dtype)
        low = scaled(image, (9, 4), interpolate=True)
        assert low.dtype == dtype
        assert (np.iinfo(dtype).max - low <= np.iinfo(dtype).max >> 48).all()


def test_pixels_are_as_large_as_the_smaller_voxel_side():
    assert stored_size((100, 50), XY, (8, 8, 40)) == (100, 50)
    assert stored_size((100, 50), XZ, (8, 8, 40)) == (100, 10)
    assert stored_size((100, 50), YZ, (8, 16, 8)) == (50, 50)
    assert stored_size((100, 50), XZ, (40, 8, 8)) == (20, 50)


@pytest.mark.parametrize(("plane", "size"), [("xz", "40_50"), ("yz", "40_50"), ("xy", "40_50")])
def test_isotropic_slices_scale_the_voxels_of_the_slice(make_image, plane, size):
    image = make_image("uint8blk", BlockSize="16,16,16", VoxelSize="4,4,20")
    volume = image.random((16, 48, 48))
    image.write((0, 0, 0), volume)
    found = png(image.get(f"isotropic/{plane}/{size}/3_2_1"))
    cut = {"xz": volume[1:11, 2, 3:43], "yz": volume[1:11, 2:42, 3], "xy": volume[1, 2:52, 3:43]}[plane]
    if plane == "xy":
        assert np.array_equal(found[:46], cut)
        assert not found[46:].any()
    else:
        assert np.array_equal(found, cut.repeat(5, axis=0))


# ---- planes in any direction --------------------------------------------------------------------


def pixel(volume, low_zyx, point_xyz):
    """The value at a point between voxels, by weights of its eight neighbours; outside the volume is background."""
    total = 0.0
    for corner in range(8):
        weight, at = 1.0, []
        for axis in range(3):
            floor = math.floor(point_xyz[axis])
            part = point_xyz[axis] - floor
            far = corner >> axis & 1
            weight *= part if far else 1 - part
            at.append(math.ceil(point_xyz[axis]) if far else floor)
        z, y, x = (at[2] - low_zyx[0], at[1] - low_zyx[1], at[0] - low_zyx[2])
        inside = all(0 <= n < limit for n, limit in zip((z, y, x), volume.shape, strict=True))
        total += weight * (float(volume[z, y, x]) if inside else 0.0)
    return math.floor(total + 1e-6)


@pytest.mark.parametrize(("pixels", "block_bytes"), [(1 << 15, 16 << 20), (13, 4096), (200, 9000)])
@pytest.mark.parametrize(
    ("corners", "spacing"),
    [
        (((0, 0, 0), (160, 0, 60), (0, 120, 40)), 8.0),
        (((-40.5, 7.25, -30), (200, 0, 60), (-60, 180, 90)), 7.3),
        (((100, 100, 100), (0, 100, 100), (100, 0, 0)), 11.0),
        (((16, 16, 16), (16, 16, 16.5), (80, 16, 16)), 0.25),
    ],
)
def test_a_plane_shows_what_lies_between_its_voxels(make_image, monkeypatch, corners, spacing, pixels, block_bytes):
    monkeypatch.setattr(slices, "_PIXELS_AT_ONCE", pixels)
    monkeypatch.setattr(slices, "_BLOCK_BYTES_AT_ONCE", block_bytes)
    image = make_image("uint8blk", BlockSize="16,16,16", VoxelSize="8,8,10")
    volume = image.random((32, 32, 32))
    image.write((-16, -16, -16), volume)
    path = "arb/" + "/".join("_".join(map(str, corner)) for corner in corners) + f"/{spacing}"
    found = png(image.get(path))
    origin, right, down = (np.array(corner, float) for corner in corners)
    across = math.floor(np.linalg.norm(right - origin) / spacing)
    below = math.floor(np.linalg.norm(down - origin) / spacing)
    assert found.shape == (below + 1, across + 1)
    for row in range(found.shape[0]):
        for column in range(found.shape[1]):
            point = origin + (right - origin) * column / across + (down - origin) * row / below
            expected = pixel(volume, (-16, -16, -16), point / np.array([8, 8, 10]))
            assert abs(int(found[row, column]) - expected) <= 0, (row, column)


def test_planes_of_colour_have_their_channels_side_by_side(make_image):
    image = make_image("rgba8blk", BlockSize="16,16,16", VoxelSize="1,1,1")
    image.write((0, 0, 0), image.random((16, 16, 16)))
    found = png(image.get("arb/2_3_4/12_3_4/2_10_4/1"))
    assert np.array_equal(found, image.read((4, 3, 2), (1, 8, 11))[0])


def test_a_plane_over_blocks_far_from_each_other_reads_them_some_at_a_time(make_image, monkeypatch):
    image = make_image("uint8blk", BlockSize="16,16,16", VoxelSize="1,1,1")
    voxels = image.random((16, 16, 16))
    image.write((0, 0, 0), voxels)
    image.write((0, 0, 1 << 24), voxels)
    found = png(image.get(f"arb/0_0_0/{1 << 24}_0_0/0_{1 << 24}_0/{1 << 23}"))
    assert found.shape == (3, 3)
    assert found[0, 0] == found[0, 2] == voxels[0, 0, 0]
    assert not found[1:].any()


@pytest.mark.parametrize(
    "path",
    [
        "arb/0_0_0/0_0_0/0_10_0/1",
        "arb/0_0_0/10_0_0/0_10_0/0",
        "arb/0_0_0/10_0_0/0_10_0/-1",
        "arb/0_0_0/10_0_0/0_10_0/nan",
        "arb/0_0/10_0_0/0_10_0/1",
        "arb/0_0_0/inf_0_0/0_10_0/1",
        "arb/0_0_0/10_0_0/0_10_0/1/gif",
        "arb/0_0_0/1e14_0_0/0_1e14_0/1",
        "arb/0_0_0/1e14_0_0/0_10_0/1e13",
        "arb/0_0_0/100000_0_0/0_100000_0/0.1",
    ],
)
def test_planes_that_make_no_sense_or_are_too_large_are_refused(image, path):
    reply = image.ask("GET", path)
    assert reply.status_code in (400, 413), reply.text
    assert len(reply.text) > 20


@pytest.mark.parametrize(("text", "plane"), [("xy", XY), ("0_2", XZ), ("yz", YZ), ("x_y", XY), ("0_1_2", None)])
def test_axes_have_several_names(text, plane):
    assert parse_dims(text) == plane


@pytest.mark.parametrize("text", ["", "x", "yx", "0_0", "2_1", "0_1_3", "0_1_2_3", "_", "²_³"])
def test_other_axes_are_refused(text):
    with pytest.raises(BadRequest, match="dims"):
        parse_dims(text)


def test_the_corners_are_pixels():
    plane = ObliquePlane.through(np.array([0.0, 0, 0]), np.array([10.0, 0, 0]), np.array([0.0, 5, 0]), 1.0)
    assert (plane.width, plane.height) == (11, 6)
    assert np.allclose(plane.origin + plane.across * 10, [10, 0, 0])
