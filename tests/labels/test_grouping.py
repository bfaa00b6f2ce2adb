"""Merging, cleaving and renumbering bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from tests.labels.segmentation import Segmentation

from dvid.errors import BadRequest, LockedNode
from dvid.labels.bodies import bodies, body
from dvid.labels.numbering import LARGEST, next_label
from dvid.labels.tables import INDEX, Labels, label_key
from dvid.versions.edit import Edit
from dvid.versions.view import View


@contextmanager
def refused(segmentation: Segmentation, message: str, error: type[Exception] = BadRequest) -> Iterator[None]:
    """What is done raises, and leaves no trace: neither rows, nor an event, nor a label that is used up."""

    def traces() -> Any:
        return segmentation.state(), segmentation.events(), segmentation.see(next_label)

    before = traces()
    with pytest.raises(error, match=message):
        yield
    assert traces() == before


def test_a_merge_moves_all_supervoxels_into_the_target(segmentation: Segmentation) -> None:
    segmentation.merge(2, 1, 3)
    segmentation.merge(5, 2)
    assert segmentation.members(5) == [1, 2, 3, 5]
    assert segmentation.bodies_of(1, 2, 3, 5, 4) == [5, 5, 5, 5, 4]
    assert segmentation.sizes() == {4: 40, 5: 110, 6: 60, 7: 70, 8: 80, 9: 90}


def test_a_merge_is_logged_with_what_it_takes_to_take_it_back(segmentation: Segmentation) -> None:
    first = segmentation.merge(2, 1, user="alice")
    second = segmentation.merge(5, 2, 3)
    one, two = segmentation.events()[1:]
    assert (one["Action"], one["MutationID"], one["User"]) == ("merge-complete", first, "alice")
    assert (one["Target"], one["Labels"], one["Sizes"]) == (2, [1], [10])
    assert "Supervoxels" not in one
    assert (two["MutationID"], two["Labels"], two["Sizes"]) == (second, [2, 3], [30, 30])
    assert two["Supervoxels"] == [[1, 2], [3]]


def test_bodies_know_the_last_mutation_that_changed_them(segmentation: Segmentation) -> None:
    mutation = segmentation.merge(2, 1)
    cleaved = segmentation.cleave(2, 1)

    def mutations(view: View) -> list[int]:
        return [body(view, label).mutation for label in (2, cleaved.label, 3)]  # type: ignore[union-attr]

    assert segmentation.see(mutations) == [cleaved.mutation, cleaved.mutation, mutation - 1]


@pytest.mark.parametrize(
    ("target", "labels", "message"),
    [
        (1, (), "at least two"),
        (1, (1,), "1 comes twice"),
        (1, (2, 2), "2 comes twice"),
        (1, (2, 77), "no body 77"),
        (77, (1,), "no body 77"),
        (0, (1,), "not 0"),
        (1, (0,), "not 0"),
        (1, (LARGEST + 1,), f"not {LARGEST + 1}"),
    ],
)
def test_a_merge_that_cannot_be_is_refused_without_a_trace(
    segmentation: Segmentation, target: int, labels: tuple[int, ...], message: str
) -> None:
    with refused(segmentation, message):
        segmentation.merge(target, *labels)


def test_a_body_that_was_merged_is_one_no_longer(segmentation: Segmentation) -> None:
    segmentation.merge(1, 2)
    with refused(segmentation, "no body 2"):
        segmentation.merge(3, 2)


def test_a_cleave_makes_a_body_of_a_new_number(segmentation: Segmentation) -> None:
    segmentation.merge(1, 2, 3, 4)
    cleaved = segmentation.cleave(1, 4, 1, user="bob")
    assert cleaved.label == 10
    assert (segmentation.members(1), segmentation.members(10)) == ([2, 3], [1, 4])
    assert segmentation.bodies_of(1, 2, 3, 4, 10) == [10, 1, 1, 10, 0]
    event = segmentation.events()[-1]
    assert event.pop("Timestamp")
    assert event == {
        "Action": "cleave-complete",
        "OrigLabel": 1,
        "CleavedLabel": 10,
        "CleavedSupervoxels": [4, 1],
        "CleavedSize": 50,
        "RemainSize": 50,
        "UUID": segmentation.root,
        "MutationID": cleaved.mutation,
        "User": "bob",
    }


@pytest.mark.parametrize(
    ("label", "supervoxels", "message"),
    [
        (1, (), "empty"),
        (1, (1, 2, 3), "all supervoxels of body 1"),
        (5, (5,), "all supervoxels of body 5"),
        (1, (2, 2), "2 comes twice"),
        (1, (2, 4), "supervoxel 4 does not belong to body 1"),
        (4, (1,), "supervoxel 1 does not belong"),
        (2, (2,), "no body 2"),
        (77, (1,), "no body 77"),
        (0, (1,), "not 0"),
        (1, (0,), "not 0"),
        (1, (LARGEST + 1,), "not 18446744073709551615"),
    ],
)
def test_a_cleave_that_cannot_be_is_refused_and_uses_up_no_label(
    segmentation: Segmentation, label: int, supervoxels: tuple[int, ...], message: str
) -> None:
    segmentation.merge(1, 2, 3)
    with refused(segmentation, message):
        segmentation.cleave(label, *supervoxels)


def test_what_was_cleaved_can_be_merged_and_cleaved_again(segmentation: Segmentation) -> None:
    segmentation.merge(1, 2, 3)
    new = segmentation.cleave(1, 1, 2).label
    assert segmentation.cleave(new, 1).label == new + 1
    segmentation.merge(new, new + 1, 1)
    assert segmentation.members(new) == [1, 2, 3]
    assert segmentation.sizes()[new] == 60


def test_supervoxels_without_voxels_are_no_body_of_their_own(segmentation: Segmentation) -> None:
    segmentation.merge(1, 2)

    def empty(edit: Edit) -> None:  # as after posting an index by hand
        for key in list(edit.keys(INDEX, label_key(2), label_key(3))):
            edit.delete(INDEX, key)

    segmentation.edit(empty)
    with refused(segmentation, "cleaved have no voxels"):
        segmentation.cleave(1, 2)
    with refused(segmentation, "all supervoxels"):
        segmentation.cleave(1, 1, 2)


def test_a_body_that_would_be_left_without_voxels_is_not_cleaved(segmentation: Segmentation) -> None:
    segmentation.merge(1, 2)

    def grown(edit: Edit) -> None:  # the index says more than the body has
        edit.put(INDEX, next(edit.keys(INDEX, label_key(2), label_key(3))), np.array([2, 30, 0], "<u2").tobytes())

    segmentation.edit(grown)
    with refused(segmentation, "left have no voxels"):
        segmentation.cleave(1, 2)


@pytest.mark.parametrize("wrong", [-1, 0, 2**64 - 1, 2**64])
def test_numbers_that_are_no_labels_are_refused(segmentation: Segmentation, wrong: int) -> None:
    with refused(segmentation, f"merge: a label from 1 to {LARGEST} was expected, not {wrong}"):
        segmentation.merge(1, 2, wrong)
    with refused(segmentation, f"cleave: a label from 1 to {LARGEST} was expected, not {wrong}"):
        segmentation.cleave(1, wrong)


def test_a_long_list_is_looked_at_up_to_the_first_that_is_wrong(segmentation: Segmentation) -> None:
    segmentation.merge(1, 2)
    looked_at = 0

    def counted(view: View, labels: Labels, *rest: Any) -> Any:
        nonlocal looked_at
        looked_at += len(labels)
        return bodies(view, labels)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("dvid.labels.grouping.bodies", counted)
        with refused(segmentation, "there is no body 1000"):
            segmentation.merge(3, *range(1000, 50_000))
    assert looked_at < 10_000
    with refused(segmentation, "the supervoxel 1000 does not belong to body 1"):
        segmentation.cleave(1, *range(1000, 50_000))


def test_renumbering_keeps_the_supervoxels(segmentation: Segmentation) -> None:
    segmentation.merge(1, 2)
    mutation = segmentation.renumber((70, 1), (71, 3), user="carol")
    assert (segmentation.members(70), segmentation.members(71)) == ([1, 2], [3])
    assert segmentation.bodies_of(1, 2, 3, 70, 71) == [70, 70, 71, 0, 0]
    assert segmentation.see(next_label) == 72
    events = segmentation.events()[-2:]
    assert [(event["NewLabel"], event["OrigLabel"]) for event in events] == [(70, 1), (71, 3)]
    assert [(event["Action"], event["MutationID"]) for event in events] == [("renumber-complete", mutation)] * 2


def test_renumbering_goes_pair_by_pair(segmentation: Segmentation) -> None:
    segmentation.merge(1, 2)
    new = segmentation.cleave(1, 1).label
    segmentation.renumber((50, 1), (1, new), (60, 50))
    assert segmentation.sizes() == {1: 10, 60: 20, **{label: 10 * label for label in range(3, 10)}}
    assert (segmentation.members(1), segmentation.members(60)) == ([1], [2])
    assert segmentation.state().mapping == {2: 60, new: 0, 60: 0}


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ((), "empty"),
        (((70, 3), (71, 77)), "no body 77"),
        (((70, 3), (71, 3)), "no body 3"),
        (((70, 3), (70, 4)), "body 70 already"),
        (((70, 3), (4, 5)), "body 4 already"),
        (((4, 3), (3, 4)), "body 4 already"),
        (((3, 3),), "3 comes twice"),
        (((2, 3),), "2 is the number of a supervoxel"),
        (((70, 3), (3, 4)), "3 is the number of a supervoxel"),
        (((0, 3),), "not 0"),
        (((LARGEST + 1, 3),), "not 18446744073709551615"),
    ],
)
def test_no_pair_is_renumbered_if_one_cannot_be(
    segmentation: Segmentation, pairs: tuple[tuple[int, int], ...], message: str
) -> None:
    segmentation.merge(1, 2)
    with refused(segmentation, message):
        segmentation.renumber(*pairs)


def test_a_body_can_have_the_number_of_one_of_its_supervoxels(segmentation: Segmentation) -> None:
    segmentation.merge(1, 2, 3)
    segmentation.renumber((3, 1))
    assert segmentation.members(3) == [1, 2, 3]
    assert segmentation.bodies_of(1, 2, 3) == [3, 3, 3]
    segmentation.renumber((1, 3))
    assert segmentation.bodies_of(1, 2, 3) == [1, 1, 1]
    assert segmentation.state().mapping == {2: 1, 3: 1}


def test_versions_and_branches_keep_their_own_bodies(segmentation: Segmentation) -> None:
    segmentation.merge(1, 2, 3)
    root = segmentation.state()
    segmentation.commit()
    main, side = segmentation.child(), segmentation.child(branch="side")
    segmentation.cleave(1, 1, node=main)
    segmentation.merge(4, 1, node=side)
    segmentation.commit(main)
    below = segmentation.child(main)
    segmentation.merge(10, 1, node=below)
    assert segmentation.state() == root
    assert segmentation.members(10, main) == [1]
    assert segmentation.members(10, below) == [1, 2, 3]
    assert segmentation.bodies_of(1, 2, 3, 4, node=side) == [4, 4, 4, 4]
    assert segmentation.sizes(side)[4] == 100
    with refused(segmentation, "is committed", LockedNode):
        segmentation.merge(4, 5)


def test_labels_near_the_largest_one_are_bodies_like_others(make_segmentation: Callable[[], Segmentation]) -> None:
    segmentation = make_segmentation()
    segmentation.ingest({LARGEST: 5, LARGEST - 1: 6, 2**63 + 1: 7})
    segmentation.merge(LARGEST, LARGEST - 1, 2**63 + 1)
    assert segmentation.members(LARGEST) == [2**63 + 1, LARGEST - 1, LARGEST]
    with refused(segmentation, "the largest label there can be"):
        segmentation.cleave(LARGEST, LARGEST - 1)


def test_a_body_of_many_supervoxels_is_merged_and_cleaved_whole(make_segmentation: Callable[[], Segmentation]) -> None:
    segmentation = make_segmentation()
    segmentation.ingest(dict.fromkeys(range(1, 5001), 2))
    segmentation.merge(1, *range(2, 5000))
    segmentation.merge(5000, 1)
    assert segmentation.sizes() == {5000: 10000}
    event = segmentation.events()[-1]
    blob = segmentation.see(lambda view: view.blob(event["SupervoxelsRef"]))
    assert blob is not None
    assert np.frombuffer(blob, "<u8").tolist() == [4999, *range(1, 5000)]
    new = segmentation.cleave(5000, *range(1000, 3000)).label
    assert segmentation.sizes() == {5000: 6000, new: 4000}
    assert segmentation.members(new) == list(range(1000, 3000))
