"""What was sent under an Idempotency-Key when the server was killed is sent again, and done exactly once."""

from __future__ import annotations

import http.client
import json
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.conftest import Serve, Server
from tests.crash.load import Http
from tests.crash.test_kill import assert_store_is_sound
from tests.keyed import post
from tests.waiting import eventually

ROUNDS = 2
CLIENTS = 4


def get(server: Server, path: str) -> Any:
    connection = Http(server.url, server.token)
    found = json.loads(connection.get(path))
    connection.close()
    return found


def test_an_answer_is_repeated_after_a_kill(serve: Serve, tmp_path: Path) -> None:
    server = serve(tmp_path / "data")
    made = post(server, "/api/repos", "make-a-repo", b'{"alias": "again"}')
    server.kill()
    assert (made.status, made.replayed) == (200, False)
    server = serve(tmp_path / "data")
    assert post(server, "/api/repos", "make-a-repo", b'{"alias": "again"}') == made._replace(replayed=True)
    assert post(server, "/api/repos", "make-a-repo", b'{"alias": "other"}').status == 422
    assert list(get(server, "/api/repos/info")) == [json.loads(made.body)["root"]]
    server.kill()
    assert_store_is_sound(tmp_path / "data")


@pytest.mark.slow
def test_what_a_kill_interrupts_is_done_exactly_once_when_it_is_sent_again(serve: Serve, tmp_path: Path) -> None:
    random = Random(4)
    server = serve(tmp_path / "data")
    root = json.loads(post(server, "/api/repos", "root", b"{}").body)["root"]
    instance = b'{"typename": "keyvalue", "dataname": "kv"}'
    assert post(server, f"/api/repo/{root}/instance", "kv", instance).status == 200
    path = f"/api/node/{root}/kv"
    sent: dict[str, bool] = {}
    """Whether each was answered."""

    def work(server: Server, name: str) -> None:
        for number in range(10_000):
            key = f"{name}.{number}"
            sent[key] = False
            try:
                answer = post(server, f"{path}/key/{key}", key, b"value")
            except (OSError, http.client.HTTPException):  # the server is gone
                return
            sent[key] = answer.status == 200

    for lap in range(ROUNDS):
        threads = [threading.Thread(target=work, args=(server, f"{lap}.{client}")) for client in range(CLIENTS)]
        for thread in threads:
            thread.start()
        eventually(lambda lap=lap: any(answered for key, answered in dict(sent).items() if key.startswith(f"{lap}.")))
        time.sleep(random.uniform(0, 0.4))
        server.kill()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive()
        server = serve(tmp_path / "data")
        for key, answered in sent.items():
            if key.startswith(f"{lap}.") and (not answered or random.random() < 0.1):
                answer = post(server, f"{path}/key/{key}", key, b"value")
                assert answer.status == 200
                assert answer.replayed or not answered
    assert sorted(event["Key"] for event in get(server, f"{path}/mutations")) == sorted(sent)
    assert any(sent.values())
    assert not all(sent.values())
    server.kill()
    assert_store_is_sound(tmp_path / "data")
