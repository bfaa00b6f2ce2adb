"""Agglomeration mappings in the forms that programs write them."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from dvid.errors import BadRequest, NotFound
from dvid.interop.mappings import read_mapping

PAIRS = np.array([[1, 5], [2, 5], [2**64 - 2, 7]], np.uint64)


def check(path, dataset=None):
    supervoxels, bodies = read_mapping(str(path), dataset)
    assert supervoxels.dtype == bodies.dtype == np.uint64
    assert np.array_equal(np.stack((supervoxels, bodies), 1), PAIRS)


@pytest.mark.parametrize(
    ("head", "separator"),
    [("", ","), ("", " "), ("", "\t"), ("", "; "), ("supervoxel,body\n", ","), ("sv label\n", " "), ("a,b\n", ", ")],
)
def test_text_with_any_separator_is_read(tmp_path, head, separator):
    rows = "".join(f"{a}{separator}{b}\n" for a, b in PAIRS.tolist())
    (tmp_path / "m.csv").write_text(head + rows)
    check(tmp_path / "m.csv")


def test_named_columns_are_found_wherever_they_stand(tmp_path):
    rows = "".join(f"{b},0.5,{a}\n" for a, b in PAIRS.tolist())
    (tmp_path / "m.csv").write_text("body,score,supervoxel\n" + rows)
    check(tmp_path / "m.csv")


def test_arrays_are_read(tmp_path):
    np.save(tmp_path / "m.npy", PAIRS)
    check(tmp_path / "m.npy")
    rows = np.zeros(3, [("body", "<u8"), ("sv", ">u8")])
    rows["sv"], rows["body"] = PAIRS.T
    np.save(tmp_path / "rows.npy", rows)
    check(tmp_path / "rows.npy")


def test_hdf5_is_read(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["mapping"] = PAIRS
        file["voxels"] = np.zeros((2, 3, 4))
    check(tmp_path / "m.h5")
    check(tmp_path / "m.h5", "/mapping")
    with h5py.File(tmp_path / "m.h5", "a") as file:
        file["other"] = PAIRS
    with pytest.raises(BadRequest, match="mapping, other"):
        read_mapping(str(tmp_path / "m.h5"))


def test_the_real_mapping_is_read(vnc_path):
    supervoxels, bodies = read_mapping(str(vnc_path), "mapping")
    assert (len(np.unique(supervoxels)), len(np.unique(bodies))) == (2575, 2012)


@pytest.mark.parametrize("text", ["1,-5\n", "1,2.5\n", "1,2\n3\n", "hello\n", "1\n", "1,99999999999999999999\n"])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(BadRequest, match=r"m\.csv is no mapping"):
        read_mapping(str(tmp_path / "m.csv"))


def test_arrays_of_other_shapes_and_types_are_refused(tmp_path):
    for array in (PAIRS.T, PAIRS.astype(np.float64), PAIRS.astype(np.int64) * -1, np.array(["a"], object)):
        np.save(tmp_path / "m.npy", array, allow_pickle=True)
        with pytest.raises(BadRequest, match=r"m\.npy"):
            read_mapping(str(tmp_path / "m.npy"))
    with pytest.raises(NotFound):
        read_mapping(str(tmp_path / "absent.csv"))
    with pytest.raises(BadRequest, match="no dataset 'x'"):
        read_mapping(str(tmp_path / "m.npy"), "x")
