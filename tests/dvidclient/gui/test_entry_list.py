"""Lists of which one entry is selected: repos and data instances alike."""

import pytest

pytest.importorskip("qtpy.QtWidgets", reason="Qt, or a library of it, is not installed", exc_type=ImportError)

from qtpy.QtCore import QPoint, Qt
from tests.dvidclient.gui.conftest import WAIT

from dvidclient.gui.catalogue import InstanceEntry, RepoEntry, instance_entry
from dvidclient.gui.instances_view import InstancesView
from dvidclient.gui.repos_view import RepoList


def repo(name, description=""):
    return RepoEntry(name, name, description, "", "", (), ())


def instance(name, typename="keyvalue"):
    return InstanceEntry(name, typename, "", None)


@pytest.fixture(params=[(RepoList, repo, "uuid"), (InstancesView, instance, "name")], ids=["repos", "instances"])
def listed(request, qtbot):
    """A list of the entries a, b, c; how its entries are made; and what it told to be selected, by name."""
    kind, make, key = request.param
    view = kind()
    qtbot.addWidget(view)
    view.show()
    view.show_entries([make("a"), make("b"), make("c")])
    told = []
    view.entry_selected.connect(lambda entry: told.append(entry and getattr(entry, key)))
    return view, make, told


def shown(view):
    return [view.topLevelItem(row).text(0) for row in range(3) if not view.topLevelItem(row).isHidden()]


def test_the_first_is_selected_at_first(listed):
    view, make, _ = listed
    assert view.selected_entry == make("a")
    assert view.shown_entries == [make("a"), make("b"), make("c")]


def test_each_selection_is_told_once(listed, qtbot):
    view, _, told = listed
    view.select("c")
    qtbot.keyClick(view, Qt.Key.Key_Up)
    place = view.visualItemRect(view.topLevelItem(0)).topLeft() + QPoint(10, 5)
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert told == ["c", "b", "a"]


def test_what_is_selected_stays_selected_when_the_list_is_shown_anew(listed):
    view, make, told = listed
    view.select("b")
    view.show_entries([make("0"), make("a"), make("b")])
    assert view.selected_entry == make("b")
    view.show_entries([make("a"), make("c")])
    assert view.selected_entry == make("a")
    view.show_entries([])
    assert view.selected_entry is None
    assert told == ["b", "b", "a", None]


def test_a_selection_that_is_hidden_moves_to_what_is_shown(listed):
    view, make, told = listed
    view.show_only({"b", "c"})
    assert shown(view) == ["b", "c"]
    assert view.selected_entry == make("b")
    view.show_only({"a", "b", "c"})
    assert view.selected_entry == make("b")
    view.show_only(set())
    assert (view.selected_entry, view.shown_entries) == (None, [])
    view.show_only({"c"})
    assert told == ["b", None, "c"]


def test_what_is_hidden_or_unknown_cannot_be_selected(listed):
    view, make, _ = listed
    view.show_only({"b", "c"})
    for key in ("a", "nobody", None):
        view.select("c")
        view.select(key)
        assert view.selected_entry == make("b")


def test_names_that_qt_cannot_hold_are_selected_as_all_others(listed):
    view, make, told = listed
    torn = "torn \ud800 in two"
    view.show_entries([make("a"), make(torn)])
    view.select(torn)
    assert view.selected_entry == make(torn)
    view.show_only({torn})
    assert view.shown_entries == [make(torn)]
    assert told[-1] == torn


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter])
def test_enter_is_told(listed, qtbot, key):
    view, _, _ = listed
    with qtbot.waitSignal(view.entered, timeout=WAIT):
        qtbot.keyClick(view, key)


def test_of_instances_the_first_volume_with_something_in_it_is_looked_at_first(qtbot):
    full = {"MinPoint": [0, 0, 0], "MaxPoint": [9, 9, 9]}
    entries = [
        instance("a remark"),
        instance_entry("empty", {"Base": {"TypeName": "uint8blk"}, "Extended": {}}),
        instance_entry("gray", {"Base": {"TypeName": "uint8blk"}, "Extended": full}),
        instance_entry("later", {"Base": {"TypeName": "uint8blk"}, "Extended": full}),
    ]
    view = InstancesView()
    qtbot.addWidget(view)
    view.show_entries(entries)
    assert view.selected_entry.name == "gray"
    view.show_only({"a remark", "empty"})
    assert view.selected_entry.name == "a remark"
