import concurrent.futures
import sys
import tracemalloc
import urllib.parse

import numpy as np
import pytest
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st

from dvidclient.arrays import array_module
from dvidclient.errors import BadArgument, ClientError, MetadataError, NoAnswer, ServerRefused, Unsupported
from dvidclient.volume_client import VolumeClient
from dvidclient.volume_metainfo import MetaInfo

README = """
import numpy, vigra
from dvidclient.volume_client import VolumeClient
from dvidclient.volume_metainfo import MetaInfo

SERVERS = ["dvid", "hdf5"]

# Create a new remote volume
uuid = 'abcde'
metainfo = MetaInfo( (4,200,200,200), numpy.uint8, vigra.defaultAxistags('cxyz') )
VolumeClient.create_volume( "localhost:8000", uuid, "my_volume", metainfo )

# Open connection for a particular volume    
vol_client = VolumeClient( "localhost:8000", uuid, "my_volume" )

# Read from it (first axis is channel)
cutout_array = vol_client.retrieve_subvolume( (0,10,20,30), (1,110,120,130) )
assert isinstance(cutout_array, vigra.VigraArray)
assert cutout_array.shape == (1,100,100,100)

# Modify it
new_data = numpy.ones( (4,100,100,100), dtype=numpy.uint8 ) # Must include all channels.
tagged_data = vigra.taggedView( new_data, metainfo.axistags )
cutout_array = vol_client.modify_subvolume( (0,10,20,30), (4,110,120,130), tagged_data )
"""  # noqa: W291


def random_voxels(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.random(shape, dtype=dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def axes_of(array):
    return "".join(array.axistags.keys())


@pytest.fixture
def create(server_url, node, name):
    """Creates a volume and opens it."""

    def create_and_open(shape, dtype, axes, url=server_url, **options):
        VolumeClient.create_volume(server_url, node, name, MetaInfo(shape, dtype, axes))
        return VolumeClient(url, node, name, **options)

    return create_and_open


def test_the_example_of_the_readme_runs_word_for_word(server_url, monkeypatch, post):
    module = array_module()
    monkeypatch.setitem(sys.modules, "vigra", module)
    uuid = post(f"{server_url}/api/repos", {"alias": "readme"})["root"]
    host = urllib.parse.urlsplit(server_url).netloc
    names = {}
    exec(README.replace("'abcde'", repr(uuid[:12])).replace('"localhost:8000"', repr(host)), names)
    volume = names["vol_client"].retrieve_subvolume((0, 0, 0, 0), (4, 200, 200, 200))
    expected = np.zeros((4, 200, 200, 200), np.uint8)
    expected[:, 10:110, 20:120, 30:130] = 1
    np.testing.assert_array_equal(np.asarray(volume), expected)
    assert VolumeClient(host, uuid, "my_volume").metainfo.shape == (4, 200, 200, 200)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "float32"])
def test_a_volume_of_each_type_gives_back_what_was_written(create, dtype):
    client = create((1, 40, 50, 60), dtype, "cxyz")
    voxels = random_voxels((1, 40, 50, 60), dtype)
    client.modify_subvolume((0, 0, 0, 0), (1, 40, 50, 60), voxels)
    read = client.retrieve_subvolume((0, 0, 0, 0), (1, 40, 50, 60))
    assert read.dtype == client.metainfo.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(np.asarray(read), voxels)


@pytest.mark.parametrize("axes", ["cxyz", "czyx", "xyz", "zyx", "cxy", "xy", "yz", "cz"])
def test_a_volume_keeps_its_axes_and_its_shape(create, server_url, node, name, axes):
    size = {"c": 1, "x": 40, "y": 37, "z": 33}
    shape = tuple(size[axis] for axis in axes)
    client = create(shape, np.uint8, axes)
    assert (client.metainfo.shape, client.metainfo.axes) == (shape, axes)
    voxels = random_voxels(shape, np.uint8)
    client.modify_subvolume([0] * len(axes), shape, voxels)
    again = VolumeClient(server_url, node, name)
    read = again.retrieve_subvolume([0] * len(axes), shape)
    assert (again.metainfo.shape, again.metainfo.axes, axes_of(read)) == (shape, axes, axes)
    assert isinstance(read, array_module().VigraArray)
    np.testing.assert_array_equal(np.asarray(read), voxels)


