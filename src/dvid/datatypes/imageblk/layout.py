"""How the voxels of an instance lie in its blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dvid.datatypes.voxels import block_zyx
from dvid.errors import BadRequest, TooLarge
from dvid.geometry import Box, Zyx
from dvid.versions.records import InstanceRecord


@dataclass(frozen=True, slots=True)
class VoxelLayout:
    """The type, shape and background of an instance's voxels.

    Blocks are stored, and volumes sent, with the channels of a voxel side by side, x next, then y, then z; numbers
    are little-endian.
    """

    block_zyx: Zyx
    dtype: np.dtype[np.generic]
    """Of one channel."""
    channels: int
    background: NDArray[np.uint8]
    """The bytes of one voxel of a block that nobody wrote, as block requests answer them."""
    nothing: NDArray[np.uint8]
    """The same for boxes: zeros, as in the reference server."""
    interpolable: bool
    itemsize: int
    """Bytes of a voxel."""
    block_bytes: int

    def bytes_of(self, box: Box) -> int:
        """Bytes of the voxels of a box."""
        return box.voxels * self.itemsize

    def array(self, data: bytes | bytearray | memoryview | NDArray[np.uint8], shape_zyx: Zyx) -> NDArray[np.generic]:
        """Bytes as an array of shape (z, y, x), or (z, y, x, channel) where there are several channels."""
        shape = shape_zyx if self.channels == 1 else (*shape_zyx, self.channels)
        return np.frombuffer(data, self.dtype).reshape(shape)

    def check_size(self, box: Box, limit: int, name: str = "limits.answerBytes") -> None:
        """Refuse a box without voxels, or with more bytes than allowed by the limit of that name.

        Raises:
            BadRequest: an extent is not positive.
            TooLarge: the box has more than `limit` bytes.
        """
        if min(box.shape_zyx) < 1:
            raise BadRequest(f"sizes must be at least 1; the box has the size (x, y, z) {box.shape_zyx[::-1]}")
        if (size := self.bytes_of(box)) > limit:
            raise TooLarge(f"the box has {size} bytes, the limit is {limit}{f' ({name})' if name else ''}")


@lru_cache(1024)
def _layout(block: Zyx, dtype: str, channels: int, background: int, interpolable: bool) -> VoxelLayout:
    kind = np.dtype(dtype).newbyteorder("<")
    # The reference server fills the bytes of absent blocks with the setting, not the voxels.
    voxel = np.full(channels * kind.itemsize, background, np.uint8)
    nothing = np.zeros_like(voxel)
    voxel.flags.writeable = nothing.flags.writeable = False
    size = len(voxel)
    return VoxelLayout(block, kind, channels, voxel, nothing, interpolable, size, math.prod(block) * size)


def layout_of(instance: InstanceRecord) -> VoxelLayout:
    """The layout of an instance's voxels."""
    settings = instance.settings
    values = settings["Values"]
    return _layout(
        block_zyx(instance), values[0]["DataType"], len(values), settings["Background"], settings["Interpolable"]
    )
