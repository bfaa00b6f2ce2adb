"""Label blocks as bytes: what is refused, and what comes back."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernels.labelblock_model import decode, serialized, volumes

from dvid.codecs import labelblocks
from dvid.errors import BadRequest, TooLarge


@given(volumes(), st.sampled_from([1, 6]))
def test_a_block_survives_the_way_to_the_store_and_back(voxels, level):
    data = labelblocks.inflate(labelblocks.deflate(labelblocks.encode(voxels), level), voxels.shape)
    block = labelblocks.checked(data, voxels.shape)
    assert labelblocks.block_shape(block) == voxels.shape
    assert len(block) <= labelblocks.largest_bytes(voxels.shape)
    np.testing.assert_array_equal(labelblocks.decode(block), voxels)


@given(serialized())
def test_the_label_list_is_read_as_it_is_written(data):
    whole = labelblocks.labels_of(labelblocks.checked(data))
    assert whole.tolist() == list(struct.unpack_from(f"<{len(whole)}Q", data, 16))


def test_what_is_no_gzip_is_refused():
    with pytest.raises(BadRequest, match="gzip"):
        labelblocks.inflate(b"no gzip at all", (64, 64, 64))


@given(serialized(), st.integers(0, 2**32))
def test_another_label_list_changes_the_labels_and_nothing_else(data, seed):
    block = labelblocks.checked(data)
    labels = np.random.default_rng(seed).integers(0, 5, len(labelblocks.labels_of(block)), np.uint64)
    changed = labelblocks.checked(labelblocks.relabel(block, labels), labelblocks.block_shape(block))
    np.testing.assert_array_equal(labelblocks.labels_of(changed), labels)
    np.testing.assert_array_equal(labelblocks.decode(changed), decode(changed.tobytes()))
    np.testing.assert_array_equal(labelblocks.decode(changed), labelblocks.decode(block, labels))
    rest = labelblocks.deflated_rest(block)
    for some in (labels, labels[::-1]):
        zipped = labelblocks.deflate_relabelled(block, some, rest)
        assert labelblocks.inflate(zipped, labelblocks.block_shape(block)) == labelblocks.relabel(block, some)
    for refused in (labelblocks.relabel, lambda *given: labelblocks.deflate_relabelled(*given, rest)):
        with pytest.raises(BadRequest, match="labels given"):
            refused(block, np.append(labels, labels[0]))


def test_a_block_of_one_label_has_24_bytes():
    data = labelblocks.solid(2**64 - 1, (8, 16, 24))
    assert data == labelblocks.encode(np.full((8, 16, 24), 2**64 - 1, np.uint64))
    assert data == bytes.fromhex("03000000 02000000 01000000 01000000 ffffffffffffffff")
    assert labelblocks.count(labelblocks.checked(data)).tolist() == [8 * 16 * 24]


@pytest.mark.parametrize("shape", [(8, 8, 12), (0, 8, 8), (8, 8, 1032)])
def test_a_block_of_one_label_needs_a_shape_that_blocks_can_have(shape):
    with pytest.raises(BadRequest, match="multiple of 8"):
        labelblocks.solid(1, shape)


def test_blocks_of_a_box_are_encoded_one_by_one():
    box = np.arange(16 * 16 * 16, dtype=np.uint64).reshape(16, 16, 16) // np.uint64(7)
    origins = np.array([(0, 0, 8), (8, 0, 0)], np.int64)
    one, other = labelblocks.encode_blocks(box, origins, (8, 16, 8))
    assert one.tobytes() == labelblocks.encode(box[:8, :, 8:])
    assert other.tobytes() == labelblocks.encode(box[8:, :, :8])
    assert labelblocks.encode_blocks(box, origins[:0], (8, 16, 8)) == []


def test_blocks_are_written_into_a_box_with_their_own_labels_or_others():
    box = np.full((8, 8, 32), 9, np.uint64)
    two = labelblocks.trusted(labelblocks.encode(np.arange(512, dtype=np.uint64).reshape(8, 8, 8)))
    origins = np.array([(0, 0, 0), (0, 0, 8), (0, 0, 16)], np.int64)
    labels = [None, np.arange(512, 1024, dtype=np.uint64), None]
    labelblocks.decode_into([two, two, None], origins, box, labels, (8, 8, 8))
    assert box[7, 7, [7, 15, 23, 31]].tolist() == [511, 1023, 0, 9]


@pytest.mark.parametrize(
    "box",
    [
        np.zeros((8, 8, 8), np.uint32),
        np.zeros((8, 8), np.uint64),
        np.zeros((8, 8, 16), np.uint64)[:, :, ::2],
        np.frombuffer(bytes(8 * 512), np.uint64).reshape(8, 8, 8),
    ],
)
def test_only_a_box_that_labels_can_be_written_to_is_taken(box):
    block = labelblocks.trusted(labelblocks.solid(1, (8, 8, 8)))
    with pytest.raises(BadRequest, match="box for labels"):
        labelblocks.decode_into([block], np.zeros((1, 3), np.int64), box)


def test_as_many_label_lists_as_blocks_are_expected():
    with pytest.raises(BadRequest, match="1 label lists given for 0"):
        labelblocks.decode_into([], np.zeros((0, 3), np.int64), np.zeros((1, 1, 1), np.uint64), [None])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has 0 bytes, and its head alone needs 16"),
        (struct.pack("<4IQ", 1, 1, 300, 1, 5), "says that it has 300 sub-blocks along an axis, expected 1 to 128"),
        (struct.pack("<4I", 1, 1, 1, 0), "has no label"),
        (struct.pack("<4IQx", 1, 1, 1, 1, 5), "has 25 bytes, and its tables tell of 24"),
        (struct.pack("<4I2QHI", 1, 1, 1, 2, 5, 6, 1, 7), "refers to label 7 of 2"),
        (struct.pack("<4I2QH", 1, 1, 1, 2, 5, 6, 600), "says that a sub-block has 600 labels, expected at most 512"),
        (
            struct.pack("<4I2QH3I", 1, 1, 1, 2, 5, 6, 3, 0, 1, 0) + b"\xff" * 128,
            "has a voxel that refers to entry 3 of its",
        ),
        (struct.pack("<4IQ", 1, 1, 2, 1, 5), r"has \(16, 8, 8\) voxels \(z, y, x\), expected \(8, 8, 8\)"),
    ],
)
def test_refusals_say_what_is_wrong(data, message):
    with pytest.raises(BadRequest, match=f"^block 1,2,3 {message}"):
        labelblocks.checked(data, (8, 8, 8), "block 1,2,3")


def test_gzip_data_that_grow_beyond_any_block_of_the_shape_are_refused():
    bomb = gzip.compress(bytes(2**20))
    with pytest.raises(TooLarge, match=str(labelblocks.largest_bytes((8, 8, 8)))):
        labelblocks.inflate(bomb, (8, 8, 8))


def test_a_block_that_has_another_label_in_each_voxel_has_the_largest_size():
    data = labelblocks.encode(np.arange(16 * 8 * 8, dtype=np.uint64).reshape(16, 8, 8))
    assert len(data) == labelblocks.largest_bytes((16, 8, 8))


def test_painting_tells_how_many_voxels_are_inside():
    block = labelblocks.trusted(labelblocks.encode(np.repeat(np.uint64([4, 5]), 256).reshape(8, 8, 8)))
    runs = np.array([(1, 0, 0, 3), (0, 0, 7, 8)], np.int32)
    made, inside = labelblocks.paint(block, runs, np.array([4, 50], np.uint64), np.array([4, 51], np.uint64))
    assert inside.tolist() == labelblocks.count_inside(block, runs).tolist() == [3, 8, 0]
    counts = labelblocks.count(labelblocks.checked(made)).tolist()
    found = labelblocks.labels_of(labelblocks.checked(made)).tolist()
    assert dict(zip(found, counts, strict=True)) == {4: 256, 50: 8, 51: 248}


def test_eight_blocks_make_one_of_half_the_resolution():
    children = [labelblocks.trusted(labelblocks.solid(label, (8, 8, 8))) for label in range(7)]
    made = labelblocks.decode(labelblocks.checked(labelblocks.downres([*children, None], (8, 8, 8))))
    assert made[::4, ::4, ::4].ravel().tolist() == [0, 1, 2, 3, 4, 5, 6, 0]