@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 2), ("uint8", 3), ("uint16", 4), ("float32", 7)])
def test_any_number_of_channels(create, server_url, node, name, counts_channels, dtype, channels):
    shape = (channels, 40, 35, 33)
    if not counts_channels:
        with pytest.raises(Unsupported, match=f"asked for {channels} channels of {dtype}"):
            create(shape, dtype, "cxyz")
        with pytest.raises(ServerRefused):
            VolumeClient(server_url, node, name)
        return
    client = create(shape, dtype, "cxyz")
    assert client.metainfo.shape == shape
    voxels = random_voxels(shape, dtype)
    client.modify_subvolume((0, 0, 0, 0), shape, voxels)
    np.testing.assert_array_equal(np.asarray(client.retrieve_subvolume((0, 0, 0, 0), shape)), voxels)
    some = client.retrieve_subvolume((1, 3, 4, 5), (channels, 30, 31, 32))
    np.testing.assert_array_equal(np.asarray(some), voxels[1:, 3:30, 4:31, 5:32])


def test_voxel_sizes_and_units_are_kept(server_url, node, name):
    info = MetaInfo((20, 30, 40), "u1", "zyx", offset=(5, -7, 0), voxel_size=(40, 4.5, 4), units=("nm", "nm", "um"))
    VolumeClient.create_volume(server_url, node, name, info)
    assert VolumeClient(server_url, node, name).metainfo == info


def test_a_read_may_select_channels(create):
    client = create((4, 40, 40, 40), np.uint8, "cxyz")
    voxels = random_voxels((4, 40, 40, 40), np.uint8)
    client.modify_subvolume((0, 0, 0, 0), (4, 40, 40, 40), voxels)
    for first, last in [(0, 1), (1, 3), (3, 4), (0, 4)]:
        read = client.retrieve_subvolume((first, 1, 2, 3), (last, 38, 39, 40))
        np.testing.assert_array_equal(np.asarray(read), voxels[first:last, 1:38, 2:39, 3:40])


def test_a_write_must_hold_all_channels(create):
    client = create((4, 40, 40, 40), np.uint8, "cxyz")
    with pytest.raises(BadArgument, match=r"must hold all 4 channels, got channels 1:2"):
        client.modify_subvolume((1, 0, 0, 0), (2, 8, 8, 8), np.zeros((1, 8, 8, 8), np.uint8))


class Model:
    """A volume and, in memory, the part of it that tests write to, with room around it."""

    def __init__(self, client, origin, shape):
        self.client = client
        self.origin = np.array(origin)
        self.voxels = np.zeros(shape, client.metainfo.dtype)

    def at(self, start, stop):
        return self.voxels[tuple(slice(a, b) for a, b in zip(start - self.origin, stop - self.origin, strict=True))]


@pytest.fixture(scope="module")
def models(server_url, node):
    """Volumes that stay in step with arrays."""
    made = {}
    for name, (shape, dtype, axes) in {
        "model-a": ((4, 70, 70, 70), np.uint8, "cxyz"),
        "model-b": ((70, 70, 70), np.uint64, "zyx"),
        "model-c": ((1, 70, 70), np.float32, "cyx"),
    }.items():
        VolumeClient.create_volume(server_url, node, name, MetaInfo(shape, dtype, axes))
        origin = [0 if axis == "c" else -40 for axis in axes]
        room = [size if axis == "c" else size + 80 for axis, size in zip(axes, shape, strict=True)]
        made[name] = Model(VolumeClient(server_url, node, name), origin, room)
    return made


