"""What every format of volume offers: a source is read box by box, a sink is written box by box."""

from __future__ import annotations

import hashlib
import itertools
import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from dvid.errors import BadRequest, Conflict, TooLarge
from dvid.interop.progress import ProgressJournal

ShapeZYX = tuple[int, int, int]
SizeZYX = tuple[float, float, float]
Voxels = npt.NDArray[Any]

MAX_VOXELS_PER_AXIS = 2**40
MAX_PIECE_BYTES = 4 << 30
"""Files are read in the pieces they are made of (chunks, tiles, slices): none may decode to more than this."""

CHECKPOINT_SECONDS = 2.0
"""How often a sink makes what was written durable and notes it in its progress file."""


def check_dtype(dtype: np.dtype[Any], what: str) -> np.dtype[Any]:
    """The dtype voxels of a stored array are read as: native byte order, and uint8 for bool.

    Raises:
        BadRequest: If its elements are not numbers that a voxel can hold.
    """
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind not in "uif" or dtype.itemsize > 8:
        raise BadRequest(f"{what} holds elements of type {dtype}: voxels are integers or floats of at most 64 bits")
    return dtype.newbyteorder("=")


def check_piece(shape: tuple[int, ...], dtype: np.dtype[Any], what: str) -> None:
    """Refuses a chunk, tile or slice too large to be decoded in one go.

    Raises:
        TooLarge: If it is.
    """
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_PIECE_BYTES:
        raise TooLarge(
            f"{what} is made of pieces of {shape} {dtype}, {size} bytes each: at most {MAX_PIECE_BYTES} are read"
        )


def check_box(start_zyx: ShapeZYX, shape_zyx: ShapeZYX, whole_zyx: ShapeZYX, what: str) -> None:
    """Refuses a box that is empty or not inside a volume.

    Raises:
        BadRequest: If it is not.
    """
    for start, size, whole in zip(start_zyx, shape_zyx, whole_zyx, strict=True):
        if start < 0 or size < 1 or start + size > whole:
            raise BadRequest(
                f"the box at {tuple(start_zyx)} of size {tuple(shape_zyx)} (z, y, x) is not inside {what}, whose size is {whole_zyx}"
            )


