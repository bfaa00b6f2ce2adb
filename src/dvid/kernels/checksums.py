"""Checksums of many buffers in one call."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from dvid.errors import BadRequest
from dvid.kernels.native import xxh3_64


@numba.njit(  # type: ignore[untyped-decorator]
    "void(uintp[::1], intp[::1], uint64[::1], uint64[::1])", nogil=True, cache=True
)
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
