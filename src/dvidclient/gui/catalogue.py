"""What a server holds, as values: repos, their versions, their data instances. Nothing here knows of windows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dvidclient.errors import Unsupported
from dvidclient.gui.repo_document import check_repo
from dvidclient.node import Node
from dvidclient.repo import MASTER, Repo
from dvidclient.server import Server, connect
from dvidclient.typenames import EARLY_NAMES, VOXELS_OF

# A person waits: a request that makes no progress for longer than this has failed, and can be repeated with a button.
PATIENCE_SECONDS = 30.0
RETRIES = 1

LABEL_TYPES = frozenset({"labelmap", "labelarray", "labelblk", "labels32", "labels64"})
SCALED_TYPES = frozenset({"labelmap", "labelarray"})
# What the types of data hold whose description does not say it, as those of old servers.
VALUES_OF = VOXELS_OF | {early: VOXELS_OF[typename] for early, typename in EARLY_NAMES.items()}
DTYPES = frozenset({"uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64"})
LARGEST_POSITION = 1 << 40

Xyz = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class VolumeEntry:
    """What a volume is, as far as the server tells."""

    dtype: str
    """Of one channel, such as ``uint8``."""
    channels: int
    min_xyz: Xyz | None
    """The first voxel that was written; None where nothing was, or the server does not tell."""
    max_xyz: Xyz | None
    """The last voxel that was written."""
    voxel_size_xyz: tuple[float, float, float] | None
    units_xyz: tuple[str, str, str] | None
    block_xyz: Xyz | None
    scales: int
    """How many lower resolutions the server keeps, each half as fine as the one before."""
    is_labels: bool
    gzips: bool
    """Whether a server sends the voxels as gzip data where that is asked for."""

    @property
    def size_xyz(self) -> Xyz | None:
        """Voxels along each axis, of the box around all that was written."""
        if self.min_xyz is None or self.max_xyz is None:
            return None
        x, y, z = (high - low + 1 for low, high in zip(self.min_xyz, self.max_xyz, strict=True))
        return (x, y, z)

    @property
    def axes(self) -> str:
        """Letters of the axes of an array of it, in the order in which voxels lie in memory, slowest first."""
        return "zyxc" if self.channels > 1 else "zyx"

    @property
    def voxel_bytes(self) -> int:
        """Bytes of a voxel with all its channels."""
        return np.dtype(self.dtype).itemsize * self.channels


@dataclass(frozen=True, slots=True)
class InstanceEntry:
    """A data instance of a repo."""

    name: str
    typename: str
    data_uuid: str
    volume: VolumeEntry | None
    """None where it is none: key-values, annotations and the like."""


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """A version."""

    uuid: str
    version: int
    branch: str
    """Its name; ``master`` for the one that has none."""
    note: str
    created: str
    updated: str
    locked: bool
    parents: tuple[str, ...]
    children: tuple[str, ...]

    @property
    def why_closed(self) -> str:
        """Why no new volume can be made here; empty where one can."""
        return "committed: nothing can be added here; make a new version of it" if self.locked else ""


@dataclass(frozen=True, slots=True)
class RepoEntry:
    """A repo with its versions, newest last, and its data instances by name."""

    uuid: str
    alias: str
    description: str
    created: str
    updated: str
    nodes: tuple[NodeEntry, ...]
    instances: tuple[InstanceEntry, ...]
    fault: str = ""
    """Why nothing more can be told of it: what is wrong with the server's description of it."""

    @property
    def title(self) -> str:
        """Its name, or the beginning of its UUID where it has none."""
        return self.alias or self.uuid[:8]

    def node(self, uuid: str | None) -> NodeEntry | None:
        """The version with a UUID, if it is one of this repo."""
        return next((node for node in self.nodes if node.uuid == uuid), None)

    def instance(self, name: str | None) -> InstanceEntry | None:
        """The data instance with a name, if the repo has one."""
        return next((instance for instance in self.instances if instance.name == name), None)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All that a server told at one time."""

    server: Server
    repos: tuple[RepoEntry, ...]


def listing(url: str, token: str | None = None) -> Catalogue:
    """Asks a server for all it holds. Takes as long as the server does: for the background.

    Raises:
        ClientError: says what is wrong with the address, or what the server answered. Not where single repos are described
            wrongly: these come with a ``fault``.
    """
    server = connect(url, token, app="contents browser", timeout=PATIENCE_SECONDS, retries=RETRIES)
    # Not as Repo objects: one of which a server tells nonsense shall not hide the others.
    documents = server.connection.get_json("/api/repos/info", "listing the repositories")
    repos = [repo_entry(server, uuid, document) for uuid, document in documents.items()]
    return Catalogue(server, tuple(sorted(repos, key=lambda repo: (bool(repo.fault), repo.created))))


def repo_entry(server: Server, uuid: str, document: Any) -> RepoEntry:
    """A repo as a value; one with a ``fault`` where its description is malformed.

    Args:
        server: that told of it.
        uuid: by which it is listed.
        document: what the server describes of it.
    """
    try:
        check_repo(uuid, document)
    except Unsupported as error:
        return _malformed(uuid, document, str(error))
    repo = Repo(server, document)
    # Parents and children are named by number: looked up at once, for repos of thousands of versions.
    nodes = list(repo.nodes.values())
    by_version = {node.version: node.uuid for node in nodes}
    instances = [instance_entry(name, described) for name, described in sorted(repo.instance_documents.items())]
    return RepoEntry(
        repo.uuid,
        repo.alias,
        repo.description,
        repo.created,
        repo.updated,
        tuple(_node_entry(node, by_version) for node in nodes),
        tuple(instances),
    )


def _malformed(uuid: str, document: Any, fault: str) -> RepoEntry:
    """What can be told of a repo all the same: its name and description, where these are text."""
    told = _mapping(document)
    alias, description = (
        text if isinstance(text := told.get(field), str) else "" for field in ("Alias", "Description")
    )
    return RepoEntry(uuid, alias, description, "", "", (), (), fault)


def _node_entry(node: Node, by_version: Mapping[int, str]) -> NodeEntry:
    parents, children = (
        tuple(by_version[version] for version in node.document.get(field) or () if version in by_version)
        for field in ("Parents", "Children")
    )
    branch = node.branch_name or MASTER
    return NodeEntry(
        node.uuid, node.version, branch, node.note, node.created, node.updated, node.locked, parents, children
    )


def instance_entry(name: str, document: Mapping[str, Any]) -> InstanceEntry:
    """What the server describes of a data instance, as a value. What it leaves out is left out here."""
    base = _mapping(document.get("Base"))
    typename = str(base.get("TypeName") or "")
    return InstanceEntry(
        str(base.get("Name") or name), typename, str(base.get("DataUUID") or ""), _volume_entry(typename, document)
    )


def _volume_entry(typename: str, document: Mapping[str, Any]) -> VolumeEntry | None:
    settings = _mapping(document.get("Extended"))
    found = _values(settings.get("Values")) or VALUES_OF.get(typename)
    if found is None or not (typename in VALUES_OF or typename.endswith("blk")):
        return None
    dtype, channels = found
    # Some servers tell the extents of a version beside those of the whole instance.
    extents = _mapping(document.get("Extents"))
    low = _position(extents.get("MinPoint")) or _position(settings.get("MinPoint"))
    high = _position(extents.get("MaxPoint")) or _position(settings.get("MaxPoint"))
    if low is None or high is None or any(a > b for a, b in zip(low, high, strict=True)):
        low = high = None
    scales = settings.get("MaxDownresLevel")
    return VolumeEntry(
        dtype,
        channels,
        low,
        high,
        _sizes(settings.get("VoxelSize")),
        _units(settings.get("VoxelUnits")),
        _position(settings.get("BlockSize")),
        min(scales, 32) if isinstance(scales, int) and scales > 0 and typename in SCALED_TYPES else 0,
        typename in LABEL_TYPES,
        typename in SCALED_TYPES,
    )


def _values(values: Any) -> tuple[str, int] | None:
    """Type and number of channels."""
    if not isinstance(values, Sequence) or not 1 <= len(values) <= 64:
        return None
    dtypes = {_mapping(value).get("DataType") for value in values}
    dtype = dtypes.pop()
    return (dtype, len(values)) if not dtypes and dtype in DTYPES else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _three(value: Any) -> Sequence[Any] | None:
    return value if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 3 else None


def _position(value: Any) -> Xyz | None:
    three = _three(value)
    if three is None or not all(isinstance(number, int) and abs(number) < LARGEST_POSITION for number in three):
        return None
    x, y, z = three
    return (x, y, z)


def _sizes(value: Any) -> tuple[float, float, float] | None:
    three = _three(value)
    if three is None or not all(isinstance(size, int | float) and 0 < size < math.inf for size in three):
        return None
    x, y, z = map(float, three)
    return (x, y, z)


def _units(value: Any) -> tuple[str, str, str] | None:
    three = _three(value)
    if three is None or not all(isinstance(unit, str) for unit in three):
        return None
    x, y, z = three
    return (x, y, z)


# ---- in words -------------------------------------------------------------------------------------

SHORT_UNITS = {"nanometers": "nm", "nanometer": "nm", "micrometers": "µm", "micrometer": "µm", "millimeters": "mm"}


def times(numbers: Iterable[object]) -> str:
    """``1024 × 1024 × 20``."""
    return " × ".join(f"{number:g}" if isinstance(number, float) else str(number) for number in numbers)


def voxel_size_text(volume: VolumeEntry) -> str:
    """``8 × 8 × 40 nm``, along x, y and z; empty where it is not known."""
    if volume.voxel_size_xyz is None:
        return ""
    units = [SHORT_UNITS.get(unit, unit) for unit in volume.units_xyz or ()]
    if len(set(units)) == 1:
        return f"{times(volume.voxel_size_xyz)} {units[0]}".rstrip()
    sizes = [f"{size:g} {unit}".rstrip() for size, unit in zip(volume.voxel_size_xyz, units or [""] * 3, strict=True)]
    return " × ".join(sizes)


def pixel_type_text(volume: VolumeEntry) -> str:
    """``uint8``, or ``uint8, 4 channels``."""
    return volume.dtype if volume.channels == 1 else f"{volume.dtype}, {volume.channels} channels"


def extents_text(volume: VolumeEntry) -> str:
    """``x 0 to 1023, y 0 to 1023, z 0 to 19``: first and last voxel; empty where nothing was written."""
    if volume.min_xyz is None or volume.max_xyz is None:
        return ""
    bounds = zip("xyz", volume.min_xyz, volume.max_xyz, strict=True)
    return ", ".join(f"{axis} {low} to {high}" for axis, low, high in bounds)


def when(time: str) -> str:
    """A time as servers write it (RFC 3339), to the minute: ``2026-01-31 12:00``; they write UTC."""
    return time[:16].replace("T", " ")
