"""The main process of a server: it listens, starts the workers, starts those anew that die, and stops them."""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from dvid.config import Address, Config
from dvid.database import Database
from dvid.errors import ConfigError, DvidError
from dvid.http.board import Board
from dvid.http.workers import LAST_SECONDS, start_worker

log = logging.getLogger("dvid.http")

_BACKLOG = 1024
_MOST_FAILURES = 5  # of workers that die before they have answered anything
_PAUSE = 0.5  # seconds until a worker is started anew that died at once


class ServiceFailed(DvidError):
    """The workers die as soon as they are started."""


def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigError: the server cannot listen where it should.
        StoreUnusable: the store cannot be opened.
        ServiceFailed: the workers cannot work.
    """
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for warning in config.warnings:
        log.warning("%s", warning)
    if any(backend.specifier not in ("default", "metadata") for backend in config.backends):
        from dvid.datatypes.base import datatypes  # which takes most of a second

        config.check_types(datatypes())
    with ExitStack() as stack:
        listeners = listen(config.server.http_address, config.server.workers, config.limits.request_seconds)
        for listener in listeners:
            stack.enter_context(listener)
        Database.from_config(
            config
        ).close()  # complain before anything is started; and only one process makes a new store
        _Service(config, listeners).run()


def listen(address: Address, count: int, seconds: float) -> list[socket.socket]:
    """Sockets that listen at one address, one for each worker; port 0 takes a free port for all.

    The kernel deals out connections among them evenly, which a single socket does not do: the worker that wakes up
    first takes all that wait. The main process keeps them open, so that none is lost when a worker dies.

    Raises:
        ConfigError: the address cannot be used.
    """
    made: list[socket.socket] = []
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:  # sockets that share a port with others would not complain
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
            probe.listen(1)
            where = probe.getsockname()
        for _ in range(count):
            listener = socket.socket(family, kind, protocol)
            made.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            # What connections inherit: answers leave at once, and clients that take nothing more are given up.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
            listener.bind(where)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
    except OSError as error:
        for listener in made:
            listener.close()
        reason = error.strerror or str(error)
        raise ConfigError(f"server.httpAddress = {address}: cannot listen there: {reason}") from None
    return made


@dataclass(slots=True)
class _Worker:
    number: int
    pid: int
    started: float


class _Service:
    """The workers of a server, and what happens to them."""

    def __init__(self, config: Config, listeners: list[socket.socket]) -> None:
        self._config, self._listeners = config, listeners
        self._board = Board(config.server.workers, config.limits.heavy_requests)
        self._workers: dict[int, _Worker] = {}
        self._due: list[tuple[float, int]] = []
        self._stopping = False
        self._failures = 0
        self._answering = False
        self._ready, self._tell_ready = os.pipe()
        self._woken, self._wake = os.pipe()
        for end in (self._ready, self._woken, self._wake):
            os.set_blocking(end, False)

    def run(self) -> None:
        """Start the workers and stay until they have all ended."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake)
        for number in range(self._config.server.workers):
            self._start(number)
        deadline = float("inf")
        while self._workers or (self._due and not self._stopping):
            now = time.monotonic()
            pause = min([1.0, deadline - now, *(when - now for when, _ in self._due)])
            select.select([self._woken, self._ready], [], [], max(0.0, pause))
            self._listen_to_pipes()
            if self._stopping and deadline == float("inf"):
                deadline = time.monotonic() + LAST_SECONDS
                for listener in self._listeners:
                    listener.close()
                self._signal(signal.SIGTERM)
            if time.monotonic() >= deadline:
                log.warning("%d workers had requests that did not end; they were killed", len(self._workers))
                self._signal(signal.SIGKILL)
                deadline = time.monotonic() + 1
            self._reap()
            for when, number in list(self._due):
                if when <= time.monotonic() and not self._stopping:
                    self._due.remove((when, number))
                    self._start(number)

    def _start(self, number: int) -> None:
        pid = start_worker(self._config, self._board, number, self._listeners, self._tell_ready)
        self._workers[pid] = _Worker(number, pid, time.monotonic())

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _signal(self, number: int) -> None:
        for pid in self._workers:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _listen_to_pipes(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)
        with suppress(BlockingIOError):
            if os.read(self._ready, 4096):
                self._failures = 0
                if not self._answering:
                    self._answering = True
                    address = self._config.server.http_address
                    url = f"http://{Address(address.host, self._listeners[0].getsockname()[1])}/"
                    print(f"dvid serves {self._config.default_store.path} at {url}", flush=True)

    def _reap(self) -> None:
        for worker in list(self._workers.values()):
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if not pid:
                continue
            del self._workers[pid]
            if self._stopping:
                continue
            log.error("worker %d ended (%s); it is started anew", worker.number, os.waitstatus_to_exitcode(status))
            now = time.monotonic()
            if now - worker.started < _PAUSE:
                self._failures += 1
                if self._failures >= _MOST_FAILURES * self._config.server.workers:
                    self._signal(signal.SIGKILL)
                    raise ServiceFailed("the worker processes end as soon as they are started: see the messages above")
                self._due.append((now + _PAUSE, worker.number))
            else:
                self._start(worker.number)
