"""The version graph in its list: laid out beside the window, and only what is waited for is shown."""

import threading

import pytest

pytest.importorskip("qtpy.QtWidgets", reason="Qt, or a library of it, is not installed", exc_type=ImportError)

from tests.dvidclient.gui.conftest import WAIT

from dvidclient.gui.background import Background
from dvidclient.gui.catalogue import NodeEntry
from dvidclient.gui.versions_view import BRANCH, CREATED, GRAPH, NOTE, VERSION, VersionsView


def node(uuid, version, branch="master", parents=()):
    return NodeEntry(uuid, version, branch, f"note of {uuid}", "", "", True, parents, ())


def chain(name, count):
    return [node(f"{name}{n}", n, parents=(f"{name}{n - 1}",) if n else ()) for n in range(count)]


class HeldNode:
    """A version whose parents are told only once its event is set, as if its graph took that long; in which threads it was asked."""

    def __init__(self, shown, event):
        self._shown = shown
        self._event = event
        self.asked_in = set()

    def __getattr__(self, name):
        return getattr(self._shown, name)

    @property
    def parents(self):
        self.asked_in.add(threading.current_thread())
        assert self._event.wait(60)
        return self._shown.parents


@pytest.fixture
def held():
    """Until it is set, graphs with a HeldNode are not laid out."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def background(qapp):
    return Background()


@pytest.fixture
def view(qtbot, background):
    view = VersionsView(background)
    qtbot.addWidget(view)
    view.resize(700, 500)
    view.show()
    return view


def shown(qtbot, background):
    qtbot.waitUntil(lambda: not background.busy("graph"), timeout=WAIT)


def test_a_graph_is_laid_out_in_another_thread_while_the_window_lives_on(view, background, held, qtbot):
    slow = HeldNode(node("a0", 0), held)
    view.show_nodes([slow])
    assert background.busy("graph")
    qtbot.waitUntil(lambda: bool(slow.asked_in), timeout=WAIT)
    assert threading.current_thread() not in slow.asked_in
    assert view.shown_uuids == ()
    held.set()
    shown(qtbot, background)
    assert view.shown_uuids == ("a0",)
    assert view.selected_node is slow


def test_a_graph_that_nobody_waits_for_any_more_is_not_shown(view, background, held, qtbot):
    slow = HeldNode(node("a0", 0), held)
    view.show_nodes([slow])
    qtbot.waitUntil(lambda: bool(slow.asked_in), timeout=WAIT)
    view.show_nodes(chain("b", 3))
    shown(qtbot, background)
    assert view.shown_uuids == ("b2", "b1", "b0")
    held.set()
    background.ask("last", lambda: None, lambda _: None, pytest.fail)
    qtbot.waitUntil(lambda: not background.busy("last"), timeout=WAIT)
    qtbot.wait(50)
    assert view.shown_uuids == ("b2", "b1", "b0")


def test_going_back_to_what_is_shown_drops_the_graph_that_was_asked_for(view, background, held, qtbot):
    first = chain("a", 2)
    view.show_nodes(first)
    shown(qtbot, background)
    view.show_nodes([*first, HeldNode(node("a2", 2, parents=("a1",)), held)])
    assert background.busy("graph")
    view.show_nodes(first)
    assert not background.busy("graph")
    assert view.shown_uuids == ("a1", "a0")
    view.show_nodes([HeldNode(node("b0", 0), held)])
    view.show_nodes([])
    assert not background.busy("graph")
    assert view.shown_uuids == ()


def test_versions_of_another_repo_are_gone_at_once_and_those_of_the_same_stay_until_the_new_are_there(
    view, background, held, qtbot
):
    view.show_nodes(chain("a", 2))
    shown(qtbot, background)
    view.select("a0")
    view.show_nodes([*chain("a", 2), HeldNode(node("a2", 2, parents=("a1",)), held)])
    assert view.shown_uuids == ("a1", "a0")
    assert view.selected_node.uuid == "a0"
    held.set()
    shown(qtbot, background)
    assert view.shown_uuids == ("a2", "a1", "a0")
    assert view.selected_node.uuid == "a0"
    told = []
    view.node_selected.connect(told.append)
    view.show_nodes(chain("b", 2))
    assert view.shown_uuids == ()
    assert told == [None]
    shown(qtbot, background)
    assert [node.uuid for node in told[1:]] == ["b1"]


def test_a_version_can_be_selected_before_its_graph_is_there(view, background, held, qtbot):
    view.show_nodes([*chain("a", 3), HeldNode(node("a3", 3, parents=("a2",)), held)])
    view.select("a1")
    assert view.selected_node is None
    held.set()
    shown(qtbot, background)
    assert view.selected_node.uuid == "a1"


def test_a_graph_that_cannot_be_laid_out_is_said(view, background, qtbot):
    with qtbot.waitSignal(view.failed, timeout=WAIT) as failed:
        view.show_nodes([node("a0", "first"), node("a1", 2)])
    assert failed.args[0].startswith("the version graph cannot be drawn: TypeError")


def test_a_view_that_nobody_holds_is_gone_at_once_also_while_it_waits(qapp, background, held):
    view = VersionsView(background)
    view.show_nodes([HeldNode(node("a0", 0), held)])
    gone = []
    view.destroyed.connect(lambda: gone.append(True))
    del view
    assert gone


def test_thousands_of_versions_are_drawn(view, background, qtbot, screenshot):
    branches = (node(f"b{n}", 2000 + n, f"branch {n}", (f"u{n}",)) for n in range(1000))
    view.show_nodes([*chain("u", 2000), *branches])
    view.select("u1")
    shown(qtbot, background)
    screenshot(view, "thousands")
    assert view.selected_node.uuid == "u1"
    assert view.columnWidth(GRAPH) < 400


def test_columns_are_as_wide_as_their_texts_but_one_long_branch_pushes_nothing_out(view, background, qtbot):
    def needed(column):
        return max(view.sizeHintForIndex(view.versions.index(row, column)).width() for row in range(3))

    def node_made(uuid, version, branch):
        return NodeEntry(uuid, version, branch, "", "2026-01-31T12:00:00Z", "", True, (), ())

    nodes = [node_made("abcdef01" * 4, 0, "master"), node_made("dddddddd" * 4, 1, "a branch of some length")]
    view.show_nodes([*nodes, node_made("00000000" * 4, 2, "iiiiiiiiiiiiiiiiiiiiii")])
    shown(qtbot, background)
    for column in (VERSION, BRANCH, CREATED):
        assert needed(column) <= view.columnWidth(column) < needed(column) + 40
    view.show_nodes([*nodes, node_made("00000000" * 4, 2, "endless-" * 50)])
    shown(qtbot, background)
    assert view.columnWidth(NOTE) > 100
    assert view.header().length() <= view.viewport().width()


def test_versions_that_are_searched_for_are_brought_to_view(view, background, qtbot):
    def is_seen(uuid):
        place = view.visualRect(view.versions.index(view.versions.rows.row_of[uuid], VERSION))
        return view.viewport().rect().contains(place)

    view.show_nodes(chain("a", 500))
    shown(qtbot, background)
    assert not is_seen("a100")
    view.highlight({"a100", "a50"})
    assert is_seen("a100")
    assert view.selected_node.uuid == "a499"
    place = view.verticalScrollBar().value()
    view.highlight({"a101", "a3"})
    assert view.verticalScrollBar().value() == place, "what is seen stays where it is"
    view.highlight({"b7"})
    view.show_nodes(chain("b", 500))
    shown(qtbot, background)
    assert is_seen("b7")


def test_notes_have_the_room_that_is_left_and_are_never_squeezed_to_nothing(view, background, qtbot):
    view.show_nodes(chain("a", 3))
    shown(qtbot, background)
    for wide in (700, 900, 500):
        view.resize(wide, 300)
        assert view.header().length() == view.viewport().width()
    view.setColumnWidth(BRANCH, view.columnWidth(BRANCH) + 30)
    assert view.header().length() == view.viewport().width()
    view.resize(200, 300)
    assert view.columnWidth(NOTE) >= 100
    assert view.horizontalScrollBar().isVisible()
