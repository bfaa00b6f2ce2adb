"""Parts of protobuf messages: https://protobuf.dev/programming-guides/encoding. Arrays are written and read by `dvid.kernels`."""

from __future__ import annotations


def varint(number: int) -> bytes:
    """A number, not below 0, in groups of seven bits, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
