import concurrent.futures
import dataclasses
import multiprocessing
import pickle
import sys
import threading
import warnings
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dvidclient
from dvidclient.data import lazy
from dvidclient.errors import BadArgument, ServerRefused
from dvidclient.volume_metainfo import MetaInfo


@pytest.fixture
def dask():
    """Dask's arrays; in the place of ``pytest.importorskip``, which lets no import of dask warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("dask.array")


@pytest.fixture
def em(server_url, node, name):
    """A volume whose extents begin and end within blocks, and its voxels."""
    info = MetaInfo((70, 80, 90), "u2", "zyx", offset=(-5, 7, 64), voxel_size=(40, 8, 4), units=("nm", "nm", "um"))
    volume = dvidclient.connect(server_url).node(node).create_volume(name, info)
    voxels = np.arange(70 * 80 * 90).astype("u2").reshape(70, 80, 90)
    volume[...] = voxels
    return volume, voxels


def test_a_dask_array_has_the_voxels_in_chunks_along_blocks(em, dask, monkeypatch):
    volume, voxels = em
    monkeypatch.setattr(lazy, "CHUNK_BYTES", 2 * 32**3 * 2)
    array = volume.to_dask()
    assert (array.shape, array.dtype, array.name.rpartition("-")[0]) == (voxels.shape, voxels.dtype, volume.name)
    assert array.chunks == ((5, 64, 1), (25, 32, 23), (32, 32, 26))
    np.testing.assert_array_equal(array.compute(scheduler="threads"), voxels)
    np.testing.assert_array_equal(array[3:60:7, 5, ::2].compute(scheduler="sync"), voxels[3:60:7, 5, ::2])
    assert (array.astype("u8") + 1).sum().compute() == voxels.astype("u8").sum() + voxels.size


def test_a_dask_array_of_colours_and_of_a_lower_resolution(server_url, node, name, dask):
    opened = dvidclient.connect(server_url).node(node)
    colours = opened.create_volume(name, MetaInfo((4, 30, 20, 10), "u1", "cxyz"))
    voxels = (np.arange(4 * 30 * 20 * 10) % 251).astype("u1").reshape(10, 20, 30, 4)
    colours[...] = voxels
    np.testing.assert_array_equal(colours.to_dask(), voxels)
    np.testing.assert_array_equal(colours.to_dask(chunks=(4, 20, 30, 3))[..., 1::2].compute(), voxels[..., 1::2])
    if "labelmap" not in opened.repo.server.types:
        pytest.skip("this server has no lower resolutions")
    labels = opened.create("labelmap", f"{name}-labels", MaxDownresLevel=1)
    labels[0:128, 0:128, 0:128] = 7
    assert labels.at_scale(1).to_dask().shape == (64, 64, 64)
    assert labels.to_dask().chunks == ((128,), (128,), (128,))


def test_an_empty_volume_is_an_empty_dask_array(server_url, node, name, dask):
    volume = dvidclient.connect(server_url).node(node).create("uint8blk", name)
    assert volume.to_dask().compute().shape == (0, 0, 0)


def test_what_may_change_has_a_new_name_and_what_is_committed_keeps_it(server_url, name, dask, admin_token):
    opened = dvidclient.connect(server_url, admin_token or None).create_repo(name).root
    volume = opened.create("uint8blk", "em")
    volume[0:32, 0:32, 0:32] = 3
    assert volume.to_dask().name != volume.to_dask().name
    committed = opened.commit("done")["em"]
    assert committed.to_dask().name == committed.to_dask().name


def test_chunks_are_read_in_other_processes(em, dask):
    volume, voxels = em
    array = volume.to_dask()
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        np.testing.assert_array_equal(array.compute(scheduler="processes", pool=pool), voxels)


def test_threads_share_the_connections_of_the_volume(em, dask, proxy, node, monkeypatch):
    volume, voxels = em
    monkeypatch.setattr(lazy, "CHUNK_BYTES", 2 * 32**3)
    away = dvidclient.connect(proxy.url).node(node)[volume.name]
    array = away.to_dask()
    assert array.npartitions > 8
    np.testing.assert_array_equal(array.compute(scheduler="threads", num_workers=4), voxels)
    assert proxy.connections <= 5


@given(
    start=st.integers(-200, 200),
    size=st.integers(0, 400),
    edge=st.sampled_from([32, 64, 96]),
)
def test_cuts_lie_between_blocks_and_hold_everything(start, size, edge):
    lengths = lazy._cuts(start, size, edge)
    assert sum(lengths) == size
    assert all((start + at) % edge == 0 for at in np.cumsum(lengths)[:-1])
    assert size == 0 or all(0 < length <= edge for length in lengths)


@given(
    block=st.tuples(*[st.sampled_from([16, 32, 64, 1000])] * 3),
    shape=st.tuples(*[st.integers(0, 10**5)] * 3),
    itemsize=st.sampled_from([1, 2, 4, 8]),
)
def test_chunks_are_blocks_grown_to_a_size(block, shape, itemsize):
    edges = lazy.chunk_shape(block, shape, itemsize)
    assert all(edge % size == 0 for edge, size in zip(edges, block, strict=True))
    size = np.prod(edges) * itemsize
    assert edges == block or size <= lazy.CHUNK_BYTES
    assert 2 * size > lazy.CHUNK_BYTES or all(edge >= length for edge, length in zip(edges, shape, strict=True))


def test_an_xarray_knows_where_its_voxels_are(em, dask):
    pytest.importorskip("xarray")
    volume, voxels = em
    array = volume.to_xarray()
    assert (array.dims, array.name, array.chunks is not None) == (("z", "y", "x"), volume.name, True)
    assert {axis: array[axis].attrs["units"] for axis in "zyx"} == {"z": "nm", "y": "nm", "x": "um"}
    assert array.attrs["start_zyx"] == [-5, 7, 64]
    assert array.attrs["version"] == volume.node.uuid
    np.testing.assert_array_equal(array, voxels)
    found = array.sel(z=41, y=83, x=300, method="nearest")
    z, y, x = volume.to_voxels([41, 83, 300])
    assert found.values == volume[z, y, x]


def test_an_xarray_without_dask_is_read_at_once(em, monkeypatch):
    pytest.importorskip("xarray")
    volume, voxels = em
    monkeypatch.setitem(sys.modules, "dask.array", None)
    array = volume.to_xarray()
    assert isinstance(array.data, np.ndarray)
    np.testing.assert_array_equal(array, voxels)


@pytest.mark.parametrize(
    ("call", "module", "extra"), [("to_dask", "dask.array", "dask"), ("to_xarray", "xarray", "xarray")]
)
def test_what_is_not_installed_is_named(em, monkeypatch, call, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=rf"needs the package {extra}: pip install 'dvidclient\[{extra}\]'"):
        getattr(em[0], call)()


def test_a_window_can_be_sent_anywhere(em):
    volume, voxels = em
    extents = volume.extents
    window = lazy.Window(volume.transfer, "zyx", tuple(start for start, _ in extents.values()), volume.shape)
    again = pickle.loads(pickle.dumps(window))
    np.testing.assert_array_equal(again[3, 5:9, 80:100], voxels[3, 5:9, 80:100])
    assert again[0:0, :, :].shape == (0, 80, 90)


class Chunks:
    """Makes chunks for dask, and counts how many there were, and how many at the same time."""

    def __init__(self, dask, shape, chunks, dtype="u1"):
        self.made = self.alive = self.most_alive = 0
        self._lock = threading.Lock()
        empty = np.empty((0,) * len(shape), dtype)
        self.array = dask.zeros(shape, chunks=chunks, dtype=dtype).map_blocks(self._make, dtype=dtype, meta=empty)

    def _make(self, block, block_info=None):
        places = block_info[0]["array-location"]
        at = np.ix_(*(np.arange(start, stop) for start, stop in places))
        voxels = self.voxels(*at).astype(block.dtype)
        with self._lock:
            self.made += 1
            self.alive += 1
            self.most_alive = max(self.most_alive, self.alive)
        weakref.finalize(voxels, self._gone)
        return voxels

    def _gone(self):
        with self._lock:
            self.alive -= 1

    @staticmethod
    def voxels(z, y, x):
        return (z * 7 + y * 3 + x) % 251

    def __dask_tokenize__(self):
        return id(self)


@pytest.mark.parametrize(
    ("shape", "chunks", "start", "most_alive"),
    [
        ((256, 64, 64), (32, 32, 32), (0, 0, 0), 6),
        ((256, 64, 64), (1, 64, 64), (0, 0, 0), 3 * 32),  # planes, as many together as a block is deep
        ((256, 64, 64), (1, 64, 64), (5, 7, -9), 3 * 32),
        ((240, 60, 60), (20, 30, 60), (0, 0, 0), 12),  # cut by the blocks
    ],
)
def test_a_dask_array_is_written_piece_by_piece(server_url, node, name, dask, shape, chunks, start, most_alive):
    source = Chunks(dask, shape, chunks)
    volume = dvidclient.connect(server_url, workers=2).node(node).create("uint8blk", name, BlockSize=(32, 32, 32))
    box = tuple(slice(at, at + size) for at, size in zip(start, shape, strict=True))
    volume[box] = source.array
    assert source.made == source.array.npartitions
    assert source.most_alive <= most_alive < source.made
    np.testing.assert_array_equal(volume[box], source.array.compute())


def test_a_dask_array_is_broadcast_and_may_lack_axes(server_url, node, name, dask):
    opened = dvidclient.connect(server_url).node(node)
    volume = opened.create_volume(name, MetaInfo((3, 40, 30, 20), "u2", "cxyz"))
    everything = np.s_[0:20, 0:30, 0:40]
    volume[everything] = dask.full((1, 1, 1, 3), 7, dtype="u1")
    assert (volume[everything] == 7).all()
    plane = np.arange(30 * 40 * 3, dtype="u2").reshape(30, 40, 3)
    volume[5, 0:30, 0:40] = dask.from_array(plane, chunks=(7, 40, 2))
    np.testing.assert_array_equal(volume[5, :, :], plane)
    assert (volume[6, :, :] == 7).all()
    volume[3:3, 0:30, 0:40] = dask.full((30, 40, 3), 1, dtype="u2")
    assert volume.shape == (20, 30, 40, 3)


def test_what_was_read_lazily_is_written_lazily(em, dask):
    volume, voxels = em
    told = []
    volume.write(..., volume.to_dask(chunks=(30, 40, 41)) + np.uint16(1), progress=lambda *done: told.append(done))
    np.testing.assert_array_equal(volume, voxels + 1)
    assert told[-1] == (voxels.nbytes, voxels.nbytes)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    xarray = pytest.importorskip("xarray")
    volume[...] = xarray.DataArray(dask.from_array(voxels, chunks=50), dims=("z", "y", "x"))
    np.testing.assert_array_equal(volume, voxels)


def test_chunks_are_written_by_other_processes(em, dask):
    volume, voxels = em
    context = multiprocessing.get_context("spawn")
    config = pytest.importorskip("dask.config")
    with (
        concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool,
        config.set(scheduler="processes", pool=pool),
    ):
        volume[...] = dask.from_array(voxels[::-1], chunks=(35, 40, 90))
        np.testing.assert_array_equal(volume, voxels[::-1])
        with pytest.raises(BadArgument, match="expected a chunk of uint16"):
            volume[...] = dask.zeros((70, 80, 90), dtype="u2").map_blocks(np.float32, dtype="u2", meta=voxels[:0])


def test_pieces_that_share_blocks_all_stay_where_whole_blocks_are_written(em, dask):
    volume, voxels = em
    whole = dataclasses.replace(volume.transfer, unaligned_writes=False)
    source = dask.from_array(voxels[:, ::-1, :, None], chunks=(33, 20, 90, 1))
    box = volume._selection(...).box
    for _ in range(3):
        volume[...] = np.zeros((), "u2")
        lazy.write_dask(whole, box, source, workers=4)
        np.testing.assert_array_equal(volume, voxels[:, ::-1])


def test_dask_arrays_that_do_not_fit_are_refused_before_anything_is_computed(em, dask):
    volume, _ = em
    source = Chunks(dask, (70, 80, 90), 40, "u2")
    unknown = source.array[source.array > 3]
    for key, array, said in (
        (np.s_[...], source.array.astype("i4"), "expected values that fit uint16, got int32"),
        (np.s_[0:70, 0:80, 0:80], source.array, r"expected the shape \(70, 80, 80\), got \(70, 80, 90\)"),
        (np.s_[...], unknown, "expected the shape"),
    ):
        with pytest.raises(BadArgument, match=f"^voxels: {said}"):
            volume[key] = array
    with pytest.raises(BadArgument, match="workers: expected"):
        volume.write(..., source.array, workers=0)
    assert source.made == 0


def test_chunks_that_are_not_what_their_array_says_are_refused(em, dask):
    volume, voxels = em
    zeros = dask.zeros((70, 80, 90), chunks=40, dtype="u2")
    for lying in (lambda block: block.astype("f4"), lambda block: block[1:]):
        with pytest.raises(BadArgument, match=r"voxels: expected a chunk of uint16 and the shape .* for x "):
            volume[...] = zeros.map_blocks(lying, dtype="u2", meta=np.empty((0, 0, 0), "u2"))
    np.testing.assert_array_equal(volume, voxels)


def test_a_lower_resolution_is_not_written_and_a_piece_that_is_refused_is_named(server_url, name, dask, admin_token):
    root = dvidclient.connect(server_url, admin_token or None).create_repo(name).root
    labels = root.create("labelmap", "bodies", MaxDownresLevel=1, BlockSize=(32, 32, 32))
    labels[0:64, 0:64, 0:64] = 7
    source = Chunks(dask, (64, 64, 64), 32, "u8")
    with pytest.raises(BadArgument, match="can be written at scale 0"):
        labels.at_scale(1)[0:64, 0:64, 0:64] = source.array
    assert source.made == 0
    root.commit()
    locked = dvidclient.connect(server_url).node(root.uuid)["bodies"]
    with pytest.raises(ServerRefused, match=r"writing x \d+:\d+, y \d+:\d+, z \d+:\d+ of labelmap 'bodies'"):
        locked[0:64, 0:64, 0:64] = source.array


@given(
    start=st.integers(-200, 200),
    chunks=st.lists(st.integers(0, 100), max_size=20),
    block=st.sampled_from([1, 32, 64]),
)
def test_joined_chunks_are_whole_chunks_and_as_long_as_blocks(start, chunks, block):
    pieces = lazy.joined(start, chunks, block)
    assert sum(pieces) == sum(chunks)
    ends = {start + sum(chunks[: at + 1]) for at in range(len(chunks))}
    cuts = [start + sum(pieces[: at + 1]) for at in range(len(pieces))]
    assert set(cuts) <= ends
    assert all(piece >= block or cut % block == 0 for piece, cut in list(zip(pieces, cuts, strict=True))[:-1])
    assert all(0 < piece < block + max(chunks) for piece in pieces)
