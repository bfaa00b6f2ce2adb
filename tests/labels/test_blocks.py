"""Blocks as they are stored."""

from __future__ import annotations

import numpy as np
import pytest
from tests.labels.segmentation import BLOCK_ZYX, Segmentation

from dvid.codecs.labelblocks import decode
from dvid.errors import CorruptValue
from dvid.geometry import Box
from dvid.labels.blocks import OpenBlocks, block_shape, expanded, read_blocks, stored_blocks
from dvid.labels.tables import BLOCKS, block_key
from dvid.versions.envelope import Format

PLACES = [(0, 0, 1), (-1, 0, 0), (0, 0, 0), (5, 5, 5)]


@pytest.fixture
def filled(database):
    """Blocks at the first three places, and their voxels."""
    made = Segmentation(database)
    voxels = np.random.default_rng(0).integers(0, 2**63, (3, *BLOCK_ZYX)).astype(np.uint64)
    voxels %= np.array([3, 2**40, 1], np.uint64)[:, None, None, None]
    for (z, y, x), block in zip(PLACES, voxels, strict=False):
        made.write(block, (16 * z, 16 * y, 16 * x))
    return made, voxels


def test_blocks_come_in_the_order_in_which_they_are_asked_for(filled):
    made, voxels = filled
    for places, expected in [(PLACES, [0, 1, 2, None]), (PLACES[::-1], [None, 2, 1, 0]), ([], [])]:
        found = made.see(lambda view, places=places: read_blocks(view, 0, places))
        for block, number in zip(found, expected, strict=True):
            assert (block is None) == (number is None)
            if block is not None:
                np.testing.assert_array_equal(decode(block), voxels[number])

    def both(view):
        assert block_shape(view) == BLOCK_ZYX
        stored = stored_blocks(view, 0, PLACES)
        return [None if data is None else bytes(expanded(view, data)) for data in stored]

    blocks = made.see(lambda view: [block if block is None else bytes(block) for block in read_blocks(view, 0, PLACES)])
    assert made.see(both) == blocks


def test_a_deleted_block_is_none_though_an_ancestor_has_it(filled):
    made, _ = filled
    made.commit()
    child = made.child()
    made.edit(lambda edit: edit.delete(BLOCKS, block_key(0, PLACES[0])), child)
    for read in (read_blocks, stored_blocks):
        there = made.see(lambda view, read=read: [block is not None for block in read(view, 0, PLACES)], child)
        assert there == [False, True, True, False]


@pytest.mark.parametrize(("data", "form"), [(b"no gzip", Format.GZIP), (b"raw", Format.RAW), (b"", Format.GZIP)])
def test_what_is_no_block_is_damage_and_never_voxels(filled, data, form):
    made, _ = filled
    made.edit(lambda edit: edit.put(BLOCKS, block_key(0, PLACES[0]), data, form))
    with pytest.raises(CorruptValue, match="block"):
        made.see(lambda view: read_blocks(view, 0, PLACES))
    with pytest.raises(CorruptValue, match="block"):
        made.voxels((1, 1, 1), (0, 0, 16))


def test_only_what_lies_in_the_box_is_written(filled):
    made, voxels = filled
    box = Box((-3, 5, 9), (4, 12, 20))
    out = np.full(box.shape_zyx, 77, np.uint64)

    def decoded(view):
        opened = OpenBlocks(PLACES, read_blocks(view, 0, PLACES))
        opened.decode(out.ctypes.data, box, BLOCK_ZYX)
        assert opened.as_bodies(view) is None
        return [len(labels) for labels in opened.labels()]

    assert made.see(decoded)[3] == 0
    expected = np.full(box.shape_zyx, 77, np.uint64)
    expected[3:, :, 7:] = voxels[0][:4, 5:12, :4]
    expected[:3, :, :7] = voxels[1][13:, 5:12, 9:]
    expected[3:, :, :7] = voxels[2][:4, 5:12, 9:]
    np.testing.assert_array_equal(out, expected)