@settings(max_examples=60)
@given(
    name=st.sampled_from(["model-a", "model-b", "model-c"]),
    data=st.data(),
    order=st.sampled_from(["C", "F"]),
    workers=st.integers(1, 5),
    seed=st.integers(0, 10**6),
)
def test_any_boxes_read_and_write_like_an_array(models, monkeypatch, name, data, order, workers, seed):
    # Parts of a few blocks each, so that boxes of this size are cut as large ones are.
    monkeypatch.setattr("dvidclient.transfer.MOST_PART_BYTES", 200_000)
    monkeypatch.setattr("dvidclient.transfer.LEAST_PART_BYTES", 40_000)
    model = models[name]
    axes = model.client.metainfo.axes

    def draw_box():
        start, stop = [], []
        for axis, room in zip(axes, model.voxels.shape, strict=True):
            low = 0 if axis == "c" else -40
            a, b = sorted(data.draw(st.tuples(*[st.integers(0, room)] * 2).filter(lambda ab: ab[0] != ab[1])))
            start.append(low + a)
            stop.append(low + b)
        return np.array(start), np.array(stop)

    start, stop = draw_box()
    if "c" in axes:
        start[0], stop[0] = 0, model.voxels.shape[0]
    new = np.asarray(random_voxels(tuple(stop - start), model.voxels.dtype, seed), order=order)
    model.client.modify_subvolume(start, stop, new, workers=workers)
    model.at(start, stop)[...] = new
    start, stop = draw_box()
    expected = model.at(start, stop)
    np.testing.assert_array_equal(np.asarray(model.client.retrieve_subvolume(start, stop, workers=workers)), expected)
    out = np.empty(expected.shape, expected.dtype, order=order)
    assert model.client.retrieve_subvolume(start, stop, out=out, workers=workers) is out
    np.testing.assert_array_equal(out, expected)


def test_out_may_have_any_strides_and_any_order_of_tagged_axes(create):
    client = create((1, 64, 64, 64), np.uint16, "cxyz")
    voxels = random_voxels((1, 64, 64, 64), np.uint16)
    client.modify_subvolume((0, 0, 0, 0), (1, 64, 64, 64), voxels)
    start, stop, expected = (0, 3, 4, 5), (1, 33, 24, 15), voxels[:, 3:33, 4:24, 5:15]
    backwards = np.zeros((1, 60, 40, 20), np.uint16)[:, ::-2, ::2, ::-2]
    client.retrieve_subvolume(start, stop, out=backwards)
    np.testing.assert_array_equal(backwards, expected)
    tagged = array_module().taggedView(np.zeros((10, 20, 30, 1), np.uint16), "zyxc")
    assert client.retrieve_subvolume(start, stop, out=tagged) is tagged
    np.testing.assert_array_equal(np.asarray(tagged), expected.transpose(3, 2, 1, 0))


