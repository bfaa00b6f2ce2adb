"""A volume of voxels as an array-like object."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dvid.datatypes.handles import Handle
from dvid.datatypes.imageblk.layout import VoxelLayout, layout_of
from dvid.datatypes.imageblk.reading import read_box
from dvid.datatypes.imageblk.writing import write_box
from dvid.datatypes.voxels import extents_of
from dvid.errors import BadRequest
from dvid.geometry import Box, Zyx

Index = int | slice | tuple[int | slice, ...]


class Volume(Handle):
    """A volume at a node: `volume[z0:z1, y0:y1, x0:x1]` reads a box, assigning to it writes one.

    Indices are voxel coordinates, zyx; negative ones are what they say, not counted from the end. A slice without a
    bound begins or ends with what was written so far (`extents`).
    """

    @property
    def extents(self) -> Box | None:
        """The box of what was written so far, or None."""
        with self.view() as view:
            return extents_of(view)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a voxel's channels."""
        return self._voxels.dtype

    @property
    def block_zyx(self) -> Zyx:
        """Voxels of a block: boxes along block bounds are fastest."""
        return self._voxels.block_zyx

    @property
    def channels(self) -> int:
        """Number of channels; with more than one, arrays have a last axis of that length."""
        return self._voxels.channels

    @property
    def _voxels(self) -> VoxelLayout:
        with self.view() as view:
            return layout_of(view.instance)

    def read(self, box: Box) -> NDArray[Any]:
        """The voxels of a box: (z, y, x), or (z, y, x, channel)."""
        with self.view() as view:
            layout_of(view.instance).check_size(box, 2**62)
            return read_box(view, box)

    def write(self, box: Box, voxels: ArrayLike) -> int:
        """Write the voxels of a box, of whole blocks or not, in one transaction; the mutation id."""
        layout = self._voxels
        array = np.asarray(voxels)
        shape = box.shape_zyx if layout.channels == 1 else (*box.shape_zyx, layout.channels)
        if not np.can_cast(array.dtype, layout.dtype, "same_kind"):
            raise BadRequest(f"voxels of type {array.dtype} cannot be stored as {layout.dtype}")
        data = np.ascontiguousarray(np.broadcast_to(array, shape), layout.dtype)
        return self.edit(
            lambda edit: write_box(edit, box, data.reshape(-1).view(np.uint8), mutate=True, unaligned=True)
        )

    def __getitem__(self, index: Index) -> NDArray[Any]:
        box, single = self._box(index)
        return np.squeeze(self.read(box), axis=single)

    def __setitem__(self, index: Index, voxels: ArrayLike) -> None:
        box, single = self._box(index)
        array = np.asarray(voxels)
        if array.ndim:
            array = np.expand_dims(array, single)
        self.write(box, array)

    def _box(self, index: Index) -> tuple[Box, tuple[int, ...]]:
        parts = index if isinstance(index, tuple) else (index,)
        if len(parts) > 3:
            raise IndexError(f"a volume has 3 axes (z, y, x); {len(parts)} indices given")
        parts = (*parts, *[slice(None)] * (3 - len(parts)))
        extents: Box | None = None
        bounds: list[tuple[int, int]] = []
        single: list[int] = []
        for axis, part in enumerate(parts):
            if not isinstance(part, slice):
                number = int(part.__index__())
                single.append(axis)
                bounds.append((number, number + 1))
                continue
            if part.step not in (None, 1):
                raise IndexError("a volume is read without steps: take [::step] of what it gives")
            if part.start is None or part.stop is None:
                extents = extents or self.extents
                if extents is None:
                    raise IndexError("the volume is empty: give both bounds of each slice")
            start = extents.start_zyx[axis] if part.start is None and extents else part.start
            stop = extents.stop_zyx[axis] if part.stop is None and extents else part.stop
            bounds.append((int(start), int(stop)))
        starts, stops = zip(*bounds, strict=True)
        return Box(starts, stops), tuple(single)
