"""Worker processes: each opens the store itself and answers requests from one shared listening socket."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from granian._futures import _new_cbscheduler
from granian._granian import WSGIWorker
from granian._loops import loops
from granian._signals import set_sync_signals
from granian.http import HTTP1Settings
from granian.net import SocketHolder
from granian.wsgi import _callback_wrapper

from dvid.config import Config
from dvid.database import Database
from dvid.http.app import create_app

_DEATH_OF_PARENT = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
_BACKLOG = 1024


def start_worker(config: Config, listener: socket.socket, ready: int) -> int:
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
        _work(config, listener, ready)
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


def open_database(config: Config) -> Database:
    """The database of a configuration."""
    store = config.default_store
    return Database.open(
        store.path,
        durability=store.durability,  # type: ignore[arg-type]  # the configuration allows these two
        max_size=store.max_size,
    )


def _work(config: Config, listener: socket.socket, ready: int) -> None:
    with open_database(config) as database:
        _serve(create_app(database, config), config.server.threads, listener, lambda: os.write(ready, b"."))


def _serve(app: Callable[..., Any], threads: int, listener: socket.socket, answering: Callable[[], Any]) -> None:
    stop = set_sync_signals()
    stopped = threading.Event()
    stop.add_cb(stopped.set)
    loop = loops.get("auto")
    worker = WSGIWorker(
        1,
        (None, SocketHolder(listener.fileno(), False, _BACKLOG)),
        None,
        threads=1,
        blocking_threads=512,
        py_threads=threads,
        py_threads_idle_timeout=600,
        backpressure=_BACKLOG,
        http_mode="1",
        http1_opts=HTTP1Settings(),
        metrics=(None, None),
    )
    scheduler = _new_cbscheduler(loop, _callback_wrapper(app, {}, None), impl_asyncio=True)
    worker.serve_mtr(scheduler, loop, stop)
    answering()
    stopped.wait()
