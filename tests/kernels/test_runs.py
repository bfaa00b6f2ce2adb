"""Ordering, joining and cutting runs, compared with sets of voxels."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvid.errors import BadRequest, TooLarge
from dvid.kernels.runs import (
    LONGEST,
    count_voxels,
    cut_runs,
    first_wrong_run,
    join_blocks,
    ordered_runs,
    runs_of_points,
    runs_within,
)

LOW, HIGH = -(2**31), 2**31 - 1

small = st.integers(-7, 7)
any_runs = st.lists(st.tuples(small, small, small, st.integers(1, 12)), max_size=40)
shapes = st.tuples(*[st.integers(1, 6)] * 3)


def array(runs):
    return np.array(runs, np.int32).reshape(-1, 4)


def voxels(runs):
    """The voxels of runs, zyx, each as often as it is covered."""
    return [(z, y, x + i) for x, y, z, length in runs for i in range(length)]


def assert_in_order(runs):
    assert runs.dtype == np.int32
    found = voxels(runs.tolist())
    assert found == sorted(set(found))
    ends = [(z, y, x + length) for x, y, z, length in runs.tolist()]
    starts = [(z, y, x) for x, y, z, _ in runs.tolist()]
    assert not set(ends) & set(starts)


@given(any_runs)
def test_ordered_runs_are_disjoint_sorted_joined_and_cover_the_same(runs):
    ordered = ordered_runs(array(runs))
    assert_in_order(ordered)
    assert set(voxels(ordered.tolist())) == set(voxels(runs))
    assert count_voxels(ordered) == len(set(voxels(runs)))
    assert ordered_runs(ordered) is ordered


def test_runs_that_would_join_to_one_too_long_stay_apart():
    posted = array([[0, LOW, HIGH, LONGEST], [LOW, LOW, HIGH, LONGEST], [-5, LOW, HIGH, 10]])
    ordered = ordered_runs(posted)
    assert ordered.tolist() == [[LOW, LOW, HIGH, LONGEST], [-1, LOW, HIGH, LONGEST], [HIGH - 1, LOW, HIGH, 1]]
    assert count_voxels(ordered) == 2**32 - 1
    assert ordered_runs(ordered) is ordered


def test_runs_across_the_whole_space_are_ordered():
    corners = [[x, y, z, 1] for z in (LOW, 0, HIGH) for y in (LOW, HIGH) for x in (LOW, -1, 1, HIGH)]
    assert ordered_runs(array(corners[::-1])).tolist() == corners


@given(st.lists(st.tuples(small, small, small, st.integers(-3, 3))))
def test_a_run_without_voxels_is_found(runs):
    expected = next((i for i, run in enumerate(runs) if run[3] < 1), -1)
    assert first_wrong_run(array(runs)) == expected


@pytest.mark.parametrize(
    ("run", "found"),
    [
        ([HIGH, 0, 0, 1], -1),
        ([HIGH, 0, 0, 2], 0),
        ([1, 0, 0, LONGEST], -1),
        ([2, 0, 0, LONGEST], 0),
        ([0, 0, 0, LOW], 0),
    ],
)
def test_a_run_that_leaves_the_coordinates_is_found(run, found):
    assert first_wrong_run(array([run])) == found


def block_by_block(runs, shape):
    """Runs cut at the faces of blocks, block after block, in voxels: as blocks are read."""
    blocks, bounds, pieces = cut_runs(runs, shape, 10**6)
    origins = np.repeat(blocks * np.array(shape, np.int32), np.diff(bounds), axis=0)
    found = pieces.copy()
    found[:, :3] += origins[:, ::-1]
    return found


@given(any_runs, shapes)
def test_runs_are_joined_across_blocks(runs, shape):
    ordered = ordered_runs(array(runs))
    joined = join_blocks(block_by_block(ordered, shape), shape)
    depth, height, _ = shape
    expected = sorted(ordered.tolist(), key=lambda r: (r[2] // depth, r[1] // height, r[2], r[1], r[0]))
    assert joined.tolist() == expected


def test_joining_refuses_a_shape_that_is_none():
    for shape in [(0, 1, 1), (1, -1, 1), (2**20, 2**20, 1)]:
        with pytest.raises(BadRequest, match=r"\(zyx\)"):
            join_blocks(array([[0, 0, 0, 1]]), shape)


@given(st.lists(st.tuples(small, small, small)))
def test_runs_of_points_hold_these_points(points):
    runs = runs_of_points(np.array(sorted(points), np.int32).reshape(-1, 3))
    assert_in_order(runs)
    assert voxels(runs.tolist()) == sorted(set(points))


def test_runs_of_points_at_the_ends_of_space():
    points = np.array([[LOW, LOW, LOW], [HIGH, HIGH, HIGH - 1], [HIGH, HIGH, HIGH]], np.int32)
    assert runs_of_points(points).tolist() == [[LOW, LOW, LOW, 1], [HIGH - 1, HIGH, HIGH, 2]]


@given(any_runs, shapes)
def test_pieces_are_grouped_by_block_and_hold_the_same_voxels(runs, shape):
    ordered = ordered_runs(array(runs))
    blocks, bounds, pieces = cut_runs(ordered, shape, 10**6)
    assert (blocks.dtype, bounds.dtype, pieces.dtype) == (np.int32, np.int64, np.int32)
    groups = [pieces[a:b].tolist() for a, b in pairwise(bounds)]
    found = {}
    for block, group in zip(blocks.tolist(), groups, strict=True):
        local = voxels(group)
        assert local == sorted(set(local))
        assert all(0 <= c < n for v in local for c, n in zip(v, shape, strict=True))
        found[tuple(block)] = {tuple(b * n + c for b, n, c in zip(block, shape, v, strict=True)) for v in local}
    expected = {}
    for v in voxels(ordered.tolist()):
        expected.setdefault(tuple(c // n for c, n in zip(v, shape, strict=True)), set()).add(v)
    assert found == expected
    assert list(found) == sorted(found)
    assert bounds[0] == 0
    assert bounds[-1] == len(pieces)


def test_pieces_at_the_ends_of_space():
    blocks, bounds, pieces = cut_runs(array([[LOW, LOW, LOW, 65], [HIGH, HIGH, HIGH, 1]]), (64, 32, 64), 3)
    low, high = -(2**25), 2**25 - 1
    assert blocks.tolist() == [[low, 2 * low, low], [low, 2 * low, low + 1], [high, 2 * high + 1, high]]
    assert bounds.tolist() == [0, 1, 2, 3]
    assert pieces.tolist() == [[0, 0, 0, 64], [0, 0, 0, 1], [63, 31, 63, 1]]


def test_more_pieces_than_the_limit_are_refused_before_they_take_memory():
    runs = array([[LOW, y, 0, LONGEST] for y in range(1000)])
    with pytest.raises(TooLarge, match="33554432000 pieces"):
        cut_runs(runs, (64, 64, 64), 10**6)
    assert len(cut_runs(array([[0, 0, 0, 10]]), (1, 1, 1), 10)[2]) == 10
    with pytest.raises(TooLarge, match="at most 9"):
        cut_runs(array([[0, 0, 0, 10]]), (1, 1, 1), 9)
    with pytest.raises(BadRequest):
        cut_runs(runs, (64, 64, 0), 10**6)


# ---- keeping what lies in blocks ----------------------------------------------------------------

some_blocks = st.sets(st.tuples(*[st.integers(-3, 3)] * 3), max_size=30)


@given(any_runs, shapes, some_blocks)
def test_of_runs_the_voxels_in_some_blocks_are_kept(runs, shape, blocks):
    kept = runs_within(array(runs), shape, np.array(sorted(blocks), np.int64).reshape(-1, 3), 10**4)
    inside = [v for v in voxels(runs) if tuple(a // edge for a, edge in zip(v, shape, strict=True)) in blocks]
    assert voxels(kept.tolist()) == inside
    assert not len(kept) or cut_runs(kept, shape, len(kept))[2].shape == kept.shape


def test_a_run_as_long_as_space_is_kept_where_there_are_blocks():
    blocks = np.array([[0, 0, -(2**26)], [0, 0, 3], [0, 0, 2**26 - 1], [0, 1, 0]], np.int64)
    kept = runs_within(array([[LOW, 5, 6, LONGEST], [-1, 5, 6, LONGEST]]), (32, 32, 32), blocks, 10)
    assert kept.tolist() == [[LOW, 5, 6, 32], [96, 5, 6, 32], [HIGH - 31, 5, 6, 30]]


def test_no_more_parts_are_kept_than_may_be():
    blocks = np.array([[0, 0, x] for x in range(5)], np.int64)
    assert len(runs_within(array([[0, 0, 0, 100]] * 2), (8, 8, 8), blocks, 10)) == 10
    with pytest.raises(TooLarge, match="more than 9 parts in 5 blocks"):
        runs_within(array([[0, 0, 0, 100]] * 2), (8, 8, 8), blocks, 9)
