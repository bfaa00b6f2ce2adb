"""Compressed segmentation as bytes."""

import numpy as np

from dvid.codecs import segmentation


def test_a_block_of_two_labels_is_a_word_two_heads_its_bits_and_its_table():
    voxels = np.full((8, 8, 8), 3, np.uint64)
    voxels[0, 0, 1] = 2**63 + 7
    expected = bytes.fromhex("01000000 12000001 02000000 02000000") + bytes(60)
    expected += (3).to_bytes(8, "little") + (2**63 + 7).to_bytes(8, "little")
    assert bytes(segmentation.encode(voxels)) == expected
