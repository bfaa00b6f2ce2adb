"""Requests for label indices."""

import struct

import lz4.block
import numpy as np
import pytest
from tests.datatypes.labelmap.messages import label_index, label_indices, mapping_ops

from dvid.codecs.labelindex import decode_label_index, decode_label_indices
from dvid.codecs.sparsevols import encode_rles

MANY = 10**6


def told(index):
    """The entries as {block: {supervoxel: voxels}}."""
    found = {}
    for block, supervoxel, count in zip(
        index.blocks_zyx.tolist(), index.supervoxels.tolist(), index.counts.tolist(), strict=True
    ):
        found.setdefault(tuple(block), {})[supervoxel] = count
    return found


def index(segmentation, label, query="", **where):
    found = decode_label_index(segmentation.get(f"index/{label}{query}", **where).content, MANY)
    assert found.label == label
    return found


def blocks(segmentation, label, query="", **where):
    return told(index(segmentation, label, query, **where))


def test_an_index_has_the_blocks_of_all_supervoxels(segmentation):
    assert blocks(segmentation, 20) == {(0, 0, 1): {20: 7}, (-1, 2, 3): {20: 9}}
    segmentation.post("merge", [10, 20])
    assert blocks(segmentation, 10) == {(0, 0, 0): {10: 100}, (0, 0, 1): {10: 50, 20: 7}, (-1, 2, 3): {20: 9}}
    assert segmentation.status("GET", "index/20") == 404
    for wrong in ("0", "x", "-1"):
        assert segmentation.status("GET", f"index/{wrong}") == 400


def test_an_index_tells_who_changed_it_last(segmentation):
    came = index(segmentation, 10)
    assert (came.stamp.time, came.stamp.user, came.stamp.app) == ("", "", "")
    mutation = segmentation.post("merge?u=ann&app=tool", [10, 20]).json["MutationID"]
    changed = index(segmentation, 10)
    assert (changed.last_mutid, changed.stamp.user, changed.stamp.app) == (mutation, "ann", "tool")
    assert changed.stamp.time
    assert segmentation.get("index/10?metadata-only=true").json == {
        "num_voxels": 166,
        "last_mutid": mutation,
        "last_mod_time": changed.stamp.time,
        "last_mod_user": "ann",
        "last_mod_app": "tool",
    }


def test_many_indices_come_in_the_order_of_the_labels(segmentation):
    segmentation.post("merge", [30, 10])
    asked = [30, 99, 20, 30]
    found = decode_label_indices(segmentation.ask("GET", "indices", asked).content, MANY)
    assert found.labels.tolist() == asked
    for at, label in enumerate(asked):
        expected = {} if label == 99 else blocks(segmentation, label)
        assert told(found[at]) == expected


def test_compressed_indices_are_what_the_others_are(segmentation):
    asked = [20, 99, 10]
    data = segmentation.ask("GET", "indices-compressed", asked).content
    for label in asked:
        size, name = struct.unpack_from("<QQ", data)
        stored, data = data[16 : 16 + size], data[16 + size :]
        assert name == label
        if label == 99:
            assert size == 0
            continue
        how, plain = struct.unpack_from("<BI", stored)
        assert how == 0x80
        message = lz4.block.decompress(stored[5:], uncompressed_size=plain)
        assert message == segmentation.get(f"index/{label}").content
    assert data == b""


@pytest.mark.parametrize("what", ["indices", "indices-compressed"])
def test_too_many_labels_or_none_are_refused(segmentation, what):
    assert segmentation.status("GET", what, [1] * 50_001) == 400
    assert segmentation.status("GET", what, "x") == 400
    assert segmentation.ask("GET", what, "[]").content == b""


def test_indices_of_thousands_of_bodies_come_whole(make_segmentation):
    many = make_segmentation()
    labels = list(range(1, 5001))
    many.account({label: {(0, 0, label % 100): label, (1, 0, 0): 1} for label in labels})
    found = decode_label_indices(many.ask("GET", "indices", labels).content, MANY)
    assert found.labels.tolist() == labels
    assert [told(found[at]) for at in (0, 2500, 4999)] == [blocks(many, labels[at]) for at in (0, 2500, 4999)]
    assert found.counts.astype(int).sum() == sum(labels) + len(labels)


# ---- posting ------------------------------------------------------------------------------------


