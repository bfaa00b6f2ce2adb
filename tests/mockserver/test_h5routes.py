import contextlib
import gzip
import io
import json
import re
import socket
import urllib.parse
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.mockserver.conftest import Client, random_voxels, tagged, worker_of

from dvidclient.axistags import AxisTags
from dvidclient.boxes import Box
from dvidclient.messages import keyvalues
from dvidclient.volume_client import VolumeClient
from mockserver.h5errors import Refused
from mockserver.h5mockserver import H5MockServer, H5MockServerDataFile
from mockserver.h5requests import cutout
from mockserver.h5routes import ROUTES

VOLUME = "node/abc123/my_volume"


# The routes of 2013


def test_datasets_are_listed_as_the_first_servers_did(client):
    assert client.json("datasets/list") == {"DatasetsUUID": ["abc123"]}
    [found] = client.json("datasets/info")["Datasets"]
    assert (found["Root"], found["Alias"], list(found["Nodes"])) == ("abc123", "my_dataset", ["abc123"])
    assert found["DataMap"]["my_volume"]["Base"]["TypeName"] == "uint8blk"


@pytest.mark.parametrize(
    ("typename", "now", "dtype", "channels"),
    [
        ("grayscale8", "uint8blk", "uint8", 1),
        ("labels32", "uint32blk", "uint32", 1),
        ("labels64", "labelblk", "uint64", 1),
        ("rgba8", "rgba8blk", "uint8", 4),
    ],
)
def test_volumes_of_the_first_types_are_made_written_and_read(client, typename, now, dtype, channels):
    assert client.post(f"dataset/abc/new/{typename}/v").status == 200
    assert client.json("node/abc123/v/info")["Base"]["TypeName"] == now
    voxels = random_voxels((4, 5, 6, channels), dtype)
    for raw in ("", "raw/"):
        assert client.post(f"node/abc123/v/{raw}0_1_2/6_5_4/10_20_30", voxels.tobytes()).status == 200
        answer = client.get(f"node/abc123/v/{raw}0_1_2/6_5_4/10_20_30")
        assert answer.data == voxels.tobytes()
        assert answer.headers["Content-Type"] == "application/octet-stream"
    # Slices are voxels, too, where no format is asked for.
    assert client.get("node/abc123/v/0_1/6_5/10_20_31").data == voxels[1].tobytes()
    assert client.get("node/abc123/v/xz/6_4/10_22_30").data == voxels[:, 2].tobytes()
    assert client.get("node/abc123/v/1,2/5,4/13,20,30").data == voxels[:, :, 3].tobytes()
    for name in ("metadata", "schema"):
        document = client.json(f"node/abc123/v/{name}")
        assert [(axis["Size"], axis["Offset"]) for axis in document["Axes"]] == [(6, 10), (5, 20), (4, 30)]
        assert [value["DataType"] for value in document["Properties"]["Values"]] == [dtype] * channels


def test_a_volume_is_made_from_its_metadata(client):
    document = client.json(f"{VOLUME}/metadata")
    document["Axes"][0]["Offset"] = -7
    assert client.post("dataset/abc123/new/grayscale8/copy", document).status == 200
    assert client.json("node/abc123/copy/metadata")["Axes"] == document["Axes"]
    refused = client.post("dataset/abc123/new/labels64/other", document)
    assert (refused.status, b"holds uint64" in refused.data) == (400, True)
    assert client.get("node/abc123/other/info").status == 400


# Key-values, in the words of then and of now


@pytest.mark.parametrize("route", ["", "key/"])
def test_key_values_are_a_mapping(client, route):
    client.new("keyvalue", "kv")
    keys = ["a", "b c", "ä/ö", "..", ".", "a.b", "%41", "x" * 1000]
    paths = [f"node/abc123/kv/{route}{urllib.parse.quote(key, safe='').replace('.', '%2E')}" for key in keys]
    for at, path in enumerate(paths):
        assert client.get(path).status == 404
        for value in (b"old", bytes([at]) * at):
            assert client.post(path, value).status == 200
            assert client.get(path).data == value
    assert client.json("node/abc123/kv/keys") == sorted(keys)
    assert client.ask("DELETE", paths[1]).status == 200
    assert client.ask("DELETE", paths[1]).status == 200
    assert client.get(paths[1]).status == 404
    assert client.json("node/abc123/kv/keys") == sorted(key for key in keys if key != "b c")
    assert client.get(f"node/abc123/kv/{route}{'x' * 1001}").status == 400


