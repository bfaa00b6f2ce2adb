"""Voxels to stored blocks in one call, compared with `dvid.versions.envelope` and plain numpy slicing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvid.errors import BadRequest
from dvid.kernels.sealing import seal_blocks
from dvid.kernels.stored import Codes
from dvid.versions.envelope import Format, expand, seal, unseal

CODES = Codes(nothing=int(Format.TOMBSTONE), raw=int(Format.RAW), lz4=int(Format.LZ4))


def sealed(box, origins, block_shape, names, *, lz4):
    keys = np.frombuffer(b"".join(names), np.uint8).reshape(len(names), -1)
    flat = box.reshape(*box.shape[:2], -1)
    at = np.array(origins, np.int64).reshape(-1, 3)
    return seal_blocks(flat, at, block_shape, box.shape[3], keys, CODES, lz4=lz4)


def block_of(box, origin, block_shape):
    return box[tuple(slice(start, start + extent) for start, extent in zip(origin, block_shape, strict=True))]


@given(
    st.tuples(*[st.integers(1, 12)] * 3),
    st.tuples(*[st.integers(1, 3)] * 3),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([1, 3, 256]),
    st.booleans(),
    st.integers(0, 99),
)
def test_sealed_blocks_open_to_what_was_cut_out(block_shape, counts, itemsize, values, lz4, seed):
    random = np.random.default_rng(seed)
    box_shape = tuple(n * extent + 1 for n, extent in zip(counts, block_shape, strict=True))
    box = random.integers(0, values, (*box_shape, itemsize), np.uint8)
    origins = [
        tuple(int(random.integers(0, limit - extent + 1)) for limit, extent in zip(box_shape, block_shape, strict=True))
        for _ in range(5)
    ]
    names = [bytes([number]) * 21 for number in range(5)]
    for origin, key, value in zip(origins, names, sealed(box, origins, block_shape, names, lz4=lz4), strict=True):
        opened = unseal(key, value)
        block = block_of(box, origin, block_shape).tobytes()
        assert bytes(expand(opened, key)) == block
        assert opened.format == Format.RAW or (lz4 and len(opened.payload) <= 0.75 * len(block))


def test_without_lz4_the_values_are_those_of_the_envelope():
    box = np.arange(2 * 8 * 8, dtype=np.uint8).reshape(2, 8, 8, 1)
    (value,) = sealed(box, [(0, 4, 4)], (2, 4, 4), [b"key"], lz4=False)
    assert bytes(value) == seal(b"key", block_of(box, (0, 4, 4), (2, 4, 4)).tobytes())


def test_only_blocks_that_become_smaller_by_a_quarter_are_packed():
    random = np.random.default_rng(1)
    noise = random.integers(0, 256, (32, 32, 32, 1), np.uint8)
    half = np.concatenate([noise[:16], np.zeros_like(noise[16:])])
    flat = np.zeros_like(noise)
    forms = [
        unseal(b"k", sealed(box, [(0, 0, 0)], (32, 32, 32), [b"k"], lz4=True)[0]).format for box in (noise, half, flat)
    ]
    assert forms == [Format.RAW, Format.LZ4, Format.LZ4]


def test_no_blocks_give_no_values():
    box = np.zeros((4, 4, 4, 1), np.uint8)
    empty = np.empty((0, 21), np.uint8)
    assert seal_blocks(box[..., 0].copy(), np.empty((0, 3), np.int64), (4, 4, 4), 1, empty, CODES, lz4=True) == []


@pytest.mark.parametrize("origin", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (-1, 0, 0), (0, 0, -(2**63)), (2**63 - 1, 0, 0)])
def test_a_block_that_does_not_lie_in_the_box_is_refused(origin):
    with pytest.raises(BadRequest, match="does not lie in the box"):
        sealed(np.zeros((4, 4, 4, 1), np.uint8), [origin], (4, 4, 4), [b"key"], lz4=True)


def test_arrays_that_do_not_fit_each_other_are_refused():
    box, keys = np.zeros((4, 4, 4), np.uint8), np.zeros((2, 3), np.uint8)
    with pytest.raises(BadRequest, match="do not fit"):
        seal_blocks(box, np.zeros((1, 3), np.int64), (4, 4, 4), 1, keys, CODES, lz4=True)
    with pytest.raises(BadRequest, match="do not fit"):
        seal_blocks(box, np.zeros((2, 3), np.int64), (4, 4, 4), 3, keys, CODES, lz4=True)
