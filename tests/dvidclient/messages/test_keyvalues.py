"""Promise: messages of keys and values are those that protobuf defines, and broken ones are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvidclient.messages import keyvalues

keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)


@given(st.dictionaries(keys, st.binary(max_size=300), max_size=8))
def test_pairs_come_back_in_their_order(pairs):
    found = keyvalues.pairs_of(keyvalues.pairs_message(pairs.items()))
    assert list(found.items()) == list(pairs.items())


@given(st.binary(max_size=60))
def test_any_bytes_are_pairs_or_refused(message):
    try:
        found = keyvalues.pairs_of(message)
    except ValueError:
        return
    assert sum(len(key.encode()) + len(value) for key, value in found.items()) <= len(message)


def test_messages_are_those_that_protobuf_defines():
    assert keyvalues.keys_message(["a", "bc"]) == b"\x0a\x01a\x0a\x02bc"
    assert keyvalues.pairs_message([("a", b"xyz")]) == b"\x0a\x08\x0a\x01a\x12\x03xyz"
    long = bytes(300)
    assert keyvalues.pairs_message([("a", long)]) == b"\x0a\xb2\x02\x0a\x01a\x12\xac\x02" + long


def test_fields_that_are_not_known_are_skipped():
    pair = b"\x0a\x01a\x18\x96\x01\x25\x01\x02\x03\x04\x12\x01b\x29" + bytes(8) + b"\x32\x01?"
    assert keyvalues.pairs_of(b"\x10\x05\x0a" + bytes([len(pair)]) + pair) == {"a": b"b"}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (b"\x0a\x7f", "expected 127 bytes at 2, but only 0 are left"),
        (b"\x0a" + b"\xff" * 9 + b"\x01", "expected 18446744073709551615 bytes"),
        (b"\x0a" + b"\xff" * 20, "a number at 1 is cut off"),
        (b"\x80", "a number at 0 is cut off"),
        (b"\x0b", "unknown kind 3"),
        (b"\x0d\x00", "the last field is cut off"),
        (b"\x0a\x03\x0a\x01\xff", "codec can't decode"),
    ],
)
def test_what_is_no_message_is_refused(message, said):
    with pytest.raises(ValueError, match=said):
        keyvalues.pairs_of(message)
