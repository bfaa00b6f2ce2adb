"""Repos, nodes and instances in a Python program, without a server."""

import textwrap

import numpy as np
import pytest

import dvid
from dvid import inprocess
from dvid.errors import BadRequest, LockedNode, NotFound, StoreUnusable, UnknownNode


@pytest.fixture
def library(tmp_path):
    with dvid.open(str(tmp_path / "store"), durability="relaxed") as opened:
        yield opened


def test_the_example_in_the_documentation_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = textwrap.dedent(inprocess.__doc__.partition("\n\n")[2])
    array = np.arange(64**3, dtype=np.uint8).reshape(64, 64, 64)
    exec(compile(example, "example", "exec"), {"dvid": dvid, "array": array})
    with dvid.open("my-data", read_only=True) as database:
        node = database["fly brain"]["master"]
        assert np.array_equal(node["gray"][:], array)
        assert node.locked


def test_repos_are_found_by_alias_and_by_any_beginning_of_a_uuid(library):
    one, two = library.create_repo("one", "the first"), library.create_repo("two")
    assert {repo.uuid for repo in library} == {one.uuid, two.uuid}
    assert len(library) == 2
    assert "2 repos" in repr(library)
    assert library["one"].uuid == library[one.uuid].uuid == library[one.uuid[:8]].uuid == one.uuid
    assert library["one"].description == "the first"
    assert "'two'" in repr(two)
    with pytest.raises(NotFound, match="three"):
        library["three"]
    library.create_repo("two")
    with pytest.raises(NotFound, match="2 repos"):
        library["two"]


def test_nodes_are_found_by_branch_tag_and_uuid_of_their_repo(library):
    repo, other = library.create_repo("r"), library.create_repo("other")
    root = repo["master"]
    root.commit("the beginning")
    leaf, side = root.new_version("more"), root.branch("side")
    tagged = root.tag("v1")
    assert repo["master"].uuid == leaf.uuid
    assert repo["side"].uuid == side.uuid
    assert repo[root.uuid].uuid == repo[root.uuid[:9]].uuid == root.uuid
    assert repo["v1"].uuid == tagged.uuid == "v1"
    assert tagged.locked
    assert repo.nodes[0].uuid == root.uuid
    assert {node.uuid for node in repo.nodes} == {root.uuid, leaf.uuid, side.uuid, tagged.uuid}
    assert (root.locked, leaf.locked) == (True, False)
    assert (root.note, leaf.note) == ("the beginning", "more")
    assert "(committed)" in repr(root)
    assert "(committed)" not in repr(leaf)
    with pytest.raises(UnknownNode):
        repo["nothing"]
    with pytest.raises(UnknownNode, match="another repo"):
        repo[other.uuid]


def test_instances_are_made_and_listed_at_nodes(library):
    node = library.create_repo()["master"]
    node.create("uint8blk", "gray", BlockSize="64,64,64", VoxelSize=[4, 4, 40])
    node.create("keyvalue", "notes")
    assert set(node) == {"gray", "notes"}
    assert "gray" in node
    assert "other" not in node
    assert node["gray"].info["Extended"]["BlockSize"] == [64, 64, 64]
    assert node["gray"].info["Extended"]["VoxelSize"] == [4, 4, 40]
    with pytest.raises(BadRequest, match="uint9blk"):
        node.create("uint9blk", "x")
    with pytest.raises(BadRequest, match="Blocksiz"):
        node.create("uint8blk", "x", Blocksiz="32,32,32")
    node.commit()
    with pytest.raises(LockedNode):
        node.commit()


def test_handles_follow_the_store_and_not_what_it_was(library):
    node = library.create_repo()["master"]
    first = node.create("uint8blk", "gray")
    second = node["gray"]
    first[0:8, 0:8, 0:8] = 3
    assert (second[:] == 3).all()


def test_two_programs_may_have_the_same_store_open(tmp_path):
    path = str(tmp_path / "store")
    with dvid.open(path) as one:
        node = one.create_repo("shared")["master"]
        node.create("uint8blk", "gray")[0:4, 0:4, 0:4] = 9
        assert (dvid.open(path)["shared"]["master"]["gray"][:] == 9).all()


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("Dear ...")
    with pytest.raises(StoreUnusable):
        dvid.open(str(tmp_path))
