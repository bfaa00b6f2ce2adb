"""Nodes: what can be built upon which, and what they may be called."""

from __future__ import annotations

import pytest

from dvid.errors import BadRequest, LockedNode
from dvid.versions import nodes, repos


def on_node(repo, selector: str, operation):
    """Run an operation on a transaction and a node."""
    return repo.database.transact(lambda tx, directory: operation(tx, directory.node(tx, selector).record))


def test_an_open_node_cannot_be_built_upon(repo) -> None:
    repo.commit(repo.root)
    opened, other = repo.child(repo.root), repo.branch(repo.root, "other")
    repo.commit(other)
    for build in (
        nodes.new_version,
        lambda tx, node: nodes.branch(tx, node, name="b"),
        lambda tx, node: nodes.tag(tx, node, name="t"),
    ):
        with pytest.raises(BadRequest, match="commit it"):
            on_node(repo, opened, build)
    with pytest.raises(BadRequest, match="commit it"):
        repo.merge(other, opened)


def test_a_branch_goes_on_in_one_child_only(repo) -> None:
    repo.commit(repo.root)
    repo.branch(repo.root, "side")
    repo.child(repo.root)
    with pytest.raises(BadRequest, match="goes on"):
        repo.child(repo.root)
    assert repo.node(repo.branch(repo.root, "third")).branch == "third"
    with pytest.raises(BadRequest, match="already"):
        repo.branch(repo.root, "side")


@pytest.mark.parametrize("name", ["", "a:b", "a~1", "a/b", "a?b", "a#b", "a%b", "a\nb", "x" * 201, "é" * 101])
def test_what_cannot_stand_in_a_path_names_neither_branch_nor_tag(repo, name: str) -> None:
    repo.commit(repo.root)
    for build in (nodes.branch, nodes.tag):
        with pytest.raises(BadRequest):
            on_node(repo, repo.root, lambda tx, node, build=build: build(tx, node, name=name))


def test_the_name_of_the_first_branch_is_taken(repo) -> None:
    repo.commit(repo.root)
    with pytest.raises(BadRequest, match="already"):
        repo.branch(repo.root, "master")


@pytest.mark.parametrize("uuid", ["", "abc", "AB" * 16, "ab" * 15 + "zz", "ab" * 17])
def test_a_uuid_is_32_hexadecimal_digits(repo, uuid: str) -> None:
    with pytest.raises(BadRequest, match="not a UUID"):
        repo.database.transact(lambda tx, _: repos.create_repo(tx, root=uuid))


def test_a_uuid_or_tag_is_given_once_in_the_store(repo) -> None:
    repo.commit(repo.root)
    on_node(repo, repo.root, lambda tx, node: nodes.tag(tx, node, name="v1"))
    for build, message in (
        (lambda tx, node: nodes.tag(tx, node, name="v1"), "has a branch named 'tag-v1'"),
        (lambda tx, node: nodes.tag(tx, node, name=repo.root), "in use"),
        (lambda tx, node: nodes.new_version(tx, node, uuid=repo.root), "in use"),
    ):
        with pytest.raises(BadRequest, match=message):
            on_node(repo, repo.root, build)
    with pytest.raises(BadRequest, match="in use"):
        repo.database.transact(lambda tx, _: repos.create_repo(tx, root=repo.root))


def test_a_merge_needs_different_committed_nodes_of_one_repo(repo, make_repo) -> None:
    stranger = make_repo().root
    for uuid in (repo.root, stranger):
        repo.commit(uuid)
    for parents in ((), (repo.root,), (repo.root, repo.root)):
        with pytest.raises(BadRequest, match="at least two"):
            repo.merge(*parents)
    with pytest.raises(BadRequest, match="one repo"):
        repo.merge(repo.root, stranger)


def test_note_and_log_of_a_committed_node_change_only_for_who_lifts_locks(repo) -> None:
    on_node(repo, repo.root, lambda tx, node: nodes.set_note(tx, node, "open"))
    repo.commit(repo.root)
    assert repo.node(repo.root).note == "open", "a commit without a note keeps the one there is"
    for change in (
        lambda tx, node: nodes.set_note(tx, node, "late"),
        lambda tx, node: nodes.add_to_log(tx, node, ["late"]),
        nodes.commit,
    ):
        with pytest.raises(LockedNode):
            on_node(repo, repo.root, change)
    on_node(repo, repo.root, lambda tx, node: nodes.set_note(tx, node, "late", unlocked=True))
    assert (repo.node(repo.root).note, repo.node(repo.root).locked) == ("late", True)


def test_the_nodes_of_a_repo_are_listed_once_each_from_the_root_down_also_behind_a_merge(repo) -> None:
    repo.commit(repo.root)
    left, right = repo.child(repo.root), repo.branch(repo.root, "right")
    for uuid in (left, right):
        repo.commit(uuid)
    merged = repo.merge(left, right)
    repo.commit(merged)
    last = repo.child(merged)
    with repo.database.read() as (snapshot, directory):
        listed = [node.uuid for node in nodes.list_nodes(snapshot, directory.repo(snapshot, repo.number))]
        assert listed[0] == repo.root
        assert sorted(listed) == sorted([repo.root, left, right, merged, last])
        root, tips = repo.node(repo.root).version, [repo.node(uuid).version for uuid in (left, right)]
        assert nodes.children(snapshot, root) == tips
        assert [node.uuid for node in nodes.branch_versions(snapshot, repo.number, "right")] == [right, repo.root]
        assert nodes.branch_versions(snapshot, repo.number, "no such branch") == []
