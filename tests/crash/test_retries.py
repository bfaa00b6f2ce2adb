"""What was sent under an Idempotency-Key when the server was killed is sent again, and done exactly once."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from random import Random
from typing import Any

import requests
from tests.conftest import Serve, Server
from tests.crash.test_kill import assert_store_is_sound

ROUNDS = 5
CLIENTS = 4


def post(server: Server, path: str, key: str, body: Any) -> requests.Response:
    headers = {**server.headers, "Idempotency-Key": key}
    return requests.post(server.url + path, json=body, headers=headers, timeout=20)


def get(server: Server, path: str) -> Any:
    return requests.get(server.url + path, headers=server.headers, timeout=20).json()


def test_an_answer_is_repeated_after_a_kill(serve: Serve, tmp_path: Path) -> None:
    server = serve(tmp_path / "data")
    made = post(server, "api/repos", "make-a-repo", {"alias": "again"})
    server.kill()
    server = serve(tmp_path / "data")
    again = post(server, "api/repos", "make-a-repo", {"alias": "again"})
    assert (again.status_code, again.content) == (200, made.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert post(server, "api/repos", "make-a-repo", {"alias": "other"}).status_code == 422
    assert list(get(server, "api/repos/info")) == [made.json()["root"]]
    server.kill()
    assert_store_is_sound(tmp_path / "data")


def test_what_a_kill_interrupts_is_done_exactly_once_when_it_is_sent_again(serve: Serve, tmp_path: Path) -> None:
    random = Random(4)
    server = serve(tmp_path / "data")
    root = post(server, "api/repos", "root", {}).json()["root"]
    made = post(server, f"api/repo/{root}/instance", "kv", {"typename": "keyvalue", "dataname": "kv"})
    assert made.status_code == 200
    path = f"api/node/{root}/kv/key/"
    sent: dict[str, bool] = {}
    """Whether each was answered."""

    def work(server: Server, name: str) -> None:
        for number in range(10_000):
            key = f"{name}.{number}"
            sent[key] = False
            try:
                answer = post(server, path + key, key, [key])
            except requests.RequestException:  # the server is gone
                return
            assert answer.status_code == 200, answer.text
            sent[key] = True

    for lap in range(ROUNDS):
        threads = [threading.Thread(target=work, args=(server, f"{lap}.{client}")) for client in range(CLIENTS)]
        for thread in threads:
            thread.start()
        time.sleep(random.uniform(0.1, 0.4))
        server.kill()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        server = serve(tmp_path / "data")
        for key, answered in sent.items():
            if key.startswith(f"{lap}.") and (not answered or random.random() < 0.1):
                answer = post(server, path + key, key, [key])
                assert answer.status_code == 200
                assert not answered or "Idempotent-Replayed" in answer.headers
    events = [event["Key"] for event in get(server, f"api/node/{root}/kv/mutations")]
    assert sorted(events) == sorted(sent)
    assert not all(sent.values())
    server.kill()
    assert_store_is_sound(tmp_path / "data")
