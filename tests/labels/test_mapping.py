"""To which bodies supervoxels belong where histories were merged."""

from __future__ import annotations

import numpy as np
import pytest
from tests.labels.segmentation import BLOCK_ZYX, Segmentation

from dvid.database import Database
from dvid.errors import MergeConflict
from dvid.labels.bodies import members
from dvid.labels.mapping import all_mappings, body_of
from dvid.labels.sizes import body_sizes
from dvid.versions import nodes

WIDTH = 16
LABELS = 8
SHAPE = (16, 16, 128)


@pytest.fixture
def made(database: Database) -> Segmentation:
    """Supervoxels 1 to 8, a block each, in a committed root."""
    made = Segmentation(database)
    made.write(np.broadcast_to(np.repeat(np.arange(1, LABELS + 1, dtype=np.uint64), WIDTH), SHAPE).copy())
    made.commit()
    return made


def two(made: Segmentation) -> list[str]:
    return [made.child("", "one"), made.child("", "other")]


def merged(made: Segmentation, *branches: str) -> str:
    for node in branches:
        made.commit(node)

    def merge(tx, directory):
        return nodes.merge(tx, directory.lineages, [directory.node(tx, node).record for node in branches]).uuid

    return made.database.transact(merge)


def body_at(made: Segmentation, supervoxel: int, node: str) -> int | None:
    """The body that voxels, lists and single questions tell of a supervoxel; None where it is in conflict."""
    start = (0, 0, (supervoxel - 1) * WIDTH)
    found = []
    for ask in (
        lambda: int(made.voxels((1, 1, 1), start, node, bodies=True)[0, 0, 0]),
        lambda: made.bodies_of(supervoxel, node=node)[0],
        lambda: made.see(lambda view: body_of(view, supervoxel), node),
    ):
        try:
            found.append(ask())
        except MergeConflict:
            found.append(None)
    assert len(set(found)) == 1, found
    return found[0]


def seen(made: Segmentation, node: str) -> dict[int, int | None]:
    return {label: body_at(made, label, node) for label in range(1, LABELS + 1)}


def check_that_bodies_hold_what_is_told(made: Segmentation, node: str) -> None:
    """Whoever is told a body can ask for it, and finds the supervoxel in it: unless it was in it before all branches."""
    for supervoxel, body in seen(made, node).items():
        if body not in (None, supervoxel):
            assert supervoxel in made.see(lambda view, body=body: members(view, body), node)


@pytest.mark.parametrize("first", [True, False])
def test_histories_that_regrouped_the_same_bodies_are_in_conflict_for_voxels_too(
    made: Segmentation, first: bool
) -> None:
    one, other = two(made)
    made.merge(1, 2, node=one)
    apart = made.cleave(1, 2, node=one).label
    made.merge(1, 5, node=one)
    made.merge(2, 1, node=other)
    node = merged(made, *((one, other) if first else (other, one)))
    for _ in range(2):  # what is remembered answers the same
        assert seen(made, node) == {1: None, 2: apart, 3: 3, 4: 4, 5: None, 6: 6, 7: 7, 8: 8}
    check_that_bodies_hold_what_is_told(made, node)
    with pytest.raises(MergeConflict, match="supervoxel 1 into body 2"):
        made.see(lambda view: list(all_mappings(view)), node)
    with pytest.raises(MergeConflict):
        made.voxels(SHAPE, node=node, bodies=True)
    assert made.voxels(SHAPE, node=node)[0, 0, ::WIDTH].tolist() == list(range(1, LABELS + 1))
    child = made.child(_committed(made, node))
    assert seen(made, child) == seen(made, node)
    assert seen(made, one) == {1: 1, 2: apart, 3: 3, 4: 4, 5: 1, 6: 6, 7: 7, 8: 8}
    assert seen(made, other) == {1: 2, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7, 8: 8}


def _committed(made: Segmentation, node: str) -> str:
    made.commit(node)
    return node


def test_histories_that_let_the_same_body_grow_are_in_conflict_for_what_they_added(made: Segmentation) -> None:
    one, other = two(made)
    made.merge(1, 2, node=one)
    made.merge(1, 3, node=other)
    made.merge(7, 8, node=other)
    node = merged(made, one, other)
    assert seen(made, node) == {1: 1, 2: None, 3: None, 4: 4, 5: 5, 6: 6, 7: 7, 8: 7}
    check_that_bodies_hold_what_is_told(made, node)


def test_a_supervoxel_that_one_history_made_a_body_of_its_own_again_is_one(made: Segmentation) -> None:
    start = made.child()
    made.merge(1, 2, 3, node=start)
    made.commit(start)
    one, other = made.child(start, "one"), made.child(start, "other")
    left = made.cleave(1, 2, node=one).label
    made.renumber((2, left), node=one)
    made.cleave(1, 3, node=other)
    node = merged(made, one, other)
    assert body_at(made, 2, node) == 2
    assert made.members(2, node) == [2]
    assert body_at(made, 1, node) == 1


def test_histories_that_regrouped_different_bodies_agree(made: Segmentation) -> None:
    one, other = two(made)
    made.merge(1, 2, node=one)
    made.merge(3, 4, node=other)
    apart = made.cleave(3, 4, node=other).label
    made.merge(5, 6, node=other)
    node = merged(made, one, other)
    assert seen(made, node) == {1: 1, 2: 1, 3: 3, 4: apart, 5: 5, 6: 5, 7: 7, 8: 8}
    assert made.state(node).mapping == {2: 1, 4: apart, 6: 5, apart: 0}
    check_that_bodies_hold_what_is_told(made, node)


def test_histories_that_painted_the_same_body_can_be_read(made: Segmentation) -> None:
    """Its size is in conflict; which voxels are of it is not, though it was merged before."""
    start = made.child()
    made.merge(1, 2, node=start)
    made.commit(start)
    one, other = made.child(start, "one"), made.child(start, "other")
    made.write(np.full(BLOCK_ZYX, 2, np.uint64), (0, 16, 0), one)
    made.write(np.full(BLOCK_ZYX, 2, np.uint64), (0, 16, 32), other)
    node = merged(made, one, other)
    assert made.voxels((16, 32, 48), node=node, bodies=True)[0, ::16, ::16].tolist() == [[1, 1, 3], [1, 0, 1]]
    assert seen(made, node)[2] == 1
    with pytest.raises(MergeConflict):
        made.see(lambda view: body_sizes(view, np.array([1], np.uint64)), node)


def test_bodies_that_are_changed_at_the_merged_node_are_remembered_as_they_are_then(made: Segmentation) -> None:
    one, other = two(made)
    made.merge(1, 2, node=one)
    made.merge(3, 4, node=other)
    node = merged(made, one, other)
    assert seen(made, node)[4] == 3
    made.merge(1, 3, node=node)
    assert [seen(made, node)[label] for label in (1, 2, 3, 4)] == [1, 1, 1, 1]
    child = made.child(_committed(made, node))
    apart = made.cleave(1, 4, node=child).label
    assert (seen(made, child)[4], seen(made, node)[4]) == (apart, 1)
