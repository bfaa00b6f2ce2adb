"""Checksums of many buffers."""

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from dvid.errors import BadRequest
from dvid.kernels.buffers import locate
from dvid.kernels.checksums import checksums


@given(st.lists(st.tuples(st.binary(max_size=600), st.integers(0, 2**64 - 1))))
def test_checksums_are_those_of_xxhash(seeded):
    contents = [content for content, _ in seeded]
    seeds = np.array([seed for _, seed in seeded], np.uint64)
    assert checksums(*locate(contents), seeds).tolist() == [xxhash.xxh3_64_intdigest(*pair) for pair in seeded]


def test_a_missing_buffer_has_the_checksum_zero():
    where, sizes = locate([None, b"abc"])
    found = checksums(where, sizes, np.zeros(2, np.uint64)).tolist()
    assert found == [0, xxhash.xxh3_64_intdigest(b"abc")]


def test_arrays_of_different_lengths_are_refused():
    where, sizes = locate([b"abc", b"def"])
    with pytest.raises(BadRequest, match="equal numbers"):
        checksums(where, sizes, np.zeros(1, np.uint64))
