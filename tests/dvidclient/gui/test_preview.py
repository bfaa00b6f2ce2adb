"""Slices: which voxels are asked for, that they are the right ones, and their colours."""

import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvidclient import connect
from dvidclient.errors import Unsupported
from dvidclient.gui.catalogue import VolumeEntry, listing
from dvidclient.gui.preview import (
    MOST_BYTES,
    PLANES,
    coloured,
    label_colours,
    middle,
    picture,
    plan_slice,
    thinned,
)

GRAY = VolumeEntry("uint8", 1, (0, 0, 0), (99, 199, 299), (8.0, 8.0, 8.0), None, (32, 32, 32), 0, False, False)
LABELS = replace(GRAY, dtype="uint64", is_labels=True, gzips=True, scales=6, max_xyz=(39999, 39999, 39999))

positions = st.integers(-(10**6), 10**6)
lengths = st.integers(1, 10**6)


@given(
    st.tuples(positions, positions, positions),
    st.tuples(lengths, lengths, lengths),
    st.sampled_from(list(PLANES)),
    st.integers(0, 10),
    st.sampled_from(["uint8", "uint64"]),
    positions,
    st.integers(1, 4000),
    st.integers(1, 4000),
)
def test_no_volume_makes_a_large_request_and_none_asks_for_what_is_outside(
    low, size, plane, scales, dtype, position, width, height
):
    high = tuple(at + length - 1 for at, length in zip(low, size, strict=True))
    volume = replace(GRAY, min_xyz=low, max_xyz=high, scales=scales, dtype=dtype)
    plan = plan_slice(volume, plane, position, width, height)
    assert np.prod(plan.size_xyz, dtype=object) * volume.voxel_bytes <= MOST_BYTES
    assert plan.size_xyz[PLANES[plane][2]] == 1
    assert plan.step >= 1
    for axis in range(3):
        first, last = low[axis] >> plan.scale, high[axis] >> plan.scale
        assert first <= plan.offset_xyz[axis]
        assert plan.offset_xyz[axis] + plan.size_xyz[axis] - 1 <= last
        assert plan.size_xyz[axis] >= 1


def test_a_small_volume_is_read_whole_at_full_resolution():
    plan = plan_slice(GRAY, "xy", 150, 400, 400)
    assert (plan.scale, plan.size_xyz, plan.offset_xyz, plan.step, plan.whole) == (
        0,
        (100, 200, 1),
        (0, 0, 150),
        1,
        True,
    )


def test_labels_are_read_at_the_scale_that_fits():
    plan = plan_slice(LABELS, "xy", 20000, 400, 400)
    assert (plan.scale, plan.size_xyz, plan.whole) == (6, (625, 625, 1), True)
    assert plan.offset_xyz == (0, 0, 20000 >> 6)
    assert plan_slice(LABELS, "xy", 20000, 1200, 1200).scale == 5


def test_of_a_volume_without_scales_that_is_too_large_the_middle_is_shown():
    huge = replace(GRAY, max_xyz=(39999, 39999, 39999))
    plan = plan_slice(huge, "xy", 5, 400, 400)
    assert not plan.whole
    x, y, _ = plan.size_xyz
    assert 2 * plan.offset_xyz[0] + x == pytest.approx(40000, abs=1)
    assert x == y == int(MOST_BYTES**0.5)


def test_the_middle_is_between_first_and_last():
    assert (middle(GRAY, "xy"), middle(GRAY, "xz"), middle(GRAY, "yz")) == (149, 99, 49)
    with pytest.raises(Unsupported, match="nothing was written"):
        middle(replace(GRAY, min_xyz=None), "xy")


def test_images_are_thinned_to_means_and_labels_to_labels():
    voxels = np.arange(24, dtype=np.uint64).reshape(4, 6)
    assert np.array_equal(thinned(voxels, 2, labels=False), voxels.reshape(2, 2, 3, 2).mean((1, 3)))
    assert np.isin(thinned(voxels, 2, labels=True), voxels).all()
    assert thinned(voxels, 1, labels=False) is voxels
    channels = np.stack([voxels, voxels + 1], -1)
    assert np.array_equal(thinned(channels, 2, labels=False)[..., 1], thinned(channels, 2, labels=False)[..., 0] + 1)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20))
def test_equal_labels_have_equal_colours_and_0_is_black(labels):
    colours = label_colours(np.array([*labels, *labels, 0], np.uint64))
    assert np.array_equal(colours[: len(labels)], colours[len(labels) : -1])
    assert not colours[-1].any()


def test_images_are_gray_or_coloured_by_their_channels():
    gray = coloured(np.array([[0, 100, 255]], np.uint8), "uint8", labels=False)
    assert gray.tolist() == [[[0, 0, 0, 255], [100, 100, 100, 255], [255, 255, 255, 255]]]
    rgba = coloured(np.array([[[1, 2, 3, 4]]], np.uint8), "uint8", labels=False)
    assert rgba.tolist() == [[[1, 2, 3, 4]]]
    two = coloured(np.array([[[7, 9]]], np.uint8), "uint8", labels=False)
    assert two.tolist() == [[[7, 7, 7, 255]]]


