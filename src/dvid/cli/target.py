"""What the commands work on: a running server, or a store opened by the command itself.

Both do the same, and describe themselves in the documents of the HTTP API.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

from dvid.errors import BadRequest
from dvid.geometry import Box, Zyx, reverse3

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dvid.codecs.labelindex import LabelIndices
    from dvid.kernels.runs import Runs
    from dvid.labels.agglomeration import Regrouping
    from dvid.labels.tables import Labels

LABEL_TYPES = ("labelmap",)

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
    is_labels: bool = False
    """Whether voxels are supervoxels, which make up bodies."""
    is_indexed: bool = False
    """Whether it keeps an index of where its labels are."""
    scales: int = 0
    """How many lower resolutions it has."""

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
            BadRequest: it holds no voxels that commands can read.
        """
        import numpy as np

        base, extended = info["Base"], info["Extended"]
        values = extended.get("Values")
        is_labels = base["TypeName"] in LABEL_TYPES
        if not values or not (is_labels or base["TypeName"].endswith(("blk", "labelarray"))):
            raise BadRequest(f"{base['Name']!r} holds {base['TypeName']} data, not a volume of images or labels")
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
            is_labels=is_labels,
            is_indexed=is_labels and bool(extended.get("IndexedLabels", True)),
            scales=int(extended.get("MaxDownresLevel", 0)) if is_labels else 0,
        )

    def at_scale(self, scale: int) -> Self:
        """The same at a lower resolution, each half of the one before it.

        Raises:
            BadRequest: it has no such resolution.
        """
        if not 0 <= scale <= self.scales:
            raise BadRequest(f"{self.name!r} has the scales 0 to {self.scales}, not {scale}")
        z, y, x = (edge * 2**scale for edge in self.voxel_size_zyx)
        extents = self.extents
        if extents is not None:
            low = tuple(edge >> scale for edge in extents.start_zyx)
            high = tuple(-(-edge >> scale) for edge in extents.stop_zyx)
            extents = Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))
        return replace(self, extents=extents, voxel_size_zyx=(z, y, x))


class OpenVolume(Protocol):
    """A volume at a node. Safe for use by several threads."""

    info: VolumeInfo

    def read(self, box: Box) -> NDArray[Any]:
        """The voxels of a box: (z, y, x), or (z, y, x, channel) where there are several channels."""
        ...

    def write(self, box: Box, voxels: NDArray[Any]) -> None:
        """Write the voxels of a box, of whole blocks or not, all or nothing."""
        ...


class OpenLabels(OpenVolume, Protocol):
    """A segmentation at a node. Reading gives bodies, writing takes supervoxels."""

    def at(self, scale: int, *, supervoxels: bool) -> OpenVolume:
        """The same at a resolution, giving bodies or supervoxels; to read.

        Raises:
            BadRequest: it has no such resolution.
        """
        ...

    def wrote(self, box: Box) -> None:
        """Take note that a box was written, in several parts: extents do not reach further than they must."""
        ...

    def merge(self, target: int, others: Sequence[int]) -> None:
        """Merge bodies into another."""
        ...

    def plan(self, supervoxels: Labels, bodies: Labels) -> Regrouping:
        """What has to be done that each supervoxel belongs to the body beside it."""
        ...

    def regroup(self, todo: Regrouping, part: slice) -> None:
        """Do a part of it."""
        ...

    def runs(self, body: int) -> Iterator[Runs]:
        """Where a body is: (n, 4) int32 arrays of x, y, z and voxels along x.

        Raises:
            NotFound: there is no such body.
        """
        ...

    def indices(self) -> Iterator[LabelIndices]:
        """The indices of all bodies, many at a time."""
        ...

    def mappings(self) -> Iterator[tuple[Labels, Labels]]:
        """All supervoxels that belong to bodies of other numbers, and these; many at a time."""
        ...

    def set_next_label(self, start: int, ceiling: int | None) -> None:
        """Let new labels count up from behind a label."""
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
        """A volume of images or labels at a node.

        Raises:
            BadRequest: the instance is neither.
        """
        ...

    def labels(self, uuid: str, name: str) -> OpenLabels:
        """A segmentation at a node.

        Raises:
            BadRequest: the instance is none.
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


def no_labels(info: VolumeInfo) -> BadRequest:
    """The error for an instance that is no segmentation."""
    return BadRequest(f"{info.name!r} holds an image, not labels that make up bodies")