def test_a_posted_index_takes_the_place_of_what_there_was(segmentation):
    segmentation.post("merge", [10, 20])
    posted = {(0, 0, 0): {10: 3, 41: 4}, (5, -6, 7): {41: 5}}
    segmentation.post("index/10", label_index(10, posted, 7, "2020-01-01T00:00:00Z", "eve", "loader"))
    assert blocks(segmentation, 10) == posted
    found = index(segmentation, 10)
    assert found.last_mutid == 7
    assert (found.stamp.time, found.stamp.user, found.stamp.app) == ("2020-01-01T00:00:00Z", "eve", "loader")
    assert segmentation.get("supervoxels/10").json == [10, 41]
    assert segmentation.get("size/10").json == {"voxels": 12}
    assert segmentation.ask("GET", "sizes?supervoxels=true", [10, 20, 41]).json == [3, 0, 9]
    assert segmentation.get("lastmod/10").json["last mod user"] == "eve"
    assert segmentation.get("nextlabel").json == {"nextlabel": 42}


def test_an_index_that_was_fetched_can_be_posted_elsewhere(segmentation, make_segmentation):
    segmentation.post("merge?u=ann", [10, 20])
    fetched = segmentation.ask("GET", "indices", [10, 30]).content
    other = make_segmentation(BlockSize="32,32,32")
    other.post("indices", fetched)
    assert other.ask("GET", "indices", [10, 30]).content == fetched
    assert other.get("existing-labels").json == [10, 30]


def test_an_index_without_blocks_ends_the_body(segmentation):
    segmentation.post("merge", [10, 20])
    segmentation.post("index/10", label_index(10, {}))
    assert segmentation.status("GET", "index/10") == 404
    assert segmentation.get("existing-labels").json == [30]
    assert segmentation.ask("GET", "sizes?supervoxels=true", [10, 20, 30]).json == [0, 0, 1000]
    segmentation.post("index/99", label_index(99, {}))


def test_supervoxels_leave_the_body_that_they_belonged_to(segmentation):
    segmentation.post("merge", [10, 20])
    segmentation.post(
        "indices", label_indices(label_index(30, {(0, 0, 0): {20: 8}}), label_index(50, {(0, 0, 0): {50: 1}}))
    )
    assert blocks(segmentation, 30) == {(0, 0, 0): {20: 8}}
    assert segmentation.get("supervoxels/30").json == [20]
    assert segmentation.get("supervoxels/10").json == [10]
    assert segmentation.get("size/10").json == {"voxels": 150}
    assert segmentation.get("size/30").json == {"voxels": 8}
    segmentation.post("index/50", label_index(50, {(0, 0, 0): {10: 2, 50: 1}}))
    assert segmentation.get("existing-labels").json == [30, 50]


def test_indices_and_mappings_posted_together_make_bodies_that_can_be_edited(make_segmentation):
    made = make_segmentation()
    made.post("mappings", mapping_ops((5, [6, 7])))
    made.post("indices", label_indices(label_index(5, {(0, 0, 0): {5: 1, 6: 2}, (0, 0, 1): {7: 3}})))
    cleaved = made.post("cleave/5", [6, 5]).json["CleavedLabel"]
    assert made.get("supervoxels/5").json == [7]
    assert blocks(made, cleaved) == {(0, 0, 0): {5: 1, 6: 2}}


def test_nothing_may_be_posted_in_bulk_but_not_as_one_index(segmentation):
    assert segmentation.status("POST", "indices", b"") == 200
    assert segmentation.status("POST", "index/10", b"") == 400
    assert segmentation.get("size/10").json == {"voxels": 150}


@pytest.mark.parametrize(
    "message",
    [
        b"\xff\xff",
        label_indices(label_index(10, {(0, 0, 0): {10: 1}}), label_index(10, {(0, 0, 0): {10: 1}})),
        label_indices(label_index(10, {(0, 0, 0): {20: 1}}), label_index(30, {(0, 0, 1): {20: 1}})),
        label_indices(label_index(10, {(0, 0, 0): {0: 1}})),
        label_indices(label_index(10, {(0, 0, 0): {2**64 - 1: 1}})),
        label_indices(label_index(0, {(0, 0, 0): {1: 1}})),
        label_indices(label_index(10, {(0, 0, 0): {10: 32**3 + 1}})),
    ],
)
def test_what_are_no_indices_is_refused_and_changes_nothing(segmentation, message):
    assert segmentation.status("POST", "indices", message) == 400
    assert segmentation.ask("GET", "sizes", [10, 20, 30]).json == [150, 16, 1000]


