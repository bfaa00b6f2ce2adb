"""Writers to the same place, through two servers on one store: every result is whole, and the last one stays."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from tests.concurrency.conftest import CLIENTS, at_once, new_instance
from tests.conftest import TOKEN, Server
from tests.crash.load import Http

from dvid.codecs.keyvalues import encode_keyvalues


@dataclass
class Written:
    """A request that was answered."""

    number: int
    begin: float
    end: float


def race(
    servers: list[Server],
    write: Callable[[int, Http], tuple[int, bytes]],
    read: Callable[[Http], int],
    times: int = 25,
) -> None:
    """Write numbers from many clients while others read; in the end the last one must be there.

    Args:
        servers: the clients are spread over them.
        write: puts a number.
        read: gives the number that is there, checked to be whole, or 0.
        times: how often each client writes.
    """
    over = threading.Event()
    writing = CLIENTS - 2

    def work(client: int, http: Http) -> list[Written]:
        if client >= writing:
            seen = [read(http)]
            while not over.is_set():
                seen.append(read(http))
            assert set(seen) <= set(range(1, writing * times + 1)) | {0}
            return []
        done = []
        try:
            for number in range(client * times + 1, (client + 1) * times + 1):
                begin = time.monotonic()
                status, answer = write(number, http)
                done.append(Written(number, begin, time.monotonic()))
                assert status == 200, answer
        finally:
            ended[client] = True
            if all(ended):
                over.set()
        return done

    ended = [False] * writing
    written = [one for some in at_once(servers, work) for one in some]
    assert len(written) == writing * times
    # Nobody can tell the order of two requests that overlap; but one that began after another's answer came later.
    last_begin = max(one.begin for one in written)
    possible = {one.number for one in written if one.end >= last_begin}
    for server in servers:
        http = Http(server.url, TOKEN)
        assert read(http) in possible
        http.close()


def events_of(server: Server, path: str) -> list[dict[str, Any]]:
    http = Http(server.url, TOKEN)
    events: list[dict[str, Any]] = json.loads(http.get(f"{path}/mutations"))
    http.close()
    return events


def test_writers_to_one_key_leave_the_last_value_whole(servers: list[Server]) -> None:
    path = new_instance(servers[0], "keyvalue")

    def read(http: Http) -> int:
        status, value = http.call("GET", f"{path}/key/k")
        numbers = set(json.loads(value)) if status == 200 else {0}
        assert len(numbers) == 1
        return int(numbers.pop())

    race(servers, lambda n, http: http.call("POST", f"{path}/key/k", json.dumps([n] * (n * 97)).encode()), read)
    events = events_of(servers[1], path)
    assert len(events) == len({event["MutationID"] for event in events}) == (CLIENTS - 2) * 25


def test_batches_over_the_same_keys_are_never_mixed(servers: list[Server]) -> None:
    path = new_instance(servers[0], "keyvalue")

    def write(number: int, http: Http) -> tuple[int, bytes]:
        pairs = [(f"key{key:02}", json.dumps([number] * key).encode()) for key in range(1, 80)]
        return http.call("POST", f"{path}/keyvalues", b"".join(encode_keyvalues(pairs)))

    def read(http: Http) -> int:
        found = json.loads(http.get(f"{path}/keyrangevalues/a/z?json=true"))
        assert len(found) in (0, 79)
        numbers = {number for value in found.values() for number in value}
        assert len(numbers) <= 1, f"keys of several requests: {numbers}"
        return int(numbers.pop()) if numbers else 0

    race(servers, write, read, times=10)


@pytest.mark.parametrize(
    ("size", "offset", "options"),
    [
        ("64_64_64", "0_32_-64", ""),
        ("64_64_64", "0_32_-64", "?mutate=true"),
        ("50_70_40", "-7_5_11", "?unaligned=true"),
    ],
    ids=["ingest", "mutate", "unaligned"],
)
def test_writers_to_one_box_leave_the_last_one_whole(
    servers: list[Server], size: str, offset: str, options: str
) -> None:
    path = f"{new_instance(servers[0], 'uint8blk')}/raw/0_1_2/{size}/{offset}"
    voxels = int(np.prod([int(one) for one in size.split("_")]))

    def read(http: Http) -> int:
        found = np.unique(np.frombuffer(http.get(path), np.uint8))
        assert len(found) == 1, f"voxels of several requests: {found}"
        return int(found[0])

    race(servers, lambda n, http: http.call("POST", path + options, bytes([n]) * voxels), read, times=12)


def test_writers_to_one_region_leave_the_last_one_whole(servers: list[Server]) -> None:
    path = new_instance(servers[0], "roi")

    def spans(number: int) -> list[list[int]]:
        return [[z, y, 0, number] for z in range(number % 7, 30) for y in range(10)]

    def read(http: Http) -> int:
        found = json.loads(http.get(f"{path}/roi"))
        if not found:
            return 0
        assert found == spans(found[0][3])
        return int(found[0][3])

    race(servers, lambda n, http: http.call("POST", f"{path}/roi", json.dumps(spans(n)).encode()), read, times=12)


def test_neighbours_inside_the_same_blocks_lose_nothing(servers: list[Server]) -> None:
    path = new_instance(servers[0], "uint16blk")
    edge = 9  # 5 x 5 x 5 boxes inside 2 x 2 x 2 blocks of 32
    places = [(x, y, z) for x in range(5) for y in range(5) for z in range(5)]

    def work(client: int, http: Http) -> None:
        for index, place in enumerate(places):
            if index % CLIENTS == client:
                offset = "_".join(str(3 + edge * one) for one in place)
                body = np.full(edge**3, index + 1, "<u2").tobytes()
                url = f"{path}/raw/0_1_2/{edge}_{edge}_{edge}/{offset}?unaligned=true"
                status, answer = http.call("POST", url, body)
                assert status == 200, answer

    at_once(servers, work)
    http = Http(servers[1].url, TOKEN)
    volume = np.frombuffer(http.get(f"{path}/raw/0_1_2/64_64_64/0_0_0"), "<u2").reshape(64, 64, 64)
    expected = np.zeros_like(volume)
    for index, (x, y, z) in enumerate(places):
        at_x, at_y, at_z = 3 + edge * x, 3 + edge * y, 3 + edge * z
        expected[at_z : at_z + edge, at_y : at_y + edge, at_x : at_x + edge] = index + 1
    assert np.array_equal(volume, expected)
    extended = json.loads(http.get(f"{path}/info"))["Extended"]
    assert (extended["MinPoint"], extended["MaxPoint"]) == ([3, 3, 3], [47, 47, 47])
    http.close()
    events = events_of(servers[0], path)
    assert len(events) == len({event["MutationID"] for event in events}) == len(places)


def test_tags_from_many_clients_are_all_kept(servers: list[Server]) -> None:
    path = new_instance(servers[0], "keyvalue")

    def work(client: int, http: Http) -> None:
        for number in range(10):
            http.post(f"{path}/tags", {f"tag{client}_{number}": "x"})

    at_once(servers, work)
    http = Http(servers[0].url, TOKEN)
    assert len(json.loads(http.get(f"{path}/tags"))["Tags"]) == CLIENTS * 10
    http.close()


def test_log_lines_from_many_clients_are_all_kept(servers: list[Server]) -> None:
    root = new_instance(servers[0], "keyvalue").split("/")[3]

    def work(client: int, http: Http) -> None:
        for number in range(10):
            lines = [f"client {client} line {number}{part}" for part in "ab"]
            http.post(f"/api/{'repo' if number % 2 else 'node'}/{root}/log", {"log": lines})

    at_once(servers, work)
    http = Http(servers[0].url, TOKEN)
    for kind in ("repo", "node"):
        lines = [line.partition("  ")[2] for line in json.loads(http.get(f"/api/{kind}/{root}/log"))["log"]]
        assert len(lines) == len(set(lines)) == CLIENTS * 10
        # the lines of one request stay together
        assert all(one[:-1] == other[:-1] for one, other in zip(lines[::2], lines[1::2], strict=True))
    http.close()
