"""What a server tells of its contents, as values; and what servers leave out."""

import json
import re

import pytest

from dvidclient.errors import ClientError
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


def repo_document(**changed):
    node = {"UUID": "a", "VersionID": 1, "Locked": False, "Parents": [], "Children": None}
    return {"Root": "a", "Alias": "medulla", "DAG": {"Nodes": {"a": node}}, "DataInstances": {}} | changed


def nodes(**fields):
    return {"Nodes": {"a": {"VersionID": 1} | fields}}


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        (None, "the repository: expected a JSON object, got nothing"),
        ([1], r"the repository: expected a JSON object, got \[1\]"),
        (repo_document(Root=5), "Root: expected 'a', by which it is listed, got 5"),
        (repo_document(Root="b"), "Root: expected 'a', by which it is listed, got 'b'"),
        (repo_document(DAG=[]), r"DAG: expected a JSON object, got \[\]"),
        (repo_document(DAG={}), "DAG.Nodes: expected a JSON object, got nothing"),
        (repo_document(DAG={"Nodes": {"a": 7}}), "DAG.Nodes.a: expected a JSON object, got 7"),
        (
            repo_document(DAG=nodes(VersionID="x" * 999)),
            "DAG.Nodes.a.VersionID: expected a whole number, got 'xx.{,40}'$",
        ),
        (repo_document(DAG=nodes(VersionID=True)), "DAG.Nodes.a.VersionID: expected a whole number, got True"),
        (repo_document(DAG=nodes(Parents=5)), "DAG.Nodes.a.Parents: expected a list of whole numbers, got 5"),
        (
            repo_document(DAG=nodes(Children=[[]])),
            r"DAG.Nodes.a.Children: expected a list of whole numbers, got \[\[\]\]",
        ),
        (repo_document(DataInstances=[]), r"DataInstances: expected a JSON object, got \[\]"),
        (repo_document(DataInstances={"gray": "x"}), "DataInstances.gray: expected a JSON object, got 'x'"),
    ],
)
def test_a_repo_that_is_described_wrongly_comes_with_what_is_wrong_beside_the_others(answering, document, fault):
    repos = {"a": document, "b": repo_document(Root="b")}
    url = answering(lambda path: json.dumps(repos if "repos" in path else {}).encode())
    whole, broken = listing(url).repos
    assert (whole.uuid, whole.fault, len(whole.nodes)) == ("b", "", 1)
    assert re.search(fault, broken.fault)
    assert (broken.uuid, broken.nodes, broken.instances) == ("a", (), ())
    assert broken.alias == ("medulla" if isinstance(document, dict) else "")


def test_what_a_description_of_a_repo_merely_leaves_out_is_no_fault(answering):
    bare = {"Root": "a", "DAG": {"Nodes": {"a": {"VersionID": 1}}}}
    url = answering(lambda path: json.dumps({"a": bare} if "repos" in path else {}).encode())
    (repo,) = listing(url).repos
    assert (repo.fault, repo.title, repo.instances) == ("", "a", ())
    assert repo.nodes[0].branch == "master"


def test_an_answer_that_lists_no_repos_at_all_is_an_error_that_names_the_server(answering):
    url = answering(lambda path: b"[]" if "repos" in path else b"{}")
    with pytest.raises(ClientError, match=url):
        listing(url)
