"""Requests that ask to which bodies supervoxels belong, and that map them."""

import json

import numpy as np
import pytest
from tests.datatypes.labelmap.messages import mapping_ops

from dvid.labels.tables import SPLIT, SPLITS


def test_supervoxels_are_mapped_to_their_bodies(segmentation):
    asked = [20, 10, 30, 10, 99, 0]
    assert segmentation.ask("GET", "mapping", asked).json == [20, 10, 30, 10, 0, 0]
    segmentation.post("merge", [30, 10, 20])
    assert segmentation.ask("GET", "mapping", asked).json == [30, 30, 30, 30, 0, 0]
    assert segmentation.get("mappings").text == "10 30\n20 30\n"
    cleaved = segmentation.post("cleave/30", [30, 10]).json["CleavedLabel"]
    assert segmentation.ask("GET", "mapping", [*asked, cleaved]).json == [30, cleaved, cleaved, cleaved, 0, 0, 0]
    segmentation.post("renumber", [77, cleaved])
    assert segmentation.ask("GET", "mapping", [10, cleaved, 77, 20]).json == [77, 0, 0, 30]
    lines = [line.split(" ") for line in segmentation.get("mappings").text.splitlines()]
    assert lines == sorted(lines, key=lambda pair: int(pair[0]))
    assert ["10", "77"] in lines
    assert [str(cleaved), "0"] in lines


def test_without_a_look_up_what_is_not_mapped_is_its_own_body(segmentation):
    segmentation.post("merge", [30, 10])
    assert segmentation.ask("GET", "mapping?nolookup=true", [10, 30, 99]).json == [30, 30, 99]


def test_mappings_come_as_text_and_as_numbers(make_segmentation):
    many = make_segmentation()
    supervoxels = list(range(1, 40_000, 3))
    many.post("mappings", mapping_ops((2**64 - 2, supervoxels)))
    pairs = [[supervoxel, 2**64 - 2] for supervoxel in supervoxels]
    assert np.frombuffer(many.get("mappings?format=binary").content, "<u8").reshape(-1, 2).tolist() == pairs
    assert many.get("mappings").text == "".join(f"{a} {b}\n" for a, b in pairs)


def test_there_are_no_mappings_where_nothing_was_mapped(segmentation):
    assert segmentation.get("mappings").content == b""
    assert segmentation.get("mappings?format=binary").content == b""
    assert segmentation.get("map-stats").json == {
        "seg": {"MapEntries": 0, "MapSize": "0 B", "NumVersions": 0, "MaxVersion": 0}
    }


def test_posted_mappings_map_and_change_neither_sizes_nor_lists(segmentation):
    segmentation.post("mappings", mapping_ops((10, [20, 30]), (30, [30])))
    assert segmentation.ask("GET", "mapping", [10, 20, 30]).json == [10, 10, 30]
    assert segmentation.get("mappings").text == "20 10\n"
    assert segmentation.get("existing-labels").json == [10, 20, 30]
    assert segmentation.get("size/20").json == {"voxels": 16}


def test_of_mappings_in_one_request_the_last_counts(segmentation):
    segmentation.post("mappings", mapping_ops((10, [20]), (30, [20, 10]), (10, [10])))
    assert segmentation.get("mappings").text == "20 30\n"


def test_mappings_belong_to_their_version(segmentation):
    root = segmentation.node
    segmentation.post("mappings", mapping_ops((10, [20])))
    segmentation.commit(root)
    child = segmentation.child(root)
    segmentation.post("mappings", mapping_ops((20, [20]), (10, [30])), node=child)
    assert segmentation.get("mappings").text == "20 10\n"
    assert segmentation.get("mappings", node=child).text == "30 10\n"
    stats = segmentation.get("map-stats", node=child).json["seg"]
    assert (stats["MapEntries"], stats["NumVersions"]) == (2, 2)
    assert segmentation.status("POST", "mappings", mapping_ops((10, [30]))) == 400


def test_labels_that_were_mapped_are_not_given_out_as_new_ones(segmentation):
    segmentation.post("mappings", mapping_ops((500, [20])))
    assert segmentation.get("nextlabel").json == {"nextlabel": 501}


