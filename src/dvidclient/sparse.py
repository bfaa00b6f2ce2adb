"""Sparse volumes: sets of voxels (or of blocks) as runs along x."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy
import numpy.typing

from dvidclient import runs
from dvidclient.arguments import BoxZYX, Int32s, array, box_zyx, point_zyx, points_zyx
from dvidclient.errors import BadArgument

_HEADER = numpy.dtype(
    [("payload", "u1"), ("dimensions", "u1"), ("axis", "u1"), ("reserved", "u1"), ("voxels", "<u4"), ("runs", "<u4")]
)
_RUN_XYZ = numpy.dtype("<i4")
_RUN_BYTES = 16


@dataclass(frozen=True, slots=True, eq=False, repr=False, init=False)
class SparseVolume:
    """A set of voxels. Two of the same voxels are equal, however they were made.

    Args:
        runs_zyxl: integers of the shape (n, 4): z, y and x of the first voxel of a run along x, and its length in voxels. They may
            come in any order, touch and overlap; kept are the fewest runs of the same voxels, sorted by z, y, x, as int32.

    Raises:
        BadArgument: it is no such array, a run has no voxels, or it reaches beyond coordinates of 32 bits.
    """

    runs_zyxl: Int32s

    def __init__(self, runs_zyxl: Any) -> None:
        given = array(runs_zyxl, "runs_zyxl")
        if given.size == 0:
            given = numpy.empty((0, 4), numpy.int32)
        if given.ndim != 2 or given.shape[1] != 4 or given.dtype.kind not in "iu":
            raise BadArgument(
                f"runs_zyxl: expected integers of the shape (n, 4), z, y, x, length for each run, "
                f"got {given.dtype} of the shape {given.shape}"
            )
        if given.size and (given.min() < -(2**31) or given.max() >= 2**31):
            raise BadArgument(f"runs_zyxl: expected numbers of 32 bits, got {given.min()} to {given.max()}")
        kept = runs.canonical(given)
        kept.flags.writeable = False
        object.__setattr__(self, "runs_zyxl", kept)

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies are read-only, too.
        return SparseVolume, (self.runs_zyxl,)

    @classmethod
    def from_coordinates(cls, coordinates_zyx: Any) -> SparseVolume:
        """Of voxels given one by one: integers of the shape (n, 3), z, y, x of each."""
        points = points_zyx(coordinates_zyx, "coordinates_zyx")
        return cls(numpy.column_stack([points, numpy.ones(len(points), numpy.int32)]))

    @classmethod
    def from_mask(cls, mask_zyx: Any, offset_zyx: Any = (0, 0, 0)) -> SparseVolume:
        """Of the voxels where an array (z, y, x) is not 0; its first voxel lies at ``offset_zyx``."""
        mask = numpy.asarray(mask_zyx)
        if mask.ndim != 3:
            raise BadArgument(f"mask_zyx: expected an array of three axes, got the shape {mask.shape}")
        return cls(runs.of_mask(mask.astype(bool, copy=False), point_zyx(offset_zyx, "offset_zyx")))

    @classmethod
    def from_wire(cls, data: bytes | memoryview, *, header: bool = True) -> SparseVolume:
        """Of the bytes of a sparse volume, as servers send them.

        All numbers are little-endian. The header has 12 bytes: a byte 0 (no payload), the number of axes 3, the axis of the runs 0
        (x), a byte 0, uint32 0, uint32 number of runs. Runs are four int32 each: x, y, z of the first voxel, and the length along
        x. The formats are named ``rles`` (with the header) and ``srles`` (without it) in ``GET .../sparsevol``.

        Raises:
            BadArgument: the bytes are something else.
        """
        data = memoryview(data)
        if header:
            if len(data) < _HEADER.itemsize:
                raise BadArgument(
                    f"sparse volume: expected a header of {_HEADER.itemsize} bytes, got {len(data)} bytes"
                )
            head = numpy.frombuffer(data[: _HEADER.itemsize], _HEADER)[0]
            data = data[_HEADER.itemsize :]
            if (head["payload"], head["dimensions"], head["axis"]) != (0, 3, 0):
                raise BadArgument(
                    f"sparse volume: expected runs along x of 3 axes without payload, got the header {head}"
                )
            if len(data) != int(head["runs"]) * _RUN_BYTES:
                raise BadArgument(
                    f"sparse volume: expected {head['runs']} runs of {_RUN_BYTES} bytes, got {len(data)} bytes"
                )
        if len(data) % _RUN_BYTES:
            raise BadArgument(f"sparse volume: expected runs of {_RUN_BYTES} bytes, got {len(data)} bytes")
        runs_xyzl = numpy.frombuffer(data, _RUN_XYZ).reshape(-1, 4)
        return cls(runs_xyzl[:, [2, 1, 0, 3]])

    def to_wire(self, *, header: bool = True) -> bytes:
        """The bytes that ``from_wire`` reads, as servers take them for a split."""
        head = numpy.array([(0, 3, 0, 0, 0, len(self.runs_zyxl))], _HEADER).tobytes() if header else b""
        return head + self.runs_zyxl[:, [2, 1, 0, 3]].astype(_RUN_XYZ).tobytes()

    @classmethod
    def from_spans(cls, spans_zyxx: Any) -> SparseVolume:
        """Of integers of the shape (n, 4): z, y, first x and last x, as regions of interest are sent."""
        spans = array(spans_zyxx, "spans_zyxx")
        if spans.size == 0:
            return cls(numpy.empty((0, 4), numpy.int32))
        if spans.ndim != 2 or spans.shape[1] != 4 or spans.dtype.kind not in "iu":
            raise BadArgument(
                f"spans_zyxx: expected integers of the shape (n, 4), got {spans.dtype} of the shape {spans.shape}"
            )
        lengths = spans[:, 3].astype(numpy.int64) - spans[:, 2] + 1
        return cls(numpy.column_stack([spans[:, :3].astype(numpy.int64), lengths]))

    @property
    def spans_zyxx(self) -> Int32s:
        """The runs as z, y, first x and last x (n, 4)."""
        spans = self.runs_zyxl.copy()
        spans[:, 3] += spans[:, 2] - 1
        return spans

    @property
    def voxels(self) -> int:
        """How many there are."""
        return int(self.runs_zyxl[:, 3].sum(dtype=numpy.int64))

    @property
    def coordinates_zyx(self) -> Int32s:
        """The voxels one by one: z, y, x of each (n, 3), in the order of z, y, x.

        Raises:
            BadArgument: there are more than 2^31.
        """
        return runs.coordinates(self.runs_zyxl)

    @property
    def extents_zyx(self) -> BoxZYX:
        """The smallest box that holds all voxels, as slices along z, y and x; of no voxels where there are none."""
        if not len(self.runs_zyxl):
            return (slice(0, 0), slice(0, 0), slice(0, 0))
        z, y, x = (int(at) for at in self.runs_zyxl[:, :3].min(axis=0))
        end_z, end_y = (int(at) + 1 for at in self.runs_zyxl[:, :2].max(axis=0))
        end_x = int((self.runs_zyxl[:, 2].astype(numpy.int64) + self.runs_zyxl[:, 3]).max())
        return (slice(z, end_z), slice(y, end_y), slice(x, end_x))

    def to_mask(self, box: BoxZYX | None = None) -> numpy.typing.NDArray[numpy.bool_]:
        """Which voxels of a box belong to it: a bool array (z, y, x).

        Args:
            box: slices along z, y and x; the extents if not given.

        Raises:
            BadArgument: the box has more than 2^31 voxels.
        """
        return runs.to_mask(self.runs_zyxl, self.extents_zyx if box is None else box_zyx(box, "box"))

    def within(self, box: BoxZYX) -> SparseVolume:
        """What of it lies in a box."""
        return SparseVolume(runs.clipped(self.runs_zyxl, box_zyx(box, "box")))

    def in_blocks(self, block_shape_zyx: tuple[int, int, int]) -> SparseVolume:
        """The blocks that hold some of it: a sparse volume in coordinates of blocks.

        Args:
            block_shape_zyx: voxels of a block along z, y and x; blocks begin at voxel 0, 0, 0.
        """
        edges = numpy.asarray(block_shape_zyx)
        if edges.shape != (3,) or edges.dtype.kind not in "iu" or edges.min() < 1:
            raise BadArgument(f"block_shape_zyx: expected three integers from 1, got {block_shape_zyx!r}")
        of_blocks = self.runs_zyxl.astype(numpy.int64)
        last = (of_blocks[:, 2] + of_blocks[:, 3] - 1) // edges[2]
        of_blocks[:, :3] //= edges
        of_blocks[:, 3] = last - of_blocks[:, 2] + 1
        return SparseVolume(of_blocks)

    def __or__(self, other: SparseVolume) -> SparseVolume:
        return SparseVolume(numpy.concatenate([self.runs_zyxl, other.runs_zyxl]))

    def __len__(self) -> int:
        return self.voxels

    def __bool__(self) -> bool:
        return len(self.runs_zyxl) > 0

    def __eq__(self, other: object) -> bool:
        return numpy.array_equal(self.runs_zyxl, other.runs_zyxl) if isinstance(other, SparseVolume) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.runs_zyxl.tobytes())

    def __repr__(self) -> str:
        z, y, x = (f"{part.start}:{part.stop}" for part in self.extents_zyx)
        return f"<SparseVolume: {self.voxels} voxels in {len(self.runs_zyxl)} runs, z {z}, y {y}, x {x}>"
