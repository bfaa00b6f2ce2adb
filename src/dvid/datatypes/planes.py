"""Slices along the axes, with isotropic pixels on demand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvid.errors import BadRequest
from dvid.geometry import Box, Xyz

_STRIP = 64
_AXES = {"0": 0, "1": 1, "2": 2, "x": 0, "y": 1, "z": 2}


@dataclass(frozen=True, slots=True)
class Plane:
    """Which two axes (0: x, 1: y, 2: z) run along an image's rows and columns."""

    across: int
    down: int

    def box(self, size: tuple[int, int], offset_xyz: Xyz) -> Box:
        """The voxels of an image of `size` (width, height) whose first pixel is at the offset."""
        shape_xyz = [1, 1, 1]
        shape_xyz[self.across], shape_xyz[self.down] = size
        x, y, z = offset_xyz
        return Box.at((z, y, x), (shape_xyz[2], shape_xyz[1], shape_xyz[0]))

    def image(self, volume_zyx: NDArray[np.generic]) -> NDArray[np.generic]:
        """The image (row, column, maybe channel) of a box one voxel thick."""
        return np.squeeze(volume_zyx, axis=2 - (3 - self.across - self.down))


XY, XZ, YZ = Plane(0, 1), Plane(0, 2), Plane(1, 2)


@lru_cache(64)
def parse_dims(text: str) -> Plane | None:
    """The axes asked for, like "xy", "0_2" or "0_1_2"; None for all three.

    Raises:
        BadRequest: it is none of these.
    """
    axes = text.split("_") if "_" in text else list(text)
    numbers = tuple(_AXES.get(axis, -1) for axis in axes)
    if numbers == (0, 1, 2):
        return None
    for plane in (XY, XZ, YZ):
        if numbers == (plane.across, plane.down):
            return plane
    if len(numbers) not in (2, 3):
        raise BadRequest(f"dims: shapes have 2 or 3 dimensions, not {len(numbers)}: {text[:40]!r}")
    raise BadRequest(f"dims: xy, xz, yz, 0_1, 0_2, 1_2 or 0_1_2 was expected, not {text[:40]!r}")


# ---- isotropic slices ---------------------------------------------------------------------------


def stored_size(size: tuple[int, int], plane: Plane, voxel_size_xyz: tuple[float, ...]) -> tuple[int, int]:
    """How many voxels (width, height) an image of `size` isotropic pixels spans.

    Pixels are as large as the smaller of the two voxel sizes.
    """
    width, height = size
    across, down = voxel_size_xyz[plane.across], voxel_size_xyz[plane.down]
    if across < down:
        return width, int(height * across / down + 0.5)
    if down < across:
        return int(width * down / across + 0.5), height
    return size


def scaled(image: NDArray[np.generic], size: tuple[int, int], *, interpolate: bool) -> NDArray[np.generic]:
    """An image (row, column, maybe channel) brought to another size (width, height).

    Each pixel is the mean of the area it covers, or, without interpolation, the pixel at its top left.
    """
    width, height = size
    if image.shape[:2] == (height, width):
        return image
    if not interpolate:
        rows = np.arange(height) * image.shape[0] // height
        columns = np.arange(width) * image.shape[1] // width
        picked: NDArray[np.generic] = image[rows][:, columns]
        return picked
    found = image
    for axis, length in ((0, height), (1, width)):
        if found.shape[axis] != length:
            found = _resized(found, length, axis)
    return found


def _resized(image: NDArray[np.generic], length: int, axis: int) -> NDArray[np.generic]:
    """An image with another length along one axis, made strip by strip: sums take eight bytes for each value."""
    shape = list(image.shape)
    shape[axis] = length
    out = np.empty(shape, image.dtype)
    moved, given = np.moveaxis(out, axis, 0), np.moveaxis(image, axis, 0)
    for first in range(0, moved.shape[1], _STRIP):
        strip = slice(first, first + _STRIP)
        means = _means(given[:, strip].astype(np.float64), length)
        moved[:, strip] = rounded(means, image.dtype)
    return out


def rounded(means: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[np.generic]:
    """Means of numbers of a type as numbers of that type: rounded down, like the reference server's."""
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        highest = float(limits.max)
        if highest > limits.max:  # 64 bits: the next float below
            highest = np.nextafter(highest, 0.0)
        means = np.clip(np.floor(means + 1e-6), float(limits.min), highest)
    return means.astype(dtype)


def _means(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Means over `count` equal stretches of the first axis, along which values are constant from one to the next."""
    length = len(values)
    sums = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
    edges = np.arange(count + 1) * (length / count)
    below = np.minimum(edges.astype(np.int64), length - 1)
    part = (edges - below).reshape(-1, *([1] * (values.ndim - 1)))
    at_edges = sums[below] + part * values[below]
    means: NDArray[np.float64] = np.diff(at_edges, axis=0) * (count / length)
    return means