def test_an_index_of_another_label_than_the_path_says_is_refused(segmentation):
    assert segmentation.status("POST", "index/10", label_index(20, {(0, 0, 0): {10: 1}})) == 400
    assert segmentation.status("POST", "index/0", label_index(0, {(0, 0, 0): {10: 1}})) == 400


def test_indices_belong_to_their_version(segmentation):
    root = segmentation.node
    segmentation.commit(root)
    child = segmentation.child(root)
    segmentation.post("index/10", label_index(10, {(0, 0, 0): {10: 1}}), node=child)
    assert blocks(segmentation, 10, node=child) == {(0, 0, 0): {10: 1}}
    assert blocks(segmentation, 10) == {(0, 0, 0): {10: 100}, (0, 0, 1): {10: 50}}
    assert segmentation.status("POST", "index/10", label_index(10, {(0, 0, 0): {10: 1}})) == 400


@pytest.mark.parametrize("path", ["index/1", "indices", "indices-compressed"])
def test_an_instance_without_index_says_so(make_segmentation, path):
    plain = make_segmentation(IndexedLabels="false")
    assert "IndexedLabels" in plain.ask("GET", path, "[1]").text
    assert "IndexedLabels" in plain.ask("POST", "index/1", label_index(1, {(0, 0, 0): {1: 1}})).text


# ---- as it was ----------------------------------------------------------------------------------


@pytest.fixture
def voxels(make_segmentation):
    """Two blocks of 32^3 with twelve supervoxels."""
    made = make_segmentation(BlockSize="32,32,32")
    made.write((0, 0, 0), np.random.default_rng(3).integers(1, 13, (32, 32, 64)))
    return made


def as_it_is(segmentation):
    """All indices by label."""
    return {label: index(segmentation, label) for label in segmentation.get("existing-labels").json}


def same(a, b):
    return told(a) == told(b) and (a.last_mutid, a.stamp) == (b.last_mutid, b.stamp)


def test_an_index_can_be_had_as_it_was_before_each_mutation(voxels):
    runs = np.array([[x, y, z, 9] for z in range(30) for y in range(30) for x in (1, 27)], np.int32)
    steps = [
        lambda: voxels.post("merge?u=ann", [1, 2, 3]),
        lambda: voxels.post("merge?u=bob", [4, 5, 1]),
        lambda: voxels.post("cleave/4?u=ann", [2, 4]),
        lambda: voxels.post("split-supervoxel/5", encode_rles(runs)),
        lambda: voxels.post("renumber", [70, 4, 71, 6]),
        lambda: voxels.post("merge", [70, 7, 8]),
        lambda: voxels.post("split-supervoxel/7?u=eve", encode_rles(runs)),
    ]
    before = {}
    for step in steps:
        was = as_it_is(voxels)
        before[step().json["MutationID"]] = was
    labels = set().union(*before.values(), as_it_is(voxels))
    compared = 0
    for mutation, was in before.items():
        for label in labels:
            if label in was:
                assert same(index(voxels, label, f"?mutid={mutation}"), was[label]), (mutation, label)
                compared += 1
            else:
                assert voxels.status("GET", f"index/{label}?mutid={mutation}") == 404
    assert compared > 50
    root = voxels.node
    voxels.commit(root)
    child = voxels.child(root)
    voxels.post("merge", [70, 9], node=child)
    mutation, was = list(before.items())[-1]
    assert same(index(voxels, 70, f"?mutid={mutation}", node=child), was[70])


def test_what_was_before_voxels_were_written_is_not_made_up(voxels):
    mutation = voxels.post("merge", [1, 2]).json["MutationID"]
    later = voxels.post("merge", [3, 4]).json["MutationID"]
    voxels.write((0, 0, 0), np.full((32, 32, 32), 1, np.uint64))
    refused = voxels.ask("GET", f"index/1?mutid={mutation}")
    assert refused.status_code == 404
    assert "not kept" in refused.text
    assert voxels.status("GET", f"index/3?mutid={later}") == 404


def test_an_unknown_mutation_has_nothing_before_it(voxels):
    assert voxels.status("GET", "index/1?mutid=5") == 404
    assert voxels.status("GET", "index/1?mutid=x") == 400