def test_key_values_of_a_version_are_those_of_its_parent_until_they_are_changed(client):
    client.new("keyvalue", "kv")
    client.post("node/abc123/kv/key/a", b"1")
    client.post("node/abc123/commit", {"note": "first"})
    child = client.post("node/abc123/newversion", {"note": "second"}).json()["child"]
    assert client.get(f"node/{child}/kv/key/a").data == b"1"
    client.post(f"node/{child}/kv/key/a", b"2")
    assert [client.get(f"node/{uuid}/kv/key/a").data for uuid in ("abc123", child)] == [b"1", b"2"]
    client.ask("DELETE", f"node/{child}/kv/key/a")
    assert [client.get(f"node/{uuid}/kv/key/a").status for uuid in ("abc123", child)] == [200, 404]


def test_many_keys_are_read_and_written_at_a_time(client):
    client.new("keyvalue", "kv")
    pairs = {f"k{number}": b"%d" % number * number for number in range(10)}
    assert client.post("node/abc123/kv/keyvalues", keyvalues.pairs_message(pairs.items())).status == 200
    assert client.json("node/abc123/kv/keys") == sorted(pairs)
    assert client.json("node/abc123/kv/keyrange/k2/k4x") == ["k2", "k3", "k4"]
    some = client.get("node/abc123/kv/keyrangevalues/k2/k4x")
    assert keyvalues.pairs_of(some.data) == {key: pairs[key] for key in ("k2", "k3", "k4")}
    asked = client.ask("GET", "node/abc123/kv/keyvalues", keyvalues.keys_message(["k9", "none", "k1"]))
    assert keyvalues.pairs_of(asked.data) == {"k9": pairs["k9"], "none": b"", "k1": pairs["k1"]}
    # All or none: the last of these has no key.
    bad = keyvalues.pairs_message([("k1", b"new"), ("", b"new")])
    assert client.post("node/abc123/kv/keyvalues", bad).status == 400
    assert client.get("node/abc123/kv/key/k1").data == b"1"
    for method in ("GET", "POST"):
        for broken in (b"\x0a\xff", b"\x0a\x05abc", b"\x0a\x04\x0a\x02\xff\xff"):
            assert client.ask(method, "node/abc123/kv/keyvalues", broken).status == 400
    assert client.get("node/abc123/kv/keyrangevalues/a/z?json=true").status == 400


def test_tags_and_resolution_are_written_and_read(client):
    assert client.post(f"{VOLUME}/tags", {"a": "1", "b": "2"}).status == 200
    assert client.post(f"{VOLUME}/tags", {"a": "3"}).status == 200
    assert client.json(f"{VOLUME}/tags") == {"Tags": {"a": "3", "b": "2"}}
    assert client.post(f"{VOLUME}/tags?replace=true", {"c": "4"}).status == 200
    assert client.json(f"{VOLUME}/info")["Base"]["Tags"] == {"c": "4"}
    assert client.post(f"{VOLUME}/resolution", b"[4, 4.5, 40]").status == 200
    assert client.json(f"{VOLUME}/info")["Extended"]["VoxelSize"] == [4, 4.5, 40]
    for body in (b"[1, 2]", b"[1, 2, 0]", b"[1, 2, NaN]", b"[1, 2, true]", b"{", b"[1, 2, 1e999]"):
        assert client.post(f"{VOLUME}/resolution", body).status == 400
    assert client.post(f"{VOLUME}/tags", {"a": 1}).status == 400
    assert "Channels" in client.get(f"{VOLUME}/help").data.decode()


def test_notes_and_logs_are_written(client):
    client.post("node/abc123/note", {"note": "new"})
    client.post("node/abc123/log", {"log": ["one"]})
    client.post("node/abc123/log", {"log": ["two"]})
    client.post("repo/abc123/log", {"log": ["of all"]})
    assert client.post("repo/abc123/log", {"log": [7]}).status == 400
    assert client.json("repo/abc123/log") == {"log": ["of all"]}
    assert client.json("repo/abc123/info")["Log"] == ["of all"]
    assert client.json("node/abc123/note") == {"note": "new"}
    assert client.json("node/abc123/log") == {"log": ["one", "two"]}


def test_repositories_may_have_one_alias(client):
    made = [client.post("repos", {"alias": "a/b", "description": text}).json()["root"] for text in "xy"]
    found = client.json("repos/info")
    assert [(found[uuid]["Alias"], found[uuid]["Description"]) for uuid in made] == [("a/b", "x"), ("a/b", "y")]


