"""Parts of protobuf messages."""

from __future__ import annotations

import pytest
from google.protobuf.wrappers_pb2 import UInt64Value
from hypothesis import given
from hypothesis import strategies as st

from dvid.codecs.protobuf import varint


@pytest.mark.parametrize(
    ("number", "encoded"),
    [(0, b"\x00"), (127, b"\x7f"), (128, b"\x80\x01"), (150, b"\x96\x01"), (2**64 - 1, b"\xff" * 9 + b"\x01")],
)
def test_numbers_are_encoded_as_documented(number: int, encoded: bytes) -> None:
    assert varint(number) == encoded


@given(st.integers(0, 2**64 - 1))
def test_the_library_reads_the_same_number(number: int) -> None:
    assert UInt64Value.FromString(b"\x08" + varint(number)).value == number
