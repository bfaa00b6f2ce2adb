"""Volumes as arrays of dask and xarray: read when, and as far as, they are needed."""

from __future__ import annotations

import importlib
import itertools
import math
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dvidclient.boxes import Box
from dvidclient.errors import BadArgument
from dvidclient.transfer import Transfer

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
