"""Least distances between sets of voxels, compared with a look at all pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvid.errors import BadRequest
from dvid.kernels.distances import ABSENT, LONGEST_SIDE, nearest_squares


def of_all_pairs(marks, others):
    targets = np.argwhere(marks == 1)
    found = []
    for other in range(2, 2 + others):
        voxels = np.argwhere(marks == other)
        squares = ((targets[:, None] - voxels) ** 2).sum(2)
        found.append(int(squares.min()) if squares.size else ABSENT)
    return found


@st.composite
def marked(draw):
    """Few voxels of each mark, so that most are far from each other, or many."""
    shape = draw(st.tuples(*3 * [st.integers(0, 20)]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    marks = np.zeros(shape, np.uint64)
    for mark in range(1, 6):
        count = draw(st.sampled_from([0, 1, 2, 5, 60])) if marks.size else 0
        marks[tuple(random.integers(0, side, count) for side in shape)] = mark
    return marks


@given(marked(), st.integers(0, 5))
def test_the_nearest_of_all_pairs_is_found(marks, others):
    assert nearest_squares(marks, others).tolist() == of_all_pairs(marks, others)


@given(marked(), st.permutations([0, 1, 2]), st.tuples(*3 * [st.booleans()]))
def test_distances_do_not_depend_on_the_order_of_axes_and_voxels(marks, axes, turned):
    seen = marks.transpose(axes)[tuple(slice(None, None, -1 if turn else 1) for turn in turned)]
    assert nearest_squares(seen, 4).tolist() == nearest_squares(marks, 4).tolist()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_ends_of_the_longest_line_are_as_far_as_they_are(axis):
    shape = [1, 1, 1]
    shape[axis] = LONGEST_SIDE
    marks = np.zeros(shape, np.uint64)
    marks.reshape(-1)[[0, -1]] = 1, 2
    assert nearest_squares(marks, 1).tolist() == [(LONGEST_SIDE - 1) ** 2]


def test_opposite_corners_of_long_faces_are_as_far_as_they_are():
    for axis in range(3):
        shape = [LONGEST_SIDE] * 3
        shape[axis] = 2
        marks = np.zeros(shape, np.uint64)
        marks.reshape(-1)[[0, -1]] = 1, 2
        assert nearest_squares(marks, 1).tolist() == [2 * (LONGEST_SIDE - 1) ** 2 + 1]


def test_marks_beyond_the_sets_are_none():
    marks = np.array([[[1, 2**64 - 1, 2**63, 5, 4, 2, 1]]], np.uint64)
    assert nearest_squares(marks, 3).tolist() == [1, ABSENT, 4]
    assert nearest_squares(marks, 0).tolist() == []


@pytest.mark.parametrize(
    "marks",
    [
        np.zeros((2, 2), np.uint64),
        np.zeros((2, 2, 2), np.int64),
        np.zeros((1, 1, LONGEST_SIDE + 1), np.uint64),
    ],
)
def test_what_is_no_array_of_marks_is_refused(marks):
    with pytest.raises(BadRequest):
        nearest_squares(marks, 1)
