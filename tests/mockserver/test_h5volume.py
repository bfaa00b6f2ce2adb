import io
import math
import os
from wsgiref.util import setup_testing_defaults

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.mockserver.conftest import random_voxels, tagged

from dvidclient.boxes import Box
from mockserver import h5volume
from mockserver.h5datafile import DataFile, open_locked
from mockserver.h5mockserver import H5MockServerDataFile
from mockserver.h5routes import application
from mockserver.h5volume import Volume


@pytest.fixture
def small_parts(monkeypatch):
    """Slabs and pieces of some voxels, so that small volumes have many."""
    monkeypatch.setattr(h5volume, "SLAB_BYTES", 600)
    monkeypatch.setattr(h5volume, "PIECE_BYTES", 100)


@settings(max_examples=150)
@given(data=st.data())
def test_slabs_and_pieces_of_a_box_are_all_of_it_once(small_parts, data):
    axes = data.draw(st.sampled_from(["zyx", "xyz", "zyxc", "cxyz", "yx"]))
    shape = [2 if axis == "c" else 30 for axis in axes]
    chunks = data.draw(st.none() | st.tuples(*[st.integers(1, size) for size in shape]))
    with h5py.File("parts", "w", driver="core", backing_store=False) as file:
        stored = file.create_dataset("v", shape, "u1", chunks=chunks)
        stored.attrs["axistags"] = tagged(np.zeros([1] * len(axes)), axes).axistags.toJSON()
        volume = Volume(stored)
        spans = [data.draw(st.tuples(st.integers(-5, 20), st.integers(1, 20))) for _ in "xyz"]
        box = Box(tuple(at for at, _ in spans), tuple(at + n for at, n in spans))
        slabs, pieces = list(volume.slabs(box)), list(volume.pieces(box))
    for parts in (slabs, pieces):
        times = np.zeros(box.size_xyz[::-1], int)
        for part in parts:
            times[part.within_zyx(box)] += 1
        assert (times == 1).all()
    # Slabs follow each other on the wire.
    number = np.arange(box.voxels).reshape(box.size_xyz[::-1])
    assert np.concatenate([number[slab.within_zyx(box)].ravel() for slab in slabs]).tolist() == number.ravel().tolist()
    assert all(slab.voxels * volume.voxel_bytes <= max(600, box.size_xyz[0] * volume.voxel_bytes) for slab in slabs)
    size = dict(zip(axes, chunks or (), strict=False))
    chunk = math.prod(size.get(axis, 1) for axis in "xyz") * volume.voxel_bytes
    assert all(piece.voxels * volume.voxel_bytes <= max(100, chunk) for piece in pieces)


def test_a_chunk_is_in_one_piece_only(small_parts):
    with h5py.File("parts", "w", driver="core", backing_store=False) as file:
        volume = Volume(file.create_dataset("v", (40, 40, 40), "u1", chunks=(4, 5, 6)))
        pieces = list(volume.pieces(Box((3, 2, 1), (38, 39, 37))))
    chunks = [
        (x, y, z)
        for piece in pieces
        for x in range(piece.start_xyz[0] // 6, -(-piece.stop_xyz[0] // 6))
        for y in range(piece.start_xyz[1] // 5, -(-piece.stop_xyz[1] // 5))
        for z in range(piece.start_xyz[2] // 4, -(-piece.stop_xyz[2] // 4))
    ]
    assert len(chunks) == len(set(chunks)) == 7 * 8 * 10


def asked(app, method, path, body=b""):
    """The parts of the answer, as they are made."""
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": f"/api/{path}",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    setup_testing_defaults(environ)
    statuses = []
    parts = app(environ, lambda status, headers, exc_info=None: statuses.append(status))
    assert statuses == ["200 OK"]
    return iter(parts)


@pytest.mark.parametrize("at", ["-9_0_0", "0_0_40"])
def test_an_answer_goes_on_after_a_write_in_between_has_moved_its_volume(path, small_parts, at):
    voxels = random_voxels((20, 20, 20))
    with H5MockServerDataFile(path) as made:
        made.add_node("d", "abc")
        made.add_volume("d", "v", tagged(voxels, "zyx"))
    descriptor = open_locked(path)
    data = DataFile(path, descriptor)
    try:
        app = application(data)
        answer = asked(app, "GET", "node/abc/v/raw/0_1_2/20_20_20/0_0_0")
        first = bytes(next(answer))
        list(asked(app, "POST", f"node/abc/v/raw/0_1_2/1_1_1/{at}", b"7"))
        rest = [bytes(part) for part in answer]
    finally:
        data.close()
        os.close(descriptor)
    assert len(rest) > 5
    assert first + b"".join(rest) == voxels.tobytes()
