"""labelblk: what the reference server of 2016 answered, and what today's does."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct

import lz4.block
import numpy as np
import pytest
from PIL import Image
from tests.datatypes.conftest import MakeInstance, box_path
from tests.datatypes.labelblk.conftest import Labels, stripes

from dvid.labels.bodies import all_bodies
from dvid.labels.index import all_entries

CUBE = (16, 16, 16)


# ---- voxels -------------------------------------------------------------------------------------


def test_what_is_written_is_read_also_at_negative_coordinates(volume: Labels) -> None:
    voxels = stripes((16, 32, 48), 1, 2**63 + 5, 0, 7)
    volume.write((-16, 0, -16), voxels)
    assert np.array_equal(volume.read((-16, 0, -16), (16, 32, 48)), voxels)
    assert not volume.read((0, 0, 0), CUBE).any()


@pytest.mark.parametrize(
    ("compression", "packed"),
    [("lz4", lz4.block.compress), ("gzip", gzip.compress)],
    ids=["lz4", "gzip"],
)
def test_volumes_come_and_go_compressed(volume: Labels, compression: str, packed: object) -> None:
    voxels = stripes(CUBE, 3, 4)
    sent = (
        lz4.block.compress(voxels.tobytes(), store_size=False)
        if compression == "lz4"
        else gzip.compress(voxels.tobytes())
    )
    path = box_path("raw/0_1_2", (0, 0, 0), CUBE) + f"?compression={compression}&throttle=true"
    volume.post(path, sent)
    data = volume.get(path).content
    found = (
        lz4.block.decompress(data, uncompressed_size=voxels.nbytes) if compression == "lz4" else gzip.decompress(data)
    )
    assert found == voxels.tobytes()


def test_boxes_that_cut_blocks_and_isotropic_ones_are_not_stored(volume: Labels) -> None:
    assert volume.status("POST", "raw/0_1_2/17_16_16/0_0_0", bytes(17 * 256 * 8)) == 400
    assert volume.status("POST", "raw/0_1_2/16_16_16/1_0_0", bytes(16**3 * 8)) == 400
    assert volume.status("POST", "isotropic/0_1_2/16_16_16/0_0_0", bytes(16**3 * 8)) == 400
    assert volume.status("POST", "raw/xy/16_16/0_0_0", bytes(16**2 * 8)) == 400
    assert volume.status("POST", "raw/0_1_2/16_16_16/0_0_0?compression=google", b"") == 400


def test_a_region_masks_what_is_read_and_what_is_written(volume: Labels) -> None:
    volume.make("roi", "r", BlockSize="16,16,16")
    volume.post("roi", [[0, 0, 1, 1]], name="r")
    voxels = stripes((16, 16, 32), 1, 2)
    volume.write((0, 0, 0), voxels, "?roi=r")
    assert not volume.read((0, 0, 0), CUBE).any()
    assert (volume.read((0, 0, 16), CUBE) == 2).all()
    volume.write((0, 0, 0), voxels)
    data = volume.get(box_path("raw/0_1_2", (0, 0, 0), (16, 16, 32)) + "?roi=r").content
    assert np.array_equal(np.frombuffer(data, np.uint64).reshape(16, 16, 32), voxels * (voxels == 2))


def test_slices_are_images_and_isotropic_ones_have_square_pixels(make_instance: MakeInstance) -> None:
    volume = make_instance("labelblk", "seg", kind=Labels, BlockSize="16,16,16", VoxelSize="4,4,8")
    volume.write((0, 0, 0), stripes(CUBE, 1, 2))
    raw = Image.open(io.BytesIO(volume.get("raw/xz/16_8/0_0_0").content))
    isotropic = Image.open(io.BytesIO(volume.get("isotropic/xz/16_16/0_0_0").content))
    assert (raw.size, isotropic.size) == ((16, 8), (16, 16))
    assert np.array_equal(np.repeat(np.array(raw), 2, 0), np.array(isotropic))


def test_pseudocolor_gives_each_label_a_colour_and_only_slices(volume: Labels) -> None:
    volume.write((0, 0, 0), stripes(CUBE, 0, 1, 2, 1))
    picture = np.array(Image.open(io.BytesIO(volume.get("pseudocolor/xy/16_16/0_0_0").content)))
    colours = [tuple(picture[0, x]) for x in (0, 4, 8, 12)]
    assert colours[1] == colours[3]
    assert len(set(colours)) == 3
    assert volume.status("GET", "pseudocolor/0_1_2/16_16_16/0_0_0") == 400


def test_labels_of_points_are_answered_to_get_and_post_alike(volume: Labels) -> None:
    volume.write((0, 0, 0), stripes(CUBE, 5, 6))
    points = [[0, 0, 0], [15, 3, 3], [-1, 0, 0], [9, 9, 9]]
    assert volume.labels(points, "GET") == volume.labels(points, "POST") == [5, 6, 0, 6]
    digest = hashlib.md5(b"[[0,0,0]]").hexdigest()
    assert volume.ask("POST", f"labels?hash={digest}", "[[0,0,0]]").json == [5]
    assert volume.status("POST", "labels?hash=00", "[[0,0,0]]") == 400
    assert volume.status("POST", "labels", "[[0,0]]") == 400
    assert volume.get("label/15_3_3").json == {"Label": 6}


def test_labels_can_be_asked_for_by_post_at_a_committed_node(volume: Labels) -> None:
    volume.write((0, 0, 0), stripes(CUBE, 5))
    volume.commit(volume.node)
    assert volume.labels([[1, 1, 1]]) == [5]


# ---- blocks -------------------------------------------------------------------------------------


def _blocks(data: bytes) -> dict[tuple[int, ...], bytes]:
    found, at = {}, 0
    while at < len(data):
        x, y, z, length = struct.unpack_from("<iiii", data, at)
        found[x, y, z] = data[at + 16 : at + 16 + length]
        at += 16 + length
    return found


def test_blocks_of_a_box_are_answered_one_by_one(volume: Labels) -> None:
    voxels = stripes((16, 16, 32), 1, 2)
    volume.write((0, 0, 16), voxels)
    plain = _blocks(volume.get("blocks/64_16_16/0_0_0?compression=uncompressed").content)
    packed = _blocks(volume.get("blocks/64_16_16/0_0_0").content)
    assert list(plain) == list(packed) == [(1, 0, 0), (2, 0, 0)]
    assert plain[1, 0, 0] == np.full(CUBE, 1, np.uint64).tobytes()
    assert lz4.block.decompress(packed[2, 0, 0], uncompressed_size=16**3 * 8) == plain[2, 0, 0]
    assert volume.status("GET", "blocks/17_16_16/0_0_0") == 400


def test_deleted_blocks_are_zeros_and_their_labels_are_gone(volume: Labels) -> None:
    volume.write((0, 0, -16), stripes((16, 16, 64), 1, 2, 3, 4))
    volume.commit(volume.node)
    child = volume.child(volume.node)
    assert volume.status("DELETE", "blocks/0_0_0/2", node=child) == 200
    assert np.array_equal(volume.read((0, 0, -16), (16, 16, 64), node=child), stripes((16, 16, 64), 1, 0, 0, 4))
    assert np.array_equal(volume.read((0, 0, -16), (16, 16, 64)), stripes((16, 16, 64), 1, 2, 3, 4))
    with volume.database.view(child, "seg") as view:
        assert [labels.tolist() for labels, _ in all_bodies(view)] == [[1, 4]]
        assert len(all_entries(view, np.array([2, 3], np.uint64))) == 0
    assert volume.status("DELETE", "blocks/100_0_0/9", node=child) == 200  # there are none
    assert volume.status("DELETE", "blocks/0_0_0/0", node=child) == 400
    assert volume.status("DELETE", "blocks/2147483640_0_0/100", node=child) == 400
    assert volume.status("DELETE", "blocks/0_0_0/2") == 400  # it is committed


# ---- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["seg", "seg/", "seg/info"])
def test_settings_are_changed_by_a_post_to_the_instance(volume: Labels, path: str) -> None:
    reply = volume.request("POST", f"/api/node/{volume.node}/{path}", {"VoxelSize": "4,4,40", "voxelunits": "a,b,c"})
    assert reply.status_code == 200
    extended = volume.info()["Extended"]
    assert (extended["VoxelSize"], extended["VoxelUnits"]) == ([4, 4, 40], ["a", "b", "c"])
    assert extended["BlockSize"] == [16, 16, 16]


@pytest.mark.parametrize("settings", [{"BlockSize": "32,32,32"}, {"VoxelSize": "1,2"}, {"Nonsense": 1}, [1], 3])
def test_other_changes_of_settings_are_refused(volume: Labels, settings: object) -> None:
    before = volume.info()
    assert volume.request("POST", f"/api/node/{volume.node}/seg", settings).status_code == 400
    assert volume.info() == before


def test_only_a_post_to_an_instance_is_a_change_of_settings(volume: Labels) -> None:
    assert volume.request("GET", f"/api/node/{volume.node}/seg").status_code == 404
    assert volume.request("DELETE", f"/api/node/{volume.node}/seg").status_code == 404
    volume.make("keyvalue", "kv")
    assert volume.request("POST", f"/api/node/{volume.node}/kv", {}).status_code == 400
    assert volume.request("POST", f"/api/node/{volume.node}/nothing", {}).status_code in (400, 404)


def test_blocks_have_edges_of_multiples_of_8(volume: Labels) -> None:
    for edges in ("20,16,16", "16,16,4"):
        body = {"typename": "labelblk", "dataname": "other", "BlockSize": edges}
        assert volume.request("POST", f"/api/repo/{volume.node}/instance", body).status_code == 400


def test_a_labelblk_is_not_the_half_of_another_one(volume: Labels) -> None:
    volume.make("labelblk", "half", BlockSize="16,16,16")
    volume.make("labelvol", "bodies", BlockSize="16,16,16")
    assert volume.status("POST", "sync", {"sync": "bodies,half"}) == 400
    assert volume.info()["Base"]["Syncs"] == []
    volume.post("sync", {"sync": "bodies"})
    volume.post("sync", {"sync": ""})
    assert volume.info()["Base"]["Syncs"] == ["bodies"]
    volume.post("sync?replace=true", {"sync": ""})
    assert volume.info()["Base"]["Syncs"] == []


@pytest.mark.parametrize("typename", ["labelarray", "labelmap", "roi", "keyvalue"])
def test_a_labelblk_is_synced_with_labelvols_only(volume: Labels, typename: str) -> None:
    volume.make(typename, "other")
    reply = volume.ask("POST", "sync", {"sync": "other"})
    assert (reply.status_code, "'other' is a " + typename in reply.text) == (400, True)
    assert volume.info()["Base"]["Syncs"] == []


def test_metadata_tells_of_extents(volume: Labels) -> None:
    volume.write((0, 0, 16), stripes(CUBE, 1))
    found = volume.get("metadata")
    assert found.headers["content-type"] == "application/vnd.dvid-nd-data+json"
    assert [(axis["Offset"], axis["Size"]) for axis in found.json["Axes"]] == [(16, 16), (0, 16), (0, 16)]
    assert found.json["Properties"]["MinIndex"] == [1, 0, 0]
