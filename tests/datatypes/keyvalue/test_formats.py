"""Answers hold the pairs they were made of, whatever keys and values are like."""

from __future__ import annotations

import io
import json
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvid.codecs.keyvalues import decode_keyvalues
from dvid.datatypes.keyvalue.formats import encoder, keys_json, values_json, values_protobuf
from dvid.errors import BadRequest
from dvid.versions.layout import text_key

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('\0\1"\\,/%é\x7f'), min_size=1, max_size=8)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


def batches(pairs: dict[str, bytes], length: int) -> list[tuple[list[bytes], list[bytes]]]:
    items = list(pairs.items())
    parts = [items[i : i + length] for i in range(0, len(items), length)] or [[]]
    return [([key.encode() for key, _ in part], [value for _, value in part]) for part in parts]


@given(st.lists(TEXTS), st.integers(1, 5))
def test_a_json_list_of_keys_holds_them_in_their_order(keys: list[str], length: int) -> None:
    parts = [list(map(text_key, keys[i : i + length])) for i in range(0, len(keys), length)]
    assert json.loads(b"".join(keys_json([[], *parts]))) == keys


@given(st.dictionaries(TEXTS, JSONS), st.integers(1, 5), st.booleans())
def test_a_json_object_holds_keys_and_values(pairs: dict[str, object], length: int, check: bool) -> None:
    encoded = {key: json.dumps(value, ensure_ascii=False).encode() for key, value in pairs.items()}
    found = b"".join(values_json(batches(encoded, length), check=check))
    assert json.loads(found, object_pairs_hook=list) == [
        (key, json.loads(json.dumps(value), object_pairs_hook=list)) for key, value in pairs.items()
    ]


def test_an_empty_value_is_an_empty_object_in_json() -> None:
    assert json.loads(b"".join(values_json([([b"a", b"b"], [b"", b"1"])], check=True))) == {"a": {}, "b": 1}


@pytest.mark.parametrize(
    "value",
    [b"nul", b"{", b"1 2", b'"a', b"1,2", b'1,"x":2', b"[1,]", b'"\xff"', b"\xff", b"'a'", b" ", b"[" * 100_000],
)
def test_a_value_that_is_not_json_is_named_if_checks_are_wanted(value: bytes) -> None:
    pairs = [([b"good", b"bad"], [b"{}", value])]
    with pytest.raises(BadRequest, match="'bad' is not JSON"):
        list(values_json(pairs, check=True))
    assert value in b"".join(values_json(pairs, check=False))


@given(st.dictionaries(TEXTS, st.binary() | st.just(b"x" * 20_000)), st.integers(1, 5))
def test_a_protobuf_message_holds_the_pairs(pairs: dict[str, bytes], length: int) -> None:
    assert decode_keyvalues(b"".join(values_protobuf(batches(pairs, length)))) == list(pairs.items())


@given(st.dictionaries(TEXTS.filter(lambda text: "\0" not in text), st.binary()), st.integers(1, 5))
def test_a_tar_archive_holds_a_file_for_each_key(pairs: dict[str, bytes], length: int) -> None:
    encode, media_type = encoder(json=False, tar=True, check=True)
    assert media_type == "application/tar"
    with tarfile.open(fileobj=io.BytesIO(b"".join(encode(batches(pairs, length))))) as archive:
        found = [(member.name, archive.extractfile(member)) for member in archive]
        assert [(name, file.read()) for name, file in found if file] == [
            (name.rstrip("/") if name.strip("/") else name, value) for name, value in pairs.items()
        ] or any(name.endswith("/") for name in pairs)


def test_two_forms_at_once_are_refused() -> None:
    with pytest.raises(BadRequest):
        encoder(json=True, tar=True, check=True)
