"""Finding nodes and instances, by several processes' worth of caches over one store."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dvid.database import Database
from dvid.errors import BadRequest, LockedNode, UnknownInstance, UnknownNode
from dvid.versions import instances, nodes, repos


@pytest.fixture
def other(database: Database, tmp_path: Path) -> Iterator[Database]:
    """The same store, with caches of its own, as another process has them."""
    with Database.open(str(tmp_path / "store"), durability="relaxed") as opened:
        yield opened


def find(database: Database, selector: str) -> str:
    with database.read() as (snapshot, directory):
        return directory.node(snapshot, selector).record.uuid


def test_a_prefix_finds_its_node_until_another_begins_the_same(repo) -> None:
    roots = ["abc0" + "0" * 28, "abc1" + "0" * 28, "abd0" + "0" * 28]
    for root in roots[:1]:
        repo.database.transact(lambda tx, _, root=root: repos.create_repo(tx, root=root))
    assert find(repo.database, "abc") == roots[0]
    for root in roots[1:]:
        repo.database.transact(lambda tx, _, root=root: repos.create_repo(tx, root=root))
    for prefix in ("ab", "abc"):
        with pytest.raises(UnknownNode, match="more than one"):
            find(repo.database, prefix)
    for prefix, root in (("abc0", 0), ("abc1000", 1), ("abd", 2), (roots[0], 0)):
        assert find(repo.database, prefix) == roots[root]


def test_branches_and_steps_back_find_their_nodes(repo) -> None:
    uuids = [repo.root]
    for _ in range(5):
        uuids.append(repo.chain(uuids[-1], 1))
    side = repo.branch(uuids[2], "side")
    last = repo.chain(side, 1)
    for prefix in (repo.root, repo.root[:9], side, ""):
        assert find(repo.database, f"{prefix}:master") == uuids[5]
        assert find(repo.database, f"{prefix}:") == uuids[5]
        assert find(repo.database, f"{prefix}:master~2") == uuids[3]
        assert find(repo.database, f"{prefix}:side") == last
        assert find(repo.database, f"{prefix}:side~1") == side
        assert find(repo.database, f"{prefix}:side~2") == uuids[2]
        assert find(repo.database, f"{prefix}:side~4") == uuids[0]
    uuids.append(repo.chain(uuids[-1], 1))
    assert find(repo.database, ":master") == uuids[6]


@pytest.mark.parametrize(
    "selector",
    [
        "",
        ":no-such",
        ":master~1",
        ":master~999999999",
        "~1",
        "a~1",
        ":a:b",
        "::",
        ":master~",
        ":master~x",
        "zz",
        "é",
        "~",
    ],
)
def test_what_names_no_node_is_refused(repo, selector: str) -> None:
    with pytest.raises(UnknownNode):
        find(repo.database, selector)


@pytest.mark.parametrize("selector", ["x" * 1000, "x" * 100_000, ":" + "é" * 400])
def test_what_is_too_long_to_name_a_node_is_refused(repo, selector: str) -> None:
    with pytest.raises(BadRequest):
        find(repo.database, selector)


def test_a_branch_without_a_uuid_needs_a_single_repo(repo) -> None:
    assert find(repo.database, ":master") == repo.root
    repo.database.transact(lambda tx, _: repos.create_repo(tx))
    with pytest.raises(UnknownNode, match="exactly one repo"):
        find(repo.database, ":master")


def test_a_tag_finds_its_node_and_a_branch_of_the_same_repo(repo) -> None:
    repo.commit(repo.root)
    repo.database.transact(lambda tx, directory: nodes.tag(tx, directory.node(tx, repo.root).record, name="v1.0"))
    child = repo.child(repo.root)
    assert repo.node("v1.0").locked
    assert find(repo.database, "v1.0:master") == child
    assert find(repo.database, "v1") == "v1.0"


def test_changes_by_another_process_are_seen_at_once(repo, other: Database) -> None:
    def seen(name: str) -> bool:
        try:
            with other.view(repo.root, name):
                return True
        except UnknownInstance:
            return False

    assert seen("kv")
    assert not seen("second")
    repo.make("second")
    assert seen("second")
    repo.database.transact(
        lambda tx, directory: instances.rename_instance(tx, directory.instance(tx, repo.number, "second"), "renamed")
    )
    assert (seen("second"), seen("renamed")) == (False, True)
    repo.put(repo.root, b"key", b"old", name="renamed")
    repo.database.transact(
        lambda tx, directory: instances.delete_instance(tx, directory.instance(tx, repo.number, "renamed"))
    )
    assert not seen("renamed")
    repo.make("renamed")
    with other.view(repo.root, "renamed") as view:
        assert view.get(b"\x10", b"key") is None, "a new instance of a deleted one's name begins empty"
    other.edit(repo.root, "kv", lambda edit: edit.put(b"\x10", b"key", b"value"))
    repo.commit(repo.root)
    with pytest.raises(LockedNode):
        other.edit(repo.root, "kv", lambda edit: edit.put(b"\x10", b"key", b"value"))
    child = repo.child(repo.root)
    with other.view(child, "kv") as view:
        value = view.get(b"\x10", b"key")
        assert value is not None
        assert bytes(value.payload) == b"value"
    repo.database.transact(lambda tx, directory: repos.delete_repo(tx, directory.repo(tx, repo.number), ""))
    for uuid in (repo.root, child, child[:8], f"{child}:master"):
        with pytest.raises(UnknownNode):
            find(other, uuid)


def test_a_change_that_failed_is_remembered_nowhere(repo) -> None:
    class Failed(Exception):
        pass

    def fail(transaction, directory):
        node = directory.node(transaction, repo.root).record
        nodes.commit(transaction, node)
        fresh = directory.version(transaction, node.version).record
        child = nodes.new_version(transaction, fresh)
        instances.create_instance(transaction, child, name="failed", typename="t", settings={})
        for uuid in (child.uuid, repo.root[:5], f"{repo.root}:master"):
            directory.node(transaction, uuid)
        assert directory.instance(transaction, repo.number, "failed").name == "failed"
        raise Failed

    for _ in range(2):
        with pytest.raises(Failed):
            repo.database.transact(fail)
        assert not repo.node(repo.root).locked
        assert not repo.node(repo.root[:5]).locked
        assert find(repo.database, f"{repo.root}:master") == repo.root
        with repo.database.read() as (snapshot, directory), pytest.raises(UnknownInstance):
            directory.instance(snapshot, repo.number, "failed")
        repo.put(repo.root, b"key", b"still open")


def test_readers_never_see_half_a_change_while_others_rename(repo, other: Database) -> None:
    """Each rename moves an instance between two names: at any moment exactly one of them is there."""
    stop, wrong = threading.Event(), []

    def read(database: Database) -> None:
        while not stop.is_set():
            with database.read() as (snapshot, directory):
                there = []
                for name in ("kv", "moved"):
                    with contextlib.suppress(UnknownInstance):
                        there.append(directory.instance(snapshot, repo.number, name).name)
                if len(there) != 1 or there[0] not in ("kv", "moved"):
                    wrong.append(there)

    readers = [threading.Thread(target=read, args=(database,)) for database in (repo.database, other, other)]
    for reader in readers:
        reader.start()
    names = ["kv", "moved"]
    for i in range(300):
        database = (repo.database, other)[i % 2]
        old, new = names
        database.transact(
            lambda tx, directory, old=old, new=new: instances.rename_instance(
                tx, directory.instance(tx, repo.number, old), new
            )
        )
        names.reverse()
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []


@pytest.mark.parametrize("name", ["", "a/b", "a?b", "a#b", "a%b", "a\\b", "a\nb", "a\0b", "x" * 201, "é" * 101])
def test_a_name_that_cannot_stand_in_a_path_is_refused(repo, name: str) -> None:
    with pytest.raises(BadRequest):
        repo.make(name)
