"""Worker processes: each opens the store itself and answers the requests that come to its listening socket."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from granian._futures import _new_cbscheduler
from granian._granian import WSGIWorker
from granian._loops import loops
from granian._signals import set_sync_signals
from granian.http import HTTP1Settings
from granian.net import SocketHolder

from dvid.config import Config
from dvid.database import Database
from dvid.http.app import Application, create_app
from dvid.http.board import Board
from dvid.http.chores import Chores

_DEATH_OF_PARENT = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
_CONNECTIONS = 4096
_OTHER_FILES = 128  # open files beside connections
_SPARE_THREADS = 60
"""Threads beyond `server.threads`: they wait for slow clients (see dvid.http.gate)."""
LAST_SECONDS = 4.0
"""How long a worker that is to stop goes on with the requests that are running."""


def start_worker(config: Config, board: Board, worker: int, listeners: list[socket.socket], ready: int) -> int:
    """Fork a worker; its process id. It writes a byte to the file descriptor `ready` once it answers requests."""
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
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


def open_database(config: Config) -> Database:
    """The database of a configuration."""
    store = config.default_store
    return Database.open(
        store.path,
        durability=store.durability,  # type: ignore[arg-type]  # the configuration allows these two
        max_size=store.max_size,
    )


def _work(config: Config, board: Board, worker: int, listener: socket.socket, ready: int) -> None:
    with open_database(config) as database:
        app = create_app(database, config, board, worker, listener.getsockname()[1])
        app.service.journal.start()
        chores = Chores(app.service, sweeping=worker == 0)
        _serve(app, config, listener, lambda: (os.write(ready, b"."), chores.start()))
        chores.stop()
        app.service.journal.stop()


def _serve(app: Application, config: Config, listener: socket.socket, answering: Callable[[], Any]) -> None:
    """Answer requests until SIGTERM or SIGINT, and then those that are running."""
    connections = min(_CONNECTIONS, max(16, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OTHER_FILES))
    stop = set_sync_signals()
    stopped = threading.Event()
    stop.add_cb(stopped.set)
    loop = loops.get("asyncio")  # WSGI has no use for it, but Granian's scheduler takes one
    server = WSGIWorker(
        1,
        (None, SocketHolder(listener.fileno(), False, connections)),
        None,
        threads=1,
        py_threads=config.server.threads + _SPARE_THREADS,
        py_threads_idle_timeout=60,
        backpressure=connections,
        http_mode="1",
        http1_opts=HTTP1Settings(max_buffer_size=config.limits.header_bytes),
        metrics=(None, None),
    )
    server.serve_mtr(_new_cbscheduler(loop, _granian_callback(app), impl_asyncio=True), loop, stop)
    answering()
    stopped.wait()


def _granian_callback(app: Application) -> Callable[[Any, dict[str, Any]], None]:
    """What Granian calls for each request: like its own WSGI wrapper, but without os.environ in each environment."""
    common = {
        "SCRIPT_NAME": "",
        "wsgi.errors": sys.stderr,
        "wsgi.multiprocess": True,
        "wsgi.multithread": True,
        "wsgi.run_once": False,
        "wsgi.version": (1, 0),
    }

    def answer(protocol: Any, scope: dict[str, Any]) -> None:
        head: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> None:
            head[:] = int(status[:3]), headers

        body = app(common | scope, start_response)
        if isinstance(body, list):
            protocol.response_bytes(*head, body[0])
        else:
            protocol.response_iter(*head, body)

    return answer
