"""A server that is killed at any moment loses nothing that it has answered, and leaves nothing half done."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import pytest
from tests.conftest import TOKEN, Serve, Server, is_running
from tests.crash.load import Http, Load
from tests.waiting import eventually

from dvid.cli.verify import check_content
from dvid.storage import open_store
from dvid.versions.verify import verify

ROUNDS = 50
ROUNDS_OF_A_LOAD = 7
"""Then a new repo takes its place: the mutation logs that are read after each kill stay short."""


def assert_store_is_sound(data: Path) -> None:
    """Read all of a store: checksums, records, references."""
    store = open_store(str(data), read_only=True)
    try:
        problems = [str(problem) for problem in verify(store, check_content)]
    finally:
        store.close()
    assert not problems, problems[:10]


def judge(server: Server, *loads: Load) -> None:
    with closing(Http(server.url, TOKEN)) as http:
        for load in loads:
            load.judge(http)


def end_suddenly(server: Server, how: str, random: Random) -> None:
    """Kill all processes of a server, its main process only, or single workers while it goes on."""
    if how == "all":
        server.kill()
    elif how == "main":
        workers = server.workers()
        os.kill(server.pid, signal.SIGKILL)
        server.process.wait(60)
        eventually(lambda: not any(is_running(pid) for pid in workers))
    else:
        for _ in range(random.randint(1, 3)):
            with suppress(ProcessLookupError):  # it was killed just now
                os.kill(random.choice(eventually(server.workers)), signal.SIGKILL)
            time.sleep(random.uniform(0, 0.1))


def settle(server: Server, load: Load) -> None:
    """Write something.

    The commit of a worker that was killed while it told the others of it is seen by them when the next write begins:
    until then the requests in it, which were not answered, may still take effect.
    """
    http = Http(server.url, TOKEN)
    http.post(f"/api/repo/{load.root}/log", {"log": ["a worker was killed"]})
    http.close()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_answered_write_survives_kills_and_no_other_is_there_in_part(tmp_path: Path, serve: Serve) -> None:
    seed = int(os.environ.get("DVID_TEST_SEED") or secrets.randbits(32))
    random = Random(seed)
    data = tmp_path / "data"
    loads: list[Load] = []
    killed: Counter[str] = Counter()
    server = serve(data)
    try:
        for round_number in range(ROUNDS):
            if server.process.poll() is not None:
                server = serve(data)
            http = Http(server.url, TOKEN)
            if round_number % ROUNDS_OF_A_LOAD == 0:
                loads.append(Load(http, random))
            running = loads[-1].start(server.url, TOKEN)
            if round_number % ROUNDS_OF_A_LOAD == 0:
                eventually(lambda load=loads[-1]: all(writer.answers for writer in load.writers))
            time.sleep(random.uniform(0.02, 0.45))
            how = random.choices(["all", "worker", "main"], [6, 2, 1])[0]
            end_suddenly(server, how, random)
            killed[how] += 1
            running.join()
            http.close()
            if how != "worker":
                server.kill()
                server = serve(data)
            else:
                settle(server, loads[-1])
            judge(server, loads[-1])
            if round_number % ROUNDS_OF_A_LOAD == ROUNDS_OF_A_LOAD - 1:
                assert_store_is_sound(data)
        judge(server, *loads)
        assert server.stop() == 0
        assert_store_is_sound(data)
        assert all(writer.events for load in loads for writer in load.writers if writer.instance)
    except BaseException:
        print(f"DVID_TEST_SEED={seed} repeats the choices of this run; killed until now: {dict(killed)}")
        raise


@pytest.mark.slow
def test_a_store_whose_making_was_killed_can_be_used(tmp_path: Path, serve: Serve) -> None:
    seed = int(os.environ.get("DVID_TEST_SEED") or secrets.randbits(32))
    random = Random(seed)
    for number in range(4):
        data = tmp_path / f"data{number}"
        process = subprocess.Popen(
            [sys.executable, "-m", "dvid", "serve", "--data", str(data), "--http", "127.0.0.1:0", "--workers", "2"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        begin = time.monotonic()
        if number % 2:  # as soon as there is something of it
            while not (data.is_dir() and any(data.iterdir())) and time.monotonic() - begin < 60:
                time.sleep(0.001)
        else:
            time.sleep(random.uniform(0.1, 0.6))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
        server = serve(data)
        http = Http(server.url, TOKEN)
        Load(http, random).judge(http)
        http.close()
        assert server.stop() == 0, f"seed {seed}"
        assert_store_is_sound(data)
