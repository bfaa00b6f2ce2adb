"""The same request with an Idempotency-Key, sent by many clients at once to two servers of two processes each."""

from __future__ import annotations

import json
import uuid
from typing import Any

from tests.concurrency.conftest import at_once, new_instance
from tests.conftest import TOKEN, Server
from tests.crash.load import Http
from tests.keyed import Keyed, post

CLIENTS = 8
ROUNDS = 4


def raced(servers: list[Server], path: str, body: bytes, *, key: str | None = None) -> tuple[bytes, int]:
    """What all clients were answered, which must be one thing, and how many of them had it done."""
    key = key or uuid.uuid4().hex

    def work(client: int, _: Http) -> Keyed:
        return post(servers[client % len(servers)], path, key, body)

    answers = at_once(servers, work, CLIENTS)
    assert [answer for answer in answers if answer.status != 200] == []
    assert len({answer.body for answer in answers}) == 1
    return answers[0].body, sum(not answer.replayed for answer in answers)


def read(server: Server, path: str) -> Any:
    client = Http(server.url, TOKEN)
    found = json.loads(client.get(path))
    client.close()
    return found


def test_one_repo_is_made(servers: list[Server]) -> None:
    before = len(read(servers[0], "/api/repos/info"))
    for _ in range(ROUNDS):
        assert raced(servers, "/api/repos", b"{}")[1] == 1
    assert len(read(servers[1], "/api/repos/info")) == before + ROUNDS


def test_one_value_is_written_and_logged(servers: list[Server]) -> None:
    path = new_instance(servers[0], "keyvalue")
    for number in range(ROUNDS):
        assert raced(servers, f"{path}/key/k{number}", b"value")[1] == 1
    assert len(read(servers[1], f"{path}/mutations")) == ROUNDS


def test_one_box_of_voxels_is_written_and_logged(servers: list[Server]) -> None:
    path = new_instance(servers[0], "uint8blk")
    for number in range(ROUNDS):
        assert raced(servers, f"{path}/raw/0_1_2/64_64_64/0_0_{64 * number}", bytes([number]) * 64**3)[1] == 1
    assert len(read(servers[1], f"{path}/mutations")) == ROUNDS


def test_what_can_be_done_only_once_is_answered_to_all(servers: list[Server]) -> None:
    """The second of these requests would be refused for what the first one did."""
    root = new_instance(servers[0], "keyvalue").split("/")[3]
    instance = json.dumps({"typename": "keyvalue", "dataname": "new"}).encode()
    assert raced(servers, f"/api/repo/{root}/instance", instance)[1] == 1
    head = root
    for number in range(ROUNDS):
        assert raced(servers, f"/api/node/{head}/commit", b"{}")[1] == 1
        assert raced(servers, f"/api/node/{head}/branch", b'{"branch": "b%d"}' % number)[1] == 1
        answer, done = raced(servers, f"/api/node/{head}/newversion", b"{}")
        assert done == 1
        head = json.loads(answer)["child"]
    nodes = read(servers[1], f"/api/repo/{root}/info")["DAG"]["Nodes"]
    assert len(nodes) == 1 + 2 * ROUNDS


def test_different_requests_with_one_key_are_not_both_done(servers: list[Server]) -> None:
    path = new_instance(servers[0], "keyvalue")
    for number in range(ROUNDS):
        key = f"{number}-{path}"

        def work(client: int, _: Http, key: str = key) -> Keyed:
            return post(servers[client % len(servers)], f"{path}/key/{client % 2}", key, b"value")

        answers = at_once(servers, work, CLIENTS)
        winners = {client % 2 for client, answer in enumerate(answers) if answer.status == 200}
        assert len(winners) == 1
        assert all(answer.status == (200 if client % 2 in winners else 422) for client, answer in enumerate(answers))
        assert [answer.replayed for answer in answers if answer.status == 200].count(False) == 1
        assert len(read(servers[0], f"{path}/mutations")) == number + 1
