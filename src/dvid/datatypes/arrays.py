"""Instances made of voxels as array-like objects: boxes by numpy's indices."""

from __future__ import annotations

import operator
from abc import abstractmethod
from types import EllipsisType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dvid.datatypes.handles import Handle
from dvid.datatypes.voxels import extents_of
from dvid.errors import BadRequest
from dvid.geometry import MAX_COORDINATE, MIN_COORDINATE, Box, Zyx

if TYPE_CHECKING:
    from dvid.datatypes.imageblk.layout import VoxelLayout

Part = int | slice | EllipsisType
Index = Part | tuple[Part, ...]


class VoxelArray(Handle):
    """Voxels at a node: `array[z0:z1, y0:y1, x0:x1]` reads a box, assigning to it writes one.

    Indices are voxel coordinates, zyx; negative ones are what they say, not counted from the end. A slice without a
    bound begins or ends with what was written so far (`extents`). Voxels that nobody wrote are 0.
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
        from dvid.datatypes.imageblk.layout import layout_of  # whose package has a subclass of this

        with self.view() as view:
            return layout_of(view.instance)

    @abstractmethod
    def read(self, box: Box) -> NDArray[Any]:
        """The voxels of a box: (z, y, x), or (z, y, x, channel)."""

    @abstractmethod
    def write(self, box: Box, voxels: ArrayLike) -> int:
        """Write the voxels of a box, in one transaction; the mutation id."""

    def _whole(self, box: Box, voxels: ArrayLike) -> NDArray[Any]:
        """What is to be written, broadcast to the box, of the volume's type.

        Raises:
            BadRequest: the box is empty or too large, or the voxels have another shape, or numbers that the type has not.
        """
        layout = self._voxels
        layout.check_size(box, 2**62)
        array = checked_numbers(np.asarray(voxels), layout.dtype)
        shape = box.shape_zyx if layout.channels == 1 else (*box.shape_zyx, layout.channels)
        try:
            whole = np.broadcast_to(array, shape)
        except ValueError:
            raise BadRequest(f"voxels of shape {shape} were expected for this box, not of {array.shape}") from None
        return np.ascontiguousarray(whole, layout.dtype)

    def __getitem__(self, index: Index) -> NDArray[Any]:
        box, single = self._box(index)
        return np.squeeze(self.read(box), axis=single)

    def __setitem__(self, index: Index, voxels: ArrayLike) -> None:
        box, single = self._box(index)
        if not box:
            return
        array = np.asarray(voxels)
        if array.ndim:
            array = self._with_axes(array, single)
        self.write(box, array)

    def _with_axes(self, array: NDArray[Any], single: tuple[int, ...]) -> NDArray[Any]:
        """An array as it was assigned, with the axes of the indices that were numbers."""
        axes = 3 + (self.channels > 1)
        missing = axes - len(single) - array.ndim  # what numpy would broadcast, in front
        if missing < 0:
            raise BadRequest(f"an array of {axes - len(single)} axes was expected, not of shape {array.shape}")
        return np.expand_dims(array.reshape((1,) * missing + array.shape), single)

    def _box(self, index: Index) -> tuple[Box, tuple[int, ...]]:
        parts = _three(index if isinstance(index, tuple) else (index,))
        extents: Box | None = None
        bounds: list[tuple[int, int]] = []
        single: list[int] = []
        for axis, part in enumerate(parts):
            if not isinstance(part, slice):
                number = operator.index(part)
                single.append(axis)
                bounds.append((number, number + 1))
                continue
            if part.step not in (None, 1):
                raise IndexError("a volume is read without steps: take [::step] of what it gives")
            if part.start is None or part.stop is None:
                extents = extents or self.extents
                if extents is None:
                    raise IndexError("the volume is empty: give both bounds of each slice")
            start = extents.start_zyx[axis] if part.start is None and extents else operator.index(part.start)
            stop = extents.stop_zyx[axis] if part.stop is None and extents else operator.index(part.stop)
            bounds.append((start, max(start, stop)))
        starts, stops = zip(*bounds, strict=True)
        if min(starts) < MIN_COORDINATE or max(stops) > MAX_COORDINATE:
            raise IndexError(f"voxels have coordinates from {MIN_COORDINATE} to {MAX_COORDINATE - 1}, not {bounds}")
        return Box(starts, stops), tuple(single)


def _three(parts: tuple[Part, ...]) -> tuple[int | slice, ...]:
    """An index for each axis: what is not given is everything, `...` stands for any number of these."""
    given = [part for part in parts if part is not Ellipsis]
    if len(given) > 3 or len(parts) > len(given) + 1:
        raise IndexError(f"a volume has 3 axes (z, y, x) and takes one `...`; {len(parts)} indices were given")
    at = next((number for number, part in enumerate(parts) if part is Ellipsis), len(given))
    given[at:at] = [slice(None)] * (3 - len(given))
    return tuple(given)


def checked_numbers(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Numbers that can be stored as a type: of the same kind, and if they are whole, in its range."""
    if array.dtype.kind in "iu" and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not np.can_cast(array.dtype, dtype, "safe") and array.size:
            low, high = int(array.min()), int(array.max())
            if low < limits.min or high > limits.max:
                raise BadRequest(f"voxels are numbers from {limits.min} to {limits.max}, not {low} to {high}")
    elif not np.can_cast(array.dtype, dtype, "same_kind"):
        raise BadRequest(f"voxels of type {array.dtype} cannot be stored as {dtype}")
    return array
