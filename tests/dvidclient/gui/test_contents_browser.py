"""The window as a person sees and uses it, on a real server."""

import json
import socket
import weakref

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets", reason="Qt, or a library of it, is not installed", exc_type=ImportError)

from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtGui import QColor, QHelpEvent, QPalette, QTextDocument, qGray
from qtpy.QtWidgets import QApplication, QLabel, QToolTip
from tests.dvidclient.gui.conftest import WAIT

from dvidclient.gui.address_bar import last_addresses
from dvidclient.gui.contents_browser import ContentsBrowser
from dvidclient.gui.preview import label_colours
from dvidclient.gui.repos_view import LINES
from dvidclient.gui.selection import Selection
from dvidclient.gui.versions_view import CREATED, GRAPH, NOTE, VERSION


def pixels_of(image):
    """(height, width, 4)."""
    return np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.width(), 4)


def shown_repos(browser):
    return [repo.title for repo in browser.repos.shown_entries]


def shown_instances(browser):
    return [instance.name for instance in browser.instances.shown_entries]


def cell(browser, uuid, column, role=Qt.ItemDataRole.DisplayRole):
    model = browser.versions.versions
    return model.index(model.rows.row_of[uuid], column).data(role)


# ---- what is listed -----------------------------------------------------------------------------


def test_repos_versions_and_instances_are_listed(opened, contents, other_repo, screenshot):
    browser = opened()
    assert {contents.alias, other_repo.alias} <= set(shown_repos(browser))
    assert "6 versions" in browser.repos.currentItem().toolTip(0)
    assert "a crop of the medulla" in browser.repos.currentItem().toolTip(0)
    assert browser.versions.shown_uuids[0] == contents.newest
    assert browser.versions.shown_uuids[-1] == contents.root
    assert cell(browser, contents.side, VERSION) == contents.side[:8]
    assert cell(browser, contents.side, NOTE) == "left half done"
    assert len(cell(browser, contents.side, CREATED)) == len("2026-01-31 12:00")
    row = browser.instances.currentItem()
    assert [row.text(column) for column in range(8)] == [
        "grayscale",
        "uint8blk",
        "64 × 96 × 32",
        "uint8",
        "8 × 8 × 16 nm",
        "zyx",
        "32 × 32 × 32",
        "x 0 to 63, y 0 to 95, z 0 to 31",
    ]
    assert shown_instances(browser) == ["bodies", "empty", "grayscale", "remarks"]
    assert screenshot(browser, "lists").stat().st_size > 10_000


def test_the_newest_version_of_the_main_line_is_selected_at_first(opened, contents):
    browser = opened()
    assert browser.selection == Selection(contents.url, contents.uuid, contents.newest, "grayscale", "uint8blk")


def test_details_tell_dates_relatives_note_and_log(opened, contents, settle):
    browser = opened()
    browser.versions.select(contents.root)
    settle(browser)
    text = browser.details.toPlainText()
    for part in (
        f"Version {contents.root[:8]}",
        "committed: nothing can be added here; make a new version of it",
        "as delivered",
        "delivered on a disk",
        "checked by <anna> & ben",
        contents.second[:8],
        contents.experiment[:8],
        "x 0 to 63, y 0 to 95, z 0 to 31",
        "6, 2 of them open",
    ):
        assert part in text
    assert browser.versions.selected_node.created[:16].replace("T", " ") in text


def test_a_link_in_the_details_leads_to_the_version(opened, contents, settle):
    browser = opened()
    browser.versions.select(contents.merged)
    settle(browser)
    links = [
        fragment.charFormat().anchorHref()
        for block in _blocks(browser.details.document())
        for fragment in _fragments(block)
        if fragment.charFormat().isAnchor()
    ]
    assert {contents.second, contents.side, contents.newest} == set(links)
    browser.details.anchorClicked.emit(contents.side)
    assert browser.node.uuid == contents.side


def test_links_can_be_read_on_dark_windows(opened, contents, settle):
    browser = opened()
    browser.setPalette(QPalette(QColor("#2b2b2b")))
    browser.versions.select(contents.merged)
    settle(browser)
    inks = [
        fragment.charFormat().foreground().color()
        for block in _blocks(browser.details.document())
        for fragment in _fragments(block)
        if fragment.charFormat().isAnchor()
    ]
    base = browser.details.palette().color(QPalette.ColorRole.Base)
    assert inks
    assert all(qGray(ink.rgb()) > qGray(base.rgb()) + 100 for ink in inks)


