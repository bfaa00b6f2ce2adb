"""What a worker does beside answering requests: loading kernels, removing old data, dropping stalled clients."""

from __future__ import annotations

import logging
import os
import signal
import threading

from dvid.background import forget_replies, sweep, work_off
from dvid.datatypes.base import datatypes
from dvid.errors import DvidError
from dvid.http.calls import Service
from dvid.http.connections import cut_silent, drop_stalled
from dvid.http.gate import SHORT
from dvid.http.retries import kept_since
from dvid.versions import layout

log = logging.getLogger("dvid.http")

_TICK = 1.0
_PRUNE_TICKS = 60
_WORK_TICK = 0.1
_WORK_PAUSE = 0.002  # requests come first
_SWEEP_PAUSE = 0.02  # between two transactions: other writers are to come in


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
            self._threads.append(threading.Thread(target=self._work, name="working", daemon=True))

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
                    while forget_replies(database, kept_since(hours)) and not self._stop.wait(_SWEEP_PAUSE):
                        pass
                ticks += 1
                with database.read() as (snapshot, _):
                    doomed = next(iter(snapshot.scan(layout.DOOMED, layout.after(layout.DOOMED))), None)
                while doomed is not None and sweep(database) and not self._stop.wait(_SWEEP_PAUSE):
                    pass
            except DvidError:
                log.exception("deleted data, or replies that have expired, could not be removed; trying again later")
                self._stop.wait(60)

    def _work(self) -> None:
        database = self._service.database
        while not self._stop.wait(_WORK_TICK):
            try:
                while work_off(database) and not self._stop.wait(_WORK_PAUSE):
                    pass
            except DvidError:
                log.exception("work that waits in the background, as lower resolutions, failed; trying again later")
                self._stop.wait(60)

    def _watch(self) -> None:
        limits = self._service.config.limits
        allowed, silence = limits.request_seconds, limits.silence_seconds
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
            elif cut := cut_silent(gate.exchanges(), silence):
                log.warning("%d requests were ended: nothing came for %g s (limits.silenceSeconds)", cut, silence)
