"""Taking mutations back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.labels.segmentation import Segmentation

from dvid.errors import Conflict, LockedNode, NotFound
from dvid.labels.bodies import body
from dvid.labels.logged import latest
from dvid.labels.mapping import put_mapping
from dvid.labels.moves import Move, net
from dvid.labels.numbering import next_label
from dvid.labels.past import splits


@contextmanager
def refused(segmentation: Segmentation, message: str, error: type[Exception] = Conflict) -> Iterator[None]:
    """What is done raises, and leaves no trace."""

    def traces() -> Any:
        return segmentation.state(), segmentation.events(), segmentation.see(next_label)

    before = traces()
    with pytest.raises(error, match=message):
        yield
    assert traces() == before


# ---- each kind ----------------------------------------------------------------------------------


def test_undoing_a_merge_gives_each_body_its_supervoxels_back(segmentation: Segmentation) -> None:
    segmentation.merge(2, 1)
    segmentation.merge(4, 3)
    before = segmentation.state()
    merged = segmentation.merge(5, 2, 4, 6)
    undone = segmentation.undo(merged, user="alice")
    assert segmentation.state() == before
    assert (undone.undone, undone.action, undone.redo) == (merged, "merge-complete", False)
    event = segmentation.events()[-1]
    assert (event["Action"], event["MutationID"], event["User"]) == ("undo-complete", undone.mutation, "alice")
    assert (event["Undone"], event["UndoneAction"], event["Original"]) == (merged, "merge-complete", merged)
    assert (event["Target"], event["Labels"], event["Supervoxels"]) == (5, [2, 4, 6], [[1, 2], [3, 4], [6]])
    rows = segmentation.see(lambda view: [body(view, label).mutation for label in (2, 4, 5, 6)])  # type: ignore[union-attr]
    assert rows == [undone.mutation] * 4


def test_undoing_a_cleave_gives_the_supervoxels_back_and_uses_the_label_up(segmentation: Segmentation) -> None:
    segmentation.merge(1, 2, 3)
    before = segmentation.state()
    cleaved = segmentation.cleave(1, 1, 3)
    segmentation.undo(cleaved.mutation)
    after = segmentation.state()
    assert (after.sizes, after.supervoxels) == (before.sizes, before.supervoxels)
    assert after.mapping == {**before.mapping, cleaved.label: 0}
    assert segmentation.cleave(1, 2).label == cleaved.label + 1


def test_undoing_a_renumbering_takes_all_its_pairs_back(segmentation: Segmentation) -> None:
    segmentation.merge(1, 2)
    new = segmentation.cleave(1, 1).label
    before = segmentation.state()
    mutation = segmentation.renumber((50, 1), (1, new), (60, 50), (61, 3))
    segmentation.undo(mutation)
    after = segmentation.state()
    assert (after.sizes, after.supervoxels) == (before.sizes, before.supervoxels)
    assert after.mapping == {**before.mapping, 60: 0, 61: 0}


def test_bodies_that_took_each_others_numbers_take_them_back(segmentation: Segmentation) -> None:
    first, second = segmentation.merge(1, 2), segmentation.merge(3, 4)
    one, two = segmentation.cleave(1, 1).label, segmentation.cleave(3, 3).label
    before = segmentation.state()
    mutation = segmentation.renumber((50, one), (one, two), (two, 50))
    assert (segmentation.members(one), segmentation.members(two)) == ([3], [1])
    undone = segmentation.undo(mutation)
    assert segmentation.state() == replace(before, largest=50)  # labels that were given are not given again
    segmentation.undo(undone.mutation)
    assert (segmentation.members(one), segmentation.members(two)) == ([3], [1])
    assert first < second < mutation


def test_moves_one_after_another_come_to_one(segmentation: Segmentation) -> None:
    some, others = np.array([1], np.uint64), np.array([2], np.uint64)

    def renumbered(source: int, target: int, supervoxels: Any) -> Move:
        return Move(source, target, supervoxels, 1, ends=True, founds=True)

    moves = net([renumbered(1, 9, some), renumbered(2, 1, others), renumbered(9, 2, some), renumbered(1, 7, others)])
    assert [(move.source, move.target) for move in moves] == [(1, 2), (2, 7)]
    assert net([renumbered(1, 9, some), renumbered(9, 1, some)]) == []


# ---- splits -------------------------------------------------------------------------------------


@pytest.fixture
def painted(make_segmentation: Callable[[], Segmentation]) -> Segmentation:
    """Supervoxels 1, 2 and 3 in two blocks side by side: 1 and 2 are in both."""
    made = make_segmentation()
    voxels = np.zeros((16, 16, 32), np.uint64)
    voxels[2:9, 2:9, 3:30], voxels[10, :, 5:20], voxels[15, 15, 31] = 1, 2, 3
    made.write(voxels)
    return made


def points_of(segmentation: Segmentation, supervoxel: int, count: int) -> np.ndarray:
    """The first voxels of a supervoxel: (count, 3), zyx."""
    return np.argwhere(segmentation.voxels((16, 16, 32)) == supervoxel)[:count]


def everything(segmentation: Segmentation) -> Any:
    found = segmentation.state()
    voxels = [segmentation.voxels((16, 16, 32), bodies=bodies).tolist() for bodies in (False, True)]
    return found.sizes, found.supervoxels, found.index, voxels, segmentation.see(splits)


@pytest.mark.parametrize("count", [20, 7 * 7 * 27 - 1])
def test_undoing_a_split_gives_the_supervoxel_its_voxels_back(painted: Segmentation, count: int) -> None:
    painted.merge(2, 1)
    before = everything(painted)
    made = painted.split(1, points_of(painted, 1, count))
    done = everything(painted)
    assert painted.bodies_of(1, made.parts.split, made.parts.remain) == [0, 2, 2]
    undone = painted.undo(made.mutation)
    assert everything(painted) == before
    assert painted.bodies_of(1, made.parts.split, made.parts.remain) == [2, 0, 0]
    assert painted.events()[-1]["Supervoxel"] == 1
    painted.undo(undone.mutation)
    assert everything(painted) == done
    painted.undo(made.mutation)
    assert everything(painted) == before


def test_a_split_of_a_bodys_own_supervoxel_is_taken_back(painted: Segmentation) -> None:
    before = everything(painted)
    made = painted.split(1, points_of(painted, 1, 20))
    painted.undo(made.mutation)
    assert everything(painted) == before
    assert painted.bodies_of(1) == [1]


def test_the_parts_go_back_to_the_body_that_has_them_by_now(painted: Segmentation) -> None:
    made = painted.split(1, points_of(painted, 1, 20))
    merged = painted.merge(3, 1)
    painted.undo(made.mutation)
    assert painted.members(3) == [1, 3]
    with refused(painted, "supervoxel .* does not belong to body 3"):
        painted.undo(merged)


def test_a_split_stays_while_its_parts_are_in_two_bodies(painted: Segmentation) -> None:
    painted.merge(2, 1)
    made = painted.split(1, points_of(painted, 1, 20))
    cleaved = painted.cleave(2, made.parts.split)
    with refused(painted, rf"different bodies by now; mutation {cleaved.mutation} \(cleave-complete\)"):
        painted.undo(made.mutation)
    painted.undo(cleaved.mutation)
    painted.undo(made.mutation)
    assert painted.members(2) == [1, 2]


def test_a_split_stays_while_a_part_is_split_itself(painted: Segmentation) -> None:
    made = painted.split(1, points_of(painted, 1, 20))
    further = painted.split(made.parts.split, points_of(painted, made.parts.split, 5))
    with refused(painted, rf"mutation {further.mutation} \(split-supervoxel-complete\)"):
        painted.undo(made.mutation)
    painted.undo(further.mutation)
    painted.undo(made.mutation)
    assert painted.sizes() == {1: 7 * 7 * 27, 2: 240, 3: 1}


def test_a_split_stays_once_a_part_has_other_voxels(painted: Segmentation) -> None:
    made = painted.split(1, points_of(painted, 1, 20))
    voxels = painted.voxels((16, 16, 32))
    voxels[0, 0, 0] = made.parts.split
    written = painted.write(voxels)
    with refused(painted, f"has 21 voxels by now; the split gave it 20; mutation {written} "):
        painted.undo(made.mutation)


def test_a_split_stays_once_the_number_is_a_supervoxels_again(painted: Segmentation) -> None:
    made = painted.split(1, points_of(painted, 1, 20))
    voxels = painted.voxels((16, 16, 32))
    voxels[0, 0, 0] = 1
    painted.write(voxels)
    with refused(painted, "1 is the number of a supervoxel again"):
        painted.undo(made.mutation)


def test_a_merge_stays_while_its_supervoxels_are_split(painted: Segmentation) -> None:
    merged = painted.merge(2, 1)
    made = painted.split(1, points_of(painted, 1, 20))
    with refused(painted, rf"supervoxel 1 .*; mutation {made.mutation} \(split-supervoxel-complete\)"):
        painted.undo(merged)
    painted.undo(made.mutation)
    painted.undo(merged)
    assert painted.members(1) == [1]


def test_a_merge_stays_while_its_supervoxels_are_split_with_the_body(painted: Segmentation) -> None:
    merged = painted.merge(2, 1)
    made = painted.split_body(2, points_of(painted, 1, 20))
    with refused(painted, rf"supervoxel 1 .*; mutation {made.mutation} \(split-complete\)"):
        painted.undo(merged)
    with refused(painted, "split-complete, which cannot be taken back"):
        painted.undo(made.mutation)


def test_a_split_is_not_redone_with_labels_in_use_or_other_voxels(painted: Segmentation) -> None:
    made = painted.split(1, points_of(painted, 1, 20))
    undone = painted.undo(made.mutation)
    named = painted.renumber((made.parts.split, 3))
    with refused(painted, f"{made.parts.split} is the number of a body or supervoxel again"):
        painted.undo(undone.mutation)
    painted.undo(named)
    voxels = painted.voxels((16, 16, 32))
    voxels[0, 0, 0] = 1
    written = painted.write(voxels)
    with refused(painted, f"the voxels of supervoxel 1 have changed; mutation {written} "):
        painted.undo(undone.mutation)


# ---- redo ---------------------------------------------------------------------------------------


def test_an_undo_can_be_undone_again_and_again(segmentation: Segmentation) -> None:
    segmentation.merge(2, 1)
    for make in (
        lambda: segmentation.merge(3, 2, 4),
        lambda: segmentation.cleave(3, 4, 1).mutation,
        lambda: segmentation.renumber((78, 3), (77, 5), (79, 77)),
    ):
        mutation = make()
        done = segmentation.state()
        first = segmentation.undo(mutation)
        taken_back = segmentation.state()
        assert taken_back != done
        last = first.mutation
        for round_ in range(4):
            again = segmentation.undo(last)
            assert again.redo == (round_ % 2 == 0)
            assert segmentation.state() == (done if again.redo else taken_back)
            last = again.mutation
        with refused(segmentation, "taken back already"):
            segmentation.undo(first.mutation)
        segmentation.undo(last)
        assert segmentation.state() == done


def test_what_was_redone_can_be_taken_back_by_its_first_name(segmentation: Segmentation) -> None:
    before = segmentation.state()
    merged = segmentation.merge(2, 1)
    with refused(segmentation, "no mutation 5", NotFound):
        segmentation.undo(5)
    undone = segmentation.undo(merged)
    with refused(segmentation, f"{merged} was taken back already; .* was {undone.mutation}"):
        segmentation.undo(merged)
    redone = segmentation.undo(undone.mutation)
    with refused(segmentation, f"{undone.mutation} was taken back already"):
        segmentation.undo(undone.mutation)
    segmentation.undo(merged)
    assert segmentation.state() == before
    with refused(segmentation, f"{redone.mutation} was taken back already"):
        segmentation.undo(redone.mutation)


# ---- what later mutations do to it --------------------------------------------------------------


def test_others_may_have_merged_into_the_same_body(segmentation: Segmentation) -> None:
    first = segmentation.merge(5, 1)
    segmentation.merge(5, 2)
    cleaved = segmentation.cleave(5, 5)
    segmentation.undo(first)
    assert segmentation.members(1) == [1]
    assert segmentation.members(5) == [2]
    assert segmentation.members(cleaved.label) == [5]
    assert segmentation.sizes() == {label: 10 * label for label in (1, 3, 4, 6, 7, 8, 9)} | {5: 20, cleaved.label: 50}


def test_voxels_written_meanwhile_stay(segmentation: Segmentation) -> None:
    merged = segmentation.merge(5, 1, 2)
    segmentation.ingest({1: 7, 5: -30})
    segmentation.undo(merged)
    assert {label: segmentation.sizes()[label] for label in (1, 2, 5)} == {1: 17, 2: 20, 5: 20}
    cleaved = segmentation.edit(lambda edit: None) or segmentation.merge(5, 1)
    new = segmentation.cleave(5, 1)
    segmentation.ingest({1: -4})
    segmentation.undo(new.mutation)
    assert segmentation.sizes()[5] == 33
    segmentation.undo(cleaved)
    assert {label: segmentation.sizes()[label] for label in (1, 5)} == {1: 13, 5: 20}


def test_a_redo_counts_the_voxels_of_its_own_time(segmentation: Segmentation) -> None:
    merged = segmentation.merge(5, 1, 2)
    undone = segmentation.undo(merged)
    segmentation.ingest({1: 100})
    redone = segmentation.undo(undone.mutation)
    segmentation.undo(redone.mutation)
    assert {label: segmentation.sizes()[label] for label in (1, 2, 5)} == {1: 110, 2: 20, 5: 50}
    one = segmentation.merge(5, 1)
    cleaved = segmentation.cleave(5, 1)
    undone = segmentation.undo(cleaved.mutation)
    segmentation.ingest({1: -100})
    segmentation.undo(undone.mutation)
    assert {label: segmentation.sizes()[label] for label in (cleaved.label, 5)} == {cleaved.label: 10, 5: 50}
    with refused(segmentation, f"supervoxel 1 .*mutation {cleaved.mutation} "):
        segmentation.undo(one)


def test_a_merge_stays_while_its_supervoxels_have_moved_on(segmentation: Segmentation) -> None:
    merged = segmentation.merge(5, 1, 2)
    cleaved = segmentation.cleave(5, 2)
    with refused(segmentation, rf"supervoxel 2 .* mapped to 10; mutation {cleaved.mutation} \(cleave-complete\)"):
        segmentation.undo(merged)
    segmentation.undo(cleaved.mutation)
    further = segmentation.merge(6, 5)
    with refused(segmentation, rf"no body 5 any more; mutation {further} \(merge-complete\)"):
        segmentation.undo(merged)
    segmentation.undo(further)
    named = segmentation.renumber((70, 5))
    with refused(segmentation, rf"no body 5 any more; mutation {named} \(renumber-complete\)"):
        segmentation.undo(merged)
    segmentation.undo(named)
    segmentation.undo(merged)
    assert segmentation.sizes() == {label: 10 * label for label in range(1, 10)}


def test_a_merge_stays_while_its_target_has_nothing_else(segmentation: Segmentation) -> None:
    merged = segmentation.merge(5, 1)
    cleaved = segmentation.cleave(5, 5)
    with refused(segmentation, rf"no other supervoxels any more; mutation {cleaved.mutation} "):
        segmentation.undo(merged)


def test_a_merge_stays_while_another_body_has_the_number(segmentation: Segmentation) -> None:
    segmentation.merge(1, 2)
    new = segmentation.cleave(1, 2).label
    merged = segmentation.merge(5, new)
    named = segmentation.renumber((new, 6))
    with refused(segmentation, rf"a body {new} again; mutation {named} "):
        segmentation.undo(merged)


def test_a_merge_stays_once_a_supervoxel_is_overwritten(segmentation: Segmentation) -> None:
    merged = segmentation.merge(5, 1, 2)
    segmentation.ingest({2: -20})
    with refused(segmentation, "supervoxel 2 does not belong to body 5 any more"):
        segmentation.undo(merged)


def test_a_merge_stays_once_a_mapping_was_posted_for_it(segmentation: Segmentation) -> None:
    merged = segmentation.merge(5, 1, 2)
    segmentation.edit(lambda edit: put_mapping(edit, np.array([2], np.uint64), 8))
    with refused(segmentation, "supervoxel 2 does not belong to body 5 any more; it is mapped to 8"):
        segmentation.undo(merged)


def test_a_cleave_stays_while_something_was_merged_into_the_new_body(segmentation: Segmentation) -> None:
    segmentation.merge(1, 2, 3)
    cleaved = segmentation.cleave(1, 2)
    later = segmentation.merge(cleaved.label, 4)
    with refused(segmentation, rf"body {cleaved.label} has other supervoxels by now; mutation {later} "):
        segmentation.undo(cleaved.mutation)
    segmentation.undo(later)
    segmentation.undo(cleaved.mutation)
    assert segmentation.members(1) == [1, 2, 3]


def test_a_cleave_may_be_undone_whatever_else_happened_to_the_body(segmentation: Segmentation) -> None:
    segmentation.merge(1, 2, 3, 4)
    cleaved = segmentation.cleave(1, 2)
    segmentation.merge(1, 5)
    other = segmentation.cleave(1, 1, 3)
    segmentation.undo(cleaved.mutation)
    assert segmentation.members(1) == [2, 4, 5]
    assert segmentation.members(other.label) == [1, 3]


def test_a_cleave_is_not_given_back_to_another_body_of_that_number(segmentation: Segmentation) -> None:
    segmentation.merge(1, 2, 3)
    new = segmentation.cleave(1, 2, 3)
    cleaved = segmentation.cleave(new.label, 3)
    merged = segmentation.merge(6, new.label)
    with refused(segmentation, rf"no body {new.label} any more; mutation {merged} "):
        segmentation.undo(cleaved.mutation)
    segmentation.renumber((new.label, 7))
    with refused(segmentation, rf"body {new.label} is another one by now; mutation {merged} "):
        segmentation.undo(cleaved.mutation)


def test_a_body_that_went_and_came_back_is_the_same(segmentation: Segmentation) -> None:
    segmentation.merge(1, 2, 3)
    cleaved = segmentation.cleave(1, 2)
    merged = segmentation.merge(6, 1)
    segmentation.undo(merged)
    segmentation.undo(cleaved.mutation)
    assert segmentation.members(1) == [1, 2, 3]


def test_a_renumbering_stays_once_the_body_has_changed(segmentation: Segmentation) -> None:
    segmentation.merge(1, 2)
    named = segmentation.renumber((70, 1))
    merged = segmentation.merge(70, 3)
    with refused(segmentation, rf"body 70 has other supervoxels by now; mutation {merged} "):
        segmentation.undo(named)
    segmentation.undo(merged)
    cleaved = segmentation.cleave(70, 2)
    with refused(segmentation, rf"supervoxel 2 .*; mutation {cleaved.mutation} "):
        segmentation.undo(named)


# ---- which mutations ----------------------------------------------------------------------------


def test_mutations_are_taken_back_at_their_own_version(segmentation: Segmentation) -> None:
    merged = segmentation.merge(1, 2)
    segmentation.commit()
    child, side = segmentation.child(), segmentation.child(branch="side")
    later = segmentation.merge(1, 3, node=child)
    with pytest.raises(Conflict, match=f"{merged} was made at another version, {segmentation.root}"):
        segmentation.undo(merged, node=child)
    with pytest.raises(Conflict, match=f"{later} was made at another version, {child}"):
        segmentation.undo(later, node=side)
    with pytest.raises(LockedNode):
        segmentation.undo(merged)
    segmentation.undo(later, node=child)
    assert segmentation.state(child) == segmentation.state()


def test_what_brings_voxels_is_not_taken_back(segmentation: Segmentation) -> None:
    ingest = segmentation.events()[0]["MutationID"]
    with refused(segmentation, "test-voxels, which cannot be taken back"):
        segmentation.undo(ingest)


def test_the_latest_is_that_of_the_user_and_goes_back_in_time(segmentation: Segmentation) -> None:
    first = segmentation.merge(1, 2, user="alice")
    second = segmentation.merge(1, 3, user="alice")
    segmentation.merge(1, 4, user="bob")
    nameless = segmentation.merge(1, 5)

    def latest_of(user: str, after: int = 0) -> int | None:
        return segmentation.see(lambda view: latest(view, user, after))

    assert [latest_of("alice"), latest_of(""), latest_of("carol")] == [second, nameless, None]
    undone = segmentation.undo(second, user="alice")
    assert latest_of("alice") == first
    assert latest_of("alice", first) is None
    segmentation.undo(first, user="alice")
    assert latest_of("alice") is None
    segmentation.undo(undone.mutation, user="alice")
    assert latest_of("alice") == second


def test_large_bodies_are_given_back_whole(segmentation: Segmentation) -> None:
    many = list(range(1000, 4000))
    segmentation.ingest(dict.fromkeys(many, 2))
    segmentation.merge(1000, *many[1:1500])
    segmentation.merge(2500, *many[1501:])
    before = segmentation.state()
    merged = segmentation.merge(5, 1000, 2500)
    assert "SupervoxelsRef" in segmentation.events()[-1]
    done = segmentation.state()
    undone = segmentation.undo(merged)
    assert segmentation.state() == before
    segmentation.undo(undone.mutation)
    assert segmentation.state() == done
