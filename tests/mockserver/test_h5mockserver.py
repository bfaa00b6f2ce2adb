import os
import re
import signal
import subprocess
import sys
import urllib.parse
from pathlib import Path

import h5py
import numpy as np
import pytest
import urllib3
from tests.mockserver.conftest import Client, is_running, random_voxels, tagged, worker_of

import mockserver
from dvidclient.arrays import array_module
from dvidclient.axistags import AxisTags
from dvidclient.volume_client import VolumeClient
from mockserver.h5check import child_environment
from mockserver.h5errors import FileUnusable
from mockserver.h5mockserver import H5MockServer, H5MockServerDataFile

README = """
import numpy, vigra
from mockserver.h5mockserver import H5MockServerDataFile

# Generate a volume to store.
data = numpy.random.randint(0,256, (100,200,300,1))
data_view = vigra.taggedView( data, 'zyxc' ).astype( numpy.uint8 )

# Create special server datafile with one dataset, with one node.
# Then add our data volume to it.
with H5MockServerDataFile( 'mock_storage.h5' ) as server_datafile:
    server_datafile.add_node( 'my_dataset', 'abc123' )
    server_datafile.add_volume( 'my_dataset', 'my_volume', data_view )
"""


def test_the_example_of_the_readme_runs_word_for_word(tmp_path, monkeypatch, serve):
    monkeypatch.setitem(sys.modules, "vigra", array_module())
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(README, names)
    with h5py.File("mock_storage.h5") as file:
        stored = file["/datasets/my_dataset/nodes/abc123/my_volume"]
        assert stored == file["/all_nodes/abc123/my_volume"]
        np.testing.assert_array_equal(stored[...], names["data"])
        assert stored.dtype == np.uint8
        assert AxisTags.fromJSON(stored.attrs["axistags"]).keys() == list("zyxc")
    host = urllib.parse.urlsplit(serve("mock_storage.h5").url).netloc
    client = VolumeClient(host, "abc123", "my_volume")
    assert client.metainfo.shape == (1, 300, 200, 100)
    read = client.retrieve_subvolume((0, 10, 20, 30), (1, 110, 120, 90))
    np.testing.assert_array_equal(np.asarray(read), names["data"].T[:, 10:110, 20:120, 30:90])


@pytest.mark.skipif(
    array_module().__name__ != "vigra", reason="vigra cannot be imported here: the client's own axis tags are"
)
def test_axis_tags_are_written_as_vigra_writes_them(file, voxels):
    import vigra

    with h5py.File(file) as opened:
        stored = opened["/all_nodes/abc123/my_volume"]
        assert vigra.AxisTags.fromJSON(stored.attrs["axistags"]) == tagged(voxels, "zyxc").axistags


STARTS = {
    "in its folder": (["h5mockserver.py"], Path(mockserver.__file__).parent),
    "as a module": (["-m", "mockserver.h5mockserver"], None),
}


