"""Answered requests, and sums over those of one worker, as they are shared with the others."""

from __future__ import annotations

import time
from bisect import bisect_left
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the classes of duration, in seconds; one class more is above them."""
_SECONDS_KEPT = 5
_MOST_KINDS = 500
_MOST_USERS = 200
_PINGS = frozenset({"/api/heartbeat", "/api/load", "/api/user-latencies"})


class Record(NamedTuple):
    """An answered request."""

    time: float
    """When it came, in seconds since 1970."""
    seconds: float
    method: str
    path: str
    area: str
    """What it was about: server, repo, node or a type of data."""
    status: int
    received: int
    """Bytes of its body."""
    sent: int
    """Bytes of the answer."""
    user: str
    app: str
    remote: str
    """Address of the sender."""
    cut: bool
    """True if the answer was not sent to its end."""


class Kind(msgspec.Struct, array_like=True):
    """Requests of one method, area and status."""

    method: str
    area: str
    status: int
    count: int = 0
    seconds: float = 0.0
    received: int = 0
    sent: int = 0
    classes: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    """How many took as long as each class says."""


class Second(msgspec.Struct, array_like=True):
    """What ended within one second."""

    gets: int = 0
    puts: int = 0
    received: int = 0
    sent: int = 0
    file_read: int = 0
    file_written: int = 0


class Ping(msgspec.Struct):
    """The latencies of one user's pings, in milliseconds; named as the reference server names them."""

    User: str
    LastPing: str
    LastLatency: int
    MinLatency: int
    MaxLatency: int


class Tally(msgspec.Struct):
    """The sums of one worker."""

    kinds: dict[str, Kind] = {}
    seconds: dict[int, Second] = {}
    """The last seconds, by time since 1970."""
    pings: dict[str, Ping] = {}
    running: int = 0
    pending: int = 0
    lost: int = 0
    """Lines of the access log that could not be written."""
    file_read: int = 0
    """Bytes this process has read from disk."""
    file_written: int = 0

    def restart(self) -> None:
        """Go on with the sums of a worker that has ended."""
        self.running, (self.file_read, self.file_written) = 0, _file_bytes()

    def add(self, record: Record) -> None:
        """Take in a request."""
        key = f"{record.method} {record.area} {record.status}"
        kind = self.kinds.get(key)
        if kind is None:
            if len(self.kinds) >= _MOST_KINDS:
                return
            kind = self.kinds[key] = Kind(record.method, record.area, record.status)
        kind.count += 1
        kind.seconds += record.seconds
        kind.received += record.received
        kind.sent += record.sent
        kind.classes[bisect_left(BOUNDS, record.seconds)] += 1
        second = self._second(int(record.time + record.seconds))
        if record.method in ("GET", "HEAD"):
            second.gets += 1
        else:
            second.puts += 1
        second.received += record.received
        second.sent += record.sent
        if record.user and record.path in _PINGS:
            self._ping(record)

    def _second(self, now: int) -> Second:
        second = self.seconds.get(now)
        if second is None:
            second = self.seconds[now] = Second()
            for old in [at for at in self.seconds if at < now - _SECONDS_KEPT]:
                del self.seconds[old]
            read, written = _file_bytes()
            second.file_read, second.file_written = read - self.file_read, written - self.file_written
            self.file_read, self.file_written = read, written
        return second

    def _ping(self, record: Record) -> None:
        latency = int(record.seconds * 1000)
        when = datetime.fromtimestamp(record.time, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        known = self.pings.pop(record.user, None)
        if known is None and len(self.pings) >= _MOST_USERS:
            del self.pings[next(iter(self.pings))]
        low, high = (latency, latency) if known is None else (known.MinLatency, known.MaxLatency)
        self.pings[record.user] = Ping(record.user[:200], when, latency, min(low, latency), max(high, latency))


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Tally)


def publishable(tally: Tally) -> bytes:
    """A tally as bytes."""
    return _encoder.encode(tally)


def restored(document: bytes) -> Tally:
    """A tally from bytes; nothing but zeros from none."""
    try:
        return _decoder.decode(document) if document else Tally()
    except msgspec.DecodeError:
        return Tally()


def joined_kinds(tallies: list[Tally]) -> list[Kind]:
    """The sums of several workers, sorted."""
    joined: dict[str, Kind] = {}
    for tally in tallies:
        for key, kind in tally.kinds.items():
            into = joined.setdefault(key, Kind(kind.method, kind.area, kind.status))
            into.count += kind.count
            into.seconds += kind.seconds
            into.received += kind.received
            into.sent += kind.sent
            into.classes = [a + b for a, b in zip(into.classes, kind.classes, strict=True)]
    return [joined[key] for key in sorted(joined)]


def last_second(tallies: list[Tally]) -> Second:
    """What all workers did in the last second that is over."""
    at, total = int(time.time()) - 1, Second()
    for tally in tallies:
        one = tally.seconds.get(at, Second())
        total.gets += one.gets
        total.puts += one.puts
        total.received += one.received
        total.sent += one.sent
        total.file_read += one.file_read
        total.file_written += one.file_written
    return total


def joined_pings(tallies: list[Tally]) -> dict[str, Ping]:
    """The latencies of all users."""
    joined: dict[str, Ping] = {}
    for tally in tallies:
        for user, ping in tally.pings.items():
            other = joined.get(user)
            if other is not None:
                newest = max(ping, other, key=lambda one: one.LastPing)
                low, high = min(ping.MinLatency, other.MinLatency), max(ping.MaxLatency, other.MaxLatency)
                ping = Ping(user, newest.LastPing, newest.LastLatency, low, high)
            joined[user] = ping
    return joined


def _file_bytes() -> tuple[int, int]:
    """Bytes this process has read from and written to disk."""
    try:
        with open("/proc/self/io", encoding="ascii") as file:
            found = dict(line.split(": ") for line in file)
        return int(found["read_bytes"]), int(found["write_bytes"])
    except (OSError, ValueError, KeyError):
        return 0, 0
