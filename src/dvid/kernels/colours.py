"""Colours for labels."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from dvid.kernels.compiling import kernel

_LABELS = types.Array(types.uint64, 2, "C", readonly=True)


@kernel(types.void(_LABELS, types.Array(types.uint8, 3, "C")), nogil=True)
def _colour(labels: NDArray[np.uint64], out: NDArray[np.uint8]) -> None:
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            mixed = labels[y, x]
            # The finalizer of MurmurHash3: https://github.com/aappleby/smhasher/blob/master/src/MurmurHash3.cpp
            mixed ^= mixed >> np.uint64(33)
            mixed *= np.uint64(0xFF51AFD7ED558CCD)
            mixed ^= mixed >> np.uint64(33)
            mixed *= np.uint64(0xC4CEB9FE1A85EC53)
            mixed ^= mixed >> np.uint64(33)
            for channel in range(3):
                out[y, x, channel] = np.uint8((mixed >> np.uint64(8 * channel)) & np.uint64(255))


def pseudocolours(labels: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """A colour for each label, always the same: (y, x) uint64 -> (y, x, 3) uint8. Label 0 is black."""
    out = np.empty((*labels.shape, 3), np.uint8)
    _colour(labels, out)
    return out
