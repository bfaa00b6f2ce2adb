"""Boxes and block ranges, compared with sets of their points."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvid.geometry import BlockRange, Box, reverse3

coordinate = st.integers(-9, 9)
points = st.tuples(coordinate, coordinate, coordinate)
block_sizes = st.tuples(*[st.integers(1, 5)] * 3)


@st.composite
def boxes(draw, largest=6):
    return Box.at(draw(points), draw(st.tuples(*[st.integers(0, largest)] * 3)))


def members(box):
    return set(product(*(range(a, b) for a, b in zip(box.start_zyx, box.stop_zyx, strict=True))))


@given(boxes(), boxes())
def test_boxes_are_sets_of_voxels(a, b):
    assert members(a & b) == members(a) & members(b)
    assert a.voxels == len(members(a))
    assert bool(a) == bool(members(a))
    if a and b:
        assert (a | b).contains(a)
        assert (a | b).contains(b)
        assert a.contains(b) == (members(b) <= members(a))


def test_a_box_that_ends_before_it_begins_has_no_voxels():
    box = Box((0, 5, 0), (3, 2, 3))
    assert box.shape_zyx == (3, 0, 3)
    assert not box
    assert box.voxels == 0
    assert len(BlockRange((0, 5, 0), (3, 2, 3))) == 0


@given(boxes(), block_sizes)
def test_the_blocks_of_a_box_are_those_that_hold_its_voxels(box, size):
    if box:
        expected = {tuple(v // s for v, s in zip(voxel, size, strict=True)) for voxel in members(box)}
        assert set(box.blocks(size)) == expected
        assert len(box.blocks(size)) == len(expected)
        assert box.blocks(size).box(size).contains(box)
        assert box.is_aligned(size) == (box.blocks(size).box(size) == box)


@given(boxes(), st.integers(1, 300))
def test_parts_follow_each_other_in_the_order_of_memory_and_are_small_enough(box, most):
    in_order = sorted(members(box))
    parts = list(box.parts(most))
    assert [voxel for part in parts for voxel in sorted(members(part))] == in_order
    assert all(0 < part.voxels <= most for part in parts)
    blocks = BlockRange(box.start_zyx, box.stop_zyx)
    assert [block for part in blocks.parts(most) for block in part] == in_order
    assert [block for layer in blocks.layers() for block in layer] == in_order


@pytest.mark.parametrize(
    ("most", "count"), [(1000, 1), (999, 2), (600, 2), (400, 3), (199, 10), (20, 50), (19, 100), (1, 1000)]
)
def test_parts_are_whole_planes_or_whole_rows_where_they_fit(most, count):
    assert len(list(Box.at((-2, 3, 4), (5, 10, 20)).parts(most))) == count


@given(boxes(), boxes())
def test_slices_find_a_box_inside_an_array_of_another(inner, outer):
    if inner and outer.contains(inner):
        for part, start, first, stop in zip(
            inner.slices_in(outer), inner.start_zyx, outer.start_zyx, inner.stop_zyx, strict=True
        ):
            assert (part.start + first, part.stop + first) == (start, stop)


def test_reversing_turns_xyz_into_zyx():
    assert reverse3((1, 2, 3)) == (3, 2, 1)
