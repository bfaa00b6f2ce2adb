"""labelvol: sparse volumes, and edits that show in the labelblk at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.conftest import TOKEN
from tests.datatypes.conftest import MakeInstance, box_path
from tests.datatypes.labelblk.conftest import stripes
from tests.datatypes.labelvol.conftest import Pair, points, volume_of

from dvid.codecs.sparsevols import encode_rles
from dvid.config import load_config
from dvid.database import Database
from dvid.http.app import create_app
from dvid.labels.index import Entries, change_index
from dvid.versions.edit import Edit
from dvid.versions.verify import verify

ROW = (8, 8, 32)


@pytest.fixture
def filled(pair: Pair) -> Pair:
    """Four blocks side by side of the labels 1, 2, 3 and 4."""
    pair.write((0, 0, 0), stripes(ROW, 1, 2, 3, 4))
    return pair


def box(x: range, y: range = range(8), z: range = range(8)) -> set[tuple[int, int, int]]:
    return {(i, j, k) for i in x for j in y for k in z}


# ---- which labelblk -----------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["seg", "bodies", "both"])
@pytest.mark.parametrize("late", [False, True])
def test_it_does_not_matter_from_which_side_or_when_they_are_synced(
    make_instance: MakeInstance, side: str, late: bool
) -> None:
    pair = make_instance("labelblk", "seg", kind=Pair, BlockSize="8,8,8")
    if late:
        pair.write((0, 0, 0), stripes(ROW, 1, 2))
    pair.make("labelvol", "bodies", BlockSize="8,8,8")
    for name, other in (("seg", "bodies"), ("bodies", "seg")):
        if side in (name, "both"):
            pair.post("sync", {"sync": other}, name=name)
    if not late:
        pair.write((0, 0, 0), stripes(ROW, 1, 2))
    assert pair.voxels_of(1) == box(range(16))


def test_without_a_labelblk_nothing_is_known(make_instance: MakeInstance) -> None:
    pair = make_instance("labelblk", "seg", kind=Pair, BlockSize="8,8,8")
    pair.make("labelvol", "bodies", BlockSize="8,8,8")
    for method, path in (("GET", "sparsevol/1"), ("GET", "maxlabel"), ("POST", "merge"), ("POST", "nextlabel")):
        reply = pair.bodies(method, path, [1, 2])
        assert reply.status_code == 400
        assert "sync" in reply.text
    assert pair.info(name="bodies")["Extended"]["MaxLabel"] == {}


def test_several_labelblks_or_other_blocks_are_refused(filled: Pair) -> None:
    filled.make("labelblk", "second", BlockSize="8,8,8")
    filled.post("sync", {"sync": "second"}, name="bodies")
    assert "several" in filled.bodies("GET", "sparsevol/1").text
    filled.make("labelvol", "wide", BlockSize="16,8,8")
    reply = filled.ask("POST", "sync", {"sync": "seg"}, name="wide")
    assert (reply.status_code, "the same" in reply.text) == (400, True)
    filled.post("sync", {"sync": "wide"})  # who names the other one makes no difference
    reply = filled.ask("GET", "sparsevol/1", name="wide")
    assert (reply.status_code, "the same" in reply.text) == (400, True)


@pytest.mark.parametrize("typename", ["labelarray", "labelmap", "labelvol", "roi", "keyvalue"])
def test_a_labelvol_is_synced_with_nothing_but_a_labelblk(filled: Pair, typename: str) -> None:
    filled.make(typename, "other")
    reply = filled.bodies("POST", "sync", {"sync": "seg,other"})
    assert (reply.status_code, "'other' is a " + typename in reply.text) == (400, True)
    assert filled.info(name="bodies")["Base"]["Syncs"] == ["seg"]


def test_two_labelvols_of_one_labelblk_answer_alike(filled: Pair) -> None:
    filled.make("labelvol", "more", BlockSize="8,8,8")
    filled.post("sync", {"sync": "seg"}, name="more")
    filled.post("merge", [1, 2], name="more")
    assert filled.voxels_of(1) == box(range(16))


def test_a_renamed_labelblk_is_found(filled: Pair) -> None:
    admin = {"Authorization": f"Bearer {TOKEN}"}
    reply = filled.request("POST", f"/api/repo/{filled.node}/instance/seg/rename", {"name": "labels"}, admin)
    assert reply.status_code == 200
    assert filled.voxels_of(2) == box(range(8, 16))


@pytest.mark.parametrize("apart", ["labelvol", "labelblk"])
def test_they_may_be_in_different_stores(tmp_path: Path, apart: str) -> None:
    config = tmp_path / "dvid.toml"
    config.write_text(
        '[store.main]\npath = "main"\n[store.other]\npath = "other"\n[backend.default]\nstore = "main"\n'
        f'[backend.{apart}]\nstore = "other"\n'
    )
    loaded = load_config(str(config), {}, environ={"DVID_ADMIN_TOKEN": TOKEN})
    with Database.from_config(loaded) as database:
        pair = Pair(database, create_app(database, loaded), "labelblk", "seg", BlockSize="8,8,8")
        pair.make("labelvol", "bodies", BlockSize="8,8,8")
        pair.post("sync", {"sync": "seg"}, name="bodies")
        pair.write((0, 0, 0), stripes(ROW, 1, 2, 3, 4))
        key = {"Idempotency-Key": "once"}
        for _ in range(2):
            reply = pair.request("POST", f"/api/node/{pair.node}/bodies/split/1", volume_of(box(range(4))), key)
            assert reply.json == {"label": 5}
        pair.edit("merge", [2, 3])
        assert np.array_equal(pair.read((0, 0, 0), ROW), stripes(ROW, 5, 1, 2, 2, 2, 2, 4, 4))
        assert pair.voxels_of(5) == box(range(4))
        assert list(pair.info(name="bodies")["Extended"]["MaxLabel"].values()) == [5]
        assert list(verify(database.store, others=database.others)) == []


# ---- sparse volumes -----------------------------------------------------------------------------


def test_sparse_volumes_follow_what_is_written(filled: Pair) -> None:
    assert filled.voxels_of(3) == box(range(16, 24))
    filled.write((0, 0, 16), np.full((8, 8, 8), 1, np.uint64), "?mutate=true")
    assert filled.voxels_of(3) == set()
    assert filled.voxels_of(1) == box(range(8)) | box(range(16, 24))


def test_bounds_cut_sparse_volumes(filled: Pair) -> None:
    assert filled.voxels_of(1, "?minx=3&maxz=4") == box(range(3, 8), z=range(5))
    assert filled.voxels_of(1, "?minx=3&exact=false") == box(range(8))
    assert filled.voxels_of(1, "?minx=8") == set()
    assert filled.bodies("HEAD", "sparsevol/1").status_code == 200
    assert filled.bodies("HEAD", "sparsevol/1?minx=8").status_code == 204
    assert filled.bodies("HEAD", "sparsevol/9").status_code == 204


def test_sparse_volumes_are_found_by_point_and_by_block(filled: Pair) -> None:
    assert points(filled.bodies("GET", "sparsevol-by-point/9_3_3").content) == box(range(8, 16))
    assert filled.bodies("GET", "sparsevol-by-point/9_3_30").status_code == 400
    assert filled.blocks_of(4) == {(3, 0, 0)}
    assert filled.bodies("GET", "sparsevol/9").status_code == 404
    assert filled.bodies("GET", "sparsevol-coarse/9").status_code == 404


def test_answers_of_a_committed_node_are_not_kept_by_clients(filled: Pair) -> None:
    filled.commit(filled.node)
    assert "etag" not in filled.bodies("GET", "sparsevol/1").headers
    assert "etag" in filled.get("label/1_1_1").headers


# ---- merging ------------------------------------------------------------------------------------


def test_a_merge_shows_in_the_labelblk_and_only_at_its_version(filled: Pair) -> None:
    filled.commit(filled.node)
    child = filled.child(filled.node)
    assert filled.edit("merge", [3, 1, 4], node=child)["MutationID"] > 0
    assert np.array_equal(filled.read((0, 0, 0), ROW, node=child), stripes(ROW, 3, 2, 3, 3))
    assert filled.voxels_of(3, node=child) == box(range(8)) | box(range(16, 32))
    assert filled.voxels_of(1, node=child) == set()
    assert np.array_equal(filled.read((0, 0, 0), ROW), stripes(ROW, 1, 2, 3, 4))
    assert filled.voxels_of(1) == box(range(8))


def test_a_label_that_was_merged_away_can_be_written_again(filled: Pair) -> None:
    filled.edit("merge", [1, 2])
    filled.write((0, 0, 24), np.full((8, 8, 8), 2, np.uint64))
    assert (filled.read((0, 0, 24), (8, 8, 8)) == 2).all()
    assert filled.voxels_of(2) == box(range(24, 32))
    assert filled.voxels_of(1) == box(range(16))


@pytest.mark.parametrize(
    "labels", [[1], [], [1, 9], [77, 1, 2], [1, 1], [1, 2, 2], [0, 1], [1, 0], [1, -1], ["x"], {"a": 1}]
)
def test_other_merges_are_refused_and_leave_no_trace(filled: Pair, labels: object) -> None:
    logged = filled.get("mutations").json
    assert filled.bodies("POST", "merge", labels).status_code == 400
    assert np.array_equal(filled.read((0, 0, 0), ROW), stripes(ROW, 1, 2, 3, 4))
    assert filled.voxels_of(2) == box(range(8, 16))
    assert filled.bodies("GET", "maxlabel").json == {"maxlabel": 4}
    assert filled.get("mutations").json == logged


def test_a_merge_tells_which_label_is_not_there(filled: Pair) -> None:
    assert filled.bodies("POST", "merge", [77, 1]).text == "merge: there is no label 77 at this version\n"


# ---- splitting ----------------------------------------------------------------------------------


def test_a_split_gives_voxels_a_new_label(filled: Pair) -> None:
    part = box(range(2, 7), range(1, 3))
    made = filled.edit("split/1", volume_of(part))["label"]
    assert made == 5
    assert (filled.voxels_of(5), filled.voxels_of(1)) == (part, box(range(8)) - part)
    assert filled.labels([[2, 1, 0], [1, 1, 0]]) == [5, 1]


def test_splits_follow_each_other_into_one_label(filled: Pair) -> None:
    filled.edit("merge", [1, 2])
    assert filled.edit("split-coarse/1?splitlabel=50", volume_of({(0, 0, 0)})) == {"label": 50}
    assert filled.edit("split/1?splitlabel=50", volume_of(box(range(8, 10)))) == {"label": 50}
    assert filled.voxels_of(50) == box(range(10))
    assert filled.voxels_of(1) == box(range(10, 16))
    assert filled.bodies("GET", "nextlabel").json == {"nextlabel": 51}


@pytest.mark.parametrize(
    ("path", "whole"), [("split", volume_of(box(range(8)))), ("split-coarse", volume_of({(0, 0, 0)}))]
)
@pytest.mark.parametrize("query", ["", "?splitlabel=9", "?splitlabel=2"])
def test_something_of_a_label_remains_of_every_split(filled: Pair, path: str, whole: bytes, query: str) -> None:
    reply = filled.bodies("POST", f"{path}/1{query}", whole)
    assert (reply.status_code, "nothing would remain of it" in reply.text) == (400, True)
    filled.edit("merge", [1, 2])
    assert filled.bodies("DELETE", "area/1/8_8_8/8_0_0").status_code == 200  # what it leaves out remains, too
    assert filled.edit(f"{path}/1{query}", whole) == {"label": 5 if not query else int(query[-1])}
    assert (filled.read((0, 0, 8), (8, 8, 8)) == 1).all()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("split/1", volume_of(box(range(6, 10)))),  # of two labels
        ("split/1", volume_of({(100, 0, 0)})),  # where no block is
        ("split/1", volume_of(set())),
        ("split/9", volume_of({(0, 0, 0)})),
        ("split/0", volume_of({(0, 0, 0)})),
        ("split/1?splitlabel=1", volume_of({(0, 0, 0)})),
        ("split/1?splitlabel=18446744073709551615", volume_of({(0, 0, 0)})),
        ("split/1", volume_of(box(range(8)))),  # all of it
        ("split-coarse/1", volume_of({(0, 0, 0)})),
        ("split/1", b"no sparse volume"),
        ("split/1", b""),
        ("split-coarse/1", volume_of({(0, 0, 0), (1, 0, 0)})),
        ("split-coarse/1", volume_of({(0, 1, 0)})),
        ("split-coarse/1", volume_of(set())),
    ],
)
def test_other_splits_are_refused_and_leave_no_trace(filled: Pair, path: str, body: bytes) -> None:
    before, logged = filled.bodies("GET", "nextlabel").json, filled.get("mutations").json
    assert filled.bodies("POST", path, body).status_code == 400
    assert filled.get("mutations").json == logged
    assert np.array_equal(filled.read((0, 0, 0), ROW), stripes(ROW, 1, 2, 3, 4))
    assert filled.bodies("GET", "nextlabel").json == before


def test_committed_nodes_are_not_edited(filled: Pair) -> None:
    filled.commit(filled.node)
    for path, body in (("merge", [1, 2]), ("split/1", volume_of({(0, 0, 0)})), ("nextlabel", {"needed": 1})):
        assert filled.bodies("POST", path, body).status_code == 400


# ---- area and resync ----------------------------------------------------------------------------


def test_an_area_is_left_out_of_the_sparse_volume_until_resync(filled: Pair) -> None:
    filled.edit("merge", [1, 2, 3])
    assert filled.bodies("DELETE", "area/1/16_8_8/8_0_0").status_code == 200
    assert filled.voxels_of(1) == box(range(8))
    assert filled.blocks_of(1) == {(0, 0, 0)}
    assert np.array_equal(filled.read((0, 0, 0), ROW), stripes(ROW, 1, 1, 1, 4))  # the labelblk keeps its voxels
    assert filled.edit("resync/1", volume_of({(2, 0, 0)})) == {"Blocks": 3, "Mended": 0, "Restored": 1}
    assert filled.voxels_of(1) == box(range(8)) | box(range(16, 24))
    assert filled.edit("resync/1", b"")["Restored"] == 1
    assert filled.voxels_of(1) == box(range(24))


def test_an_area_belongs_to_its_version(filled: Pair) -> None:
    filled.commit(filled.node)
    child = filled.child(filled.node)
    assert filled.bodies("DELETE", "area/1/8_8_8/0_0_0", node=child).status_code == 200
    assert filled.bodies("GET", "sparsevol/1", node=child).status_code == 404
    assert filled.bodies("HEAD", "sparsevol/1", node=child).status_code == 204
    assert filled.voxels_of(1) == box(range(8))
    filled.edit("merge", [2, 1], node=child)
    assert filled.voxels_of(2, node=child) == box(range(16))


def test_what_was_left_out_of_a_label_is_forgotten_with_it(filled: Pair) -> None:
    assert filled.bodies("DELETE", "area/1/8_8_8/0_0_0").status_code == 200
    filled.edit("merge", [2, 1])
    filled.write((0, 0, 0), np.full((8, 8, 8), 1, np.uint64))
    assert filled.voxels_of(1) == box(range(8))


@pytest.mark.parametrize("path", ["area/0/8_8_8/0_0_0", "area/1/8_8/0_0_0", "area/1/9_8_8/0_0_0", "area/1/8_8_8/1_0_0"])
def test_other_areas_are_refused(filled: Pair, path: str) -> None:
    assert filled.bodies("DELETE", path).status_code == 400
    assert filled.voxels_of(1) == box(range(8))


def test_resync_mends_an_index_that_does_not_fit_the_voxels(filled: Pair) -> None:
    def damage(edit: Edit) -> None:
        blocks = np.array([[0, 0, 1], [0, 0, 2], [5, 5, 5]], np.int64)
        change_index(edit, Entries(np.array([2, 2, 2], np.uint64), blocks, np.array([-512, 7, 3])))

    filled.database.edit(filled.node, "seg", damage)
    assert filled.voxels_of(2) == set()
    assert filled.blocks_of(2) == {(2, 0, 0), (5, 5, 5)}
    assert filled.edit("resync/2", volume_of({(1, 0, 0)}))["Mended"] == 3
    assert filled.voxels_of(2) == box(range(8, 16))
    assert filled.blocks_of(2) == {(1, 0, 0)}
    assert filled.edit("resync/2", volume_of({(1, 0, 0)}))["Mended"] == 0
    assert filled.bodies("POST", "resync/2", b"nothing").status_code == 400
    everywhere = encode_rles(
        np.array([(-(2**31), 0, 0, 2**31 - 1), (-1, 0, 0, 2**31 - 1), (2**31 - 1, 5, 0, 1)], np.int32)
    )
    assert filled.edit("resync/2", everywhere) == {"Blocks": 4, "Mended": 0, "Restored": 0}


# ---- labels and the log -------------------------------------------------------------------------


def test_new_labels_are_given_out_once(filled: Pair) -> None:
    assert filled.bodies("GET", "maxlabel").json == {"maxlabel": 4}
    assert filled.edit("nextlabel", {"needed": 3}) == {"start": 5, "end": 7}
    assert filled.edit("split/1", volume_of({(0, 0, 0)})) == {"label": 8}
    assert list(filled.info(name="bodies")["Extended"]["MaxLabel"].values()) == [8]
    for body in ({"needed": 0}, {"needed": "x"}, {}, [1], {"needed": 2**63}, {"needed": 1, "a": 2}):
        assert filled.bodies("POST", "nextlabel", body).status_code == 400


def test_the_log_tells_of_edits_through_either_door(filled: Pair) -> None:
    mutation = filled.edit("merge", [1, 2])["MutationID"]
    filled.edit("split/1", volume_of({(0, 0, 0)}))
    logged = filled.bodies("GET", "mutations").json
    assert logged == filled.get("mutations").json
    merged, divided = logged[-2:]
    assert (merged["Action"], merged["Target"], merged["Labels"], merged["MutationID"]) == (
        "merge-complete",
        1,
        [2],
        mutation,
    )
    assert (divided["Action"], divided["Target"], divided["NewLabel"], divided["SplitSize"]) == (
        "split-complete",
        1,
        5,
        1,
    )
    assert filled.bodies("GET", f"blobstore/{divided['Split']}").content == volume_of({(0, 0, 0)})[12:]


def test_settings_of_the_labelvol_are_its_own(filled: Pair) -> None:
    assert filled.request("POST", f"/api/node/{filled.node}/bodies", {"VoxelSize": "4,4,40"}).status_code == 200
    assert filled.info(name="bodies")["Extended"]["VoxelSize"] == [4, 4, 40]
    assert filled.info()["Extended"]["VoxelSize"] == [8, 8, 8]
    assert filled.bodies("POST", "info", {"BlockSize": "16,16,16"}).status_code == 400


def test_large_sparse_volumes_are_the_same_in_one_piece_and_in_many(filled: Pair) -> None:
    voxels = filled.random((32, 64, 64), highest=3)
    filled.write((0, 0, 0), voxels)
    rles = filled.bodies("GET", "sparsevol/1").content
    assert rles[12:] == filled.bodies("GET", "sparsevol/1?format=srles").content
    assert len(points(rles)) == int((voxels == 1).sum())
    data = filled.get(box_path("raw/0_1_2", (0, 0, 0), (32, 64, 64))).content
    assert data == voxels.tobytes()
