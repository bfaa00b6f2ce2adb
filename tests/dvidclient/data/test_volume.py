import concurrent.futures
import pickle
import signal
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.waiting import eventually

import dvidclient
from dvidclient import transfer
from dvidclient.arrays import tagged
from dvidclient.connection import Connection
from dvidclient.data.volume import Volume
from dvidclient.errors import BadArgument, NoAnswer, ServerRefused
from dvidclient.volume_metainfo import MetaInfo

SERVERS = ["dvid", "hdf5"]


@pytest.fixture(scope="session")
def opened(server_url, node, admin_token):
    """The node of the session, opened."""
    return dvidclient.connect(server_url, admin_token or None).node(node)


@pytest.fixture
def em(opened, name):
    """A small volume with a place and a size."""
    info = MetaInfo((20, 30, 40), "u1", "zyx", offset=(-5, 7, 64), voxel_size=(40, 8, 4), units=("nm", "nm", "nm"))
    return opened.create_volume(name, info)


def counting(shape, dtype):
    return (np.arange(np.prod(shape)) % 251).astype(dtype).reshape(shape)


def test_a_volume_tells_what_it_is(em, name, opened):
    assert (em.axes, em.dtype, em.shape, em.ndim, em.size, em.nbytes, len(em), em.channels) == (
        "zyx",
        np.uint8,
        (20, 30, 40),
        3,
        24000,
        24000,
        20,
        1,
    )
    assert em.extents == {"z": (-5, 15), "y": (7, 37), "x": (64, 104)}
    assert em.block_shape == (32, 32, 32)
    assert (em.voxel_size, em.units) == ((40.0, 8.0, 4.0), ("nm", "nm", "nm"))
    assert em.metainfo == em.client.metainfo
    assert repr(em) == f"<Volume {name!r} (uint8blk) at {opened}: 20 × 30 × 40 zyx, uint8>"


def test_a_notebook_shows_shape_type_size_and_extents(em):
    shown = em._repr_html_()
    for told in ("20 × 30 × 40 (zyx)", "uint8", "40 nm × 8 nm × 4 nm", "z -5:15, y 7:37, x 64:104", "24,000"):
        assert told in shown


def test_the_representation_asks_no_server_that_is_gone(em, proxy, node, name):
    away = dvidclient.connect(proxy.url, retries=0).node(node)[name]
    proxy.faults = lambda method, path: "hang up"
    assert repr(away).startswith(f"<Volume {name!r} (uint8blk) at version")
    with pytest.raises(NoAnswer):
        _ = away.shape


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "float32"])
def test_an_image_volume_of_each_type_is_an_array(opened, name, dtype):
    voxels = counting((40, 41, 42), dtype)
    volume = opened.create_volume(name, MetaInfo((40, 41, 42), dtype, "zyx"))
    volume[...] = voxels
    assert volume[...].dtype == np.asarray(volume).dtype == dtype
    np.testing.assert_array_equal(volume, voxels)
    np.testing.assert_array_equal(volume[3, 4:9], voxels[3, 4:9])


def test_a_volume_of_colours_has_the_channel_last(opened, name):
    voxels = counting((32, 33, 34, 4), np.uint8)
    volume = opened.create_volume(name, MetaInfo((4, 34, 33, 32), "u1", "cxyz"))
    assert (volume.axes, volume.shape, volume.block_shape) == ("zyxc", (32, 33, 34, 4), (32, 32, 32, 4))
    volume[...] = voxels
    np.testing.assert_array_equal(volume, voxels)
    np.testing.assert_array_equal(volume[5, 2:30, ::3, 1], voxels[5, 2:30, ::3, 1])
    np.testing.assert_array_equal(volume[..., 1::2], voxels[..., 1::2])
    assert volume[1, 2, 3, 3] == voxels[1, 2, 3, 3]
    with pytest.raises(BadArgument, match=r"^c: expected channels from 0:4, got -1"):
        _ = volume[..., -1]
    with pytest.raises(BadArgument, match=r"^c: a write must hold all 4 channels, got 1"):
        volume[..., 0] = 1


def create(opened, typename, name, **settings):
    """A data instance of a type that not all servers have."""
    if typename not in opened.repo.server.types:
        pytest.skip(f"this server has no {typename}")
    return opened.create(typename, name, **settings)


