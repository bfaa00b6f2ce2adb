"""What a worker does beside answering requests."""

from __future__ import annotations

import time
from pathlib import Path

import requests
from tests.conftest import Serve
from tests.waiting import eventually

from dvid.storage import open_store
from dvid.storage.protocol import Transaction
from dvid.versions.retries import PRUNED_AT_ONCE, KeptReply, find, keep


def test_data_of_a_deleted_instance_is_removed_in_the_background(serve: Serve) -> None:
    server = serve()
    root = requests.post(f"{server.url}api/repos", json={}, headers=server.headers).json()["root"]

    def entries() -> int:
        stores = requests.get(f"{server.url}api/storage", headers=server.headers).json()
        return int(stores["default"]["entries"])

    before = entries()
    body = {"typename": "keyvalue", "dataname": "kv"}
    assert requests.post(f"{server.url}api/repo/{root}/instance", json=body).status_code == 200
    with requests.Session() as session:
        for number in range(100):
            url = f"{server.url}api/node/{root}/kv/key/{number}"
            assert session.post(url, data=b"value").status_code == 200
    assert entries() > before + 100
    url = f"{server.url}api/repo/{root}/instance/kv"
    assert requests.delete(url, params={"imsure": "true"}, headers=server.headers).status_code == 200
    eventually(lambda: entries() < before + 20)


def test_replies_for_retries_are_removed_in_the_background_once_they_have_expired(serve: Serve, tmp_path: Path) -> None:
    now = time.time_ns() // 1_000_000

    def put(transaction: Transaction) -> None:
        for number in range(3 * PRUNED_AT_ONCE):
            age = 25 if number % 2 else 23
            keep(transaction, f"key {number}", KeptReply(now - age * 3_600_000, bytes(16)))

    store = open_store(str(tmp_path / "data"))
    store.transact(put)
    store.close()
    serve(tmp_path / "data")
    store = open_store(str(tmp_path / "data"), read_only=True)

    def left() -> int:
        with store.snapshot() as snapshot:
            return sum(find(snapshot, f"key {number}", 0) is not None for number in range(3 * PRUNED_AT_ONCE))

    eventually(lambda: left() == 3 * PRUNED_AT_ONCE // 2)
    store.close()
