"""Granian, the HTTP server, as a worker runs it.

Granian's own main process is not used: it neither keeps the listening sockets open while a worker is started anew, nor
says when it answers, nor ends a worker that hangs. What is used here is what that process calls in its workers; it is
the same in all releases that the project's dependencies allow, and a test starts it.
"""

from __future__ import annotations

import importlib
import resource
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from granian.http import HTTP1Settings

from dvid.config import Config
from dvid.http.app import Application

_CONNECTIONS = 4096
_OTHER_FILES = 128  # open files beside connections
_SPARE_THREADS = 60
"""Threads beyond `server.threads`: they wait for slow clients (see dvid.http.gate)."""
_IDLE_SECONDS = 24 * 3600
"""How long a thread that has nothing to do is kept.

Granian starts a thread when a request comes in and it counts fewer idle threads than requests that wait. A thread that
has just taken a request counts as idle for some nanoseconds more. Where the next request comes in that moment, it gets
no thread of its own, and waits until another request ends or comes in: long, if all others wait for slow clients. That
cannot happen where a thread is idle, so they are kept; a thread that ends would be counted wrongly in the same way.
"""


def serve_wsgi(app: Application, config: Config, listener: socket.socket, answering: Callable[[], None]) -> None:
    """Answer requests until SIGTERM or SIGINT, and then those that are running; `answering` is called at the start."""
    native: Any = importlib.import_module("granian._granian")
    signals: Any = importlib.import_module("granian._signals")
    futures: Any = importlib.import_module("granian._futures")
    loops: Any = importlib.import_module("granian._loops")
    connections = min(_CONNECTIONS, max(16, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OTHER_FILES))
    stop, stopped = signals.set_sync_signals(), threading.Event()
    stop.add_cb(stopped.set)
    loop = loops.loops.get("asyncio")  # WSGI has no use for it, but Granian's scheduler takes one
    server = native.WSGIWorker(
        1,
        (None, native.SocketHolder(listener.fileno(), False, connections)),
        None,
        threads=1,
        py_threads=config.server.threads + _SPARE_THREADS,
        py_threads_idle_timeout=_IDLE_SECONDS,
        backpressure=connections,
        http_mode="1",
        http1_opts=HTTP1Settings(
            # Connections may rest as long: many clients keep one, and don't try again when it was closed under a POST.
            header_read_timeout=int(config.limits.request_seconds * 1000),
            max_buffer_size=config.limits.header_bytes,
        ),
        metrics=(None, None),
    )
    server.serve_mtr(futures._new_cbscheduler(loop, _callback(app), impl_asyncio=True), loop, stop)
    answering()
    stopped.wait()


def _callback(app: Application) -> Callable[[Any, dict[str, Any]], None]:
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
