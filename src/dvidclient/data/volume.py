"""A volume as an array: sliced by the positions of its voxels."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from dvidclient.arrays import fitting, in_axis_order
from dvidclient.boxes import Box
from dvidclient.data.lazy import broadcast, dask_array, dask_of, data_array, write_dask
from dvidclient.data.placed import Placed
from dvidclient.data.selection import Selection, selection
from dvidclient.display import counted
from dvidclient.errors import BadArgument, ClientError
from dvidclient.layout import Layout, metadata_of
from dvidclient.progress import Progress
from dvidclient.transfer import Transfer
from dvidclient.volume_client import VolumeClient
from dvidclient.volume_metainfo import MetaInfo

if TYPE_CHECKING:
    from dvidclient.node import Node

Array = np.ndarray[Any, np.dtype[Any]]
AnyVolume = TypeVar("AnyVolume", bound="Volume")


class Volume(Placed):
    """A volume of images or labels at a version, to be read and written like an array.

    ``vol[z0:z1, y0:y1, x0:x1]`` has the axes ``zyx``, and ``zyxc`` where a voxel has several channels. Positions are those of
    voxels, so that negative ones are positions, too; where a slice has no end, it goes to where the volume ends. An integer
    drops its axis; steps pick each so many voxels. What lies outside of the volume is background. Safe to use from several
    threads.

    The extents are what the server said when they were first asked for; ``refresh()`` asks anew.

    Args:
        node: the version that is read and written.
        document: what the server answers for ``/api/node/UUID/NAME/info``.
    """

    def __init__(self, node: Node, document: Mapping[str, Any]) -> None:
        super().__init__(node, document)
        self._options: dict[str, Any] = {}
        self._described_layout: Layout | None = None
        self._current_layout: Layout | None = None
        self._used_transfer: Transfer | None = None

    # ---- what it is ---------------------------------------------------------------------------

    @property
    def axes(self) -> str:
        """The axes of its arrays: ``zyx``, or ``zyxc`` where a voxel has several channels."""
        return "zyxc" if self.channels > 1 else "zyx"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a voxel's channels."""
        return self._described.metainfo.dtype

    @property
    def channels(self) -> int:
        """Channels of a voxel."""
        return self._described.metainfo.channels

    @property
    def block_shape(self) -> tuple[int, ...]:
        """Voxels of the blocks that the server stores, in the order of ``axes``."""
        x, y, z = self._described.block_size_xyz
        return (z, y, x, self.channels)[: len(self.axes)]

    @property
    def scale(self) -> int:
        """Which resolution is read: 0 is the full one, each further one has half of it."""
        return int(self._options.get("scale", 0))

    @property
    def extents(self) -> dict[str, tuple[int, int]]:
        """From where to where, along each axis: first position, and one beyond the last."""
        info = self.metainfo
        unit = 2**self.scale
        found = {}
        for axis in "zyx":
            offset, size = info.along(axis)
            found[axis] = (offset // unit, -(-(offset + size) // unit)) if size else (offset // unit, offset // unit)
        if self.channels > 1:
            found["c"] = (0, self.channels)
        return found

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis, within the extents."""
        return tuple(stop - start for start, stop in self.extents.values())

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.axes)

    @property
    def size(self) -> int:
        """Number of elements: voxels times channels."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the array of all of it."""
        return self.size * self.dtype.itemsize

    @property
    def metainfo(self) -> MetaInfo:
        """Shape, type, axes, offset and resolution, in the axes that it was created with; of the full resolution."""
        if self._current_layout is None:
            document = self.connection.get_json(f"{self.path}/metadata", f"asking for the extents of {self}")
            self._current_layout = Layout.from_server(self.info, document)
        return self._current_layout.metainfo

    @property
    def client(self) -> VolumeClient:
        """The same volume with the axes that it was created with, and arrays with axis tags."""
        return VolumeClient(self.connection, self.node.uuid, self.name, workers=self.transfer.workers)

    def refresh(self: AnyVolume) -> AnyVolume:
        """Asks the server anew."""
        super().refresh()
        self._described_layout = self._current_layout = self._used_transfer = None
        return self

    # ---- ways to read it ----------------------------------------------------------------------

    def with_options(
        self: AnyVolume,
        *,
        scale: int | None = None,
        supervoxels: bool | None = None,
        compression: str | None = None,
        workers: int | None = None,
    ) -> AnyVolume:
        """The same volume, read in another way; what is None stays as it is.

        Args:
            scale: the resolution: 0 is the full one, each further one has half of it. For labelmaps and labelarrays that keep
                lower ones. Positions are those of its voxels.
            supervoxels: supervoxels, not bodies. For labelmaps only.
            compression: of voxels on the wire: ``"lz4"``, ``"none"``, or ``"auto"``: lz4 for labels that do not stay on this
                machine, where the package ``lz4`` is installed. Not every server takes lz4 of images.
            workers: how many parts of a large box are read or written at a time.

        Raises:
            BadArgument: this volume has no such thing.
        """
        given = {"scale": scale, "supervoxels": supervoxels, "compression": compression, "workers": workers}
        other = copy.copy(self)
        other._options = {**self._options, **{name: value for name, value in given.items() if value is not None}}
        most = self.settings.get("MaxDownresLevel") or 0
        if scale is not None and (not isinstance(scale, int) or not 0 <= scale <= most):
            raise BadArgument(f"scale: {self} has the scales 0 to {most}, got {scale!r}")
        if other._options.get("supervoxels") and self.typename != "labelmap":
            raise BadArgument(f"supervoxels: only labelmaps have them, {self} has none")
        other._used_transfer = None
        _ = other.transfer  # checks the other options
        return other

    def at_scale(self: AnyVolume, scale: int) -> AnyVolume:
        """The same volume at a lower resolution."""
        return self.with_options(scale=scale)

    # ---- voxels -------------------------------------------------------------------------------

    def read(
        self, key: Any = ..., *, out: Array | None = None, workers: int | None = None, progress: Progress = None
    ) -> Any:
        """Reads what brackets would pick; large boxes in parts along blocks, several at a time, each straight into its place.

        Args:
            key: as in brackets; ``numpy.s_[...]`` writes it.
            out: array to read into: of the form that is picked, the volume's type and any strides.
            workers: how many parts are read at a time; default: that of the server object.
            progress: True for a bar on the terminal, or a function that is given the bytes that are read and all there are.

        Returns:
            ``out``, or a new array; a scalar where integers drop all axes.

        Raises:
            BadArgument: for a key or array that cannot be; names the axis.
            ServerRefused, NoAnswer: name the part of the box that could not be read; ``out`` may be filled in part.
        """
        chosen = self._selection(key)
        if out is not None and not isinstance(out, np.ndarray):
            raise BadArgument(f"out: expected a numpy array, got {type(out).__name__}")
        if out is not None and (out.shape != chosen.shape or out.dtype != self.dtype or not out.flags.writeable):
            kind = "writeable" if out.flags.writeable else "read-only"
            raise BadArgument(
                f"out: expected a writeable array of {self.dtype} and the shape {chosen.shape}, "
                f"got a {kind} one of {out.dtype} and the shape {out.shape}"
            )
        if chosen.is_empty:
            return np.empty(chosen.shape, self.dtype) if out is None else out
        whole = self.transfer.empty(_grid(chosen), len(chosen.channels)) if out is None else out[chosen.within_picked]
        self._read(chosen, whole, workers, progress)
        # Not before: where all axes are dropped, this is a copy.
        return whole[chosen.within_zyxc] if out is None else out

    def write(
        self,
        key: Any,
        voxels: Any,
        *,
        mutate: bool = True,
        workers: int | None = None,
        progress: Progress = None,
    ) -> None:
        """Writes what brackets would pick; large boxes in parts along blocks, several at a time. Each part is all or nothing.

        A server that stores whole blocks only is sent the blocks around the box, with the voxels read from it first; a
        write of another program to the same blocks in between is lost then.

        Args:
            key: as in brackets, without steps and with all channels.
            voxels: a number, or an array that can be broadcast to the form that is picked; with axis tags in any order. A dask
                array is computed and written piece by piece: see ``dvidclient.data.lazy.write_dask``.
            mutate: False says that the box was never written before, which is quicker on some servers.
            workers: how many parts are written at a time; default: that of the server object.
            progress: as for ``read``.

        Raises:
            BadArgument: for a key or voxels that cannot be; names the axis.
            ServerRefused, NoAnswer: name the part of the box that could not be written; other parts may have been.
        """
        chosen = self._selection(key)
        for axis, picked in zip(self.axes, chosen.picked, strict=True):
            if picked.positions.step != 1:
                raise BadArgument(f"{axis}: a write has no steps, got a step of {picked.positions.step}")
        if len(chosen.channels) != self.channels:
            raise BadArgument(f"c: a write must hold all {self.channels} channels, got {len(chosen.channels)}")
        lazy = dask_of(voxels)
        source = self._source(voxels, chosen.shape) if lazy is None else broadcast(lazy, chosen.shape, self.dtype)
        if chosen.is_empty:
            return
        write = self.transfer.write if lazy is None else partial(write_dask, self.transfer)
        write(chosen.box, source[chosen.within_picked], mutate=mutate, workers=workers, progress=progress)
        known = self._current_layout and self.extents
        if known and any(
            picked.positions[0] < known[axis][0] or picked.positions[-1] >= known[axis][1]
            for axis, picked in zip(self.axes, chosen.picked, strict=True)
        ):
            self._current_layout = None  # it has grown

    def __getitem__(self, key: Any) -> Any:
        return self.read(key)

    def __setitem__(self, key: Any, voxels: Any) -> None:
        self.write(key, voxels)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError(f"{self} is on a server: an array of it is always a copy")
        whole: Array = self.read()
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def __len__(self) -> int:
        return self.shape[0]

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Array]:
        """Its planes along the first axis."""
        return (self[z] for z in range(*self.extents["z"]))

    # ---- other arrays -------------------------------------------------------------------------

    def to_dask(self, chunks: Any = "auto") -> Any:
        """A ``dask.array`` of the extents; see ``dvidclient.data.lazy.dask_array``. Needs ``dvidclient[dask]``."""
        return dask_array(self, chunks)

    def to_xarray(self, chunks: Any = "auto") -> Any:
        """An ``xarray.DataArray`` of the extents; see ``dvidclient.data.lazy.data_array``. Needs ``dvidclient[xarray]``."""
        return data_array(self, chunks)

    # ---- inside -------------------------------------------------------------------------------

    @property
    def _described(self) -> Layout:
        """What does not change from version to version, without a request."""
        if self._described_layout is None:
            self._described_layout = Layout.from_server(self.info, metadata_of(self.info))
        return self._described_layout

    @property
    def transfer(self) -> Transfer:
        """What moves its voxels."""
        if self._used_transfer is None:
            options = {"workers": self.node.repo.server.workers, **self._options}
            own = {name: options.pop(name) for name in ("scale", "supervoxels") if name in options}
            named = f"{self} at {self.node}"
            self._used_transfer = replace(self._described.transfer(self.connection, self.path, named, **options), **own)
        return self._used_transfer

    def _selection(self, key: Any) -> Selection:
        return selection(key, self.axes, self.channels, lambda: self.extents)

    def _source(self, voxels: Any, shape: tuple[int, ...]) -> Array:
        """What is to be written, as an array of a shape."""
        try:
            ordered = in_axis_order(voxels, self.axes) if np.ndim(voxels) == self.ndim else voxels
            array = fitting(ordered, self.dtype)
        except ValueError as error:
            raise BadArgument(f"voxels: {error}") from error
        try:
            return np.broadcast_to(array, shape)
        except ValueError as error:
            raise BadArgument(f"voxels: expected the shape {shape}, got {array.shape}") from error

    def _read(self, chosen: Selection, whole_zyxc: Array, workers: int | None, progress: Progress) -> None:
        """Reads into an array of the grid."""
        channels = chosen.channels
        target = whole_zyxc
        if channels.step > 1:
            target = np.empty((*whole_zyxc.shape[:3], channels[-1] + 1 - channels[0]), self.dtype)
        self.transfer.read(
            chosen.box,
            target,
            first_channel=channels[0],
            steps_zyx=chosen.steps_zyx,
            workers=workers,
            progress=progress,
        )
        if target is not whole_zyxc:
            whole_zyxc[...] = target[..., :: channels.step]

    # ---- showing ------------------------------------------------------------------------------

    def _told(self) -> str:
        try:
            told = f": {' × '.join(map(str, self.shape))} {self.axes}, {self.dtype}"
        except (ClientError, OSError):
            return ""
        return f"{told}, scale {self.scale}" if self.scale else told

    def _html_fields(self) -> dict[str, object]:
        try:
            size = " × ".join(f"{length:g} {unit}" for length, unit in zip(self.voxel_size, self.units, strict=True))
            extents = ", ".join(f"{axis} {start}:{stop}" for axis, (start, stop) in self.extents.items())
            return {
                "shape": f"{' × '.join(map(str, self.shape))} ({self.axes})",
                "voxels": f"{self.dtype}, {counted(range(self.channels), 'channel')}",
                "bytes": f"{self.nbytes:,}",
                "extents": extents,
                "voxel size (zyx)": size,
                "blocks": " × ".join(map(str, self.block_shape)),
                "scale": self.scale or None,
            }
        except ClientError:
            return {}


def _grid(chosen: Selection) -> Box:
    """A box of as many voxels as are picked."""
    z, y, x = (len(picked.positions) for picked in chosen.picked[:3])
    return Box((0, 0, 0), (x, y, z))
