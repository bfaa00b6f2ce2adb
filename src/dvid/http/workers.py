"""Worker processes: each opens the store itself and answers the requests that come to its listening socket."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from typing import NoReturn

from dvid.config import Config
from dvid.database import Database
from dvid.http.app import create_app
from dvid.http.board import Board
from dvid.http.chores import Chores
from dvid.http.memory import collect_seldom, keep_freed_memory
from dvid.http.wsgi import serve_wsgi

_DEATH_OF_PARENT = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
LAST_SECONDS = 4.0
"""How long a worker that is to stop goes on with the requests that are running."""


def start_worker(config: Config, board: Board, worker: int, listeners: list[socket.socket], ready: int) -> int:
    """Fork a worker; its process id. It writes a byte to the file descriptor `ready` once it answers requests."""
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    # Or a signal that comes before the worker has handlers of its own would be taken by its copy of the main process's.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        return pid
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for name in _SIGNALS:
            signal.signal(name, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        _follow_parent(parent)
        _allow_many_files()
        for number, listener in enumerate(listeners):
            if number != worker:
                listener.close()  # or its connections would hang once its own worker has stopped listening
        _work(config, board, worker, listeners[worker], ready)
        code = 0
    except BaseException:  # noqa: BLE001 - the process ends here, whatever it was
        sys.excepthook(*sys.exc_info())
    finally:
        _leave(code)


def _leave(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _follow_parent(parent: int) -> None:
    """End when the main process ends, even by kill -9: a worker left alone would go on holding the port."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_OF_PARENT, signal.SIGTERM)
    if os.getppid() != parent:
        _leave(1)


def _allow_many_files() -> None:
    """Take as many open files as the system allows: each connection is one."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _work(config: Config, board: Board, worker: int, listener: socket.socket, ready: int) -> None:
    keep_freed_memory()
    with Database.from_config(config) as database:
        app = create_app(database, config, board, worker, listener.getsockname()[1])
        app.service.journal.start()
        chores = Chores(app.service, sweeping=worker == 0)

        def answering() -> None:
            os.write(ready, b".")
            chores.start()

        collect_seldom()
        serve_wsgi(app, config, listener, answering)
        chores.stop()
        app.service.journal.stop()
