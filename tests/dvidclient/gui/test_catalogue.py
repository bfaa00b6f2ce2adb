"""What a server tells of its contents, as values; and what servers leave out."""

import json

import pytest

from dvidclient.errors import ClientError, Unsupported
from dvidclient.gui.catalogue import (
    extents_text,
    instance_entry,
    listing,
    pixel_type_text,
    voxel_size_text,
    when,
)


@pytest.fixture
def repo(contents):
    return next(repo for repo in listing(contents.url).repos if repo.uuid == contents.uuid)


def test_a_repo_is_listed_with_its_versions_and_how_they_hang_together(contents, repo):
    assert (repo.alias, repo.description) == (contents.alias, "a crop of the medulla")
    assert repo.node(contents.root).children == (contents.second, contents.side, contents.experiment)
    assert set(repo.node(contents.merged).parents) == {contents.second, contents.side}
    assert repo.node(contents.side).branch == "proofreading"
    assert repo.node(contents.root).branch == "master"
    assert repo.node("nobody") is None
    assert [node.uuid for node in repo.nodes if not node.locked] == [contents.experiment, contents.newest]
    assert [len(when(node.created)) for node in repo.nodes] == [16] * 6


def test_why_a_version_is_closed_is_said_of_committed_ones_alone(contents, repo):
    assert repo.node(contents.root).why_closed == "committed: nothing can be added here; make a new version of it"
    assert repo.node(contents.newest).why_closed == ""


def test_volumes_are_described(repo):
    assert [instance.name for instance in repo.instances] == ["bodies", "empty", "grayscale", "remarks"]
    gray = repo.instance("grayscale").volume
    assert gray.size_xyz == (64, 96, 32)
    assert (gray.dtype, gray.channels, gray.block_xyz, gray.axes) == ("uint8", 1, (32, 32, 32), "zyx")
    assert voxel_size_text(gray) == "8 × 8 × 16 nm"
    assert extents_text(gray) == "x 0 to 63, y 0 to 95, z 0 to 31"
    assert pixel_type_text(gray) == "uint8"
    bodies = repo.instance("bodies").volume
    assert (bodies.is_labels, bodies.dtype, bodies.size_xyz) == (True, "uint64", (128, 128, 128))
    assert repo.instance("empty").volume.size_xyz is None
    assert repo.instance("remarks").volume is None


def described(typename, **extended):
    return instance_entry("n", {"Base": {"TypeName": typename, "Name": "n"}, "Extended": extended})


def test_what_a_server_leaves_out_is_left_out():
    volume = described("uint8blk").volume
    assert (volume.dtype, volume.size_xyz, volume.voxel_size_xyz, volume.block_xyz) == ("uint8", None, None, None)
    assert (voxel_size_text(volume), extents_text(volume)) == ("", "")
    assert instance_entry("n", {}).volume is None
    assert instance_entry("n", {}).name == "n"


def test_the_types_of_old_servers_are_volumes_too():
    assert described("grayscale8").volume.dtype == "uint8"
    assert described("rgba8").volume.channels == 4
    assert (described("labels32").volume.dtype, described("labels64").volume.is_labels) == ("uint32", True)


@pytest.mark.parametrize(
    "extended",
    [
        {"MinPoint": [5, 0, 0], "MaxPoint": [4, 9, 9]},
        {"MinPoint": "0,0,0", "MaxPoint": [1, 1, 1]},
        {"MinPoint": [0, 0, 0], "MaxPoint": [2**70, 1, 1]},
        {"MinPoint": None, "MaxPoint": [1, 1, 1]},
        {"Values": [{"DataType": "object"}]},
        {"Values": "uint8"},
        {"VoxelSize": [0, 1, 1]},
        {"VoxelSize": [1, float("nan"), 1]},
        {"BlockSize": [1, 2]},
        {"MaxDownresLevel": "many"},
    ],
)
def test_nonsense_of_a_server_is_left_out(extended):
    volume = described("uint8blk", **extended).volume
    assert (volume.dtype, volume.size_xyz, volume.voxel_size_xyz, volume.scales) == ("uint8", None, None, 0)


def test_units_that_differ_are_told_for_each_axis():
    volume = described("uint8blk", VoxelSize=[4, 4, 0.5], VoxelUnits=["nanometers", "nanometers", "micrometers"]).volume
    assert voxel_size_text(volume) == "4 nm × 4 nm × 0.5 µm"


def test_a_server_that_is_none_is_an_error_that_names_it():
    with pytest.raises(ClientError, match=r"127\.0\.0\.1:1"):
        listing("127.0.0.1:1")


@pytest.mark.parametrize(
    "repos",
    [
        {"a": {"Root": 5, "DAG": []}},
        {"a": {"Root": "a", "DAG": {"Root": "a", "Nodes": {"a": {"UUID": "a", "VersionID": "first"}}}}},
    ],
)
def test_a_server_that_tells_something_else_is_named(answering, repos):
    url = answering(lambda path: json.dumps(repos if "repos" in path else {}).encode())
    with pytest.raises(Unsupported, match=f"what {url} tells of its repositories is not what DVID servers tell"):
        listing(url)
