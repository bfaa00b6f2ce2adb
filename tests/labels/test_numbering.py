"""New labels: never one that is in use, wherever an admin has set their counter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.labels.segmentation import Segmentation

from dvid.errors import Conflict
from dvid.labels.numbering import new_labels, next_label, set_next_start

SHAPE = (16, 16, 64)


@pytest.fixture
def painted(make_segmentation: Callable[..., Segmentation]) -> Segmentation:
    """Supervoxels 10, 20, 21 and 40; 20 and 21 are one body, 20."""
    made = make_segmentation()
    made.write(np.broadcast_to(np.repeat(np.array([10, 20, 21, 40], np.uint64), 16), SHAPE))
    made.merge(20, 21)
    return made


def start_behind(made: Segmentation, label: int, node: str = "") -> None:
    made.edit(lambda edit: set_next_start(edit, label, None), node)


def given(made: Segmentation, count: int, node: str = "") -> list[int]:
    return list(made.edit(lambda edit: new_labels(edit, count), node))


@pytest.mark.parametrize(("start", "following"), [(8, 9), (9, 11), (19, 22), (20, 22), (38, 39), (39, 41), (50, 51)])
def test_labels_in_use_are_stepped_over(painted: Segmentation, start: int, following: int) -> None:
    start_behind(painted, start)
    assert painted.see(next_label) == following
    assert given(painted, 1) == [following]
    assert painted.see(next_label) == {9: 11, 39: 41}.get(following, following + 1)


def test_labels_that_are_given_out_together_follow_each_other(painted: Segmentation) -> None:
    start_behind(painted, 8)
    assert given(painted, 9) == list(range(11, 20))
    assert given(painted, 2) == [22, 23]
    assert given(painted, 16) == list(range(24, 40))
    assert given(painted, 2) == [41, 42]


def test_a_cleave_makes_a_body_and_joins_none(painted: Segmentation) -> None:
    start_behind(painted, 9)
    assert painted.cleave(20, 21).label == 11
    assert painted.state().supervoxels == {10: {10}, 11: {21}, 20: {20}, 40: {40}}


def test_the_parts_of_a_split_are_supervoxels_of_their_own(painted: Segmentation) -> None:
    start_behind(painted, 19)
    points = np.argwhere(np.ones((4, 4, 4)))
    parts = painted.split(10, points).parts
    assert {parts.split, parts.remain} == {22, 23}
    assert painted.state().index[20] == {(0, 0, 1): 4096}


def test_a_label_of_another_branch_is_in_use(painted: Segmentation) -> None:
    painted.commit()
    one, other = painted.child(branch="one"), painted.child(branch="other")
    painted.write(np.full((16, 16, 16), 30, np.uint64), (16, 0, 0), one)
    start_behind(painted, 29, other)
    assert given(painted, 1, other) == [31]


def test_a_label_that_was_overwritten_is_in_use(painted: Segmentation) -> None:
    painted.commit()
    child = painted.child()
    painted.write(np.broadcast_to(np.repeat(np.array([11, 20, 21, 40], np.uint64), 16), SHAPE), node=child)
    start_behind(painted, 9, child)
    assert given(painted, 1, child) == [12]


def test_a_counter_amid_too_many_labels_is_refused_with_the_way_out(painted: Segmentation) -> None:
    labels = 100 + np.arange(11_000, dtype=np.uint64)
    voxels = np.zeros((16, 16, 48), np.uint64)
    voxels.reshape(-1)[: len(labels)] = labels
    painted.write(voxels, (16, 0, 0))
    start_behind(painted, 99)
    for refused in (lambda: painted.see(next_label), lambda: given(painted, 1), lambda: painted.cleave(20, 21)):
        with pytest.raises(Conflict, match=r"labels from 100 to 10099 are in use.*set it to 11099"):
            refused()
    start_behind(painted, 11_099)
    assert given(painted, 1) == [11_100]
