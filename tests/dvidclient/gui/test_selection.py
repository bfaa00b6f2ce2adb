"""What was chosen, and which names a new volume can have."""

import pytest

from dvidclient.gui.catalogue import InstanceEntry, NodeEntry, RepoEntry
from dvidclient.gui.selection import Selection, selected, what_is_missing, wrong_name

COMMITTED = NodeEntry("aa00", 1, "master", "as delivered", "", "", True, (), ("bb11",))
OPEN = NodeEntry("bb11", 2, "proofreading", "", "", "", False, ("aa00",), ())
BODIES = InstanceEntry("bodies", "labelmap", "d2", None)
MEDULLA = RepoEntry("aa00", "medulla", "", "", "", (COMMITTED, OPEN), (BODIES,))


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("", "type a name"),
        ("  ", "type a name"),
        ("two words", "no ' '"),
        ("a/b", "no '/'"),
        ("ä", "no 'ä'"),
        ("-x", "begins with a letter or a digit"),
        ("x" * 201, "at most 200"),
        ("bodies", "already has 'bodies'"),
        (" bodies ", "already has 'bodies'"),
    ],
)
def test_a_name_that_a_new_volume_cannot_have_is_refused_in_words(name, complaint):
    assert complaint in wrong_name(MEDULLA, name)


@pytest.mark.parametrize("name", ["x", "bodies2", "seg_v1.2-final", "2024"])
def test_other_names_are_good(name):
    assert wrong_name(MEDULLA, name) == ""


def test_a_committed_version_takes_no_new_volume_and_an_open_one_does():
    assert "committed" in what_is_missing("specify_new", MEDULLA, COMMITTED, "fresh")
    assert what_is_missing("specify_new", MEDULLA, OPEN, "fresh") == ""
    assert what_is_missing("select_existing", MEDULLA, COMMITTED, "bodies") == ""
    assert what_is_missing("select_existing", MEDULLA, COMMITTED, None)
    assert what_is_missing("select_existing", None, None, None)


def test_of_a_repo_that_is_described_wrongly_nothing_can_be_chosen():
    broken = RepoEntry("cc22", "lobula", "", "", "", (), (), "DAG: expected a JSON object, got 5")
    for mode in ("select_existing", "specify_new"):
        assert "cannot be used: DAG: expected" in what_is_missing(mode, broken, None, "fresh")


def test_a_selection_holds_what_is_selected_so_far():
    assert selected("select_existing", "http://h", None, None, None) is None
    assert selected("select_existing", "http://h", MEDULLA, None, None) == Selection("http://h", "aa00")
    whole = selected("select_existing", "http://h", MEDULLA, OPEN, "bodies")
    assert whole == Selection("http://h", "aa00", "bb11", "bodies", "labelmap")
    new = selected("specify_new", "http://h", MEDULLA, OPEN, " fresh ")
    assert new == Selection("http://h", "aa00", "bb11", "fresh", None)
