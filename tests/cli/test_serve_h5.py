"""`dvid serve-h5`: a real server process."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from dvidclient.axistags import taggedView
from dvidclient.volume_client import VolumeClient
from mockserver.h5mockserver import H5MockServerDataFile


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dvid", "serve-h5", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_file_is_served_until_it_is_told_to_stop(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    voxels = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    with H5MockServerDataFile(path) as made:
        made.add_node("d", "abc")
        made.add_volume("d", "v", taggedView(voxels, "zyx"))
    with start(str(path), "--port", "0") as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found
            read = VolumeClient(found[0], "abc", "v").retrieve_subvolume((0, 0, 0, 0), (1, 5, 4, 3))
            np.testing.assert_array_equal(np.asarray(read)[0], voxels.T)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_a_file_that_cannot_be_served_is_refused_with_one_line(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    path.write_text("no HDF5")
    with start(str(path)) as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert errors == f"dvid serve-h5: {path} is not an HDF5 file\n"
