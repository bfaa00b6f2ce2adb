"""Sparse volumes of label blocks."""

import numpy as np
import pytest

from dvid.codecs import labelblocks, labelmasks
from dvid.errors import BadRequest
from dvid.geometry import Box


def block(label, rest=0):
    voxels = np.full((8, 8, 8), rest, np.uint64)
    voxels[2, 3, 4:6] = label
    return labelblocks.trusted(labelblocks.encode(voxels))


def test_runs_of_several_blocks_come_in_voxel_coordinates():
    blocks = [block(7), block(8), block(7, 7)]
    flags = [labelblocks.labels_of(one) == 7 for one in blocks]
    origins = np.array([(0, 0, 0), (8, 8, 8), (-8, 16, 24)], np.int64)
    runs = labelmasks.runs_of(blocks, origins, flags)
    assert runs[0].tolist() == [4, 3, 2, 2]
    assert runs[1:].tolist() == [[24, 16 + y, z - 8, 8] for z in range(8) for y in range(8)]
    cut = labelmasks.runs_of(blocks, origins, flags, Box((-3, 16, 25), (3, 17, 29)))
    assert cut.tolist() == [[25, 16, z, 4] for z in (-3, -2, -1)]
    assert labelmasks.runs_of([], np.zeros((0, 3), np.int64), []).shape == (0, 4)


def test_there_are_flags_for_each_block():
    with pytest.raises(BadRequest, match="0 lists of flags given for 1 blocks"):
        labelmasks.runs_of([block(7)], np.zeros((1, 3), np.int64), [])


def test_a_stream_of_binary_blocks_begins_with_sub_blocks_and_label():
    assert labelmasks.stream_head((8, 16, 24), 2**63) == bytes.fromhex("03000000 02000000 01000000 0000000000000080")


def test_a_binary_block_has_its_place_and_a_bit_for_each_voxel():
    one = block(7)
    bits = np.zeros(64, np.uint8)
    bits[2 * 8 + 3] = 0b00110000
    found = labelmasks.encode_binary(one, labelblocks.labels_of(one) == 7, (-1, 2, 3))
    assert bytes(found) == bytes.fromhex("03000000 02000000 ffffffff 02 02") + bits.tobytes()
    assert bytes(labelmasks.encode_binary(one, np.array([True, True]), (0, 0, 0))) == bytes(12) + b"\1"
    assert bytes(labelmasks.encode_binary(one, np.array([False, False]), (0, 0, 0))) == bytes(12) + b"\0"
