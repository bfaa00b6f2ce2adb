"""Label blocks, compared with a model in plain numpy that works bit by bit."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.kernels.labelblock_model import decode, serialize, serialized, volumes

from dvid.errors import BadRequest
from dvid.kernels.buffers import addresses
from dvid.kernels.labelblocks import count_labels, decode_blocks, labels_of_points
from dvid.kernels.labellayout import (
    CROWDED,
    FINE,
    GRID,
    LENGTH,
    NO_LABEL,
    PLACE,
    SHORT,
    VALUE,
    check_block,
)
from dvid.kernels.labelwriting import encode_blocks

UNTOUCHED = 0x7777777777777777
ORIGIN = np.zeros((1, 3), np.int64)
FAR = [-(2**63), -(2**31), 2**31, 2**63 - 1]


def array(data):
    return np.frombuffer(data, np.uint8)


def encode(voxels):
    return encode_blocks(voxels, ORIGIN, voxels.shape)[0].tobytes()


def decoded(data, shape):
    out = np.full(shape, UNTOUCHED, np.uint64)
    decode_blocks(addresses([data]), ORIGIN, shape, out.ctypes.data, shape)
    return out


@given(volumes())
def test_what_is_encoded_is_a_sound_block_and_decodes_to_the_same_voxels(voxels):
    data = encode(voxels)
    assert check_block(array(data)) == (FINE, 0)
    np.testing.assert_array_equal(decode(data), voxels)
    np.testing.assert_array_equal(decoded(data, voxels.shape), voxels)


@given(volumes())
def test_the_label_list_of_what_is_encoded_has_each_label_once_in_the_order_of_appearance(voxels):
    gz, gy, gx = (side // 8 for side in voxels.shape)
    order = voxels.reshape(gz, 8, gy, 8, gx, 8).transpose(0, 2, 4, 1, 3, 5).ravel()
    data = encode(voxels)
    count = int.from_bytes(data[12:16], "little")
    assert np.frombuffer(data, np.uint64, count, 16).tolist() == list(dict.fromkeys(order.tolist()))
    assert (len(data) == 24) == (count == 1)


@given(serialized())
def test_every_legal_form_of_a_block_is_read(data):
    assert check_block(array(data)) == (FINE, 0)
    voxels = decode(data)
    np.testing.assert_array_equal(decoded(data, voxels.shape), voxels)


@given(serialized())
def test_the_counts_are_those_of_the_voxels(data):
    counts = count_labels(array(data))
    voxels = decode(data)
    count = int.from_bytes(data[12:16], "little")
    by_label: dict[int, int] = {}
    for label, number in zip(np.frombuffer(data, np.uint64, count, 16).tolist(), counts.tolist(), strict=True):
        by_label[label] = by_label.get(label, 0) + number
    labels, numbers = np.unique(voxels, return_counts=True)
    expected = dict(zip(labels.tolist(), numbers.tolist(), strict=True))
    by_label[0] = expected.get(0, 0)  # Sub-blocks without data are in no count.
    assert {label: number for label, number in by_label.items() if number} == expected


@given(st.lists(st.none() | serialized(), max_size=4), st.data())
def test_points_of_many_blocks_have_the_labels_of_their_voxels(blocks, draw):
    points, ends, expected = [], [], []
    for data in blocks:
        voxels = np.zeros((8, 8, 8), np.uint64) if data is None else decode(data)
        for _ in range(draw.draw(st.integers(0, 8))):
            points.append(tuple(draw.draw(st.integers(0, side - 1)) for side in voxels.shape))
            expected.append(int(voxels[points[-1]]))
        ends.append(len(points))
    found = labels_of_points(addresses(blocks), np.array(ends, np.int64), np.array(points, np.int64).reshape(-1, 3))
    assert found.tolist() == expected


@pytest.mark.parametrize("point", [(-1, 0, 0), (0, 16, 0), (0, 0, 8), (2**40, 0, 0), (0, -(2**63), 0)])
def test_a_point_outside_is_refused(point):
    data = encode(np.arange(16 * 16 * 8, dtype=np.uint64).reshape(16, 16, 8))
    with pytest.raises(BadRequest, match="outside"):
        labels_of_points(addresses([data, data]), np.array([1, 2]), np.array([(0, 0, 0), point], np.int64))


@pytest.mark.parametrize("ends", [[], [2], [0, 2], [0, 0, 1]])
def test_as_many_points_are_asked_for_as_there_are(ends):
    data = encode(np.zeros((8, 8, 8), np.uint64))
    with pytest.raises(BadRequest, match="ends up to n"):
        labels_of_points(addresses([data, None]), np.array(ends, np.int64), np.zeros((1, 3), np.int64))


# ---- many blocks and boxes ----------------------------------------------------------------------


@st.composite
def layouts(draw):
    shape = tuple(draw(st.lists(st.sampled_from([8, 16, 24]), min_size=3, max_size=3)))
    box_shape = tuple(draw(st.lists(st.integers(1, 40), min_size=3, max_size=3)))
    coordinate = st.one_of(st.integers(-26, 42), st.sampled_from(FAR))
    origins = draw(st.lists(st.tuples(coordinate, coordinate, coordinate), max_size=5))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    blocks = []
    for _ in origins:
        kinds = draw(st.sampled_from([0, 1, 2, 3, 10, 600]))
        blocks.append(encode(random.integers(0, kinds, shape, np.uint64)) if kinds else None)
    return shape, box_shape, origins, blocks


@given(layouts(), st.booleans(), st.booleans())
def test_only_the_parts_inside_the_box_are_written_and_nothing_around_them(layout, strided, remapped):
    shape, box_shape, origins, blocks = layout
    larger = np.full([side + 2 for side in box_shape] if strided else box_shape, UNTOUCHED, np.uint64)
    inner = larger[1:-1, 1:-1, 1:-1] if strided else larger
    expected = larger.copy()
    wanted = expected[1:-1, 1:-1, 1:-1] if strided else expected
    lists = [
        np.empty(0, np.uint64)
        if data is None
        else np.frombuffer(data, np.uint64, int.from_bytes(data[12:16], "little"), 16)
        for data in blocks
    ]
    for origin, data in zip(origins, blocks, strict=True):
        voxels = np.zeros(shape, np.uint64) if data is None else decode(data)
        if remapped and data is not None:
            voxels = voxels * np.uint64(3) + np.uint64(5)
        parts = [
            (max(at, 0), min(at + side, limit), at) for at, side, limit in zip(origin, shape, box_shape, strict=True)
        ]
        if all(first < last for first, last, _ in parts):
            wanted[tuple(slice(first, last) for first, last, _ in parts)] = voxels[
                tuple(slice(first - at, last - at) for first, last, at in parts)
            ]
    labels = starts = None
    if remapped:
        labels = np.concatenate([*(own * np.uint64(3) + np.uint64(5) for own in lists), np.empty(0, np.uint64)])
        starts = np.cumsum([0, *map(len, lists)])
    decode_blocks(
        addresses(blocks),
        np.array(origins, np.int64).reshape(-1, 3),
        shape,
        inner.ctypes.data,
        box_shape,
        labels,
        starts,
        inner.strides[:2],
    )
    np.testing.assert_array_equal(larger, expected)


def test_a_label_list_shorter_than_the_block_needs_is_refused():
    data = encode(np.arange(512, dtype=np.uint64).reshape(8, 8, 8))
    out = np.empty((8, 8, 8), np.uint64)
    for labels, starts in [(511, [0, 511]), (512, [1, 512]), (600, [0, 511]), (512, [-1, 512]), (0, [0, 600])]:
        with pytest.raises(BadRequest, match="shorter"):
            decode_blocks(
                addresses([data]),
                ORIGIN,
                (8, 8, 8),
                out.ctypes.data,
                out.shape,
                np.zeros(labels, np.uint64),
                np.array(starts, np.int64),
            )


@given(volumes([24, 32]), st.lists(st.tuples(*[st.integers(0, 8)] * 3), max_size=4), st.sampled_from([0, 1, 2]))
def test_blocks_anywhere_in_a_box_are_encoded_in_one_call(voxels, origins, kind):
    box = [voxels, voxels[::-1, :, ::-1], np.asfortranarray(voxels)][kind]
    blocks, ends = encode_blocks(box, np.array(origins, np.int64).reshape(-1, 3), (16, 8, 24 - 8))
    assert len(ends) == len(origins)
    for (z, y, x), start, end in zip(origins, [0, *ends.tolist()], ends.tolist(), strict=False):
        np.testing.assert_array_equal(decode(blocks[start:end].tobytes()), box[z : z + 16, y : y + 8, x : x + 16])


@pytest.mark.parametrize("origin", [(-1, 0, 0), (0, 0, 1), (9, 0, 0), (2**63 - 1, 0, 0), (0, -(2**63), 0)])
def test_a_block_that_reaches_out_of_the_box_is_not_encoded(origin):
    with pytest.raises(BadRequest, match="reaches out"):
        encode_blocks(np.zeros((16, 8, 8), np.uint64), np.array([origin], np.int64), (8, 8, 8))


@pytest.mark.parametrize("shape", [(8, 8, 12), (0, 8, 8), (8, -8, 8), (8, 1032, 8)])
def test_shapes_that_no_block_has_are_refused(shape):
    with pytest.raises(BadRequest, match="multiple of 8"):
        encode_blocks(np.zeros((16, 16, 16), np.uint64), ORIGIN, shape)


def test_arrays_of_other_types_are_not_encoded():
    with pytest.raises(BadRequest, match="uint64"):
        encode_blocks(np.zeros((8, 8, 8), np.uint32), ORIGIN, (8, 8, 8))


# ---- hostile bytes ------------------------------------------------------------------------------


def mixed(labels=3, sizes=(3, 1)):
    """A block of two sub-blocks."""
    tables = [np.arange(size) % labels for size in sizes]
    return serialize((1, 1, 2), np.arange(labels), tables, [np.arange(512) % max(size, 1) for size in sizes])


def changed(data, at, value, width):
    return data[:at] + value.to_bytes(width, "little") + data[at + width :]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", (SHORT, 16)),
        (mixed()[:15], (SHORT, 16)),
        (changed(mixed(), 0, 0, 4), (GRID, 0)),
        (changed(mixed(), 4, 129, 4), (GRID, 129)),
        (changed(mixed(), 8, 2**32 - 1, 4), (GRID, 2**32 - 1)),
        (changed(mixed(), 12, 0, 4), (NO_LABEL, 0)),
        (changed(mixed(), 12, 2**32 - 1, 4), (SHORT, 16 + 8 * (2**32 - 1) + 4)),
        (mixed()[:40], (SHORT, 16 + 24 + 4)),
        (mixed()[:-1], (LENGTH, len(mixed()))),
        (mixed() + b"\0", (LENGTH, len(mixed()))),
        (mixed(1) + b"\0", (LENGTH, 24)),
        (changed(mixed(), 40, 513, 2), (CROWDED, 513)),
        (changed(mixed(), 44, 3, 4), (PLACE, 3)),
        (changed(mixed(), 56, 2**32 - 1, 4), (PLACE, 2**32 - 1)),
        (changed(mixed(), 60, 0b00_11_00_00, 1), (VALUE, 3)),
        (changed(mixed(), len(mixed()) - 1, 0b11, 1), (VALUE, 3)),
        (changed(mixed(300, (300, 0)), 16 + 2400 + 4 + 1200, 0xFF, 1), (VALUE, 510)),
    ],
)
def test_what_is_wrong_with_bytes_is_found(data, found):
    assert check_block(array(data)) == found


@given(serialized(), st.data())
@example(mixed(), None)
def test_bytes_that_were_tampered_with_are_refused_or_read_as_the_model_reads_them(data, draw):
    if draw is not None:
        for _ in range(draw.draw(st.integers(1, 4))):
            at = draw.draw(st.one_of(st.integers(0, min(40, len(data) - 1)), st.integers(0, len(data) - 1)))
            data = changed(data, at, draw.draw(st.integers(0, 255)), 1)
        data = data[: draw.draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))]
    # A copy that ends where its memory does, as far as that can be had.
    block = array(data).copy()
    if check_block(block)[0] != FINE:
        return
    voxels = decode(data)
    np.testing.assert_array_equal(decoded(data, voxels.shape), voxels)
    count_labels(block)


@given(st.binary(max_size=300))
def test_any_bytes_are_looked_through_without_harm(data):
    check_block(array(data))
