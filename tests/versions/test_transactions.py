"""All or nothing: what a transaction that fails leaves behind, and what corrupt bytes answer."""

from __future__ import annotations

import json
import threading

import pytest

from dvid.database import Database
from dvid.errors import CorruptValue
from dvid.storage.protocol import Transaction
from dvid.versions import instances, layout, nodes, repos
from dvid.versions.catalogue import Directory
from dvid.versions.edit import FIRST_MUTATION, Edit
from dvid.versions.layout import DATA


class Failed(Exception):
    """What tests raise inside transactions."""


def contents(database: Database) -> dict[bytes, bytes]:
    with database.store.snapshot() as snapshot:
        return {entry.key: bytes(entry.value) for entry in snapshot.scan(b"\0", b"\xff" * 100)}


def events(database: Database, uuid: str) -> list[dict[str, object]]:
    with database.view(uuid, "kv") as view:
        return [json.loads(event) for event in view.events()]


def everything(edit: Edit) -> None:
    for key in (b"a", b"b"):
        edit.put(DATA, key, b"new")
    edit.delete(DATA, b"old")
    edit.set_property("extents", [1, 2, 3])
    edit.put_blob(b"blob")
    edit.log("everything", {"Key": "a"}, {"Key": "b"})


def test_an_edit_that_raises_leaves_nothing(repo) -> None:
    repo.put(repo.root, b"old", b"old")
    before = contents(repo.database)

    def fail(edit: Edit) -> None:
        everything(edit)
        raise Failed

    for _ in range(2):
        with pytest.raises(Failed):
            repo.database.edit(repo.root, "kv", fail)
        assert contents(repo.database) == before
    repo.database.edit(repo.root, "kv", everything)
    assert [event["MutationID"] for event in events(repo.database, repo.root)] == [FIRST_MUTATION] * 2


@pytest.mark.parametrize("what", ["repo", "commit", "branch", "tag", "merge", "instance", "delete"])
def test_a_change_of_metadata_that_raises_leaves_nothing(repo, what: str) -> None:
    repo.put(repo.root, b"old", b"old")
    repo.commit(repo.root)
    one, other = repo.branch(repo.root, "one"), repo.branch(repo.root, "other")
    repo.commit(one), repo.commit(other)
    leaf = repo.child(repo.root)
    before = contents(repo.database)

    def fail(transaction: Transaction, directory: Directory) -> None:
        node = directory.node(transaction, leaf).record
        parents = [directory.node(transaction, uuid).record for uuid in (one, other)]
        match what:
            case "repo":
                repos.create_repo(transaction, alias="a", passcode="p")
            case "commit":
                nodes.commit(transaction, node, note="n", log=["line"])
            case "branch":
                nodes.branch(transaction, parents[0], name="b")
            case "tag":
                nodes.tag(transaction, parents[0], name="t")
            case "merge":
                nodes.merge(transaction, directory.lineages, parents)
            case "instance":
                instances.create_instance(transaction, node, name="i", typename="t", settings={})
            case "delete":
                repos.delete_repo(transaction, directory.repo(transaction, repo.number), "")
        raise Failed

    with pytest.raises(Failed):
        repo.database.transact(fail)
    assert contents(repo.database) == before
    assert repo.get(leaf, b"old") == b"old"


def test_of_many_concurrent_edits_those_that_raise_leave_nothing_and_the_others_all(repo) -> None:
    """They share commits: what one of a group leaves undone must not touch the others."""

    def work(number: int) -> None:
        for i in range(25):

            def operation(edit: Edit, i: int = i) -> None:
                edit.put(DATA, b"%d/%02d" % (number, i), b"value")
                edit.log("put", {"Key": f"{number}/{i:02}"})
                if i % 3 == 0:
                    raise Failed

            try:
                repo.database.edit(repo.root, "kv", operation)
            except Failed:
                assert i % 3 == 0

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = sorted(b"%d/%02d" % (number, i) for number in range(8) for i in range(25) if i % 3)
    with repo.database.view(repo.root, "kv") as view:
        assert list(view.keys(DATA)) == expected
    logged = events(repo.database, repo.root)
    assert sorted(str(event["Key"]).encode() for event in logged) == expected
    assert [event["MutationID"] for event in logged] == list(range(FIRST_MUTATION, FIRST_MUTATION + len(expected)))


