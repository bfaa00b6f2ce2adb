"""The requests that change bodies."""

from __future__ import annotations

from typing import Any

import pytest
from tests.datatypes.conftest import Instance, MakeInstance
from tests.labels.segmentation import Segmentation


class Bodies(Instance):
    """A labelmap instance with the supervoxels 1 to 9, of 10 to 90 voxels."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.inside = Segmentation(self.database, self.name, root=self.node)
        self.inside.ingest({label: 10 * label for label in range(1, 10)})

    def refuse(self, path: str, body: Any, message: str, status: int = 400) -> None:
        """A request that is refused, and leaves no trace."""
        before = self.inside.state(), self.inside.events(), self.info()
        reply = self.ask("POST", path, body)
        assert (reply.status_code, message in reply.text) == (status, True), reply.text
        assert (self.inside.state(), self.inside.events(), self.info()) == before


@pytest.fixture
def bodies(make_instance: MakeInstance) -> Bodies:
    return make_instance("labelmap", "segmentation", kind=Bodies)


@pytest.fixture(scope="module")
def untouched(make_instance: MakeInstance) -> Bodies:
    """For requests that leave no trace."""
    return make_instance("labelmap", "untouched", kind=Bodies)


@pytest.fixture(scope="module")
def committed(make_instance: MakeInstance) -> Bodies:
    made = make_instance("labelmap", "committed", kind=Bodies)
    made.commit(made.node)
    return made


def test_merge_answers_the_mutation_id(bodies: Bodies) -> None:
    reply = bodies.post("merge?u=alice&app=tool", [2, 1, 3])
    assert reply.headers["content-type"] == "application/json"
    event = bodies.inside.events()[-1]
    assert reply.json == {"MutationID": event["MutationID"]}
    assert (event["User"], event["App"]) == ("alice", "tool")
    assert bodies.inside.members(2) == [1, 2, 3]


def test_cleave_answers_the_new_label(bodies: Bodies) -> None:
    bodies.post("merge", [2, 1, 3])
    reply = bodies.post("cleave/2", [2])
    assert reply.headers["content-type"] == "application/json"
    assert reply.json == {"CleavedLabel": 10, "MutationID": bodies.inside.events()[-1]["MutationID"]}
    assert bodies.inside.members(2) == [1, 3]


def test_renumber_takes_pairs_of_new_and_old(bodies: Bodies) -> None:
    reply = bodies.post("renumber", [21, 1, 22, 2])
    assert reply.json == {"MutationID": bodies.inside.events()[-1]["MutationID"]}
    assert bodies.inside.bodies_of(1, 2) == [21, 22]


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("merge", "x", "JSON list of labels"),
        ("merge", "", "JSON list of labels"),
        ("merge", "[1, 2", "JSON list of labels"),
        ("merge", "[1, 2.5]", "JSON list of labels"),
        ("merge", '["1", "2"]', "JSON list of labels"),
        ("merge", '{"1": 2}', "JSON list of labels"),
        ("merge", "[1, -2]", "numbers from 0 to 2^64 - 1"),
        ("merge", "[1, 18446744073709551616]", "JSON list of labels"),
        ("merge", [], "at least two labels"),
        ("merge", [1], "at least two labels"),
        ("merge", [1, 0], "not 0"),
        ("merge", [1, 1], "comes twice"),
        ("merge", [1, 2**64 - 1], "not 18446744073709551615"),
        ("merge", [1, 2, 77], "no body 77"),
        ("cleave/9", [1], "does not belong"),
        ("cleave/9", [9], "all supervoxels"),
        ("cleave/9", [], "empty"),
        ("cleave/9", "", "JSON list of supervoxels"),
        ("cleave/9", "?", "JSON list of supervoxels"),
        ("cleave/77", [1], "no body 77"),
        ("cleave/0", [1], "not '0'"),
        ("cleave/-5", [1], "not '-5'"),
        ("cleave/x", [1], "not 'x'"),
        ("cleave/18446744073709551615", [1], "not '18446744073709551615'"),
        ("renumber", [21, 1, 22], "pairs"),
        ("renumber", [], "empty"),
        ("renumber", "x", "JSON list of labels"),
        ("renumber", [21, 1, 22, 77], "no body 77"),
        ("renumber", [21, 1, 3, 2], "body 3 already"),
        ("renumber", [0, 1], "not 0"),
    ],
)
def test_what_cannot_be_is_refused_without_a_trace(untouched: Bodies, path: str, body: Any, message: str) -> None:
    untouched.refuse(path, body, message)


@pytest.mark.parametrize("path", ["merge", "cleave/1", "renumber"])
def test_a_committed_version_is_not_edited(committed: Bodies, path: str) -> None:
    committed.refuse(path, [21, 1], "is committed")


@pytest.mark.parametrize("path", ["merge", "cleave/1", "renumber"])
def test_edits_are_not_questions(untouched: Bodies, path: str) -> None:
    assert untouched.ask("GET", path).status_code in (400, 404, 405)


def test_a_merge_that_is_sent_twice_is_made_once(bodies: Bodies) -> None:
    path, key = f"/api/node/{bodies.node}/segmentation/merge", {"Idempotency-Key": "one-merge"}
    first = bodies.request("POST", path, [2, 1], key)
    again = bodies.request("POST", path, [2, 1], key)
    assert (first.status_code, first.json) == (again.status_code, again.json) == (200, first.json)
    assert len(bodies.inside.events()) == 2


def test_undo_takes_the_latest_mutation_of_the_user_back(bodies: Bodies) -> None:
    first = bodies.post("merge?u=alice", [2, 1]).json["MutationID"]
    second = bodies.post("merge?u=alice", [2, 3]).json["MutationID"]
    bodies.post("merge?u=bob", [4, 5])
    reply = bodies.post("undo?u=alice", None)
    event = bodies.inside.events()[-1]
    assert (event["Action"], event["Undone"], event["User"]) == ("undo-complete", second, "alice")
    assert reply.headers["content-type"] == "application/json"
    assert reply.json == {
        "MutationID": event["MutationID"],
        "Undone": second,
        "UndoneAction": "merge-complete",
        "Redo": False,
    }
    assert bodies.post("undo?u=alice", "{}").json["Undone"] == first
    assert bodies.inside.members(2) == [2]
    redone = bodies.post("undo?u=alice", {"MutationID": reply.json["MutationID"]}).json
    assert (redone["Undone"], redone["Redo"]) == (reply.json["MutationID"], True)
    assert bodies.inside.members(2) == [2, 3]


def test_undo_takes_mutations_of_others_back_where_they_are_named(bodies: Bodies) -> None:
    bodies.post("merge?u=bob", [4, 5])
    nameless = bodies.post("merge", [6, 7]).json["MutationID"]
    assert bodies.post("undo?u=alice", {"User": "bob"}).json["UndoneAction"] == "merge-complete"
    assert bodies.post("undo?u=alice", {"User": ""}).json["Undone"] == nameless


@pytest.mark.parametrize(
    ("path", "body", "message", "status"),
    [
        ("undo", "[1]", "was expected", 400),
        ("undo", "x", "was expected", 400),
        ("undo", {"MutationId": 5}, "MutationId", 400),
        ("undo", {"MutationID": "5"}, "was expected", 400),
        ("undo", {"MutationID": -5}, "not -5", 400),
        ("undo", {"MutationID": 2**63}, f"not {2**63}", 400),
        ("undo", {"MutationID": 5, "User": "a"}, "not both", 400),
        ("undo", {"MutationID": 5}, "no mutation 5", 404),
        ("undo", {"MutationID": 0}, "no mutation 0", 404),
        ("undo?u=alice", None, "no mutation of 'alice'", 409),
        ("undo", None, "no mutation without a name", 409),
        ("undo", {"MutationID": 1_000_000_000}, "which cannot be taken back", 409),
    ],
)
def test_what_cannot_be_taken_back_leaves_no_trace(
    untouched: Bodies, path: str, body: Any, message: str, status: int
) -> None:
    untouched.refuse(path, body, message, status)


def test_undo_says_what_stands_in_the_way(bodies: Bodies) -> None:
    merged = bodies.post("merge", [2, 1]).json["MutationID"]
    cleaved = bodies.post("cleave/2", [1]).json["MutationID"]
    bodies.refuse("undo", {"MutationID": merged}, f"mutation {cleaved} (cleave-complete) did that", 409)
    bodies.commit(bodies.node)
    bodies.refuse("undo", None, "is committed")
    child = bodies.child(bodies.node)
    reply = bodies.ask("POST", "undo", {"MutationID": cleaved}, node=child)
    assert (reply.status_code, bodies.node in reply.text) == (409, True)
