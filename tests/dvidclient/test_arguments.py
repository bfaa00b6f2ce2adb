"""Promise: what callers give is checked once, and turned into what requests want."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvidclient import arguments
from dvidclient.errors import BadArgument

LARGEST = 2**64 - 1


@given(st.lists(st.integers(0, LARGEST), max_size=10))
def test_labels_stay_exact(values):
    found = arguments.labels(values)
    assert found.dtype == numpy.uint64
    assert found.tolist() == values


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, LARGEST],
        (1, 2, 3),
        range(1, 4),
        {1, 2},
        numpy.array([1, 2], numpy.int8),
        numpy.array([LARGEST], numpy.uint64),
        [numpy.uint64(LARGEST), 1],
        [],
        numpy.empty(0),
    ],
)
def test_labels_come_in_many_forms(values):
    assert arguments.labels(values).tolist() == [int(value) for value in values]


@pytest.mark.parametrize(
    "values",
    [[-1], [LARGEST + 1], [1.0], [1, 2.5], ["1"], [None], [True], [[1]], 5, None, "12", numpy.array([1.0]), {"a": 1}],
)
def test_what_are_no_labels_is_refused_by_name(values):
    with pytest.raises(BadArgument, match=r"^bodies: expected "):
        arguments.labels(values, "bodies")


@pytest.mark.parametrize("read", [arguments.labels, arguments.points_zyx, arguments.point_zyx])
def test_lists_of_different_lengths_are_refused(read):
    with pytest.raises(BadArgument, match=r"given: expected an array, got \[\[1\], \[2, 3\]\]"):
        read([[1], [2, 3]], "given")


@given(st.lists(st.tuples(*[st.integers(-(2**31), 2**31 - 1)] * 3), min_size=1, max_size=5))
def test_points_are_turned_round(points):
    found = arguments.points_zyx(points)
    assert found.dtype == numpy.int32
    assert arguments.points_xyz(found).tolist() == [[x, y, z] for z, y, x in points]
    z, y, x = points[0]
    assert arguments.path_xyz(points[0]) == f"{x}_{y}_{z}"


def test_bounds_are_sent_with_their_last_coordinates():
    assert arguments.bounds_query(None) == {}
    assert arguments.bounds_query(numpy.s_[-5:10, :7, 3:]) == {
        "minz": -5,
        "maxz": 9,
        "miny": None,
        "maxy": 6,
        "minx": 3,
        "maxx": None,
    }


@given(
    st.tuples(*[st.integers(-50, 50)] * 3), st.tuples(*[st.integers(0, 20)] * 3), st.tuples(*[st.integers(1, 9)] * 3)
)
def test_the_blocks_of_a_box_are_those_that_its_voxels_lie_in(start, shape, edges):
    box = tuple(slice(at, at + size) for at, size in zip(start, shape, strict=True))
    for part, blocks, edge in zip(box, arguments.blocks_of(box, edges), edges, strict=True):
        inside = {at // edge for at in range(part.start, part.stop)}
        assert inside <= set(range(blocks.start, blocks.stop))
        assert not inside or inside == set(range(blocks.start, blocks.stop))


@pytest.mark.parametrize("box", [numpy.s_[0:1, 0:1, 2**31 : 2**31 + 1], numpy.s_[0:1, 0:1, -(2**31) - 1 : 0]])
def test_a_box_beyond_coordinates_of_32_bits_is_refused(box):
    with pytest.raises(BadArgument, match="bounds of 32 bits"):
        arguments.box_zyx(box)