def _blocks(document):
    block = document.begin()
    while block.isValid():
        yield block
        block = block.next()


def _fragments(block):
    at = block.begin()
    while not at.atEnd():
        yield at.fragment()
        at += 1


def test_versions_that_are_not_open_are_gray_and_say_why(opened, contents, qtbot):
    browser = opened()
    gray = browser.palette().color(QPalette.ColorRole.PlaceholderText)
    for uuid, committed in ((contents.root, True), (contents.side, True), (contents.newest, False)):
        brush = cell(browser, uuid, NOTE, Qt.ItemDataRole.ForegroundRole)
        assert (brush is not None and brush.color() == gray) == committed
        tip = cell(browser, uuid, NOTE, Qt.ItemDataRole.ToolTipRole)
        assert ("committed: nothing can be added here; make a new version of it" in tip) == committed
        assert cell(browser, uuid, GRAPH, Qt.ItemDataRole.AccessibleTextRole) == ("committed" if committed else "open")
    view = browser.versions
    place = view.visualRect(view.versions.index(view.versions.rows.row_of[contents.root], NOTE)).center()
    QApplication.sendEvent(view.viewport(), QHelpEvent(QEvent.Type.ToolTip, place, view.viewport().mapToGlobal(place)))
    qtbot.waitUntil(lambda: "make a new version of it" in QToolTip.text(), timeout=WAIT)
    QToolTip.hideText()


def test_open_and_committed_versions_are_drawn_in_shapes_of_their_own(opened, contents):
    browser = opened()
    view = browser.versions
    lanes = view.versions.rows.layout.lanes
    drawn = view.viewport().grab().toImage()

    def at(uuid, dx, dy):
        row = view.versions.rows.row_of[uuid]
        place = view.visualRect(view.versions.index(row, GRAPH))
        centre = QPoint(round(place.left() + 10 + 16 * lanes[row]), place.center().y() + 1)
        return drawn.pixelColor(centre + QPoint(dx, dy))

    base = view.palette().color(QPalette.ColorRole.Base)
    ring, hole = at(contents.experiment, 5, 0), at(contents.experiment, 0, 0)
    assert hole == base
    assert ring.green() > ring.red() + 40
    square, corner = at(contents.side, 0, 0), at(contents.side, 3, 3)
    assert square == corner
    assert square.red() == square.green() == square.blue() < 200


def test_a_version_that_was_searched_for_is_selected_once_the_graph_is_there(
    opened, contents, other_repo, settle, qtbot
):
    browser = opened()
    browser.repos.select(other_repo.uuid)
    settle(browser)
    browser.bar.search.setText("left half done")
    assert browser.repo.uuid == contents.uuid
    assert browser.background.busy("graph")
    qtbot.keyClick(browser.bar.search, Qt.Key.Key_Return)
    settle(browser)
    assert browser.node.uuid == contents.side


# ---- choosing with keys and mouse ---------------------------------------------------------------


def test_keys_go_along_the_graph(opened, contents, qtbot):
    browser = opened()
    browser.versions.setFocus()
    walk = []
    for key in (Qt.Key.Key_Left, Qt.Key.Key_Left, Qt.Key.Key_Left, Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Down):
        qtbot.keyClick(browser.versions, key)
        walk.append(browser.node.uuid)
    assert walk == [contents.merged, contents.second, contents.root, contents.root, contents.second, contents.root]
    qtbot.keyClick(browser.versions, Qt.Key.Key_Home)
    assert browser.node.uuid == contents.newest


def test_the_selection_is_told_when_it_changes(opened, contents, qtbot):
    browser = opened()
    told = []
    browser.selection_changed.connect(told.append)
    browser.instances.select("bodies")
    qtbot.waitUntil(lambda: bool(told), timeout=WAIT)
    browser.versions.select(contents.side)
    qtbot.waitUntil(lambda: len(told) == 2, timeout=WAIT)
    assert told[0] == Selection(contents.url, contents.uuid, contents.newest, "bodies", "labelmap")
    assert told[1] == Selection(contents.url, contents.uuid, contents.side, "bodies", "labelmap")


