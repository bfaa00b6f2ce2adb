"""Choosing in a dialog: of what is there, and a place and a name for something new."""

import time

import pytest

pytest.importorskip("qtpy.QtWidgets", reason="Qt, or a library of it, is not installed", exc_type=ImportError)

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QDialog
from tests.dvidclient.gui.conftest import WAIT

from dvidclient.gui.dialog import ContentsDialog, choose
from dvidclient.gui.selection import Selection


@pytest.fixture
def dialog(qtbot, own_settings, contents, settle):
    """Opens a dialog on the repo ``contents``."""

    def open_dialog(mode):
        dialog = ContentsDialog(contents.url, mode)
        qtbot.addWidget(dialog)
        dialog.show()
        dialog.activateWindow()
        qtbot.waitUntil(lambda: dialog.browser.repos.topLevelItemCount() > 0, timeout=WAIT)
        dialog.browser.repos.select(contents.uuid)
        dialog.browser.instances.select("grayscale")
        settle(dialog.browser)
        return dialog

    return open_dialog


def test_a_name_for_a_new_volume_is_checked_as_it_is_typed(dialog, contents, qtbot, screenshot):
    box = dialog("specify_new")
    browser = box.browser
    assert not box.ok.isEnabled()
    assert browser.complaint.text() == "type a name for the new volume"
    qtbot.keyClicks(browser.new_name, "bodies")
    assert "already has 'bodies'" in browser.complaint.text()
    assert not box.ok.isEnabled()
    qtbot.keyClicks(browser.new_name, " 2")
    assert "no ' '" in browser.complaint.text()
    screenshot(box, "new-volume")
    qtbot.keyClick(browser.new_name, Qt.Key.Key_Backspace)
    qtbot.keyClick(browser.new_name, Qt.Key.Key_Backspace)
    qtbot.keyClicks(browser.new_name, "-2")
    assert box.ok.isEnabled()
    qtbot.mouseClick(box.ok, Qt.MouseButton.LeftButton)
    assert box.result() == QDialog.DialogCode.Accepted
    assert box.selection == Selection(contents.url, contents.uuid, contents.newest, "bodies-2", None)


def test_a_committed_version_takes_no_new_volume(dialog, contents, settle, qtbot):
    box = dialog("specify_new")
    qtbot.keyClicks(box.browser.new_name, "fresh")
    assert box.ok.isEnabled()
    box.browser.versions.select(contents.side)
    settle(box.browser)
    assert not box.ok.isEnabled()
    assert "make a new version of it" in box.browser.complaint.text()
    assert box.selection is None
    box.accept()
    assert box.isVisible()
    box.browser.versions.select(contents.experiment)
    settle(box.browser)
    qtbot.keyClick(box.browser.new_name, Qt.Key.Key_Return)
    assert not box.isVisible()
    assert box.selection.node_uuid == contents.experiment


def test_an_instance_of_a_committed_version_can_be_chosen(dialog, contents, settle, qtbot):
    box = dialog("select_existing")
    box.browser.versions.select(contents.root)
    settle(box.browser)
    qtbot.keyClick(box.browser.instances, Qt.Key.Key_Return)
    assert box.result() == QDialog.DialogCode.Accepted
    assert box.selection == Selection(contents.url, contents.uuid, contents.root, "grayscale", "uint8blk")


def test_esc_cancels_but_first_empties_the_search(dialog, qtbot):
    box = dialog("select_existing")
    search = box.browser.bar.search
    qtbot.keyClicks(search, "gray")
    qtbot.keyClick(search, Qt.Key.Key_Escape)
    assert box.isVisible()
    qtbot.keyClick(search, Qt.Key.Key_Escape)
    assert not box.isVisible()
    assert box.result() == QDialog.DialogCode.Rejected


def test_enter_in_the_address_opens_a_server_and_presses_no_button(dialog, contents, settle, qtbot):
    box = dialog("select_existing")
    qtbot.keyClick(box.browser.bar.line, Qt.Key.Key_Return)
    assert box.isVisible()
    qtbot.waitUntil(lambda: box.browser.repos.topLevelItemCount() > 0, timeout=WAIT)
    settle(box.browser)


def in_the_dialog(act):
    """Does something in the dialog that `choose` opens, again and again until it is done: it gives True then.

    One that takes too long is cancelled: nothing else would end it.
    """
    timer, began = QTimer(), time.monotonic()

    def look():
        dialog = QApplication.activeModalWidget()
        if dialog is None:
            return
        if act(dialog):
            timer.stop()
        elif time.monotonic() - began > WAIT / 1000:
            timer.stop()
            dialog.reject()

    timer.timeout.connect(look)
    timer.start(10)
    return timer


def test_choose_returns_what_was_chosen_and_none_after_cancel(qtbot, own_settings, contents):
    wanted = Selection(contents.url, contents.uuid, contents.newest, "bodies", "labelmap")

    def accept(dialog):
        browser = dialog.browser
        # Once each: what is selected again asks for its graph again, and the answer to the question before is dropped.
        if browser.repo is None or browser.repo.uuid != contents.uuid:
            browser.repos.select(contents.uuid)
        elif browser.instances.selected_entry.name != "bodies":
            browser.instances.select("bodies")
        elif dialog.selection == wanted:  # the graph comes when it is there
            dialog.accept()
            return True
        return False

    def cancel(dialog):
        if not dialog.ok.isEnabled():
            return False
        dialog.reject()
        return True

    timer = in_the_dialog(accept)
    assert choose(contents.url) == wanted
    assert not timer.isActive()
    timer = in_the_dialog(cancel)
    assert choose(contents.url) is None
    assert not timer.isActive()
