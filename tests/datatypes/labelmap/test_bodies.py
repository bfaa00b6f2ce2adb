"""Requests that ask about bodies."""

import hashlib
import json

import numpy as np
import pytest


def uint64s(reply):
    return np.frombuffer(reply.content, "<u8").tolist()


def joined(segmentation, target, *labels, query=""):
    """Merge; the mutation."""
    return segmentation.post(f"merge{query}", [target, *labels]).json["MutationID"]


def test_sizes_are_told_as_clients_compare_them(segmentation):
    assert segmentation.get("size/10").text == '{"voxels": 150}'
    assert segmentation.get("size/20?supervoxels=true").json == {"voxels": 16}


def test_a_body_is_as_large_as_its_supervoxels(segmentation):
    joined(segmentation, 10, 20)
    assert segmentation.get("size/10").json == {"voxels": 166}
    assert segmentation.get("size/10?supervoxels=true").json == {"voxels": 150}
    assert segmentation.get("size/20?supervoxels=true").json == {"voxels": 16}
    assert segmentation.get("supervoxels/10").json == [10, 20]
    assert segmentation.get("supervoxel-sizes/10").json == {"supervoxels": [10, 20], "sizes": [150, 16]}
    assert segmentation.status("GET", "size/20") == 404


def test_sizes_come_in_the_order_they_are_asked_for(segmentation):
    joined(segmentation, 10, 20)
    asked = json.dumps([30, 20, 10, 7, 30, 0, 2**64 - 1])
    assert segmentation.ask("GET", "sizes", asked).json == [1000, 0, 166, 0, 1000, 0, 0]
    assert segmentation.ask("GET", "sizes?supervoxels=true", asked).json == [1000, 16, 150, 0, 1000, 0, 0]
    digest = hashlib.md5(asked.encode()).hexdigest()
    assert segmentation.ask("GET", f"sizes?hash={digest}", asked).json == [1000, 0, 166, 0, 1000, 0, 0]
    assert segmentation.ask("GET", "sizes?hash=abc", asked).status_code == 400
    assert segmentation.ask("GET", "sizes", "[]").json == []


@pytest.mark.parametrize("body", ["", "x", "{}", "[1.5]", "[-1]", f"[{2**64}]", '["1"]', "[1,]"])
def test_a_list_of_labels_that_is_none_is_refused(segmentation, body):
    assert segmentation.status("GET", "sizes", body) == 400


def test_a_body_of_whose_supervoxels_some_were_cleaved_off_keeps_the_others(segmentation):
    joined(segmentation, 10, 20, 30)
    made = segmentation.post("cleave/10", [10, 30]).json["CleavedLabel"]
    assert segmentation.get("supervoxels/10").json == [20]
    assert segmentation.get(f"supervoxel-sizes/{made}").json == {"supervoxels": [10, 30], "sizes": [150, 1000]}
    assert segmentation.get("size/10").json == {"voxels": 16}
    assert segmentation.get("size/10?supervoxels=true").json == {"voxels": 150}


def test_the_extent_is_that_of_the_blocks(segmentation):
    assert segmentation.get("sparsevol-size/10").text == (
        '{"voxels": 150, "numblocks": 2, "minvoxel": [0, 0, 0], "maxvoxel": [63, 31, 31]}'
    )
    joined(segmentation, 10, 20)
    assert segmentation.get("sparsevol-size/10").json == {
        "voxels": 166,
        "numblocks": 3,
        "minvoxel": [0, 0, -32],
        "maxvoxel": [127, 95, 31],
    }
    assert segmentation.get("sparsevol-size/20?supervoxels=true").json == {
        "voxels": 16,
        "numblocks": 2,
        "minvoxel": [32, 0, -32],
        "maxvoxel": [127, 95, 31],
    }


@pytest.mark.parametrize(
    "what",
    ["supervoxels", "size", "supervoxel-sizes", "sparsevol-size", "lastmod", "index-version"],
)
def test_a_label_that_does_not_exist_is_not_found_and_one_that_cannot_is_refused(segmentation, what):
    assert segmentation.status("GET", f"{what}/99") == 404
    for wrong in ("0", "x", "-1", "1.5", str(2**64)):
        assert segmentation.status("GET", f"{what}/{wrong}") == 400


