"""Pairs of keys and values as answers: JSON, protobuf, tar.

Pairs come many at a time, as a list of keys (UTF-8 bytes) and a list of values: what Python does to a list as a whole
takes a fraction of the time of doing it to each pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from dvid.codecs.keyvalues import Headers, tar_stream
from dvid.errors import BadRequest
from dvid.storage.protocol import Buffer
from dvid.versions.layout import texts_of

Batches = Iterable[tuple[list[bytes], list[Buffer]]]

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
            yield opening + _encode_json([key.decode() for key in texts_of(keys)])[1:-1]
        opening = b","
    yield b"[]" if opening == b"[" else b"]"


def values_json(batches: Batches, *, check: bool) -> Iterator[bytes]:
    """A JSON object of keys and values, in pieces; {} stands for an empty value.

    Raises:
        BadRequest: `check` is set and a value is not JSON.
    """
    opening = b"{"
    for keys, values in batches:
        if not keys:
            continue
        joined = b"".join(keys)
        if len(joined) != len(joined.translate(None, _NOT_PLAIN)):
            keys = [_encode_json(key.decode())[1:-1] for key in keys]
        if check:
            _check(keys, values)
        parts: list[Buffer] = [b',"'] * (4 * len(keys))
        parts[0] = opening + b'"'
        parts[1::4] = keys
        parts[2::4] = [b'":'] * len(keys)
        parts[3::4] = [value if len(value) else b"{}" for value in values] if b"" in values else values
        piece = b"".join(parts)
        if check and not piece.isascii():
            _check_utf8(keys, values)
        yield piece
        opening = b","
    yield b"{}" if opening == b"{" else b"}"


def _check(keys: list[bytes], values: list[Buffer]) -> None:
    check = _check_json
    at = 0
    try:
        for at, value in enumerate(values):  # noqa: B007 - the error names it
            if value:
                check(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json(keys[at], error) from None


def _check_utf8(keys: list[bytes], values: list[Buffer]) -> None:
    # The decoder steps over texts without looking whether they are UTF-8.
    for key, value in zip(keys, values, strict=True):
        try:
            str(value, "utf-8")
        except UnicodeDecodeError as error:
            raise _not_json(key, error) from None


def _not_json(key: bytes, error: Exception) -> BadRequest:
    return BadRequest(f"the value of key {key.decode()!r} is not JSON: {error}")


def values_protobuf(batches: Batches) -> Iterator[bytes]:
    """A KeyValues message (`dvid.codecs.keyvalues`), in pieces."""
    headers = Headers()
    for keys, values in batches:
        if not keys:
            continue
        before = list(map(headers.__getitem__, zip(map(len, keys), map(len, values), strict=True)))
        parts: list[Buffer] = [b""] * (4 * len(keys))
        parts[0::4] = [before_key for before_key, _, _ in before]
        parts[2::4] = [before_value for _, before_value, _ in before]
        parts[1::4], parts[3::4] = keys, values
        yield b"".join(parts)


def values_tar(batches: Batches) -> Iterator[bytes]:
    """A tar archive with a file for each key, in pieces."""
    return tar_stream((key.decode(), value) for batch in batches for key, value in zip(*batch, strict=True))


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
        return values_tar, "application/tar"
    return values_protobuf, "application/octet-stream"
