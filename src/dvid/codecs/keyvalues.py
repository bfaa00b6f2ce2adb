"""Streams of key-value pairs: the protobuf messages of the keyvalue API, and tar archives.

The messages, in proto3:

    message KeyValue  { string key = 1; bytes value = 2; }
    message KeyValues { repeated KeyValue kvs = 1; }
    message KeyRange  { string key = 1; uint64 byte_start = 2; uint64 byte_end = 3; }
    message Keys      { repeated string keys = 1; repeated KeyRange key_ranges = 2; }

Pairs are encoded by hand, because that takes half the time of building a message and can be streamed; messages are
decoded by the protobuf library, which is compiled and checks all there is to check.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from dvid.codecs.protobuf import varint
from dvid.errors import BadRequest, TooLarge

MAX_PAIRS = 500_000
"""Most pairs in one message: more would take the memory of a small machine."""
PIECE_BYTES = 256 * 1024
"""Streams come in pieces of about this size: each still lies in the processor's cache when it is sent."""

Buffer = bytes | bytearray | memoryview

_KEY_TAG = b"\x0a"
_VALUE_TAG = b"\x12"
_PAIR_TAG = b"\x0a"
# A tar header of ustar is name, owner, size, time, checksum, rest: https://www.gnu.org/software/tar/manual/html_node/Standard.html
_TAR_RECORD = 512
_TAR_NAME_BYTES = 100
_TAR_SIZE_LIMIT = 8**11
_TAR_MODE = 0o644
_TAR_OWNER = b"%07o\0" % _TAR_MODE + 2 * b"0000000\0"
_TAR_TIME = b"\0" + b"00000000000\0"
_TAR_REST = (b"\0 " + b"0" + bytes(100) + b"ustar\x0000").ljust(_TAR_RECORD - 154, b"\0")
# The checksum counts itself as eight spaces; the first two bytes of the rest end its field.
_TAR_CHECKSUM = sum(_TAR_OWNER) + sum(_TAR_TIME) + sum(_TAR_REST[2:]) + 8 * ord(" ")


@dataclass(frozen=True, slots=True)
class KeyRange:
    """A part of the value of a key."""

    key: str
    """The key."""
    byte_start: int
    """First byte."""
    byte_end: int
    """Last byte, included."""


