"""Volumes of labels in a Python program: numpy slicing, merges and splits without a server."""

from __future__ import annotations

import numpy as np
import pytest

import dvid
from dvid.errors import BadRequest, NotFound


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    with dvid.open(str(tmp_path_factory.mktemp("labels") / "store"), durability="relaxed") as opened:
        yield opened


@pytest.fixture
def labels(library):
    """Labels 1 to 4, side by side along x, each 8 wide, in a box that fits no block."""
    made = library.create_repo()["master"].create("labelarray", "labels", BlockSize="16,16,16")
    made[0:20, 0:20, 0:32] = np.repeat(np.arange(1, 5, dtype=np.uint64), 8)
    return made


def test_labels_are_merged_split_and_counted(labels):
    labels.merge(1, [2, 3])
    assert labels.split(1, [(6, 0, 0, 4), (3, 1, 0, 1)]) == 5
    assert labels.split(1, [(3, 2, 0, 1)], into=5) == 5
    assert labels.split_blocks(1, [(1, 0, 0, 1)], into=50) == 50
    expected = np.repeat(np.array([1, 1, 1, 4], np.uint64), 8) * np.ones((20, 20, 1), np.uint64)
    expected[:16, :16, 16:24] = 50
    expected[0, 0, 6:10] = expected[0, 1:3, 3] = 5
    assert np.array_equal(labels[:], expected)
    found, sizes = labels.labels()
    assert (found.tolist(), sizes.tolist()) == tuple(part.tolist() for part in np.unique(expected, return_counts=True))
    assert labels.sizes([50, 99]).tolist() == [16 * 16 * 8, 0]
    assert np.concatenate(list(labels.runs(5))).tolist() == [[6, 0, 0, 4], [3, 1, 0, 1], [3, 2, 0, 1]]
    assert labels.largest_label == 50
    assert labels.new_labels(2) == range(51, 53)


def test_a_merged_label_that_is_written_into_a_part_of_a_block_is_itself(labels):
    labels.merge(1, [2, 3])
    labels[5:7, 5:7, 5:30] = 2
    expected = np.repeat(np.array([1, 1, 1, 4], np.uint64), 8) * np.ones((20, 20, 1), np.uint64)
    expected[5:7, 5:7, 5:30] = 2
    assert np.array_equal(labels[:], expected)
    assert labels.sizes([2]).tolist() == [2 * 2 * 25]


def test_what_is_no_part_of_a_label_is_refused(labels):
    before = labels[:]
    for runs in ([(7, 0, 0, 2)], [(0, 0, 0, 1), (0, 0, 20, 1)]):
        with pytest.raises(BadRequest):
            labels.split(1, runs)
    with pytest.raises(BadRequest):
        labels.split_blocks(1, [(0, 0, 0, 2)])
    with pytest.raises(NotFound):
        list(labels.runs(9))
    assert np.array_equal(labels[:], before)
