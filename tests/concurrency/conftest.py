"""Two servers on one store, and clients that begin together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.conftest import TOKEN, Server, start_server
from tests.crash.load import Http

CLIENTS = 6


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Two servers, of two processes each, on one store."""
    folder = tmp_path_factory.mktemp("concurrency")
    started = [start_server(folder / "data", log=folder / f"{number}.log") for number in range(2)]
    yield started
    for server in started:
        server.kill()


def new_instance(server: Server, typename: str, **settings: Any) -> str:
    """The path of an instance named x in a new repo."""
    http = Http(server.url, TOKEN)
    root = http.post("/api/repos", {}, admin=True)["root"]
    http.post(f"/api/repo/{root}/instance", {"typename": typename, "dataname": "x", **settings})
    http.close()
    return f"/api/node/{root}/x"


def at_once(servers: list[Server], work: Callable[[int, Http], Any], clients: int = CLIENTS) -> list[Any]:
    """What `work(number, connection)` gives in each of several threads, which begin together."""
    results: list[Any] = [None] * clients
    problems: list[BaseException] = []
    start = threading.Barrier(clients)

    def run(number: int) -> None:
        http = Http(servers[number % len(servers)].url, TOKEN)
        try:
            http.get("/api/heartbeat")
            start.wait(60)
            results[number] = work(number, http)
        except BaseException as error:  # noqa: BLE001 - raised again below
            problems.append(error)
        finally:
            http.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    if problems:
        raise problems[0]
    return results
