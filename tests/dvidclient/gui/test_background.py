"""Questions beside the window: the newest wins, none freezes it, none outlives it."""

import subprocess
import sys
import threading

import pytest

pytest.importorskip("qtpy.QtWidgets", reason="Qt, or a library of it, is not installed", exc_type=ImportError)

from tests.dvidclient.gui.conftest import WAIT

from dvidclient.errors import BadArgument, NoAnswer, ServerRefused
from dvidclient.gui.background import MOST_OF_A_KIND, Background, in_words


@pytest.fixture
def background(qapp):
    return Background()


@pytest.fixture
def held():
    """Questions that wait until the event is set."""
    event = threading.Event()
    yield event
    event.set()


def fail(message):
    pytest.fail(f"it should not have failed: {message}")


def test_an_answer_comes_back_in_the_thread_of_the_window(qtbot, background):
    came = []
    background.ask("sum", lambda: (threading.current_thread(), 1 + 1), came.append, fail)
    assert background.busy("sum")
    qtbot.waitUntil(lambda: bool(came), timeout=WAIT)
    asked_in, answer = came[0]
    assert answer == 2
    assert asked_in is not threading.current_thread()
    assert not background.busy("sum")


def test_a_failure_comes_back_in_words(qtbot, background):
    came = []

    def ask(error):
        raise error

    background.ask("a", lambda: ask(BadArgument("no such place")), fail, came.append)
    background.ask("b", lambda: ask(KeyError("DAG")), fail, came.append)
    qtbot.waitUntil(lambda: len(came) == 2, timeout=WAIT)
    assert sorted(came) == ["KeyError: 'DAG'", "no such place"]


def test_a_failed_request_is_told_reason_first_and_what_was_asked_last():
    url = "http://localhost:8000/api/server/info"
    refused = ServerRefused("GET", url, 401, "this token is not known here", "connecting to http://localhost:8000")
    assert in_words(refused).splitlines() == [
        "connecting to http://localhost:8000 failed: status 401: this token is not known here",
        f"GET {url}",
    ]
    reason = "HTTPConnection(host='localhost', port=8000): Failed to establish a new connection: refused"
    assert in_words(NoAnswer("GET", url, None, reason, "connecting")).splitlines() == [
        "connecting failed: Failed to establish a new connection: refused",
        f"GET {url}",
    ]
    long = in_words(ServerRefused("GET", url, 404, "not here", f"reading a slice of {'x' * 500!r}"))
    assert long.startswith("reading a slice of 'xx")
    assert long.index("not here") < 150


def test_the_newest_question_wins_while_the_older_hang(qtbot, background, held):
    came = []
    background.ask("slice", lambda: held.wait(60) and "old", came.append, fail)
    background.ask("slice", lambda: "new", came.append, fail)
    qtbot.waitUntil(lambda: bool(came), timeout=WAIT)
    held.set()
    background.ask("other", lambda: "last", came.append, fail)
    qtbot.waitUntil(lambda: "last" in came, timeout=WAIT)
    qtbot.wait(50)
    assert came == ["new", "last"]


def test_a_flood_of_questions_asks_only_some_and_the_last(qtbot, background, held):
    began, came = [], []

    def ask(number):
        began.append(number)
        held.wait(60)
        return number

    for number in range(50):
        background.ask("slice", lambda number=number: ask(number), came.append, fail)
    qtbot.waitUntil(lambda: len(began) == MOST_OF_A_KIND, timeout=WAIT)
    held.set()
    qtbot.waitUntil(lambda: bool(came), timeout=WAIT)
    assert came == [49]
    assert sorted(began) == [*range(MOST_OF_A_KIND), 49]


def test_a_dropped_question_is_not_answered(qtbot, background, held):
    came, told = [], []
    background.busy_changed.connect(lambda kind, busy: told.append((kind, busy)))
    background.ask("slice", lambda: held.wait(60), came.append, fail)
    background.drop("slice")
    held.set()
    background.ask("other", lambda: "last", came.append, fail)
    qtbot.waitUntil(lambda: bool(came), timeout=WAIT)
    qtbot.wait(50)
    assert came == ["last"]
    assert told == [("slice", True), ("slice", False), ("other", True), ("other", False)]


def test_a_question_that_hangs_does_not_keep_the_program_from_ending():
    program = """
import threading
from qtpy.QtCore import QCoreApplication, QTimer
from dvidclient.gui.background import Background
application = QCoreApplication([])
background = Background()
background.ask("never", threading.Event().wait, print, print)
QTimer.singleShot(0, application.quit)
application.exec()
print("ended")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended\n", "")
