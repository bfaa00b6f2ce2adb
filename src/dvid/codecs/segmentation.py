"""Neuroglancer's compressed segmentation, as `compression=google` answers it. Its format: `dvid.kernels.segmentation`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dvid.kernels.segmentation import compress_segmentation


def encode(voxels: NDArray[np.uint64]) -> memoryview:
    """Compress labels: one channel, in blocks of 8 x 8 x 8.

    Args:
        voxels: (z, y, x) uint64, each side a multiple of 8; also a part of a larger array.

    Returns:
        The bytes; their number is a multiple of 4.

    Raises:
        BadRequest: the array has another type, or a side is no multiple of 8.
        TooLarge: there are too many labels for the format, which can place tables in the first 64 MiB only.
    """
    return compress_segmentation(voxels).view(np.uint8).data
