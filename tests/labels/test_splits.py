"""Splitting supervoxels and bodies by their voxels."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.labels.segmentation import Segmentation, runs_of

from dvid.codecs.sparsevols import encode_srles
from dvid.errors import BadRequest
from dvid.labels.past import splits
from dvid.labels.splits import split_body, split_supervoxel

SHAPE = (16, 16, 64)


@pytest.fixture
def painted(make_segmentation: Callable[..., Segmentation]) -> Segmentation:
    """Supervoxels 1 to 4, each a slab of 16 x 16 x 16; the bodies are 2, of 1, 2 and 3, and 4."""
    made = make_segmentation()
    made.write(np.broadcast_to(np.repeat(np.arange(1, 5, dtype=np.uint64), 16), SHAPE))
    made.merge(2, 1, 3)
    return made


def box(z: int, y: int, first: int, stop: int) -> np.ndarray:
    """Voxels from the origin to (z, y), from one x to another."""
    points = np.argwhere(np.ones((z, y, stop - first)))
    points[:, 2] += first
    return points


def test_supervoxels_as_a_whole_move_and_those_that_are_cut_are_split(painted: Segmentation) -> None:
    made = painted.split_body(2, box(16, 16, 8, 32))
    voxels = painted.voxels(SHAPE)
    split, remain = int(voxels[0, 0, 8]), int(voxels[0, 0, 0])
    assert made.label == 5
    assert {split, remain} == {6, 7}
    assert (voxels[:, :, :8] == remain).all()
    assert (voxels[:, :, 8:16] == split).all()
    assert (voxels[:, :, 16:32] == 2).all()  # as a whole, it keeps its number
    state = painted.state()
    assert state.supervoxels == {2: {remain, 3}, 4: {4}, 5: {split, 2}}
    assert state.sizes == {2: 256 * 24, 4: 256 * 16, 5: 256 * 24}
    assert state.mapping == {1: 0, 2: 5, 3: 2, 5: 0, split: 5, remain: 2}
    assert state.index[split] == state.index[remain] == {(0, 0, 0): 256 * 8}
    assert state.largest == 7


def test_the_log_names_the_parts(painted: Segmentation) -> None:
    points = box(2, 16, 8, 24)
    made = painted.split_body(2, points, user="anna")
    event = painted.events()[-1]
    told = event.pop("SVSplits")
    voxels = painted.voxels(SHAPE)
    parts = {
        "1": {"Split": int(voxels[0, 0, 8]), "Remain": int(voxels[0, 0, 0])},
        "2": {"Split": int(voxels[0, 0, 16]), "Remain": int(voxels[0, 0, 24])},
    }
    assert told == parts
    assert len({label for both in parts.values() for label in both.values()}) == 4
    expected = {"Action": "split-complete", "Target": 2, "NewLabel": made.label, "User": "anna"}
    expected |= {"MutationID": made.mutation, "SplitSize": 512, "RemainSize": 3 * 4096 - 512}
    assert {name: event[name] for name in expected} == expected
    assert painted.see(lambda view: view.blob(event["Split"])) == runs_of(points)[1]
    ((_, rows),) = painted.see(splits)
    assert rows == [[made.mutation, int(old), both["Remain"], both["Split"]] for old, both in parts.items()]


def test_a_split_between_supervoxels_touches_no_block(painted: Segmentation) -> None:
    before = painted.state().index
    made = painted.split_body(2, box(16, 16, 16, 48))
    assert (painted.voxels(SHAPE) == np.repeat([1, 2, 3, 4], 16)).all()
    assert painted.members(made.label) == [2, 3]
    assert painted.members(2) == [1]
    assert painted.state().index == before


def test_earlier_versions_know_nothing_of_a_split(painted: Segmentation) -> None:
    before, voxels = painted.state(), painted.voxels(SHAPE)
    painted.commit()
    child = painted.child()
    made = painted.split_body(2, box(1, 1, 0, 40), node=child)
    assert painted.state() == before
    np.testing.assert_array_equal(painted.voxels(SHAPE), voxels)
    assert painted.state(child).sizes[made.label] == 40


def test_a_body_is_split_again_and_again(painted: Segmentation) -> None:
    expected = painted.voxels(SHAPE, bodies=True).copy()
    for z in range(15):
        points = np.argwhere(np.ones((1, 16, 48)))
        points[:, 0] += z
        expected[z, :, :48] = painted.split_body(2, points).label
    np.testing.assert_array_equal(painted.voxels(SHAPE, bodies=True), expected)
    labels, counts = np.unique(expected, return_counts=True)
    assert painted.sizes() == dict(zip(labels.tolist(), counts.tolist(), strict=True))


@pytest.mark.parametrize(
    ("body", "points"),
    [
        (2, box(16, 16, 0, 48)),  # all of it
        (2, box(1, 1, 40, 49)),  # a voxel of another body
        (2, np.array([(0, 0, 0), (0, 16, 0)])),  # a voxel that nobody wrote
        (1, box(1, 1, 0, 4)),  # a supervoxel, not a body
        (4, box(16, 16, 48, 64)),
        (9, box(1, 1, 0, 4)),
    ],
)
def test_what_is_no_part_of_the_body_is_refused_without_a_trace(
    painted: Segmentation, body: int, points: np.ndarray[Any, Any]
) -> None:
    before, events = painted.state(), painted.events()
    with pytest.raises(BadRequest, match="split: "):
        painted.split_body(body, points)
    assert painted.state() == before
    assert painted.events() == events
    assert painted.split_body(2, box(1, 1, 0, 1)).label == 5  # no number was used up


LONG = np.array([[0, 0, 0, 2**31 - 1], [-(2**31), 1, 0, 2**31 - 1]], np.int32)
"""Two runs that go through the whole of space, with voxels of supervoxels 1 to 4 in the first one."""


def test_runs_as_long_as_space_split_what_they_hold_of_a_supervoxel(painted: Segmentation) -> None:
    tracemalloc.start()
    made = painted.edit(lambda edit: split_supervoxel(edit, 3, LONG, encode_srles(LONG)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (made.split_voxels, made.remain_voxels) == (16, 16**3 - 16)
    assert (painted.voxels(SHAPE)[0, 0] == np.repeat([1, 2, made.parts.split, 4], 16)).all()
    assert peak < 50 << 20


def test_runs_with_more_voxels_than_the_body_are_refused_before_they_are_cut(painted: Segmentation) -> None:
    before = painted.state()
    tracemalloc.start()
    with pytest.raises(BadRequest, match="must be a part of label 2; it has 4294967294 voxels, the label has 12288"):
        painted.edit(lambda edit: split_body(edit, 2, LONG, encode_srles(LONG)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 << 20
    assert painted.state() == before


def test_label_0_is_no_part_of_a_body(make_segmentation: Callable[..., Segmentation]) -> None:
    made = make_segmentation()
    voxels = np.zeros((16, 16, 16), np.uint64)
    voxels[:8] = 3
    made.write(voxels)
    with pytest.raises(BadRequest, match="voxels of label 0"):
        made.split_body(3, box(9, 1, 0, 1))
    assert made.sizes() == {3: 8 * 256}
