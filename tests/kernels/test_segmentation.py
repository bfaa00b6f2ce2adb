"""Compressed segmentation, read as its description has it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernels.labelblock_model import volumes

from dvid.errors import BadRequest, TooLarge
from dvid.kernels.segmentation import compress_segmentation


def read(words, shape):
    base = int(words[0])
    out = np.zeros(shape, np.uint64)
    grid = [side // 8 for side in shape]
    for i, (z, y, x) in enumerate(np.ndindex(*grid)):
        head, first = int(words[base + 2 * i]), int(words[base + 2 * i + 1])
        table, bits = base + (head & 0xFFFFFF), head >> 24
        places = np.zeros(512, np.int64)
        if bits:
            packed = words[base + first : base + first + 16 * bits]
            shifts = np.arange(0, 32, bits, dtype=np.uint32)
            places = ((packed[:, None] >> shifts) & np.uint32((1 << bits) - 1)).reshape(-1).astype(np.int64)
        low, high = words[table + 2 * places].astype(np.uint64), words[table + 2 * places + 1].astype(np.uint64)
        labels = (low | high << np.uint64(32)).reshape(8, 8, 8)
        out[8 * z : 8 * z + 8, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8] = labels
    return out


@given(volumes(), st.sampled_from([0, 1, 2]))
def test_labels_are_what_they_were(voxels, kind):
    box = [voxels, voxels[::-1, :, ::-1], np.asfortranarray(voxels)][kind]
    words = compress_segmentation(box)
    np.testing.assert_array_equal(read(words, box.shape), box)


@pytest.mark.parametrize(("labels", "bits"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 4), (16, 4), (17, 8), (257, 16)])
def test_a_voxel_takes_as_many_bits_as_the_format_has_for_its_block(labels, bits):
    words = compress_segmentation((np.arange(512, dtype=np.uint64) % np.uint64(labels)).reshape(8, 8, 8))
    assert words[:3].tolist() == [1, (2 + 16 * bits) | bits << 24, 2]
    assert len(words) == 3 + 16 * bits + 2 * labels


def test_more_than_the_format_can_address_is_refused():
    with pytest.raises(TooLarge, match="64 MiB"):
        compress_segmentation(np.arange(192 * 200 * 200, dtype=np.uint64).reshape(192, 200, 200))


@pytest.mark.parametrize("box", [np.zeros((8, 8, 8), np.uint32), np.zeros((8, 8), np.uint64)])
def test_arrays_of_other_types_are_refused(box):
    with pytest.raises(BadRequest, match="expected"):
        compress_segmentation(box)


@pytest.mark.parametrize("shape", [(8, 8, 12), (8, 0, 8)])
def test_boxes_that_cut_blocks_are_refused(shape):
    with pytest.raises(BadRequest, match="multiple of 8"):
        compress_segmentation(np.zeros(shape, np.uint64))
