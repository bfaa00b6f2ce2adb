"""The process that keeps the file locked, the socket open, and a worker running.

A file that crashes or hangs the HDF5 library ends the requests that are being answered, and no more.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace

from mockserver.h5check import check, child_environment
from mockserver.h5datafile import open_locked
from mockserver.h5errors import FileUnusable
from mockserver.h5requests import MOST_REQUEST_BYTES
from mockserver.h5worker import BOARD_BYTES, Board, Task

# The slowest that is known to be fine is the copying of a large volume before its first change at a new version.
LONGEST_SECONDS = 600.0
STOP_SECONDS = 20.0
START_SECONDS = 60.0
MOST_FAILED_STARTS = 3


def serve(
    path: str | os.PathLike[str],
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    read_only: bool = False,
    most_bytes: int = MOST_REQUEST_BYTES,
    longest_seconds: float = LONGEST_SECONDS,
    say: Callable[[str], None] = lambda line: print(line, flush=True),
    warn: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> None:
    """Serves a file until SIGTERM or Ctrl-C. To be called in the main thread of a process.

    Args:
        path: the file.
        host: address to listen at.
        port: 0 takes a free one.
        read_only: refuse changes.
        most_bytes: the most bytes of voxels in one request or answer.
        longest_seconds: a worker whose HDF5 library has not answered for so long is ended.
        say: gets one line with the URL, once requests are answered.
        warn: gets a line about each thing that is left out of the file or guessed, and about each crash.

    Raises:
        FileUnusable: the file or the address cannot be served; the message is one line.
    """
    with contextlib.ExitStack() as stack:
        file = open_locked(path, read_only=read_only)
        stack.callback(os.close, file)
        for note in check(path, file):
            warn(note)
        listener = stack.enter_context(_listener(host, port))
        board_file = stack.enter_context(tempfile.TemporaryFile())
        board_file.truncate(BOARD_BYTES)
        alive, parent = os.pipe()
        stack.callback(os.close, parent)
        stack.callback(os.close, alive)
        address = listener.getsockname()
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        supervisor = _Supervisor(
            Task(os.fspath(path), read_only, most_bytes, file, listener.fileno(), board_file.fileno(), -1, alive),
            longest_seconds,
            lambda: say(f"mockserver serves {os.fspath(path)} at http://{shown}:{address[1]}/"),
            warn,
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            stack.callback(signal.signal, number, signal.signal(number, supervisor.stop))
        supervisor.run()


class _Supervisor:
    def __init__(
        self, task: Task, longest_seconds: float, ready: Callable[[], None], warn: Callable[[str], None]
    ) -> None:
        self._task = task
        self._longest = longest_seconds
        self._ready = ready
        self._warn = warn
        self._board = Board(task.board)
        self._worker: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._announced = False

    @property
    def is_stopping(self) -> bool:
        return self._stopping

    def stop(self, number: int, frame: object) -> None:
        self._stopping = True
        if self._worker is not None:
            with contextlib.suppress(ProcessLookupError):
                self._worker.terminate()

    def run(self) -> None:
        """Starts workers, one after the other, until it is to stop."""
        failed_starts = 0
        while not self.is_stopping:
            started = time.monotonic()
            was_ready = self._one_worker()
            failed_starts = 0 if was_ready else failed_starts + 1
            if failed_starts == MOST_FAILED_STARTS and not self.is_stopping:
                raise FileUnusable(
                    f"{self._task.path} cannot be served: {failed_starts} workers ended before they began"
                )
            # A file that crashes every worker at once shall not keep the machine busy.
            time.sleep(max(0.0, 0.2 - (time.monotonic() - started)))

    def _one_worker(self) -> bool:
        """Runs a worker until it ends; whether it ever answered."""
        ready, write_end = os.pipe()
        self._board.clear()
        task = replace(self._task, ready=write_end)
        command = [sys.executable, "-P", "-m", "mockserver.h5worker", task.to_json()]
        try:
            self._worker = subprocess.Popen(
                command, pass_fds=task.descriptors, stdin=subprocess.DEVNULL, env=child_environment()
            )
        finally:
            os.close(write_end)
        try:
            return self._watch(self._worker, ready)
        finally:
            os.close(ready)
            if self._worker.poll() is None:
                self._worker.kill()
                self._worker.wait()

    def _watch(self, worker: subprocess.Popen[bytes], ready: int) -> bool:
        begun = time.monotonic()
        was_ready = False
        stop_at = None
        hung = ""
        while True:
            if self._stopping and stop_at is None:
                worker.terminate()  # again, where the signal came while the worker was being started
                stop_at = time.monotonic() + STOP_SECONDS
            if select.select([ready], [], [], min(0.5, self._longest / 4))[0]:
                if not os.read(ready, 1):
                    break  # the pipe ends with the process
                was_ready = True
                if not self._announced and not self._stopping:
                    self._announced = True
                    self._ready()
            seconds, doing = self._board.read()
            if seconds > self._longest:
                hung = f"{doing}, for more than {self._longest:g} s"
                worker.kill()
            if (stop_at is not None and time.monotonic() > stop_at) or (
                not was_ready and time.monotonic() > begun + START_SECONDS
            ):
                worker.kill()
        code = worker.wait()
        if not self._stopping:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            what = hung or self._board.read()[1] or "nothing that is known"
            self._warn(f"mockserver: a worker ended ({how}) while {what}; the next one is started")
        return was_ready


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=256)
    except (OSError, OverflowError) as error:
        raise FileUnusable(f"cannot listen at {host}:{port}: {getattr(error, 'strerror', None) or error}") from error
