"""Points, boxes and block grids: pure values, no I/O.

Inside the service every coordinate is `zyx`, the order of array axes; names say so. The wire speaks `xyz`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

Zyx = tuple[int, int, int]
Xyz = tuple[int, int, int]

MIN_COORDINATE = -(2**31)
MAX_COORDINATE = 2**31 - 1
"""Voxel coordinates are 32-bit signed integers, as in the reference server's block keys."""


def reverse3(point: tuple[int, int, int]) -> tuple[int, int, int]:
    """Turn `xyz` into `zyx` or back."""
    a, b, c = point
    return c, b, a


@dataclass(frozen=True, slots=True)
class Box:
    """The voxels from `start_zyx` (included) to `stop_zyx` (excluded)."""

    start_zyx: Zyx
    stop_zyx: Zyx

    @classmethod
    def at(cls, start_zyx: Zyx, shape_zyx: Zyx) -> Self:
        """The box of that shape whose first voxel is `start_zyx`."""
        (z, y, x), (dz, dy, dx) = start_zyx, shape_zyx
        return cls(start_zyx, (z + dz, y + dy, x + dx))

    @property
    def shape_zyx(self) -> Zyx:
        """Extent along z, y and x; never negative."""
        (z0, y0, x0), (z1, y1, x1) = self.start_zyx, self.stop_zyx
        return (z1 - z0 if z1 > z0 else 0), (y1 - y0 if y1 > y0 else 0), (x1 - x0 if x1 > x0 else 0)

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        dz, dy, dx = self.shape_zyx
        return dz * dy * dx

    def __bool__(self) -> bool:
        return self.voxels > 0

    def __and__(self, other: Box) -> Box:
        return Box(
            tuple(map(max, self.start_zyx, other.start_zyx)),  # type: ignore[arg-type]
            tuple(map(min, self.stop_zyx, other.stop_zyx)),  # type: ignore[arg-type]
        )

    def __or__(self, other: Box) -> Box:
        """The smallest box that holds both."""
        return Box(
            tuple(map(min, self.start_zyx, other.start_zyx)),  # type: ignore[arg-type]
            tuple(map(max, self.stop_zyx, other.stop_zyx)),  # type: ignore[arg-type]
        )

    def contains(self, other: Box) -> bool:
        """True if every voxel of `other` is in this box."""
        return (self | other) == self

    def is_aligned(self, block_zyx: Zyx) -> bool:
        """True if the faces of the box lie between blocks."""
        (z0, y0, x0), (z1, y1, x1), (bz, by, bx) = self.start_zyx, self.stop_zyx, block_zyx
        return not (z0 % bz or y0 % by or x0 % bx or z1 % bz or y1 % by or x1 % bx)

    def blocks(self, block_zyx: Zyx) -> BlockRange:
        """The blocks that hold a voxel of the box."""
        (z0, y0, x0), (z1, y1, x1), (bz, by, bx) = self.start_zyx, self.stop_zyx, block_zyx
        return BlockRange((z0 // bz, y0 // by, x0 // bx), (-(-z1 // bz), -(-y1 // by), -(-x1 // bx)))

    def parts(self, most: int) -> Iterator[Box]:
        """The same voxels in the order of an array, in boxes of at most `most`: whole planes or rows where they fit."""
        return (Box(start, stop) for start, stop in _parts(self.start_zyx, self.stop_zyx, most))

    def slices_in(self, outer: Box) -> tuple[slice, slice, slice]:
        """Where the box lies in an array that holds `outer`."""
        return tuple(  # type: ignore[return-value]
            slice(a - o, b - o) for a, b, o in zip(self.start_zyx, self.stop_zyx, outer.start_zyx, strict=True)
        )


def _parts(start_zyx: Zyx, stop_zyx: Zyx, most: int) -> Iterator[tuple[Zyx, Zyx]]:
    (z0, y0, x0), (z1, y1, x1) = start_zyx, stop_zyx
    if z1 <= z0 or y1 <= y0 or x1 <= x0:
        return
    planes, rows = most // ((y1 - y0) * (x1 - x0)), most // (x1 - x0)
    if planes:
        for z in range(z0, z1, planes):
            yield (z, y0, x0), (min(z + planes, z1), y1, x1)
        return
    for z in range(z0, z1):
        if rows:
            for y in range(y0, y1, rows):
                yield (z, y, x0), (z + 1, min(y + rows, y1), x1)
            continue
        for y in range(y0, y1):
            for x in range(x0, x1, max(most, 1)):
                yield (z, y, x), (z + 1, y + 1, min(x + max(most, 1), x1))


@dataclass(frozen=True, slots=True)
class BlockRange:
    """The blocks with start_zyx <= coordinate < stop_zyx, in block coordinates."""

    start_zyx: Zyx
    stop_zyx: Zyx

    @property
    def shape_zyx(self) -> Zyx:
        """Number of blocks along z, y and x; never negative."""
        (z0, y0, x0), (z1, y1, x1) = self.start_zyx, self.stop_zyx
        return (z1 - z0 if z1 > z0 else 0), (y1 - y0 if y1 > y0 else 0), (x1 - x0 if x1 > x0 else 0)

    def __len__(self) -> int:
        dz, dy, dx = self.shape_zyx
        return dz * dy * dx

    def __iter__(self) -> Iterator[Zyx]:
        """The block coordinates, x fastest: the order of their keys."""
        (z0, y0, x0), (z1, y1, x1) = self.start_zyx, self.stop_zyx
        return ((z, y, x) for z in range(z0, z1) for y in range(y0, y1) for x in range(x0, x1))

    def layers(self) -> Iterator[BlockRange]:
        """The same blocks, one layer of z after another."""
        (z0, y0, x0), (z1, y1, x1) = self.start_zyx, self.stop_zyx
        return (BlockRange((z, y0, x0), (z + 1, y1, x1)) for z in range(z0, z1))

    def parts(self, most: int) -> Iterator[BlockRange]:
        """The same blocks in the same order, in ranges of at most `most` blocks: whole layers or rows where they fit."""
        return (BlockRange(start, stop) for start, stop in _parts(self.start_zyx, self.stop_zyx, most))

    def box(self, block_zyx: Zyx) -> Box:
        """The voxels of all these blocks."""
        (z0, y0, x0), (z1, y1, x1), (bz, by, bx) = self.start_zyx, self.stop_zyx, block_zyx
        return Box((z0 * bz, y0 * by, x0 * bx), (z1 * bz, y1 * by, x1 * bx))
