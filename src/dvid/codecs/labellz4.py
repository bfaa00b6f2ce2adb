"""Voxels of labels as one raw LZ4 block, as `compression=lz4` answers them."""

from __future__ import annotations

from dvid.codecs.compression import lz4_compress
from dvid.geometry import Zyx
from dvid.kernels.labellz4 import LARGEST_ROW, compress_labels


def encode(voxels: bytes | memoryview, shape_zyx: Zyx) -> bytes:
    """Compress labels.

    Args:
        voxels: the bytes of a C-contiguous array of uint64; as many as the shape has.
        shape_zyx: voxels along z, y and x; none of them 0.

    Returns:
        One raw LZ4 block, which any LZ4 library reads.
    """
    if shape_zyx[2] * 8 > LARGEST_ROW:  # the row before is farther away than LZ4 can tell
        return lz4_compress(voxels)
    return compress_labels(voxels, shape_zyx)
