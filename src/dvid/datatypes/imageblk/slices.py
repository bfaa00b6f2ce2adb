"""2D images: slices along the axes, with isotropic pixels on demand, and planes in any direction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvid.datatypes.imageblk.layout import VoxelLayout, layout_of
from dvid.datatypes.imageblk.reading import StoredBlocks
from dvid.errors import BadRequest, TooLarge
from dvid.geometry import MAX_COORDINATE, MIN_COORDINATE, Box, Xyz
from dvid.versions import layout as keys
from dvid.versions.view import View

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
        moved[:, strip] = _rounded(means, image.dtype)
    return out


def _rounded(means: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[np.generic]:
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


# ---- planes in any direction --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ObliquePlane:
    """An image whose pixels lie on a plane in space; points in world units (nanometres), xyz."""

    origin: NDArray[np.float64]
    across: NDArray[np.float64]
    """From a pixel to the next one in its row."""
    down: NDArray[np.float64]
    width: int
    height: int

    @classmethod
    def through(
        cls,
        top_left: NDArray[np.float64],
        top_right: NDArray[np.float64],
        bottom_left: NDArray[np.float64],
        spacing: float,
    ) -> ObliquePlane:
        """The plane with three corners of the image and the distance of pixels.

        Raises:
            BadRequest: two corners coincide, or are closer than one pixel.
        """
        if not spacing > 0:
            raise BadRequest(f"res: a distance of pixels above 0 was expected, not {spacing}")
        steps_x = np.floor(np.linalg.norm(top_right - top_left) / spacing)
        steps_y = np.floor(np.linalg.norm(bottom_left - top_left) / spacing)
        if not (1 <= steps_x < 2**31 and 1 <= steps_y < 2**31):
            raise BadRequest("the corners must be at least one pixel, and less than 2^31 pixels, away from each other")
        across, down = (top_right - top_left) / steps_x, (bottom_left - top_left) / steps_y
        return cls(top_left, across, down, int(steps_x) + 1, int(steps_y) + 1)


_PIXELS_AT_ONCE = 1 << 15
_BLOCK_BYTES_AT_ONCE = 16 << 20


def oblique_image(view: View, plane: ObliquePlane, limit: int) -> NDArray[np.generic]:
    """The image on a plane, interpolated between the eight voxels around each pixel.

    Raises:
        TooLarge: it would have more than `limit` bytes.
        BadRequest: the plane leaves the coordinates.
    """
    voxels = layout_of(view.instance)
    pixels = plane.width * plane.height
    if pixels * voxels.itemsize > limit:
        raise TooLarge(f"the image has {pixels * voxels.itemsize} bytes, {limit} is the most for an image")
    spacing = np.array(view.instance.settings["VoxelSize"], np.float64)
    found = np.empty((pixels, voxels.channels), voxels.dtype)
    for first in range(0, pixels, _PIXELS_AT_ONCE):
        row, column = np.divmod(np.arange(first, min(first + _PIXELS_AT_ONCE, pixels)), plane.width)
        points_xyz = (plane.origin + row[:, None] * plane.down + column[:, None] * plane.across) / spacing
        if np.abs(points_xyz).max() >= MAX_COORDINATE - 1:
            raise BadRequest(f"the plane leaves the coordinates {MIN_COORDINATE} to {MAX_COORDINATE}")
        found[first : first + len(row)] = _interpolated(view, voxels, points_xyz)
    shape = (plane.height, plane.width)
    return found.reshape(shape if voxels.channels == 1 else (*shape, voxels.channels))


def _interpolated(view: View, voxels: VoxelLayout, points_xyz: NDArray[np.float64]) -> NDArray[np.generic]:
    """The values at points between voxels: (n, channel)."""
    low = np.floor(points_xyz)
    part = points_xyz - low
    near, far = low.astype(np.int64), np.ceil(points_xyz).astype(np.int64)
    corners = [np.array(corner, bool) for corner in product((0, 1), repeat=3)]
    values = _voxels_at(view, voxels, np.concatenate([np.where(corner, far, near) for corner in corners]))
    total = np.zeros((len(points_xyz), voxels.channels))
    for corner, its in zip(corners, np.split(values, len(corners)), strict=True):
        total += its * np.prod(np.where(corner, part, 1 - part), axis=1)[:, None]
    return _rounded(total, voxels.dtype)


def _voxels_at(view: View, voxels: VoxelLayout, points_xyz: NDArray[np.int64]) -> NDArray[np.generic]:
    """The values of single voxels: (n, channel). Each block is read once."""
    depth, height, width = voxels.block_zyx
    blocks_xyz, inside_xyz = np.divmod(points_xyz, np.array((width, height, depth)))
    x, y, z = inside_xyz.T
    places = (z * height + y) * width + x
    wanted, numbers = _distinct(blocks_xyz)
    order = np.argsort(numbers, kind="stable")
    values = np.empty((len(points_xyz), voxels.channels), voxels.dtype)
    step = max(1, _BLOCK_BYTES_AT_ONCE // voxels.block_bytes)
    for first in range(0, len(wanted), step):
        some = wanted[first : first + step]
        stored = StoredBlocks(view, [keys.block_key((z, y, x)) for x, y, z in some.tolist()])
        room = np.empty((len(some), depth * height * width, voxels.channels), voxels.dtype)
        origins = np.zeros((len(some), 3), np.int64)
        origins[:, 0] = np.arange(len(some)) * depth
        shape_zyx = len(some) * depth, height, width
        stored.into(origins, room.ctypes.data, shape_zyx, background=voxels.background)
        begin, end = np.searchsorted(numbers[order], (first, first + len(some)))
        chosen = order[begin:end]
        values[chosen] = room[numbers[chosen] - first, places[chosen]]
    return values


def _distinct(points: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Each point once, and the number of each given point among these."""
    low = points.min(axis=0)
    extent = points.max(axis=0) - low + 1
    if math.prod(extent.tolist()) < 2**62:  # as one number: sorts several times faster
        single, numbers = np.unique(((points - low) @ (extent[1] * extent[2], extent[2], 1)), return_inverse=True)
        return np.stack(np.unravel_index(single, extent.tolist()), axis=1) + low, numbers.reshape(-1)
    distinct, numbers = np.unique(points, axis=0, return_inverse=True)
    return distinct, numbers.reshape(-1)
