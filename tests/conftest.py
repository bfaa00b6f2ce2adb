"""Fixtures for all tests: real server processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests import laws  # noqa: F401 - for what it does
from tests.waiting import eventually

from dvid.config import load_config
from dvid.config.layers import variable
from dvid.config.settings import Limits, settings_of
from dvid.config.settings import Server as ServerSettings
from dvid.database import Database

# Shells start their background jobs with SIGINT ignored, and so would be all that tests start and then stop by it.
signal.signal(signal.SIGINT, signal.default_int_handler)

TOKEN = "token-for-tests"
_LIMITS = settings_of(Limits)
_SERVER = settings_of(ServerSettings)


@dataclass
class Server:
    """A running server, with all its processes in one process group."""

    url: str
    """Ends with a slash."""
    process: subprocess.Popen[str]
    data: Path
    log: Path
    token: str | None
    _over: bool = field(default=False, repr=False)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])

    @property
    def headers(self) -> dict[str, str]:
        """What gives a request admin rights."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def rest(self) -> None:
        """Wait until the workers have nothing to do: they load what they need in the background, which takes memory."""
        eventually(lambda: not any(_is_busy(pid) for pid in self.workers()))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop, and wait; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(60)
        self.kill()
        return code

    def kill(self) -> None:
        """End all its processes at once, as a crash would."""
        if not self._over:
            self._over = True
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.process.wait(60)
            if self.process.stdout is not None:
                self.process.stdout.close()


Serve = Callable[..., Server]


def environment(settings: dict[str, Any]) -> dict[str, str]:
    """Settings, by the names of the fields of dvid.config, as environment variables."""
    found = {}
    for name, value in settings.items():
        table, declared = ("limits", _LIMITS) if name in _LIMITS else ("server", _SERVER)
        listed = isinstance(value, list | tuple)
        text = ",".join(value) if listed else str(value).lower() if isinstance(value, bool) else str(value)
        found[variable(table, declared[name].key)] = text
    return found


def start_server(
    data: Path, *arguments: str, token: str | None = TOKEN, log: Path | None = None, **settings: Any
) -> Server:
    """Start `dvid serve` on a free port and wait until it answers."""
    log = log or data.with_name(data.name + ".log")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DVID_")}
    settings = {"http_address": "127.0.0.1:0", "workers": 2, **settings}
    with log.open("a") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "dvid", "serve", "--data", str(data), *arguments],
            env={**clean, **environment(settings), **({"DVID_ADMIN_TOKEN": token} if token else {})},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.fullmatch(r"dvid serves .* at (http://\S+/)\n", line)
    if found is None:
        process.kill()
        process.wait()
        process.stdout.close()
        raise AssertionError(f"the server did not start: {line!r}\n{log.read_text()}")
    return Server(found[1], process, data, log, token)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers: `serve(data_dir, **settings)`; without a folder, each has a store of its own."""
    started: list[Server] = []

    def start(data: Path | None = None, *arguments: str, **settings: Any) -> Server:
        number = len(started)
        started.append(
            start_server(
                data or tmp_path / f"data{number}", *arguments, log=tmp_path / f"server{number}.log", **settings
            )
        )
        return started[-1]

    yield start
    for server in started:
        server.kill()


def is_running(pid: int) -> bool:
    """Whether there is a process that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _is_busy(pid: int) -> bool:
    """Whether a process has a thread that runs, waits for its turn, or for a disk, in more than a third of 15 looks."""
    looks = []
    for _ in range(15):
        time.sleep(0.02)
        states = set()
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                states.add((thread / "stat").read_text().rpartition(")")[2].split()[0])
        looks.append(bool(states & {"R", "D"}))
    return sum(looks) > 5


def begun(client: socket.socket, method: str, path: str, length: int, part: bytes) -> None:
    """Send the head of a request and a part of its body; returns when the server has begun to read the body."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
    client.sendall(head.encode() + part)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        piece = client.recv(1)  # no byte of what comes after
        assert piece, f"the connection was closed after {answer!r}"
        answer += piece
    assert answer.startswith(b"HTTP/1.1 100 "), answer


@pytest.fixture
def two_stores(tmp_path: Path) -> Iterator[Database]:
    """A database of two stores, of which the other one holds segmentations."""
    path = tmp_path / "dvid.toml"
    path.write_text(
        '[store.main]\npath = "main"\ndurability = "relaxed"\n[store.labels]\npath = "labels"\n'
        'durability = "relaxed"\n[backend.default]\nstore = "main"\n[backend.labelmap]\nstore = "labels"\n'
    )
    with Database.from_config(load_config(str(path), environ={})) as database:
        yield database


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their length: what gzip makes holds the time, and all processes must name a test alike."""
    return f"{argname}-{len(val)}-bytes" if isinstance(val, bytes) and len(val) > 8 else None
