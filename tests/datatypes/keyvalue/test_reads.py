"""Which bytes a request asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvid.codecs.keyvalues import KeyRange, encode_keys
from dvid.datatypes.keyvalue.reads import Span, header_span, span, wanted_from_json, wanted_from_protobuf
from dvid.errors import BadRequest, RangeNotSatisfiable


@given(st.integers(0, 30), st.integers(0, 40), st.integers(0, 40))
def test_a_range_header_asks_for_the_bytes_between_its_ends(size: int, first: int, last: int) -> None:
    value = bytes(range(size))
    expectations = [(f"bytes={first}-", value[first:], True), (f"bytes=-{last}", value[-last:] if last else b"", True)]
    if first <= last:
        expectations.append((f"bytes={first}-{last}", value[first : last + 1], True))
    for header, expected, _ in expectations:
        if not expected:
            with pytest.raises(RangeNotSatisfiable):
                header_span(header, size)
        else:
            found = header_span(header, size)
            assert found is not None
            assert bytes(found.of("key", value)) == expected


@pytest.mark.parametrize(
    "header",
    ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-4", "bytes=0-1,3-4", "lines=1-2", "bytes=--1", "bytes=1-2-3",
     "bytes=٣-٤", "bytes=" + "9" * 30 + "-", "BYTES 1-2"],
)  # fmt: skip
def test_a_range_header_that_is_none_is_ignored(header: str) -> None:
    assert header_span(header, 10) is None


@pytest.mark.parametrize(("first", "last"), [(None, 3), (3, None), (4, 3)])
def test_one_end_without_the_other_or_ends_out_of_order_are_refused(first: int | None, last: int | None) -> None:
    with pytest.raises(BadRequest):
        span(first, last, "key")


def test_bytes_beyond_the_value_are_refused() -> None:
    assert bytes(Span(1, 2).of("key", b"abc")) == b"bc"
    with pytest.raises(BadRequest, match="3 bytes"):
        Span(1, 3).of("key", b"abc")


def test_keys_and_parts_of_values_are_read_from_json_and_protobuf() -> None:
    body = b'["a", {"key": "b"}, {"key": "c", "byte_start": 1, "byte_end": 2}]'
    assert wanted_from_json(body) == (["a", "b", "c"], [None, None, Span(1, 2)])
    assert wanted_from_json(b'["a", "b"]') == (["a", "b"], None)
    assert wanted_from_json(b"[]") == ([], None)
    assert wanted_from_protobuf(encode_keys(["a"], [KeyRange("b", 1, 2)])) == (["a", "b"], [None, Span(1, 2)])
    assert wanted_from_protobuf(encode_keys(["a"])) == (["a"], None)
    assert wanted_from_protobuf(b"") == ([], None)


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"{}", b"[1]", b'["a"', b'[{"byte_start": 1}]', b'[{"key": "a", "byte_start": 1}]', b"[null]",
     b'[{"key": "a", "byte_start": -1, "byte_end": 2}]', b'[{"key": "a", "byte_start": 3, "byte_end": 2}]',
     b'[{"key": "a", "byte_start": "1", "byte_end": "2"}]', b'["\xff"]', b'["\\ud800"]', b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_list_of_keys_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        wanted_from_json(body)


@pytest.mark.parametrize(
    "body", [b"\x0a", b"\x0a\x05ab", b"\x0a\x01\xff", b"\xff" * 12, encode_keys([], [KeyRange("a", 3, 2)])]
)
def test_what_is_no_keys_message_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        wanted_from_protobuf(body)