@pytest.mark.filterwarnings("error")
def test_what_is_opaque_nowhere_is_shown_all_the_same():
    hidden = coloured(np.array([[[1, 2, 3, 0], [4, 5, 6, 0]]], np.uint8), "uint8", labels=False)
    assert hidden.tolist() == [[[1, 2, 3, 255], [4, 5, 6, 255]]]


def test_a_voxel_that_is_far_too_bright_leaves_the_others_as_they_are():
    ramp = np.tile(np.arange(1000, 1100, dtype=np.uint16), (100, 1))
    ramp[50, 50] = 60_000
    shown = coloured(ramp, "uint16", labels=False)[0, :, 0].astype(int)
    assert (shown[0], shown[-1]) == (0, 255)
    assert (np.diff(shown) >= 0).all()


def test_a_few_voxels_in_the_dark_are_seen():
    sparse = np.zeros((100, 100), np.uint16)
    sparse[50, 50] = 7
    assert coloured(sparse, "uint16", labels=False)[50, 50, 0] == 255


def test_other_types_are_stretched_and_nan_is_black():
    stretched = coloured(np.array([[1000, 2000, 3000]], np.uint16), "uint16", labels=False)
    assert stretched[0, :, 0].tolist() == [0, 128, 255]
    floats = np.array([[np.nan, -1.0, 1.0, np.inf, -np.inf]], np.float32)
    assert coloured(floats, "float32", labels=False)[0, :, 0].tolist() == [0, 0, 255, 255, 0]
    assert coloured(np.full((1, 2), np.nan, np.float32), "float32", labels=False)[0, :, 0].tolist() == [0, 0]
    assert coloured(np.full((1, 2), 7, np.uint16), "uint16", labels=False)[0, :, 0].tolist() == [0, 0]


@pytest.fixture(scope="module")
def volumes(contents):
    repo = next(repo for repo in listing(contents.url).repos if repo.uuid == contents.uuid)
    return {instance.name: instance.volume for instance in repo.instances}


@pytest.mark.parametrize(("plane", "cut"), [("xy", np.s_[7, :, :]), ("xz", np.s_[:, 7, :]), ("yz", np.s_[:, :, 7])])
def test_a_slice_of_an_image_shows_its_voxels(contents, volumes, plane, cut):
    connection = connect(contents.url).connection
    shown = picture(connection, contents.root, "grayscale", volumes["grayscale"], plane, 7, 90, 90)
    assert shown.plan.step == 1
    assert np.array_equal(shown.pixels[..., 0], contents.gray_zyx[cut])
    assert shown.pixel_aspect == (1.0 if plane == "xy" else 2.0)


def test_a_slice_is_of_the_version_that_was_asked_for(contents, volumes):
    connection = connect(contents.url).connection
    shown = picture(connection, contents.newest, "grayscale", volumes["grayscale"], "xy", 3, 90, 90)
    assert np.array_equal(shown.pixels[..., 0], contents.darker_zyx[3])


@pytest.mark.parametrize(("plane", "cut"), [("xy", np.s_[70, :, :]), ("xz", np.s_[:, 70, :]), ("yz", np.s_[:, :, 70])])
def test_a_slice_of_labels_has_their_colours(contents, volumes, plane, cut):
    connection = connect(contents.url).connection
    shown = picture(connection, contents.root, "bodies", volumes["bodies"], plane, 70, 500, 500)
    assert np.array_equal(shown.pixels[..., :3], label_colours(contents.labels_zyx[cut]))


@pytest.mark.skipif("DVID_URL" in os.environ, reason="the reference server has colours of its own")
def test_labels_have_the_colours_that_the_server_gives_them(contents, volumes):
    qt = pytest.importorskip("qtpy.QtGui", reason="Qt, or a library of it, is not installed", exc_type=ImportError)
    connection = connect(contents.url).connection
    png = connection.get_bytes(f"/api/node/{contents.root}/bodies/pseudocolor/0_1/128_128/0_0_70", "its picture")
    image = qt.QImage.fromData(png).convertToFormat(qt.QImage.Format.Format_RGBA8888)
    theirs = np.frombuffer(image.constBits(), np.uint8).reshape(128, 128, 4)
    shown = picture(connection, contents.root, "bodies", volumes["bodies"], "xy", 70, 500, 500)
    assert np.array_equal(shown.pixels, theirs)


def test_a_slice_that_is_larger_than_the_widget_is_made_smaller(contents, volumes):
    connection = connect(contents.url).connection
    shown = picture(connection, contents.root, "grayscale", volumes["grayscale"], "xy", 3, 32, 48)
    assert shown.pixels.shape == (48, 32, 4)
    means = contents.gray_zyx[3].reshape(48, 2, 32, 2).mean((1, 3))
    assert np.abs(shown.pixels[..., 0] - means).max() <= 0.5
