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
"""Steps that record what is plainly wrong, against the reference's own documentation: here they are answered otherwise, unless
`server.referenceFaults` asks for the same. See docs/compatibility.md."""
SHOWN = 40


def started(folder: Path, **settings: bool) -> Iterator[Server]:
    if not (FOLDER / "play.py").is_file():
        pytest.skip(
            f"NOT TESTED: whether answers are those of the reference server. Its transcripts are not in {FOLDER}; "
            "DVID_CONFORMANCE names the folder with play.py"
        )
    server = start_server(folder / "data", allow_labelmap_split=True, **settings)
    yield server
    server.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from started(tmp_path_factory.mktemp("conformance"))


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has the faults of the reference, too."""
    yield from started(tmp_path_factory.mktemp("stand-in"), reference_faults=True)


def play(server: Server, area: str, report: Path) -> dict[tuple[str, int], str]:
    """The steps of an area that were answered otherwise than by the reference, and how."""
    command = [sys.executable, str(FOLDER / "play.py"), "--url", server.url, "--admin-token", TOKEN, "--only", area]
    played = subprocess.run(
        [*command, "--no-pause", "--max-poll", "1", "--json", str(report), "--quiet"],
        capture_output=True,
        text=True,
        timeout=880,
        check=False,
    )
    assert report.is_file(), f"the player ended with code {played.returncode}:\n{played.stdout}{played.stderr}"
    found = json.loads(report.read_text())
    assert found["passed"] > 0, f"no transcript begins with {area!r} in {FOLDER}"
    return {
        (one["scenario"], one["step"]): f"{one['scenario']} step {one['step']}: {one['request']}\n"
        f"    {one['problem']} {one['note']}".rstrip()
        for one in found["failures"]
    }


def assert_none(otherwise: dict[tuple[str, int], str]) -> None:
    lines = list(otherwise.values())
    more = f"\n... and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    assert not lines, f"{len(lines)} steps were answered otherwise:\n" + "\n".join(lines[:SHOWN]) + more


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("area", AREAS, ids=[area.strip("/") for area in AREAS])
def test_every_recorded_step_of_the_reference_is_answered_alike(server: Server, area: str, tmp_path: Path) -> None:
    faults = {
        (scenario, step)
        for scenarios in FAULTS.values()
        for scenario, steps in scenarios.items()
        for step in steps
        if scenario.startswith(area)
    }
    otherwise = play(server, area, tmp_path / "report.json")
    assert_none({step: how for step, how in otherwise.items() if step not in faults})
    assert not faults - set(otherwise), f"answered as the reference does, faults and all: {faults - set(otherwise)}"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_stand_in_has_the_faults_of_the_reference_too(stand_in: Server, tmp_path: Path) -> None:
    assert_none(play(stand_in, "labelmap/", tmp_path / "report.json"))