def test_the_events_of_one_change_share_a_mutation_id_and_say_who_made_it(repo) -> None:
    repo.database.edit(repo.root, "kv", everything, user="anna", app="tests")
    repo.commit(repo.root)
    child = repo.child(repo.root)
    repo.database.edit(child, "kv", lambda edit: edit.log("more", {"Key": "c"}))
    first, second = events(repo.database, repo.root)
    assert (first["Action"], first["Key"], second["Key"]) == ("everything", "a", "b")
    assert first["MutationID"] == second["MutationID"] == FIRST_MUTATION
    assert (first["User"], first["App"], first["UUID"]) == ("anna", "tests", repo.root)
    (third,) = events(repo.database, child)
    assert third["MutationID"] == FIRST_MUTATION + 1
    assert "User" not in third


def test_mutation_ids_are_counted_for_each_repo(repo) -> None:
    other = repo.database.transact(lambda tx, _: repos.create_repo(tx)).root_uuid
    repo.database.transact(
        lambda tx, directory: instances.create_instance(
            tx, directory.node(tx, other).record, name="kv", typename="t", settings={}
        )
    )
    for uuid in (repo.root, other, repo.root):
        repo.database.edit(uuid, "kv", lambda edit: edit.log("x", {}))
    assert [event["MutationID"] for event in events(repo.database, repo.root)] == [FIRST_MUTATION, FIRST_MUTATION + 1]
    assert [event["MutationID"] for event in events(repo.database, other)] == [FIRST_MUTATION]


@pytest.mark.parametrize("read", ["get", "get_many", "get_batches", "scan", "batches", "heirs"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "moved"])
def test_a_corrupt_value_is_an_error_that_names_its_key_and_never_data(repo, read: str, damage: str) -> None:
    keys = [b"%03d" % i for i in range(100)]
    repo.database.edit(repo.root, "kv", lambda edit: [edit.put(DATA, key, b"value of " + key) for key in keys])
    with repo.database.view(repo.root, "kv") as view:
        full, other = view.key(DATA, keys[50]), view.key(DATA, keys[51])

    def spoil(transaction: Transaction, _: object) -> None:
        stored = bytes(transaction.get(full) or b"")
        spoiled = {"flipped": stored[:-1] + b"?", "cut": stored[:5], "moved": bytes(transaction.get(other) or b"")}
        transaction.put(full, spoiled[damage])

    repo.database.transact(spoil)
    with repo.database.view(repo.root, "kv") as view:
        reads = {
            "get": lambda: view.get(DATA, keys[50]),
            "get_many": lambda: view.get_many(DATA, keys),
            "get_batches": lambda: list(view.get_batches(DATA, keys)),
            "scan": lambda: list(view.scan(DATA)),
            "batches": lambda: list(view.batches(DATA)),
            "heirs": lambda: view.heirs(DATA, keys[50]),
        }
        with pytest.raises(CorruptValue, match=full.hex()):
            reads[read]()
        assert view.get(DATA, keys[51]) is not None


def test_unversioned_data_is_the_same_at_every_node_and_can_be_changed_at_committed_ones(make_repo) -> None:
    repo = make_repo(versioned=False)
    repo.put(repo.root, b"key", b"root")
    repo.commit(repo.root)
    child, side = repo.child(repo.root), repo.branch(repo.root, "side")
    for uuid in (child, repo.root, side):
        repo.put(uuid, b"key", uuid.encode())
        assert [repo.get(at, b"key") for at in (repo.root, child, side)] == [uuid.encode()] * 3
    with repo.database.view(child, "kv") as view:
        assert view.at(side).get(DATA, b"key") == view.get(DATA, b"key")
        assert view.version(view.at(repo.root).node.version).get(DATA, b"key") == view.get(DATA, b"key")
    assert repo.delete(side, b"key")
    assert [repo.get(at, b"key") for at in (repo.root, child, side)] == [None] * 3
    assert len([key for key in contents(repo.database) if key[4:5] == layout.TOMBSTONES]) == 0
