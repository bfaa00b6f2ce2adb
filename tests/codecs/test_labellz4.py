"""Labels as LZ4 blocks, read by the LZ4 library."""

from __future__ import annotations

from typing import Any

import lz4.block
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dvid.codecs.compression import lz4_compress
from dvid.codecs.labellz4 import encode
from dvid.geometry import Zyx

Labels = np.ndarray[Any, np.dtype[np.uint64]]


def packed(labels: Labels) -> bytes:
    return encode(labels.data.cast("B"), labels.shape)


def unpacked(data: bytes, shape: Zyx) -> Labels:
    plain = lz4.block.decompress(data, uncompressed_size=8 * int(np.prod(shape)))
    return np.frombuffer(plain, np.uint64).reshape(shape)


def cells(shape: Zyx, count: int, seed: int = 1) -> Labels:
    """Voxels with the label of the nearest of some points: uint64 (z, y, x)."""
    random = np.random.default_rng(seed)
    points = random.random((count, 3)) * shape
    places = np.moveaxis(np.indices(shape), 0, -1)[..., None, :]
    nearest = ((places - points) ** 2).sum(-1).argmin(-1)
    return random.integers(1, 2**64, count, np.uint64, endpoint=False)[nearest]


@given(
    arrays.arrays(
        np.uint64,
        st.tuples(*[st.integers(1, 12)] * 3),
        elements=st.sampled_from([0, 1, 2, 2**40, 2**64 - 1]) | st.integers(0, 2**64 - 1),
    )
)
def test_labels_come_back(labels: Labels) -> None:
    assert np.array_equal(unpacked(packed(labels), labels.shape), labels)


SMALL = [(1, 1, 1), (1, 1, 2), (3, 1, 1), (2, 70, 1), (9, 5, 2), (2, 2, 3), (40, 33, 17)]
AT_THE_FARTHEST = [(3, 89, 92), (3, 91, 90), (2, 90, 91), *((1, 3, width) for width in range(8188, 8193)), (2, 2, 9000)]
"""Planes, and rows, of about as many bytes as LZ4 can tell to go back, and of more."""


@pytest.mark.parametrize("shape", SMALL + AT_THE_FARTHEST)
@pytest.mark.parametrize("labels", [1, 2, 50])
def test_boxes_of_any_shape_come_back(shape: Zyx, labels: int) -> None:
    made = cells(shape, labels)
    assert np.array_equal(unpacked(packed(made), shape), made)
    noise = np.random.default_rng(2).integers(0, labels, shape, np.uint64)
    assert np.array_equal(unpacked(packed(noise), shape), noise)


@pytest.mark.parametrize("row", range(1, 12))
def test_borders_that_move_come_back(row: int) -> None:
    """Slanted stripes: the label before may be anywhere around the voxel above, also before the first."""
    z, y, x = np.indices((3, 20, row))
    for step in range(-4, 5):
        stripes = ((x + step * y + z) // 3 % 4).astype(np.uint64)
        assert np.array_equal(unpacked(packed(stripes), stripes.shape), stripes)


def test_bodies_take_less_than_with_a_search_for_any_bytes() -> None:
    bodies = cells((32, 48, 64), 60)
    plain = bodies.data.cast("B")
    assert len(packed(bodies)) < 0.7 * len(lz4_compress(plain))
    nothing = np.zeros((64, 64, 64), np.uint64)
    assert len(packed(nothing)) < nothing.nbytes // 200


def test_noise_takes_hardly_more_than_its_bytes() -> None:
    noise = np.random.default_rng(3).integers(0, 2**64, (40, 40, 40), np.uint64, endpoint=False)
    assert len(packed(noise)) <= noise.nbytes + noise.nbytes // 255 + 16


def sequences(data: bytes) -> list[tuple[int, int, int]]:
    """Literals, distance and match of each sequence of an LZ4 block, read by the document of the format."""
    found, at = [], 0

    def length(told: int) -> int:
        nonlocal at
        more = told == 15
        while more:
            told += data[at]
            more = data[at] == 255
            at += 1
        return told

    while at < len(data):
        token = data[at]
        at += 1
        literals = length(token >> 4)
        at += literals
        if at == len(data):
            found.append((literals, 0, 0))
            break
        distance = int.from_bytes(data[at : at + 2], "little")
        at += 2
        found.append((literals, distance, 4 + length(token & 15)))
    return found


@given(st.tuples(*[st.integers(1, 9)] * 3), st.integers(1, 4), st.integers(0, 99))
def test_the_end_is_as_the_format_wants_it(shape: Zyx, labels: int, seed: int) -> None:
    made = np.random.default_rng(seed).integers(0, labels, shape, np.uint64)
    *before, (literals, distance, match) = sequences(packed(made))
    assert (distance, match) == (0, 0)
    assert literals >= 5, "the last five bytes are literals"
    if before:
        assert before[-1][2] + literals >= 12, "the last match begins 12 bytes before the end at the latest"
    written = 0
    for count, back, copied in before:
        written += count
        assert 0 < back <= written, "nothing before the beginning is copied"
        written += copied
    assert written + literals == made.nbytes