def test_what_is_a_volume_holds_no_keys_and_the_other_way_round(client):
    client.new("keyvalue", "kv")
    assert client.get(f"{VOLUME}/key/a").status == 400
    assert client.post(f"{VOLUME}/key/a", b"1").status == 400
    assert client.get("node/abc123/kv/metadata").status == 400
    assert client.get("node/abc123/kv/raw/0_1_2/1_1_1/0_0_0").status == 400
    assert client.post("node/abc123/kv/raw/0_1_2/1_1_1/0_0_0", b"1").status == 400


# Today's routes


def test_the_server_says_what_it_is_and_what_it_has(client):
    info = client.json("server/info")
    assert info["DVID Version"].startswith("v")
    for name in ("types", "compiled-types"):
        assert {"uint8blk", "labelblk", "rgba8blk", "keyvalue"} <= set(client.json(f"server/{name}"))
    assert "Channels" in client.get("help/uint16blk").data.decode()
    assert "Channels" not in client.get("help/rgba8blk").data.decode()
    assert client.get("help/labelmap").status == 404
    assert set(ROUTES) < set(client.get("help").data.decode().split())


def test_repositories_are_described_as_clients_read_them(client):
    info = client.json("repos/info")["abc123"]
    assert client.json("repo/abc/info") == info
    assert (info["Alias"], info["Description"], info["DAG"]["Root"]) == ("my_dataset", "", "abc123")
    node = info["DAG"]["Nodes"]["abc123"]
    assert (node["UUID"], node["VersionID"], node["Locked"], node["Parents"], node["Children"]) == (
        "abc123",
        1,
        False,
        [],
        [],
    )
    volume = info["DataInstances"]["my_volume"]
    assert volume == client.json(f"{VOLUME}/info")
    assert isinstance(volume["Base"]["Compression"], str)
    assert volume["Extended"]["Values"] == [{"DataType": "uint8", "Label": "uint8"}]
    assert volume["Extended"]["UnalignedWrites"] is True
    for key, value in {
        "VoxelSize": [1, 1, 1],
        "BlockSize": [32, 32, 32],
        "MinPoint": [0, 0, 0],
        "MaxPoint": [39, 29, 19],
    }.items():
        assert volume["Extended"][key] == value


def test_versions_branches_and_notes(client):
    repo = client.post("repos", {"alias": "my/repo", "description": "tests"}).json()["root"]
    assert client.post(f"node/{repo}/newversion", {}).status == 400  # it is open
    assert client.post(f"node/{repo[:6]}/commit", {"note": "n", "log": ["l"]}).json() == {"committed": repo}
    assert client.post(f"node/{repo}/commit", {}).status == 400
    child = client.post(f"node/{repo}/newversion", {"note": "next"}).json()["child"]
    assert client.post(f"node/{repo}/newversion", {}).status == 400  # master has one already
    side = client.post(f"node/{repo}/branch", {"branch": "side", "note": "s"}).json()["child"]
    for name in ("side", "master", ""):
        assert client.post(f"node/{repo}/branch", {"branch": name}).status == 400
    nodes = client.json(f"repo/{child}/info")["DAG"]["Nodes"]
    assert nodes[repo]["Children"] == [nodes[child]["VersionID"], nodes[side]["VersionID"]]
    assert nodes[child]["Parents"] == nodes[side]["Parents"] == [nodes[repo]["VersionID"]]
    assert [nodes[uuid]["Branch"] for uuid in (repo, child, side)] == ["", "", "side"]
    assert [client.json(f"node/{uuid}/status")["Locked"] for uuid in (repo, child)] == [True, False]
    assert client.json(f"node/{repo}/note") == {"note": "n"}
    assert client.json(f"node/{repo}/log") == {"log": ["l"]}
    assert client.json(f"node/{repo}:master/note") == {"note": "next"}
    assert client.json(f"node/{repo}:side/note") == {"note": "s"}
    assert client.json("repos/info")[repo]["Description"] == "tests"


def test_a_write_at_a_version_is_seen_there_and_later_but_not_before(client, voxels):
    client.post("node/abc123/commit", {})
    child = client.post("node/abc123/newversion", {}).json()["child"]
    refused = client.post(f"{VOLUME}/raw/0_1_2/1_1_1/0_0_0", b"1")
    assert (refused.status, b"is committed" in refused.data) == (400, True)
    client.post(f"node/{child}/my_volume/raw/0_1_2/2_1_1/100_0_0", b"\1\2")
    client.post(f"node/{child}/commit", {})
    last = client.post(f"node/{child}/newversion", {}).json()["child"]
    for uuid in (child, last):
        assert client.get(f"node/{uuid}/my_volume/raw/0_1_2/2_1_1/100_0_0").data == b"\1\2"
        assert client.get(f"node/{uuid}/my_volume/raw/0_1_2/40_30_20/0_0_0").data == voxels.tobytes()
    assert client.get(f"{VOLUME}/raw/0_1_2/2_1_1/100_0_0").data == b"\0\0"