@pytest.mark.parametrize("how", STARTS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_says_where_and_stops_when_it_is_told(file, voxels, how, number):
    arguments, folder = STARTS[how]
    environment = {**child_environment(), **({"PYTHONPATH": ".."} if folder else {})}
    command = [sys.executable, *arguments, str(file), "--port", "0"]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            url = re.fullmatch(rf"mockserver serves {file} at (http://127\.0\.0\.1:\d+)/\n", line)[1]
            client = VolumeClient(url, "abc123", "my_volume")
            client.modify_subvolume((0, 0, 0, 0), (1, 2, 2, 2), np.full((1, 2, 2, 2), 7, np.uint8))
            process.send_signal(number)
            assert process.wait(120) == 0
            assert process.stdout.read() == ""
        finally:
            process.kill()
    assert not Path(f"{file}.journal").exists()
    with h5py.File(file) as opened:
        voxels[:2, :2, :2] = 7
        np.testing.assert_array_equal(opened["/all_nodes/abc123/my_volume"][...], voxels)


def test_ctrl_c_in_a_terminal_reaches_all_its_processes_and_stops_it(file):
    command = [sys.executable, "-m", "mockserver.h5mockserver", str(file), "--port", "0"]
    with subprocess.Popen(
        command,
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            process.stdout.readline()
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(120) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_a_server_is_started_and_shut_down_as_often_as_it_is_asked(file):
    server = H5MockServer(file, ("127.0.0.1", 0))
    for _ in range(2):
        server.start()
        pid, worker = server.pid, worker_of(server)
        assert urllib3.request("GET", f"{server.url}/api/server/info").status == 200
        server.shutdown()
        assert not is_running(pid)
        assert not is_running(worker)
    with pytest.raises(ValueError, match="not started"):
        server.url  # noqa: B018


def test_a_server_in_this_process_answers_and_ends(file):
    with H5MockServer(file, same_process=True) as server:
        client = VolumeClient(server.url, "abc123", "my_volume")
        client.modify_subvolume((0, 0, 0, 0), (1, 2, 2, 2), np.full((1, 2, 2, 2), 7, np.uint8))
    with h5py.File(file, "r+") as opened:
        assert (opened["/all_nodes/abc123/my_volume"][:2, :2, :2] == 7).all()


def test_a_server_that_gets_no_port_leaves_the_file_to_others(file, serve, tmp_path):
    other = tmp_path / "other.h5"
    other.write_bytes(file.read_bytes())
    port = int(serve(other).url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        H5MockServer(file, ("127.0.0.1", port), same_process=True).start()
    with H5MockServerDataFile(file) as opened:
        opened.add_node("my_dataset", "next")


def test_a_file_that_another_program_makes_meanwhile_is_not_overwritten(path, monkeypatch):
    link = os.link

    def slow_link(fresh, made):
        path.write_bytes(b"of another program")
        link(fresh, made)

    monkeypatch.setattr(os, "link", slow_link)
    with pytest.raises(FileUnusable, match="not an HDF5 file"), H5MockServerDataFile(path):
        pass
    assert path.read_bytes() == b"of another program"
    assert os.listdir(path.parent) == [path.name]


def test_a_file_that_is_only_read_is_never_changed(file, serve):
    before = file.read_bytes()
    file.chmod(0o444)
    asked = Client(serve(file, read_only=True).url)
    assert len(asked.get("node/abc123/my_volume/raw/0_1_2/40_30_20/0_0_0").data) == 40 * 30 * 20
    for path in ["node/abc123/my_volume/raw/0_1_2/1_1_1/0_0_0", "node/abc123/commit", "repos"]:
        refused = asked.post(path, b"1" if "raw" in path else b"")
        assert refused.status == 403, path
        assert b"read-only" in refused.data
    assert file.read_bytes() == before
    with h5py.File(file) as opened:  # others may read it meanwhile
        assert "datasets" in opened


@pytest.mark.parametrize("axes", ["zyxc", "cxyz", "xyzc", "czyx", "zyx", "xyz", "yx", "yxc"])
def test_a_volume_keeps_the_order_of_its_axes_in_the_file_and_is_read_channel_first(path, serve, axes):
    size = {"x": 33, "y": 20, "z": 17, "c": 3}
    array = random_voxels([size[axis] for axis in axes], np.uint16)
    with H5MockServerDataFile(path) as made:
        made.add_node("d", "abc")
        made.add_volume("d", "v", tagged(array, axes), compression="gzip")
    with h5py.File(path) as opened:
        np.testing.assert_array_equal(opened["/all_nodes/abc/v"][...], array)
    client = VolumeClient(serve(path, same_process=True).url, "abc", "v")
    full = {**size, **{axis: 1 for axis in "czyx" if axis not in axes}}
    assert client.metainfo.shape == tuple(full[axis] for axis in "cxyz")
    read = np.asarray(client.retrieve_subvolume((0, 0, 0, 0), client.metainfo.shape))
    present = [axis for axis in "cxyz" if axis in axes]
    expected = array.transpose([axes.index(axis) for axis in present]).reshape(client.metainfo.shape)
    np.testing.assert_array_equal(read, expected)
    client.modify_subvolume((0, 1, 2, 0), (full["c"], 5, 6, 1), expected[:, 5:9, 5:9, 0:1])
    again = np.asarray(client.retrieve_subvolume((0, 1, 2, 0), (full["c"], 5, 6, 1)))
    np.testing.assert_array_equal(again, expected[:, 5:9, 5:9, 0:1])


def test_a_volume_grows_in_all_directions_and_keeps_its_axes(path, serve):
    array = random_voxels((3, 20, 17, 15))
    with H5MockServerDataFile(path) as made:
        made.add_node("d", "abc")
        made.add_volume("d", "v", tagged(array, "cxyz"), compression="gzip")
    server = serve(path)
    client = VolumeClient(server.url, "abc", "v")
    client.modify_subvolume((0, -100, 3, 40), (3, -99, 4, 41), np.full((3, 1, 1, 1), 5, np.uint8))
    assert client.metainfo.shape == (3, 120, 17, 41)
    assert client.metainfo.offset == (0, -100, 0, 0)
    expected = np.zeros((3, 120, 17, 41), np.uint8)
    expected[:, 100:, :, :15] = array
    expected[:, 0, 3, 40] = 5
    np.testing.assert_array_equal(np.asarray(client.retrieve_subvolume((0, -100, 0, 0), (3, 20, 17, 41))), expected)
    server.shutdown()
    with h5py.File(path) as opened:
        np.testing.assert_array_equal(opened["/all_nodes/abc/v"][...], expected)
        assert list(opened["/all_nodes/abc"]) == ["v"]
        assert opened["/all_nodes/abc/v"].compression == "gzip"


def test_voxel_sizes_in_axis_tags_are_kept(path, serve):
    vigra = array_module()
    view = tagged(random_voxels((4, 5, 6)), "zyx")
    step = vigra.AxisInfo
    view.axistags = vigra.AxisTags(
        [step(key, vigra.AxisType.Space, size, "nm") for key, size in zip("zyx", (40.0, 4.0, 4.5), strict=True)]
    )
    with H5MockServerDataFile(path) as made:
        made.add_node("d", "abc")
        made.add_volume("d", "v", view)
    info = VolumeClient(serve(path, same_process=True).url, "abc", "v").metainfo
    assert (info.voxel_size, info.units) == ((4.5, 4.0, 40.0), ("nm", "nm", "nm"))


def test_a_later_node_shows_the_volumes_of_the_one_before_until_it_has_its_own(path, serve):
    with H5MockServerDataFile(path) as made:
        made.add_node("d", "first")
        made.add_volume("d", "v", tagged(np.ones((4, 5, 6), np.uint8), "zyx"))
        made.add_node("d", "second")
        made.add_volume("d", "w", tagged(np.ones((4, 5, 6), np.uint8), "zyx"))
    server = serve(path, same_process=True)
    asked = Client(server.url)
    first, second = VolumeClient(server.url, "first", "v"), VolumeClient(server.url, "second", "v")
    second.modify_subvolume((0, 0, 0, 0), (1, 1, 1, 1), np.full((1, 1, 1, 1), 9, np.uint8))
    assert np.asarray(second.retrieve_subvolume((0, 0, 0, 0), (1, 6, 5, 4))).sum() == 4 * 5 * 6 + 8
    assert np.asarray(first.retrieve_subvolume((0, 0, 0, 0), (1, 6, 5, 4))).sum() == 4 * 5 * 6
    assert asked.get("node/first/w/info").status == 400
    assert asked.json("node/first/status") == {"Locked": True}
    refused = asked.post("node/first/v/raw/0_1_2/1_1_1/0_0_0", b"1")
    assert (refused.status, b"has children" in refused.data) == (400, True)
    assert list(asked.json("repos/info")) == ["first"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f.add_volume("d", "v", np.zeros((2, 2), np.uint8)), "axis tags"),
        (lambda f: f.add_volume("d", "v", tagged(np.zeros((2, 2, 2), np.uint8), "txy")), "axes x, y, z and c"),
        (lambda f: f.add_volume("d", "v", tagged(np.zeros((2, 2), complex), "xy")), "dtype"),
        (lambda f: f.add_volume("no", "v", tagged(np.zeros((2, 2), np.uint8), "xy")), "no dataset 'no'"),
        (lambda f: f.add_volume("d", "a/b", tagged(np.zeros((2, 2), np.uint8), "xy")), "without '/'"),
        (
            lambda f: f.add_volume("d", "there", tagged(np.ones((2, 2), np.uint8), "xy")),
            "named 'there' already, which differ",
        ),
        (
            lambda f: f.add_volume("d", "there", tagged(np.zeros((2, 3), np.uint8), "xy")),
            "named 'there' already, which differ",
        ),
        (
            lambda f: f.add_volume("d", "there", tagged(np.zeros((2, 2), np.uint16), "xy")),
            "named 'there' already, which differ",
        ),
        (
            lambda f: f.add_volume("d", "there", tagged(np.zeros((2, 2), np.uint8), "yx")),
            "named 'there' already, which differ",
        ),
        (lambda f: f.add_node("other", "abc"), "a node 'abc' already, of the dataset 'd', not of 'other'"),
        (lambda f: f.add_node("d", "abc", parent="abc"), "a node 'abc' already, its parent is none, not 'abc'"),
        (lambda f: f.add_node("d", "x/y"), "without '/'"),
        (lambda f: f.add_node("d", "x:y"), "none with ':'"),
        (lambda f: f.add_node("d", "\ud800"), "control characters"),
        (lambda f: f.add_node("d", "n", parent="none"), "no node with UUID 'none'"),
    ],
)
def test_what_cannot_be_added_is_refused_and_leaves_the_file_as_it_was(path, call, message):
    with H5MockServerDataFile(path) as made:
        made.add_node("d", "abc")
        made.add_volume("d", "there", tagged(np.zeros((2, 2), np.uint8), "xy"))
    before = path.read_bytes()
    with H5MockServerDataFile(path) as made, pytest.raises(ValueError, match=message):
        call(made)
    assert path.read_bytes() == before
    with H5MockServerDataFile(path) as made:
        made.add_volume("d", "v", tagged(np.zeros((2, 2), np.uint8), "xy"))


def test_a_program_that_makes_a_file_may_be_run_again(path):
    view = tagged(random_voxels((70, 30, 20)).astype(np.float32), "zyx")
    view[0, 0, 0] = np.nan

    def make(last):
        with H5MockServerDataFile(path) as made:
            made.add_node("d", "first")
            made.add_volume("d", "v", view, compression="gzip")
            made.add_node("d", "second", parent="first")
            made.add_volume("d", "w", view)
            made.add_volume("d", "v", last)

    make(tagged(random_voxels((3, 4)), "yx"))
    before = path.read_bytes()
    make(tagged(random_voxels((3, 4)), "yx"))
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match=r"node 'second' has data named 'v' already, which differ: .* replace=True"):
        make(tagged(random_voxels((3, 4), seed=1), "yx"))
    assert path.read_bytes() == before


