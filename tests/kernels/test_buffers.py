"""Finding the bytes of Python buffers."""

import ctypes
import gc
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvid.errors import BadRequest
from dvid.kernels.buffers import addresses, heads, locate


@given(st.lists(st.one_of(st.none(), st.binary(max_size=40))))
def test_each_address_leads_to_the_bytes_of_its_buffer(contents):
    views = [None if content is None else memoryview(content) for content in contents]
    where, sizes = locate(views)
    found = [
        None if not address else ctypes.string_at(address, size)
        for address, size in zip(where.tolist(), sizes.tolist(), strict=True)
    ]
    assert found == contents
    assert addresses(views).tolist() == where.tolist()


def test_all_kinds_of_buffers_are_located_read_only_ones_and_slices_too():
    array = np.arange(10, dtype=np.uint16)
    whole = memoryview(b"0123456789")
    views = [b"0123456789", bytearray(b"0123456789"), whole[3:], memoryview(array), array]
    where, sizes = locate(views)
    assert [ctypes.string_at(a, n) for a, n in zip(where.tolist(), sizes.tolist(), strict=True)] == [
        b"0123456789",
        b"0123456789",
        b"3456789",
        array.tobytes(),
        array.tobytes(),
    ]
    assert where[3] == array.ctypes.data


def test_a_located_buffer_is_not_held():
    content = bytearray(b"abc")
    before = sys.getrefcount(content)
    locate([content] * 100)
    gc.collect()
    assert sys.getrefcount(content) == before
    content.extend(b"def")  # impossible while a view is held


@pytest.mark.parametrize("wrong", ["text", 5, memoryview(b"abcdef")[::2]])
def test_what_is_not_contiguous_bytes_is_refused(wrong):
    with pytest.raises(BadRequest, match="buffer 1 of 3"):
        locate([b"abc", wrong, b"abc"])


def test_heads_are_the_first_bytes_and_zeros_where_there_are_none():
    where, sizes = locate([b"abcdef", b"xy", None, b""])
    assert heads(where, sizes, 3).tolist() == [list(b"abc"), list(b"xy\0"), [0] * 3, [0] * 3]


def test_heads_need_a_size_for_each_address():
    where, sizes = locate([b"abc", b"def"])
    with pytest.raises(BadRequest, match="1 sizes given for 2 addresses"):
        heads(where, sizes[:1], 3)
