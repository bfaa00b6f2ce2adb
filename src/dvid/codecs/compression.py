"""Byte compression on the wire and in the store: raw LZ4 blocks and gzip.

Everything here takes any bytes-like object, and nothing is allocated for more bytes than the caller allows.

LZ4 data is the raw block format (no frame and no size in front), as the image and label endpoints speak it:
https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md. Gzip data is RFC 1952, several members allowed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

import lz4.block
from isal import isal_zlib

from dvid.errors import BadRequest, TooLarge

Buffer = bytes | bytearray | memoryview

# A sequence of LZ4 takes at least one byte for each 255 bytes it yields, so a larger claim is false.
_LZ4_LARGEST_RATIO = 255
_GZIP_WBITS = 31
# Up to this level ISA-L compresses: ten times faster than zlib at the size of zlib's level 6 on images and JSON.
_HIGHEST_FAST_LEVEL = 5
_NEXT_MEMBER_PIECE = 4096
_RAW_WBITS = -15
_GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # deflated, without name and time, on no system in particular
_gzip_end = struct.Struct("<II")
# The package's type stubs say that it is an instance.
_IsalError: type[Exception] = isal_zlib.error  # type: ignore[assignment]


def lz4_compress(data: Buffer, acceleration: int = 1) -> bytes:
    """Compress to one raw LZ4 block.

    Args:
        data: what to compress.
        acceleration: above 1, LZ4 looks for repeated bytes at fewer places: faster, and less saved.
    """
    compressed: bytes = lz4.block.compress(data, mode="fast", acceleration=acceleration, store_size=False)
    return compressed


def lz4_decompress(data: Buffer, size: int) -> bytes:
    """Decompress one raw LZ4 block that must hold exactly `size` bytes.

    Raises:
        BadRequest: the block is damaged, truncated, or holds more or fewer bytes.
    """
    if size < 0 or size > _LZ4_LARGEST_RATIO * len(data):
        raise BadRequest(f"lz4 data of {len(data)} bytes cannot hold the {size} bytes expected")
    try:
        plain: bytes = lz4.block.decompress(data, uncompressed_size=size)
    except lz4.block.LZ4BlockError:
        raise BadRequest(
            f"lz4 data of {len(data)} bytes is damaged or holds more than the {size} bytes expected"
        ) from None
    if len(plain) != size:
        raise BadRequest(f"lz4 data holds {len(plain)} bytes, expected {size}")
    return plain


def gzip_compress(data: Buffer, level: int = 1) -> bytes:
    """Compress to one gzip member without name and time, so that equal data give equal bytes.

    Args:
        data: what to compress.
        level: 1 (fast) to 9 (small); -1 is the default.

    Raises:
        BadRequest: the level is not one of these.
    """
    if level != -1 and not 1 <= level <= 9:
        raise BadRequest(f"gzip level must be 1 to 9, or -1 for the default, not {level}")
    if level <= _HIGHEST_FAST_LEVEL:
        fast: bytes = isal_zlib.compress(data, 1, _GZIP_WBITS)
        return fast
    return zlib.compress(data, level, _GZIP_WBITS)


def deflate_raw(data: Buffer) -> bytes:
    """Compress to a deflate stream (RFC 1951), to become the end of gzip data: see `gzip_joined`."""
    deflated: bytes = isal_zlib.compress(data, 1, _RAW_WBITS)
    return deflated


def gzip_joined(head: Buffer, rest: Buffer, deflated: Buffer) -> bytes:
    """Compress to one gzip member what has been compressed but for its beginning.

    Args:
        head: the beginning; it is compressed in haste.
        rest: all that follows.
        deflated: what `deflate_raw` made of that.
    """
    encoder = isal_zlib.compressobj(0, isal_zlib.DEFLATED, _RAW_WBITS)
    begun = encoder.compress(head), encoder.flush(isal_zlib.Z_SYNC_FLUSH)  # which ends at a whole byte
    check = isal_zlib.crc32(rest, isal_zlib.crc32(head))
    end = _gzip_end.pack(check, (len(head) + len(rest)) & 0xFFFFFFFF)
    return b"".join((_GZIP_HEAD, *begun, deflated, end))


def gzip_decompress(data: Buffer, limit: int, what: str = "gzip data") -> bytes:
    """Decompress gzip data of one or more members, zero padding behind the last allowed.

    Args:
        data: the compressed bytes.
        limit: the largest number of bytes allowed in the result; decompression stops there.
        what: names the data in an error.

    Raises:
        TooLarge: the result has more bytes than `limit`.
        BadRequest: the data are not gzip, damaged or truncated.
    """
    source = memoryview(data).cast("B")
    position = 0
    room = limit
    plain: list[bytes] = []
    # The first member gets all there is. Each later one is fed in growing pieces: what a decoder leaves over is
    # copied, and a body of a million tiny members must not be copied a million times.
    piece_size = len(source)
    while position < len(source) or not plain:
        if plain and not source[position]:
            if bytes(source[position:]).strip(b"\0"):
                raise BadRequest(f"{what}: there is something other than gzip data at byte {position}")
            break
        decoder = isal_zlib.decompressobj(wbits=_GZIP_WBITS)
        while not decoder.eof:
            piece = source[position : position + piece_size]
            if not len(piece):
                raise BadRequest(f"{what}: gzip data end too early, after {len(source)} bytes")
            try:
                grown = decoder.decompress(piece, room + 1)
            except _IsalError as error:
                raise BadRequest(f"{what}: not valid gzip data: {error}") from None
            if len(grown) > room:
                raise TooLarge(f"{what}: decompresses to more than the limit of {limit} bytes")
            room -= len(grown)
            plain.append(grown)
            position += len(piece) - len(decoder.unused_data)
            piece_size *= 2
        piece_size = _NEXT_MEMBER_PIECE
    return plain[0] if len(plain) == 1 else b"".join(plain)


def gzip_stream(chunks: Iterable[Buffer]) -> Iterator[bytes]:
    """Compress a stream to one gzip member, piece by piece."""
    encoder = isal_zlib.compressobj(1, isal_zlib.DEFLATED, _GZIP_WBITS)
    for chunk in chunks:
        compressed = encoder.compress(chunk)
        if compressed:
            yield compressed
    yield encoder.flush()
