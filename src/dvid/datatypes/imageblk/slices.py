"""2D images: slices along the axes, with isotropic pixels on demand, and planes in any direction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from dvid.datatypes.imageblk.layout import VoxelLayout, layout_of
from dvid.datatypes.imageblk.reading import read_blocks, read_box
from dvid.errors import BadRequest, TooLarge
from dvid.geometry import MAX_COORDINATE, MIN_COORDINATE, Box, Xyz
from dvid.versions import layout as keys
from dvid.versions.view import View

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
    means = _means(_means(image.astype(np.float64), height, 0), width, 1)
    if np.issubdtype(image.dtype, np.integer):
        means = np.floor(means + 1e-6)
    found: NDArray[np.generic] = means.astype(image.dtype)
    return found


def _means(values: NDArray[np.float64], count: int, axis: int) -> NDArray[np.float64]:
    """Means over `count` equal stretches of an axis, along which the values are constant from one to the next."""
    moved = np.moveaxis(values, axis, 0)
    length = len(moved)
    sums = np.concatenate([np.zeros((1, *moved.shape[1:])), np.cumsum(moved, axis=0)])
    edges = np.arange(count + 1) * (length / count)
    below = np.minimum(edges.astype(np.int64), length - 1)
    part = (edges - below).reshape(-1, *([1] * (moved.ndim - 1)))
    at_edges = sums[below] + part * moved[below]
    means: NDArray[np.float64] = np.moveaxis(np.diff(at_edges, axis=0) * (count / length), 0, axis)
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


_ROWS_AT_ONCE = 64


def oblique_image(view: View, plane: ObliquePlane, limit: int) -> NDArray[np.generic]:
    """The image on a plane, interpolated between the eight voxels around each pixel.

    Raises:
        TooLarge: it would have more than `limit` bytes.
    """
    voxels = layout_of(view.instance)
    size = plane.width * plane.height * voxels.itemsize
    if size > limit:
        raise TooLarge(f"the image has {size} bytes, the limit is {limit} (limits.answerBytes)")
    shape = (plane.height, plane.width) if voxels.channels == 1 else (plane.height, plane.width, voxels.channels)
    out = np.empty(shape, voxels.dtype)
    spacing = np.array(view.instance.settings["VoxelSize"], np.float64)
    columns = np.arange(plane.width)[None, :, None] * plane.across
    for first in range(0, plane.height, _ROWS_AT_ONCE):
        rows = np.arange(first, min(first + _ROWS_AT_ONCE, plane.height))[:, None, None] * plane.down
        points_xyz = ((plane.origin + rows + columns) / spacing).reshape(-1, 3)
        if np.abs(points_xyz).max() >= MAX_COORDINATE - 1:
            raise BadRequest(f"the plane leaves the coordinates {MIN_COORDINATE} to {MAX_COORDINATE}")
        values = _interpolated(view, voxels, points_xyz)
        out[first : first + _ROWS_AT_ONCE] = values.reshape(-1, *shape[1:])
    return out


def _interpolated(view: View, voxels: VoxelLayout, points_xyz: NDArray[np.float64]) -> NDArray[np.generic]:
    """The values at points between voxels: (n,) or (n, channel)."""
    low = np.floor(points_xyz)
    part = points_xyz - low
    low_int, high_int = low.astype(np.int64), np.ceil(points_xyz).astype(np.int64)
    total: NDArray[np.float64] | None = None
    for corner in product((0, 1), repeat=3):
        at = np.where(np.array(corner, bool), high_int, low_int)
        weight = np.prod(np.where(np.array(corner, bool), part, 1 - part), axis=1)
        values = _voxels_at(view, voxels, at).astype(np.float64)
        term = values * weight.reshape(-1, *([1] * (values.ndim - 1)))
        total = term if total is None else total + term
    if np.issubdtype(voxels.dtype, np.integer):
        total = np.floor(total + 1e-6)  # type: ignore[operator]
    return total.astype(voxels.dtype)  # type: ignore[union-attr]


def _voxels_at(view: View, voxels: VoxelLayout, points_xyz: NDArray[np.int64]) -> NDArray[np.generic]:
    """The values of single voxels: (n,) or (n, channel). Each block is read once."""
    size_xyz = np.array(voxels.block_zyx[::-1])
    blocks_xyz, numbers = np.unique(points_xyz // size_xyz, axis=0, return_inverse=True)
    inside = points_xyz % size_xyz
    block_keys = [keys.block_key((z, y, x)) for x, y, z in blocks_xyz.tolist()]
    depth, height, width = voxels.block_zyx
    empty = np.tile(voxels.background, depth * height * width)
    arrays = [np.frombuffer(empty if data is None else data, voxels.dtype) for data in read_blocks(view, block_keys)]
    stacked = np.stack(arrays).reshape(-1, *voxels.block_zyx, voxels.channels)
    picked: NDArray[np.generic] = stacked[numbers.reshape(-1), inside[:, 2], inside[:, 1], inside[:, 0]]
    return picked[:, 0] if voxels.channels == 1 else picked


def slice_image(view: View, plane: Plane, size: tuple[int, int], offset_xyz: Xyz) -> NDArray[np.generic]:
    """The image of a slice along two axes: (row, column), or (row, column, channel)."""
    return plane.image(read_box(view, plane.box(size, offset_xyz)))
