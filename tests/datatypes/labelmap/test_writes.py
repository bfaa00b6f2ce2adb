"""Drafts of blocks: what one request may hold of them, and where they may be."""

import struct

import numpy as np
import pytest
from tests.datatypes.conftest import VoxelInstance, box_path

from dvid.codecs.labelblocks import deflate, solid
from dvid.codecs.labelindex import decode_label_index
from dvid.datatypes.labelmap.writes import Draft
from dvid.errors import TooLarge

FAR = 2**20
CUBE = (32, 32, 32)
BEYOND = [(FAR, 0, 0), (0, FAR, 0), (0, 0, FAR), (-FAR, 0, 0), (0, -FAR - 5, 0), (1, 2, 2**26 - 2), (-(2**26), 0, 0)]
"""Blocks, z, y, x, that an index has no key for; the last ones are as far out as 32-bit coordinates go."""


def sent(*places_zyx: tuple[int, int, int]) -> bytes:
    """Blocks of label 7 as clients send them."""
    data = bytes(deflate(solid(7, CUBE)))
    return b"".join(struct.pack("<4i", *place[::-1], len(data)) + data for place in places_zyx)


def path_of(place_zyx: tuple[int, int, int]) -> str:
    return box_path("raw/0_1_2", [32 * edge for edge in place_zyx], CUBE)


VOXELS = np.full(CUBE, 7, np.uint64).tobytes()


def test_many_tiny_blocks_are_refused_before_they_take_the_memory_of_the_server(make_instance, database):
    instance = make_instance("labelmap", BlockSize="32,32,32")
    data = deflate(solid(7, (32, 32, 32)))
    with database.view(instance.node, instance.name) as view:
        draft = Draft(view)
        for x in range(250):
            draft.add_compressed((0, 0, x), data, 1 << 20)

        def go_on() -> None:
            for x in range(250, 300):
                draft.add_compressed((0, 0, x), data, 1 << 20)

        with pytest.raises(TooLarge, match="send fewer at a time"):
            go_on()


@pytest.mark.parametrize("place", BEYOND)
def test_blocks_that_no_index_can_tell_of_are_refused_however_they_come(make_instance, place):
    labels = make_instance("labelmap", "seg", kind=VoxelInstance, BlockSize="32,32,32", MaxDownresLevel=1)
    for path, body in (
        (path_of(place), VOXELS),
        (path_of(place), b""),  # before the body is read
        ("blocks", sent((0, 0, 0), place)),
        ("blocks?noindexing=true", sent((0, 0, 0), place)),
        ("ingest-supervoxels", sent((0, 0, 0), place)),
    ):
        reply = labels.ask("POST", path, body)
        assert reply.status_code == 400
        assert f"block {place[2]},{place[1]},{place[0]} (x, y, z) has no key in a label index" in reply.text
    assert labels.ask("GET", "maxlabel").status_code == 400
    assert not labels.read((0, 0, 0), CUBE).any()
    assert labels.get("mutations").json == []


def test_a_box_that_reaches_too_far_is_refused_as_a_whole(make_instance):
    labels = make_instance("labelmap", "seg", kind=VoxelInstance, BlockSize="32,32,32")
    path = box_path("raw/0_1_2", (0, 0, 32 * (FAR - 1)), (32, 32, 64))
    assert labels.ask("POST", path, 2 * VOXELS).status_code == 400
    assert labels.ask("GET", "sparsevol/7").status_code == 404


def test_the_last_blocks_that_an_index_can_tell_of_are_told(make_instance):
    labels = make_instance("labelmap", "seg", kind=VoxelInstance, BlockSize="32,32,32")
    last = [(FAR - 1, 0, 0), (0, FAR - 1, -(FAR - 1)), (1 - FAR, 1 - FAR, 1 - FAR)]
    labels.post(path_of(last[0]), VOXELS)
    labels.post("blocks", sent(*last[1:]))
    index = decode_label_index(labels.get("index/7").content, 100)
    assert set(map(tuple, index.blocks_zyx.tolist())) == set(last)


@pytest.mark.parametrize(
    ("typename", "options"), [("labelarray", {}), ("labelblk", {}), ("labelmap", {"IndexedLabels": "false"})]
)
@pytest.mark.parametrize("place", [(FAR, 0, 0), (0, 0, -FAR - 1)])
def test_blocks_are_anywhere_where_no_index_is_answered(make_instance, typename, options, place):
    labels = make_instance(typename, "seg", kind=VoxelInstance, BlockSize="32,32,32", **options)
    labels.post(path_of(place), VOXELS)
    assert (labels.read(tuple(32 * edge for edge in place), CUBE) == 7).all()