@pytest.mark.parametrize("typename", ["labelmap", "labelarray", "labelblk"])
def test_volumes_of_labels_are_arrays(opened, name, typename):
    volume = create(opened, typename, name)
    assert isinstance(volume, Volume)
    assert volume.shape == (0, 0, 0)
    assert volume[...].shape == (0, 0, 0)
    labels = counting((64, 128, 64), np.uint64) + 2**40
    volume[0:64, 0:128, 0:64] = labels
    assert (volume.shape, volume.dtype) == ((64, 128, 64), np.uint64)
    volume[10:20, 30, 5:7] = 77  # not whole blocks: the server's rest stays
    labels[10:20, 30, 5:7] = 77
    np.testing.assert_array_equal(volume, labels)


@pytest.fixture
def far(monkeypatch):
    """Servers of this machine are taken for others."""
    pytest.importorskip("lz4.block")
    monkeypatch.setattr(Connection, "is_local", False)
    monkeypatch.setattr(transfer, "_without_lz4", set())


@pytest.mark.parametrize("typename", ["labelmap", "labelarray", "labelblk"])
def test_labels_that_leave_the_machine_are_packed(opened, proxy, node, name, far, typename):
    create(opened, typename, name)
    away = dvidclient.connect(proxy.url).node(node)[name]
    labels = counting((64, 128, 64), np.uint64) + 2**40
    away[0:64, 0:128, 0:64] = labels
    np.testing.assert_array_equal(away[3:60, 1:100, 2:63], labels[3:60, 1:100, 2:63])
    assert "compression=lz4" in proxy.asked("/raw/")[0][1]
    seen = len(proxy.seen)
    np.testing.assert_array_equal(away.with_options(compression="none")[3:5], labels[3:5])
    assert not any("compression" in path for _, path, _ in proxy.seen[seen:])


def test_a_server_that_takes_no_lz4_is_sent_and_asked_for_plain_labels(opened, proxy, node, name, far):
    create(opened, "labelblk", name)
    away = dvidclient.connect(proxy.url, workers=1).node(node)[name]
    proxy.faults = lambda method, path: 400 if "compression" in path else None
    away[0:64, 0:64, 0:64] = 5
    assert (away[0:64, 0:64, 0:64] == 5).all()
    assert len([path for _, path in proxy.asked("/raw/") if "compression" in path]) == 1
    with pytest.raises(ServerRefused, match="status 400"):
        away.with_options(compression="lz4").read()
    proxy.faults = lambda method, path: 400 if "/raw/" in path else None
    with pytest.raises(ServerRefused, match="status 400"):
        away.read()


def test_images_are_not_packed_unless_asked(em, proxy, node, name, far):
    away = dvidclient.connect(proxy.url).node(node)[name]
    assert not away[...].any()
    assert not any("compression" in path for _, path in proxy.asked("/raw/"))


def test_a_labelmap_is_read_at_its_scales_and_as_supervoxels(opened, name, post, server_url, node):
    volume = create(opened, "labelmap", name, MaxDownresLevel=2)
    labels = np.repeat(np.repeat(np.repeat(counting((32, 32, 32), np.uint64) + 1, 4, 0), 4, 1), 4, 2)
    volume[0:128, 0:128, 0:128] = labels
    half, quarter = volume.at_scale(1), volume.at_scale(2)
    eventually(lambda: merged_into(volume, [1, 2, 3]))
    merged = np.where(np.isin(labels, [2, 3]), np.uint64(1), labels)
    assert (half.shape, quarter.shape, quarter.voxel_size) == ((64, 64, 64), (32, 32, 32), (32.0, 32.0, 32.0))
    assert quarter.extents == {"z": (0, 32), "y": (0, 32), "x": (0, 32)}
    np.testing.assert_array_equal(volume, merged)
    np.testing.assert_array_equal(volume.with_options(supervoxels=True), labels)
    for scaled, step in ((half, 2), (quarter, 4)):
        eventually(lambda scaled=scaled, step=step: np.array_equal(scaled, merged[::step, ::step, ::step]))
    supervoxels = quarter.with_options(supervoxels=True)
    np.testing.assert_array_equal(supervoxels[3, 1:9], labels[::4, ::4, ::4][3, 1:9])
    assert "scale 2" in repr(quarter)
    with pytest.raises(BadArgument, match="can be written at scale 0"):
        half[0:64, 0:64, 0:64] = 1


def merged_into(volume, labels):
    """Whether the server could merge labels: some know new ones only a moment after they were written."""
    try:
        volume.connection.tell(f"{volume.path}/merge", "merging", document=labels)
    except ServerRefused:
        return False
    return True