def test_tagged_data_is_written_by_the_names_of_its_axes(create):
    client = create((4, 32, 32, 32), np.uint8, "cxyz")
    voxels = random_voxels((4, 5, 6, 7), np.uint8)
    client.modify_subvolume((0, 1, 1, 1), (4, 6, 7, 8), array_module().taggedView(voxels.transpose(3, 2, 1, 0), "zyxc"))
    np.testing.assert_array_equal(np.asarray(client.retrieve_subvolume((0, 1, 1, 1), (4, 6, 7, 8))), voxels)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda c: c.retrieve_subvolume((0, 0, 0), (1, 8, 8)),
            r"start: expected 4 integers, one for each of the axes 'cxyz'",
        ),
        (lambda c: c.retrieve_subvolume((0, 0, 0, 0.5), (1, 8, 8, 8)), r"start: expected 4 integers"),
        (lambda c: c.retrieve_subvolume(0, (1, 8, 8, 8)), r"start: expected 4 integers"),
        (lambda c: c.retrieve_subvolume((0, 0, 8, 0), (1, 8, 8, 8)), r"start < stop along each axis, got 8:8 along y"),
        (lambda c: c.retrieve_subvolume((0, 0, 0, 0), (5, 8, 8, 8)), r"channels from 0:4, got 0:5"),
        (lambda c: c.retrieve_subvolume((0, 0, 0, 0), (1, 8, 8, 2**31)), r"stop: expected 32-bit positions"),
        (lambda c: c.retrieve_subvolume((0, 0, 0, 0), (1, 8, 8, 8), workers=0), r"workers: expected"),
        (
            lambda c: c.retrieve_subvolume((0,) * 4, (1, 8, 8, 8), out=np.zeros((1, 8, 8, 9), "u1")),
            r"out: expected the shape",
        ),
        (
            lambda c: c.retrieve_subvolume((0,) * 4, (1, 8, 8, 8), out=np.zeros((1, 8, 8, 8), "u2")),
            r"out: .* uint8, got .* uint16",
        ),
        (lambda c: c.retrieve_subvolume((0,) * 4, (1, 8, 8, 8), out=[0]), r"out: expected a numpy array, got list"),
        (
            lambda c: c.retrieve_subvolume((0,) * 4, (1, 8, 8, 8), out=np.broadcast_to(np.uint8(0), (1, 8, 8, 8))),
            r"out: .* got a read-only one",
        ),
        (
            lambda c: c.modify_subvolume((0,) * 4, (4, 8, 8, 8), np.zeros((4, 8, 8, 7), "u1")),
            r"new_data: expected the shape",
        ),
        (
            lambda c: c.modify_subvolume((0,) * 4, (4, 8, 8, 8), np.zeros((4, 8, 8, 8))),
            r"new_data: .* uint8, got one of float64",
        ),
        (
            lambda c: c.modify_subvolume(
                (0,) * 4, (4, 8, 8, 8), array_module().taggedView(np.zeros((4, 8, 8, 8), "u1"), "txyz")
            ),
            r"new_data: expected an array with the axes 'cxyz', got one with 'txyz'",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(create, proxy, call, message):
    client = create((4, 64, 64, 64), np.uint8, "cxyz", url=proxy.url)
    with pytest.raises(BadArgument, match=message):
        call(client)
    assert proxy.asked("/raw/") == []


def test_errors_name_what_was_asked_and_what_the_server_said(server_url, node, name):
    with pytest.raises(ServerRefused) as refused:
        VolumeClient(server_url, node, name)
    assert refused.value.status in (400, 404)
    assert f"opening volume {name!r} at node {node!r} failed: GET {server_url}/api/node/{node}/{name}/info" in str(
        refused.value
    )
    assert refused.value.answer in str(refused.value)
    assert len(refused.value.answer) > 5


def test_a_volume_is_created_once(create, server_url, node, name):
    create((1, 8, 8, 8), np.uint8, "cxyz")
    with pytest.raises(ServerRefused, match=f"creating volume '{name}'"):
        VolumeClient.create_volume(server_url, node, name, MetaInfo((1, 8, 8, 8), np.uint8, "cxyz"))


def test_a_type_that_dvid_does_not_have_is_refused_by_name(server_url, node, name):
    with pytest.raises(Unsupported, match=r"no volumes of float64, expected one of uint8, uint16"):
        VolumeClient.create_volume(server_url, node, name, MetaInfo((1, 8, 8, 8), np.float64, "cxyz"))


def test_what_is_no_volume_cannot_be_opened(server_url, node, name, post):
    post(f"{server_url}/api/repo/{node}/instance", {"typename": "keyvalue", "dataname": name})
    with pytest.raises(ClientError) as refused:
        VolumeClient(server_url, node, name)
    assert isinstance(refused.value, (MetadataError, ServerRefused))


def test_a_volume_of_another_program_opens_channel_first(server_url, node, name, post):
    post(f"{server_url}/api/repo/{node}/instance", {"typename": "uint16blk", "dataname": name})
    client = VolumeClient(server_url, node, name)
    assert (client.metainfo.shape, client.metainfo.axes, client.metainfo.dtype) == (
        (1, 0, 0, 0),
        "cxyz",
        np.dtype("u2"),
    )
    block = random_voxels((1, 64, 64, 64), np.uint16)
    client.modify_subvolume((0, -64, 0, 64), (1, 0, 64, 128), block)
    assert (client.metainfo.shape, client.metainfo.offset) == ((1, 64, 64, 64), (0, -64, 0, 64))
    np.testing.assert_array_equal(np.asarray(client.retrieve_subvolume((0, -64, 0, 64), (1, 0, 64, 128))), block)


@pytest.mark.parametrize("typename", ["labelmap", "labelarray", "labelblk"])
def test_labels_are_read_and_written_as_volumes(server_url, node, name, post, typename):
    if typename not in urllib3.request("GET", f"{server_url}/api/server/compiled-types").json():
        pytest.skip(f"this server has no {typename}")
    post(f"{server_url}/api/repo/{node}/instance", {"typename": typename, "dataname": name})
    client = VolumeClient(server_url, node, name)
    assert (client.metainfo.dtype, client.metainfo.axes, client.metainfo.channels) == (np.uint64, "cxyz", 1)
    labels = np.random.default_rng(0).integers(1, 2**50, (1, 128, 64, 64), np.uint64)
    client.modify_subvolume((0, -64, 0, 64), (1, 64, 64, 128), labels)
    client.modify_subvolume((0, 1, 2, 67), (1, 50, 4, 70), labels[:, :49, :2, :3])  # no whole blocks
    labels[0, 65:114, 2:4, 3:6] = labels[0, :49, :2, :3].copy()
    np.testing.assert_array_equal(np.asarray(client.retrieve_subvolume((0, -64, 0, 64), (1, 64, 64, 128))), labels)
    assert (client.metainfo.shape, client.metainfo.offset) == ((1, 128, 64, 64), (0, -64, 0, 64))


def test_progress_is_told_up_to_the_last_byte(create):
    client = create((1, 256, 256, 128), np.uint8, "cxyz")
    told = []
    voxels = random_voxels((1, 256, 256, 128), np.uint8)
    client.modify_subvolume((0, 0, 0, 0), voxels.shape, voxels, progress=lambda *at: told.append(at))
    client.retrieve_subvolume((0, 0, 0, 0), voxels.shape, progress=lambda *at: told.append(at))
    assert len(told) > 2
    assert [at for at in told if at[0] == at[1]] == [(voxels.nbytes, voxels.nbytes)] * 2


def test_a_volume_grows_with_what_is_written(create):
    client = create((1, 64, 64, 64), np.uint8, "cxyz")
    client.modify_subvolume((0, 64, 0, 0), (1, 128, 64, 64), np.ones((1, 64, 64, 64), np.uint8))
    assert client.metainfo.shape == (1, 128, 64, 64)


def test_outside_of_a_volume_is_background(create):
    client = create((1, 32, 32, 32), np.uint8, "cxyz")
    assert not np.asarray(client.retrieve_subvolume((0, -50, 40, 1000), (1, -10, 90, 1010))).any()


def test_a_large_box_is_split_along_blocks_and_every_part_arrives(create, proxy):
    client = create((1, 256, 256, 256), np.uint8, "cxyz", url=proxy.url)
    voxels = random_voxels((1, 256, 256, 256), np.uint8)
    client.modify_subvolume((0, 0, 0, 0), (1, 256, 256, 256), voxels)
    sent = proxy.asked("/raw/")
    assert len(sent) > 1
    client.retrieve_subvolume((0, 0, 0, 1), (1, 256, 256, 250), workers=3)
    parts = proxy.asked("/raw/")[len(sent) :]
    starts_z = sorted(int(path.split("?")[0].split("_")[-1]) for _, path in parts)
    assert len(starts_z) > 1
    assert all(z % 16 == 0 for z in starts_z[1:])
    np.testing.assert_array_equal(
        np.asarray(client.retrieve_subvolume((0, 0, 0, 1), (1, 256, 256, 250))), voxels[:, :, :, 1:250]
    )


def test_a_part_that_fails_is_asked_for_again(create, proxy):
    client = create((1, 256, 256, 128), np.uint8, "cxyz", url=proxy.url)
    tried = {}

    def fail_each_twice(method, path):
        if "/raw/" not in path:
            return None
        tried[method, path] = tried.get((method, path), 0) + 1
        return {1: "cut" if method == "GET" else "hang up", 2: 503}.get(tried[method, path])

    proxy.faults = fail_each_twice
    voxels = random_voxels((1, 256, 256, 128), np.uint8)
    client.modify_subvolume((0, 0, 0, 0), (1, 256, 256, 128), voxels, workers=4)
    read = client.retrieve_subvolume((0, 0, 0, 0), (1, 256, 256, 128), workers=4)
    np.testing.assert_array_equal(np.asarray(read), voxels)
    assert len(tried) > 2
    assert set(tried.values()) == {3}


@pytest.mark.parametrize("fault", ["cut", "hang up"])
def test_a_part_that_keeps_failing_is_an_error_that_names_its_box(create, proxy, name, fault):
    client = create((1, 256, 256, 128), np.uint8, "cxyz", url=proxy.url, retries=1)
    proxy.faults = lambda method, path: fault if "256_256" in path and path.endswith("_64") else None
    with pytest.raises(
        NoAnswer, match=rf"reading x 0:256, y 0:256, z 64:\d+ of volume '{name}' at node .* failed: GET http"
    ):
        client.retrieve_subvolume((0, 0, 0, 0), (1, 256, 256, 128), workers=4)


def test_a_write_that_is_refused_names_its_box_and_is_not_repeated(create, proxy, name):
    client = create((1, 64, 64, 64), np.uint8, "cxyz", url=proxy.url)
    proxy.faults = lambda method, path: 413 if method == "POST" else None
    with pytest.raises(
        ServerRefused, match=rf"writing x 0:64, y 0:64, z 0:64 of volume '{name}'.*status 413: as told: Request"
    ):
        client.modify_subvolume((0, 0, 0, 0), (1, 64, 64, 64), np.ones((1, 64, 64, 64), np.uint8))
    assert [method for method, _ in proxy.asked("/raw/")] == ["POST"]


def test_a_write_to_a_locked_node_is_refused(server_url, name, post):
    root = post(f"{server_url}/api/repos", {"alias": "locked"})["root"]
    VolumeClient.create_volume(server_url, root, name, MetaInfo((1, 64, 64, 64), np.uint8, "cxyz"))
    client = VolumeClient(server_url, root, name)
    post(f"{server_url}/api/node/{root}/commit", {"note": "done"})
    with pytest.raises(ServerRefused, match="writing x 0:64"):
        client.modify_subvolume((0, 0, 0, 0), (1, 64, 64, 64), np.ones((1, 64, 64, 64), np.uint8))
    child = post(f"{server_url}/api/node/{root}/newversion", {"note": "next"})["child"]
    changed = VolumeClient(server_url, child, name)
    changed.modify_subvolume((0, 1, 2, 3), (1, 4, 5, 6), np.ones((1, 3, 3, 3), np.uint8))
    assert np.asarray(changed.retrieve_subvolume((0, 0, 0, 0), (1, 8, 8, 8))).sum() == 27
    assert not np.asarray(client.retrieve_subvolume((0, 0, 0, 0), (1, 8, 8, 8))).any()


def test_unaligned_writes_of_several_threads_of_one_client_all_stay(create):
    client = create((1, 32, 32, 32), np.uint8, "cxyz")
    cells = list(np.ndindex(4, 4, 4))

    def write(number):
        at = np.array([0, *cells[number]]) * 8
        client.modify_subvolume(at, at + np.array([1, 8, 8, 8]), np.full((1, 8, 8, 8), number + 1, np.uint8))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(len(cells))))
    read = np.asarray(client.retrieve_subvolume((0, 0, 0, 0), (1, 32, 32, 32)))
    for number, cell in enumerate(cells):
        assert (read[0][tuple(slice(8 * at, 8 * at + 8) for at in cell)] == number + 1).all()


