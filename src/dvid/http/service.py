"""The main process of a server: it listens, starts the workers, starts those anew that die, and stops them."""

from __future__ import annotations

import os
import select
import signal
import socket
import time

from dvid.config import Address, Config
from dvid.errors import ConfigError
from dvid.http.workers import open_database, start_worker

_BACKLOG = 1024
_PATIENCE = 4.5
"""Seconds from the wish to stop until workers that are still running are killed."""


def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigError: the server cannot listen where it should.
        StoreUnusable: the store cannot be opened.
    """
    open_database(config).close()  # complain before anything is started; and only one process makes a new store
    with listen(config.server.http_address) as listener:
        Service(config, listener).run()


def listen(address: Address) -> socket.socket:
    """A socket that listens at an address; port 0 takes a free port.

    Raises:
        ConfigError: it cannot.
    """
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise ConfigError(f"server.httpAddress = {address}: cannot listen there: {error.strerror or error}") from None
    return listener


class Service:
    """The workers of a server, and what happens to them."""

    def __init__(self, config: Config, listener: socket.socket) -> None:
        self._config, self._listener = config, listener
        port = listener.getsockname()[1]
        self.url = f"http://{Address(config.server.http_address.host, port)}/"
        self._workers: set[int] = set()
        self._stopping = False

    def run(self) -> None:
        """Start the workers and stay until they have all ended."""
        wake_in, wake_out = os.pipe()
        os.set_blocking(wake_in, False)
        os.set_blocking(wake_out, False)
        ready_in, ready_out = os.pipe()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_out)
        for _ in range(self._config.server.workers):
            self._workers.add(start_worker(self._config, self._listener, ready_out))
        announced, deadline = False, None
        while self._workers:
            readable, _, _ = select.select([wake_in, *([] if announced else [ready_in])], [], [], 0.25)
            if wake_in in readable:
                os.read(wake_in, 4096)
            if ready_in in readable and not announced:
                announced = True
                print(f"dvid serves {self._config.default_store.path} at {self.url}", flush=True)
            if self._stopping and deadline is None:
                deadline = time.monotonic() + _PATIENCE
                self._signal(signal.SIGTERM)
            if deadline is not None and time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
            self._reap(ready_out)

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _signal(self, number: int) -> None:
        for pid in self._workers:
            os.kill(pid, number)

    def _reap(self, ready: int) -> None:
        for pid in list(self._workers):
            if os.waitpid(pid, os.WNOHANG)[0]:
                self._workers.discard(pid)
                if not self._stopping:
                    self._workers.add(start_worker(self._config, self._listener, ready))