def test_a_write_that_is_refused_copies_no_volume(client, file):
    client.post("node/abc123/commit", {})
    child = client.post("node/abc123/newversion", {}).json()["child"]
    before = file.stat().st_size
    assert client.post(f"node/{child}/my_volume/raw/0_1_2/2_2_2/0_0_0", b"1").status == 400
    assert file.stat().st_size == before
    with h5py.File(file, locking=False) as opened:
        assert list(opened[f"/all_nodes/{child}"]) == []


def test_settings_of_an_instance_are_kept(client):
    client.new(
        "uint16blk",
        "v",
        Channels="3",
        MinPoint="-5,0,1",
        MaxPoint="4,9,10",
        VoxelSize="4,4.5,40",
        VoxelUnits="nm,nm,um",
        Background="7",
        Tags="volume_axes=czyx,a=b",
    )
    info = client.json("node/abc123/v/info")
    assert info["Base"]["Tags"] == {"volume_axes": "czyx", "a": "b"}
    extended = info["Extended"]
    assert (extended["MinPoint"], extended["MaxPoint"]) == ([-5, 0, 1], [4, 9, 10])
    assert (extended["VoxelSize"], extended["VoxelUnits"]) == ([4, 4.5, 40], ["nm", "nm", "um"])
    assert (len(extended["Values"]), extended["Background"]) == (3, 7)
    read = np.frombuffer(client.get("node/abc123/v/raw/0_1_2/20_1_1/0_0_0").data, "<u2")
    assert (read == 7).all()
    assert len(read) == 60


def test_extents_only_grow(client):
    client.new("uint8blk", "v")
    assert client.json("node/abc123/v/info")["Extended"]["MinPoint"] is None
    for first, last, low, high in [
        ([0, 0, 0], [9, 9, 9], [0, 0, 0], [9, 9, 9]),
        ([2, 2, 2], [3, 3, 30], [0, 0, 0], [9, 9, 30]),
        ([-2, 2, 2], [3, 3, 3], [-2, 0, 0], [9, 9, 30]),
    ]:
        assert client.post("node/abc123/v/extents", {"MinPoint": first, "MaxPoint": last}).status == 200
        extents = client.json("node/abc123/v/info")["Extents"]
        assert extents == {"MinPoint": low, "MaxPoint": high}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A server with a volume, and an array beside it that stands for positions from -30 on."""
    path = tmp_path_factory.mktemp("model") / "file.h5"
    with H5MockServerDataFile(path) as made:
        made.add_node("d", "abc123")
        made.add_volume("d", "v", tagged(np.zeros((2, 20, 21, 22), ">u2"), "cyzx"), compression="lzf")
    with H5MockServer(path) as server:
        yield Client(server.url), np.zeros((80, 80, 80, 2), "<u2")


@settings(max_examples=60)
@given(data=st.data(), seed=st.integers(0, 10**6))
def test_any_boxes_are_written_and_read(model, data, seed):
    client, array_zyxc = model

    def draw_box():
        spans = [
            sorted(data.draw(st.tuples(*[st.integers(-30, 50)] * 2).filter(lambda ab: ab[0] != ab[1]))) for _ in "xyz"
        ]
        size, at = "_".join(str(b - a) for a, b in spans), "_".join(str(a) for a, _ in spans)
        return f"node/abc/v/raw/0_1_2/{size}/{at}", tuple(slice(a + 30, b + 30) for a, b in spans[::-1])

    path, where = draw_box()
    new = np.random.default_rng(seed).integers(0, 2**16, array_zyxc[where].shape).astype("<u2")
    assert client.post(path, new.tobytes()).status == 200
    array_zyxc[where] = new
    path, where = draw_box()
    assert client.get(path).data == array_zyxc[where].tobytes()


def test_slices_are_images(client, voxels):
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed: no images")
    for dims, size, offset, expected in [
        ("xy", "40_30", "0_0_3", voxels[3, :, :, 0]),
        ("0_2", "40_20", "0_4_0", voxels[:, 4, :, 0]),
        ("1_2", "30_20", "5_0_0", voxels[:, :, 5, 0]),
    ]:
        for form in ("", "/png"):
            answer = client.get(f"{VOLUME}/raw/{dims}/{size}/{offset}{form}")
            assert answer.headers["Content-Type"] == "image/png"
            np.testing.assert_array_equal(np.asarray(image.open(io.BytesIO(answer.data))), expected)
        answer = client.get(f"{VOLUME}/raw/{dims}/{size}/{offset}/jpg:95")
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert np.abs(np.asarray(image.open(io.BytesIO(answer.data))).astype(int) - expected).mean() < 20
    client.new("uint64blk", "v")
    assert client.get("node/abc123/v/raw/xy/4_4/0_0_0/png").status == 400
    assert client.get(f"{VOLUME}/raw/xy/4_4/0_0_0/gif").status == 400


# What Neuroglancer asks for


def test_neuroglancer_gets_gray_as_one_jpeg_of_64_by_4096(client):
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed: no images")
    ramp = np.repeat(np.arange(64, dtype=np.uint8) * 3, 64 * 64)
    client.post(f"{VOLUME}/raw/0_1_2/64_64_64/0_0_0", ramp.tobytes())
    answer = client.get(f"{VOLUME}/raw/0_1_2/64_64_64/0_0_0/jpeg")
    assert answer.headers["Content-Type"] == "image/jpeg"
    pixels = np.asarray(image.open(io.BytesIO(answer.data)))
    assert pixels.shape == (4096, 64)
    assert np.abs(pixels.reshape(-1).astype(int) - ramp).max() < 8


def test_neuroglancer_gets_labels_compressed(client):
    codec = pytest.importorskip("compressed_segmentation", reason="compressed-segmentation is not installed")
    client.new("labelblk", "labels")
    labels = np.random.default_rng(0).integers(0, 5, (64, 64, 64), np.uint64) * np.uint64(2**40 + 1)
    labels[:8] = 9
    client.post("node/abc123/labels/raw/0_1_2/64_64_64/0_0_0", labels.tobytes())
    path = "node/abc123/labels/raw/0_1_2/64_64_64/0_0_0?compression=googlegzip"
    answer = client.get(path, decode_content=False)
    assert answer.headers["Content-Encoding"] == "gzip"
    packed = gzip.decompress(answer.data)
    assert packed[:4] == b"\1\0\0\0"  # where the only channel begins, in 32-bit words
    found = codec.decompress(packed, (64, 64, 64), np.uint64, (8, 8, 8), order="F")
    np.testing.assert_array_equal(found.squeeze(), labels.T)
    assert client.get(f"{VOLUME}/raw/0_1_2/64_64_64/0_0_0?compression=googlegzip").status == 400


# What is refused


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Asks a server in this process; and its file."""
    path = tmp_path_factory.mktemp("shared") / "file.h5"
    with H5MockServerDataFile(path) as made:
        made.add_node("my_dataset", "abc123")
        made.add_volume("my_dataset", "my_volume", tagged(random_voxels((20, 30, 40, 1)), "zyxc"))
    with H5MockServer(path, same_process=True) as server:
        yield Client(server.url), path


