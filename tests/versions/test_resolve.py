"""Merging versions that disagree, by priority."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dvid.database import Database
from dvid.errors import BadRequest, LockedNode, MergeConflict, UnknownInstance
from dvid.storage.protocol import Transaction
from dvid.versions.catalogue import Directory
from dvid.versions.edit import Edit
from dvid.versions.layout import DATA
from dvid.versions.resolve import resolve


def resolved(repo, parents: list[str], names: tuple[str, ...] = ("kv",), **options: str) -> str:
    def run(transaction: Transaction, directory: Directory) -> str:
        nodes = [directory.node(transaction, uuid).record for uuid in parents]
        instances = [directory.instance(transaction, repo.number, name) for name in names]
        return resolve(transaction, directory, nodes, instances, **options).uuid

    return repo.database.transact(run)


KEYS = (b"a", b"b", b"c", b"d")
CHANGES = st.dictionaries(st.sampled_from(KEYS), st.sampled_from([b"1", b"2", None]))


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(base=CHANGES, changes=st.lists(CHANGES, min_size=2, max_size=4), order=st.randoms(use_true_random=False))
def test_the_first_of_the_parents_that_disagree_decides(make_repo, base, changes, order) -> None:
    repo = make_repo()
    content = {key: value for key, value in base.items() if value is not None}
    for key, value in content.items():
        repo.put(repo.root, key, value)
    repo.commit(repo.root)
    parents = []
    for number, change in enumerate(changes):
        uuid = repo.branch(repo.root, f"b{number}")
        effective = {key: value for key, value in change.items() if value is not None or key in content}
        for key, value in change.items():
            repo.delete(uuid, key) if value is None else repo.put(uuid, key, value)
        repo.commit(uuid)
        parents.append((uuid, effective))
    order.shuffle(parents)
    child = resolved(repo, [uuid for uuid, _ in parents])
    expected = dict(content)
    for _, effective in reversed(parents):
        expected.update(effective)
    assert {key: repo.get(child, key) for key in KEYS} == {key: expected.get(key) for key in KEYS}
    with repo.database.view(child, "kv") as view:
        assert not list(view.conflicts())
        assert list(view.keys(DATA)) == sorted(key for key in KEYS if expected.get(key) is not None)


def conflicting(repo) -> tuple[str, str]:
    repo.make("other")
    repo.commit(repo.root)
    sides = repo.branch(repo.root, "one"), repo.branch(repo.root, "two")

    def put_all(edit: Edit) -> None:
        for i in range(300):
            edit.put(DATA, b"%03d" % i, edit.node.uuid.encode())

    for side in sides:
        for name in ("kv", "other"):
            repo.database.edit(side, name, put_all)
        repo.database.edit(side, "kv", lambda edit: edit.set_property("extents", edit.node.uuid))
        repo.commit(side)
    return sides


def test_properties_are_decided_too_and_other_instances_stay_in_conflict(repo) -> None:
    one, two = conflicting(repo)
    child = resolved(repo, [two, one], user="anna")
    with repo.database.view(child, "kv") as view:
        assert {bytes(value.payload) for _, value in view.scan(DATA)} == {two.encode()}
        assert view.property("extents") == two
        assert view.properties("extents") == [two]
        (event,) = map(json.loads, view.events())
    assert event["Action"] == "resolve"
    assert event["Parents"] == [two, one]
    assert (event["Keys"], event["User"]) == (301, "anna")
    with repo.database.view(child, "other") as view:
        assert len(list(view.conflicts())) == 300
        with pytest.raises(MergeConflict):
            view.get(DATA, b"000")
        assert len(list(view.keys(DATA))) == 300
    both = repo.merge(one, two)
    with repo.database.view(both, "kv") as view:
        with pytest.raises(MergeConflict):
            view.property("extents")
        assert sorted(view.properties("extents")) == sorted([one, two])


def test_a_parent_that_is_in_conflict_itself_is_refused_and_nothing_is_left(repo) -> None:
    one, two = conflicting(repo)
    undecided = repo.merge(one, two)
    repo.commit(undecided)
    three = repo.branch(repo.root, "three")
    repo.put(three, b"000", b"three")
    repo.commit(three)
    before = count(repo.database)
    with pytest.raises(MergeConflict, match=undecided):
        resolved(repo, [undecided, three])
    assert count(repo.database) == before
    child = resolved(repo, [one, two, three])
    assert repo.get(child, b"000") == one.encode()


def count(database: Database) -> int:
    with database.store.snapshot() as snapshot:
        return sum(1 for _ in snapshot.scan(b"\0", b"\xff"))


def test_what_cannot_be_resolved_is_refused(repo) -> None:
    one, two = conflicting(repo)
    still_open = repo.child(repo.root)
    before = count(repo.database)
    for parents, names, error in (
        ([one, two], (), BadRequest),
        ([one], ("kv",), BadRequest),
        ([one, one], ("kv",), BadRequest),
        ([one, still_open], ("kv",), BadRequest),
        ([one, two], ("no-such",), UnknownInstance),
    ):
        with pytest.raises(error):
            resolved(repo, parents, names)
    assert count(repo.database) == before
    child = resolved(repo, [one, two])
    repo.commit(child)
    with pytest.raises(LockedNode):
        repo.put(child, b"000", b"late")
