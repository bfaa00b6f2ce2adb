"""Questions to a server that are asked beside the window, so that a slow server never freezes it.

Threads only put answers into a queue; the window takes them out. So no thread ever touches an object of Qt: the window can
be closed while questions are under way, and a server that never answers does not keep the program from ending.
"""

from __future__ import annotations

import inspect
import queue
import re
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from dvidclient.errors import ClientError, RequestFailed

# How many questions of a kind are under way at once: while old ones hang, the newest still gets its turn.
MOST_OF_A_KIND = 3
LOOK_MILLISECONDS = 15


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    """What a thread has of a question: nothing of Qt, or it might be the last one to hold a window, and destroy it."""

    kind: str
    ask: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class _Asker:
    """Who wants the answer to a question. Weak where these are methods: a window that waits must not hold itself."""

    question: _Question
    answered: Callable[[], Callable[[Any], None] | None]
    failed: Callable[[], Callable[[str], None] | None]


class Background(QObject):
    """Asks questions in threads, and hands the answers on in the window's thread.

    The newest question of a kind wins: whatever comes of older ones is dropped, and those that have not begun are not asked.
    """

    busy_changed = Signal(str, bool)
    """A kind, and whether a question of it waits for its answer."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._answers: queue.SimpleQueue[tuple[_Question, Any, str | None]] = queue.SimpleQueue()
        self._newest: dict[str, _Asker] = {}
        self._waiting: dict[str, _Question] = {}
        self._under_way: dict[str, int] = {}
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MILLISECONDS)
        self._timer.timeout.connect(self._look)

    def ask(
        self, kind: str, ask: Callable[[], Any], answered: Callable[[Any], None], failed: Callable[[str], None]
    ) -> None:
        """Asks in the background.

        Args:
            kind: what it replaces: the answers to older questions of the same kind are dropped.
            ask: called in a thread; must not touch anything of Qt.
            answered: called in the window's thread with what ``ask`` returned.
            failed: called in the window's thread with a message, where ``ask`` failed.
        """
        question = _Question(kind, ask)
        was_busy = kind in self._newest
        self._newest[kind] = _Asker(question, _weakly(answered), _weakly(failed))
        if self._under_way.get(kind, 0) < MOST_OF_A_KIND:
            self._start(question)
        else:
            self._waiting[kind] = question
        if not was_busy:
            self.busy_changed.emit(kind, True)

    def drop(self, kind: str) -> None:
        """Nobody wants the answer any more."""
        self._waiting.pop(kind, None)
        if self._newest.pop(kind, None) is not None:
            self.busy_changed.emit(kind, False)

    def drop_all(self) -> None:
        """Nobody wants any answer any more."""
        for kind in list(self._newest):
            self.drop(kind)
        self._timer.stop()

    def busy(self, kind: str) -> bool:
        """Whether a question of a kind waits for its answer."""
        return kind in self._newest

    def _start(self, question: _Question) -> None:
        self._under_way[question.kind] = self._under_way.get(question.kind, 0) + 1
        # A daemon: the threads of a pool are waited for when the program ends, also those that a dead server holds.
        threading.Thread(
            target=_run, args=(question, self._answers), name=f"asks for {question.kind}", daemon=True
        ).start()
        self._timer.start()

    def _look(self) -> None:
        while True:
            try:
                question, answer, message = self._answers.get_nowait()
            except queue.Empty:
                break
            kind = question.kind
            self._under_way[kind] -= 1
            if kind in self._waiting:
                self._start(self._waiting.pop(kind))
            asker = self._newest.get(kind)
            if asker is None or asker.question is not question:
                continue
            del self._newest[kind]
            self.busy_changed.emit(kind, False)
            if message is None and (answered := asker.answered()):
                answered(answer)
            elif message is not None and (failed := asker.failed()):
                failed(message)
        if not any(self._under_way.values()):
            self._timer.stop()


def _weakly(callback: Callable[[Any], None]) -> Callable[[], Callable[[Any], None] | None]:
    """Gives the callback back as long as the object lives that it is a method of."""
    return weakref.WeakMethod(callback) if inspect.ismethod(callback) else lambda: callback


def in_words(error: Exception) -> str:
    """What went wrong, for a person to read: first what the server said, then, on a line of its own, what it was asked."""
    if isinstance(error, RequestFailed):
        status = "" if error.status is None else f"status {error.status}: "
        said = re.sub(r"HTTPS?Connection(Pool)?\([^)]*\): ", "", error.answer)
        what = error.what if len(error.what) <= 120 else f"{error.what[:80]}…{error.what[-39:]}"
        return f"{what} failed: {status}{said}\n{error.method} {error.url}"
    if isinstance(error, ClientError):
        return str(error)
    # Whatever a server made of its answer, the window tells it and lives on.
    return f"{type(error).__name__}: {error}"


def _run(question: _Question, answers: queue.SimpleQueue[tuple[_Question, Any, str | None]]) -> None:
    try:
        answers.put((question, question.ask(), None))
    except Exception as error:  # noqa: BLE001 - no question may end without an answer
        answers.put((question, None, in_words(error)))
