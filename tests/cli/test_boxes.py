"""Working through volumes box by box."""

from __future__ import annotations

import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvid.cli.boxes import BOX_BYTES, boxes_of, choose_step, work_through
from dvid.geometry import Box

units = st.tuples(*[st.integers(1, 9)] * 3)
counts = st.tuples(*[st.integers(1, 4)] * 3)
starts = st.tuples(*[st.integers(-40, 40)] * 3)
shapes = st.tuples(*[st.integers(1, 40)] * 3)


@given(starts, shapes, units, counts)
def test_boxes_make_up_the_region_and_share_no_block(start, shape, unit, count):
    region = Box.at(start, shape)
    step = tuple(a * b for a, b in zip(unit, count, strict=True))
    boxes = list(boxes_of(region, unit, step))
    assert sum(box.voxels for box in boxes) == region.voxels
    assert all(box and region.contains(box) for box in boxes)
    blocks = list(itertools.chain.from_iterable(box.blocks(unit) for box in boxes))
    assert len(blocks) == len(set(blocks))


@given(units, st.tuples(*[st.integers(1, 3000)] * 3), st.tuples(*[st.integers(1, 5000)] * 3), st.integers(1, 8))
def test_a_step_is_whole_units_and_not_too_much(unit, chunk, whole, voxel_bytes):
    step = choose_step(unit, chunk, whole, voxel_bytes)
    assert all(a % b == 0 and a >= b for a, b in zip(step, unit, strict=True))
    assert step[0] * step[1] * step[2] * voxel_bytes <= BOX_BYTES or step == unit


def test_slices_are_read_whole_where_that_is_not_too_much():
    step = choose_step((32, 32, 32), (1, 512, 700), (1000, 512, 700), 1)
    assert step[1] >= 512
    assert step[2] >= 700


BOXES = [Box.at((z, 0, 0), (1, 1, 1)) for z in range(20)]


def test_each_box_is_worked_on_once_and_heard_of():
    worked, heard = [], []
    work_through(BOXES, worked.append, heard.extend, 3)
    assert sorted(box.start_zyx for box in worked) == sorted(box.start_zyx for box in heard)
    assert len(set(worked)) == len(worked) == len(BOXES)


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_an_error_ends_the_work_and_what_was_under_way_is_heard_of(error):
    worked, heard, both = [], [], threading.Barrier(2, timeout=60)

    def work(box):
        if box in BOXES[4:6]:
            both.wait()  # the failing box and its neighbour are under way together
            if box == BOXES[4]:
                raise error
        worked.append(box)

    with pytest.raises(type(error)):
        work_through(BOXES, work, heard.extend, 2)
    assert set(heard) == set(worked)
    assert BOXES[5] in heard
    assert len(worked) < len(BOXES)
