from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from dvid.errors import BadRequest, NotFound
from dvid.interop import open_source


def test_a_missing_path_is_not_found(tmp_path):
    with pytest.raises(NotFound, match=r"nowhere\.h5 does not exist"):
        open_source(str(tmp_path / "nowhere.h5"))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty file"), (b"hello world", "is not a HDF5"), (b"PK\x03\x04", "zip archive")],
)
def test_a_file_of_another_format_is_refused_with_what_it_starts_with(tmp_path, content, message):
    (tmp_path / "v.h5").write_bytes(content)
    with pytest.raises(BadRequest, match=message):
        open_source(str(tmp_path / "v.h5"))


def test_the_format_is_told_by_content_not_by_name(tmp_path):
    with open(tmp_path / "v.dat", "wb") as file:
        np.save(file, np.zeros((2, 3, 4), np.uint8))
    assert open_source(str(tmp_path / "v.dat")).shape_zyx == (2, 3, 4)


def test_folders_that_are_no_volumes_say_why(tmp_path):
    (tmp_path / "v.n5").mkdir()
    (tmp_path / "v.n5" / "attributes.json").write_text("{}")
    with pytest.raises(BadRequest, match="N5"):
        open_source(str(tmp_path / "v.n5"))
    (tmp_path / "v.zarr").mkdir()
    with pytest.raises(BadRequest, match="not Zarr data"):
        open_source(str(tmp_path / "v.zarr"))
    with pytest.raises(BadRequest, match="neither a file nor a folder"):
        open_source("/dev/null")


def test_a_dataset_is_refused_where_there_is_nothing_to_choose(tmp_path):
    np.save(tmp_path / "v.npy", np.zeros((2, 3, 4), np.uint8))
    with pytest.raises(BadRequest, match="no dataset can be chosen"):
        open_source(str(tmp_path / "v.npy"), "raw")


def test_an_unreadable_file_is_refused_by_name(tmp_path):
    (tmp_path / "loop.h5").symlink_to(tmp_path / "loop.h5")
    with pytest.raises(NotFound, match=r"loop\.h5"):
        open_source(str(tmp_path / "loop.h5"))


def test_importing_interop_loads_no_format(tmp_path):
    script = "import sys, dvid.interop, dvid.interop.sample\n"
    script += "print([m for m in ('h5py', 'zarr', 'tifffile', 'imagecodecs', 'numba', 'PIL') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
