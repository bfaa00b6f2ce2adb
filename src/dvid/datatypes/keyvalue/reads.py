"""Which keys, and which parts of their values, a request asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from dvid.codecs.keyvalues import decode_keys
from dvid.errors import BadRequest, RangeNotSatisfiable
from dvid.storage.protocol import Buffer

_RANGE = re.compile(r"bytes=\s*(\d{0,19})\s*-\s*(\d{0,19})\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """Some bytes of a value: the first and the last, both included."""

    first: int
    last: int

    def of(self, key: str, value: Buffer) -> memoryview:
        """These bytes of a value.

        Raises:
            BadRequest: the value is shorter.
        """
        if self.last >= len(value):
            raise BadRequest(
                f"key {key!r}: bytes {self.first} to {self.last} were asked for; its value has {len(value)} bytes"
            )
        return memoryview(value)[self.first : self.last + 1]


def span(first: int | None, last: int | None, of: str) -> Span | None:
    """The bytes from byte_start to byte_end; None where neither is given.

    Raises:
        BadRequest: one of them is missing, or the end is before the start.
    """
    if first is None and last is None:
        return None
    if first is None or last is None:
        raise BadRequest(f"{of}: byte_start and byte_end belong together, and one is missing")
    if first > last:
        raise BadRequest(f"{of}: byte_start {first} is after byte_end {last}")
    return Span(first, last)


def header_span(header: str, size: int) -> Span | None:
    """The bytes that a Range header asks for of a value of `size` bytes; None if the header is to be ignored.

    One range is served; headers with several, or that are no ranges of bytes, are ignored (RFC 9110, 14.2).

    Raises:
        RangeNotSatisfiable: the range lies outside the value.
    """
    match = _RANGE.fullmatch(header)
    if match is None:
        return None
    start, end = match.groups()
    if not start and not end:
        return None
    if start and end and int(start) > int(end):
        return None
    first = int(start) if start else size - min(size, int(end))
    last = min(int(end), size - 1) if start and end else size - 1
    if first > last:
        raise RangeNotSatisfiable(f"the range {header!r} lies outside the value, which has {size} bytes")
    return Span(first, last)


class Wanted(msgspec.Struct, frozen=True):
    """One key of a batch request."""

    key: str
    byte_start: int | None = None
    byte_end: int | None = None

    @property
    def span(self) -> Span | None:
        """Which bytes of its value; None for all."""
        return span(self.byte_start, self.byte_end, f"key {self.key!r}")


_decode = msgspec.json.Decoder(list[str | Wanted]).decode


def wanted_from_json(body: bytes) -> tuple[list[str], list[Span | None] | None]:
    """The keys, and the bytes wanted of each, of a JSON list like ["a", {"key": "b", "byte_start": 0, "byte_end": 9}].

    The second result is None where all of every value is wanted.

    Raises:
        BadRequest: the body is not such a list.
    """
    try:
        items: list[Any] = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(
            f'a JSON list of keys was expected, like ["a", {{"key": "b", "byte_start": 0, "byte_end": 9}}]: {error}'
        ) from None
    keys = [item if type(item) is str else item.key for item in items]
    if all(type(item) is str for item in items):
        return keys, None
    return keys, [None if type(item) is str else _checked(item) for item in items]


def _checked(item: Wanted) -> Span | None:
    found = item.span
    if found is not None and found.first < 0:
        raise BadRequest(f"key {item.key!r}: byte_start {found.first} is negative")
    return found


def wanted_from_protobuf(body: bytes) -> tuple[list[str], list[Span | None] | None]:
    """The keys, and the bytes wanted of each, of a Keys message; as `wanted_from_json`.

    Raises:
        BadRequest: the body is not such a message.
    """
    keys, ranges = decode_keys(body)
    if not ranges:
        return keys, None
    spans = [span(item.byte_start, item.byte_end, f"key {item.key!r}") for item in ranges]
    return [*keys, *(item.key for item in ranges)], [*(None for _ in keys), *spans]
