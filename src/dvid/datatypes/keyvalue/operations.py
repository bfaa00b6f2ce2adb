"""Reading and writing key-values: functions over an instance at a version.

Values come as the bytes that were put. A `Buffer` that is given out may be a view into the store: it is valid as long
as the snapshot it was read from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple, cast

from dvid.datatypes.keyvalue.reads import Span
from dvid.errors import BadRequest
from dvid.storage.protocol import MAX_KEY, Buffer
from dvid.versions.edit import Edit
from dvid.versions.envelope import Format, Value, compress, expand
from dvid.versions.layout import DATA, VERSION_BYTES, table_prefix, text_key, text_key_end, text_of, texts_of
from dvid.versions.records import InstanceRecord
from dvid.versions.view import View

MAX_STORED_BYTES: Final = MAX_KEY - len(table_prefix(0, DATA)) - VERSION_BYTES
"""Longest key as it is stored: its UTF-8 bytes, one more for each NUL, and two at its end."""

SMALL: Final = 512
"""Values below this many bytes are not compressed: it would save nothing worth the time."""

_FORMATS: Final = {"lz4": Format.LZ4, "gzip": Format.GZIP, "snappy": Format.SNAPPY}


_PLAIN: Final = (Format.RAW, Format.TOMBSTONE)

Pairs = tuple[list[bytes], list[Buffer]]
"""Several keys, as UTF-8 bytes, and their values."""


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


def get_many(view: View, keys: Sequence[str]) -> list[bytes | None]:
    """The values of several keys, in their order; None for a key that has none."""
    return [None if value is None else bytes(value) for _, value in _found(view, keys)]


def _found(view: View, keys: Sequence[str]) -> Iterator[tuple[bytes, Buffer | None]]:
    """Each key as it is stored, with its value."""
    for found, formats, payloads in view.get_batches(DATA, list(map(stored_key, keys))):
        for key, form, payload in zip(found, formats, payloads, strict=True):
            yield (
                key,
                None if form == Format.TOMBSTONE else payload if form == Format.RAW else _expand(key, form, payload),
            )


def get_batches(view: View, keys: Sequence[str], spans: Sequence[Span | None] | None = None) -> Iterator[Pairs]:
    """The values of several keys, in their order, many at a time; empty for a key that has none.

    Args:
        view: of which instance at which version.
        keys: which keys.
        spans: for each key the bytes wanted of its value; None for all.

    Raises:
        BadRequest: no key can be like one of these, or a value is shorter than what is wanted of it.
    """
    done = 0
    for found, formats, payloads in view.get_batches(DATA, list(map(stored_key, keys))):
        values = _values(found, formats, payloads)
        if spans is not None:
            for at, form in enumerate(formats):
                part = spans[done + at]
                if part is not None and form != Format.TOMBSTONE:
                    values[at] = part.of(keys[done + at], values[at])
        done += len(found)
        yield texts_of(found), values


def list_keys(view: View, first: str | None = None, last: str | None = None) -> Iterator[str]:
    """The keys from `first` to `last`, both included, in the order of their UTF-8 bytes."""
    return map(text_of, chain.from_iterable(key_batches(view, first, last)))


def key_batches(view: View, first: str | None = None, last: str | None = None) -> Iterator[list[bytes]]:
    """What `list_keys` gives, many at a time and as the store has them: see `dvid.versions.layout.text_of`."""
    return view.key_batches(DATA, *_bounds(first, last))


def list_values(view: View, first: str | None = None, last: str | None = None) -> Iterator[tuple[str, Buffer]]:
    """The keys from `first` to `last`, both included, with their values."""
    for keys, values in value_batches(view, first, last):
        yield from zip((key.decode() for key in keys), values, strict=True)


def value_batches(view: View, first: str | None = None, last: str | None = None) -> Iterator[Pairs]:
    """What `list_values` gives, many at a time."""
    for keys, formats, payloads in view.batches(DATA, *_bounds(first, last)):
        yield texts_of(keys), _values(keys, formats, payloads)


def _values(keys: list[bytes], formats: list[int], payloads: list[bytes]) -> list[Buffer]:
    plain = formats.count(Format.RAW) + formats.count(Format.TOMBSTONE)
    if plain == len(formats):
        return cast("list[Buffer]", payloads)
    return [
        payload if form in _PLAIN else _expand(key, form, payload)
        for key, form, payload in zip(keys, formats, payloads, strict=True)
    ]


def _expand(key: bytes, form: int, payload: bytes) -> Buffer:
    return expand(Value(form, memoryview(payload)), key)


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


def pack(instance: InstanceRecord | None, pairs: Iterable[tuple[str, Buffer]]) -> list[Packed]:
    """Compress values as the instance's setting says, where that saves room. Needs no transaction.

    The instance is not needed where all values are below `SMALL` bytes.
    """
    kind, _, level = ("none" if instance is None else instance.compression).partition(":")
    form = _FORMATS.get(kind, Format.RAW)
    return [_packed(key, value, form, int(level or -1)) for key, value in pairs]


def _packed(key: str, value: Buffer, form: Format, level: int) -> Packed:
    size = len(value)
    if form is not Format.RAW and size >= SMALL:
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
