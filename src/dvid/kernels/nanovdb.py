"""Masks of the leaves of a NanoVDB tree: 8 x 8 x 8 voxels, a bit for each."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from dvid.kernels.compiling import kernel
from dvid.kernels.runs import Longs, Runs

Masks = NDArray[np.uint64]

LEAF_SIDE = 8


@kernel(
    types.void(
        types.Array(types.int64, 1, "C", readonly=True),
        types.Array(types.int32, 2, "C", readonly=True),
        types.Array(types.uint64, 2, "C"),
    ),
    nogil=True,
)
def _set_bits(bounds: Longs, pieces: Runs, masks: Masks) -> None:
    for leaf in range(len(masks)):
        for i in range(max(bounds[leaf], 0), min(bounds[leaf + 1], len(pieces))):
            bit = np.uint64(1) << np.uint64((pieces[i, 1] & 7) << 3 | (pieces[i, 2] & 7))
            first = pieces[i, 0] & 7
            for x in range(first, min(first + pieces[i, 3], LEAF_SIDE)):
                masks[leaf, x] |= bit


def leaf_masks(bounds: Longs, pieces: Runs) -> Masks:
    """The voxels of leaves as masks.

    Args:
        bounds: (n + 1,) int64: leaf i has the pieces bounds[i] to bounds[i + 1] - 1.
        pieces: (m, 4) int32 runs cut at the faces of the leaves: x, y, z in the leaf, and length.

    Returns:
        (n, 8) uint64: the bit of a voxel is x * 64 + y * 8 + z, so each x has a word.
    """
    masks = np.zeros((len(bounds) - 1, LEAF_SIDE), np.uint64)
    _set_bits(np.ascontiguousarray(bounds), np.ascontiguousarray(pieces), masks)
    return masks
