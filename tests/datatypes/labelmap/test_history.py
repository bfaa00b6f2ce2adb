"""Requests that ask what was done to bodies."""

import json

import numpy as np
import pytest


def rows(reply):
    return [json.loads(line) for line in reply.text.splitlines()]


@pytest.fixture
def edited(segmentation):
    """A merge, a cleave and a renumbering at the root, a merge at its child; the child, and the label of the cleaved."""
    root = segmentation.node
    segmentation.post("merge?u=ann", [10, 20, 30])
    cleaved = segmentation.post("cleave/10?u=bob", [20]).json["CleavedLabel"]
    segmentation.commit(root)
    child = segmentation.child(root)
    segmentation.post("renumber?u=ann", [77, 10], node=child)
    segmentation.post("merge", [cleaved, 77], node=child)
    return child, cleaved


def test_mutations_are_what_was_done_to_bodies_and_not_what_came_in(segmentation, edited):
    child, cleaved = edited
    root = segmentation.get("mutations").json
    assert [event["Action"] for event in root] == ["merge-complete", "cleave-complete"]
    assert (root[0]["Target"], root[0]["Labels"]) == (10, [20, 30])
    assert root[1]["CleavedLabel"] == cleaved
    later = segmentation.get("mutations", node=child).json
    assert [event["Action"] for event in later] == ["renumber-complete", "merge-complete"]
    assert segmentation.get(f"mutations-range/{segmentation.node}/{child}").json == later + root
    assert segmentation.get(f"mutations-range/{child}/{child}").json == later
    assert segmentation.status("GET", f"mutations-range/{child}/{segmentation.node}") == 400


def test_mutations_of_one_user_are_told_where_that_is_meant(segmentation, edited):
    child, _ = edited
    assert len(segmentation.get("mutations?userid=bob").json) == 2
    assert [event["User"] for event in segmentation.get("mutations?userid=bob&exact=true").json] == ["bob"]
    of_ann = segmentation.get(f"mutations-range/{segmentation.node}/{child}?userid=ann&exact=true").json
    assert [event["Action"] for event in of_ann] == ["renumber-complete", "merge-complete"]
    assert segmentation.get("mutations?userid=nobody&exact=true").json == []


def test_voxels_that_came_in_are_no_mutation_of_bodies(make_segmentation):
    made = make_segmentation(BlockSize="32,32,32")
    made.write((0, 0, 0), np.ones((32, 32, 32), np.uint64))
    assert made.get("mutations").json == []


def test_a_history_tells_what_was_done_to_the_bodies_that_a_body_came_from(segmentation, edited):
    child, cleaved = edited
    root = segmentation.node
    assert rows(segmentation.get(f"history/{cleaved}/{root}/{child}", node=child)) == [
        {"Action": "merge", "Target": 10, "Labels": [20, 30]},
        {"Action": "cleave", "OrigLabel": 10, "CleavedLabel": cleaved, "CleavedSupervoxels": [20]},
        {"Action": "renumber", "OrigLabel": 10, "NewLabel": 77},
        {"Action": "merge", "Target": cleaved, "Labels": [77]},
    ]
    assert rows(segmentation.get(f"history/10/{root}/{root}")) == [
        {"Action": "merge", "Target": 10, "Labels": [20, 30]},
        {"Action": "cleave", "OrigLabel": 10, "CleavedLabel": cleaved, "CleavedSupervoxels": [20]},
    ]


def test_a_body_to_which_nothing_was_done_has_no_history(segmentation):
    root = segmentation.node
    segmentation.post("merge", [10, 20])
    assert segmentation.get(f"history/30/{root}/{root}").content == b""


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("history/0/{root}/{child}", 400),
        ("history/x/{root}/{child}", 400),
        ("history/10/{root}", 400),
        ("history/10", 400),
        ("history/77/{child}/{root}", 400),
        ("history/77/{root}/ffffffff", 400),
        ("history/99/{root}/{child}", 404),
        ("history/10/{root}/{child}", 404),
    ],
)
def test_a_history_of_what_there_is_not_is_refused(segmentation, edited, path, status):
    child, _ = edited
    assert segmentation.status("GET", path.format(root=segmentation.node, child=child), node=child) == status
