"""NumPy's .npy files, memory-mapped; and memory-mapped files in general."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from dvid.errors import BadRequest, Conflict
from dvid.interop.axes import layout_array
from dvid.interop.progress import ProgressJournal
from dvid.interop.volumes import (
    ShapeZYX,
    SinkPlan,
    VolumeSink,
    VolumeSource,
    Voxels,
    check_dtype,
    refuse_existing,
)

# What a damaged header makes numpy raise; it is parsed as a Python literal.
_READ_ERRORS = (OSError, ValueError, TypeError, EOFError, SyntaxError, ArithmeticError, RecursionError, MemoryError)


class MappedSource(VolumeSource):
    """A volume in one piece of a file, mapped into memory.

    Args:
        path: Of the file.
        array: The mapped array.
        axes: Of the array, a letter each, or None to tell them by its shape.
    """

    def __init__(self, path: str, array: Voxels, axes: str | None) -> None:
        self.name = path
        self._path = path
        self._array: Voxels | None = array
        self._layout = layout_array(array.shape, axes, path)
        self.shape_zyx = self._layout.shape_zyx
        self.channels = self._layout.channels
        self.dtype = check_dtype(array.dtype, path)
        self.preferred_chunk_zyx = (1, self.shape_zyx[1], self.shape_zyx[2])

    def _read(self, start_zyx: ShapeZYX, shape_zyx: ShapeZYX) -> Voxels:
        if self._array is None:
            raise BadRequest(f"{self.name} is closed")
        box = self._layout.arrange(self._array[self._layout.select(start_zyx, shape_zyx)])
        return np.array(box, dtype=self.dtype, order="C")

    def _identity(self) -> object:
        stat = os.stat(self._path)
        return stat.st_size, stat.st_mtime_ns

    def close(self) -> None:
        """Lets go of the mapping."""
        self._array = None


class MappedSink(VolumeSink):
    """A volume written into one piece of a file through a mapping.

    Args:
        path: Of the file.
        plan: What is written.
        journal: Of the parts that are done.
        array: The mapped array, of the plan's shape; its dtype may be of another byte order.
    """

    def __init__(self, path: str, plan: SinkPlan, journal: ProgressJournal, array: np.memmap[Any, Any]) -> None:
        super().__init__(path, plan, plan.chunk_zyx, journal)
        self._array: np.memmap[Any, Any] | None = array

    def _write(self, start_zyx: ShapeZYX, array: Voxels) -> None:
        if self._array is None:
            raise BadRequest(f"{self.name} is closed")
        z, y, x = start_zyx
        self._array[z : z + array.shape[0], y : y + array.shape[1], x : x + array.shape[2]] = array

    def _sync(self, boxes: list[tuple[ShapeZYX, ShapeZYX]]) -> None:
        if self._array is not None:
            self._array.flush()

    def _release(self) -> None:
        self._array = None


def open_npy(path: str, axes: str | None = None) -> MappedSource:
    """Opens an .npy file.

    Raises:
        BadRequest: If it is not one, is cut short, or holds Python objects (a pickle), which are never loaded.
    """
    try:
        # Sizes that overflow would wrap around otherwise.
        with np.errstate(over="raise"):
            array = np.lib.format.open_memmap(path, mode="r")
    except _READ_ERRORS as error:
        raise BadRequest(f"{path} cannot be read as an .npy file: {error}") from None
    return MappedSource(path, array, axes)


def make_npy(path: str, plan: SinkPlan, journal: ProgressJournal, resume: bool) -> MappedSink:
    """Makes an .npy file, sparse until it is written, or goes on with one.

    Raises:
        Conflict: If the path is taken, or holds something else than what is gone on with.
    """
    if resume:
        try:
            array = np.lib.format.open_memmap(path, mode="r+")
        except (ValueError, OSError, EOFError, SyntaxError) as error:
            raise Conflict(f"{path} cannot be gone on with: {error}") from None
        if array.shape != plan.array_shape or array.dtype != plan.dtype:
            raise Conflict(
                f"{path} holds {array.dtype} {array.shape}, not {plan.dtype} {plan.array_shape}: it has changed"
            )
        return MappedSink(path, plan, journal, array)
    if os.path.lexists(path):
        raise refuse_existing(path)
    check_free_space(path, math.prod(plan.array_shape) * plan.dtype.itemsize)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=plan.dtype, shape=plan.array_shape)
    return MappedSink(path, plan, journal, array)


def check_free_space(path: str, size: int) -> None:
    """Refuses an output that the disk has no room for: writing to a mapping of a full disk ends the process.

    Raises:
        Conflict: If there is less free than `size` bytes.
    """
    disk = os.statvfs(os.path.dirname(os.path.abspath(path)))
    free = disk.f_bavail * disk.f_frsize
    if free < size:
        raise Conflict(f"{path} takes {size} bytes, and its disk has {free} left")