def test_the_example_of_the_readme_run_again_says_what_to_do_and_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vigra", array_module())
    monkeypatch.chdir(tmp_path)
    exec(README, {})
    before = Path("mock_storage.h5").read_bytes()
    # Its voxels are random: the first ones are not lost for the second.
    with pytest.raises(ValueError, match="has data named 'my_volume' already, which differ"):
        exec(README, {})
    assert Path("mock_storage.h5").read_bytes() == before


def test_a_volume_is_replaced_where_that_is_asked_for(file, serve):
    new = random_voxels((5, 6, 7), np.uint16)
    server = serve(file)
    asked = Client(server.url)
    before = asked.json("node/abc123/my_volume/info")["Base"]
    asked.post("node/abc123/my_volume/tags", {"a": "b"})
    asked.new("keyvalue", "kv")
    server.shutdown()
    with H5MockServerDataFile(file) as made:
        made.add_volume("my_dataset", "my_volume", tagged(new, "xyz"), replace=True)
        with pytest.raises(ValueError, match="named 'kv' already"):
            made.add_volume("my_dataset", "kv", tagged(new, "xyz"), replace=True)
        made.add_node("my_dataset", "next")
        with pytest.raises(ValueError, match="'abc123' has children"):
            made.add_volume("my_dataset", "my_volume", tagged(new, "zyx"), uuid="abc123", replace=True)
    asked = Client(serve(file, same_process=True).url)
    base = asked.json("node/abc123/my_volume/info")["Base"]
    assert (base["TypeName"], base["Tags"], base["DataUUID"]) == ("uint16blk", {"a": "b"}, before["DataUUID"])
    assert asked.get("node/abc123/my_volume/raw/0_1_2/5_6_7/0_0_0").data == new.transpose(2, 1, 0).tobytes()


