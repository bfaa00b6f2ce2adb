import concurrent.futures
import multiprocessing
import pickle
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dvidclient
from dvidclient.data import lazy
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


@settings(deadline=None)
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


@settings(deadline=None)
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
