"""Requests for the shapes of labels."""

import json

import numpy as np
import pytest
from tests.codecs.test_nanovdb import Reader

HIGHEST = 2**64 - 2


@pytest.fixture(scope="module")
def written(make_segmentation):
    """Supervoxels around the origin in blocks of 32^3, with a lower resolution; 20 and 30 are one body."""
    made = make_segmentation(BlockSize="32,32,32", VoxelSize="4,8,40", MaxDownresLevel="1")
    voxels = np.zeros((64, 64, 64), np.uint64)
    grid = np.indices(voxels.shape) - 32
    voxels[(grid**2).sum(0) < 300] = 10
    voxels[20:40, 3:6, 1:60] = 20
    voxels[2, 40:60, 30:34] = 30
    voxels[60, 60, 60] = HIGHEST
    voxels[40, 40, 40] = 40  # inside of 10: too small to be seen at the lower resolution
    made.write((-32, -32, -32), voxels)
    made.post("merge", [20, 30])
    return made


def active(reply):
    """The voxels of a grid (z, y, x), sorted, and its reader."""
    reader = Reader(reply.content)
    assert int(reply.headers["content-length"]) == len(reply.content)
    return np.array(sorted(voxel[::-1] for voxel in reader.walk())), reader


def voxels_at(made, label, scale=0, supervoxels=False):
    start = -32 >> scale
    edge = 64 >> scale
    query = f"?scale={scale}&supervoxels={supervoxels}"
    data = made.get(f"raw/0_1_2/{edge}_{edge}_{edge}/{start}_{start}_{start}{query}").content
    return np.argwhere(np.frombuffer(data, "<u8").reshape(edge, edge, edge) == label) + start


# ---- fvdb ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [10, 20, 40, HIGHEST])
def test_the_grid_of_a_body_has_its_voxels(written, label):
    found, reader = active(written.get(f"fvdb/{label}"))
    assert found.tolist() == voxels_at(written, label).tolist()
    assert reader.name == f"label_{label}\0".encode()
    assert reader.at("<3d", 608) == (4.0, 8.0, 40.0)


def test_the_grid_of_a_supervoxel_has_its_voxels_alone(written):
    for label in (20, 30):
        found, _ = active(written.get(f"fvdb/{label}?supervoxels=true"))
        assert found.tolist() == voxels_at(written, label, supervoxels=True).tolist()
    assert written.status("GET", "fvdb/30") == 404


@pytest.mark.parametrize("label", [10, 20, HIGHEST])
def test_the_grid_of_a_lower_resolution_has_larger_voxels(written, label):
    found, reader = active(written.get(f"fvdb/{label}?scale=1"))
    assert found.tolist() == voxels_at(written, label, 1).tolist()
    assert reader.at("<3d", 608) == (8.0, 16.0, 80.0)


def test_a_grid_can_have_a_name(written):
    reply = written.get("fvdb/10?name=dendrite%20%C3%BC")
    assert active(reply)[1].name == "dendrite ü\0".encode()
    assert reply.headers["content-disposition"] == 'attachment; filename="label_10.nvdb"'
    assert active(written.get("fvdb/10?name="))[1].name == b"label_10\0"
    assert active(written.get("fvdb/10?name=" + "n" * 255))[1].name == b"n" * 255 + b"\0"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("fvdb/99", 404),
        ("fvdb/99?supervoxels=true", 404),
        ("fvdb/40?scale=1", 404),
        ("fvdb/0", 400),
        ("fvdb/x", 400),
        ("fvdb/10?scale=2", 400),
        ("fvdb/10?scale=-1", 400),
        ("fvdb/10?name=" + "n" * 256, 400),
        ("fvdb/10?name=" + "%C3%BC" * 128, 400),
        ("fvdb/10?name=a%00b", 400),
    ],
)
def test_a_grid_that_cannot_be_is_refused(written, path, status):
    assert written.status("GET", path) == status


def test_a_grid_of_many_parts_has_all_voxels(make_segmentation):
    made = make_segmentation(BlockSize="16,16,16")
    voxels = np.zeros((112, 112, 112), np.uint64)
    voxels[3::9, 5::7, :] = 7
    voxels[:, 100, 50:60] = 7
    made.write((-48, -48, -48), voxels)
    found, _ = active(made.get("fvdb/7"))
    assert found.tolist() == (np.argwhere(voxels == 7) - 48).tolist()


def test_a_grid_above_the_limit_is_refused_before_it_is_made(make_segmentation):
    voxels = np.zeros((64, 64, 64), np.uint64)
    voxels[:8] = 1
    voxels[::8, ::8, ::8] = 2
    made = make_segmentation(BlockSize="32,32,32", limits={"limits.answerBytes": 350_000})
    made.write((0, 0, 0), voxels)
    assert len(made.get("fvdb/1").content) <= 350_000
    refused = made.ask("GET", "fvdb/2")
    assert refused.status_code == 413
    assert "limits.answerBytes" in refused.text
    # Leaves alone would fit, but not with the nodes above them.
    tight = make_segmentation(BlockSize="32,32,32", limits={"limits.answerBytes": 300_000})
    tight.write((0, 0, 0), voxels)
    assert tight.status("GET", "fvdb/1") == 413


