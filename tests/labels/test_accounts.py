"""Index, bodies and members follow the voxels that come and go."""

from __future__ import annotations

import numpy as np
import pytest
from tests.labels.segmentation import Segmentation

from dvid.errors import CorruptValue
from dvid.labels.index import Entries

LARGE = 2**64 - 2


def entries(*rows: tuple[int, tuple[int, int, int], int]) -> Entries:
    """(supervoxel, block, voxels more)."""
    return Entries(
        np.array([label for label, _, _ in rows], np.uint64),
        np.array([block for _, block, _ in rows], np.int64).reshape(-1, 3),
        np.array([voxels for _, _, voxels in rows], np.int64),
    )


@pytest.fixture
def labels(database) -> Segmentation:
    return Segmentation(database)


def test_voxels_that_come_and_go_are_summed_up(labels: Segmentation) -> None:
    labels.account(entries((5, (0, 0, 0), 7), (5, (-1, 0, 8), 2), (LARGE, (0, 0, 0), 9), (5, (0, 0, 0), 1)))
    labels.account(entries((5, (0, 0, 0), -3), (LARGE, (0, 0, 0), 1), (0, (0, 0, 0), 99), (6, (1, 1, 1), 0)))
    found = labels.state()
    assert found.sizes == {5: 7, LARGE: 10}
    assert found.index == {5: {(0, 0, 0): 5, (-1, 0, 8): 2}, LARGE: {(0, 0, 0): 10}}
    assert found.supervoxels == {5: {5}, LARGE: {LARGE}}
    assert found.largest == LARGE


def test_a_body_ends_with_its_last_voxel(labels: Segmentation) -> None:
    labels.ingest({1: 10, 2: 20, 3: 30})
    labels.merge(1, 2)
    labels.ingest({1: -10})
    assert labels.state().supervoxels == {1: {2}, 3: {3}}
    labels.ingest({2: -20})
    assert labels.sizes() == {3: 30}
    labels.ingest({2: 4})  # it is mapped to body 1 still
    assert labels.state().supervoxels == {1: {2}, 3: {3}}
    labels.ingest({1: 1})
    assert labels.sizes() == {1: 5, 3: 30}
    assert labels.members(1) == [1, 2]


def test_voxels_that_only_move_between_blocks_change_no_size(labels: Segmentation) -> None:
    labels.account(entries((1, (0, 0, 0), 5)))
    labels.account(entries((1, (0, 0, 0), -5), (1, (9, 9, 9), 5)))
    found = labels.state()
    assert (found.sizes, found.index) == ({1: 5}, {1: {(9, 9, 9): 5}})


def test_the_number_of_a_split_supervoxel_may_be_written_again(labels: Segmentation) -> None:
    voxels = np.full((16, 16, 16), 4, np.uint64)
    labels.write(voxels)
    made = labels.split(4, np.argwhere(np.arange(4096).reshape(16, 16, 16) < 100))
    assert labels.bodies_of(4) == [0]
    labels.write(voxels, (16, 0, 0))
    assert labels.bodies_of(4) == [4]
    assert labels.state().supervoxels == {4: {4, made.parts.split, made.parts.remain}}
    assert labels.sizes() == {4: 8192}


@pytest.mark.parametrize(
    "changes",
    [
        entries((1, (0, 0, 1), -11)),
        entries((1, (0, 0, 2), -1)),
        entries((7, (0, 0, 0), -1)),
        entries((1, (0, 0, 1), 2**32)),
        entries((2, (0, 0, 0), 5), (1, (0, 0, 1), -11)),
    ],
)
def test_less_than_no_voxels_are_refused_and_leave_no_trace(labels: Segmentation, changes: Entries) -> None:
    labels.account(entries((1, (0, 0, 1), 10)))
    before = labels.state(), labels.events()
    with pytest.raises(CorruptValue, match="verify"):
        labels.account(changes)
    assert (labels.state(), labels.events()) == before


def test_each_version_has_its_own_account(labels: Segmentation) -> None:
    labels.ingest({1: 10, 2: 20})
    labels.commit()
    child, other = labels.child("", "child"), labels.child("", "other")
    labels.ingest({1: -10, 3: 5}, child)
    labels.ingest({2: 1}, other)
    assert labels.sizes() == {1: 10, 2: 20}
    assert labels.sizes(child) == {2: 20, 3: 5}
    assert labels.sizes(other) == {1: 10, 2: 21}
    labels.ingest({1: 2}, child)
    assert labels.sizes(child) == {1: 2, 2: 20, 3: 5}