FULL_DISK = """
import resource, sys
import numpy as np
from dvidclient.axistags import taggedView
from mockserver.h5mockserver import H5MockServerDataFile

with H5MockServerDataFile(sys.argv[1]) as made:
    made.add_node("d", "abc")
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, resource.RLIM_INFINITY))
    for attempt in range(2):
        try:
            made.add_volume("d", "large", taggedView(np.ones((200, 200, 200), np.uint8), "zyx"))
        except ValueError as error:
            print(error)
    made.add_volume("d", "small", taggedView(np.ones((2, 2, 2), np.uint8), "zyx"))
"""


def test_a_volume_for_which_there_is_no_room_is_refused_and_ends_nothing(path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], env=child_environment(), capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("adding volume 'large': [Errno 27] File too large\n") == 2
    with h5py.File(path) as file:
        assert list(file["/all_nodes/abc"]) == ["small"]


def test_a_file_is_used_inside_of_with_only(path):
    with pytest.raises(ValueError, match="is not open: use 'with"):
        H5MockServerDataFile(path).add_node("d", "abc")
    assert not path.exists()


def test_a_served_file_cannot_be_opened_by_another_writer(file, serve):
    serve(file)
    with pytest.raises(FileUnusable, match="in use by another program"), H5MockServerDataFile(file):
        pass
    with pytest.raises(OSError, match="lock"):
        h5py.File(file, "r+", locking=True)


