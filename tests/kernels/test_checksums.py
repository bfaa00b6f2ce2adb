"""Checksums of many buffers."""

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from dvid.errors import BadRequest
from dvid.kernels.buffers import locate
from dvid.kernels.checksums import checksums, fnv128


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


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "6c62272e07bb014262b821756295c58d"),
        (b"a", "d228cb69101a8caf78912b704e4a141e"),
        (b"ab", "0880945aeeab1be95aa073305526c088"),
        (b"abc", "a68bb2a4348b5822836dbc78c6aee73b"),
    ],
)
def test_fnv_is_that_of_other_implementations(content, expected):
    assert fnv128(content).hex() == expected


@given(st.binary(max_size=300))
def test_fnv_is_multiplied_and_then_mixed_byte_by_byte(content):
    expected = 0x6C62272E07BB014262B821756295C58D
    for byte in content:
        expected = expected * (2**88 + 0x13B) % 2**128 ^ byte
    assert fnv128(content) == fnv128(memoryview(content)) == expected.to_bytes(16, "big")
