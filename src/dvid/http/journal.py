"""What becomes of a request after it was answered: a line in the access log, and the server's counters.

A handler's thread only puts a record in a row, and rings a bell where none was rung. A thread of the worker waits for
the bell, takes all records a few milliseconds later, writes their lines at once, and publishes the sums for the other
workers. It takes none while it waits: whoever asks for the sums finds them in the row.
"""

from __future__ import annotations

import os
import queue
import select
import stat
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from dvid.config import Config
from dvid.http.board import Board
from dvid.http.gate import Gate
from dvid.http.tally import Record, Tally, publishable, restored

INTERVAL = 0.02
"""Seconds from an answer to its line in the log and its place in the sums."""
_MOST_PENDING = 100_000  # records; beyond it the log is losing lines rather than the server its memory
_encode = msgspec.json.Encoder().encode


class Journal:
    """The records of one worker."""

    def __init__(self, config: Config, board: Board, worker: int, gate: Gate) -> None:
        self._board, self._worker, self._gate = board, worker, gate
        self._form = config.server.access_log
        self._file = config.server.access_log_file
        self._records: deque[Record] = deque()
        self._bell: queue.SimpleQueue[bool] = queue.SimpleQueue()
        """True: there are records; False: there will be no more."""
        self._rung = False
        self._output: int | None = None
        self._lock = threading.Lock()
        self._dropped = 0
        self._tally = restored(board.read(worker))
        self._tally.restart()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def add(self, record: Record) -> None:
        """Take in an answered request; where too many wait, it is lost."""
        if len(self._records) >= _MOST_PENDING:
            self._dropped += 1
            return
        self._records.append(record)
        if not self._rung:
            self._rung = True
            self._bell.put(True)

    def start(self) -> None:
        """Begin to write."""
        if self._form != "off":
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._output = os.open(self._file, flags, 0o644) if self._file else sys.stderr.fileno()
        self._thread.start()

    def stop(self) -> None:
        """Write what is left."""
        self._bell.put(False)
        self._thread.join(1.0)

    @property
    def pending(self) -> int:
        """Number of records that wait."""
        return len(self._records)

    def tallies(self) -> list[Tally]:
        """The sums of all workers.

        What this one answered before the call is in them; what others did, too, unless they are too busy to tell it.
        """
        self._drain()
        if self._board.workers > 1:
            time.sleep(2 * INTERVAL)
        return [restored(self._board.read(worker)) for worker in range(self._board.workers)]

    def _run(self) -> None:
        while self._bell.get():
            time.sleep(INTERVAL)
            self._rung = False  # before they are taken: for what comes from here on, the bell rings again
            self._drain()
        self._drain()

    def _drain(self) -> None:
        records: list[Record] = []
        with self._lock:
            with suppress(IndexError):
                while True:
                    records.append(self._records.popleft())
            for record in records:
                self._tally.add(record)
            self._tally.lost, self._dropped = self._tally.lost + self._dropped, 0
            self._tally.pending, self._tally.running = len(self._records), self._gate.running
            self._board.publish(self._worker, publishable(self._tally))
        if self._output is not None:
            self._write(self._output, records)

    def _write(self, output: int, records: list[Record]) -> None:
        line = _json_line if self._form == "json" else _text_line
        # Workers share the output: a file takes what is written at once as a whole, a pipe no more than a page.
        most = 1 << 20 if stat.S_ISREG(os.fstat(output).st_mode) else select.PIPE_BUF
        block = bytearray()
        try:
            for made in map(line, records):
                if len(block) + len(made) > most:
                    _write_whole(output, block)
                    block.clear()
                block += made
            _write_whole(output, block)
        except OSError:
            self._tally.lost += len(records)  # a full disk or a closed terminal must not end the service


def _write_whole(output: int, block: bytearray) -> None:
    done = 0
    while done < len(block):
        done += os.write(output, bytes(block[done:]))


@lru_cache(4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def _stamp(seconds: float) -> str:
    whole, thousandths = divmod(int(seconds * 1000), 1000)
    return f"{_second(whole)}.{thousandths:03d}Z"


def _json_line(record: Record) -> bytes:
    fields = {
        "time": _stamp(record.time),
        "method": record.method,
        "path": record.path,
        "status": record.status,
        "ms": round(record.seconds * 1000, 3),
        "in": record.received,
        "out": record.sent,
        "user": record.user,
        "app": record.app,
        "remote": record.remote,
    }
    if record.cut:
        fields["cut"] = True
    return _encode(fields) + b"\n"


def _text_line(record: Record) -> bytes:
    who = f"{record.remote} {_word(record.user)} {_word(record.app)}"
    what = f"{record.method} {_word(record.path)} {record.status}{' cut' if record.cut else ''}"
    sizes = f"{record.seconds * 1000:.1f}ms {record.received}B {record.sent}B"
    return f"{_stamp(record.time)} {who} {what} {sizes}\n".encode()


def _word(text: str) -> str:
    return "".join(c if c.isprintable() and c != " " else repr(c)[1:-1].replace(" ", "%20") for c in text) or "-"
