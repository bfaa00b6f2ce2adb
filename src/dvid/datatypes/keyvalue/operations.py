"""Reading and writing key-values: functions over an instance at a version.

Values come as the bytes that were put. A `Buffer` that is given out may be a view into the store: it is valid as long
as the snapshot it was read from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from typing import Final, NamedTuple

from dvid.datatypes.keyvalue.reads import Span
from dvid.errors import BadRequest
from dvid.storage.protocol import MAX_KEY, Buffer
from dvid.versions.envelope import Format, Value, compress, expand
from dvid.versions.layout import DATA, VERSION_BYTES, table_prefix, text_key, text_key_end, text_of, texts_of
from dvid.versions.records import InstanceRecord
from dvid.versions.view import Edit, View

MAX_STORED_BYTES: Final = MAX_KEY - len(table_prefix(0, DATA)) - VERSION_BYTES
"""Longest key as it is stored: its UTF-8 bytes, one more for each NUL, and two at its end."""

_SMALL: Final = 512
"""Values below this many bytes are not compressed: it would save nothing worth the time."""

_FORMATS: Final = {"lz4": Format.LZ4, "gzip": Format.GZIP, "snappy": Format.SNAPPY}


_AT_ONCE: Final = 1000

Pairs = list[tuple[str, Buffer]]


class Packed(NamedTuple):
    """A value ready to be stored."""

    key: str
    size: int
    """Bytes of the value itself."""
    payload: Buffer
    format: Format


# ---- reading ------------------------------------------------------------------------------------


def get(view: View, key: str) -> Buffer | None:
    """The value of a key, or None.

    Raises:
        BadRequest: no key can be like this.
        MergeConflict: a merged version inherits several values.
    """
    stored = stored_key(key)
    value = view.get(DATA, stored)
    return None if value is None else _expanded(stored, value)


def get_many(view: View, keys: Sequence[str]) -> list[Buffer | None]:
    """The values of several keys, in their order; None for a key that has none."""
    return list(_each(view, list(map(stored_key, keys))))


def _each(view: View, stored: list[bytes]) -> Iterator[Buffer | None]:
    for i in range(0, len(stored), _AT_ONCE):
        part = stored[i : i + _AT_ONCE]
        for key, value in zip(part, view.get_many(DATA, part), strict=True):
            yield None if value is None else _expanded(key, value)


def value_parts(view: View, keys: Sequence[str], spans: Sequence[Span | None] | None = None) -> Iterator[Pairs]:
    """Keys with the bytes wanted of their values, or without any for a key that has none; many at a time.

    Args:
        view: of which instance at which version.
        keys: which keys.
        spans: for each key the bytes wanted of it; None for all.

    Raises:
        BadRequest: no key can be like one of these, or a value is shorter than what is wanted of it.
    """
    stored = list(map(stored_key, keys))
    parts = repeat(None) if spans is None else spans
    pairs = (
        (key, b"" if value is None else value if part is None else part.of(key, value))
        for key, value, part in zip(keys, _each(view, stored), parts, strict=False)
    )
    while batch := list(islice(pairs, _AT_ONCE)):
        yield batch


def list_keys(view: View, first: str | None = None, last: str | None = None) -> Iterator[str]:
    """The keys from `first` to `last`, both included, in the order of their UTF-8 bytes."""
    return map(text_of, chain.from_iterable(key_batches(view, first, last)))


def key_batches(view: View, first: str | None = None, last: str | None = None) -> Iterator[list[bytes]]:
    """What `list_keys` gives, many at a time and as the store has them: see `dvid.versions.layout.text_of`."""
    return view.key_batches(DATA, *_bounds(first, last))


def list_values(view: View, first: str | None = None, last: str | None = None) -> Iterator[tuple[str, Buffer]]:
    """The keys from `first` to `last`, both included, with their values."""
    return chain.from_iterable(value_batches(view, first, last))


def value_batches(view: View, first: str | None = None, last: str | None = None) -> Iterator[Pairs]:
    """What `list_values` gives, many at a time."""
    for keys, formats, payloads in view.batches(DATA, *_bounds(first, last)):
        values: Sequence[Buffer] = payloads
        if formats.count(Format.RAW) != len(formats):
            values = [
                payload if form == Format.RAW else expand(Value(form, memoryview(payload)), key)
                for key, form, payload in zip(keys, formats, payloads, strict=True)
            ]
        yield list(zip(texts_of(keys), values, strict=True))


def _expanded(key: bytes, value: Value) -> Buffer:
    return value.payload if value.format == Format.RAW else expand(value, key)


def _bounds(first: str | None, last: str | None) -> tuple[bytes, bytes | None]:
    return text_key(first) if first else b"", None if last is None else text_key_end(last)


def stored_key(key: str) -> bytes:
    """The bytes under which a key is stored.

    Raises:
        BadRequest: it is empty or too long.
    """
    if not key:
        raise BadRequest("the key is empty")
    stored = text_key(key)
    if len(stored) > MAX_STORED_BYTES:
        raise BadRequest(
            f"the key {key[:40]!r}... takes {len(stored) - 2} bytes (a NUL takes 2); {MAX_STORED_BYTES - 2} is the most"
        )
    return stored


# ---- writing ------------------------------------------------------------------------------------


def pack(instance: InstanceRecord, pairs: Iterable[tuple[str, Buffer]]) -> list[Packed]:
    """Compress values as the instance's setting says, where that saves room. Needs no transaction."""
    kind, _, level = instance.compression.partition(":")
    form = _FORMATS.get(kind, Format.RAW)
    return [_packed(key, value, form, int(level or -1)) for key, value in pairs]


def _packed(key: str, value: Buffer, form: Format, level: int) -> Packed:
    size = len(value)
    if form is not Format.RAW and size >= _SMALL:
        compressed = compress(value, form, level)
        if len(compressed) <= size - size // 16:
            return Packed(key, size, compressed, form)
    return Packed(key, size, value, Format.RAW)


def put(edit: Edit, values: Iterable[Packed]) -> None:
    """Store values, each in place of what its key had; of two with the same key the later one stays.

    Raises:
        BadRequest: no key can be like one of these. Nothing is stored then.
    """
    events = []
    for key, size, payload, form in values:
        edit.put(DATA, stored_key(key), payload, form)
        events.append({"Action": "postkv", "Key": key, "Bytes": size})
    if events:
        edit.log("postkv", *events)


def delete(edit: Edit, key: str) -> bool:
    """Remove a key at this version; True if it had a value."""
    had = edit.delete(DATA, stored_key(key))
    if had:
        edit.log("delete", {"Key": key})
    return had
