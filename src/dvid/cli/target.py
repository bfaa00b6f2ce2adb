"""What the commands work on: a running server, or a store opened by the command itself.

The rule: with --data DIR it is the store in DIR; without, the server of --server, of DVID_SERVER, or of
http://127.0.0.1:8000. Both do the same, and describe themselves in the documents of the HTTP API.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import typer

from dvid.errors import BadRequest
from dvid.geometry import Box, Zyx, reverse3

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SERVER_VARIABLE = "DVID_SERVER"
DEFAULT_SERVER = "http://127.0.0.1:8000"

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class VolumeInfo:
    """What a volume is."""

    name: str
    data_uuid: str
    dtype: np.dtype[Any]
    """Of one channel."""
    channels: int
    block_zyx: Zyx
    extents: Box | None
    """The box of what was written so far."""
    voxel_size_zyx: tuple[float, float, float]
    units_zyx: tuple[str, str, str]

    @property
    def voxel_bytes(self) -> int:
        """Bytes of a voxel."""
        return self.channels * self.dtype.itemsize

    @property
    def units(self) -> str | None:
        """The unit of the voxel size, if it is the same along all axes."""
        return self.units_zyx[0] if len(set(self.units_zyx)) == 1 else None

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Self:
        """From the info of an instance.

        Raises:
            BadRequest: it holds no image.
        """
        import numpy as np

        base, extended = info["Base"], info["Extended"]
        values = extended.get("Values")
        if not values or not base["TypeName"].endswith("blk"):
            raise BadRequest(f"{base['Name']!r} holds {base['TypeName']} data, not a volume of an image type")
        low, high = extended.get("MinPoint"), extended.get("MaxPoint")
        extents = None
        if low is not None and high is not None and all(a <= b for a, b in zip(low, high, strict=True)):
            extents = Box(reverse3(tuple(low)), reverse3(tuple(n + 1 for n in high)))
        x, y, z = extended["VoxelSize"]
        units_x, units_y, units_z = extended["VoxelUnits"]
        return cls(
            name=base["Name"],
            data_uuid=base["DataUUID"],
            dtype=np.dtype(values[0]["DataType"]),
            channels=len(values),
            block_zyx=reverse3(tuple(extended["BlockSize"])),
            extents=extents,
            voxel_size_zyx=(float(z), float(y), float(x)),
            units_zyx=(units_z, units_y, units_x),
        )


class OpenVolume(Protocol):
    """A volume at a node. Safe for use by several threads."""

    info: VolumeInfo

    def read(self, box: Box) -> NDArray[Any]:
        """The voxels of a box: (z, y, x), or (z, y, x, channel) where there are several channels."""
        ...

    def write(self, box: Box, voxels: NDArray[Any]) -> None:
        """Write the voxels of a box, of whole blocks or not, all or nothing."""
        ...


class Target(Protocol):
    """A server or a store."""

    name: str
    """For messages: the URL, or the folder."""
    option: str
    """The option that names it, for commands to copy."""

    def repos(self) -> dict[str, Document]:
        """All repos by UUID, as GET /api/repos/info describes them."""
        ...

    def node(self, selector: str) -> str:
        """The UUID of the node that a selector names."""
        ...

    def make_repo(self, alias: str, description: str, passcode: str) -> str:
        """Make a repo; the UUID of its root."""
        ...

    def delete_repo(self, uuid: str, passcode: str) -> None:
        """Delete a repo with all its data."""
        ...

    def make_instance(self, uuid: str, typename: str, name: str, settings: Mapping[str, str]) -> None:
        """Make a data instance on an open node."""
        ...

    def rename_instance(self, uuid: str, name: str, new_name: str) -> None:
        """Give an instance another name."""
        ...

    def delete_instance(self, uuid: str, name: str) -> None:
        """Delete an instance with all its data."""
        ...

    def commit(self, uuid: str, note: str) -> str:
        """Lock a node; its UUID."""
        ...

    def new_version(self, uuid: str, note: str) -> str:
        """Make an open child on the same branch; its UUID."""
        ...

    def branch(self, uuid: str, name: str, note: str) -> str:
        """Make an open child on a new branch; its UUID."""
        ...

    def tag(self, uuid: str, name: str) -> str:
        """Give a committed node a name; the UUID of the tag's node."""
        ...

    def has_instance(self, uuid: str, name: str) -> bool:
        """Whether the repo of a node has an instance of that name."""
        ...

    def volume(self, uuid: str, name: str) -> OpenVolume:
        """A volume at a node.

        Raises:
            BadRequest: the instance is no image.
        """
        ...

    def size(self) -> str:
        """How much room everything takes, in words; empty where it is not known."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def open_target(server: str | None, data: str | None, *, read_only: bool = False, create: bool = False) -> Target:
    """What the options name.

    Args:
        server: the value of --server.
        data: the value of --data.
        read_only: nothing is to be changed.
        create: an empty or missing folder may be made a store.

    Raises:
        typer.BadParameter: both are given.
        StoreUnusable: the folder is not a store.
    """
    if data is not None and server is not None:
        raise typer.BadParameter("--server and --data exclude each other: ask a server, or open a store")
    if data is not None:
        from dvid.cli.local import StoreTarget

        return StoreTarget(data, read_only=read_only, create=create)
    from dvid.cli.remote import ServerTarget

    return ServerTarget(server or os.environ.get(SERVER_VARIABLE) or DEFAULT_SERVER)
