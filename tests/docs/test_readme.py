"""Promise: what the README shows can be done as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
SAID = "localhost:8000"


def blocks(kind: str) -> list[str]:
    """The blocks of code that are marked to be run."""
    return re.findall(rf"<!-- test: {kind} -->\n```\w+\n(.*?)```", TEXT, re.DOTALL)


def run(command: list[str], folder: Path) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_all_code_is_run_or_shown_only() -> None:
    assert len(re.findall(r"^```python$", TEXT, re.MULTILINE)) == len(blocks("python")) == 3
    assert len(blocks("shell")) == 2


def test_the_tour_in_python_works(serve: Any, tmp_path: Path) -> None:
    alone, segmented, over_http = blocks("python")
    printed = run([sys.executable, "-c", alone], tmp_path)
    assert re.fullmatch(r"[0-9a-f]{32} \[[ 0-9]+\]\n", printed)
    assert run([sys.executable, "-c", segmented], tmp_path) == "1 5 [1 2 5] [393216 131072]\n"
    server = serve(tmp_path / "my-data", token=None)
    where = server.url.removeprefix("http://").rstrip("/")
    assert SAID in over_http
    assert run([sys.executable, "-c", over_http.replace(SAID, where)], tmp_path) == (
        "uint8blk 'gray' 126.55517578125 5\n[1 3] 262144\n"
    )


def test_the_tour_with_curl_works(serve: Any, tmp_path: Path) -> None:
    server = serve(token=None)
    where = server.url.removeprefix("http://").rstrip("/")
    script = "\n".join(blocks("shell")).replace("curl -s", "curl -sf").replace(SAID, where)
    printed = run(["sh", "-euc", script], tmp_path)
    assert '"child"' in printed
    assert (tmp_path / "slice.png").read_bytes().startswith(b"\x89PNG")


def test_what_make_is_said_to_do_is_in_the_makefile() -> None:
    named = set(re.findall(r"make (\w+)", TEXT)) - {"alone"}
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_the_picture_is_small() -> None:
    assert (ROOT / "docs" / "images" / "console.png").stat().st_size < 400_000
