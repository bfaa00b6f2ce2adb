"""Blocks on their way into the store."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.kernels.labelblock_model import decode, serialized
from tests.labels.segmentation import BLOCK_ZYX, Segmentation

from dvid.codecs.labelblocks import block_shape, checked, encode, largest_bytes
from dvid.errors import BadRequest
from dvid.geometry import Box
from dvid.labels.tables import BLOCKS, block_key
from dvid.labels.writing import extents_of_blocks, from_voxels, from_wire, tallied, write_blocks


@given(serialized())
def test_a_block_of_any_form_holds_as_many_voxels_as_counting_finds(data):
    block = checked(data)
    supervoxels, voxels = tallied(block)
    names, counts = np.unique(decode(data), return_counts=True)
    assert supervoxels.tolist() == names[names != 0].tolist()
    assert voxels.tolist() == counts[names != 0].tolist()
    assume(len(data) <= largest_bytes(block_shape(block)))  # else it lists more labels than it has voxels
    made = from_wire((1, 2, 3), gzip.compress(data), block_shape(block))
    assert (made.place_zyx, made.supervoxels.tolist()) == ((1, 2, 3), supervoxels.tolist())


@given(st.lists(st.sampled_from([(z, y, x) for z in (-1, 0) for y in (2, 3, 4) for x in (0, 1)]), unique=True))
def test_the_blocks_of_a_box_are_its_parts(places):
    box = Box((-16, 32, 0), (16, 80, 32))
    voxels = np.random.default_rng(0).integers(0, 3, box.shape_zyx).astype(np.uint64)
    made = from_voxels(box, voxels, BLOCK_ZYX, places)
    assert [block.place_zyx for block in made] == places
    for (z, y, x), block in zip(places, made, strict=True):
        part = Box.at((16 * z, 16 * y, 16 * x), BLOCK_ZYX).slices_in(box)
        np.testing.assert_array_equal(decode(gzip.decompress(block.data)), voxels[part])
        assert block.voxels.sum() == np.count_nonzero(voxels[part])


@pytest.mark.parametrize(
    "data", [b"", b"x", gzip.compress(b""), gzip.compress(encode(np.zeros((16, 16, 32), np.uint64)))]
)
def test_what_is_no_block_is_refused_by_its_place(data):
    with pytest.raises(BadRequest, match=r"\(3, 2, 1\)"):
        from_wire((1, 2, 3), data, BLOCK_ZYX)


def test_extents_are_the_box_around_the_blocks():
    assert extents_of_blocks([(0, 0, 0)], BLOCK_ZYX) == Box((0, 0, 0), BLOCK_ZYX)
    assert extents_of_blocks([(3, -1, 0), (-2, 0, 7)], (16, 32, 64)) == Box((-32, -32, 0), (64, 32, 512))


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("scale", [0, 1])
def test_only_indexed_blocks_of_full_resolution_enter_the_index(database, indexed, scale):
    made = Segmentation(database, MaxDownresLevel=1)
    box = Box((0, 0, 0), BLOCK_ZYX)
    voxels = np.full(BLOCK_ZYX, 8, np.uint64)
    voxels[0] = 2**64 - 2
    blocks = from_voxels(box, voxels, BLOCK_ZYX, [(0, 0, 0)])
    mutation = made.edit(lambda edit: write_blocks(edit, blocks, scale, indexed=indexed))
    assert made.sizes() == ({8: 15 * 256, 2**64 - 2: 256} if indexed and not scale else {})
    assert made.state().largest == 2**64 - 2
    assert made.see(lambda view: view.get(BLOCKS, block_key(scale, (0, 0, 0)))) is not None
    (event,) = made.events()
    assert (event["Action"], event["Scale"], event["Blocks"]) == ("ingest-blocks", scale, 1)
    assert event["MutationID"] == mutation


def test_of_several_blocks_for_one_place_the_last_one_counts(database):
    made = Segmentation(database)
    box = Box((0, 0, 0), BLOCK_ZYX)
    blocks = [from_voxels(box, np.full(BLOCK_ZYX, n, np.uint64), BLOCK_ZYX, [(0, 0, 0)])[0] for n in (1, 2, 3)]
    made.edit(lambda edit: write_blocks(edit, blocks))
    made.edit(lambda edit: write_blocks(edit, blocks[::-1]))
    found = made.state()
    assert (found.sizes, found.index) == ({1: 4096}, {1: {(0, 0, 0): 4096}})
    assert (made.voxels(BLOCK_ZYX) == 1).all()


def test_what_is_no_label_is_refused():
    voxels = np.full((16, 16, 16), 2**64 - 1, np.uint64)
    with pytest.raises(BadRequest, match="is no label"):
        from_voxels(Box((0, 0, 0), (16, 16, 16)), voxels, (16, 16, 16), [(0, 0, 0)])
    voxels[:] = 2**64 - 2
    (block,) = from_voxels(Box((0, 0, 0), (16, 16, 16)), voxels, (16, 16, 16), [(0, 0, 0)])
    assert block.supervoxels.tolist() == [2**64 - 2]