@pytest.mark.parametrize(
    ("method", "route", "body", "status", "message"),
    [
        ("GET", "nothing", None, 404, "no path '/api/nothing'"),
        ("GET", "node/abc123/my_volume/a/b", None, 404, "no path"),
        ("GET", "node/nope/my_volume/info", None, 400, "no node with UUID 'nope'"),
        ("GET", "node/abc123:side/my_volume/info", None, 400, "no branch 'side'"),
        ("GET", "node/abc123/none/info", None, 400, "no data named 'none'"),
        ("GET", f"{VOLUME}/raw/0_1_2/0_1_1/0_0_0", None, 400, "numbers from 1"),
        ("GET", f"{VOLUME}/raw/0_1_2/1_1/0_0_0", None, 400, "expected 3 whole numbers"),
        ("GET", f"{VOLUME}/raw/0_1_2/1_1_1/0_0", None, 400, "expected 3 whole numbers"),
        ("GET", f"{VOLUME}/raw/0_1_2/1_1_1/0_0_x", None, 400, "expected 3 whole numbers"),
        ("GET", f"{VOLUME}/raw/0_1_2/10_1_1/2147483640_0_0", None, 400, "positions are below 2"),
        ("GET", f"{VOLUME}/raw/0_0_1/1_1_1/0_0_0", None, 400, "expected xy, xz, yz or xyz"),
        ("GET", f"{VOLUME}/raw/0_1_7/1_1_1/0_0_0", None, 400, "expected axes such as 0_1_2"),
        ("GET", f"{VOLUME}/raw/0_1_2/2000000000_2000000000_2000000000/0_0_0", None, 413, "the limit is"),
        ("GET", f"{VOLUME}/raw/0_1_2/1000_1000_1000/0_0_0", None, 413, "the limit is"),
        ("GET", f"{VOLUME}/raw/0_1_2/1_1_1/0_0_0?compression=lz4", None, 400, "only googlegzip"),
        ("GET", f"{VOLUME}/raw/0_1_2/1_1_1/0_0_0?scale=1", None, 400, "scale 0 only"),
        ("GET", f"{VOLUME}/raw/0_1_2/1_1_1/0_0_0?roi=r", None, 400, "no regions of interest"),
        ("GET", "node/abc123/my%FFvolume/info", None, 400, "no UTF-8"),
        ("PUT", f"{VOLUME}/info", b"", 405, ""),
        ("POST", f"{VOLUME}/raw/0_1_2/2_2_2/0_0_0", b"1234567", 400, "expected 8 bytes"),
        ("POST", f"{VOLUME}/raw/0_1_2/2_2_2/0_0_0", b"123456789", 400, "expected 8 bytes"),
        ("POST", f"{VOLUME}/raw/0_1_2/2_2_2/0_0_0", None, 400, "expected 8 bytes"),
        ("POST", f"{VOLUME}/raw/0_1_2/2_2_2/0_0_0?compression=lz4", b"12345678", 400, "compression"),
        ("POST", f"{VOLUME}/raw/0_1_2/1000000_1_1/0_0_0", b"1", 400, "expected 1000000 bytes"),
        ("POST", f"{VOLUME}/raw/0_1_2/60000_60000_1/0_0_0", b"1", 413, "the limit is"),
        ("POST", f"{VOLUME}/extents", b"[]", 400, "JSON object"),
        ("POST", f"{VOLUME}/extents", b"\xff", 400, "JSON object"),
        ("POST", f"{VOLUME}/extents", b"[" * 100_000, 400, "JSON object"),
        ("POST", f"{VOLUME}/extents", {"MinPoint": [0, 0]}, 400, "MinPoint: expected a list of 3"),
        ("POST", f"{VOLUME}/extents", {"MinPoint": [1, 0, 0], "MaxPoint": [0, 0, 0]}, 400, "MinPoint <= MaxPoint"),
        (
            "POST",
            f"{VOLUME}/extents",
            {"MinPoint": [-(2**31)] * 3, "MaxPoint": [2**31 - 1] * 3},
            400,
            "too large for an HDF5 file",
        ),
        ("POST", f"{VOLUME}/extents", {"MinPoint": [0] * 3, "MaxPoint": [10**30] * 3}, 400, "from -2^31"),
        ("POST", "repo/abc123/instance", {"typename": "labelmap", "dataname": "x"}, 400, "no type 'labelmap' here"),
        ("POST", "repo/abc123/instance", {"typename": 7, "dataname": "x"}, 400, "typename: expected a text"),
        ("POST", "repo/abc123/instance", {"typename": "uint8blk", "dataname": "a/b"}, 400, "without '/'"),
        ("POST", "repo/abc123/instance", {"typename": "uint8blk", "dataname": ".."}, 400, "names '.' and '..'"),
        ("POST", "repo/abc123/instance", {"typename": "uint8blk", "dataname": "x" * 300}, 400, "1 to 200 bytes"),
        ("POST", "repo/abc123/instance", {"typename": "uint8blk", "dataname": "my_volume"}, 409, "already"),
        ("POST", "repo/abc123/instance", {"typename": "keyvalue", "dataname": "my_volume"}, 409, "already"),
        ("POST", "repo/abc123/instance", {"typename": "rgba8blk", "dataname": "x", "Channels": "3"}, 400, "Channels"),
        ("POST", "repo/abc123/instance", {"typename": "uint8blk", "dataname": "x", "Channels": "1001"}, 400, "1 to 1000"),
        ("POST", "repo/abc123/instance", {"typename": "uint8blk", "dataname": "x", "Channels": "0"}, 400, "1 to 1000"),
        ("POST", "repo/abc123/instance", {"typename": "uint8blk", "dataname": "x", "MinPoint": "0,0,0"}, 400, "both"),
        ("POST", "repo/abc123/instance", {"typename": "uint8blk", "dataname": "x", "VoxelSize": "1,2"}, 400, "3 numbers"),
        ("POST", "repo/abc123/instance", {"typename": "uint8blk", "dataname": "x", "VoxelSize": "1,0,nan"}, 400, "voxel_size"),
        ("POST", "repo/abc123/instance", {"typename": "uint8blk", "dataname": "x", "Background": "256"}, 400, "Background"),
        ("POST", "repo/abc123/instance", {"typename": "uint8blk", "dataname": "x", "Tags": "a"}, 400, "Tags"),
        ("POST", "repo/abc123/instance", {"typename": "uint8blk", "dataname": "x", "Tags": "a=" + "b" * 70_000}, 400, "Tags"),
        ("POST", "repo/abc123/instance", b" " * (2 << 20), 413, "the limit is"),
        ("POST", "repos", {"alias": "a\nb"}, 400, "control characters"),
        ("POST", "repos", {"root": "abc123"}, 409, "already"),
        ("POST", "repos", {"alias": "r", "description": "d" * 70_000}, 413, "at most 60000 bytes"),
        ("POST", "node/abc123/commit", {"log": "x"}, 400, "list of texts"),
        ("POST", "node/abc123/commit", {"note": "n" * 70_000}, 413, "at most 60000 bytes"),
    ],
)  # fmt: skip
def test_a_bad_request_is_refused_in_words_and_leaves_nothing_behind(shared, method, route, body, status, message):
    client, file = shared
    before = file.read_bytes()
    described = client.json("repos/info")
    answer = client.ask(method, route, body)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "text/plain; charset=utf-8"), answer.data
    assert message in answer.data.decode()
    assert answer.data.count(b"\n") == 1
    assert client.json("repos/info") == described
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /api/server/info HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /api/repos HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\n\r\n", 431),
    ],
)
def test_what_is_no_request_is_refused_and_pages_may_read_why(client, request_line, status):
    address = urllib.parse.urlsplit(client.url)
    head = ""
    for _ in range(20):
        # Where the rest of what was sent comes after the answer, the system drops the answer, now and then.
        with (
            contextlib.suppress(ConnectionError),
            socket.create_connection((address.hostname, address.port), timeout=60) as connection,
        ):
            connection.sendall(request_line)
            head = connection.makefile("rb").read(4096).decode("latin-1")
            break
    assert head.startswith((f"HTTP/1.0 {status} ", f"HTTP/1.1 {status} "))
    assert "access-control-allow-origin: *" in head.lower()
    assert client.get("server/info").status == 200


