"""The process that answers requests: the HDF5 library runs in it, and may take it down."""

from __future__ import annotations

import json
import logging
import mmap
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import waitress.channel
import waitress.server
import waitress.task
import waitress.wasyncore

from mockserver.h5check import limit_memory
from mockserver.h5datafile import DataFile
from mockserver.h5requests import asks_for_much
from mockserver.h5routes import Environ, application

THREADS = 4
"""For requests that want little, and as many for those that want much."""
CONNECTIONS = 200
IDLE_SECONDS = 60
MEMORY_BYTES = 4 << 30
BOARD_BYTES = 1024
MOST_WAITING_BYTES = 2 << 30
"""Of answers that wait for their readers, together; while there are more, nothing else is answered. Those that are being made come on top."""
_MARGIN = 1 << 20


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is started with.

    Attributes:
        path: of the file.
        read_only: whether changes are refused.
        most_bytes: of voxels, in one request or answer.
        file, listener, board, ready, parent: descriptors: of the locked file, of the socket that listens, of the memory where the
            worker says what it is doing, of the pipe where it says that it answers, and of one that ends with its parent.
    """

    path: str
    read_only: bool
    most_bytes: int
    file: int
    listener: int
    board: int
    ready: int
    parent: int

    @property
    def descriptors(self) -> list[int]:
        """All of them."""
        return [self.file, self.listener, self.board, self.ready, self.parent]

    def to_json(self) -> str:
        """As the argument of the process."""
        return json.dumps(asdict(self))


class Board:
    """A few bytes of memory that a process and its parent share: since when the HDF5 library has been at work, and on what."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, BOARD_BYTES)

    def write(self, doing: str) -> None:
        """Says what the HDF5 library is about to do; empty where it has done it."""
        if doing:
            text = doing.encode("utf-8", "replace")[: BOARD_BYTES - 10]
            self._memory[8 : 10 + len(text)] = struct.pack("<H", len(text)) + text
        self._memory[:8] = struct.pack("<d", time.monotonic() if doing else 0.0)

    def read(self) -> tuple[float, str]:
        """For how many seconds it has been at work, and on what; 0 and nothing where it is not."""
        since = struct.unpack("<d", self._memory[:8])[0]
        if not since:
            return 0.0, ""
        length = struct.unpack("<H", self._memory[8:10])[0]
        return time.monotonic() - since, self._memory[10 : 10 + length].decode("utf-8", "replace")

    def clear(self) -> None:
        """Nothing is being done."""
        self._memory[:8] = bytes(8)


class _ErrorTask(waitress.task.ErrorTask):  # type: ignore[misc]
    """An answer to what is no HTTP request, or too large: pages from anywhere may read it, too."""

    def execute(self) -> None:
        self.response_headers.append(("Access-Control-Allow-Origin", "*"))
        super().execute()


class _Channel(waitress.channel.HTTPChannel):  # type: ignore[misc]
    error_task_class = _ErrorTask


class _Lanes:
    """Threads for requests that want little, and others for those that want much: these keep none of the first from being answered.

    Args:
        little: what waitress has made.
    """

    def __init__(self, little: Any) -> None:
        self._little = little
        self._much = waitress.task.ThreadedTaskDispatcher()
        self._much.set_thread_count(THREADS)

    def add_task(self, channel: Any) -> None:
        request = channel.requests[0]
        # What is no request has no path.
        much = request.error is None and asks_for_much(request.path, request.content_length)
        (self._much if much else self._little).add_task(channel)

    def shutdown(self) -> None:
        for dispatcher in (self._little, self._much):
            dispatcher.set_thread_count(0)
        for dispatcher in (self._little, self._much):
            dispatcher.shutdown()


def http_server(data: DataFile, listener: socket.socket, most_bytes: int) -> Any:
    """A waitress server of a file on a socket that listens: ``run()`` answers until ``SystemExit``, ``close()`` ends it.

    Bodies and answers beyond some hundred kB wait in temporary files while they come and go, so that slow clients keep no
    thread and no memory.
    """
    logging.getLogger("waitress").setLevel(logging.ERROR)
    answer = application(data, most_bytes)

    def answer_if_there_is_room(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        waiting = sum(channel.total_outbufs_len for channel in list(server.active_channels.values()))
        if waiting <= MOST_WAITING_BYTES:
            return answer(environ, start_response)
        headers = [("Content-Type", "text/plain"), ("Retry-After", "5"), ("Access-Control-Allow-Origin", "*")]
        start_response("503 Service Unavailable", headers)
        return [f"{waiting} bytes of answers wait for their readers: ask again later".encode()]

    server = waitress.server.create_server(
        answer_if_there_is_room,
        sockets=[listener],
        threads=THREADS,
        connection_limit=CONNECTIONS,
        channel_timeout=IDLE_SECONDS,
        max_request_body_size=most_bytes + _MARGIN,
        outbuf_high_watermark=most_bytes + _MARGIN,
        recv_bytes=1 << 18,
        ident="mockserver",
        asyncore_use_poll=True,
    )
    server.channel_class = _Channel
    server.task_dispatcher = _Lanes(server.task_dispatcher)
    return server


def stop_http(server: Any, thread: threading.Thread) -> None:
    """Ends a server that runs in another thread, once what is being answered is done with the file."""

    def in_its_thread() -> None:
        for channel in list(server.active_channels.values()):
            channel.handle_close()
        # The trigger is only taken out of the loop: whoever pulls it may still be about to write to its pipe.
        server.trigger.del_channel()
        waitress.wasyncore.dispatcher.close(server)

    server.task_dispatcher.shutdown()
    server.trigger.pull_trigger(in_its_thread)
    thread.join()
    server.trigger.close()


def main() -> None:
    """The process: serves until SIGTERM, or until its parent has ended."""
    task = Task(**json.loads(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the parent passes it on
    signal.signal(signal.SIGTERM, _stop)
    limit_memory(MEMORY_BYTES)
    board = Board(task.board)
    threading.Thread(target=_end_with_parent, args=(task.parent,), daemon=True).start()
    data = DataFile(task.path, task.file, read_only=task.read_only, watch=board.write)
    try:
        server = http_server(data, socket.socket(fileno=task.listener), task.most_bytes)
        os.write(task.ready, b"1")
        server.run()
    finally:
        data.close()


def _stop(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(0)


def _end_with_parent(pipe: int, end: Callable[[int], None] = os._exit) -> None:
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)
    end(1)


if __name__ == "__main__":
    main()
