"""Reading and writing boxes of volumes on a server that speaks the DVID HTTP API."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dvidclient import wire
from dvidclient.arrays import in_axis_order, tagged
from dvidclient.boxes import Box
from dvidclient.connection import REQUESTS, Connection, quoted
from dvidclient.errors import BadArgument, Unsupported
from dvidclient.layout import VOXEL_TYPES, Layout, corners, creation_settings, instance_type
from dvidclient.progress import Progress
from dvidclient.transfer import AUTO, WORKERS, checked_workers
from dvidclient.volume_metainfo import MetaInfo


class VolumeClient:
    """One volume on a server, at one version. Safe to use from several threads.

    Positions and shapes are in the order of ``metainfo.axistags``: channel first, then ``x, y, z`` unless the volume was
    created with another order. A volume made by another program is opened as ``cxyz``.

    Args:
        hostname: ``localhost:8000`` or a URL; or a ``Connection``, whose token, timeout and retries hold then.
        uuid: a version: its UUID or the beginning of it, or what else the server takes (``UUID:branch``).
        data_name: name of the volume.
        token: sent as ``Authorization: Bearer``. An admin's token lifts the lock of committed nodes: give it only where that is meant.
        timeout: seconds without any progress after which a request has failed.
        retries: how often a failed read or write of a part is tried again.
        workers: how many parts of a large box are read or written at a time.
        compression: of voxels on the wire: ``"lz4"``, ``"none"``, or ``"auto"``: lz4 for labels that do not stay on this machine,
            where the package ``lz4`` is installed. Not every server takes lz4 of images.

    Raises:
        ServerRefused, NoAnswer: the server does not have the volume, or cannot be reached.
        MetadataError: the data instance is not a volume.
        BadArgument: for an address, UUID or name that cannot be one.
    """

    def __init__(
        self,
        hostname: str | Connection,
        uuid: str,
        data_name: str,
        *,
        token: str | None = None,
        timeout: float = 60.0,
        retries: int = 3,
        workers: int = WORKERS,
        compression: str = AUTO,
    ) -> None:
        self.uuid = uuid
        self.data_name = data_name
        self.workers = checked_workers(workers)
        self._compression = compression
        self._connection = (
            hostname
            if isinstance(hostname, Connection)
            else Connection(hostname, token=token, timeout=timeout, retries=retries, connections=max(REQUESTS, workers))
        )
        self._path = f"/api/node/{quoted(uuid, 'uuid')}/{quoted(data_name, 'data_name')}"
        self._load()

    @staticmethod
    def create_volume(
        hostname: str | Connection,
        uuid: str,
        data_name: str,
        metainfo: MetaInfo,
        *,
        token: str | None = None,
        timeout: float = 60.0,
    ) -> None:
        """Creates a volume.

        ``uint8, uint16, uint32, uint64, float32`` with one channel and ``uint8`` with four are types of every DVID server;
        other numbers of channels need a server whose image types have the setting ``Channels``.

        Args:
            hostname: ``localhost:8000`` or a URL; or a ``Connection``.
            uuid: a version of the repository that the volume becomes part of.
            data_name: name of the volume.
            metainfo: its shape, type and axes.
            token: as for ``VolumeClient``.
            timeout: as for ``VolumeClient``.

        Raises:
            Unsupported: the server has no volumes of this type and number of channels; none was created.
            ServerRefused, NoAnswer: as for ``VolumeClient``.
        """
        connection = (
            hostname if isinstance(hostname, Connection) else Connection(hostname, token=token, timeout=timeout)
        )
        what = f"creating volume {data_name!r} at node {uuid!r}"
        repo, name = quoted(uuid, "uuid"), quoted(data_name, "data_name")
        typename = instance_type(metainfo)
        if typename is None:
            known = ", ".join(VOXEL_TYPES)
            raise Unsupported(f"{what}: DVID has no volumes of {metainfo.dtype}, expected one of {known}")
        settings = creation_settings(metainfo)
        # A server ignores settings that it does not know, and cannot always delete what it created: ask before.
        if "Channels" in settings and not re.search(
            r"\bChannels\b", connection.get_text(f"/api/help/{typename}", what)
        ):
            raise Unsupported(
                f"{what}: asked for {metainfo.channels} channels of {metainfo.dtype}, but {connection.base_url} has no such "
                f"volumes (its type {typename} has no setting 'Channels')"
            )
        document = {"typename": typename, "dataname": data_name, **settings}
        connection.tell(f"/api/repo/{repo}/instance", what, document=document)
        path = f"/api/node/{repo}/{name}"
        created = MetaInfo.from_metadata(connection.get_json(f"{path}/metadata", what))
        if (created.channels, created.dtype) != (metainfo.channels, metainfo.dtype):
            raise Unsupported(
                f"{what}: asked for {metainfo.channels} channels of {metainfo.dtype}, "
                f"but the server made a volume of {created.channels} channels of {created.dtype}"
            )
        if "MinPoint" in settings:
            # Without this, some servers forget the settings' extents with the first write.
            first, last = corners(metainfo)
            connection.tell(f"{path}/extents", what, document={"MinPoint": first, "MaxPoint": last})

    @property
    def metainfo(self) -> MetaInfo:
        """Shape, type and axes, as the server described them when the volume was opened or last grew by this client's writes."""
        if self._outgrown:
            self._load()
        return self._layout.metainfo

    def retrieve_subvolume(
        self,
        start: Sequence[int],
        stop: Sequence[int],
        out: Any = None,
        workers: int | None = None,
        *,
        progress: Progress = None,
    ) -> Any:
        """Reads a box.

        Large boxes are split along the server's blocks and read in parallel, each part straight into its place; beside the
        result, memory is needed for a few hundred kB per worker. Voxels outside the volume have the background value.

        Args:
            start: first voxel, one integer for each axis, the channel first.
            stop: one beyond the last voxel.
            out: array to read into: of the box's shape, the volume's type and any strides. Where it has axis tags, they may
                have another order, and its shape follows them.
            workers: how many parts are read at a time; default: that of the client.
            progress: True for a bar on the terminal, or a function that is given the bytes that are read and all there are.

        Returns:
            ``out``, or a new array with axis tags: a ``vigra.VigraArray``, or a ``TaggedArray`` where there is no vigra. The tags
            know the size of a voxel (``resolution``) and its unit (``description``).

        Raises:
            BadArgument: for a box or array that cannot be.
            ServerRefused, NoAnswer: name the part of the box that could not be read; ``out`` may be filled in part.
        """
        box, (first, last) = self._box(start, stop)
        if out is None:
            target_zyxc = self._transfer.empty(box, last - first)
            info = self._layout.metainfo
            result = tagged(wire.from_zyxc(target_zyxc, info.axes), info.axistags)
        else:
            target_zyxc = wire.as_zyxc(self._checked(out, "out", start, stop), self._layout.metainfo.axes)
            result = out
            if target_zyxc.dtype != self._layout.metainfo.dtype or not target_zyxc.flags.writeable:
                kind = "writeable" if target_zyxc.flags.writeable else "read-only"
                raise BadArgument(
                    f"out: expected a writeable array of {self._layout.metainfo.dtype}, got a {kind} one of {out.dtype}"
                )

        self._transfer.read(box, target_zyxc, first_channel=first, workers=workers, progress=progress)
        return result

    def modify_subvolume(
        self,
        start: Sequence[int],
        stop: Sequence[int],
        new_data: Any,
        *,
        workers: int | None = None,
        mutate: bool = True,
        progress: Progress = None,
    ) -> None:
        """Writes a box.

        Large boxes are split along the server's blocks and written in parallel: each part is all or nothing, the whole is not.
        A server that stores whole blocks only is sent the blocks around the box, with the voxels read from it first; a
        write of someone else to the same blocks in between is lost then.

        Args:
            start: first voxel, one integer for each axis, the channel first.
            stop: one beyond the last voxel; all channels must be written.
            new_data: voxels, in the order of the volume's axes or with axis tags.
            workers: how many parts are written at a time; default: that of the client.
            mutate: False says that the box was never written before, which is quicker on some servers.
            progress: True for a bar on the terminal, or a function that is given the bytes that are written and all there are.

        Raises:
            BadArgument: for a box or array that cannot be, or that lacks channels.
            ServerRefused, NoAnswer: name the part of the box that could not be written; other parts may have been.
        """
        box, (first, last) = self._box(start, stop)
        info = self._layout.metainfo
        if last - first != info.channels:
            raise BadArgument(f"a write must hold all {info.channels} channels, got channels {first}:{last}")
        voxels = self._checked(new_data, "new_data", start, stop)
        if not np.can_cast(voxels.dtype, info.dtype, "safe"):
            raise BadArgument(f"new_data: expected an array of {info.dtype}, got one of {voxels.dtype}")
        source_zyxc = wire.as_zyxc(voxels, info.axes)
        self._transfer.write(box, source_zyxc, mutate=mutate, workers=workers, progress=progress)
        known = [info.along(axis) for axis in "xyz"]
        self._outgrown |= any(
            at < offset or end > offset + size
            for at, end, (offset, size) in zip(box.start_xyz, box.stop_xyz, known, strict=True)
        )

    def __repr__(self) -> str:
        info = self._layout.metainfo
        return (
            f"<VolumeClient {self.data_name!r} at node {self.uuid!r} of {self._connection.base_url}: "
            f"{info.axes} {info.shape}, {info.dtype}>"
        )

    def _load(self) -> None:
        what = f"opening volume {self.data_name!r} at node {self.uuid!r}"
        info = self._connection.get_json(f"{self._path}/info", what)
        metadata = self._connection.get_json(f"{self._path}/metadata", what)
        self._layout = Layout.from_server(info, metadata)
        self._transfer = self._layout.transfer(
            self._connection,
            self._path,
            f"volume {self.data_name!r} at node {self.uuid!r}",
            workers=self.workers,
            compression=self._compression,
        )
        self._outgrown = False

    def _box(self, start: Sequence[int], stop: Sequence[int]) -> tuple[Box, tuple[int, int]]:
        """The box in space and the range of channels."""
        info = self._layout.metainfo
        first, last = _position(start, "start", info.axes), _position(stop, "stop", info.axes)
        for axis, low, high in zip(info.axes, first, last, strict=True):
            if low >= high:
                raise BadArgument(f"expected start < stop along each axis, got {low}:{high} along {axis}")
        lows, highs = dict(zip(info.axes, first, strict=True)), dict(zip(info.axes, last, strict=True))
        channels = (lows.get("c", 0), highs.get("c", 1))
        if channels[0] < 0 or channels[1] > info.channels:
            raise BadArgument(f"expected channels from 0:{info.channels}, got {channels[0]}:{channels[1]}")
        x, y, z = ((lows.get(axis, 0), highs.get(axis, 1)) for axis in "xyz")
        return Box((x[0], y[0], z[0]), (x[1], y[1], z[1])), channels

    def _checked(self, array: Any, name: str, start: Sequence[int], stop: Sequence[int]) -> np.ndarray[Any, Any]:
        """A plain view of an argument in the order of the volume's axes."""
        if not isinstance(array, np.ndarray):
            raise BadArgument(f"{name}: expected a numpy array, got {type(array).__name__}")
        shape = tuple(operator.index(high) - operator.index(low) for low, high in zip(start, stop, strict=True))
        try:
            ordered = in_axis_order(array, self._layout.metainfo.axes)
        except ValueError as error:
            raise BadArgument(f"{name}: {error}") from error
        if ordered.shape != shape:
            raise BadArgument(
                f"{name}: expected the shape {shape} along {self._layout.metainfo.axes!r}, got {ordered.shape}"
            )
        return ordered


def _position(values: Iterable[int], name: str, axes: str) -> tuple[int, ...]:
    try:
        position = tuple(operator.index(value) for value in values)
    except TypeError as error:
        raise BadArgument(f"{name}: expected {len(axes)} integers, got {values!r}") from error
    if len(position) != len(axes):
        raise BadArgument(f"{name}: expected {len(axes)} integers, one for each of the axes {axes!r}, got {position}")
    for axis, value in zip(axes, position, strict=True):
        if not -(2**31) <= value < 2**31:
            raise BadArgument(f"{name}: expected 32-bit positions, got {value} along {axis}")
    return position
