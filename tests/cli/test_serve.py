"""`dvid serve`: a real server process."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from tests.conftest import Serve, Server, begun, is_running, start_server
from tests.waiting import eventually


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DVID_")}
    return subprocess.run(
        [sys.executable, "-m", "dvid", "serve", *arguments],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=200,
    )


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line with which a server did not start."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    return line


def test_a_signal_that_comes_early_is_not_lost(serve: Serve) -> None:
    """Workers that have no handlers yet must not swallow it."""
    for _ in range(3):
        server = serve(workers=4)  # answers as soon as one of them does
        workers = server.workers()
        assert len(workers) == 4
        for pid in workers:
            os.kill(pid, signal.SIGTERM)
        # Not by the end of the server: that kills workers which do not end soon, as they may on a busy machine.
        eventually(lambda pids=workers: not any(is_running(pid) for pid in pids))
        assert server.stop() == 0


def make_repo(server: Server) -> str:
    answer = requests.post(f"{server.url}api/repos", json={}, headers=server.headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["root"])


# ---- starting -----------------------------------------------------------------------------------


def test_a_server_answers_at_the_url_it_prints(serve: Serve) -> None:
    server = serve()
    assert requests.get(f"{server.url}api/heartbeat").text == "OK"
    assert len(server.workers()) == 2


def test_the_options_are_those_of_the_settings(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "dvid.toml"
    file.write_text('[server]\nnote = "from the file"\nworkers = 1\n')
    serve(tmp_path / "data").stop()
    server = serve(tmp_path / "data", str(file), "--threads", "3", "--read-only", "--workers", "3")
    config = requests.get(f"{server.url}api/server/config", headers=server.headers).text
    assert re.search(r"^threads = 3$", config, re.M)
    assert len(server.workers()) == 3
    assert requests.get(f"{server.url}api/server/note").text == "from the file"
    assert requests.post(f"{server.url}api/repos", json={}, headers=server.headers).status_code == 403


@pytest.fixture
def stored(serve: Serve) -> Server:
    return serve()


def test_a_port_in_use_is_one_line(stored: Server, tmp_path: Path) -> None:
    line = refused(run("--data", str(tmp_path / "other"), "--http", f"127.0.0.1:{stored.port}"))
    assert "in use" in line
    assert str(stored.port) in line
    assert not (tmp_path / "other").exists(), "nothing is made for a server that cannot listen"


def test_a_folder_that_is_no_store_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    assert str(tmp_path / "file") in refused(run("--data", str(tmp_path / "file"), "--http", "127.0.0.1:0"))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\nnosuch = 1\n", "nosuch"),
        ("[server]\nworkers = 0\n", "workers"),
        ("[backend.nosuchtype]\nstore = 'default'\n", "nosuchtype"),
        ("[[[", "TOML"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "dvid.toml"
    file.write_text(text)
    assert named in refused(run(str(file), "--data", str(tmp_path / "data"), "--http", "127.0.0.1:0"))


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "127.0.0.1:x", "nowhere.invalid:0", "203.0.113.1:8000"])
def test_a_bad_address_is_one_line(tmp_path: Path, address: str) -> None:
    assert "httpAddress" in refused(run("--data", str(tmp_path / "data"), "--http", address))


def test_a_server_listens_on_ipv6_too(serve: Serve) -> None:
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    server = serve(http_address="[::1]:0", token=None)
    assert requests.get(f"{server.url}api/heartbeat").text == "OK"
    make_repo(server)


# ---- several processes --------------------------------------------------------------------------


def test_all_workers_answer(serve: Serve) -> None:
    server = serve(workers=3)

    def requests_by_worker() -> list[int]:
        found = []
        for pid in server.workers():
            sockets = set()
            for name in os.listdir(f"/proc/{pid}/fd"):
                with suppress(FileNotFoundError):  # a file that was closed meanwhile
                    sockets.add(os.readlink(f"/proc/{pid}/fd/{name}"))
            found.append(sum(name.startswith("socket:") for name in sockets))
        return found

    idle = requests_by_worker()
    opened = [requests.Session() for _ in range(60)]
    for session in opened:
        assert session.get(f"{server.url}api/heartbeat").status_code == 200
    busy = requests_by_worker()
    for session in opened:
        session.close()
    assert all(more > less for more, less in zip(busy, idle, strict=True)), busy


def test_a_worker_that_dies_is_replaced_and_the_others_go_on(serve: Serve) -> None:
    server = serve()
    root = make_repo(server)
    first, second = server.workers()
    os.kill(first, signal.SIGKILL)
    for _ in range(20):  # none is refused: connections of the dead worker wait for the new one
        assert requests.get(f"{server.url}api/repo/{root}/info", timeout=60).status_code == 200
    eventually(lambda: len(server.workers()) == 2 and first not in server.workers())
    assert second in server.workers()


def test_workers_do_not_outlive_the_main_process(serve: Serve) -> None:
    server = serve()
    workers = server.workers()
    os.kill(server.pid, signal.SIGKILL)
    server.process.wait()
    eventually(lambda: not any(is_running(pid) for pid in workers))


def test_two_servers_share_a_store(serve: Serve, tmp_path: Path) -> None:
    one, two = serve(tmp_path / "shared"), serve(tmp_path / "shared")
    roots = [make_repo(server) for server in (one, two)]
    for server in (one, two):
        assert sorted(requests.get(f"{server.url}api/repos/info").json()) == sorted(roots)


def test_a_read_only_server_reads_what_another_writes(serve: Serve, tmp_path: Path) -> None:
    writer = serve(tmp_path / "shared")
    reader = serve(tmp_path / "shared", read_only=True)
    root = make_repo(writer)
    assert list(requests.get(f"{reader.url}api/repos/info").json()) == [root]


def test_the_throttle_is_one_for_all_workers(serve: Serve) -> None:
    server = serve(workers=3)
    answer = requests.post(f"{server.url}api/server/settings", json={"throttle": "7"}, headers=server.headers)
    assert answer.status_code == 200
    for _ in range(12):  # each on a connection of its own, to whichever worker
        text = requests.get(f"{server.url}metrics").text
        assert "dvid_heavy_requests_limit 7" in text


def test_counters_cover_all_workers(serve: Serve) -> None:
    server = serve(workers=3)
    for number in range(30):
        requests.head(f"{server.url}api/heartbeat", params={"u": f"user{number % 5}"})

    def counted() -> int:
        text = requests.get(f"{server.url}metrics").text
        found = re.search(r'dvid_requests_total{method="HEAD",area="server",status="200"} (\d+)', text)
        return int(found[1]) if found else 0

    eventually(lambda: counted() == 30)  # on a busy machine a worker may tell a little later what it answered
    pings = requests.get(f"{server.url}api/user-latencies").json()
    assert sorted(pings) == [f"user{number}" for number in range(5)]
    assert requests.get(f"{server.url}api/user-latencies", params={"u": "nobody"}).json()["User"] == ""


def test_the_log_has_a_line_for_each_request_and_no_secrets(serve: Serve) -> None:
    server = serve()
    for number in range(20):
        params = {"u": "me", "app": "test", "admintoken": server.token, "number": str(number)}
        assert requests.get(f"{server.url}api/heartbeat", params=params).status_code == 400  # "number" is unknown

    def logged() -> int:
        lines = server.log.read_text().splitlines(keepends=True)
        found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]
        return sum(line["user"] == "me" and line["status"] == 400 for line in found)

    eventually(lambda: logged() >= 20)
    assert server.stop() == 0
    assert logged() == 20
    text = server.log.read_text()
    assert server.token is not None
    assert server.token not in text


# ---- stopping -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_with_exit_code_0(serve: Serve, number: signal.Signals) -> None:
    server = serve()
    workers = server.workers()
    with requests.Session() as session:  # an idle connection does not hold it up
        session.get(f"{server.url}api/heartbeat")
        assert server.stop(number) == 0
    assert not any(is_running(pid) for pid in workers)


def test_requests_that_are_running_are_finished(serve: Serve) -> None:
    server = serve()
    root = make_repo(server)
    body = json.dumps({"log": ["kept"]}).encode()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        begun(client, "POST", f"/api/repo/{root}/log", len(body), body[:5])
        server.process.terminate()
        time.sleep(0.3)
        client.sendall(body[5:])
        client.settimeout(60)
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
    assert server.process.wait(60) == 0
    again = serve(server.data)
    [line] = requests.get(f"{again.url}api/repo/{root}/log").json()["log"]
    assert line.endswith("kept")


def test_a_client_that_hangs_does_not_hold_up_the_end(serve: Serve) -> None:
    server = serve()
    root = make_repo(server)
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        begun(client, "POST", f"/api/repo/{root}/log", 100, b"")
        assert server.stop() == 0
    assert requests.get(f"{serve(server.data).url}api/repo/{root}/log").json() == {"log": []}


def test_nothing_that_was_answered_is_lost_when_the_server_ends(serve: Serve) -> None:
    server = serve()
    root = make_repo(server)
    written: list[str] = []

    def write(writer: int) -> None:
        with requests.Session() as session:
            for number in range(10_000):
                line = f"{writer}-{number}"
                try:
                    answer = session.post(f"{server.url}api/repo/{root}/log", json={"log": [line]}, timeout=60)
                except requests.RequestException:
                    return
                if answer.status_code == 200:
                    written.append(line)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(written) > 50)
    assert server.stop() == 0
    for thread in threads:
        thread.join()
    again = serve(server.data)
    lines = requests.get(f"{again.url}api/repo/{root}/log").json()["log"]
    assert set(written) <= {line.split()[-1] for line in lines}


def test_a_store_can_be_served_again_after_a_crash(serve: Serve) -> None:
    server = serve()
    root = make_repo(server)
    server.kill()
    assert list(requests.get(f"{serve(server.data).url}api/repos/info").json()) == [root]


def test_a_port_is_free_again_at_once(serve: Serve, tmp_path: Path) -> None:
    server = serve(http_address="127.77.0.1:0")  # an address of its own: no other program takes the port meanwhile
    address = f"127.77.0.1:{server.port}"
    requests.get(f"{server.url}api/heartbeat")
    server.stop()
    again = start_server(tmp_path / "again", http_address=address)
    try:
        assert requests.get(f"{again.url}api/heartbeat").text == "OK"
    finally:
        again.kill()
