"""POST split: a server may allow it."""

from __future__ import annotations

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