@pytest.mark.parametrize(
    "body",
    [b"\xff\xff", b"\x0a\x05\x08", mapping_ops((1, [0])), mapping_ops((1, [2**64 - 1])), mapping_ops((2**64 - 1, [1]))],
)
def test_what_is_no_mapping_is_refused_and_changes_nothing(segmentation, body):
    assert segmentation.status("POST", "mappings", body) == 400
    assert segmentation.get("mappings").content == b""


def test_nothing_may_be_mapped(segmentation):
    assert segmentation.status("POST", "mappings", b"") == 200


@pytest.mark.parametrize("body", ["{", "x", "", "[-1]"])
def test_a_list_of_supervoxels_that_is_none_is_refused(segmentation, body):
    assert segmentation.status("GET", "mapping", body) == 400
    assert segmentation.status("GET", "mapping?hash=0", "[1]") == 400


def test_splits_are_told_by_version_the_nearest_first(segmentation):
    def split(version, *rows):
        def enter(e):
            for old, remain, new in rows:
                mutation = e.log("split-supervoxel-complete", {})
                row = np.array((old, remain, new, e.node.version), SPLIT)
                e.put(SPLITS, mutation.to_bytes(8, "big") + bytes(4), row.tobytes())
                made.append(mutation)

        segmentation.database.edit(version, "seg", enter)

    made: list[int] = []
    root = segmentation.node
    assert segmentation.get("supervoxel-splits").json == []
    split(root, (10, 31, 32), (31, 33, 34))
    segmentation.commit(root)
    child = segmentation.child(root)
    split(child, (20, 35, 36))
    first = [root, [[made[0], 10, 31, 32], [made[1], 31, 33, 34]]]
    assert segmentation.get("supervoxel-splits").json == first
    assert segmentation.get("supervoxel-splits", node=child).json == [child, [[made[2], 20, 35, 36]], *first]


def test_without_an_index_mappings_are_there_all_the_same(make_segmentation):
    plain = make_segmentation(IndexedLabels="false")
    plain.post("mappings", mapping_ops((5, [6])))
    assert plain.ask("GET", "mapping", [5, 6, 7]).json == [5, 5, 7]


def test_branches_that_regrouped_the_same_bodies_are_in_conflict_in_every_answer(make_segmentation):
    made = make_segmentation(BlockSize="16,16,16")
    made.write((0, 0, 0), np.repeat(np.arange(1, 5), 16) * np.ones((16, 16, 64), int))
    made.commit(made.node)
    one, other = made.child(made.node), made.child(made.node, "other")
    made.post("merge", [1, 2], node=one)
    apart = made.post("cleave/1", [2], node=one).json["CleavedLabel"]
    made.post("merge", [1, 3], node=one)
    made.post("merge", [2, 1], node=other)
    for node in (one, other):
        made.commit(node)
    merge = {"mergeType": "conflict-free", "parents": [one, other], "note": ""}
    node = made.request("POST", f"/api/repo/{made.node}/merge", json.dumps(merge)).json["child"]
    conflicts = {
        "label/0_0_0": None,
        "label/32_0_0": None,
        "labels": [[0, 0, 0]],
        "mapping": [1],
        "mapping?nolookup=true": [3],
        "mappings": None,
        "raw/0_1_2/64_16_16/0_0_0": None,
        "blocks/16_16_16/0_0_0": None,
        "specificblocks?blocks=0,0,0": None,
        "size/1": None,
    }
    for path, body in conflicts.items():
        assert (path, made.status("GET", path, body, node=node)) == (path, 409)
        assert (path, made.status("GET", path, body, node=one)) == (path, 200)
    assert made.get("label/16_0_0", node=node).json == {"Label": apart}
    assert made.get("label/48_0_0", node=node).json == {"Label": 4}
    assert made.ask("GET", "mapping?nolookup=true", [2, 4], node=node).json == [apart, 4]
    assert made.status("GET", "raw/0_1_2/64_16_16/0_0_0?supervoxels=true", node=node) == 200
    assert made.status("GET", "raw/0_1_2/16_16_16/16_0_0", node=node) == 200