def by_hand(path, **attributes):
    with h5py.File(path, "w") as file:
        node = file.create_group("/datasets/hand/nodes/abc")
        file["/all_nodes/abc"] = h5py.SoftLink("/datasets/hand/nodes/abc")
        stored = node.create_dataset("v", data=np.arange(2 * 3 * 4 * 5, dtype=">u2").reshape(2, 3, 4, 5))
        for key, value in attributes.items():
            stored.attrs[key] = value


DOCUMENT = """{"Axes": [
  {"Label": "X", "Resolution": 4, "Units": "nm", "Size": 4, "Offset": 100},
  {"Label": "Y", "Resolution": 5, "Units": "nm", "Size": 5, "Offset": -3},
  {"Label": "Z", "Resolution": 6, "Units": "nm", "Size": 3, "Offset": 0}],
 "Properties": {"Values": [{"DataType": "uint16", "Label": "a"}, {"DataType": "uint16", "Label": "b"}]}}"""


@pytest.mark.parametrize(
    ("attributes", "axes", "note"),
    [
        ({}, "zyxc", "its axes are taken to be 'zyxc'"),
        ({"axistags": AxisTags("cxyz").toJSON()}, "cxyz", None),
        ({"axistags": np.bytes_(AxisTags("xyzc").toJSON())}, "xyzc", None),
        ({"axistags": "{"}, "zyxc", "its axistags is not used"),
        ({"axistags": "[1]"}, "zyxc", "its axistags is not used"),
        (
            {"dvid_metadata": DOCUMENT.replace('"Size": 3', '"Size": 5').replace('"Size": 5,', '"Size": 4,', 1)},
            "zyxc",
            "taken",
        ),
        ({"dvid_metadata": "[]"}, "zyxc", "its dvid_metadata is not used"),
        ({"dvid_metadata": 7.5}, "zyxc", "its dvid_metadata is not used"),
    ],
)
def test_a_file_made_by_hand_is_served_and_what_is_guessed_is_said(path, serve, capfd, attributes, axes, note):
    by_hand(path, **attributes)
    client = VolumeClient(serve(path, same_process=True).url, "abc", "v")
    said = capfd.readouterr().err
    assert (note in said) if note else (said == ""), said
    shape = dict(zip(axes, (2, 3, 4, 5), strict=True))
    assert client.metainfo.shape == tuple(shape[axis] for axis in "cxyz")
    start = client.metainfo.offset
    stop = tuple(at + size for at, size in zip(start, client.metainfo.shape, strict=True))
    array = np.arange(2 * 3 * 4 * 5, dtype="u2").reshape(2, 3, 4, 5).transpose([axes.index(axis) for axis in "cxyz"])
    np.testing.assert_array_equal(np.asarray(client.retrieve_subvolume(start, stop)), array)
    # Such a dataset has a fixed size; it grows nevertheless.
    more = tuple(at + 1 for at in stop[1:])
    client.modify_subvolume((0, *stop[1:]), (shape["c"], *more), np.ones((shape["c"], 1, 1, 1), np.uint16))
    np.testing.assert_array_equal(np.asarray(client.retrieve_subvolume(start, stop)), array)


def test_a_uuid_with_a_colon_that_a_file_brings_is_found(path, serve):
    by_hand(path)
    with h5py.File(path, "r+") as file:
        file.move("/datasets/hand/nodes/abc", "/datasets/hand/nodes/abc:1")
    assert Client(serve(path, same_process=True).url).json("node/abc:1/status") == {"Locked": False}


def test_metadata_without_axis_tags_tell_the_order_of_the_axes(path, serve):
    text = (
        DOCUMENT.replace('"Size": 4', '"Size": 3')
        .replace('"Size": 5', '"Size": 4')
        .replace('"Z", "Resolution": 6, "Units": "nm", "Size": 3', '"Z", "Resolution": 6, "Units": "nm", "Size": 5')
    )
    by_hand(path, dvid_metadata=text)
    info = VolumeClient(serve(path, same_process=True).url, "abc", "v").metainfo
    assert (info.shape, info.offset) == ((2, 3, 4, 5), (0, 100, -3, 0))
    assert (info.voxel_size, info.units) == ((4.0, 5.0, 6.0), ("nm", "nm", "nm"))