def test_writing_part_of_a_block_of_a_labelmap_leaves_the_supervoxels_around_it(opened, name):
    volume = create(opened, "labelmap", name)
    volume[0:64, 0:64, 0:64] = counting((64, 64, 64), np.uint64) + 1
    before = volume.with_options(supervoxels=True)[...]
    eventually(lambda: merged_into(volume, [1, 2, 3, 4]))
    volume[0:2, 0:2, 0:2] = 1000
    before[0:2, 0:2, 0:2] = 1000
    np.testing.assert_array_equal(volume.with_options(supervoxels=True), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 1}, "has the scales 0 to 0, got 1"),
        ({"scale": "1"}, "has the scales 0 to 0, got '1'"),
        ({"scale": "half"}, "has the scales 0 to 0, got 'half'"),
        ({"scale": 0.5}, "has the scales 0 to 0, got 0.5"),
        ({"supervoxels": True}, "only labelmaps have them"),
        ({"compression": "zip"}, "expected one of auto, lz4, none, got 'zip'"),
        ({"workers": 0}, "workers: expected an integer of at least 1, got 0"),
    ],
)
def test_a_way_to_read_that_a_volume_does_not_have_is_refused(em, options, message):
    with pytest.raises(BadArgument, match=message):
        em.with_options(**options)


class Model:
    """A volume, and an array that holds what it should, with room around it."""

    def __init__(self, volume, origin_zyx, shape_zyx):
        self.volume = volume
        self.origin = origin_zyx
        self.voxels = np.zeros((*shape_zyx, *volume.shape[3:]), volume.dtype)

    def of(self, key):
        """The same key for the array."""
        return tuple(
            slice(item.start - at, item.stop - at, item.step) if isinstance(item, slice) else item - at
            for item, at in zip(key, (*self.origin, 0), strict=False)
        )


@pytest.fixture(scope="module")
def models(opened):
    """Volumes that stay in step with arrays."""
    made = {}
    for name, channels in (("one", 1), ("four", 4)):
        shape = (60, 61, 62)[::-1] if channels == 1 else (4, 62, 61, 60)
        axes = "xyz" if channels == 1 else "cxyz"
        volume = opened.create_volume(f"volume-model-{name}", MetaInfo(shape, "u1", axes))
        made[channels] = Model(volume, (-20, -20, -20), (100, 101, 102))
    return made


@settings(max_examples=80)
@given(channels=st.sampled_from([1, 4]), data=st.data(), value=st.integers(0, 255))
def test_any_key_reads_and_writes_as_in_an_array(models, monkeypatch, channels, data, value):
    monkeypatch.setattr("dvidclient.transfer.MOST_PART_BYTES", 100_000)
    monkeypatch.setattr("dvidclient.transfer.LEAST_PART_BYTES", 40_000)
    model = models[channels]

    def draw_key(steps):
        key = []
        for origin, size in zip(model.origin, model.voxels.shape, strict=False):
            a, b = sorted(data.draw(st.tuples(*[st.integers(origin, origin + size - 1)] * 2)))
            step = data.draw(st.sampled_from([None, 1, 2, 7, 40])) if steps else None
            key.append(data.draw(st.sampled_from([slice(a, b, step), slice(a, b, step), a])))
        if channels > 1 and steps:
            key.append(data.draw(st.sampled_from([slice(0, 4), slice(1, 3), slice(0, 4, 3), 2])))
        return tuple(key)

    key = draw_key(steps=False)
    model.volume[key] = value
    model.voxels[model.of(key)] = value
    key = draw_key(steps=True)
    expected = model.voxels[model.of(key)]
    read = model.volume[key]
    assert np.shape(read) == expected.shape
    np.testing.assert_array_equal(read, expected)


def test_a_slice_without_ends_goes_to_where_the_volume_ends(em):
    em[...] = counting(em.shape, np.uint8)
    voxels = em[...]
    np.testing.assert_array_equal(em[:0], voxels[:5])
    np.testing.assert_array_equal(em[5:, ..., 70:], voxels[10:, :, 6:])
    np.testing.assert_array_equal(em[-5, 7], voxels[0, 0])
    np.testing.assert_array_equal(list(em), voxels)
    assert em[0:0].shape == (0, 30, 40)
    assert not em[100:110, 0:4, 0:4].any()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (np.s_[1.5], r"z: expected an integer or a slice, got 1\.5"),
        (np.s_[0, True], "y: expected an integer or a slice, got True"),
        (np.s_[0, 0, None], "x: expected an integer or a slice, got None"),
        (np.s_[0, 0, [1, 2]], r"x: expected an integer or a slice, got \[1, 2\]"),
        (np.s_[:, :, "a":], "x: expected an integer or a slice, got 'a'"),
        (np.s_[0, 0, 0, 0], r"at most 3 indices, one for each of the axes 'zyx', got 4"),
        (np.s_[..., 0, ...], r"'\.\.\.' once at most"),
        (np.s_[::-1], "z: expected a step of at least 1, got -1"),
        (np.s_[:, 9:8], "y: expected a start that is not beyond the stop, got 9:8"),
        (np.s_[:, :, 2**31], "x: expected a 32-bit position, got 2147483648"),
        (np.s_[-(2**31) - 1 : 0], "z: expected a 32-bit position"),
    ],
)
def test_a_key_that_cannot_be_is_refused_by_its_axis(em, key, message):
    with pytest.raises(BadArgument, match=message):
        _ = em[key]


