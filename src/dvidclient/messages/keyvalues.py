"""Many keys and values in one body: the protobuf messages of keyvalue instances.

The messages, in proto3:

    message KeyValue  { string key = 1; bytes value = 2; }
    message KeyValues { repeated KeyValue kvs = 1; }
    message Keys      { repeated string keys = 1; }
"""

from __future__ import annotations

from collections.abc import Iterable

from dvidclient.messages.protobuf import Bytes, bytes_field, fields


def keys_message(keys: Iterable[str]) -> bytes:
    """A message Keys."""
    return b"".join(part for key in keys for part in bytes_field(1, key.encode()))


def pairs_message(pairs: Iterable[tuple[str, Bytes]]) -> bytes:
    """A message KeyValues."""
    return b"".join(
        part
        for key, value in pairs
        for part in bytes_field(1, b"".join([*bytes_field(1, key.encode()), *bytes_field(2, value)]))
    )


def pairs_of(message: bytes) -> dict[str, bytes]:
    """The keys and values of a message KeyValues, in its order.

    Raises:
        ValueError: it is no such message.
    """
    found = {}
    for number, pair in fields(memoryview(message)):
        if number != 1 or isinstance(pair, int):
            continue
        key, value = b"", b""
        for field, part in fields(pair):
            if isinstance(part, int):
                continue
            if field == 1:
                key = bytes(part)
            elif field == 2:
                value = bytes(part)
        found[key.decode()] = value
    return found
