"""What a worker does beside answering requests: loading kernels, removing old data, dropping stalled clients."""

from __future__ import annotations

import logging
import os
import signal
import socket
import stat
import struct
import threading
from contextlib import closing, suppress

from dvid.datatypes.base import datatypes
from dvid.errors import DvidError
from dvid.http.calls import Service
from dvid.http.gate import SHORT
from dvid.http.retries import kept_since
from dvid.versions import layout

log = logging.getLogger("dvid.http")

_TICK = 1.0
_PRUNE_TICKS = 60
_SWEEP_PAUSE = 0.02  # between two transactions: other writers are to come in
_TCP_INFO = struct.Struct("=8B10I")  # <linux/tcp.h>, struct tcp_info up to tcpi_last_data_sent (milliseconds)


class Chores:
    """The background threads of a worker."""

    def __init__(self, service: Service, *, sweeping: bool) -> None:
        self._service = service
        self._stop = threading.Event()
        self._parent = os.getppid()
        self._threads = [
            threading.Thread(target=self._warm, name="warming", daemon=True),
            threading.Thread(target=self._watch, name="watching", daemon=True),
        ]
        if sweeping and not service.config.server.read_only:
            self._threads.append(threading.Thread(target=self._sweep, name="sweeping", daemon=True))

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End them; the store can be closed then."""
        self._stop.set()
        for thread in self._threads[1:]:  # loading kernels cannot be interrupted, and does not need the store
            thread.join(2.0)

    def _warm(self) -> None:
        from dvid.kernels.warming import warm

        warm()
        datatypes()

    def _sweep(self) -> None:
        database, hours = self._service.database, self._service.config.server.idempotency_hours
        ticks = 0
        while not self._stop.wait(_TICK):
            try:
                if ticks % _PRUNE_TICKS == 0:
                    while database.forget_replies(kept_since(hours)) and not self._stop.wait(_SWEEP_PAUSE):
                        pass
                ticks += 1
                with database.read() as (snapshot, _):
                    doomed = next(iter(snapshot.scan(layout.DOOMED, layout.after(layout.DOOMED))), None)
                while doomed is not None and database.sweep() and not self._stop.wait(_SWEEP_PAUSE):
                    pass
            except DvidError:
                log.exception("deleted data, or replies that have expired, could not be removed; trying again later")
                self._stop.wait(60)

    def _watch(self) -> None:
        allowed = self._service.config.limits.request_seconds
        gate, tick = self._service.gate, 0
        while not self._stop.wait(SHORT):
            gate.take_from_waiting()
            tick += 1
            if tick % 20:
                continue
            if os.getppid() != self._parent:
                os.kill(os.getpid(), signal.SIGTERM)
            if gate.longest_read() > allowed:
                dropped = drop_stalled(allowed)
                log.warning(
                    "%d connections were dropped: no whole request within %g s (limits.requestSeconds)",
                    dropped,
                    allowed,
                )


def drop_stalled(seconds: float) -> int:
    """Shut the TCP connections of this process on which nothing was sent for so long; how many they were.

    A thread that waits for the body of a request cannot be interrupted, and the HTTP server does not tell its
    connection. But that one is among those on which a request has waited for its answer for too long.
    """
    dropped = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            # Closing a copy of any other file would undo this process's locks on it, the store's among them (fcntl(2)).
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            copy = os.dup(int(name))  # the connection may be closed, and its number used again, at any moment
            try:
                dropped += stat.S_ISSOCK(os.fstat(copy).st_mode) and _drop(copy, seconds)
            finally:
                os.close(copy)
    return dropped


def _drop(descriptor: int, seconds: float) -> bool:
    with closing(socket.socket(fileno=os.dup(descriptor))) as connection:
        if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.type != socket.SOCK_STREAM:
            return False
        connection.getpeername()  # a socket that listens has none: OSError
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        if _TCP_INFO.unpack(info)[-1] < seconds * 1000:
            return False
        connection.shutdown(socket.SHUT_RDWR)
        return True
