"""POST split: a server may allow it."""

from __future__ import annotations

import gzip

import lz4.block
import numpy as np
import pytest
from tests.datatypes.conftest import MakeInstance
from tests.datatypes.labelmap.conftest import Segmentation

from dvid.codecs.sparsevols import decode_rles, encode_rles


@pytest.fixture
def splittable(make_instance: MakeInstance) -> Segmentation:
    """Supervoxels 1 and 2, side by side along x in a block of 16^3, both of body 1; on a server that allows splits."""
    made = make_instance(
        "labelmap", "seg", kind=Segmentation, limits={"server.allowLabelmapSplit": True}, BlockSize="16,16,16"
    )
    made.write((0, 0, 0), np.broadcast_to(np.repeat(np.array([1, 2], np.uint64), 8), (16, 16, 16)))
    made.post("merge", [1, 2])
    return made


ROW = np.array([(4, 0, 0, 8)], np.int32)


def test_a_part_of_a_body_becomes_a_body(splittable: Segmentation) -> None:
    answer = splittable.post("split/1", encode_rles(ROW)).json
    new = answer["label"]
    assert set(answer) == {"label", "MutationID"}
    expected = np.ones((16, 16, 16), np.uint64)
    expected[0, 0, 4:12] = new
    np.testing.assert_array_equal(splittable.read((0, 0, 0), (16, 16, 16)), expected)
    assert decode_rles(splittable.get(f"sparsevol/{new}").content).tolist() == ROW.tolist()
    assert len(splittable.get(f"supervoxels/{new}").json) == 2
    assert splittable.get(f"size/{new}").json == {"voxels": 8}
    assert splittable.get(f"lastmod/{new}").json["mutation id"] == answer["MutationID"]
    _, rows = splittable.get("supervoxel-splits").json
    assert [row[1] for row in rows] == [1, 2]
    told = splittable.get("mutations").json[-1]
    assert (told["Action"], told["Target"], told["NewLabel"]) == ("split-complete", 1, new)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("split/1", b""),
        ("split/1", b"\0\3\0\0"),
        ("split/1", encode_rles(ROW[:0])),
        ("split/1", encode_rles(ROW + np.int32([10, 0, 0, 0]))),
        ("split/2", encode_rles(ROW)),
        ("split/0", encode_rles(ROW)),
        ("split/x", encode_rles(ROW)),
    ],
)
def test_other_parts_are_refused(splittable: Segmentation, path: str, body: bytes) -> None:
    assert splittable.status("POST", path, body) == 400
    assert splittable.get("existing-labels").json == [1]
    assert splittable.get("maxlabel").json == {"maxlabel": 2}


def test_splits_are_off_unless_the_server_allows_them(segmentation: Segmentation) -> None:
    reply = segmentation.ask("POST", "split/10", encode_rles(ROW))
    assert reply.status_code == 400
    assert "allowLabelmapSplit" in reply.text


# ---- numbers that are no supervoxels any longer --------------------------------------------------

OF_SUPERVOXELS = ("size/{}", "sparsevol-size/{}", "sparsevol/{}", "sparsevol/{}?format=srles", "sparsevol-coarse/{}")
WITHIN = ("", "&minx=0&maxx=3")


def asked(labels: Segmentation, label: int, **where: str) -> set[tuple[str, int]]:
    """The statuses of all requests for a supervoxel."""
    statuses = set()
    for path in OF_SUPERVOXELS:
        query = ("&" if "?" in path else "?") + "supervoxels=true"
        statuses.add(("GET", labels.status("GET", path.format(label) + query, **where)))
    for bounds in WITHIN:
        statuses.add(("HEAD", labels.status("HEAD", f"sparsevol/{label}?supervoxels=true{bounds}", **where)))
    return statuses


@pytest.mark.parametrize("faults", [False, True])
def test_what_is_no_supervoxel_any_longer_is_refused_as_one(make_instance: MakeInstance, faults: bool) -> None:
    limits = {"server.allowLabelmapSplit": True, "server.referenceFaults": faults}
    made = make_instance("labelmap", "seg", kind=Segmentation, limits=limits, BlockSize="16,16,16")
    first = made.node
    made.write((0, 0, 0), np.broadcast_to(np.repeat(np.array([1, 2], np.uint64), 8), (16, 16, 16)))
    made.commit(first)
    child = made.child(first)
    parts = made.post("split-supervoxel/1", encode_rles(ROW), node=child).json
    cleaved = made.post("cleave/1", [parts["SplitSupervoxel"]], node=child).json["CleavedLabel"]
    divided = made.post("split/2", encode_rles(np.array([(9, 0, 0, 2)], np.int32)), node=child).json["label"]
    for label in (1, 2, cleaved, divided):
        assert asked(made, label, node=child) == {("GET", 400), ("HEAD", 400)}
        assert made.status("GET", f"size/{label}", node=child) == 200  # there are bodies of these numbers
        assert made.status("HEAD", f"sparsevol/{label}", node=child) == 200
    assert "it was split" in made.ask("GET", "size/1?supervoxels=true", node=child).text
    assert made.ask("GET", "sizes?supervoxels=true", [1, 2, cleaved], node=child).json == [0, 0, 0]
    assert {status for method, status in asked(made, parts["RemainSupervoxel"], node=child) if method == "GET"} == {200}
    assert {status for method, status in asked(made, 1) if method == "GET"} == {200}  # at the version before
    assert asked(made, 99, node=child) == {("GET", 404), ("HEAD", 204)}
    made.write((0, 0, 0), np.full((16, 16, 16), 1, np.uint64), node=child)
    assert {status for method, status in asked(made, 1, node=child) if method == "GET"} == {200}


def test_the_number_of_a_body_that_was_split_off_is_told_to_be_no_supervoxel(splittable: Segmentation) -> None:
    label = splittable.post("split/1", encode_rles(ROW)).json["label"]
    assert f"\n{label} 0\n" in splittable.get("mappings").text
    assert splittable.ask("GET", "mapping?nolookup=true", [label]).json == [0]
    assert splittable.ask("GET", "mapping", [label]).json == [0]


@pytest.mark.parametrize("compression", ["", "gzip", "lz4"])
def test_a_sparse_volume_without_runs_has_its_header(splittable: Segmentation, compression: str) -> None:
    splittable.post("split/1", encode_rles(np.array([(8, 0, 0, 8)], np.int32)))
    found = splittable.get(f"sparsevol/3?minx=0&maxx=7&compression={compression}").content
    decompressed = {"": lambda data: data, "gzip": gzip.decompress, "lz4": lambda data: lz4.block.decompress(data, 12)}
    assert decompressed[compression](found) == encode_rles(ROW[:0])
