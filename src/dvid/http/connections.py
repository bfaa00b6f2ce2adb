"""The TCP connections of clients, for the times when one has to be given up.

A thread that waits for the body of a request cannot be interrupted, and the HTTP server does not tell its connection.
What the kernel knows of each connection (tcp(7), TCP_INFO) tells which ones it may be: those on which the last thing
that happened is that something arrived, long ago.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from dvid.http.gate import Exchange

# <linux/tcp.h>, struct tcp_info up to tcpi_data_segs_out.
_TCP_INFO = struct.Struct("=8B24I4Q6I")
_LAST_DATA_SENT, _LAST_DATA_RECEIVED, _SEGMENTS_IN, _SEGMENTS_OUT = 17, 19, 40, 41
_MARGIN = 1.0  # seconds that a request may take from its arrival to its thread


def drop_stalled(seconds: float) -> int:
    """Shut all connections on which nothing was sent for so long; how many they were."""
    dropped = 0
    for number in _numbers():
        with suppress(OSError), _opened(number) as connection:
            if _State.of(connection).sent >= seconds:
                connection.shutdown(socket.SHUT_RDWR)
                dropped += 1
    return dropped


def cut_silent(exchanges: Iterable[Exchange], seconds: float) -> int:
    """End the bodies of requests whose clients have sent nothing for so long; how many they were.

    Their threads see a body that ends too early, with `Exchange.cut` set, and can still answer.

    A request that is worked on, and one that still waits for a thread, leave a connection in the same state as a silent
    client does. So from each address no more connections are cut than requests from there wait in vain, the longest
    silent ones first; and none that may belong to a request that is being worked on. If it was the wrong one, which
    takes more requests than threads, the request waits for as long again.
    """
    now = time.monotonic()
    waiting: dict[str, list[Exchange]] = defaultdict(list)
    reading: dict[str, list[Exchange]] = defaultdict(list)
    worked_on: dict[str, float] = {}
    for exchange in exchanges:
        host, since = _host(exchange.address), exchange.reading
        if since is not None:
            reading[host].append(exchange)
            if now - max(since, exchange.tried or since) >= seconds:
                waiting[host].append(exchange)
        elif now - exchange.heard >= seconds - _MARGIN:
            worked_on[host] = max(exchange.heard, worked_on.get(host, 0.0))
    if not waiting:
        return 0
    silent: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for number in _numbers():
        with suppress(OSError), _opened(number) as connection:
            state, host = _State.of(connection), _host(connection.getpeername()[0])
            may_be_worked_on = now - state.received <= worked_on.get(host, float("-inf")) + _MARGIN
            if state.unanswered and state.received >= seconds and host in waiting and not may_be_worked_on:
                silent[host].append((-state.received, number))
    cut = 0
    for host, found in silent.items():
        for exchange in reading[host]:
            exchange.cut = True
        for exchange in waiting[host]:
            exchange.tried = now
        for _, number in sorted(found)[: len(waiting[host])]:
            with suppress(OSError), _opened(number) as connection:
                if _State.of(connection).received >= seconds:
                    connection.shutdown(socket.SHUT_RD)
                    cut += 1
    return cut


def _numbers() -> list[int]:
    """File descriptors of the connections to the ports that this process listens at; others are not its clients'."""
    ports: set[int] = set()
    made: list[tuple[int, int]] = []
    for number in map(int, os.listdir("/proc/self/fd")):
        with suppress(OSError), _opened(number) as opened:
            port = opened.getsockname()[1]
            if opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                ports.add(port)
            else:
                made.append((number, port))
    return [number for number, port in made if port in ports]


@contextmanager
def _opened(number: int) -> Iterator[socket.socket]:
    """A copy of a TCP socket: it may be closed, and its number used again, at any moment.

    Raises:
        OSError: the file of that number is none.
    """
    # Closing a copy of any other file would undo this process's locks on it, the store's among them (fcntl(2)).
    if not os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):
        raise OSError("not a socket")
    copy = os.dup(number)
    try:
        opened = socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
    with opened:
        if opened.family not in (socket.AF_INET, socket.AF_INET6) or opened.type != socket.SOCK_STREAM:
            raise OSError("not TCP")
        yield opened


@dataclass(frozen=True, slots=True)
class _State:
    sent: float
    """Seconds since something was sent to the client, or else since it connected."""
    received: float
    """The same for what the client sent."""
    unanswered: bool
    """Whether something has arrived since something was sent last; False also where it is too close to tell."""

    @classmethod
    def of(cls, connection: socket.socket) -> _State:
        known = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        info = _TCP_INFO.unpack(known.ljust(_TCP_INFO.size, b"\0"))  # Linux before 4.6 tells less
        sent, received = info[_LAST_DATA_SENT], info[_LAST_DATA_RECEIVED]  # in milliseconds
        # What came in the same tick of the kernel's clock as the connection itself is no younger.
        first = info[_SEGMENTS_IN] > 0 and info[_SEGMENTS_OUT] == 0
        return cls(sent / 1000, received / 1000, first or sent > received)


def _host(address: str) -> str:
    """An address in one spelling: the socket and the HTTP server may each have their own."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(getattr(found, "ipv4_mapped", None) or found)
