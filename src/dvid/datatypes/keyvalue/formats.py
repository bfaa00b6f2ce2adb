"""Pairs of keys and values as answers: JSON, protobuf, tar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from dvid.codecs.keyvalues import PIECE_BYTES, encode_keyvalues, tar_stream
from dvid.errors import BadRequest
from dvid.storage.protocol import Buffer

Pairs = Iterable[tuple[str, Buffer]]

_encode_json = msgspec.json.Encoder().encode
_check_json = msgspec.json.Decoder(msgspec.Raw).decode


def keys_json(keys: Iterable[str]) -> Iterator[bytes]:
    """A JSON list of keys, in pieces."""
    return _joined(map(_encode_json, keys), b"[", b"]")


def values_json(pairs: Pairs, *, check: bool) -> Iterator[bytes]:
    """A JSON object of keys and values, in pieces; {} stands for an empty value.

    Raises:
        BadRequest: `check` is set and a value is not JSON.
    """
    return _joined((_member(key, value, check) for key, value in pairs), b"{", b"}")


def _member(key: str, value: Buffer, check: bool) -> bytes:
    if not len(value):
        value = b"{}"
    elif check:
        try:
            _check_json(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(f"the value of key {key!r} is not JSON: {error}") from None
    return b"".join((_encode_json(key), b":", value))


def _joined(items: Iterable[bytes], opening: bytes, closing: bytes) -> Iterator[bytes]:
    parts, pending, before = [opening], 0, b""
    for item in items:
        parts.append(before)
        parts.append(item)
        before = b","
        pending += len(item) + 1
        if pending >= PIECE_BYTES:
            yield b"".join(parts)
            parts.clear()
            pending = 0
    parts.append(closing)
    yield b"".join(parts)


def encoder(*, json: bool, tar: bool, check: bool) -> tuple[Callable[[Pairs], Iterator[bytes]], str]:
    """What turns pairs into the body of an answer, and the body's media type.

    Raises:
        BadRequest: more than one form is asked for.
    """
    if json and tar:
        raise BadRequest("an answer is either JSON or a tar archive: give one of json=true and tar=true")
    if json:
        return lambda pairs: values_json(pairs, check=check), "application/json"
    if tar:
        return tar_stream, "application/tar"
    return encode_keyvalues, "application/octet-stream"