@pytest.mark.parametrize(
    ("key", "voxels", "message"),
    [
        (np.s_[::2], 1, "z: a write has no steps, got a step of 2"),
        (np.s_[0:4, 7:9, 64:66], np.zeros((4, 2, 3), np.uint8), r"expected the shape \(4, 2, 2\), got \(4, 2, 3\)"),
        (np.s_[...], np.zeros((20, 30, 40)), "expected values that fit uint8, got float64"),
        (np.s_[...], 256, "expected values that fit uint8, got int64"),
        (np.s_[...], -1, "expected values that fit uint8"),
        (np.s_[0, 7, 64], 1.5, "expected values that fit uint8, got float64"),
        (np.s_[0, 7, 64], "a", "expected values that fit uint8"),
    ],
)
def test_voxels_that_cannot_be_written_are_refused(em, key, voxels, message):
    with pytest.raises(BadArgument, match=message):
        em[key] = voxels
    assert not em[...].any()


def test_numbers_lists_and_tagged_arrays_are_written(em):
    em[0, 7, 64:67] = [1, 2, 3]
    np.testing.assert_array_equal(em[0, 7, 64:68], [1, 2, 3, 0])
    turned = counting((40, 30, 20), np.uint8)
    em[...] = tagged(turned, "xyz")
    np.testing.assert_array_equal(em, turned.T)


def test_a_volume_that_grew_by_a_write_says_so(em):
    assert em.extents["z"] == (-5, 15)
    em[64:96, 0:32, 64:96] = 1
    assert em.extents["z"][1] == 96


def test_voxels_are_read_into_an_array_of_ones_own(em):
    em[...] = counting(em.shape, np.uint8)
    out = np.zeros(em.shape, np.uint8, order="F")
    assert em.read(out=out) is out
    np.testing.assert_array_equal(out, em[...])
    line = np.zeros((30,), np.uint8)
    em.read(np.s_[0, :, 70], out=line)
    np.testing.assert_array_equal(line, em[0, :, 70])
    with pytest.raises(BadArgument, match=r"out: expected a writeable array of uint8 and the shape \(30,\)"):
        em.read(np.s_[0, :, 70], out=out)
    with pytest.raises(BadArgument, match="out: expected a numpy array, got list"):
        em.read(np.s_[0, :, 70], out=[0] * 30)


def test_an_array_that_shares_memory_with_a_server_is_not_promised(em):
    assert em.__array__(np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="always a copy"):
        em.__array__(copy=False)


def test_a_box_beyond_all_memory_is_refused(em):
    with pytest.raises(BadArgument, match="for which there is no memory"):
        _ = em[0 : 2**30, 0 : 2**30, 0 : 2**30]
    thin = slice(-(2**31), 2**31 - 1, 2**24)
    with pytest.raises(BadArgument, match=r"x -2147483648:.*this one needs \d+: take it piece by piece"):
        _ = em[thin, thin, thin]
    with pytest.raises(BadArgument, match=r"this one needs \d+: take it piece by piece"):
        em[0 : 2**20, 0 : 2**20, 0 : 2**20] = 0


def test_an_interruption_is_not_kept_waiting_by_a_server_that_hangs(em, proxy, node, name, monkeypatch):
    monkeypatch.setattr(transfer, "LEAST_PART_BYTES", 1)
    away = dvidclient.connect(proxy.url).node(node)[name]
    done, waited_in_vain = threading.Event(), []

    def hang(method, path):
        if "/raw/" in path and not done.is_set():
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            if not done.wait(60):
                waited_in_vain.append(path)

    proxy.faults = hang
    with pytest.raises(KeyboardInterrupt):
        away.read(np.s_[0:128, 0:128, 0:128], workers=2)
    done.set()
    assert not waited_in_vain


