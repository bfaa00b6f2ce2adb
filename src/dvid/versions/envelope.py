"""How every stored value is wrapped: one format byte, an 8-byte checksum, the payload.

The checksum is XXH3-64 of the payload, seeded with a hash of the key and the format byte, so that a value that ended
up under the wrong key is as visible as one with a flipped bit.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import imagecodecs
import numpy as np
import xxhash

from dvid.codecs.compression import lz4_compress, lz4_decompress
from dvid.errors import CorruptValue, DvidError
from dvid.storage.protocol import Buffer

HEADER_BYTES = 9

_WORTH_A_KERNEL = 48


class Format(IntEnum):
    """How a payload is encoded."""

    TOMBSTONE = 0
    """Nothing: hides the value of an ancestor."""
    RAW = 1
    LZ4 = 2
    """4 bytes little-endian: size when decompressed; then an LZ4 block."""
    GZIP = 3
    SNAPPY = 4
    JPEG = 5
    """A block as one JPEG: see dvid.codecs.images."""


class Value(NamedTuple):
    """A stored value. The payload is a view into the store, valid as long as its snapshot."""

    format: int
    payload: memoryview


class Batch(NamedTuple):
    """Several values in the order of their keys, copied out of the store."""

    keys: list[bytes]
    formats: list[int]
    payloads: list[bytes]


def _seed(key: bytes, form: int) -> int:
    return xxhash.xxh3_64_intdigest(key, form)


def seal(key: bytes, payload: Buffer, form: Format = Format.RAW) -> bytes:
    """The bytes to store under `key` for a payload that is already encoded as `form`."""
    checksum = xxhash.xxh3_64_digest(payload, _seed(key, form))
    return b"".join((bytes((form,)), checksum, payload))


def unseal(key: bytes, stored: memoryview) -> Value:
    """Check a stored value and take it out of its wrapping.

    Raises:
        CorruptValue: the bytes are not what was stored under this key.
    """
    if len(stored) < HEADER_BYTES:
        raise CorruptValue(f"the value stored under key {key.hex()} is cut short ({len(stored)} bytes)")
    form = stored[0]
    payload = stored[HEADER_BYTES:]
    if xxhash.xxh3_64_digest(payload, xxhash.xxh3_64_intdigest(key, form)) != stored[1:HEADER_BYTES]:
        raise CorruptValue(
            f"the value stored under key {key.hex()} does not match its checksum: restore it from a backup"
        )
    return Value(form, payload)


def unseal_many(keys: Sequence[bytes], stored: Sequence[bytes | memoryview]) -> list[int]:
    """Check many stored values, as `unseal` does each; their formats. The payloads begin at `HEADER_BYTES`.

    Raises:
        CorruptValue: the bytes are not what was stored under one of these keys.
    """
    if len(keys) < _WORTH_A_KERNEL:
        return [unseal(key, memoryview(value)).format for key, value in zip(keys, stored, strict=True)]
    # Not above: loading the kernels takes a moment, and not every program reads data.
    from dvid.kernels.buffers import heads, locate
    from dvid.kernels.checksums import checksums

    addresses, sizes = locate(stored)
    read = heads(addresses, sizes, HEADER_BYTES)
    forms = read[:, 0]
    seeds = checksums(*locate(keys), forms.astype(np.uint64))
    found = checksums(addresses + np.uint64(HEADER_BYTES), sizes - HEADER_BYTES, seeds)
    wrong = (read[:, 1:].copy().view(">u8")[:, 0] != found) | (sizes < HEADER_BYTES)
    if wrong.any():
        at = int(wrong.argmax())
        unseal(keys[at], memoryview(stored[at]))
        raise CorruptValue(f"the value stored under key {keys[at].hex()} does not match its checksum")
    formats: list[int] = forms.tolist()
    return formats


def compress(data: Buffer, form: Format, level: int = -1) -> bytes:
    """Encode a payload as one of the general formats (RAW, LZ4, GZIP, SNAPPY)."""
    if form is Format.LZ4:
        return len(data).to_bytes(4, "little") + lz4_compress(data)
    if form is Format.GZIP:
        return gzip.compress(data, 6 if level < 0 else level, mtime=0)
    if form is Format.SNAPPY:
        return bytes(imagecodecs.snappy_encode(bytes(data)))
    return bytes(data)


def expand(value: Value, key: bytes = b"") -> Buffer:
    """The payload as it was before `compress` (a view where nothing was compressed).

    Raises:
        CorruptValue: the payload cannot be decoded.
    """
    try:
        if value.format == Format.RAW:
            return value.payload
        if value.format == Format.LZ4:
            return lz4_decompress(value.payload[4:], int.from_bytes(value.payload[:4], "little"))
        if value.format == Format.GZIP:
            return gzip.decompress(value.payload)
        if value.format == Format.SNAPPY:
            return bytes(imagecodecs.snappy_decode(bytes(value.payload)))
    except (DvidError, OSError, EOFError, zlib.error, imagecodecs.SnappyError) as error:
        raise CorruptValue(f"the value stored under key {key.hex()} cannot be decompressed: {error}") from error
    raise CorruptValue(f"the value stored under key {key.hex()} has the unknown format {value.format}")
