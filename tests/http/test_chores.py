"""What a worker does beside answering requests."""

from __future__ import annotations

import requests
from tests.conftest import Serve, eventually


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