def test_slices_with_ends_need_no_second_request(em, proxy, node, name):
    away = dvidclient.connect(proxy.url).node(node)[name]
    seen = len(proxy.seen)
    assert away[0:4, 7:9, 64:70].shape == (4, 2, 6)
    assert [path.split("?")[0].split(name)[1] for _, path, _ in proxy.seen[seen:]] == ["/raw/0_1_2/6_2_4/64_7_0"]


def test_large_steps_ask_for_few_voxels(em, proxy, node, name):
    away = dvidclient.connect(proxy.url).node(node)[name]
    assert away[0:3200:32, 0:64:64, 0:64].shape == (100, 1, 64)
    sizes = [path.split("/0_1_2/")[1].split("/")[0] for _, path in proxy.asked("/raw/")]
    assert sum(np.prod([int(n) for n in size.split("_")]) for size in sizes) <= 3200 * 64


def test_several_threads_share_a_volume(opened, name):
    volume = opened.create_volume(name, MetaInfo((64, 64, 64), "u1", "zyx"))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda z: volume.write(np.s_[z], z), range(64)))
        planes = list(pool.map(volume.__getitem__, range(64)))
    assert [plane.min() for plane in planes] == [plane.max() for plane in planes] == list(range(64))


def test_volumes_can_be_sent_to_other_processes_which_open_one_connection_each(em):
    em[...] = 9
    sent = pickle.dumps((em, em.transfer))
    (volume, moves), (other, _) = pickle.loads(sent), pickle.loads(sent)
    assert volume.connection is other.connection is moves.connection
    assert volume.connection is not em.connection
    assert (volume.name, volume.shape, volume.node) == (em.name, em.shape, em.node)
    assert (volume[...] == 9).all()


# ---- the world ------------------------------------------------------------------------------


def test_positions_and_lengths_lead_to_each_other(em):
    np.testing.assert_array_equal(em.to_world([1, 2, 3]), [40, 16, 12])
    np.testing.assert_allclose(em.to_world([[1, 2, 3], [0, -1, 0]], "um"), [[0.04, 0.016, 0.012], [0, -0.008, 0]])
    np.testing.assert_array_equal(em.to_voxels([40, 16.5, 11.9]), [1, 2, 2])
    np.testing.assert_array_equal(em.to_voxels([0.04, -0.001, 0.012], "micrometers"), [1, -1, 3])
    assert em.world_slices((0, 8, 300), (0.5, 16, 301)) == np.s_[0:1, 1:2, 75:76]
    assert em.world_slices((0, 0, 0), (1, 1, 1), "um") == np.s_[0:25, 0:125, 0:250]
    with pytest.raises(BadArgument, match="unit: expected a unit of length"):
        em.to_world([1, 2, 3], "parsnips")


def test_the_size_of_a_voxel_is_changed_and_its_units_stay(em, opened, name):
    if "resolution" not in opened.repo.server.connection.get_text("/api/help/uint8blk", "asking for help"):
        pytest.skip("this server does not let the size of a voxel be changed")
    em.set_voxel_size((30, 5.5, 5))
    assert (em.voxel_size, em.units) == ((30.0, 5.5, 5.0), ("nm", "nm", "nm"))
    assert opened.refresh()[name].voxel_size == (30.0, 5.5, 5.0)
    for wrong in [(1, 2), (1, 2, 0), (1, 2, "3"), (1, 2, float("nan"))]:
        with pytest.raises(BadArgument, match="voxel_size_zyx: expected 3 positive numbers"):
            em.set_voxel_size(wrong)


# ---- progress and failure -------------------------------------------------------------------


def test_progress_is_told_up_to_the_last_byte(opened, name):
    volume = opened.create_volume(name, MetaInfo((256, 256, 256), "u1", "zyx"))
    told = []
    volume.write(..., 1, progress=lambda done, total: told.append(("write", done, total)))
    assert (volume.read(progress=lambda done, total: told.append(("read", done, total))) == 1).all()
    for verb in ("write", "read"):
        done = [(d, t) for v, d, t in told if v == verb]
        assert len(done) > 1
        assert done == sorted(done)
        assert done[-1] == (256**3, 256**3)


def test_a_progress_that_is_no_function_is_refused(em):
    with pytest.raises(BadArgument, match="progress: expected True or a function"):
        em.read(progress="yes")


def test_a_part_that_keeps_failing_is_named(em, proxy, node, name):
    away = dvidclient.connect(proxy.url, retries=0).node(node)[name]
    proxy.faults = lambda method, path: "cut" if "/raw/" in path else None
    with pytest.raises(NoAnswer, match=rf"reading x 64:70, y 7:9, z 0:4 of uint8blk '{name}' at version"):
        _ = away[0:4, 7:9, 64:70]
