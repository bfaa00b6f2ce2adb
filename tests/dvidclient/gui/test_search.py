"""What is found of repos."""

import pytest

from dvidclient.gui.catalogue import InstanceEntry, NodeEntry, RepoEntry
from dvidclient.gui.search import search


def node(uuid, branch="master", note="", locked=False):
    return NodeEntry(uuid, 1, branch, note, "", "", locked, (), ())


MEDULLA = RepoEntry(
    "aa00",
    "medulla",
    "seven columns",
    "",
    "",
    (node("aa00", note="as delivered", locked=True), node("bb11", "proofreading", "left half")),
    (InstanceEntry("grayscale", "uint8blk", "d1", None), InstanceEntry("bodies", "labelmap", "d2", None)),
)
SCRATCH = RepoEntry("cc22", "scratch", "", "", "", (node("cc22"),), (InstanceEntry("notes", "keyvalue", "d3", None),))
REPOS = (MEDULLA, SCRATCH)


@pytest.mark.parametrize("text", ["medulla", "COLUMNS", "seven medulla", "aa0"])
def test_repos_are_found_by_name_description_and_root(text):
    found = search(REPOS, text)
    assert list(found) == ["aa00"]
    assert found["aa00"].itself


@pytest.mark.parametrize("text", ["left half", "half LEFT", "proofreading", "bb11"])
def test_versions_are_found_by_note_branch_and_uuid(text):
    found = search(REPOS, text)
    assert found.keys() == {"aa00"}
    assert found["aa00"].node_uuids == {"bb11"}
    assert not found["aa00"].itself


@pytest.mark.parametrize("text", ["bodies", "labelmap", "d2"])
def test_instances_are_found_by_name_and_type(text):
    assert search(REPOS, text)["aa00"].instance_names == {"bodies"}


def test_words_that_are_not_all_in_one_thing_find_nothing():
    assert search(REPOS, "bodies grayscale") == {}