def test_shapes_need_an_index(make_segmentation):
    made = make_segmentation(BlockSize="32,32,32", IndexedLabels="false")
    made.write((0, 0, 0), np.ones((32, 32, 32), np.uint64))
    for path in ("fvdb/1", "proximity/1,2"):
        refused = made.ask("GET", path)
        assert refused.status_code == 400
        assert "IndexedLabels" in refused.text


# ---- proximity ----------------------------------------------------------------------------------


def near(made, labels, scale=0):
    """What is to be told of bodies, from a look at all pairs of voxels in each block."""
    blocks = {}
    for label in labels:
        for voxel in voxels_at(made, label, scale):
            blocks.setdefault(tuple((voxel // 32).tolist()), {}).setdefault(label, []).append(voxel)
    target, *others = labels
    told = []
    for block in sorted(blocks):
        held = blocks[block]
        for other in others:
            if target in held and other in held:
                squares = ((np.array(held[target])[:, None] - np.array(held[other])) ** 2).sum(2)
                named = {"Label": other} if len(others) > 1 else {}
                told.append({"Block": list(block[::-1]), **named, "Distance": float(np.sqrt(squares.min()))})
    return told


@pytest.mark.parametrize("labels", [(20, 10), (10, 20), (10, 40), (HIGHEST, 10), (20, HIGHEST, 10, 40), (40, HIGHEST)])
def test_distances_are_those_of_all_pairs_in_each_block(written, labels):
    reply = written.get(f"proximity/{','.join(map(str, labels))}")
    assert reply.headers["content-type"] == "application/json"
    assert reply.json == near(written, labels)


def test_distances_of_a_lower_resolution_are_in_its_voxels(written):
    assert written.get("proximity/10,20,40?scale=1").json == near(written, (10, 20, 40), 1)


def test_distances_of_supervoxels(written):
    assert written.get("proximity/20,30?supervoxels=true").json == []
    assert written.get("proximity/10,20?supervoxels=true").json != []
    assert written.status("GET", "proximity/10,30") == 404


def test_a_second_label_may_stand_in_a_part_of_the_path_of_its_own(written):
    assert written.get("proximity/10/20").json == written.get("proximity/10,20").json
    assert written.get("proximity/10,40/20").json == written.get("proximity/10,40,20").json


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("10", 400),
        ("10,10", 400),
        ("10/10", 400),
        ("10,20,20", 400),
        ("10,20/20", 400),
        ("0,10", 400),
        ("10,0", 400),
        ("10/0", 400),
        ("10,", 400),
        (",10", 400),
        ("10,x", 400),
        ("10,20?scale=2", 400),
        ("10,99", 404),
        ("99,10", 404),
        ("10/99", 404),
        (",".join(map(str, range(10, 110))), 404),
        (",".join(map(str, range(10, 111))), 400),
        (",".join(map(str, range(10, 110))) + "/110", 400),
    ],
)
def test_labels_that_cannot_be_compared_are_refused(written, path, status):
    assert written.status("GET", f"proximity/{path}") == status


def test_what_is_told_of_a_committed_version_stays(make_segmentation):
    made = make_segmentation(BlockSize="32,32,32")
    voxels = np.zeros((32, 32, 32), np.uint64)
    voxels[0, 0, 0], voxels[0, 3, 4], voxels[9, 9, 9] = 1, 2, 3
    made.write((0, 0, 0), voxels)
    made.commit(made.node)
    child = made.child(made.node)
    made.post("merge", [1, 3], node=child)
    made.post("merge", [2, 1], node=child)
    told = made.get("proximity/1,2")
    assert told.json == [{"Block": [0, 0, 0], "Distance": 5.0}]
    assert told.headers["etag"]
    assert made.get("fvdb/1").headers["etag"]
    assert made.status("GET", "proximity/1,2", node=child) == 404
    assert len(active(made.get("fvdb/2", node=child))[0]) == 3
    assert len(active(made.get("fvdb/1"))[0]) == 1


def test_a_list_of_many_blocks_is_one_document(make_segmentation):
    made = make_segmentation(BlockSize="16,16,16")
    voxels = np.zeros((16, 16, 16 * 1100), np.uint64)
    voxels[0, 0, ::16] = 1
    voxels[0, 0, 2::16] = 2
    made.write((0, 0, 0), voxels)
    told = json.loads(made.get("proximity/1,2").content)
    assert told == [{"Block": [x, 0, 0], "Distance": 2.0} for x in range(1100)]
