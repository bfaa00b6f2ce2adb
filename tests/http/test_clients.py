"""Clients that are slow, or leave, or send what they should not: with a real server, since it is the HTTP server's matter."""

from __future__ import annotations

import os
import re
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import numpy as np
import pytest
import requests
from tests.conftest import Serve, Server, begun
from tests.waiting import eventually

SIDE = 256


class Volume:
    """A server with a volume of 16 MiB and a keyvalue instance."""

    def __init__(self, server: Server, *, filled: bool = True) -> None:
        self.server = server
        answer = requests.post(f"{server.url}api/repos", json={}, headers=server.headers)
        self.root = answer.json()["root"]
        for typename, name in (("uint8blk", "gray"), ("keyvalue", "kv")):
            body = {"typename": typename, "dataname": name}
            assert requests.post(f"{server.url}api/repo/{self.root}/instance", json=body).status_code == 200
        self.path = f"/api/node/{self.root}/gray/raw/0_1_2/{SIDE}_{SIDE}_{SIDE}/0_0_0"
        self.voxels = np.random.default_rng(1).integers(0, 256, SIDE**3, np.uint8).tobytes()
        if filled:
            url = server.url.rstrip("/") + self.path
            assert requests.post(url, data=self.voxels).status_code == 200

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=60) as client:
            yield client

    def reading(self) -> socket.socket:
        """A client that asks for the volume and takes none of it."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect(("127.0.0.1", self.server.port))
        client.sendall(f"GET {self.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return client

    def refused(self) -> list[int]:
        """The statuses of the requests that the log says were refused."""
        found = re.findall(r'^{.*"status":(4\d\d),', self.server.log.read_text(), re.MULTILINE)
        return [int(status) for status in found]

    def cut(self) -> int:
        """How many answers the log says were cut."""
        return self.server.log.read_text().count('"cut":true')


def test_slow_senders_do_not_keep_others_waiting(serve: Serve) -> None:
    volume = Volume(serve(workers=1, threads=2))
    clients = [socket.create_connection(("127.0.0.1", volume.server.port), timeout=60) for _ in range(20)]
    for client in clients:
        begun(client, "POST", f"/api/repo/{volume.root}/log", 9, b"")
    for _ in range(5):
        assert requests.get(f"{volume.server.url}api/heartbeat", timeout=60).text == "OK"
    for client in clients:
        client.close()


def test_slow_readers_do_not_keep_others_waiting(serve: Serve) -> None:
    volume = Volume(serve(workers=1, threads=2))
    clients = [volume.reading() for _ in range(20)]

    def answers() -> int:
        return len(select.select(clients, [], [], 0)[0])

    eventually(lambda: answers() > 2)  # more than may be worked on at the same time
    for _ in range(5):
        assert requests.get(f"{volume.server.url}api/heartbeat", timeout=60).text == "OK"
    count = answers()
    for client in clients:
        client.close()
    eventually(lambda: count <= volume.cut() <= len(clients))  # whose answer has not begun leaves no line, or one
    eventually(lambda: "dvid_requests_running 1\n" in requests.get(f"{volume.server.url}metrics").text)


@pytest.mark.parametrize("step", [0.0, 0.1])
def test_a_body_that_does_not_arrive_in_time_is_given_up(serve: Serve, step: float) -> None:
    volume = Volume(serve(workers=1, request_seconds=1), filled=False)
    with volume.connection() as client:
        client.sendall(
            f"POST /api/node/{volume.root}/kv/key/a HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n".encode()
        )
        client.settimeout(step or 60)
        answer = b"waiting"
        for _ in range(600):
            try:
                answer = client.recv(100)
                break
            except TimeoutError:
                client.sendall(b"x")  # slowly, but without an end
            except ConnectionError:
                answer = b""
                break
        assert answer == b""
    assert requests.get(f"{volume.server.url}api/node/{volume.root}/kv/key/a").status_code == 404
    eventually(lambda: "limits.requestSeconds" in volume.server.log.read_text())


@pytest.mark.parametrize(
    ("head", "begun"),
    [("Content-Length: 999", b""), ("Content-Length: 999", b"abc"), ("Transfer-Encoding: chunked", b'5\r\n{"log')],
    ids=["nothing", "a part", "a part of a chunk"],
)
def test_a_client_that_stops_sending_is_answered(serve: Serve, head: str, begun: bytes) -> None:
    volume = Volume(serve(workers=1, silence_seconds=1), filled=False)
    with volume.connection() as idle, volume.connection() as client:
        idle.sendall(b"GET /api/heartbeat HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(1000).endswith(b"OK")
        client.sendall(f"POST /api/repo/{volume.root}/log HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode() + begun)
        answer = client.recv(1000)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"nothing came for 1 s (limits.silenceSeconds)" in answer
        assert client.recv(1000) == b""
        idle.sendall(b"GET /api/heartbeat HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(1000).endswith(b"OK")
    assert requests.get(f"{volume.server.url}api/repo/{volume.root}/log").json()["log"] == []
    eventually(lambda: "1 requests were ended" in volume.server.log.read_text())  # said after the answer


def test_a_client_that_sends_slowly_is_not_silent(serve: Serve) -> None:
    limit = 3.0
    volume = Volume(serve(workers=1, silence_seconds=limit), filled=False)
    path = f"/api/node/{volume.root}/kv/key/a"
    for _ in range(20):
        longest, last = 0.0, time.monotonic()
        with volume.connection() as client:
            client.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n".encode())
            for _ in range(10):
                time.sleep(0.4)
                with suppress(ConnectionError):  # it was silent: see below
                    client.sendall(b"x")
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
            answer = client.recv(1000)
        if longest < limit:
            break  # on a busy machine, it may have been silent for so long
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert requests.get(volume.server.url.rstrip("/") + path).content == b"x" * 10


@pytest.mark.slow
def test_more_silent_clients_than_threads_do_not_keep_others_out(serve: Serve) -> None:
    volume = Volume(serve(workers=1, threads=2, silence_seconds=2), filled=False)
    url = f"{volume.server.url}api/node/{volume.root}/kv/key/a"
    with ExitStack() as stack:
        clients = [stack.enter_context(volume.connection()) for _ in range(90)]
        for client in clients:
            client.sendall(f"POST {url} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc".encode())
        assert requests.post(url, data=b"value", timeout=120).status_code == 200
        assert requests.get(url, timeout=120).content == b"value"
        for client in clients:
            # The server cannot tell the connections of requests that wait for a thread: it may cut some of them first.
            assert client.recv(1000)[:13] in (b"HTTP/1.1 408 ", b"HTTP/1.1 400 ")


def test_a_reader_that_stops_is_given_up(serve: Serve) -> None:
    volume = Volume(serve(workers=1))
    volume.server.stop()
    volume.server = serve(volume.server.data, workers=1, request_seconds=2)
    volume.server.rest()  # what it loads first may take longer than a request is given here
    client = volume.reading()
    eventually(lambda: volume.cut() == 1)
    client.close()


def test_a_reader_that_leaves_ends_the_reading(serve: Serve) -> None:
    volume = Volume(serve(workers=1))
    with volume.connection() as client:
        client.sendall(f"GET {volume.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        client.recv(1000)
    eventually(lambda: volume.cut() == 1)
    assert "dvid_requests_running 1" in requests.get(f"{volume.server.url}metrics").text


def test_a_slow_reader_gets_every_byte(serve: Serve) -> None:
    volume = Volume(serve(workers=1))
    received = bytearray()
    client = volume.reading()
    while len(received) < SIDE**3 and (piece := client.recv(1 << 20)):
        received += piece
        if len(received) < 1 << 16:
            time.sleep(0.01)
    client.close()
    assert received.partition(b"\r\n\r\n")[2][:1000] == volume.voxels[:1000]


def test_a_body_that_is_cut_changes_nothing(serve: Serve) -> None:
    volume = Volume(serve(workers=1))
    url = f"{volume.server.url}api/node/{volume.root}/kv/key/a"
    for head in ("Content-Length: 100", "Transfer-Encoding: chunked"):
        with volume.connection() as client:
            client.sendall(
                f"POST /api/node/{volume.root}/kv/key/a HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n5\r\nabcde\r\n".encode()
            )
    with volume.connection() as client:
        client.sendall(f"POST {volume.path} HTTP/1.1\r\nHost: x\r\nContent-Length: {SIDE**3}\r\n\r\n".encode())
        client.sendall(bytes(SIDE**3 // 2))
    eventually(lambda: len(volume.refused()) == 3)
    assert requests.get(url).status_code == 404
    assert requests.get(volume.server.url.rstrip("/") + volume.path).content == volume.voxels


def test_a_body_over_the_limit_is_refused_while_it_is_announced(serve: Serve) -> None:
    volume = Volume(serve(workers=1))
    with volume.connection() as client:
        path = f"/api/node/{volume.root}/kv/key/a"
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 50}\r\n\r\n".encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 413")


def test_a_head_over_the_limit_is_refused(serve: Serve) -> None:
    server = serve(workers=1, header_bytes=10_000)
    assert requests.get(f"{server.url}api/heartbeat", headers={"X-Long": "a" * 5_000}).status_code == 200
    assert requests.get(f"{server.url}api/heartbeat", headers={"X-Long": "a" * 50_000}).status_code == 431


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /api/node/%2e%2e/%2e%2e HTTP/1.1",
        b"GET /api/%00 HTTP/1.1",
        b"GET /api/node/a%2Fb/c HTTP/1.1",
        b"GET /api/\xff\xfe HTTP/1.1",
        b"GET /api/%ff%fe HTTP/1.1",
        b"GET //api//heartbeat HTTP/1.1",
        b"GET api/heartbeat HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET /api/nosuch?" + b"a" * 60_000 + b" HTTP/1.1",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1",
        b"NONSENSE /api/heartbeat HTTP/1.1",
        b"nonsense",
        b"GET /api/heartbeat HTTP/9.9",
        b"POST /api/repos HTTP/1.1\r\nContent-Length: -5",
        b"POST /api/repos HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6",
        b"POST /api/repos HTTP/1.1\r\nTransfer-Encoding: nonsense",
        b"CONNECT nowhere:443 HTTP/1.1",
    ],
)
def test_an_odd_request_is_refused(serve: Serve, request_line: bytes) -> None:
    server = serve(workers=1)
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        answer = b""
        with suppress(BrokenPipeError, ConnectionResetError):  # closed before all was sent, or read
            client.sendall(request_line + b"\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        with suppress(ConnectionResetError):
            answer = client.recv(100)
    assert answer[:10] == b"HTTP/1.1 4" or answer == b"", answer
    assert requests.get(f"{server.url}api/heartbeat").status_code == 200


def test_memory_does_not_follow_what_a_client_announces(serve: Serve) -> None:
    volume = Volume(serve(workers=1, threads=8))
    [worker] = volume.server.workers()
    volume.server.rest()

    def anonymous() -> int:
        with open(f"/proc/{worker}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))

    before = anonymous()
    clients = [socket.create_connection(("127.0.0.1", volume.server.port), timeout=60) for _ in range(8)]
    for client in clients:
        begun(client, "POST", f"/api/node/{volume.root}/kv/key/a", 1 << 30, b"ab")
    time.sleep(0.5)
    assert anonymous() - before < 64 << 10  # KiB
    for client in clients:
        client.close()
    assert os.path.exists(f"/proc/{worker}")
