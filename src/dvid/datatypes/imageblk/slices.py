"""2D images on planes in any direction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from dvid.datatypes.imageblk.layout import VoxelLayout, layout_of
from dvid.datatypes.imageblk.reading import StoredBlocks
from dvid.datatypes.planes import rounded
from dvid.errors import BadRequest, TooLarge
from dvid.geometry import MAX_COORDINATE, MIN_COORDINATE
from dvid.versions import layout as keys
from dvid.versions.view import View


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
    return rounded(total, voxels.dtype)


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
