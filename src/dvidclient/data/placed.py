"""Data instances whose voxels have a place and a size in the world."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dvidclient import world
from dvidclient.data.instance import Instance
from dvidclient.errors import BadArgument
from dvidclient.layout import three

Array = np.ndarray[Any, np.dtype[Any]]


class Placed(Instance):
    """A data instance of voxels of a size. Voxel (0, 0, 0) begins at the origin of the world."""

    @property
    def scale(self) -> int:
        """Which resolution is read: 0 is the full one, each further one has half of it."""
        return 0

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """Size of a voxel along z, y and x, in ``units``."""
        z, y, x = (float(size) * 2**self.scale for size in reversed(three(self.settings, "VoxelSize")))
        return (z, y, x)

    @property
    def units(self) -> tuple[str, str, str]:
        """Unit of ``voxel_size`` along z, y and x, as it was given when the volume was made."""
        z, y, x = map(str, reversed(three(self.settings, "VoxelUnits")))
        return (z, y, x)

    def set_voxel_size(self, voxel_size_zyx: Sequence[float]) -> None:
        """Changes the size of a voxel along z, y and x, at all versions. Units stay as they are.

        Raises:
            BadArgument: these are not three positive numbers.
        """
        sizes = list(voxel_size_zyx)
        if len(sizes) != 3 or not all(isinstance(s, (int, float)) and math.isfinite(s) and s > 0 for s in sizes):
            raise BadArgument(f"voxel_size_zyx: expected 3 positive numbers, got {voxel_size_zyx!r}")
        what = f"writing the voxel size of {self}"
        self.connection.tell(f"{self.path}/resolution", what, document=sizes[::-1])
        self.refresh()

    def to_world(self, positions_zyx: Any, unit: str | None = None) -> Array:
        """Where voxels begin.

        Args:
            positions_zyx: an array (..., 3) of positions z, y, x; fractions are places within voxels.
            unit: of the result, such as ``"um"``; default: ``units``.

        Returns:
            float64 (..., 3).
        """
        return world.to_world(positions_zyx, self._steps(unit))

    def to_voxels(self, world_zyx: Any, unit: str | None = None) -> Array:
        """The positions of the voxels that points lie in.

        Args:
            world_zyx: an array (..., 3) of lengths z, y, x from the origin.
            unit: of them, such as ``"um"``; default: ``units``.

        Returns:
            int64 (..., 3).
        """
        return world.to_voxels(world_zyx, self._steps(unit))

    def world_slices(
        self, start_zyx: Sequence[float], stop_zyx: Sequence[float], unit: str | None = None
    ) -> tuple[slice, slice, slice]:
        """The slices of all voxels that a box of the world touches: ``vol[vol.world_slices((0, 0, 0), (2, 5, 5), "um")]``.

        Args:
            start_zyx: where it begins along z, y and x.
            stop_zyx: where it ends, not included.
            unit: of both; default: ``units``.
        """
        first = self.to_voxels(start_zyx, unit)
        last = -self.to_voxels(-np.asarray(stop_zyx, np.float64), unit)
        z, y, x = (slice(int(start), int(stop)) for start, stop in zip(first, last, strict=True))
        return (z, y, x)

    def _steps(self, unit: str | None) -> Array:
        return world.steps_in(self.voxel_size, self.units, unit)
