"""labelarray: labels are what was written, merged and split; nobody sees supervoxels."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from tests.datatypes.labelarray.conftest import Labels, MakeLabels, points_of, sparse

from dvid.datatypes.base import datatype

SHAPE = (16, 16, 48)


def column(z: int = 0, y: int = 0, first: int = 0, stop: int = 12) -> np.ndarray:
    """Voxels along x."""
    return np.array([(z, y, x) for x in range(first, stop)])


# ---- merges -------------------------------------------------------------------------------------


def test_a_merge_shows_wherever_labels_are_read(labels: Labels) -> None:
    expected = labels.read((0, 0, 0), SHAPE).copy()
    expected[expected == 2] = 4
    labels.post("merge", [4, 2])
    np.testing.assert_array_equal(labels.read((0, 0, 0), SHAPE), expected)
    assert labels.get("label/13_0_0").json == {"Label": 4}
    assert labels.ask("GET", "labels", [[0, 0, 0], [13, 0, 0], [25, 0, 0], [99, 0, 0]]).json == [1, 4, 3, 0]
    np.testing.assert_array_equal(labels.points(4), np.argwhere(expected == 4))
    np.testing.assert_array_equal(labels.points(4, "sparsevol-coarse"), [(0, 0, 0), (0, 0, 1), (0, 0, 2)])
    assert labels.status("GET", "sparsevol/2") == 404
    assert labels.status("HEAD", "sparsevol/2") == 204


def test_a_merged_label_that_is_written_again_is_itself(labels: Labels) -> None:
    labels.post("merge", [1, 2])
    expected = labels.read((0, 0, 0), SHAPE).copy()
    for start in (0, 16):  # the first time the label is to be made, the second time it is there
        again = np.full((16, 16, 16), 2, np.uint64)
        again[:8] = 3
        labels.write((0, 0, start), again, "?mutate=true")
        expected[:, :, start : start + 16] = again
        np.testing.assert_array_equal(labels.read((0, 0, 0), SHAPE), expected)
        for label in (1, 2, 3, 4):
            where = np.argwhere(expected == label)
            if len(where):
                np.testing.assert_array_equal(labels.points(label), where)
    labels.post("merge", [2, 3, 4])
    expected[expected > 2] = 2
    np.testing.assert_array_equal(labels.read((0, 0, 0), SHAPE), expected)


def test_blocks_that_are_posted_after_a_merge_come_back_as_they_were(labels: Labels) -> None:
    sent = labels.get("blocks/48_16_16/0_0_0?compression=blocks").content
    before = labels.read((0, 0, 0), SHAPE)
    labels.post("merge", [3, 2, 1])
    labels.post("blocks", sent)
    np.testing.assert_array_equal(labels.read((0, 0, 0), SHAPE), before)
    for label in (1, 2, 3, 4):
        np.testing.assert_array_equal(labels.points(label), np.argwhere(before == label))


def test_a_merge_is_taken_back(labels: Labels) -> None:
    before = labels.read((0, 0, 0), SHAPE)
    labels.post("merge", [1, 2, 3])
    assert labels.post("undo", None).json["UndoneAction"] == "merge-complete"
    np.testing.assert_array_equal(labels.read((0, 0, 0), SHAPE), before)


@pytest.mark.parametrize("body", [[1], [], [1, 1], [1, 99], [99, 1], [0, 1], [1, 0], "x", {"a": 1}])
def test_a_merge_of_what_is_not_there_leaves_no_trace(labels: Labels, body: Any) -> None:
    before = labels.stored()
    assert labels.status("POST", "merge", body) == 400
    assert labels.stored() == before


# ---- splits -------------------------------------------------------------------------------------


def test_voxels_are_split_off(labels: Labels) -> None:
    labels.post("merge", [1, 2])
    expected = labels.read((0, 0, 0), SHAPE).copy()
    where = np.concatenate((column(3, 5, 2, 20), column(15, 15, 16, 20)))
    new = labels.split(1, where)
    assert new == 5 == labels.maxlabel()
    expected[tuple(where.T)] = new
    np.testing.assert_array_equal(labels.read((0, 0, 0), SHAPE), expected)
    for label in (1, new):
        np.testing.assert_array_equal(labels.points(label), np.argwhere(expected == label))


def test_blocks_are_split_off(labels: Labels) -> None:
    labels.post("merge", [3, 1, 2])
    expected = labels.read((0, 0, 0), SHAPE).copy()
    new = labels.split_coarse(3, np.array([(0, 0, 0), (0, 0, 2)]))
    part = expected[:, :, np.r_[0:16, 32:48]]
    part[part == 3] = new
    expected[:, :, np.r_[0:16, 32:48]] = part
    np.testing.assert_array_equal(labels.read((0, 0, 0), SHAPE), expected)
    for label in (3, new):
        np.testing.assert_array_equal(labels.points(label), np.argwhere(expected == label))
    np.testing.assert_array_equal(labels.points(3, "sparsevol-coarse"), [(0, 0, 1)])


def test_a_split_goes_to_the_label_that_is_named(labels: Labels) -> None:
    assert labels.split(1, column(), "?splitlabel=70") == 70
    assert labels.split(1, column(1), "?splitlabel=70") == 70
    assert len(labels.points(70)) == 24
    assert labels.maxlabel() == 70
    assert labels.split(2, column(0, 0, 12, 14), "?splitlabel=3") == 3
    assert len(labels.points(3)) == 16 * 16 * 12 + 2
    labels.post("merge", [1, 3])
    assert labels.split(2, column(1, 0, 12, 15), "?splitlabel=3") == 3  # merged away, it is a label again
    np.testing.assert_array_equal(labels.points(3), column(1, 0, 12, 15))
    assert labels.split_coarse(1, np.array([(0, 0, 1)]), "?splitlabel=3") == 3
    assert labels.read((0, 0, 0), SHAPE)[0, 0, 12] == 1


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("split/1", column(0, 0, 0, 13)),  # one voxel of label 2
        ("split/1", column(0, 16, 0, 1)),  # never written
        ("split/1", column(-1, -1, -5, -1)),
        ("split/1", np.argwhere(np.ones((16, 16, 12)))),  # all of it
        ("split/1", np.empty((0, 3), int)),
        ("split/99", column()),
        ("split/0", column()),
        ("split/x", column()),
        ("split/18446744073709551615", column()),
        ("split/1?splitlabel=1", column()),
        ("split/1?splitlabel=x", column()),
        ("split/1?splitlabel=18446744073709551615", column()),
        ("split-coarse/2", np.array([(0, 0, 0), (0, 0, 1), (0, 0, 2)])),  # not in the last
        ("split-coarse/2", np.array([(0, 0, 2)])),
        ("split-coarse/2", np.array([(0, 0, 0), (0, 0, 1)])),  # all of it
        ("split-coarse/2", np.array([(0, -1, 0)])),
        ("split-coarse/2", np.empty((0, 3), int)),
        ("split-coarse/99", np.array([(0, 0, 0)])),
        ("split-coarse/2?splitlabel=2", np.array([(0, 0, 0)])),
    ],
)
def test_what_is_no_part_of_the_label_is_refused_without_a_trace(labels: Labels, path: str, where: np.ndarray) -> None:
    before = labels.stored()
    assert labels.status("POST", path, sparse(where)) == 400
    assert labels.stored() == before


@pytest.mark.parametrize("body", [b"", b"x", struct.pack("<BBBBIIiiii", 0, 3, 0, 0, 0, 1, 0, 0, 0, 2**31 - 1)])
@pytest.mark.parametrize("path", ["split/1", "split-coarse/1"])
def test_bytes_that_are_no_part_are_refused_before_memory_is_taken(labels: Labels, path: str, body: bytes) -> None:
    before = labels.stored()
    assert labels.status("POST", path, body) in (400, 413)
    assert labels.stored() == before


def test_voxels_of_label_0_are_no_part_of_a_label(make_labels: MakeLabels) -> None:
    made = make_labels()
    voxels = np.zeros((16, 16, 16), np.uint64)
    voxels[:8] = 6
    made.write((0, 0, 0), voxels)
    assert made.status("POST", "split/6", sparse(column(7))) == 200
    reply = made.ask("POST", "split/6", sparse(np.concatenate((column(6), column(8)))))
    assert reply.status_code == 400
    assert "label 0" in reply.text


def test_splits_are_logged(labels: Labels) -> None:
    new = labels.split(1, column())
    with labels.database.view(labels.node, "seg") as view:
        event = json.loads(list(view.events())[-1])
        assert view.blob(event["Split"]) == sparse(column())[12:]
    told = {"Target": 1, "NewLabel": new, "SplitSize": 12, "RemainSize": 16 * 16 * 12 - 12}
    assert event["Action"] == "split-complete"
    assert {name: event[name] for name in told} == told
    labels.split_coarse(2, np.array([(0, 0, 0)]))
    with labels.database.view(labels.node, "seg") as view:
        assert json.loads(list(view.events())[-1])["Action"] == "splitcoarse-complete"


# ---- lower resolutions --------------------------------------------------------------------------


def test_lower_resolutions_follow_splits(make_labels: MakeLabels) -> None:
    made = make_labels(MaxDownresLevel="1")
    made.write((0, 0, 0), np.full((16, 16, 32), 8, np.uint64))
    new = made.split(8, np.argwhere(np.ones((2, 16, 32))))
    half = np.frombuffer(made.get("raw/0_1_2/16_8_8/0_0_0?scale=1").content, np.uint64).reshape(8, 8, 16)
    assert (half[0] == new).all()
    assert (half[1:] == 8).all()
    coarse = made.split_coarse(8, np.array([(0, 0, 1)]))
    half = np.frombuffer(made.get("raw/0_1_2/16_8_8/0_0_0?scale=1").content, np.uint64).reshape(8, 8, 16)
    assert (half[1:, :, 8:] == coarse).all()
    np.testing.assert_array_equal(points_of(made.get(f"sparsevol/{new}?scale=1").content), np.argwhere(half == new))


# ---- sizes and numbers --------------------------------------------------------------------------


def test_the_size_of_a_label_is_told_in_blocks(labels: Labels) -> None:
    reply = labels.get("sparsevol-size/2")
    assert reply.text == '{"numblocks": 2, "minvoxel": [0, 0, 0], "maxvoxel": [31, 15, 15]}'
    assert reply.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("path", ["sparsevol-size/99", "sparsevol/99", "sparsevol-coarse/99"])
def test_a_label_that_is_not_there_is_not_found(labels: Labels, path: str) -> None:
    assert labels.status("GET", path) == 404


@pytest.mark.parametrize("query", ["", "format=srles&", "format=blocks&", "compression=gzip&"])
def test_a_label_without_voxels_within_bounds_is_not_found(labels: Labels, query: str) -> None:
    assert labels.status("GET", f"sparsevol/1?{query}minx=16") == 404
    assert labels.status("GET", f"sparsevol-by-point/0_0_0?{query}minx=16") == 404
    assert labels.status("GET", f"sparsevol/1?{query}minx=11") == 200
    if "blocks" not in query:
        assert labels.status("GET", f"sparsevol/1?{query}minx=12") == 404
        assert labels.status("GET", f"sparsevol/1?{query}minx=12&exact=false") == 200
    assert labels.status("GET", "sparsevol-coarse/1?minx=16") == 404


def test_the_largest_label_lasts_in_new_versions(labels: Labels) -> None:
    new = labels.split(1, column(), "?splitlabel=1000")
    labels.commit(labels.node)
    child = labels.child(labels.node)
    assert labels.maxlabel(node=child) == new == 1000
    assert labels.split(1, column(1), node=child) == 1001
    assert labels.maxlabel(node=child) == 1001
    assert labels.maxlabel() == 1000


def test_new_labels_are_given_out(labels: Labels) -> None:
    assert labels.get("nextlabel").text == '{"nextlabel": 5}'
    assert labels.post("nextlabel", {"needed": 3}).text == '{"start": 5, "end": 7}'
    assert labels.post("nextlabel", {"needed": 1}).text == '{"start": 8, "end": 8}'
    assert labels.split(1, column()) == 9


@pytest.mark.parametrize(
    "body", ["", "x", {}, {"needed": 0}, {"needed": -1}, {"needed": 2**63}, {"needed": 1, "a": 2}, [5]]
)
def test_numbers_of_new_labels_that_make_no_sense_are_refused(labels: Labels, body: Any) -> None:
    assert labels.status("POST", "nextlabel", body) == 400
    assert labels.get("nextlabel").json == {"nextlabel": 5}


@pytest.mark.parametrize("label", [2**63 + 5, 2**64 - 2])
def test_labels_are_64_bits_wide(make_labels: MakeLabels, label: int) -> None:
    made = make_labels()
    voxels = np.full((16, 16, 16), label, np.uint64)
    voxels[0] = 1
    made.write((-16, -16, -16), voxels)
    first = np.array((-15, -16, -16))
    assert made.split(label, first + np.argwhere(np.ones((1, 1, 5))), "?splitlabel=2") == 2
    made.post("merge", [label, 1])
    voxels[0], voxels[1, 0, :5] = label, 2
    np.testing.assert_array_equal(made.read((-16, -16, -16), (16, 16, 16)), voxels)


# ---- what there is ------------------------------------------------------------------------------


def test_supervoxels_are_not_to_be_seen(labels: Labels) -> None:
    labels.post("merge", [1, 2])
    assert labels.status("GET", "raw/0_1_2/16_16_16/0_0_0?supervoxels=true") == 400
    options = {option.name for route in datatype("labelarray").routes for option in route.options}
    assert "supervoxels" not in options
    for path in ("supervoxels/1", "mapping", "mappings", "index/1", "supervoxel-splits"):
        assert labels.status("GET", path) == 400
    for path in ("cleave/1", "renumber", "split-supervoxel/1", "mappings", "index/1"):
        assert labels.status("POST", path, [2]) == 400


def test_without_an_index_only_voxels_are_served(make_labels: MakeLabels) -> None:
    made = make_labels(IndexedLabels="false")
    made.write((0, 0, 0), np.full((16, 16, 16), 3, np.uint64))
    assert (made.read((0, 0, 0), (16, 16, 16)) == 3).all()
    for path in ("sparsevol/3", "sparsevol-size/3", "sparsevol-coarse/3", "maxlabel", "nextlabel"):
        assert made.status("GET", path) == 400, path
    assert made.status("POST", "merge", [3, 4]) == 400
    assert made.status("POST", "split/3", sparse(column())) == 400
    assert made.status("POST", "split-coarse/3", sparse(np.array([(0, 0, 0)]))) == 400


def test_infos_say_what_the_settings_are(labels: Labels) -> None:
    extended = labels.info()["Extended"]
    assert extended["CountLabels"] is True
    assert extended["IndexedLabels"] is True
    assert extended["Values"] == [{"DataType": "uint64", "Label": "labelarray"}]
    assert list(extended["MaxLabel"].values()) == [4]
    assert extended["MaxRepoLabel"] == 4
    labels.post("info", {"MaxDownresLevel": "2"})
    assert labels.info()["Extended"]["MaxDownresLevel"] == 2
    assert labels.status("POST", "info", {"IndexedLabels": "false"}) == 400


def test_blocks_are_made_of_sub_blocks(make_labels: MakeLabels) -> None:
    made = make_labels(BlockSize="8,24,16")
    voxels = made.random((16, 24, 16))
    made.write((0, 0, 0), voxels)
    np.testing.assert_array_equal(made.read((0, 0, 0), voxels.shape), voxels)
    body = {"typename": "labelarray", "dataname": "wrong", "BlockSize": "12,16,16"}
    reply = made.request("POST", f"/api/repo/{made.node}/instance", body)
    assert reply.status_code == 400
    assert "multiples of 8" in reply.text
