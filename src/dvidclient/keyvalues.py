"""Many keys and values in one body: the protobuf messages of keyvalue instances.

The messages, in proto3:

    message KeyValue  { string key = 1; bytes value = 2; }
    message KeyValues { repeated KeyValue kvs = 1; }
    message Keys      { repeated string keys = 1; }

On the wire (https://protobuf.dev/programming-guides/encoding) each field is its number and kind, then, for those of kind 2 that
all of these are, its length, then so many bytes; numbers are sent seven bits at a time, the lowest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_FIRST, _SECOND = b"\x0a", b"\x12"
_KIND_BITS = 3
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_NUMBER = 10


def keys_message(keys: Iterable[str]) -> bytes:
    """A message Keys."""
    return b"".join(part for key in keys for part in _field(_FIRST, key.encode()))


def pairs_message(pairs: Iterable[tuple[str, bytes | bytearray | memoryview]]) -> bytes:
    """A message KeyValues."""
    parts: list[bytes | bytearray | memoryview] = []
    for key, value in pairs:
        pair = [*_field(_FIRST, key.encode()), *_field(_SECOND, value)]
        parts += [_FIRST, _number(sum(len(part) for part in pair)), *pair]
    return b"".join(parts)


def pairs_of(message: bytes) -> dict[str, bytes]:
    """The keys and values of a message KeyValues, in its order.

    Raises:
        ValueError: it is no such message.
    """
    found = {}
    for number, pair in _fields(memoryview(message)):
        if number != 1:
            continue
        key, value = b"", b""
        for field, part in _fields(pair):
            if field == 1:
                key = bytes(part)
            elif field == 2:
                value = bytes(part)
        found[key.decode()] = value
    return found


def _field(tag: bytes, value: bytes | bytearray | memoryview) -> tuple[bytes, bytes, bytes | bytearray | memoryview]:
    return tag, _number(len(value)), value


def _number(value: int) -> bytes:
    sent = bytearray()
    while value > 0x7F:
        sent.append(value & 0x7F | 0x80)
        value >>= 7
    sent.append(value)
    return bytes(sent)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields of kind 2 with their numbers; others are skipped."""
    at = 0
    while at < len(message):
        tag, at = _number_at(message, at)
        kind = tag & ((1 << _KIND_BITS) - 1)
        if kind == _BYTES:
            size, at = _number_at(message, at)
            if size > len(message) - at:
                raise ValueError(f"expected {size} bytes at {at}, but only {len(message) - at} are left")
            yield tag >> _KIND_BITS, message[at : at + size]
            at += size
        elif kind == _VARINT:
            _, at = _number_at(message, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"unknown kind {kind} of a field at {at}")
    if at > len(message):
        raise ValueError("the last field is cut off")


def _number_at(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for step, byte in enumerate(message[at : at + _LONGEST_NUMBER]):
        value |= (byte & 0x7F) << (7 * step)
        if byte < 0x80:
            return value, at + step + 1
    raise ValueError(f"a number at {at} is cut off")
