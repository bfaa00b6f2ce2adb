"""Promise: a sparse volume is the same set of voxels as runs, as coordinates, as a mask and on the wire."""

import copy
import itertools
import pickle
import struct

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dvidclient.errors import BadArgument
from dvidclient.sparse import SparseVolume

small = st.integers(-6, 6)
points = st.lists(st.tuples(small, small, small), max_size=40)
runs = st.lists(st.tuples(small, small, small, st.integers(1, 5)), max_size=20)
masks = arrays.arrays(bool, arrays.array_shapes(min_dims=3, max_dims=3, max_side=6))
anywhere = st.integers(-(2**31), 2**31 - 1)


def voxels_of(runs_zyxl):
    """The same set, voxel by voxel."""
    return {(z, y, x + at) for z, y, x, length in runs_zyxl for at in range(length)}


@given(runs)
def test_runs_in_any_order_that_touch_or_overlap_are_the_set_of_their_voxels(given_runs):
    volume = SparseVolume(numpy.array(given_runs, numpy.int64).reshape(-1, 4))
    expected = sorted(voxels_of(given_runs))
    assert volume.coordinates_zyx.tolist() == [list(point) for point in expected]
    assert volume.voxels == len(volume) == len(expected)
    assert bool(volume) == bool(expected)


@given(runs)
def test_there_is_one_way_to_write_a_set_of_voxels_as_runs(given_runs):
    volume = SparseVolume(given_runs)
    kept = volume.runs_zyxl.tolist()
    assert kept == sorted(kept)
    for (z, y, x, length), behind in itertools.pairwise(kept):
        assert (z, y, x + length) < tuple(behind[:3])
    assert volume == SparseVolume(given_runs[::-1])
    assert hash(volume) == hash(SparseVolume(given_runs[::-1]))


@given(points)
def test_coordinates_come_back_sorted_and_once(given_points):
    volume = SparseVolume.from_coordinates(given_points)
    assert volume.coordinates_zyx.tolist() == [list(point) for point in sorted(set(given_points))]
    assert volume.coordinates_zyx.dtype == numpy.int32


@given(masks, st.tuples(small, small, small))
def test_a_mask_comes_back(mask, offset):
    volume = SparseVolume.from_mask(mask, offset)
    box = tuple(slice(at, at + size) for at, size in zip(offset, mask.shape, strict=True))
    numpy.testing.assert_array_equal(volume.to_mask(box), mask)
    numpy.testing.assert_array_equal(volume.coordinates_zyx, numpy.argwhere(mask) + offset)
    assert volume.voxels == mask.sum()


@given(runs, st.tuples(small, small, small), st.tuples(*[st.integers(0, 6)] * 3))
def test_a_mask_of_any_box_holds_what_lies_in_it(given_runs, start, shape):
    volume = SparseVolume(given_runs)
    box = tuple(slice(at, at + size) for at, size in zip(start, shape, strict=True))
    inside = {
        point
        for point in voxels_of(given_runs)
        if all(part.start <= at < part.stop for at, part in zip(point, box, strict=True))
    }
    assert {tuple(point) for point in (numpy.argwhere(volume.to_mask(box)) + start).tolist()} == inside
    assert {tuple(point) for point in volume.within(box).coordinates_zyx.tolist()} == inside


@given(runs)
def test_extents_are_the_smallest_box(given_runs):
    volume = SparseVolume(given_runs)
    found = numpy.array(sorted(voxels_of(given_runs)), int).reshape(-1, 3)
    box = volume.extents_zyx
    if not len(found):
        assert [part.stop - part.start for part in box] == [0, 0, 0]
    else:
        assert [part.start for part in box] == found.min(axis=0).tolist()
        assert [part.stop for part in box] == (found.max(axis=0) + 1).tolist()
    assert volume.to_mask().sum() == volume.voxels


@given(st.lists(st.tuples(anywhere, anywhere, anywhere, st.integers(1, 2**31 - 1)), max_size=20), st.booleans())
def test_the_wire_brings_back_the_same_volume(given_runs, header):
    given_runs = [run for run in given_runs if run[2] + run[3] <= 2**31]
    volume = SparseVolume(given_runs)
    assert SparseVolume.from_wire(volume.to_wire(header=header), header=header) == volume


@given(runs)
def test_spans_bring_back_the_same_volume(given_runs):
    volume = SparseVolume(given_runs)
    assert SparseVolume.from_spans(volume.spans_zyxx) == volume


