"""Data instances: their names, what they are synced with, and what is left of deleted ones."""

from __future__ import annotations

import pytest

from dvid.errors import BadRequest, LockedNode, UnknownInstance
from dvid.versions import instances
from dvid.versions.records import InstanceRecord


def on_instance(repo, name: str, operation):
    """Run an operation on a transaction and an instance."""
    return repo.database.transact(lambda tx, directory: operation(tx, directory.instance(tx, repo.number, name)))


def find(repo, name: str) -> InstanceRecord:
    with repo.database.read() as (snapshot, directory):
        return directory.instance(snapshot, repo.number, name)


def names(repo) -> list[str]:
    with repo.database.read() as (snapshot, _):
        return [instance.name for instance in instances.list_instances(snapshot, repo.number)]


def test_instances_are_listed_by_name(repo) -> None:
    for name in ("zebra", "ant", "möwe"):
        repo.make(name)
    assert names(repo) == ["ant", "kv", "möwe", "zebra"]


def test_a_name_is_given_once_in_a_repo_and_to_others_again(repo, make_repo) -> None:
    repo.make("second")
    with pytest.raises(BadRequest, match="already"):
        repo.make("kv")
    with pytest.raises(BadRequest, match="already"):
        on_instance(repo, "second", lambda tx, instance: instances.rename_instance(tx, instance, "kv"))
    assert names(make_repo()) == ["kv"]


def test_instances_are_made_on_open_nodes(repo) -> None:
    repo.commit(repo.root)
    with pytest.raises(LockedNode):
        repo.make("late")


def test_syncs_follow_an_instance_to_its_new_name_and_forget_a_deleted_one(repo) -> None:
    for name in ("labels", "points", "other"):
        repo.make(name)
    sync = instances.sync_instance
    on_instance(repo, "points", lambda tx, instance: sync(tx, instance, ["labels", "other", "labels"], replace=False))
    assert find(repo, "points").syncs == ("labels", "other")
    on_instance(repo, "labels", lambda tx, instance: instances.rename_instance(tx, instance, "bodies"))
    assert find(repo, "points").syncs == ("bodies", "other")
    on_instance(repo, "bodies", instances.delete_instance)
    assert find(repo, "points").syncs == ("other",)
    on_instance(repo, "points", lambda tx, instance: sync(tx, instance, ["kv"], replace=True))
    assert find(repo, "points").syncs == ("kv",)
    with pytest.raises(UnknownInstance, match="'bodies'"):
        on_instance(repo, "points", lambda tx, instance: sync(tx, instance, ["bodies"], replace=False))
    assert find(repo, "points").syncs == ("kv",)


def test_the_data_of_a_deleted_instance_is_removed_in_pieces_and_no_other_data(repo) -> None:
    second = repo.make("second")
    for i in range(25):
        repo.put(repo.root, b"%d" % i, b"goes", name="second")
        repo.put(repo.root, b"%d" % i, b"stays")
    assert repo.database.transact(lambda tx, _: instances.sweep(tx)) == 0, "nothing is deleted yet"
    on_instance(repo, "second", instances.delete_instance)
    with repo.database.read() as (snapshot, _):
        assert list(instances.doomed(snapshot)) == [(second.number, "")]
    removed = [repo.database.transact(lambda tx, _: instances.sweep(tx, 10)) for _ in range(5)]
    assert removed == [10, 10, 6, 0, 0], "25 entries, and the mark of the deleted instance"
    with repo.database.read() as (snapshot, _):
        assert list(instances.doomed(snapshot)) == []
    assert all(repo.get(repo.root, b"%d" % i) == b"stays" for i in range(25))
