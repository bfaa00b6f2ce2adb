"""Checksums of many buffers in one call, and the hash that names blobs."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from dvid.errors import BadRequest
from dvid.kernels.compiling import kernel
from dvid.kernels.native import xxh3_64


@kernel("void(uintp[::1], intp[::1], uint64[::1], uint64[::1])", nogil=True)
def _xxh3(
    addresses: NDArray[np.uintp], sizes: NDArray[np.intp], seeds: NDArray[np.uint64], found: NDArray[np.uint64]
) -> None:
    for i in range(len(addresses)):
        if addresses[i] and sizes[i] >= 0:
            found[i] = xxh3_64(addresses[i], sizes[i], seeds[i])


def checksums(addresses: NDArray[np.uint64], sizes: NDArray[np.int64], seeds: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """XXH3 (64 bits) of the bytes at each address, as `xxhash.xxh3_64_intdigest(buffer, seed)` gives; 0 at address 0.

    Args:
        addresses: (n,) where the bytes are; see `dvid.kernels.buffers.locate`.
        sizes: (n,) how many they are.
        seeds: (n,) what each checksum begins with.

    Raises:
        BadRequest: the arrays are not equally long.
    """
    if not len(addresses) == len(sizes) == len(seeds):
        raise BadRequest(
            f"{len(addresses)} addresses, {len(sizes)} sizes and {len(seeds)} seeds: expected equal numbers"
        )
    found = np.zeros(len(addresses), np.uint64)
    _xxh3(addresses, sizes, seeds, found)
    return found


@kernel(types.UniTuple(types.uint64, 2)(types.Array(types.uint8, 1, "C", readonly=True)), nogil=True)
def _fnv(data: NDArray[np.uint8]) -> tuple[np.uint64, np.uint64]:
    """The high and the low half. The prime is 2^88 + 0x13b, so that one multiplication is three shorter ones."""
    prime, half = np.uint64(0x13B), np.uint64(32)
    mask = np.uint64(0xFFFFFFFF)
    high, low = np.uint64(0x6C62272E07BB0142), np.uint64(0x62B821756295C58D)
    for byte in data:
        carry = ((low & mask) * prime >> half) + (low >> half) * prime
        high = high * prime + (low << np.uint64(24)) + (carry >> half)
        low = low * prime ^ np.uint64(byte)
    return high, low


def fnv128(data: bytes | bytearray | memoryview) -> bytes:
    """FNV-1, 128 bits, big-endian: http://www.isthe.com/chongo/tech/comp/fnv/. No protection against forgery."""
    high, low = _fnv(np.frombuffer(data, np.uint8))
    return int(high).to_bytes(8, "big") + int(low).to_bytes(8, "big")
