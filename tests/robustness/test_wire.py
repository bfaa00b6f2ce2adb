"""Bytes that are no proper HTTP: they are refused, and the server goes on as if nothing had been."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.conftest import TOKEN, Serve
from tests.crash.load import Http
from tests.robustness.conftest import MIB, Place
from tests.waiting import eventually

HOST = b"Host: 127.0.0.1\r\n"


def answers(place: Place, data: bytes, *, end: bool = True) -> list[int]:
    """Send bytes on a connection of their own; the statuses of all answers until the server closes it."""
    with place.client.connect() as connection:
        try:
            connection.sendall(data)
            if end:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server has seen enough
        received = b""
        try:
            while piece := connection.recv(65536):
                received += piece
        except ConnectionResetError:
            pass
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


def post(place: Place, headers: bytes, body: bytes, path: str = "") -> bytes:
    """A request that adds to the repo's log, with any headers."""
    path = path or f"/api/repo/{place.root}/log"
    return f"POST {path} HTTP/1.1\r\n".encode() + HOST + headers + b"\r\n" + body


GARBAGE = {
    "nothing": b"\r\n\r\n",
    "no request line": b"hello\r\n\r\n",
    "zeros": bytes(1000),
    "high bytes": b"\xff" * 1000,
    "a TLS greeting": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(50),
    "HTTP/9": b"GET /api/heartbeat HTTP/9.9\r\n" + HOST + b"\r\n",
    "no version": b"GET /api/heartbeat\r\n\r\n",
    "no path": b"GET  HTTP/1.1\r\n" + HOST + b"\r\n",
    "two spaces": b"GET  /api/heartbeat  HTTP/1.1\r\n" + HOST + b"\r\n",
    "a NUL in the path": b"GET /api/\0heartbeat HTTP/1.1\r\n" + HOST + b"\r\n",
    "raw high bytes in the path": b"GET /api/\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    "no colon in a header": b"GET /api/heartbeat HTTP/1.1\r\n" + HOST + b"nonsense\r\n\r\n",
    "a space before the colon": b"GET /api/heartbeat HTTP/1.1\r\n" + HOST + b"X : y\r\n\r\n",
    "a folded header": b"GET /api/heartbeat HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n",
    "a NUL in a header": b"GET /api/heartbeat HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
    "a bare CR in a header": b"GET /api/heartbeat HTTP/1.1\r\n" + HOST + b"X: a\rY: b\r\n\r\n",
    "an empty header name": b"GET /api/heartbeat HTTP/1.1\r\n" + HOST + b": x\r\n\r\n",
    "a long header": b"GET /api/heartbeat HTTP/1.1\r\n" + HOST + b"X: " + b"a" * MIB + b"\r\n\r\n",
    "many headers": b"GET /api/heartbeat HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 5000 + b"\r\n",
    "a long path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "an endless method": b"A" * 500_000,
    "a cut request line": b"GET /api/hea",
    "a cut header": b"GET /api/heartbeat HTTP/1.1\r\nHos",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_no_http_is_refused(place: Place, name: str) -> None:
    before = place.store.state()
    assert all(400 <= status < 600 and status != 500 for status in answers(place, GARBAGE[name]) if status != 200)
    assert place.client.call("GET", "/api/heartbeat").status == 200
    assert place.store.state() == before


LINE = b'{"log": ["a line"]}'
LENGTHS = {
    "negative": (b"Content-Length: -1\r\n", LINE),
    "not a number": (b"Content-Length: x\r\n", LINE),
    "a fraction": (b"Content-Length: 19.0\r\n", LINE),
    "with a sign": (b"Content-Length: +19\r\n", LINE),
    "hexadecimal": (b"Content-Length: 0x13\r\n", LINE),
    "two that differ": (b"Content-Length: 19\r\nContent-Length: 5\r\n", LINE),
    "a list": (b"Content-Length: 19, 5\r\n", LINE),
    "beyond 64 bits": (b"Content-Length: 99999999999999999999999\r\n", LINE),
    "beyond the limit": (b"Content-Length: 1048577\r\n", LINE),
    "enormous": (b"Content-Length: 9223372036854775807\r\n", LINE),
    "longer than the body": (b"Content-Length: 20\r\n", LINE),
    "shorter than the body": (b"Content-Length: 18\r\n", LINE),
    "absent": (b"", LINE),
    "chunked, with a bad size": (b"Transfer-Encoding: chunked\r\n", b"zz\r\n" + LINE + b"\r\n0\r\n\r\n"),
    "chunked, with a negative size": (b"Transfer-Encoding: chunked\r\n", b"-13\r\n" + LINE + b"\r\n0\r\n\r\n"),
    "chunked, with an enormous size": (b"Transfer-Encoding: chunked\r\n", b"ffffffffffffffff\r\n" + LINE[:10]),
    "chunked, with a size beyond 64 bits": (b"Transfer-Encoding: chunked\r\n", b"f" * 40 + b"\r\n" + LINE),
    "chunked, with too short a size": (b"Transfer-Encoding: chunked\r\n", b"5\r\n" + LINE + b"\r\n0\r\n\r\n"),
    "chunked, cut inside the JSON": (b"Transfer-Encoding: chunked\r\n", b"13\r\n" + LINE[:10]),
    "an unknown coding": (b"Transfer-Encoding: nosuch\r\n", LINE),
    "a coding before the chunks": (b"Transfer-Encoding: gzip, chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_a_body_of_a_wrong_length_changes_nothing(place: Place, name: str) -> None:
    headers, body = LENGTHS[name]
    before = place.store.state()
    statuses = answers(place, post(place, headers, body))
    assert all(400 <= status < 500 or status == 501 for status in statuses)
    assert place.client.call("GET", "/api/heartbeat").status == 200
    assert place.store.state() == before


@pytest.mark.parametrize("size", [0, 1, 1000, 300_000])
def test_a_client_that_goes_away_leaves_nothing(place: Place, size: int) -> None:
    voxels = bytes(64**3)
    path = f"/api/node/{place.child}/a_uint8blk/raw/0_1_2/64_64_64/0_0_0"
    before = place.store.state()
    for more in ("", "?unaligned=true", "?compression=gzip"):
        request = post(place, b"Content-Length: %d\r\n" % max(len(voxels), size + 1), voxels[:size], path + more)
        with place.client.connect() as connection:
            connection.sendall(request)
            # ended in order, or with a reset
            if size % 2:
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1000)
    assert place.client.call("GET", "/api/heartbeat").status == 200
    eventually(lambda: load(place)["goroutines"] == 1)
    assert place.store.state() == before


def load(place: Place) -> dict[str, int]:
    found: dict[str, int] = json.loads(place.client.call("GET", "/api/load").body)
    return found


def test_a_smuggled_request_is_not_run(place: Place) -> None:
    inner = post(place, b"Content-Length: %d\r\n" % len(LINE), LINE)
    before = place.store.state()
    answers(place, post(place, b"Content-Length: %d\r\n" % len(inner), inner, "/api/nosuch"))
    answers(place, post(place, b"Content-Length: %d\r\n" % len(inner), inner, f"/api/node/{place.root}/nosuch/key/a"))
    answers(place, b"GET /api/heartbeat HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(inner) + inner)
    assert place.store.state() == before


@pytest.mark.parametrize("size", [10, 100_000, 900_000])
def test_a_refused_body_leaves_the_connection_in_use(place: Place, size: int) -> None:
    """The answer does not cost the next request its connection, or the client is told that it does."""
    body = bytes(size)
    for path in ("/api/nosuch", f"/api/node/{place.root}/a_keyvalue/nosuch", f"/api/node/{place.root}/a_roi/roi"):
        for _ in range(10):
            refused = place.client.call("POST", path, body)
            assert 400 <= refused.status < 500
            connection = place.client._socket
            assert connection is not None
            assert place.client.call("GET", "/api/heartbeat").status == 200
            assert place.client._socket is connection


def test_a_body_over_the_limit_is_refused_with_its_limit(place: Place) -> None:
    for path in (f"/api/repo/{place.root}/log", f"/api/node/{place.child}/a_keyvalue/key/a", "/api/nosuch"):
        answer = place.client.call("POST", path, bytes(3 * MIB))
        assert answer.status == (404 if path == "/api/nosuch" else 413), answer
        if answer.status == 413:
            assert b"limits.bodyBytes" in answer.body


def test_long_json_is_refused_though_longer_bodies_are_taken(serve: Serve) -> None:
    client = Http(serve(workers=1).url, TOKEN)
    root = client.post("/api/repos", {}, admin=True)["root"]
    client.post(f"/api/repo/{root}/instance", {"typename": "keyvalue", "dataname": "kv"})
    body = b"[" + b"[]," * (2 * MIB) + b"[]]"
    for path in (f"/api/repo/{root}/log", f"/api/node/{root}/kv/tags"):
        status, answer = client.call("POST", path, body)
        assert (status, answer.count(b"\n")) == (413, 1), answer
    assert client.call("POST", f"/api/node/{root}/kv/key/a", body)[0] == 200
    client.close()


def test_requests_sent_all_at_once_are_answered_in_their_order(place: Place) -> None:
    paths = ["/api/heartbeat", "/api/nosuch", "/api/server/note", "/api/node/nosuch/x/info"] * 10
    data = b"".join(f"GET {path} HTTP/1.1\r\n".encode() + HOST + b"\r\n" for path in paths)
    end = b"GET /api/server/types HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    assert answers(place, data + end, end=False) == [*[200, 404, 200, 400] * 10, 200]


@pytest.fixture
def crowd(serve: Serve) -> Iterator[tuple[Http, ExitStack, int]]:
    """A server with little patience, a client, and room for many connections to it."""
    server = serve(workers=1, request_seconds=2)
    client = Http(server.url, TOKEN)
    with ExitStack() as stack:
        yield client, stack, server.port
    client.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "beginning",
    [b"", b"GET /api/hea", b"POST /api/repos HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\n{"],
    ids=["silent", "half a request line", "half a body"],
)
def test_many_clients_that_send_nothing_more_do_not_keep_others_out(
    crowd: tuple[Http, ExitStack, int], beginning: bytes
) -> None:
    client, stack, port = crowd
    for _ in range(200):
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
        connection.sendall(beginning)
    for _ in range(20):
        try:
            assert client.get("/api/heartbeat") == b"OK"
        except http.client.RemoteDisconnected:
            client.close()
    assert client.post("/api/repos", {}, admin=True)
