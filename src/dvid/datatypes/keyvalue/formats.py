"""Pairs of keys and values as answers: JSON, protobuf, tar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import msgspec

from dvid.codecs.keyvalues import encode_keyvalues, tar_stream
from dvid.errors import BadRequest
from dvid.storage.protocol import Buffer
from dvid.versions.layout import texts_of

Batches = Iterable[list[tuple[str, Buffer]]]

_encode_json = msgspec.json.Encoder().encode
_check_json = msgspec.json.Decoder(msgspec.Raw).decode
_NOT_PLAIN = bytes([*range(0x20), ord('"'), ord("\\")])
"""Bytes that JSON texts hold only escaped."""


def keys_json(batches: Iterable[list[bytes]]) -> Iterator[bytes]:
    """A JSON list of keys, in pieces. The keys are stored ones (`dvid.versions.layout.text_key`)."""
    opening = b"["
    for keys in batches:
        if not keys:
            continue
        joined = b"".join(keys)
        # Each key ends with 0 1. Where that is all there is to escape, replacing it is all there is to do.
        if len(joined) - len(joined.translate(None, _NOT_PLAIN)) == 2 * len(keys):
            yield b"".join((opening, b'"', joined[:-2].replace(b"\0\1", b'","'), b'"'))
        else:
            yield opening + _encode_json(texts_of(keys))[1:-1]
        opening = b","
    yield b"[]" if opening == b"[" else b"]"


def values_json(batches: Batches, *, check: bool) -> Iterator[bytes]:
    """A JSON object of keys and values, in pieces; {} stands for an empty value.

    Raises:
        BadRequest: `check` is set and a value is not JSON.
    """
    opening = b"{"
    for pairs in batches:
        if not pairs:
            continue
        if check:
            _check(pairs)
        names = _encode_json([key for key, _ in pairs])[1:-1]
        if names.count(b'"') == 2 * len(pairs):  # no name holds a quote: they can be told apart without parsing
            heads = names.split(b'"')[1::2]
        else:
            heads = [_encode_json(key)[1:-1] for key, _ in pairs]
        parts: list[Buffer] = []
        add = parts.extend
        for head, (_, value) in zip(heads, pairs, strict=True):
            add((b',"', head, b'":', value if len(value) else b"{}"))
        parts[0] = opening + b'"'
        yield b"".join(parts)
        opening = b","
    yield b"{}" if opening == b"{" else b"}"


def _check(pairs: list[tuple[str, Buffer]]) -> None:
    for key, value in pairs:
        if len(value):
            try:
                _check_json(value)
                # The decoder steps over texts without looking whether they are UTF-8.
                str(value, "utf-8")
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise BadRequest(f"the value of key {key!r} is not JSON: {error}") from None


def encoder(*, json: bool, tar: bool, check: bool) -> tuple[Callable[[Batches], Iterator[bytes]], str]:
    """What turns lists of pairs into the body of an answer, and the body's media type.

    Raises:
        BadRequest: more than one form is asked for.
    """
    if json and tar:
        raise BadRequest("an answer is either JSON or a tar archive: give one of json=true and tar=true")
    if json:
        return lambda batches: values_json(batches, check=check), "application/json"
    if tar:
        return lambda batches: tar_stream(chain.from_iterable(batches)), "application/tar"
    return lambda batches: encode_keyvalues(chain.from_iterable(batches)), "application/octet-stream"