def test_web_pages_read_but_change_nothing(client, file):
    before = file.read_bytes()
    origin = {"Origin": "http://pages.example"}
    assert client.get("repos/info", headers=origin).status == 200
    for method, route in [
        ("POST", "repos"),
        ("POST", f"{VOLUME}/raw/0_1_2/1_1_1/0_0_0"),
        ("DELETE", f"{VOLUME}/key/a"),
    ]:
        refused = client.ask(method, route, b"1", headers=origin)
        assert (refused.status, b"web pages" in refused.data) == (403, True)
    assert file.read_bytes() == before


def test_other_methods_are_told_and_head_is_get_without_a_body(client):
    answer = client.ask("OPTIONS", f"{VOLUME}/raw/0_1_2/1_1_1/0_0_0")
    assert answer.status < 300
    assert {"GET", "POST"} <= set(answer.headers["Allow"].split(", "))
    address = urllib.parse.urlsplit(client.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        path = f"/api/{VOLUME}/raw/0_1_2/40_30_20/0_0_0"
        connection.sendall(f"HEAD {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Length: 24000" in head
    assert body == b""


@given(
    dims=st.text("012xyz_,", max_size=7), size=st.text("0123_,-+", max_size=9), offset=st.text("0123_,-+", max_size=9)
)
def test_a_cutout_is_a_box_or_refused(dims, size, offset):
    try:
        found = cutout(dims, size, offset)
    except Refused:
        return
    assert found.axes in ("xy", "xz", "yz", "xyz")
    assert isinstance(found.box, Box)
    assert found.box.voxels > 0


def test_the_file_keeps_what_was_made_over_http(client, file, serve):
    client.new(
        "uint64blk", "v", Channels="2", MinPoint="0,0,0", MaxPoint="4,3,2", VoxelSize="2,2,2", VoxelUnits="m,m,m"
    )
    voxels = random_voxels((3, 4, 5, 2), np.uint64)
    client.post("node/abc123/v/raw/0_1_2/5_4_3/0_0_0", voxels.tobytes())
    with h5py.File(file, locking=False) as opened:
        stored = opened["/all_nodes/abc123/v"]
        np.testing.assert_array_equal(stored[...], voxels)
        assert AxisTags.fromJSON(stored.attrs["axistags"]).keys() == list("zyxc")
        assert json.loads(stored.attrs["dvid_metadata"])["Axes"][0]["Size"] == 5
        assert json.loads(stored.attrs["dvid_instance"])["TypeName"] == "uint64blk"


@pytest.mark.parametrize("chunks", [None, True])
def test_a_volume_of_enormous_extents_grows_with_what_was_written_only(path, chunks):
    with H5MockServerDataFile(path) as made:
        made.add_node("d", "abc")
    with h5py.File(path, "r+") as file:
        file["/all_nodes/abc"].create_dataset("v", (10**5, 10**6, 10**6), "u1", chunks=(64, 64, 64) if chunks else None)
    with H5MockServer(path, same_process=True) as server:
        asked = Client(server.url)
        for at in ("-1_-1_-1", "999999_999999_99999", "-100000_0_7"):
            assert asked.post(f"node/abc/v/raw/0_1_2/1_1_1/{at}", b"\7").status == 200
        for at in ("-1_-1_-1", "999999_999999_99999", "-100000_0_7"):
            assert asked.get(f"node/abc/v/raw/0_1_2/1_1_1/{at}").data == b"\7"
    assert path.stat().st_size < 10_000_000


def peak_memory(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


@pytest.mark.slow
def test_large_requests_take_the_memory_of_a_slab(path, serve):
    size = 700 * 700 * 600
    with H5MockServerDataFile(path) as made:
        made.add_node("d", "abc")
    server = serve(path)
    asked = Client(server.url)
    asked.new("uint8blk", "v", "abc")
    before = peak_memory(worker_of(server))
    pieces = (bytes([number]) * (700 * 700) for number in [1, 2] * 300)
    sent = asked.ask("POST", "node/abc/v/raw/0_1_2/700_700_600/0_0_0", pieces, headers={"Content-Length": str(size)})
    assert sent.status == 200
    answer = asked.get("node/abc/v/raw/0_1_2/700_700_600/0_0_0", preload_content=False)
    got = sum(np.frombuffer(piece, np.uint8).sum(dtype=int) for piece in answer.stream(1 << 20))
    assert got == size * 3 // 2
    assert peak_memory(worker_of(server)) - before < 170 << 20 < size // 1.6


def test_the_page_about_it_has_all_routes_and_no_others():
    page = Path(__file__).parents[2] / "docs" / "hdf5-server.md"
    told = {
        route
        for line in page.read_text().splitlines()
        for route in re.findall(r"`(/api/[^` ]*)`", line.split("|")[1] if line.startswith("| ") else "")
    }
    short = {re.sub(r"\{.*?\}", "{}", route) for route in ROUTES}
    assert {re.sub(r"\{.*?\}", "{}", route) for route in told} == short


def test_a_large_answer_comes_whole_and_in_order(path, serve):
    voxels = random_voxels((70, 600, 700))
    with H5MockServerDataFile(path) as made:
        made.add_node("d", "abc")
        made.add_volume("d", "v", tagged(voxels, "zyx"))
    server = serve(path)
    answer = Client(server.url).get("node/abc/v/raw/0_1_2/700_600_70/0_0_0")
    assert answer.data == voxels.tobytes()
    read = VolumeClient(server.url, "abc", "v").retrieve_subvolume((0, 0, 0, 0), (1, 700, 600, 70))
    np.testing.assert_array_equal(np.asarray(read)[0], voxels.T)


@pytest.mark.parametrize(
    "name",
    ["%2E", "%2Fdatasets", "%2Fdatasets%2Fmy_dataset%2Fnodes%2Fabc123", "%2Fall_nodes%2Fabc123", ".%2Fkv", "a%2Fb"],
)
def test_a_name_leads_to_nothing_but_data_of_its_node(client, name):
    client.new("keyvalue", "kv")
    for method, path, body in (
        ("GET", "keys", None),
        ("GET", "info", None),
        ("DELETE", "key/my_volume", None),
        ("DELETE", "key/my_dataset", None),
        ("POST", "key/more", b"value"),
    ):
        answer = client.ask(method, f"node/abc123/{name}/{path}", body)
        assert (answer.status, b"there is no data named" in answer.data) == (400, True), (method, path, answer.data)
    assert sorted(client.json("repos/info")["abc123"]["DataInstances"]) == ["kv", "my_volume"]
    assert client.json("node/abc123/kv/keys") == []


def test_a_committed_volume_cannot_be_written_by_its_path_in_the_file(client, voxels):
    assert client.post("node/abc123/commit", {}).status == 200
    assert client.post("node/abc123/newversion", {"uuid": "child"}).status == 200
    path = urllib.parse.quote("/all_nodes/abc123/my_volume", safe="")
    assert client.post(f"node/child/{path}/raw/0_1_2/1_1_1/0_0_0", b"x").status == 400
    assert client.get("node/abc123/my_volume/raw/0_1_2/40_30_20/0_0_0").data == voxels.tobytes()
