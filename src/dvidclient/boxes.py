"""Boxes of voxels, in the axis order of the wire (x, y, z)."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from dvidclient.errors import BadArgument

XYZ = tuple[int, int, int]

MOST_PARTS = 1 << 18
"""Into how many parts a box is cut at most: of 16 MiB each, 4 TiB."""


@dataclass(frozen=True, slots=True)
class Box:
    """The voxels from ``start_xyz`` up to, not including, ``stop_xyz``."""

    start_xyz: XYZ
    stop_xyz: XYZ

    @property
    def size_xyz(self) -> XYZ:
        """Voxels along each axis."""
        (x0, y0, z0), (x1, y1, z1) = self.start_xyz, self.stop_xyz
        return (x1 - x0, y1 - y0, z1 - z0)

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return math.prod(self.size_xyz)

    def widened(self, block_size_xyz: XYZ) -> Box:
        """The smallest box of whole blocks that holds this one."""
        x0, y0, z0 = (at // size * size for at, size in zip(self.start_xyz, block_size_xyz, strict=True))
        x1, y1, z1 = (-(-at // size) * size for at, size in zip(self.stop_xyz, block_size_xyz, strict=True))
        return Box((x0, y0, z0), (x1, y1, z1))

    def within_zyx(self, outer: Box) -> tuple[slice, slice, slice]:
        """Where this box lies in an array (z, y, x) of the voxels of ``outer``."""
        x, y, z = (
            slice(start - origin, stop - origin)
            for start, stop, origin in zip(self.start_xyz, self.stop_xyz, outer.start_xyz, strict=True)
        )
        return (z, y, x)

    def __str__(self) -> str:
        spans = zip("xyz", self.start_xyz, self.stop_xyz, strict=True)
        return ", ".join(f"{axis} {start}:{stop}" for axis, start, stop in spans)


def split(box: Box, block_size_xyz: XYZ, most_voxels: int) -> list[Box]:
    """Cuts a box along block boundaries into parts of at most ``most_voxels``, or of one block where a block has more.

    Cut along z first: such a part is one piece of an array (z, y, x), and its voxels can be received in place.

    Raises:
        BadArgument: there would be more than ``MOST_PARTS``.
    """
    steps = list(box.size_xyz)
    for axis in (2, 1, 0):
        if math.prod(steps) <= most_voxels:
            break
        across = math.prod(steps) // steps[axis]
        block = block_size_xyz[axis]
        steps[axis] = max(1, most_voxels // across // block) * block
    count = math.prod(-(-size // step) for size, step in zip(box.size_xyz, steps, strict=True))
    if count > MOST_PARTS:
        raise BadArgument(
            f"{box}: expected a box that can be read or written in {MOST_PARTS} parts, this one needs {count}: take it "
            f"piece by piece"
        )
    spans_zyx = [
        _spans(box.start_xyz[axis], box.stop_xyz[axis], steps[axis], block_size_xyz[axis]) for axis in (2, 1, 0)
    ]
    return [Box((x0, y0, z0), (x1, y1, z1)) for (z0, z1), (y0, y1), (x0, x1) in itertools.product(*spans_zyx)]


def _spans(start: int, stop: int, step: int, block: int) -> list[tuple[int, int]]:
    if step >= stop - start:
        return [(start, stop)]
    cuts = [start, *range(start // block * block + step, stop, step), stop]
    return list(itertools.pairwise(cuts))