@pytest.mark.parametrize("view", ["versions", "instances"])
@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter])
def test_enter_chooses(opened, contents, qtbot, view, key):
    browser = opened()
    browser.activateWindow()
    qtbot.waitUntil(browser.isActiveWindow, timeout=WAIT)
    widget = getattr(browser, view)
    widget.setFocus()
    with qtbot.waitSignal(browser.chosen, timeout=WAIT) as chosen:
        qtbot.keyClick(widget, key)
    assert chosen.args == [Selection(contents.url, contents.uuid, contents.newest, "grayscale", "uint8blk")]


def test_a_double_click_chooses(opened, contents, qtbot):
    browser = opened()
    place = browser.instances.visualItemRect(browser.instances.topLevelItem(0)).center()
    qtbot.mouseClick(browser.instances.viewport(), Qt.MouseButton.LeftButton, pos=place)
    with qtbot.waitSignal(browser.chosen, timeout=WAIT) as chosen:
        qtbot.mouseDClick(browser.instances.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert chosen.args[0].name == "bodies"


def test_another_repo_shows_its_own_contents(opened, other_repo, settle):
    browser = opened()
    browser.repos.select(other_repo.uuid)
    settle(browser)
    assert shown_instances(browser) == ["lonely"]
    assert len(browser.versions.shown_uuids) == 1
    assert browser.preview.view.image is None
    assert not browser.preview.slider.isEnabled()
    assert browser.selection.repo_uuid == other_repo.uuid


def test_tab_leads_through_all_parts_in_their_order(opened, qtbot):
    browser = opened()
    browser.activateWindow()
    qtbot.waitUntil(browser.isActiveWindow, timeout=WAIT)
    browser.bar.search.setFocus()
    wanted = [browser.repos, browser.versions, browser.instances, browser.preview.slider, browser.details]
    seen = []
    for _ in range(20):
        qtbot.keyClick(browser.focusWidget(), Qt.Key.Key_Tab)
        seen.append(browser.focusWidget())
    assert [widget for widget in dict.fromkeys(seen) if widget in wanted] == wanted


# ---- search -------------------------------------------------------------------------------------


def test_ctrl_f_searches_and_esc_ends_it(opened, contents, other_repo, settle, qtbot, screenshot):
    browser = opened()
    browser.activateWindow()
    qtbot.waitUntil(browser.isActiveWindow, timeout=WAIT)
    browser.versions.setFocus()
    qtbot.keyClick(browser.versions, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(browser.bar.search.hasFocus, timeout=WAIT)
    qtbot.keyClicks(browser.bar.search, "worth")
    assert shown_repos(browser) == [other_repo.alias]
    assert browser.repo.uuid == other_repo.uuid
    qtbot.keyClick(browser.bar.search, Qt.Key.Key_Escape)
    assert {contents.alias, other_repo.alias} <= set(shown_repos(browser))
    qtbot.keyClicks(browser.bar.search, "left half done")
    assert shown_repos(browser) == [contents.alias]
    settle(browser)
    assert browser.versions.versions.matching == {contents.side}
    assert cell(browser, contents.side, NOTE, Qt.ItemDataRole.BackgroundRole) is not None
    assert cell(browser, contents.root, NOTE, Qt.ItemDataRole.BackgroundRole) is None
    screenshot(browser, "search")
    qtbot.keyClick(browser.bar.search, Qt.Key.Key_Return)
    assert browser.node.uuid == contents.side
    assert browser.versions.hasFocus()


def test_a_search_for_an_instance_lists_it_alone(opened, contents, qtbot):
    browser = opened()
    qtbot.keyClicks(browser.bar.search, f"{contents.alias}")
    assert shown_instances(browser) == ["bodies", "empty", "grayscale", "remarks"]
    browser.bar.search.clear()
    qtbot.keyClicks(browser.bar.search, "bodies")
    browser.repos.select(contents.uuid)
    assert shown_instances(browser) == ["bodies"]
    assert browser.selection.name == "bodies"


def test_a_search_that_finds_nothing_lists_nothing_and_selects_nothing(opened, settle, qtbot):
    browser = opened()
    qtbot.keyClicks(browser.bar.search, "no such thing anywhere")
    settle(browser)
    assert browser.preview.view.words == "nothing here has what is searched for"
    assert shown_repos(browser) == []
    assert browser.selection is None
    assert browser.missing == "select a repository"


# ---- slices -------------------------------------------------------------------------------------


def test_the_slice_shows_the_voxels_of_the_selected_version(opened, contents, settle):
    browser = opened()
    browser.resize(1280, 900)
    settle(browser)
    middle = browser.preview.slider.value()
    assert middle == 15
    assert np.array_equal(pixels_of(browser.preview.view.image)[..., 0], contents.darker_zyx[middle])
    browser.versions.select(contents.root)
    settle(browser)
    assert np.array_equal(pixels_of(browser.preview.view.image)[..., 0], contents.gray_zyx[middle])


def test_the_slider_and_the_buttons_show_other_slices(opened, contents, settle, qtbot):
    browser = opened()
    preview = browser.preview
    preview.slider.setFocus()
    qtbot.keyClick(preview.slider, Qt.Key.Key_Right)
    settle(browser)
    assert preview.position.value() == 16
    assert np.array_equal(pixels_of(preview.view.image)[..., 0], contents.darker_zyx[16])
    qtbot.mouseClick(preview.planes.button(1), Qt.MouseButton.LeftButton)
    settle(browser)
    assert (preview.plane, preview.slider.minimum(), preview.slider.maximum()) == ("xz", 0, 95)
    assert np.array_equal(pixels_of(preview.view.image)[..., 0], contents.darker_zyx[:, 47])
    place = preview.view.picture_place()
    assert place.height() / place.width() == pytest.approx(32 * 16 / (64 * 8))


def test_labels_are_shown_in_colours_of_their_own(opened, contents, settle, screenshot):
    browser = opened()
    browser.instances.select("bodies")
    settle(browser)
    shown = pixels_of(browser.preview.view.image)
    assert np.array_equal(shown[..., :3], label_colours(contents.labels_zyx[browser.preview.slider.value()]))
    screenshot(browser, "labels")


@pytest.mark.parametrize(("name", "words"), [("empty", "nothing was written"), ("remarks", "no volume")])
def test_where_there_is_no_slice_the_panel_says_so(opened, settle, name, words):
    browser = opened()
    browser.instances.select(name)
    settle(browser)
    assert browser.preview.view.image is None
    assert words in browser.preview.view.words


def test_a_server_without_repositories_and_a_repository_without_instances_say_so(
    answering, own_settings, settle, qtbot
):
    repos = {}
    browser = ContentsBrowser(answering(lambda path: json.dumps(repos if "repos" in path else {}).encode()))
    qtbot.addWidget(browser)
    settle(browser)
    assert browser.preview.view.words == "this server has no repositories"
    root = {"UUID": "a", "VersionID": 1, "Locked": False, "Parents": [], "Children": []}
    repos["a"] = {"Root": "a", "Alias": "bare", "DataInstances": {}, "DAG": {"Root": "a", "Nodes": {"a": root}}}
    browser.refresh()
    settle(browser)
    assert shown_repos(browser) == ["bare"]
    assert browser.preview.view.words == "this repository has no data instances"


@pytest.fixture
def half_broken(answering, own_settings, settle, qtbot):
    """A browser on a server that tells nonsense of one of its three repos; ``repos`` is what it tells."""
    root = {"UUID": "a", "VersionID": 1, "Locked": False, "Parents": [], "Children": []}
    repos = {
        uuid: {"Root": uuid, "Alias": alias, "Created": created, "DAG": {"Root": uuid, "Nodes": {uuid: {**root}}}}
        for uuid, alias, created in (
            ("a", "medulla", "2026-01"),
            ("b", "lobula", "2026-02"),
            ("c", "retina", "2026-03"),
        )
    }
    repos["a"]["DAG"]["Nodes"]["a"]["VersionID"] = "first"
    browser = ContentsBrowser(answering(lambda path: json.dumps(repos if "repos" in path else {}).encode()))
    browser.told = repos
    qtbot.addWidget(browser)
    browser.show()
    settle(browser)
    return browser


FAULT = "DAG.Nodes.a.VersionID: expected a whole number, got 'first'"


def test_a_malformed_repository_hides_no_other_and_says_what_is_wrong_in_its_place(half_broken, settle, screenshot):
    browser = half_broken
    assert shown_repos(browser) == ["lobula", "retina", "medulla"]
    assert not browser.strip.isVisible()
    assert browser.repo.alias == "lobula"
    assert browser.versions.shown_uuids == ("b",)
    broken = browser.repos.topLevelItem(2)
    assert any(FAULT in text for text, _ in broken.data(0, LINES))
    assert FAULT in broken.toolTip(0)
    browser.repos.select("a")
    settle(browser)
    assert FAULT in browser.preview.view.words
    assert FAULT in browser.details.toPlainText()
    assert FAULT in browser.missing
    assert browser.versions.shown_uuids == ()
    screenshot(browser, "malformed")


def test_a_repository_that_is_mended_is_shown_after_f5(half_broken, settle):
    browser = half_broken
    browser.repos.select("a")
    browser.told["a"]["DAG"]["Nodes"]["a"]["VersionID"] = 1
    browser.refresh()
    settle(browser)
    assert shown_repos(browser) == ["medulla", "lobula", "retina"]
    assert browser.node.uuid == "a"


LONG = "segmentation-" * 20
MARKUP = "<img src='file:///etc/hostname'> & co"


def odd_repo():
    """A repo whose names are long, and look like HTML."""
    root = {"UUID": "a" * 32, "VersionID": 1, "Note": MARKUP, "Locked": False, "Parents": [], "Children": []}
    instances = {name: {"Base": {"TypeName": "keyvalue", "Name": name}} for name in (LONG, MARKUP)}
    dag = {"Root": "a" * 32, "Nodes": {"a" * 32: root}}
    return {"a" * 32: {"Root": "a" * 32, "Alias": MARKUP, "DataInstances": instances, "DAG": dag}}


@pytest.fixture
def odd(answering, own_settings, settle, qtbot):
    browser = ContentsBrowser(answering(lambda path: json.dumps(odd_repo() if "repos" in path else {}).encode()))
    qtbot.addWidget(browser)
    browser.show()
    settle(browser)
    return browser


def test_a_long_name_leaves_the_other_columns_in_the_window(odd, screenshot):
    assert odd.instances.columnViewportPosition(3) < odd.instances.viewport().width()
    screenshot(odd, "odd")


def test_names_that_look_like_html_are_shown_as_they_are(odd):
    item = next(item for item in odd.instances._items() if item.text(0) == MARKUP)
    document = QTextDocument()
    for tip in (
        item.toolTip(0),
        odd.repos.currentItem().toolTip(0),
        cell(odd, "a" * 32, NOTE, Qt.ItemDataRole.ToolTipRole),
    ):
        # As QToolTip decides.
        document.setHtml(tip) if Qt.mightBeRichText(tip) else document.setPlainText(tip)
        assert MARKUP in document.toPlainText()


def test_in_a_narrow_window_the_names_of_repositories_are_seen(odd):
    odd.repos.resize(80, 200)
    item = odd.repos.currentItem()

    def drawn(name):
        item.setData(0, LINES, [(name, "aaaaaaaa"), *item.data(0, LINES)[1:]])
        return odd.repos.viewport().grab(odd.repos.visualItemRect(item)).toImage()

    assert drawn("medulla") != drawn("lobula")
    assert odd.repos.columnWidth(0) == odd.repos.viewport().width()


def test_each_part_has_a_key_of_its_own(opened):
    browser = opened(mode="specify_new")
    keys = [
        label.text()[label.text().index("&") + 1].upper()
        for label in browser.findChildren(QLabel)
        if label.buddy() is not None
    ]
    assert sorted(keys) == sorted("SRVDLN")


def test_a_long_error_leaves_room_for_what_is_below_and_its_tooltip_has_all_of_it(odd, screenshot):
    odd.resize(700, 480)
    message = f"reading failed: {LONG}\n" * 20
    odd.preview.strip.show_error(message)
    QApplication.processEvents()
    lines = odd.preview.strip.text.height() / odd.preview.strip.text.fontMetrics().lineSpacing()
    assert 1 <= lines <= 7
    assert odd.preview.strip.text.toolTip() == message
    screenshot(odd, "small")


# ---- servers that are slow, dead or wrong -------------------------------------------------------


@pytest.fixture
def dead_server():
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_server_that_never_answers_does_not_freeze_the_window(
    qtbot, own_settings, dead_server, contents, settle, screenshot
):
    browser = ContentsBrowser(dead_server)
    qtbot.addWidget(browser)
    browser.show()
    qtbot.keyClicks(browser.bar.search, "typed")
    assert browser.bar.search.text() == "typed"
    assert browser.bar.busy.text() == "asking…"
    screenshot(browser, "waiting")
    browser.bar.search.clear()
    browser.open(contents.url)
    qtbot.waitUntil(lambda: browser.repos.topLevelItemCount() > 0, timeout=WAIT)
    settle(browser)
    assert contents.alias in shown_repos(browser)


def test_the_window_can_be_closed_while_it_waits(qtbot, own_settings, dead_server):
    browser = ContentsBrowser(dead_server)
    qtbot.addWidget(browser)
    browser.show()
    assert browser.close()
    assert not browser.background.busy("contents")


def test_a_window_that_is_deleted_while_it_waits_leaves_nothing_behind(qtbot, own_settings, gate, contents):
    gate.holds = lambda path: "/raw/" in path
    browser = ContentsBrowser(gate.url)
    browser.show()
    qtbot.waitUntil(lambda: browser.repos.topLevelItemCount() > 0, timeout=WAIT)
    browser.bar.search.setText(contents.alias)
    browser.instances.select("grayscale")
    qtbot.waitUntil(lambda: any("/raw/" in path for path in gate.asked), timeout=WAIT)
    with qtbot.waitSignal(browser.destroyed, timeout=WAIT):
        browser.deleteLater()
    gate.open.set()
    qtbot.waitUntil(lambda: any("/raw/" in path for path in gate.passed), timeout=WAIT)
    qtbot.wait(50)


def test_a_window_that_nobody_holds_is_gone_at_once_also_while_it_waits(qtbot, own_settings, gate):
    # Left to the garbage collector it might be destroyed in any thread, which Qt does not survive.
    gate.holds = lambda path: True
    browser = ContentsBrowser(gate.url)
    browser.show()
    qtbot.waitUntil(lambda: bool(gate.asked), timeout=WAIT)
    held = weakref.ref(browser)
    del browser
    assert held() is None


def test_a_slice_that_comes_late_does_not_replace_the_newest(opened, contents, gate, settle, qtbot):
    browser = opened(gate.url)
    gate.holds = lambda path: "/raw/" in path and "0_0_20" in path
    browser.preview.slider.setValue(20)
    qtbot.waitUntil(lambda: any("0_0_20" in path for path in gate.asked), timeout=WAIT)
    browser.preview.slider.setValue(21)
    settle(browser)
    assert np.array_equal(pixels_of(browser.preview.view.image)[..., 0], contents.darker_zyx[21])
    gate.open.set()
    qtbot.waitUntil(lambda: any("0_0_20" in path for path in gate.passed), timeout=WAIT)
    qtbot.wait(100)
    assert np.array_equal(pixels_of(browser.preview.view.image)[..., 0], contents.darker_zyx[21])


def test_a_server_that_is_not_there_is_said_in_place_and_retry_asks_again(
    qtbot, own_settings, contents, gate, settle, screenshot
):
    gate.fails = lambda path: "/server/info" in path
    browser = ContentsBrowser(gate.url)
    qtbot.addWidget(browser)
    browser.show()
    qtbot.waitUntil(browser.strip.isVisible, timeout=WAIT)
    assert "the disk is on fire" in browser.strip.text.text()
    assert browser.repos.topLevelItemCount() == 0
    screenshot(browser, "error")
    gate.fails = lambda path: False
    qtbot.mouseClick(browser.strip.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: browser.repos.topLevelItemCount() > 0, timeout=WAIT)
    assert not browser.strip.isVisible()
    settle(browser)


def test_a_wrong_token_is_said_in_place(qtbot, own_settings, contents, gate, settle, screenshot):
    gate.token = "right"
    browser = ContentsBrowser(gate.url, token="wrong")
    qtbot.addWidget(browser)
    browser.show()
    settle(browser)
    assert "status 401: this token is not known here" in browser.strip.text.text()
    screenshot(browser, "wrong-token")
    browser = ContentsBrowser(gate.url, token="right")
    qtbot.addWidget(browser)
    settle(browser)
    assert contents.alias in shown_repos(browser)


def test_a_token_is_told_to_no_other_server_than_the_one_it_was_given_for(qtbot, own_settings, contents, gate, settle):
    browser = ContentsBrowser(contents.url, token="secret")
    qtbot.addWidget(browser)
    settle(browser)
    browser.open(gate.url)
    settle(browser)
    assert contents.alias in shown_repos(browser)
    assert gate.tokens == {None}
    asked_for = ContentsBrowser(token="secret")
    qtbot.addWidget(asked_for)
    asked_for.open(gate.url)
    settle(asked_for)
    assert gate.tokens == {None, "Bearer secret"}


def test_a_slice_that_fails_is_said_above_it_and_retry_asks_again(opened, contents, gate, settle, qtbot, screenshot):
    browser = opened(gate.url)
    gate.fails = lambda path: "/raw/" in path
    browser.preview.slider.setValue(9)
    settle(browser)
    assert browser.preview.strip.isVisible()
    assert "the disk is on fire" in browser.preview.strip.text.text()
    assert not browser.strip.isVisible()
    screenshot(browser, "slice-error")
    gate.fails = lambda path: False
    qtbot.mouseClick(browser.preview.strip.button, Qt.MouseButton.LeftButton)
    settle(browser)
    assert not browser.preview.strip.isVisible()
    assert np.array_equal(pixels_of(browser.preview.view.image)[..., 0], contents.darker_zyx[9])


def test_f5_shows_what_is_new_and_keeps_the_selection(opened, contents, gate, settle, post, qtbot):
    browser = opened(gate.url)
    browser.activateWindow()
    qtbot.waitUntil(browser.isActiveWindow, timeout=WAIT)
    browser.versions.select(contents.side)
    browser.instances.select("bodies")
    settle(browser)
    alias = f"brand-new-{id(browser)}"
    post(f"{contents.url}/api/repos", {"alias": alias, "description": ""})
    assert alias not in shown_repos(browser)
    qtbot.keyClick(browser, Qt.Key.Key_F5)
    qtbot.waitUntil(lambda: alias in shown_repos(browser), timeout=WAIT)
    settle(browser)
    assert browser.selection == Selection(gate.url, contents.uuid, contents.side, "bodies", "labelmap")
    gate.fails = lambda path: True
    qtbot.mouseClick(browser.bar.refresh_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(browser.strip.isVisible, timeout=WAIT)
    assert alias in shown_repos(browser), "what was listed stays listed"


# ---- addresses ----------------------------------------------------------------------------------


def test_without_an_address_the_window_asks_for_one_and_remembers_it(qtbot, own_settings, contents, settle):
    browser = ContentsBrowser()
    qtbot.addWidget(browser)
    browser.show()
    assert browser.selection is None
    assert browser.bar.address.currentText() == "localhost:8000"
    line = browser.bar.line
    line.selectAll()
    qtbot.keyClicks(line, contents.url)
    qtbot.keyClick(line, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: browser.repos.topLevelItemCount() > 0, timeout=WAIT)
    settle(browser)
    assert last_addresses() == [contents.url]
    another = ContentsBrowser()
    qtbot.addWidget(another)
    assert another.bar.address.currentText() == contents.url


def test_what_cannot_be_an_address_is_said_and_not_remembered(qtbot, own_settings):
    browser = ContentsBrowser("ftp://nowhere")
    qtbot.addWidget(browser)
    browser.show()
    qtbot.waitUntil(browser.strip.isVisible, timeout=WAIT)
    assert "ftp://nowhere" in browser.strip.text.text()
    assert last_addresses() == []


def test_a_mode_that_does_not_exist_is_refused(qapp, own_settings):
    with pytest.raises(ValueError, match="select_existing"):
        ContentsBrowser(mode="destroy")
