"""Volumes as arrays of dask and xarray, read when, and as far as, they are needed; and dask arrays written to volumes."""

from __future__ import annotations

import importlib
import itertools
import math
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dvidclient.arrays import fitting
from dvidclient.boxes import Box
from dvidclient.errors import BadArgument
from dvidclient.progress import Meter, Progress
from dvidclient.transfer import Transfer, checked_workers

if TYPE_CHECKING:
    from dvidclient.data.volume import Volume

# Large enough that a task's overhead does not show, small enough that a worker holds several.
CHUNK_BYTES = 32 << 20


def dask_array(volume: Volume, chunks: Any = "auto") -> Any:
    """A ``dask.array`` of the extents of a volume.

    Its position 0 is the first voxel of the extents, ``volume.extents``. Chunks begin where blocks of the server do. It can be
    computed in threads, which share the volume's connections, and in processes, each of which opens its own; the token, if
    there is one, goes to them with it.

    Args:
        volume: what is read, at its version, scale and with its other options.
        chunks: ``"auto"``: blocks, grown to 16 to 32 MiB; or what ``dask.array.from_array`` takes.

    Raises:
        ModuleNotFoundError: dask is not installed.
    """
    dask_arrays, dask_base = _needed("dask.array", "dask"), _needed("dask.base", "dask")
    extents = volume.extents
    transfer = volume.transfer
    window = Window(transfer, volume.axes, tuple(start for start, _ in extents.values()), volume.shape)
    if chunks == "auto":
        edges = chunk_shape(volume.block_shape, volume.shape, volume.dtype.itemsize)
        starts = window.start
        chunks = tuple(_cuts(start, size, edge) for start, size, edge in zip(starts, window.shape, edges, strict=True))
    # What may still change has a new name each time, so that nothing takes old results for new ones.
    changing = None if volume.node.locked else uuid.uuid4().hex
    token = dask_base.tokenize(
        transfer.connection.base_url, transfer.path, transfer.scale, transfer.supervoxels, extents, changing
    )
    return dask_arrays.from_array(
        window,
        chunks=chunks,
        name=f"{volume.name}-{token}",
        meta=np.empty((0,) * volume.ndim, volume.dtype),
        asarray=True,
        fancy=False,
        lock=False,
    )


def data_array(volume: Volume, chunks: Any = "auto") -> Any:
    """An ``xarray.DataArray`` of the extents of a volume: lazy where dask is installed, read at once elsewhere.

    Its coordinates are the centres of the voxels in the world, with the attribute ``units``; its attributes tell server, version,
    and the position of its first voxel.

    Args:
        volume: what is read, at its version, scale and with its other options.
        chunks: as for ``dask_array``.

    Raises:
        ModuleNotFoundError: xarray is not installed.
    """
    xarray = _needed("xarray", "xarray")
    try:
        data = dask_array(volume, chunks)
    except ModuleNotFoundError:
        data = volume.read()
    extents, coords = volume.extents, {}
    for axis, step, unit in zip("zyx", volume.voxel_size, volume.units, strict=True):
        coords[axis] = xarray.Variable(axis, (np.arange(*extents[axis]) + 0.5) * step, {"units": unit})
    attributes = {
        "server": volume.connection.base_url,
        "version": volume.node.uuid,
        "start_zyx": [extents[axis][0] for axis in "zyx"],
        "voxel_size_zyx": list(volume.voxel_size),
        "units_zyx": list(volume.units),
        "scale": volume.scale,
    }
    return xarray.DataArray(data, coords=coords, dims=tuple(volume.axes), name=volume.name, attrs=attributes)


def dask_of(array: Any) -> Any:
    """The dask array that an argument is, or that an ``xarray.DataArray`` is made of; None where it is something else."""
    # Where there is such an array, its package has been imported.
    dask_arrays, xarray = sys.modules.get("dask.array"), sys.modules.get("xarray")
    found = array.data if xarray is not None and isinstance(array, xarray.DataArray) else array
    return found if dask_arrays is not None and isinstance(found, dask_arrays.Array) else None


