"""Segmentations in a Python program: numpy slicing and edits of bodies without a server."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dvid
from dvid.errors import BadRequest, Conflict, LockedNode, NotFound
from dvid.geometry import Box


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    with dvid.open(str(tmp_path_factory.mktemp("labels") / "store"), durability="relaxed") as opened:
        yield opened


@pytest.fixture
def make(library):
    return lambda **options: library.create_repo()["master"].create(
        "labelmap", "labels", **{"BlockSize": "16,16,16", "MaxDownresLevel": 2, **options}
    )


@pytest.fixture
def columns(make):
    """Supervoxels 1 to 4, side by side along x, each 8 wide, in a box that fits no block."""
    labels = make()
    labels[0:20, 0:20, 0:32] = np.repeat(np.arange(1, 5, dtype=np.uint64), 8)
    return labels


boxes = st.tuples(*[st.tuples(st.integers(-20, 40), st.integers(1, 36)) for _ in range(3)]).map(
    lambda axes: Box.at(tuple(start for start, _ in axes), tuple(size for _, size in axes))
)


def test_blocks_that_no_index_can_tell_of_are_refused(make):
    labels, far = make(), 16 * 2**20
    for start in ((far - 1, 0, 0), (0, -far, 0), (0, 0, -far - 20)):  # the first box begins in the last good block
        with pytest.raises(BadRequest, match="no key in a label index"):
            labels.write(Box.at(start, (2, 2, 2)), np.ones((2, 2, 2), np.uint64))
    assert labels.largest_label is None
    labels.write(Box.at((far - 2, 16 - far, 0), (2, 2, 2)), np.ones((2, 2, 2), np.uint64))
    assert labels.sizes([1]).tolist() == [8]


@settings(max_examples=25)
@given(st.lists(st.tuples(boxes, st.integers(0, 2**32)), min_size=1, max_size=3), boxes)
def test_what_is_written_anywhere_is_read_anywhere_and_counted(make, writes, read):
    labels, whole = make(), Box.at((-32, -32, -32), (128, 128, 128))
    expected = np.zeros(whole.shape_zyx, np.uint64)
    for box, seed in writes:
        # Not only small numbers: labels have 64 bits.
        voxels = np.random.default_rng(seed).choice(np.array([0, 5, 7, 2**63 + 9], np.uint64), box.shape_zyx)
        labels.write(box, voxels)
        expected[box.slices_in(whole)] = voxels
    assert np.array_equal(labels.read(read), expected[read.slices_in(whole)])
    found, counts = np.unique(expected[expected != 0], return_counts=True)
    bodies, sizes = labels.bodies()
    assert bodies.tolist() == found.tolist()
    assert sizes.tolist() == counts.tolist()


def test_indices_are_those_of_numpy_at_every_scale(columns):
    assert columns.dtype == np.uint64
    assert columns[3, 4, 0:32].tolist() == [n for n in (1, 2, 3, 4) for _ in range(8)]
    assert columns[:].shape == (20, 20, 32)
    assert columns.body_at(3, 4, 9) == 2
    assert columns.body_at(100, 4, 9) == 0
    assert columns.labels_at([[3, 4, 9], [3, 4, 31], [3, 4, 32]]).tolist() == [2, 4, 0]
    half = columns.at_scale(1)
    assert half[:].shape == (10, 10, 16)
    assert half[1, 2, 0:16].tolist() == [n for n in (1, 2, 3, 4) for _ in range(4)]
    with pytest.raises(BadRequest, match="scale"):
        columns.at_scale(3)
    with pytest.raises(BadRequest, match="scale 1"):
        half[0, 0, 0] = 1


def test_merged_bodies_read_as_one_and_their_supervoxels_stay(columns):
    columns.merge(2, [3])
    assert columns[0, 0, 0:32:1].tolist() == [n for n in (1, 2, 2, 4) for _ in range(8)]
    assert columns.supervoxels[0, 0, 16] == 3
    assert columns.supervoxel_at(0, 0, 16) == 3
    assert columns.members(2).tolist() == [2, 3]
    assert columns.bodies_of([1, 2, 3, 9]).tolist() == [1, 2, 2, 0]
    assert columns.sizes([2, 3]).tolist() == [2 * 8 * 400, 0]
    assert columns.supervoxels.sizes([2, 3]).tolist() == [8 * 400, 8 * 400]
    assert columns.at_scale(1)[0, 0, 8] == 2
    with pytest.raises(NotFound, match="3"):
        columns.members(3)


def test_edits_can_be_taken_back(columns):
    columns.merge(1, [2, 3])
    cleaved = columns.cleave(1, [3])
    assert columns.body_at(0, 0, 16) == cleaved.label
    columns.renumber({cleaved.label: 77})
    assert columns.body_at(0, 0, 16) == 77
    assert columns.undo().action == "renumber-complete"
    assert columns.undo(cleaved.mutation).undone == cleaved.mutation
    assert columns.members(1).tolist() == [1, 2, 3]
    columns.undo()
    assert columns.bodies()[0].tolist() == [1, 2, 3, 4]
    with pytest.raises(Conflict, match="undo"):
        columns.undo()


def test_a_supervoxel_is_split_by_runs_in_any_order(columns):
    made = columns.split_supervoxel(2, [[8, 5, 1, 4], [8, 4, 0, 8]])
    assert made.split_voxels == 12
    assert columns.supervoxels[0, 4, 8:16].tolist() == [made.parts.split] * 8
    assert columns.supervoxel_at(1, 5, 12) == made.parts.remain
    assert columns.body_at(0, 4, 8) == 2
    runs = np.concatenate(list(columns.supervoxels.runs(made.parts.split)))
    assert sorted(map(tuple, runs.tolist())) == [(8, 4, 0, 8), (8, 5, 1, 4)]


def test_new_labels_are_above_all_others(columns):
    assert columns.largest_label == 4
    assert columns.new_labels(2) == range(5, 7)
    assert columns.largest_label == 6


def test_what_is_no_label_is_refused_and_leaves_no_trace(columns):
    with pytest.raises(BadRequest):
        columns[0, 0, 0] = -1
    with pytest.raises(BadRequest):
        columns[0, 0, 0] = 1.5
    with pytest.raises(BadRequest, match="whole numbers"):
        columns.sizes([-1])
    with pytest.raises(BadRequest, match="points"):
        columns.labels_at([1, 2, 3])
    assert columns.bodies()[0].tolist() == [1, 2, 3, 4]


def test_a_committed_version_refuses_edits(library):
    node = library.create_repo()["master"]
    labels = node.create("labelmap", "labels")
    labels[0:4, 0:4, 0:4] = np.arange(64).reshape(4, 4, 4)
    node.commit()
    for edit in (
        lambda: labels.merge(1, [2]),
        lambda: labels.apply_mapping([1, 2], [1, 1]),
        lambda: labels.__setitem__((0, 0, 0), 1),
    ):
        with pytest.raises(LockedNode):
            edit()


def test_without_an_index_voxels_are_read_and_written(make):
    labels = make(IndexedLabels="false")
    labels[0:16, 0:16, 0:16] = 5
    assert labels.body_at(1, 1, 1) == 5
    with pytest.raises(BadRequest, match="index"):
        labels.bodies()