def _messages() -> tuple[Any, Any]:
    """Make the classes of KeyValues and Keys, without a generated module."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="dvid/keyvalues.proto", package="dvid", syntax="proto3")

    def add(message: str, *fields: tuple[str, int, bool, str]) -> None:
        declared = file.message_type.add(name=message)
        for number, (name, kind, repeated, type_name) in enumerate(fields, 1):
            label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            declared.field.add(name=name, number=number, type=kind, label=label, type_name=type_name or None)

    add("KeyValue", ("key", field.TYPE_STRING, False, ""), ("value", field.TYPE_BYTES, False, ""))
    add("KeyValues", ("kvs", field.TYPE_MESSAGE, True, ".dvid.KeyValue"))
    add(
        "KeyRange",
        ("key", field.TYPE_STRING, False, ""),
        ("byte_start", field.TYPE_UINT64, False, ""),
        ("byte_end", field.TYPE_UINT64, False, ""),
    )
    add("Keys", ("keys", field.TYPE_STRING, True, ""), ("key_ranges", field.TYPE_MESSAGE, True, ".dvid.KeyRange"))
    # A pool of its own: another package in the process may know messages of the same names.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = (pool.FindMessageTypeByName(f"dvid.{name}") for name in ("KeyValues", "Keys"))
    key_values, keys = (message_factory.GetMessageClass(descriptor) for descriptor in found)
    return key_values, keys


_KeyValues, _Keys = _messages()


class Headers(dict[tuple[int, int], tuple[bytes, bytes, int]]):
    """By the lengths of a key and a value: what precedes the one and the other in a message, and the size of the whole pair.

    Lengths repeat, so that most headers are found, not made.
    """

    def __missing__(self, lengths: tuple[int, int]) -> tuple[bytes, bytes, int]:
        self[lengths] = made = _pair_header(*lengths)
        return made


def encode_keyvalues(pairs: Iterable[tuple[str, Buffer]]) -> Iterator[bytes]:
    """Encode pairs to a KeyValues message, in pieces of at least `PIECE_BYTES` (the last may be smaller).

    The pieces are made while the pairs are read: no more than one piece and one pair are held.
    """
    headers = Headers()
    parts: list[Buffer] = []
    pending = 0
    for key, value in pairs:
        encoded = key.encode()
        before_key, before_value, size = headers[len(encoded), len(value)]
        parts += (before_key, encoded, before_value, value)
        pending += size
        if pending >= PIECE_BYTES:
            yield b"".join(parts)
            parts.clear()
            pending = 0
    if parts:
        yield b"".join(parts)


def _pair_header(key_bytes: int, value_bytes: int) -> tuple[bytes, bytes, int]:
    before_key = _KEY_TAG + varint(key_bytes)
    before_value = _VALUE_TAG + varint(value_bytes)
    pair_bytes = len(before_key) + key_bytes + len(before_value) + value_bytes
    before_pair = _PAIR_TAG + varint(pair_bytes)
    return before_pair + before_key, before_value, len(before_pair) + pair_bytes


def decode_keyvalues(data: Buffer) -> list[tuple[str, bytes]]:
    """Decode a KeyValues message.

    Raises:
        BadRequest: not such a message, truncated, or a key is not UTF-8.
        TooLarge: it has more than `MAX_PAIRS` pairs.
    """
    _check_count(data)
    return [(pair.key, pair.value) for pair in _parse(_KeyValues, data, "KeyValues").kvs]


def _check_count(data: Buffer) -> None:
    """Refuse a message of very many pairs before they become objects, each of which takes some 400 bytes."""
    view, at, count = memoryview(data), 0, 0
    if len(view) <= MAX_PAIRS:
        return
    while at < len(view):
        count += 1
        if count > MAX_PAIRS:
            raise TooLarge(f"a message may hold {MAX_PAIRS} pairs; send more in several messages")
        at, size, shift = at + 1, 0, 0  # the tag of a pair is one byte
        while at < len(view) and shift < 64:
            byte = view[at]
            at, size, shift = at + 1, size | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                break
        at += size


def encode_keys(keys: Iterable[str], key_ranges: Iterable[KeyRange] = ()) -> bytes:
    """Encode a Keys message.

    Raises:
        BadRequest: a range is not one of unsigned 64-bit numbers.
    """
    message = _Keys(keys=keys)
    for wanted in key_ranges:
        try:
            message.key_ranges.add(key=wanted.key, byte_start=wanted.byte_start, byte_end=wanted.byte_end)
        except ValueError as error:
            raise BadRequest(f"{wanted}: {error}") from None
    encoded: bytes = message.SerializeToString()
    return encoded


def decode_keys(data: Buffer) -> tuple[list[str], list[KeyRange]]:
    """Decode a Keys message to its keys and its ranges; the ranges are not checked against each other or any value.

    Raises:
        BadRequest: not such a message, truncated, or a key is not UTF-8.
    """
    message = _parse(_Keys, data, "Keys")
    key_ranges = [KeyRange(wanted.key, wanted.byte_start, wanted.byte_end) for wanted in message.key_ranges]
    return list(message.keys), key_ranges


def _parse(kind: Any, data: Buffer, name: str) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise BadRequest(f"{len(data)} bytes are not a protobuf {name} message: {error}") from None


def tar_stream(pairs: Iterable[tuple[str, Buffer]]) -> Iterator[bytes]:
    """Pack pairs to a tar archive (POSIX pax), a file for each key, in pieces of at least `PIECE_BYTES`."""
    parts: list[Buffer] = []
    pending = 0
    for key, value in pairs:
        header = _tar_header(key, len(value))
        padding = bytes(-len(value) % _TAR_RECORD)
        parts += (header, value, padding)
        pending += len(header) + len(value) + len(padding)
        if pending >= PIECE_BYTES:
            yield b"".join(parts)
            parts.clear()
            pending = 0
    # Two empty records end an archive.
    parts.append(bytes(2 * _TAR_RECORD))
    yield b"".join(parts)


def _tar_header(name: str, size: int) -> bytes:
    """The header of a file: the plain one of ustar, made by hand, where name and size fit; else pax, ten times slower."""
    if len(name) <= _TAR_NAME_BYTES and name.isascii() and "\0" not in name and size < _TAR_SIZE_LIMIT:
        encoded = name.encode()
        octal_size = b"%011o" % size
        checksum = _TAR_CHECKSUM + sum(encoded) + sum(octal_size)
        return b"".join(
            (encoded.ljust(_TAR_NAME_BYTES, b"\0"), _TAR_OWNER, octal_size, _TAR_TIME, b"%06o" % checksum, _TAR_REST)
        )
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mode = _TAR_MODE
    if "\0" in name:
        # A plain name would end there.
        entry.pax_headers = {"path": name}
    return entry.tobuf(tarfile.PAX_FORMAT)
