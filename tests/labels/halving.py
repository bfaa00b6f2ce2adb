"""Lower resolutions in plain numpy."""

from __future__ import annotations

import numpy as np

from dvid.geometry import Box, Zyx
from dvid.labels.tables import Labels

EDGE = 16
"""Of the blocks, along each axis."""


def half(voxels: Labels) -> Labels:
    """Each voxel is the most frequent of 2 x 2 x 2; 0 only where there is nothing else; of equals the lowest."""
    z, y, x = (side // 2 for side in voxels.shape)
    eights = voxels.reshape(z, 2, y, 2, x, 2).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 8)
    counts = (eights[:, :, None] == eights[:, None, :]).sum(2)
    counts[eights == 0] = 0
    best = np.where(counts == counts.max(1, keepdims=True), eights, np.uint64(2**64 - 1))
    return np.where(counts.any(1), best.min(1), np.uint64(0)).reshape(z, y, x)


class Pyramid:
    """All resolutions of a volume, made at once whenever something is written. Its blocks have 16^3 voxels."""

    def __init__(self, world: Box, lowest: int) -> None:
        """`world` holds all that is ever written; its faces lie between blocks of all scales but the lowest."""
        self.world = world
        self.scales = [np.zeros(self.box(scale).shape_zyx, np.uint64) for scale in range(lowest + 1)]

    def copy(self) -> Pyramid:
        other = Pyramid(self.world, 0)
        other.scales = [scale.copy() for scale in self.scales]
        return other

    def box(self, scale: int) -> Box:
        """The world at a scale."""
        start, stop = (tuple(edge >> scale for edge in end) for end in (self.world.start_zyx, self.world.stop_zyx))
        return Box(start, stop)  # type: ignore[arg-type]

    def put(self, box: Box, voxels: Labels, scale: int = 0, *, follow: bool = True) -> None:
        """Write whole blocks of a scale; with `follow`, those of lower resolutions that depend on them, too."""
        inside = box & self.box(scale)
        self.scales[scale][inside.slices_in(self.box(scale))] = voxels[inside.slices_in(box)]
        places = set(box.blocks((EDGE,) * 3))
        for below in range(scale + 1, len(self.scales) if follow else 0):
            places = {(z >> 1, y >> 1, x >> 1) for z, y, x in places}
            for place in places:
                self._make(below, place)

    def remake(self, first: int) -> None:
        """Make the scales from one on anew, of the one before it."""
        for scale in range(first, len(self.scales)):
            for place in self.box(scale).blocks((EDGE,) * 3):
                self._make(scale, place)

    def _make(self, scale: int, place: Zyx) -> None:
        start: Zyx = tuple(edge * EDGE for edge in place)  # type: ignore[assignment]
        part = Box.at(start, (EDGE,) * 3) & self.box(scale)
        above = Box(tuple(2 * e for e in part.start_zyx), tuple(2 * e for e in part.stop_zyx))  # type: ignore[arg-type]
        self.scales[scale][part.slices_in(self.box(scale))] = half(
            self.scales[scale - 1][above.slices_in(self.box(scale - 1))]
        )

    def read(self, box: Box, scale: int = 0) -> Labels:
        """A box of a scale; 0 outside the world."""
        out = np.zeros(box.shape_zyx, np.uint64)
        inside = box & self.box(scale)
        if inside:
            out[inside.slices_in(box)] = self.scales[scale][inside.slices_in(self.box(scale))]
        return out
