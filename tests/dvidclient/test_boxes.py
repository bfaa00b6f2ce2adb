import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvidclient.boxes import Box, split
from dvidclient.errors import BadArgument

coordinates = st.integers(-100, 100)
lengths = st.integers(1, 130)
blocks = st.tuples(*[st.sampled_from([16, 32, 33])] * 3)


@st.composite
def boxes(draw):
    start = draw(st.tuples(coordinates, coordinates, coordinates))
    return Box(start, tuple(at + draw(lengths) for at in start))


@given(boxes(), blocks, st.integers(1, 10**6))
def test_parts_hold_every_voxel_once(box, block, most):
    held = np.zeros(box.size_xyz[::-1], np.uint8)
    for part in split(box, block, most):
        held[part.within_zyx(box)] += 1
    assert held.min() == held.max() == 1


@given(boxes(), blocks, st.integers(1, 10**6))
def test_no_two_parts_share_a_block_and_none_is_too_large(box, block, most):
    parts = split(box, block, most)
    for axis in range(3):
        for at in {part.start_xyz[axis] for part in parts} - {box.start_xyz[axis]}:
            assert at % block[axis] == 0
    assert all(part.voxels <= max(most, math.prod(block)) for part in parts)


@given(boxes(), blocks)
def test_a_widened_box_is_the_smallest_of_whole_blocks(box, block):
    wide = box.widened(block)
    for axis in range(3):
        assert wide.start_xyz[axis] % block[axis] == wide.stop_xyz[axis] % block[axis] == 0
        assert 0 <= box.start_xyz[axis] - wide.start_xyz[axis] < block[axis]
        assert 0 <= wide.stop_xyz[axis] - box.stop_xyz[axis] < block[axis]


def test_a_box_that_is_cut_along_z_only_gives_whole_slabs():
    parts = split(Box((0, 0, 10), (64, 64, 100)), (32, 32, 32), 64 * 64 * 32)
    assert [(part.start_xyz[2], part.stop_xyz[2]) for part in parts] == [(10, 32), (32, 64), (64, 96), (96, 100)]
    assert {part.size_xyz[:2] for part in parts} == {(64, 64)}


def test_a_box_of_more_parts_than_memory_has_room_for_is_refused():
    everything = Box((-(2**31),) * 3, (2**31 - 1,) * 3)
    with pytest.raises(BadArgument, match=r"262144 parts, this one needs \d+: take it piece by piece"):
        split(everything, (64, 64, 64), 1 << 24)


def test_a_box_is_named_by_its_spans():
    assert str(Box((-1, 0, 5), (3, 4, 6))) == "x -1:3, y 0:4, z 5:6"