class VolumeSource(ABC):
    """A volume that is read lazily: memory follows the boxes asked for, never the volume.

    Reading is safe from several threads. Use it as a context manager, or call `close`.

    Attributes:
        name: What it is, for messages: the path and, where there is one, the dataset.
        shape_zyx: Size in voxels.
        channels: Values per voxel; more than 1 gives arrays with a last axis of channels.
        dtype: Of the voxels, in native byte order.
        voxel_size_zyx: Edge lengths of a voxel in `units`, or None where the format does not say.
        units: "nanometers" where the format gives a known unit of length, otherwise what the format says, or None.
        offset_zyx: Position of the first voxel in `units`, or None where the format does not say.
        origin_zyx: Coordinates of the first voxel, where the format counts voxels from a common origin.
        is_segmentation: Whether the format says that the voxels are labels.
        preferred_chunk_zyx: Boxes on multiples of this are read without reading anything twice.
    """

    name: str
    shape_zyx: ShapeZYX
    channels: int = 1
    dtype: np.dtype[Any]
    voxel_size_zyx: SizeZYX | None = None
    units: str | None = None
    offset_zyx: SizeZYX | None = None
    origin_zyx: ShapeZYX = (0, 0, 0)
    is_segmentation: bool = False
    preferred_chunk_zyx: ShapeZYX

    def read(self, start_zyx: ShapeZYX, shape_zyx: ShapeZYX) -> Voxels:
        """Reads a box.

        Args:
            start_zyx: Its first voxel.
            shape_zyx: Its size, at least one voxel along each axis.

        Returns:
            A C-ordered array of `shape_zyx`, with a last axis of channels where there are several.

        Raises:
            BadRequest: If the box is not inside the volume, or the file turns out to be damaged.
        """
        check_box(start_zyx, shape_zyx, self.shape_zyx, self.name)
        box = self._read(start_zyx, shape_zyx)
        expected = (*shape_zyx, self.channels) if self.channels > 1 else tuple(shape_zyx)
        if box.shape != expected:
            raise BadRequest(f"{self.name} gave an array of {box.shape} where {expected} was expected: it is damaged")
        return np.ascontiguousarray(box, dtype=self.dtype)

    def fingerprint(self) -> str:
        """Tells this state of the source from any other: a hash over its name, layout, and its files' sizes and times."""
        parts = (self.name, self.shape_zyx, self.channels, self.dtype.str, self._identity())
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    @abstractmethod
    def _read(self, start_zyx: ShapeZYX, shape_zyx: ShapeZYX) -> Voxels: ...

    @abstractmethod
    def _identity(self) -> object:
        """What changes when the files change; its repr is hashed."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of the files; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class SinkPlan:
    """What is to be written: the arguments of `create_sink`, checked.

    Attributes:
        shape_zyx: Size in voxels.
        dtype: Of the voxels.
        chunk_zyx: Chunks the file is to be made of, where its format has chunks.
        voxel_size_zyx: Edge lengths of a voxel in `units`, or None.
        units: Of the voxel size, or None.
        channels: Values per voxel.
        start_zyx: Coordinates of the first voxel, for formats that keep them.
    """

    shape_zyx: ShapeZYX
    dtype: np.dtype[Any]
    chunk_zyx: ShapeZYX
    voxel_size_zyx: SizeZYX | None
    units: str | None
    channels: int
    start_zyx: ShapeZYX = (0, 0, 0)

    @property
    def array_shape(self) -> tuple[int, ...]:
        """The shape of the whole array: z, y, x, and channels where there are several."""
        return (*self.shape_zyx, self.channels) if self.channels > 1 else self.shape_zyx

    @property
    def axes(self) -> str:
        """The axes of `array_shape`."""
        return "zyxc" if self.channels > 1 else "zyx"


class VolumeSink(ABC):
    """A volume that is written part by part, and can be gone on with after an interruption.

    A part is a chunk of a chunked file or a slice of a stack. Parts that are durably written are noted in a progress file
    beside the output (its path with `.progress` appended), which `close` deletes once every part is there.
    Writing is safe from several threads, unless two of them write the same part.

    Attributes:
        name: The path.
        plan: What is written.
        part_zyx: Size of a part; boxes start on its multiples and end there or at the end of the volume.
    """

    def __init__(self, name: str, plan: SinkPlan, part_zyx: ShapeZYX, journal: ProgressJournal) -> None:
        self.name = name
        self.plan = plan
        self.part_zyx = part_zyx
        self._journal = journal
        self._lock = threading.Lock()
        self._pending: list[tuple[ShapeZYX, ShapeZYX]] = []
        self._noted_at = time.monotonic()
        self._closed = False
        grid = tuple(-(-size // part) for size, part in zip(plan.shape_zyx, part_zyx, strict=True))
        self._done = np.zeros(grid, dtype=bool)
        for start, shape in journal.finished:
            self._done[self._parts(start, shape)] = True

    @property
    def completed(self) -> set[ShapeZYX]:
        """Indices (z, y, x) of the parts that are written: part (1, 0, 0) starts at voxel (part_zyx[0], 0, 0)."""
        return {(int(z), int(y), int(x)) for z, y, x in np.argwhere(self._done)}

    @property
    def part_count(self) -> int:
        """How many parts the volume has."""
        return int(self._done.size)

    @property
    def completed_count(self) -> int:
        """How many of them are written."""
        return int(np.count_nonzero(self._done))

    def is_completed(self, start_zyx: ShapeZYX, shape_zyx: ShapeZYX) -> bool:
        """Whether every part of a box is written already.

        Raises:
            BadRequest: If the box does not consist of whole parts.
        """
        self._check_parts(start_zyx, shape_zyx)
        return bool(self._done[self._parts(start_zyx, shape_zyx)].all())

    def write(self, start_zyx: ShapeZYX, array: Voxels) -> None:
        """Writes a box of whole parts.

        Args:
            start_zyx: Its first voxel, on a multiple of `part_zyx`.
            array: Its voxels, z, y, x, and channels where there are several, of the sink's dtype.

        Raises:
            BadRequest: If the array's dtype or shape does not fit, or the box does not consist of whole parts.
        """
        channels = array.shape[3:] == (self.plan.channels,) if self.plan.channels > 1 else array.ndim == 3
        if array.dtype != self.plan.dtype or not channels:
            raise BadRequest(
                f"{self.name} takes {self.plan.dtype} arrays of {self.plan.axes} "
                f"with {self.plan.channels} channel(s): got {array.dtype} of shape {array.shape}"
            )
        start: ShapeZYX = (int(start_zyx[0]), int(start_zyx[1]), int(start_zyx[2]))
        shape: ShapeZYX = (array.shape[0], array.shape[1], array.shape[2])
        self._check_parts(start, shape)
        self._write(start, array)
        with self._lock:
            self._done[self._parts(start, shape)] = True
            self._pending.append((start, shape))
            due = time.monotonic() - self._noted_at > CHECKPOINT_SECONDS
        if due:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Makes all that was written durable, then notes it: an export that is resumed goes on from here."""
        with self._lock:
            if self._pending:
                self._sync(self._pending)
                self._journal.record_many(self._pending)
                self._pending = []
            self._noted_at = time.monotonic()

    def close(self) -> None:
        """Makes all durable; deletes the progress file if every part is written, and keeps it otherwise."""
        if self._closed:
            return
        self._closed = True
        try:
            self.checkpoint()
        finally:
            self._release()
            if not self._pending and self._done.all():
                self._journal.remove()
            else:
                self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _write(self, start_zyx: ShapeZYX, array: Voxels) -> None: ...

    @abstractmethod
    def _sync(self, boxes: list[tuple[ShapeZYX, ShapeZYX]]) -> None:
        """Makes these boxes durable."""

    @abstractmethod
    def _release(self) -> None:
        """Closes the files."""

    def _parts(self, start_zyx: ShapeZYX, shape_zyx: ShapeZYX) -> tuple[slice, ...]:
        boxes = zip(start_zyx, shape_zyx, self.part_zyx, strict=True)
        return tuple(slice(start // part, -(-(start + size) // part)) for start, size, part in boxes)

    def _check_parts(self, start_zyx: ShapeZYX, shape_zyx: ShapeZYX) -> None:
        check_box(start_zyx, shape_zyx, self.plan.shape_zyx, self.name)
        for start, size, part, whole in zip(start_zyx, shape_zyx, self.part_zyx, self.plan.shape_zyx, strict=True):
            if start % part or ((start + size) % part and start + size != whole):
                raise BadRequest(
                    f"{self.name} is written in whole parts of {self.part_zyx} (z, y, x): "
                    f"got a box at {start_zyx} of size {shape_zyx}"
                )


SinkMaker = Callable[[str, SinkPlan, ProgressJournal, bool], VolumeSink]
"""Makes a sink from path, plan, journal, and whether to go on with the output that is there."""


def iter_boxes(shape_zyx: ShapeZYX, box_zyx: ShapeZYX) -> Iterator[tuple[ShapeZYX, ShapeZYX]]:
    """The boxes of a grid over a volume, in z, y, x order, as (start, shape); the last along an axis may be smaller."""
    for z, y, x in itertools.product(*(range(0, size, step) for size, step in zip(shape_zyx, box_zyx, strict=True))):
        rest = (shape_zyx[0] - z, shape_zyx[1] - y, shape_zyx[2] - x)
        yield (z, y, x), (min(box_zyx[0], rest[0]), min(box_zyx[1], rest[1]), min(box_zyx[2], rest[2]))


def refuse_existing(path: str) -> Conflict:
    """The error for an output path that is taken."""
    return Conflict(f"{path} exists already: choose another path, remove it, or resume the export that it comes from")
