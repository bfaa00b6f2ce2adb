"""LZ4 and gzip: round trips, other implementations, damaged data and bombs."""

import contextlib
import gzip
import tracemalloc
import zlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvid.codecs.compression import (
    deflate_raw,
    gzip_compress,
    gzip_decompress,
    gzip_joined,
    gzip_stream,
    lz4_compress,
    lz4_decompress,
)
from dvid.errors import BadRequest, TooLarge

LIMIT = 1 << 20


@given(st.binary(max_size=5000), st.integers(1, 50))
def test_lz4_gives_back_what_it_was_given(content, repeats):
    data = content * repeats
    assert lz4_decompress(memoryview(lz4_compress(data)), len(data)) == data


def test_lz4_is_the_block_format_without_frame_or_size():
    # A token for 3 literals and a match of 4 + 1 bytes, 3 back; then 12 literals, since a block must end with some.
    block = b"\x31abc\x03\x00" + b"\xc0abcdefghijkl"
    assert lz4_decompress(block, 20) == b"abcabcababcdefghijkl"


@given(st.binary(min_size=1, max_size=300), st.integers(-5, 300))
def test_lz4_of_another_size_is_refused(data, size):
    compressed = lz4_compress(data)
    if size != len(data):
        with pytest.raises(BadRequest):
            lz4_decompress(compressed, size)


@given(st.binary(min_size=1, max_size=300), st.data())
def test_truncated_lz4_is_refused(data, draw):
    compressed = lz4_compress(data)
    kept = draw.draw(st.integers(0, len(compressed) - 1))
    with pytest.raises(BadRequest):
        lz4_decompress(compressed[:kept], len(data))


@given(st.binary(max_size=100), st.integers(0, 10_000))
def test_any_bytes_are_lz4_of_that_size_or_refused(garbage, size):
    with contextlib.suppress(BadRequest):
        assert len(lz4_decompress(garbage, size)) == size


def test_a_false_lz4_size_takes_no_memory():
    tracemalloc.start()
    with pytest.raises(BadRequest, match="cannot hold"):
        lz4_decompress(b"\x00" * 100, 1 << 40)
    with pytest.raises(BadRequest, match="cannot hold"):
        lz4_decompress(b"\x00" * 100, 1 << 28)
    assert tracemalloc.get_traced_memory()[1] < LIMIT
    tracemalloc.stop()


@given(st.binary(max_size=5000), st.sampled_from([-1, *range(1, 10)]))
def test_gzip_at_any_level_is_read_by_another_implementation(data, level):
    assert gzip.decompress(gzip_compress(memoryview(data), level)) == data


def test_gzip_of_equal_data_is_equal():
    assert gzip_compress(b"abc" * 100) == gzip_compress(b"abc" * 100)


@pytest.mark.parametrize("level", [0, -2, 10, 1000])
def test_an_unknown_gzip_level_is_refused(level):
    with pytest.raises(BadRequest, match=str(level)):
        gzip_compress(b"", level)


@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=30), st.integers(0, 20))
def test_gzip_members_are_joined_and_padding_is_ignored(contents, padding):
    data = b"".join(map(gzip.compress, contents)) + bytes(padding)
    plain = b"".join(contents)
    assert gzip_decompress(memoryview(data), len(plain)) == plain


def test_members_larger_than_a_piece_are_joined():
    contents = [bytes([n]) * n * 50_000 + zlib.compress(bytes(range(256)) * n) for n in range(1, 6)]
    data = b"".join(gzip.compress(content, 0) for content in contents)
    assert gzip_decompress(data, len(data)) == b"".join(contents)


@given(st.binary(max_size=500), st.data())
def test_truncated_gzip_is_refused(plain, draw):
    data = gzip.compress(plain)
    kept = draw.draw(st.integers(0, len(data) - 1))
    with pytest.raises(BadRequest, match="the body"):
        gzip_decompress(data[:kept], LIMIT, "the body")


@given(st.binary(max_size=200))
def test_any_bytes_are_gzip_or_refused(garbage):
    with pytest.raises(BadRequest):
        gzip_decompress(garbage, LIMIT)
    with pytest.raises(BadRequest):
        gzip_decompress(gzip.compress(b"abc") + b"\x01" + garbage, LIMIT)
    with pytest.raises(BadRequest):
        gzip_decompress(gzip.compress(b"abc") + b"\0" + garbage + b"\x01", LIMIT)


@given(st.binary(min_size=1, max_size=500), st.data())
def test_gzip_with_a_changed_byte_is_refused_or_is_the_same(plain, draw):
    data = bytearray(gzip.compress(plain))
    data[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    with contextlib.suppress(BadRequest):
        assert gzip_decompress(data, LIMIT) == plain


@given(st.binary(min_size=1, max_size=3000), st.data())
def test_gzip_beyond_the_limit_is_refused_with_the_limit(plain, draw):
    limit = draw.draw(st.integers(0, len(plain) - 1))
    cut = draw.draw(st.integers(0, len(plain)))
    data = gzip.compress(plain[:cut]) + gzip.compress(plain[cut:])
    with pytest.raises(TooLarge, match=f"the limit of {limit} bytes"):
        gzip_decompress(data, limit)
    assert gzip_decompress(data, len(plain)) == plain


def test_a_bomb_takes_no_more_memory_than_the_limit_needs():
    bomb = gzip.compress(bytes(200 << 20), 9)
    tracemalloc.start()
    with pytest.raises(TooLarge):
        gzip_decompress(bomb, LIMIT)
    assert tracemalloc.get_traced_memory()[1] < 5 * LIMIT
    tracemalloc.stop()


def test_many_tiny_members_take_time_in_proportion():
    # Copying what is left over for each member would copy some 100 GB here, and this would not end in time.
    data = gzip.compress(b"") * 100_000
    assert gzip_decompress(data, LIMIT) == b""


@given(st.lists(st.binary(max_size=3000), max_size=20))
def test_a_gzip_stream_is_one_member_of_all_chunks(chunks):
    stream = list(gzip_stream(map(memoryview, chunks)))
    assert all(stream)
    decoder = zlib.decompressobj(31)
    assert decoder.decompress(b"".join(stream)) == b"".join(chunks)
    assert decoder.eof
    assert not decoder.unused_data


def test_a_gzip_stream_does_not_wait_for_its_end():
    random = Random(0)
    read = 0

    def chunks():
        nonlocal read
        for _ in range(100):
            read += 1
            yield random.randbytes(1 << 16)

    stream = gzip_stream(chunks())
    assert next(stream)
    assert read < 10
    assert sum(map(len, stream)) > 90 << 16


@given(st.binary(max_size=5000), st.binary(max_size=5000))
def test_gzip_joined_of_two_parts_is_one_member(head, rest):
    data = gzip_joined(head, rest, deflate_raw(rest))
    decoder = zlib.decompressobj(wbits=31)
    assert decoder.decompress(data) + decoder.flush() == head + rest
    assert (decoder.eof, decoder.unused_data) == (True, b"")
    assert gzip.decompress(data) == gzip_decompress(data, len(head) + len(rest)) == head + rest


def test_gzip_joined_takes_long_heads():
    random = Random(3)
    for size in (65_535, 65_536, 3 << 20):
        head, rest = random.randbytes(size), b"rest" * 99
        assert gzip.decompress(gzip_joined(head, memoryview(rest), deflate_raw(rest))) == head + rest
