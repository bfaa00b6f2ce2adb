"""Which connections are given up when requests wait for bodies that do not come."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from dvid.http.connections import cut_silent
from dvid.http.gate import Exchange, Gate

HOST = "127.0.0.2"  # of clients; that of the server is another
SECONDS = 0.05
PAUSE = 0.1


class Link:
    """A connection of this process, and the client at its other end."""

    def __init__(self, client: socket.socket, served: socket.socket) -> None:
        self.client, self.served = client, served

    def asks(self) -> Link:
        """The client has sent something, and then nothing more."""
        self.client.sendall(b"POST")
        assert self.served.recv(4) == b"POST"
        time.sleep(PAUSE)
        return self

    def answers(self) -> Link:
        """The last thing that happened is that something was sent to the client."""
        self.served.sendall(b"HTTP")
        assert self.client.recv(4) == b"HTTP"
        time.sleep(PAUSE)
        return self

    def close(self) -> None:
        self.client.close()
        self.served.close()

    @property
    def ended(self) -> bool:
        """Whether the server sees the end of what the client sends."""
        self.served.setblocking(False)
        try:
            return self.served.recv(1) == b""
        except BlockingIOError:
            return False


@pytest.fixture
def connect() -> Iterator[Callable[[], Link]]:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

        def make() -> Link:
            client = stack.enter_context(socket.create_connection(listener.getsockname(), source_address=(HOST, 0)))
            return Link(client, stack.enter_context(listener.accept()[0]))

        yield make


class Clock:
    """The time at which connections are looked at; it stands still."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("dvid.http.connections.time", made)
    return made


def waiting(seconds: float = 60.0, address: str = HOST) -> Exchange:
    """A request that has waited for its client's bytes for so long."""
    now = time.monotonic()
    return Exchange(address, heard=now - seconds, reading=now - seconds)


def worked_on(seconds: float, address: str = HOST) -> Exchange:
    """A request whose client was heard so long ago, and that does not wait for it."""
    return Exchange(address, heard=time.monotonic() - seconds)


def test_a_silent_client_is_cut_and_can_still_be_answered(connect: Callable[[], Link]) -> None:
    silent, request = connect().asks(), waiting()
    assert cut_silent([request], SECONDS) == 1
    assert silent.ended
    assert request.cut
    silent.answers()


def test_others_are_left_alone(connect: Callable[[], Link]) -> None:
    limit = 0.5
    for _ in range(20):
        links = idle, new, silent, sending = connect().asks().answers(), connect(), connect().asks(), connect()
        time.sleep(limit)
        begin = time.monotonic()
        sending.client.sendall(b"POST")
        cut = cut_silent([waiting(), waiting()], limit)
        if time.monotonic() - begin < limit:
            break
        for link in links:  # on a busy machine, the one that sends may have been silent for so long, too
            link.close()
    assert cut == 1
    assert [link.ended for link in (idle, new, silent)] == [False, False, True]
    assert sending.served.recv(4) == b"POST"
    assert not sending.ended


def test_no_more_are_cut_than_wait_in_vain_and_the_longest_silent_first(connect: Callable[[], Link]) -> None:
    links = [connect().asks() for _ in range(3)]
    assert cut_silent([waiting(), waiting()], SECONDS) == 2
    assert [link.ended for link in links] == [True, True, False]


def test_for_a_request_that_was_cut_no_other_pays_at_once(connect: Callable[[], Link], clock: Clock) -> None:
    request, links = waiting(), [connect().asks() for _ in range(2)]
    assert cut_silent([request], SECONDS) == 1
    assert cut_silent([request], SECONDS) == 0
    for link in links:
        link.served.close()
    last = connect().asks()
    assert cut_silent([request], SECONDS) == 0
    clock.now += PAUSE
    assert cut_silent([request], SECONDS) == 1
    assert last.ended


def test_connections_of_this_process_to_other_servers_are_not_its_clients(connect: Callable[[], Link]) -> None:
    with socket.create_server((HOST, 0)) as listener:
        outgoing = socket.create_connection(listener.getsockname())
        other = listener.accept()[0]
    with outgoing, other:
        other.sendall(b"220")
        assert outgoing.recv(3) == b"220"
        time.sleep(PAUSE)
        assert cut_silent([waiting()], SECONDS) == 0
        outgoing.sendall(b"QUIT")
        assert other.recv(4) == b"QUIT"


def test_nobody_is_cut_where_nobody_waits_in_vain(connect: Callable[[], Link], clock: Clock) -> None:
    link = connect().asks()
    just_now = Exchange(HOST, heard=clock.now, reading=clock.now)
    for request in (waiting(address="10.1.2.3"), just_now, worked_on(60.0)):
        assert cut_silent([request], SECONDS) == 0
        assert not request.cut
    assert not link.ended


def test_a_request_that_is_worked_on_is_not_mistaken_for_a_silent_one(connect: Callable[[], Link]) -> None:
    link, gate = connect().asks(), Gate(1)
    gate.arrive(f"::ffff:{HOST}")
    time.sleep(PAUSE)
    assert cut_silent([*gate.exchanges(), waiting()], SECONDS) == 0
    assert not link.ended
    assert cut_silent([worked_on(3600, "10.1.2.3"), worked_on(3600), waiting()], SECONDS) == 1
    assert link.ended