@given(runs, st.tuples(*[st.integers(1, 5)] * 3))
def test_the_blocks_of_a_volume_hold_all_of_it_and_each_some(given_runs, shape):
    volume = SparseVolume(given_runs)
    expected = {tuple(point) for point in (volume.coordinates_zyx // shape).tolist()}
    assert {tuple(point) for point in volume.in_blocks(shape).coordinates_zyx.tolist()} == expected


@pytest.mark.parametrize("shape", [(0, 1, 1), (1, 1), (1.0, 1, 1), 8])
def test_what_is_no_shape_of_a_block_is_refused(shape):
    with pytest.raises(BadArgument, match="block_shape_zyx: expected three integers from 1"):
        SparseVolume([[0, 0, 0, 1]]).in_blocks(shape)


@given(runs, runs)
def test_a_union_has_the_voxels_of_both(one, other):
    assert SparseVolume(one) | SparseVolume(other) == SparseVolume(one + other)


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_are_a_volume_or_refused(data, header):
    try:
        volume = SparseVolume.from_wire(data, header=header)
    except BadArgument:
        return
    assert len(volume.runs_zyxl) <= len(data) // 16


def test_the_wire_has_x_first_and_rois_have_z_first():
    volume = SparseVolume([[3, 2, 1, 5]])
    assert volume.to_wire() == struct.pack("<BBBBII4i", 0, 3, 0, 0, 0, 1, 1, 2, 3, 5)
    assert volume.to_wire(header=False) == struct.pack("<4i", 1, 2, 3, 5)
    assert volume.spans_zyxx.tolist() == [[3, 2, 1, 5]]
    assert SparseVolume([[3, 2, 10, 5]]).spans_zyxx.tolist() == [[3, 2, 10, 14]]


def test_a_run_may_end_with_the_last_coordinate_there_is():
    volume = SparseVolume([[0, 0, 2**31 - 4, 4], [1, 0, 2**31 - 1, 1]])
    assert volume.extents_zyx == (slice(0, 2), slice(0, 1), slice(2**31 - 4, 2**31))
    assert volume.coordinates_zyx[:, 2].max() == 2**31 - 1
    assert volume.to_mask().tolist() == [[[True] * 4], [[False] * 3 + [True]]]


@pytest.mark.parametrize(
    ("given_runs", "said"),
    [
        ([[0, 0, 0, 0]], "lengths from 1"),
        ([[0, 0, 0, -3]], "lengths from 1"),
        ([[0, 0, 2**31 - 4, 5]], "ends of 32 bits"),
        ([[0, 0, 2**31, 1]], "32 bits, got 0 to 2147483648"),
        ([[0, 0, -(2**31), 2**31 - 1], [0, 0, -1, 9]], "joined, got one of 2147483656"),
        ([[0, 0, 1]], r"shape \(n, 4\)"),
        ([[0.5, 0, 0, 1]], "float64"),
        (["abcd"], "got <U4"),
        ([[0], [1, 2]], "runs_zyxl: expected an array"),
    ],
)
def test_what_are_no_runs_is_refused_by_name(given_runs, said):
    with pytest.raises(BadArgument, match=said):
        SparseVolume(given_runs)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "a header of 12 bytes, got 0 bytes"),
        (struct.pack("<BBBBII", 1, 3, 0, 0, 0, 0), "without payload"),
        (struct.pack("<BBBBII", 0, 2, 0, 0, 0, 0), "3 axes"),
        (struct.pack("<BBBBII", 0, 3, 0, 0, 0, 2**32 - 1), "4294967295 runs of 16 bytes, got 0 bytes"),
        (struct.pack("<BBBBII", 0, 3, 0, 0, 0, 0) + bytes(16), "0 runs of 16 bytes, got 16 bytes"),
        (struct.pack("<BBBBII4i", 0, 3, 0, 0, 0, 1, 0, 0, 0, 0), "lengths from 1"),
    ],
)
def test_bytes_that_are_no_sparse_volume_are_refused_by_name(data, said):
    with pytest.raises(BadArgument, match=said):
        SparseVolume.from_wire(data)


def test_a_volume_too_large_to_write_out_is_refused_before_memory_is_taken():
    volume = SparseVolume([[0, y, 0, 2**31 - 1] for y in range(100)])
    assert volume.voxels == 100 * (2**31 - 1)
    with pytest.raises(BadArgument, match="coordinates of 214748364700 voxels: expected at most"):
        volume.coordinates_zyx  # noqa: B018 reading it is what is refused
    with pytest.raises(BadArgument, match="a mask of 214748364700 voxels: expected at most"):
        volume.to_mask()


def test_a_mask_beyond_coordinates_of_32_bits_is_refused():
    with pytest.raises(BadArgument, match=r"expected numbers of 32 bits, got 0 to 2147483648"):
        SparseVolume.from_mask(numpy.ones((2, 1, 1)), (2**31 - 1, 0, 0))


def test_copies_of_a_volume_cannot_be_changed_either():
    made = SparseVolume([[0, 0, 0, 5]])
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert other == made
        with pytest.raises(ValueError, match="read-only"):
            other.runs_zyxl[0] = 1


def test_a_volume_does_not_change_with_the_array_it_was_made_of():
    given_runs = numpy.array([[0, 0, 0, 2]], numpy.int32)
    volume = SparseVolume(given_runs)
    given_runs[0, 3] = 9
    assert volume.voxels == 2
    with pytest.raises(ValueError, match="read-only"):
        volume.runs_zyxl[0, 3] = 9


@pytest.mark.parametrize(
    "box",
    [
        (slice(0, 4), slice(0, 4)),
        (slice(0, 4), slice(0, 4), slice(0, None)),
        (slice(0, 4), slice(0, 4), slice(4, 0)),
        (slice(0, 4), slice(0, 4), slice(0, 4, 2)),
        (slice(0, 4), slice(0, 4), slice(0, "4")),
        (0, 1, 2),
        None,
    ],
)
def test_what_is_no_box_is_refused(box):
    with pytest.raises(BadArgument, match="box: expected"):
        SparseVolume([[0, 0, 0, 1]]).within(box)


def test_a_volume_says_what_it_is():
    assert (
        repr(SparseVolume([[1, 2, 3, 4], [1, 2, 9, 1]])) == "<SparseVolume: 5 voxels in 2 runs, z 1:2, y 2:3, x 3:10>"
    )
