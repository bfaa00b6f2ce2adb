"""Fields of protobuf messages, as far as they are met here.

On the wire (https://protobuf.dev/programming-guides/encoding) a field is its number and kind, then its value: of kind 0 a number,
sent seven bits at a time, the lowest first, each byte but the last with its highest bit set; of kind 2 a length and so many bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy
import numpy.typing

Bytes = bytes | bytearray | memoryview

_KIND_BITS = 3
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
LONGEST_NUMBER = 10
"""Bytes of a number of 64 bits."""


def bytes_field(field: int, value: Bytes) -> tuple[bytes, bytes, Bytes]:
    """The parts of a field of kind 2, to be sent one behind the other."""
    return number(field << _KIND_BITS | _BYTES), number(len(value)), value


def number(value: int) -> bytes:
    """A number, seven bits at a time."""
    sent = bytearray()
    while value > 0x7F:
        sent.append(value & 0x7F | 0x80)
        value >>= 7
    sent.append(value)
    return bytes(sent)


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message with their numbers: integers, and bytes. Those of fixed size are skipped.

    Raises:
        ValueError: it is no message.
    """
    at = 0
    while at < len(message):
        tag, at = _number_at(message, at)
        field, kind = tag >> _KIND_BITS, tag & ((1 << _KIND_BITS) - 1)
        if kind == _BYTES:
            size, at = _number_at(message, at)
            if size > len(message) - at:
                raise ValueError(f"expected {size} bytes at {at}, but only {len(message) - at} are left")
            yield field, message[at : at + size]
            at += size
        elif kind == _VARINT:
            value, at = _number_at(message, at)
            yield field, value
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"unknown kind {kind} of a field at {at}")
    if at > len(message):
        raise ValueError("the last field is cut off")


def numbers(data: Bytes) -> tuple[numpy.typing.NDArray[numpy.uint64], numpy.typing.NDArray[numpy.int64]]:
    """Numbers of 64 bits that lie one behind the other, all at once.

    Returns:
        The numbers, and where each begins: uint64 and int64 (n).

    Raises:
        ValueError: the last one is cut off, or one is longer than a number can be.
    """
    sent = numpy.frombuffer(data, numpy.uint8)
    ends = numpy.flatnonzero(sent < 0x80)
    if (ends[-1] + 1 if len(ends) else 0) != len(sent):
        raise ValueError("the last number is cut off")
    starts = numpy.concatenate([[0], ends[:-1] + 1])[: len(ends)].astype(numpy.int64)
    lengths = ends - starts + 1
    if len(lengths) and lengths.max() > LONGEST_NUMBER:
        raise ValueError(f"a number of {lengths.max()} bytes: expected at most {LONGEST_NUMBER}")
    within = numpy.arange(len(sent)) - numpy.repeat(starts, lengths)
    parts = (sent & 0x7F).astype(numpy.uint64) << (7 * within).astype(numpy.uint64)
    found: Any = numpy.bitwise_or.reduceat(parts, starts) if len(starts) else parts
    return found, starts


def _number_at(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for step, byte in enumerate(message[at : at + LONGEST_NUMBER]):
        value |= (byte & 0x7F) << (7 * step)
        if byte < 0x80:
            return value, at + step + 1
    raise ValueError(f"a number at {at} is cut off")