def test_lastmod_tells_who_merged_and_nobody_where_voxels_came_in(segmentation):
    came = segmentation.get("lastmod/10").json
    assert came == {"mutation id": came["mutation id"], "last mod user": "", "last mod app": "", "last mod time": ""}
    mutation = joined(segmentation, 10, 20, query="?u=al%22ice&app=tool")
    changed = segmentation.get("lastmod/10").json
    assert changed["mutation id"] == mutation > came["mutation id"]
    assert (changed["last mod user"], changed["last mod app"]) == ('al"ice', "tool")
    assert changed["last mod time"]
    assert segmentation.get("lastmod/30").json == came


def test_lastmod_and_index_version_tell_of_the_version_that_changed_the_body(segmentation):
    root = segmentation.node
    mutation = joined(segmentation, 10, 20, query="?u=bob")
    segmentation.commit(root)
    child = segmentation.child(root)
    assert segmentation.get("lastmod/10", node=child).json["last mod user"] == "bob"
    assert segmentation.get("index-version/10", node=child).text == root
    segmentation.account({10: {(0, 0, 0): -1}}, node=child)
    later = segmentation.get("lastmod/10", node=child).json
    assert later["mutation id"] > mutation
    assert later["last mod user"] == ""
    assert segmentation.get("index-version/10", node=child).text == child
    assert segmentation.get("index-version/10").text == root


def test_labels_are_listed_in_order(segmentation):
    assert uint64s(segmentation.get("listlabels")) == [10, 20, 30]
    assert uint64s(segmentation.get("listlabels?sizes=true")) == [10, 150, 20, 16, 30, 1000]
    assert uint64s(segmentation.get("listlabels?start=11")) == [20, 30]
    assert uint64s(segmentation.get("listlabels?start=10&number=2")) == [10, 20]
    assert uint64s(segmentation.get("listlabels?number=0")) == []
    assert uint64s(segmentation.get(f"listlabels?start={2**64 - 1}")) == []
    assert segmentation.get("existing-labels").json == [10, 20, 30]
    joined(segmentation, 30, 10)
    assert uint64s(segmentation.get("listlabels?sizes=true")) == [20, 16, 30, 1150]
    assert segmentation.get("existing-labels").json == [20, 30]


@pytest.mark.parametrize("query", ["start=x", "start=-1", f"start={2**64}", "number=-1", "number=x", "sizes=maybe"])
def test_bad_options_of_lists_are_refused(segmentation, query):
    assert segmentation.status("GET", f"listlabels?{query}") == 400


def test_long_lists_come_whole(make_segmentation):
    many = make_segmentation()
    labels = list(range(5, 60_000, 7))
    many.account({label: {(0, 0, label): label} for label in labels})
    assert uint64s(many.get("listlabels")) == labels
    assert uint64s(many.get("listlabels?sizes=true&number=5000"))[1::2] == labels[:5000]
    assert many.get("existing-labels").json == labels
    asked = labels[::-1]
    assert many.ask("GET", "sizes", asked).json == asked
    assert many.ask("GET", "sizes?supervoxels=true", asked).json == asked


def test_an_empty_segmentation_has_no_labels(make_segmentation):
    empty = make_segmentation()
    assert empty.get("listlabels").content == b""
    assert empty.get("existing-labels").json == []


def test_labels_above_2_to_the_63rd_are_labels(make_segmentation):
    high = make_segmentation()
    labels = [2**63 - 1, 2**63, 2**64 - 2]
    high.account({label: {(0, 0, 0): 3} for label in labels})
    assert uint64s(high.get("listlabels")) == labels
    assert high.get("existing-labels").json == labels
    joined(high, labels[2], labels[0])
    assert high.get(f"supervoxels/{labels[2]}").json == [labels[0], labels[2]]
    assert high.ask("GET", "sizes", labels).json == [0, 3, 6]


@pytest.mark.parametrize(
    "path",
    [
        "supervoxels/1",
        "size/1",
        "sizes",
        "supervoxel-sizes/1",
        "sparsevol-size/1",
        "lastmod/1",
        "index-version/1",
        "existing-labels",
        "listlabels",
    ],
)
def test_an_instance_without_index_says_so(make_segmentation, path):
    refused = make_segmentation(IndexedLabels="false").ask("GET", path, "[1]")
    assert refused.status_code == 400
    assert "IndexedLabels" in refused.text
