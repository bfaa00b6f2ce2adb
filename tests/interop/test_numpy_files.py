from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest

from dvid.errors import BadRequest
from dvid.interop import open_source

VOLUME = np.arange(6 * 20 * 30, dtype=np.uint16).reshape(6, 20, 30)


@pytest.mark.parametrize("stored", [VOLUME, np.asfortranarray(VOLUME), VOLUME.astype(">u2")])
def test_every_layout_is_read_alike(tmp_path, stored):
    np.save(tmp_path / "v.npy", stored)
    with open_source(str(tmp_path / "v.npy")) as source:
        box = source.read((1, 2, 3), (4, 5, 6))
        assert box.dtype == np.dtype("=u2")
        np.testing.assert_array_equal(box, VOLUME[1:5, 2:7, 3:9])


@pytest.mark.parametrize(
    ("shape", "axes", "expected"),
    [
        ((20, 30), None, (1, 20, 30)),
        ((6, 20, 30, 3), None, (6, 20, 30)),
        ((3, 6, 20, 30), None, (6, 20, 30)),
        ((3, 6, 20, 4), "zyxc", (3, 6, 20)),
        ((30, 20, 6), "xyz", (6, 20, 30)),
        ((20, 30, 3), "yxc", (1, 20, 30)),
        ((1, 2, 6, 20, 30), None, (6, 20, 30)),
    ],
)
def test_axes_are_told_by_shape_or_by_the_user(tmp_path, shape, axes, expected):
    np.save(tmp_path / "v.npy", np.zeros(shape, np.uint8))
    with open_source(str(tmp_path / "v.npy"), axes=axes) as source:
        assert source.shape_zyx == expected
        assert source.read((0, 0, 0), expected).shape[:3] == expected


def test_channels_come_last(tmp_path):
    volume = np.arange(3 * 6 * 20 * 30, dtype=np.uint16).reshape(3, 6, 20, 30)
    np.save(tmp_path / "v.npy", volume)
    with open_source(str(tmp_path / "v.npy")) as source:
        assert source.channels == 3
        np.testing.assert_array_equal(source.read((1, 2, 3), (4, 5, 6)), volume.transpose(1, 2, 3, 0)[1:5, 2:7, 3:9])


@pytest.mark.parametrize(
    ("shape", "axes", "message"),
    [
        ((3, 6, 20, 4), None, "name its axes"),
        ((5, 6, 20, 40), None, "name its axes"),
        ((6, 20, 30), "zyy", "do not fit"),
        ((6, 20, 30), "zyxc", "do not fit"),
        ((6, 20, 30), "zcx", "at least y and x"),
        ((6, 20, 30), "tyx", "points in time"),
        ((5,), None, "2 to 4 axes"),
    ],
)
def test_axes_that_do_not_fit_are_refused(tmp_path, shape, axes, message):
    np.save(tmp_path / "v.npy", np.zeros(shape, np.uint8))
    with pytest.raises(BadRequest, match=message):
        open_source(str(tmp_path / "v.npy"), axes=axes)


class Trap:
    def __reduce__(self):
        return (open, ("trap-was-sprung", "w"))


def test_pickles_are_never_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("objects.npy", np.array([[[Trap()]]], dtype=object), allow_pickle=True)
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps(Trap()))
    for name in ("objects.npy", "pickle.npy"):
        with pytest.raises(BadRequest, match=name):
            open_source(name)
    assert not (tmp_path / "trap-was-sprung").exists()


@pytest.mark.parametrize("keep", [7, 9, 60, 127, 200])
def test_a_truncated_file_is_refused(tmp_path, keep):
    np.save(tmp_path / "v.npy", VOLUME)
    (tmp_path / "v.npy").write_bytes((tmp_path / "v.npy").read_bytes()[:keep])
    with pytest.raises(BadRequest, match=r"v\.npy"):
        open_source(str(tmp_path / "v.npy"))


@pytest.mark.parametrize("shape", ["(-1, 2, 3)", "(10000000000, 10000000000, 10000000000)", "'abc'", "(1.5, 2, 3)"])
def test_an_impossible_shape_is_refused(tmp_path, shape):
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    (tmp_path / "v.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(100))
    with pytest.raises(BadRequest, match=r"v\.npy"):
        open_source(str(tmp_path / "v.npy"))


def test_a_small_box_of_a_huge_volume_takes_little_memory(tmp_path):
    array = np.lib.format.open_memmap(tmp_path / "v.npy", mode="w+", dtype=np.uint8, shape=(4000, 4000, 1000))
    array[2000, 2000, 500] = 9
    del array
    tracemalloc.start()
    try:
        with open_source(str(tmp_path / "v.npy")) as source:
            box = source.read((2000, 2000, 500), (64, 64, 64))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert box[0, 0, 0] == 9
    assert peak < 2 << 20


def test_a_closed_source_says_so(tmp_path):
    np.save(tmp_path / "v.npy", VOLUME)
    source = open_source(str(tmp_path / "v.npy"))
    source.close()
    with pytest.raises(BadRequest, match="closed"):
        source.read((0, 0, 0), (1, 1, 1))
