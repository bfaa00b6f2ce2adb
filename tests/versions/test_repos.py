"""Repos: what makes one, and what is left of a deleted one."""

from __future__ import annotations

import pytest

from dvid.background import sweep
from dvid.errors import Forbidden, UnknownNode
from dvid.versions import instances, layout, nodes, repos


def contents(database) -> dict[bytes, bytes]:
    """Everything in the store but the counters, which only grow, and the stamp of the metadata."""
    with database.store.snapshot() as snapshot:
        entries = {entry.key: bytes(entry.value) for entry in snapshot.scan(b"\0", b"\xff" * 100)}
    return {key: value for key, value in entries.items() if key != layout.STAMP and not key.startswith(layout.COUNTER)}


def test_a_repo_begins_with_one_open_node_and_no_instances(database) -> None:
    made = database.transact(lambda tx, _: repos.create_repo(tx, alias="brain", root="ab" * 16))
    with database.read() as (snapshot, _):
        assert repos.list_repos(snapshot) == [made]
        (root,) = nodes.list_nodes(snapshot, made)
        assert (root.uuid, root.version, root.locked, root.parents) == ("ab" * 16, made.root_version, False, ())
        assert instances.list_instances(snapshot, made.number) == []


def test_of_what_is_said_of_a_repo_only_what_is_given_changes(database) -> None:
    made = database.transact(lambda tx, _: repos.create_repo(tx, alias="brain", description="of a fly"))

    def change(**given: str) -> tuple[str, str]:
        database.transact(lambda tx, directory: repos.change_repo(tx, directory.repo(tx, made.number), **given))
        with database.read() as (snapshot, _):
            (found,) = repos.list_repos(snapshot)
        return found.alias, found.description

    assert change(alias="head") == ("head", "of a fly")
    assert change(description="") == ("head", "")
    assert change() == ("head", "")


def test_a_deleted_repo_leaves_nothing_and_touches_no_other(repo) -> None:
    repo.put(repo.root, b"key", b"stays")
    before = contents(repo.database)
    made = repo.database.transact(lambda tx, _: repos.create_repo(tx, alias="goes"))

    def fill(transaction, directory) -> str:
        root = directory.version(transaction, made.root_version).record
        instances.create_instance(transaction, root, name="kv", typename="keyvalue", settings={})
        repos.log_repo(transaction, made, ["of the repo"])
        nodes.commit(transaction, root, log=["of the node"])
        root = directory.version(transaction, made.root_version).record
        tips = [nodes.new_version(transaction, root), nodes.branch(transaction, root, name="side")]
        nodes.tag(transaction, root, name="v1")
        for tip in tips:
            nodes.commit(transaction, tip)
        tips = [directory.version(transaction, tip.version).record for tip in tips]
        return nodes.merge(transaction, directory.lineages, tips).uuid

    leaf = repo.database.transact(fill)
    repo.put(leaf, b"key", b"goes")
    repo.database.edit(leaf, "kv", lambda edit: edit.log("put", {"Key": "key"}))
    repo.database.transact(lambda tx, directory: repos.delete_repo(tx, directory.repo(tx, made.number), ""))
    with pytest.raises(UnknownNode):
        repo.node("v1")
    for _ in range(2):
        sweep(repo.database)
    assert contents(repo.database) == before


def test_a_passcode_guards_a_repo_against_deletion(database) -> None:
    made = database.transact(lambda tx, _: repos.create_repo(tx, passcode="open sesame"))
    before = contents(database)
    for wrong in ("", "open", made.passcode_hash):
        with pytest.raises(Forbidden, match="passcode"):
            database.transact(lambda tx, _, wrong=wrong: repos.delete_repo(tx, made, wrong))
        assert contents(database) == before
    assert b"sesame" not in b"".join(before.values())
    database.transact(lambda tx, _: repos.delete_repo(tx, made, "open sesame"))
    assert contents(database) == {}