def broadcast(array: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """A dask array in another shape, by the rules of numpy.

    Raises:
        BadArgument: it does not fit into the shape, or its type not always into ``dtype``.
    """
    try:
        fitting(np.empty(0, array.dtype), dtype)
    except ValueError as error:
        raise BadArgument(f"voxels: {error}") from error
    try:
        return _needed("dask.array", "dask").broadcast_to(array, shape)
    except ValueError as error:
        raise BadArgument(f"voxels: expected the shape {shape}, got {array.shape}") from error


def write_dask(
    transfer: Transfer,
    box: Box,
    source_zyxc: Any,
    *,
    mutate: bool = True,
    workers: int | None = None,
    progress: Progress = None,
) -> None:
    """Writes a box from a dask array (z, y, x, c), piece by piece, each when it has been computed.

    Pieces are made of whole chunks, so that each chunk is computed once, and end between blocks of the server where chunks do; along
    no axis are they as long as a chunk and a block together. What is in memory are the pieces that are being written, and what dask
    computes for the next ones. It is computed as dask is set up; where that is in threads, in as many as there are workers.

    Args:
        transfer: to the volume.
        box: what is written.
        source_zyxc: its voxels.
        mutate: False says that the box was never written before.
        workers: how many pieces are computed and written at a time; default: those of the transfer.
        progress: see ``dvidclient.progress``; told where dask computes in threads.

    Raises:
        BadArgument: what is read at a lower resolution cannot be written; or chunks are not what the array says.
        ServerRefused, NoAnswer: name the part that could not be written; other parts may have been.
    """
    transfer.check_writeable()
    threads = checked_workers(transfer.workers if workers is None else workers)
    starts_zyx, blocks_zyx = box.start_xyz[::-1], transfer.block_size_xyz[::-1]
    chunks_zyx = [
        joined(start, chunks, block)
        for start, chunks, block in zip(starts_zyx, source_zyxc.chunks[:3], blocks_zyx, strict=True)
    ]
    # Where two pieces have parts of one block, a server that takes whole blocks only is sent it twice: one after the other.
    shared = not transfer.unaligned_writes and any(
        (start + cut) % block
        for start, chunks, block in zip(starts_zyx, chunks_zyx, blocks_zyx, strict=True)
        for cut in itertools.accumulate(chunks[:-1])
    )
    meter = Meter(box.voxels * transfer.voxel_bytes, f"writing {box} of {transfer.named}", progress)
    _needed("dask.array", "dask").store(
        source_zyxc.rechunk((*chunks_zyx, -1)), Place(transfer, box, mutate, meter), lock=shared, num_workers=threads
    )


def joined(start: int, chunks: Sequence[int], block: int) -> tuple[int, ...]:
    """Joins chunks along an axis, from position ``start`` on, to pieces that end with a block, or have the length of one."""
    pieces, length, at = [], 0, start
    for chunk in chunks:
        length, at = length + chunk, at + chunk
        if length and (at % block == 0 or length >= block):
            pieces.append(length)
            length = 0
    return (*pieces, length) if length else tuple(pieces)


@dataclass(frozen=True, slots=True)
class Place:
    """A box of a volume that arrays (z, y, x, c) are written into, at positions from 0 on; can be sent to other processes.

    Attributes:
        transfer: writes it.
        box: which it is.
        mutate: as of ``Transfer.write``.
        meter: is told what is written; in this process only.
    """

    transfer: Transfer
    box: Box
    mutate: bool
    meter: Meter | None

    def __reduce__(self) -> tuple[Any, ...]:
        return Place, (self.transfer, self.box, self.mutate, None)

    def __dask_tokenize__(self) -> str:
        # Nothing is the same write again.
        return uuid.uuid4().hex

    def __setitem__(self, key: tuple[slice, ...], voxels_zyxc: Any) -> None:
        """Writes a piece; in one thread, as whoever computes has threads of their own."""
        z, y, x = (
            (at + part.start, at + part.stop) for part, at in zip(key[:3], self.box.start_xyz[::-1], strict=True)
        )
        part = Box((x[0], y[0], z[0]), (x[1], y[1], z[1]))
        shape = (*part.size_xyz[::-1], self.transfer.channels)
        voxels = np.asarray(voxels_zyxc)
        if voxels.shape != shape or not np.can_cast(voxels.dtype, self.transfer.dtype, "safe"):
            raise BadArgument(
                f"voxels: expected a chunk of {self.transfer.dtype} and the shape {shape} for {part}, "
                f"got one of {voxels.dtype} and the shape {voxels.shape}"
            )
        self.transfer.write(part, voxels, mutate=self.mutate, workers=1)
        if self.meter is not None:
            self.meter.add(part.voxels * self.transfer.voxel_bytes)


@dataclass(frozen=True, slots=True)
class Window:
    """The extents of a volume as an array that begins at 0; can be sent to other processes.

    Attributes:
        transfer: reads it.
        axes: ``zyx`` or ``zyxc``.
        start: position of its first voxel, along each axis.
        shape: its size along each axis.
    """

    transfer: Transfer
    axes: str
    start: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a voxel's channels."""
        return self.transfer.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.axes)

    def __getitem__(self, key: tuple[slice | int, ...]) -> Any:
        """The voxels of a box, as numpy would pick them; in one thread, as whoever computes has threads of their own."""
        picked, within = [], []
        for item, size in zip(key, self.shape, strict=True):
            positions = range(size)[item] if isinstance(item, slice) else range(size)[item : item + 1]
            if positions.step < 1:
                raise BadArgument(f"expected steps of at least 1, got {positions.step}")
            picked.append(positions)
            within.append(slice(None) if isinstance(item, slice) else 0)
        shape = [len(positions) for positions in picked]
        voxels = np.empty((*shape, 1)[:4], self.dtype)
        if voxels.size:
            spans = [
                (at + positions[0], at + positions[-1] + 1)
                for positions, at in zip(picked[:3], self.start[:3], strict=True)
            ]
            (z0, z1), (y0, y1), (x0, x1) = spans
            channels = picked[3] if len(picked) == 4 else range(1)
            wanted = voxels if channels.step == 1 else np.empty((*shape[:3], self.shape[3]), self.dtype)
            self.transfer.read(
                Box((x0, y0, z0), (x1, y1, z1)),
                wanted,
                first_channel=channels[0] if channels.step == 1 else 0,
                steps_zyx=(picked[0].step, picked[1].step, picked[2].step),
                workers=1,
            )
            if channels.step != 1:
                voxels[...] = wanted[..., channels.start : channels.stop : channels.step]
        return voxels[tuple(within) if len(within) == 4 else (*within, 0)]


def chunk_shape(block_shape: tuple[int, ...], shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Sizes of chunks: multiples of blocks, doubled along the shortest axis up to ``CHUNK_BYTES``; never less than a block."""
    edges = list(block_shape)
    while 2 * math.prod(edges) * itemsize <= CHUNK_BYTES:
        growing = [axis for axis in range(3) if edges[axis] < shape[axis]]
        if not growing:
            break
        edges[min(growing, key=lambda axis: edges[axis])] *= 2
    return tuple(edges)


def _cuts(start: int, size: int, edge: int) -> tuple[int, ...]:
    """The lengths of pieces that end at multiples of ``edge``, from position ``start`` on."""
    cuts = [start, *range((start // edge + 1) * edge, start + size, edge), start + size]
    return tuple(stop - begin for begin, stop in itertools.pairwise(cuts)) if size else (0,)


def _needed(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ModuleNotFoundError(f"this needs the package {extra}: pip install 'dvidclient[{extra}]'") from error
