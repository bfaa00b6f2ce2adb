"""SIGTERM ends a server in good order: what runs is finished, what was answered is there."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from tests.conftest import TOKEN, Serve, begun
from tests.crash.load import Http, Load
from tests.crash.test_kill import assert_store_is_sound, judge
from tests.waiting import eventually


def new_node(http: Http, typename: str, name: str) -> str:
    """The path of an instance in a new repo."""
    root = http.post("/api/repos", {}, admin=True)["root"]
    http.post(f"/api/repo/{root}/instance", {"typename": typename, "dataname": name})
    return f"/api/node/{root}/{name}"


@pytest.mark.slow
def test_a_stop_under_load_loses_nothing(serve: Serve, tmp_path: Path) -> None:
    random = Random(7)
    data = tmp_path / "data"
    server = serve(data)
    http = Http(server.url, TOKEN)
    load = Load(http, random)
    http.close()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        before = load.answers()
        running = load.start(server.url, TOKEN)
        eventually(lambda before=before: load.answers() > before)
        time.sleep(0.3)
        assert server.stop(number) == 0
        running.join()
        server = serve(data)
        judge(server, load)
    assert server.stop() == 0
    assert_store_is_sound(data)


def test_a_request_that_runs_when_the_stop_comes_is_answered(serve: Serve, tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = serve(data)
    caller = Http(server.url, TOKEN)
    path = new_node(caller, "uint8blk", "gray")
    voxels = bytes(range(1, 129)) * (64**3 // 128)
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        begun(connection, "POST", f"{path}/raw/0_1_2/64_64_64/0_0_0", len(voxels), voxels[:1000])
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        connection.sendall(voxels[1000:])
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 200
    assert server.process.wait(60) == 0
    again = Http(serve(data).url, TOKEN)
    assert again.get(f"{path}/raw/0_1_2/64_64_64/0_0_0") == voxels
    again.close()
    caller.close()


def test_a_client_that_never_ends_its_request_does_not_keep_the_server(serve: Serve) -> None:
    server = serve()
    http = Http(server.url, TOKEN)
    root = http.post("/api/repos", {}, admin=True)["root"]
    http.close()
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        begun(connection, "POST", f"/api/repo/{root}/log", 100, b"{")
        assert server.stop() == 0


def test_a_second_server_beside_the_first_sees_its_writes_at_once(serve: Serve, tmp_path: Path) -> None:
    servers = [serve(tmp_path / "data") for _ in range(2)]
    one, other = (Http(server.url, TOKEN) for server in servers)
    path = new_node(one, "keyvalue", "kv")
    root = path.split("/")[3]
    for number in range(100):
        writer, reader = (one, other) if number % 2 else (other, one)
        writer.post(f"{path}/key/k", number)
        assert reader.get(f"{path}/key/k") == b"%d" % number
        writer.post(f"/api/repo/{root}/instance", {"typename": "roi", "dataname": f"roi{number}"})
        assert reader.get(f"/api/node/{root}/roi{number}/roi") == b"[]"
    assert one.get("/api/repos/info") == other.get("/api/repos/info")
    servers[0].kill()
    other.post(f"{path}/key/k", "still there")
    assert other.get(f"{path}/key/k") == b'"still there"'
    one.close()
    other.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 24 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"NOT TESTED: a full disk. It takes the right to mount one: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_refuses_writes_and_goes_on_when_there_is_room(serve: Serve, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(12 << 20))
    data = small_disk / "data"
    server = serve(data)
    workers = server.workers()
    http = Http(server.url, TOKEN)
    path = new_node(http, "keyvalue", "kv")
    value = Random(1).randbytes(1 << 20)
    written = []
    for number in range(40):
        status, answer = http.call("POST", f"{path}/key/{number:02}", value[number:])
        if status != 200:
            break
        written.append(number)
    assert status == 507, answer
    assert answer.count(b"\n") == 1, answer
    assert written
    keys = [f"{number:02}" for number in written]
    for _ in range(5):  # refused again and again, while reads go on
        status, _ = http.call("POST", f"{path}/key/more", value)
        assert status == 507
        check_values(http, path, keys, value)
    assert http.get("/api/repos/info")
    ballast.unlink()
    for number in range(5):
        status, answer = http.call("POST", f"{path}/key/{number:02}-after", value[number:])
        assert status == 200, answer
        keys.append(f"{number:02}-after")
    check_values(http, path, sorted(keys), value)
    assert server.workers() == workers
    assert server.stop() == 0
    assert_store_is_sound(data)
    http.close()


def check_values(http: Http, path: str, keys: list[str], value: bytes) -> None:
    assert json.loads(http.get(f"{path}/keys")) == keys
    for key in keys:
        assert http.get(f"{path}/key/{key}") == value[int(key[:2]) :]