@pytest.mark.parametrize("order", ["C", "F"])
def test_reading_in_place_needs_little_memory_beside_the_result(create, order):
    client = create((1, 256, 256, 256), np.uint8, "cxyz")
    client.modify_subvolume((0, 0, 0, 0), (1, 256, 256, 256), random_voxels((1, 256, 256, 256), np.uint8))
    out = np.empty((1, 256, 256, 256), np.uint8, order=order)
    client.retrieve_subvolume((0, 0, 0, 0), (1, 256, 256, 256), out=out)
    tracemalloc.start()
    try:
        client.retrieve_subvolume((0, 0, 0, 0), (1, 256, 256, 256), out=out, workers=2)
        assert tracemalloc.get_traced_memory()[1] < 6 << 20
    finally:
        tracemalloc.stop()


def test_connections_are_kept(create, proxy):
    client = create((1, 256, 256, 256), np.uint8, "cxyz", url=proxy.url)
    for _ in range(3):
        client.retrieve_subvolume((0, 0, 0, 0), (1, 256, 256, 256), workers=3)
    assert proxy.connections <= 4


def test_repr_says_which_volume_it_is(create, node, name, server_url):
    client = create((1, 8, 8, 8), np.uint8, "cxyz")
    assert repr(client) == f"<VolumeClient {name!r} at node {node!r} of {server_url}: cxyz (1, 8, 8, 8), uint8>"


@pytest.mark.parametrize(
    "tags", ["volume_axes=", "volume_axes=cxyq", "volume_axes=cxyz,volume_min=1,volume_max=-1_0_0"]
)
def test_tags_that_say_nothing_of_use_are_left_aside(server_url, node, name, post, tags):
    document = {"typename": "uint8blk", "dataname": name, "Tags": tags}
    post(f"{server_url}/api/repo/{node}/instance", document)
    assert VolumeClient(server_url, node, name).metainfo.axes == "cxyz"
