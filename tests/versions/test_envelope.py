"""What is stored is read back, or refused."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvid.errors import CorruptValue
from dvid.versions.envelope import Format, Value, compress, expand, seal, unseal, unseal_many

KEYS = st.binary(min_size=1, max_size=40)
FORMATS = st.sampled_from([Format.RAW, Format.LZ4, Format.GZIP, Format.SNAPPY])


@given(KEYS, st.binary(max_size=2000), FORMATS)
def test_a_value_is_read_as_it_was_put_in_every_format(key: bytes, value: bytes, form: Format) -> None:
    found = unseal(key, memoryview(seal(key, compress(value, form), form)))
    assert found.format == form
    assert bytes(expand(found, key)) == value


@given(KEYS, st.binary(max_size=100), st.data())
def test_any_flipped_bit_is_found_and_the_error_names_the_key(key: bytes, value: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal(key, value))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptValue, match=key.hex()):
        unseal(key, memoryview(sealed))


@given(KEYS, st.binary(max_size=100), st.data())
def test_any_cut_end_is_found(key: bytes, value: bytes, data: st.DataObject) -> None:
    sealed = seal(key, value)
    with pytest.raises(CorruptValue, match=key.hex()):
        unseal(key, memoryview(sealed)[: data.draw(st.integers(0, len(sealed) - 1))])


@given(KEYS, KEYS, st.binary(max_size=100))
def test_a_value_under_another_key_is_found(key: bytes, other: bytes, value: bytes) -> None:
    if key != other:
        with pytest.raises(CorruptValue):
            unseal(other, memoryview(seal(key, value)))


@pytest.mark.parametrize("count", [1, 47, 48, 300])
def test_many_values_are_checked_as_each_alone(count: int) -> None:
    keys = [b"key%d" % i for i in range(count)]
    forms = [Format(1 + i % 3) for i in range(count)]
    stored = [seal(key, key * (i % 7), form) for i, (key, form) in enumerate(zip(keys, forms, strict=True))]
    assert unseal_many(keys, stored) == forms
    assert unseal_many(keys, [memoryview(value) for value in stored]) == forms


@pytest.mark.parametrize("count", [3, 100])
@pytest.mark.parametrize("damage", [b"", b"\1", b"\1" * 8, b"\1" * 9, b"\1" * 50])
def test_one_bad_value_among_many_is_named(count: int, damage: bytes) -> None:
    keys = [b"key%d" % i for i in range(count)]
    stored = [seal(key, key) for key in keys]
    stored[count // 2] = damage
    with pytest.raises(CorruptValue, match=keys[count // 2].hex()):
        unseal_many(keys, stored)


@pytest.mark.parametrize("form", [Format.LZ4, Format.GZIP, Format.SNAPPY, 99])
@pytest.mark.parametrize(
    "payload", [b"\1", b"\xff" * 4, b"\xff" * 40, gzip.compress(b"x" * 99, mtime=0)[:10] + b"\xff" * 20]
)
def test_a_payload_that_cannot_be_decompressed_names_its_key(form: int, payload: bytes) -> None:
    with pytest.raises(CorruptValue, match=b"the key".hex()):
        expand(Value(form, memoryview(payload)), b"the key")
