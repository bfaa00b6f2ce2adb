"""The browser as a program: run as a file, as a module, and as ``dvid browse``."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dvidclient.gui import why_no_windows

ROOT = Path(__file__).parents[3]
AS_FILE = (["dvidclient/gui/contents_browser.py"], ROOT / "src")
AS_MODULE = (["-m", "dvidclient.gui.contents_browser"], ROOT / "src")
AS_COMMAND = (["-m", "dvid", "browse"], ROOT)
WHY = why_no_windows()
needs_qt = pytest.mark.skipif(bool(WHY) and "display" not in WHY, reason=WHY)


@pytest.fixture
def start(tmp_path):
    """Starts Python with words, offscreen."""
    started = []

    def run(words, folder, **environment):
        variables = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "XDG_CONFIG_HOME": str(tmp_path), **environment}
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=folder,
            env={name: value for name, value in variables.items() if value is not None},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@needs_qt
@pytest.mark.parametrize(("words", "folder"), [AS_FILE, AS_MODULE, AS_COMMAND], ids=["file", "module", "command"])
def test_it_opens_a_window_on_a_server_and_ctrl_c_closes_it(start, contents, gate, eventually_asked, words, folder):
    process = start([*words, gate.url], folder)
    eventually_asked("/repos/info")
    eventually_asked("/log")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


@needs_qt
@pytest.mark.parametrize(("words", "folder"), [AS_FILE, AS_MODULE, AS_COMMAND], ids=["file", "module", "command"])
def test_a_server_that_wants_a_token_is_told_that_of_the_environment(
    start, contents, gate, eventually_asked, words, folder
):
    gate.token = "of-mine"
    process = start([*words, gate.url], folder, DVID_ADMIN_TOKEN="of-mine")
    eventually_asked("/log")  # which is asked once the list of repos was answered, and that only with the token
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, "of-mine" in errors) == (0, False), errors
    assert gate.tokens == {"Bearer of-mine"}


OTHER_SERVER = """
import sys
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
from dvidclient.gui.contents_browser import ContentsBrowser, main

other, opened = sys.argv.pop(), []
application = QApplication(sys.argv[:1])

def look():
    for window in application.topLevelWidgets():
        if isinstance(window, ContentsBrowser):
            listed = window.repos.topLevelItemCount() > 0
            if opened and listed:
                window.close()
            elif not opened and (listed or len(sys.argv) == 1):
                opened.append(other)
                window.open(other)

timer = QTimer()
timer.timeout.connect(look)
timer.start(20)
sys.exit(main())
"""


@needs_qt
@pytest.mark.parametrize("with_address", [True, False])
def test_the_token_of_the_environment_is_told_to_no_server_whose_address_is_typed(start, contents, gate, with_address):
    words = ["-c", OTHER_SERVER, *([contents.url] if with_address else []), gate.url]
    process = start(words, ROOT / "src", DVID_ADMIN_TOKEN="of-mine")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert gate.tokens == {None}


@pytest.fixture
def eventually_asked(gate):
    """Waits until a request came for a path that ends so."""

    def wait(end):
        for _ in range(600):
            if any(path.partition("?")[0].endswith(end) for path in gate.passed):
                return
            gate.open.wait(0.1)  # is not set in these tests: a pause
        pytest.fail(f"nobody asked for {end}: {gate.asked}")

    return wait


@needs_qt
@pytest.mark.parametrize(("words", "folder"), [AS_FILE, AS_COMMAND], ids=["file", "command"])
def test_without_a_display_it_says_so_in_one_line(start, words, folder):
    process = start(words, folder, QT_QPA_PLATFORM=None, DISPLAY=None, WAYLAND_DISPLAY=None)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "needs a display" in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(("words", "folder"), [AS_FILE, AS_MODULE, AS_COMMAND], ids=["file", "module", "command"])
def test_without_qt_it_says_what_to_install(start, tmp_path, words, folder):
    # Stands in the way of the real one.
    (tmp_path / "qtpy.py").write_text("raise ModuleNotFoundError(\"No module named 'qtpy'\")")
    process = start(words, folder, PYTHONPATH=str(tmp_path))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "pip install 'dvidclient[gui]'" in errors
    assert len(errors.splitlines()) == 1


@needs_qt
def test_words_that_mean_nothing_are_refused(start):
    process = start([*AS_MODULE[0], "--frobnicate"], AS_MODULE[1])
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert "usage" in errors
