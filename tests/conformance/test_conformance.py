"""What the reference server answered, this one answers too: its recorded transcripts, area by area."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import TOKEN, Server, start_server

FOLDER = Path(os.environ.get("DVID_CONFORMANCE") or Path(__file__).parents[3] / "shared" / "conformance")
AREAS = [
    "server/",
    "repo/",
    "imageblk/",
    "roi/",
    "keyvalue/",
    "labelmap/",
    "labelsplit/",
    "labelarray/",
    "labelblk/",
    "labelvol/",
    "mutlog/",
]
FAULTS = {
    "a point at negative coordinates is looked up in another block than its own, and answered 0": {
        "labelmap/negative-a": (13, 17),
        "labelmap/negative-b": (13, 14, 17),
    },
    "maxx is not heeded within 8^3 voxels of one label": {
        "labelmap/sparse-a": (16, 18, 31, 33, 56, 58),
        "labelmap/sparse-b": (16, 18, 56, 58, 71, 73),
    },
    "HEAD sparsevol with bounds says whether a body is outside of them": {
        "labelmap/sparse-a": (19, 24, 34, 59, 64, 74),
        "labelmap/sparse-b": (14, 19, 24, 34, 54, 59, 64, 69, 74),
    },
}
"""Steps that record what is plainly wrong, against the reference's own documentation: here they are answered otherwise.
See docs/compatibility.md."""
SHOWN = 40


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not (FOLDER / "play.py").is_file():
        pytest.skip(
            f"NOT TESTED: whether answers are those of the reference server. Its transcripts are not in {FOLDER}; "
            "DVID_CONFORMANCE names the folder with play.py"
        )
    started = start_server(tmp_path_factory.mktemp("conformance") / "data", allow_labelmap_split=True)
    yield started
    started.kill()


@pytest.mark.slow
@pytest.mark.parametrize("area", AREAS, ids=[area.strip("/") for area in AREAS])
def test_every_recorded_step_of_the_reference_is_answered_alike(server: Server, area: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, str(FOLDER / "play.py"), "--url", server.url, "--admin-token", TOKEN, "--only", area]
    played = subprocess.run(
        [*command, "--no-pause", "--max-poll", "1", "--json", str(report), "--quiet"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert report.is_file(), f"the player ended with code {played.returncode}:\n{played.stdout}{played.stderr}"
    found = json.loads(report.read_text())
    faults = {
        (scenario, step)
        for scenarios in FAULTS.values()
        for scenario, steps in scenarios.items()
        for step in steps
        if scenario.startswith(area)
    }
    failed = {(one["scenario"], one["step"]) for one in found["failures"]}
    lines = [
        f"{one['scenario']} step {one['step']}: {one['request']}\n    {one['problem']} {one['note']}".rstrip()
        for one in found["failures"]
        if (one["scenario"], one["step"]) not in faults
    ]
    more = f"\n... and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    assert not lines, f"{len(lines)} steps were answered otherwise:\n" + "\n".join(lines[:SHOWN]) + more
    assert not faults - failed, f"answered as the reference does, faults and all: {sorted(faults - failed)}"
    assert found["passed"] > 0, f"no transcript begins with {area!r} in {FOLDER}"
