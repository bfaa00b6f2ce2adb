"""The real command in processes of its own, on a store or on a server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass
class Command:
    """Runs `dvid` with words; `target` goes behind them."""

    folder: Path
    target: tuple[str, ...]
    environment: dict[str, str]
    started: list[subprocess.Popen[str]]

    def __call__(self, *words: object, code: int = 0) -> str:
        """What it prints on standard output; it must end with `code`."""
        return self.both(*words, code=code)[0]

    def fails(self, *words: object, code: int) -> str:
        """Its complaint, which must be one line."""
        _, errors = self.both(*words, code=code)
        lines = [line for line in errors.splitlines() if line.startswith("dvid: ")]
        assert len(lines) == 1, errors
        assert errors.endswith(lines[0] + "\n"), errors
        return lines[0]

    def both(self, *words: object, code: int = 0) -> tuple[str, str]:
        """Standard output and error."""
        process = self.start(*words)
        out, errors = process.communicate(timeout=240)
        assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{errors}"
        assert "Traceback" not in errors
        return out, errors

    def start(self, *words: object) -> subprocess.Popen[str]:
        """A process that runs."""
        process = subprocess.Popen(
            [sys.executable, "-m", "dvid", *map(str, words), *self.target],
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        self.started.append(process)
        return process

    def uuid(self, *words: object) -> str:
        """The UUID that it prints."""
        text = self(*words)
        assert re.fullmatch(r"[0-9a-f]{32}\n", text), text
        return text.strip()

    def on(self, *target: str) -> Command:
        """The same command with another target."""
        return Command(self.folder, target, self.environment, self.started)

    @property
    def journals(self) -> list[Path]:
        """The progress of imports that are not finished."""
        folder = Path(self.environment["XDG_STATE_HOME"], "dvid", "imports")
        return sorted(folder.iterdir()) if folder.is_dir() else []


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Command]:
    """The command without a target."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DVID_", "XDG_", "COLUMNS"))}
    environment = {**clean, "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_DATA_HOME": str(tmp_path / "share")}
    command = Command(tmp_path, (), environment, [])
    yield command
    for process in command.started:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def on_store(plain: Command) -> Command:
    """The command on a store of its own."""
    return plain.on("--data", "store")


@pytest.fixture
def on_server(plain: Command, serve: Any) -> Command:
    """The command on a server of its own."""
    server = serve(plain.folder / "store")
    plain.environment["DVID_ADMIN_TOKEN"] = server.token
    return plain.on("--server", server.url)


@pytest.fixture(params=["store", "server"])
def dvid(request: pytest.FixtureRequest) -> Command:
    """The command on a store, and on a server."""
    command: Command = request.getfixturevalue(f"on_{request.param}")
    return command


@pytest.fixture(scope="session")
def vnc_path() -> Path:
    """A real EM volume with a segmentation that may lie beside the checkout."""
    path = Path(__file__).parents[3] / "shared" / "data" / "vnc" / "vnc.h5"
    if not path.exists():
        pytest.skip("the real volume ../shared/data/vnc/vnc.h5 is not beside the checkout")
    return path
