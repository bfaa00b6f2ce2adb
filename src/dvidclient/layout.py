"""How a volume is kept as a data instance of a DVID server: the settings it is created with, and what its info says.

DVID's metadata has no place for two things, which tags of the instance keep: the axes of the volume, and the extents that were
asked for when it was created.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dvidclient.boxes import XYZ, Box
from dvidclient.connection import Connection
from dvidclient.errors import MetadataError
from dvidclient.transfer import AUTO, WORKERS, Transfer
from dvidclient.typenames import VOXEL_TYPES as VOXEL_TYPES
from dvidclient.typenames import has_any_channels, image_type
from dvidclient.volume_metainfo import MetaInfo

AXES_TAG, MIN_TAG, MAX_TAG = "volume_axes", "volume_min", "volume_max"


@dataclass(frozen=True, slots=True)
class Layout:
    """How a data instance holds a volume.

    Attributes:
        metainfo: what the volume is.
        block_size_xyz: size of the blocks that the server stores.
        unaligned_writes: whether it takes writes of any box, and not only of whole blocks.
        typename: of the instance.
    """

    metainfo: MetaInfo
    block_size_xyz: XYZ
    unaligned_writes: bool
    typename: str

    @classmethod
    def from_server(cls, info: Mapping[str, Any], metadata: Mapping[str, Any]) -> Layout:
        """Reads what the server answers for ``/info`` and ``/metadata``.

        Raises:
            MetadataError: the instance is not a volume; names the field that says so.
        """
        extended, base = _mapping(info, "Extended"), _mapping(info, "Base")
        block = extended.get("BlockSize")
        if not (isinstance(block, list) and len(block) == 3 and all(isinstance(n, int) and n > 0 for n in block)):
            raise MetadataError("Extended.BlockSize", "3 positive integers", block)
        tags = _mapping(base, "Tags")
        found = cls(
            MetaInfo.from_metadata(metadata),
            (block[0], block[1], block[2]),
            extended.get("UnalignedWrites") is True,
            str(base.get("TypeName") or ""),
        )
        return found._as_created(metadata, tags)

    def transfer(
        self, connection: Connection, path: str, named: str, *, workers: int = WORKERS, compression: str = AUTO
    ) -> Transfer:
        """What moves its voxels."""
        return Transfer(
            connection,
            path,
            named,
            self.typename,
            self.metainfo.dtype,
            self.metainfo.channels,
            self.block_size_xyz,
            self.unaligned_writes,
            workers=workers,
            compression=compression,
        )

    def _as_created(self, metadata: Mapping[str, Any], tags: Mapping[str, Any]) -> Layout:
        """The same with the axes and the extents that the tags tell of, where they fit what the volume is now."""
        try:
            info = MetaInfo.from_metadata(metadata, str(tags[AXES_TAG]))
        except (KeyError, ValueError):
            return self
        asked = _box(tags.get(MIN_TAG), tags.get(MAX_TAG))
        if asked is None or self.unaligned_writes:
            return replace(self, metainfo=info)
        # What such a server is sent is whole blocks: extents that reach no further than the blocks of the extents asked
        # for do not mean that the volume has grown.
        room = asked.widened(self.block_size_xyz)
        place = {"c": (0, info.channels)}
        for at, axis in enumerate("xyz"):
            offset, size = info.along(axis)
            if offset < room.start_xyz[at] or offset + size > room.stop_xyz[at]:
                return replace(self, metainfo=info)
            place[axis] = (asked.start_xyz[at], asked.size_xyz[at])
        offsets, shape = zip(*(place[axis] for axis in info.axes), strict=True)
        return replace(self, metainfo=replace(info, offset=offsets, shape=shape))


def metadata_of(info: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata document that says what ``/info`` says, with the extents it has, which may be those of another version."""
    extended, extents = _mapping(info, "Extended"), _mapping(info, "Extents") or _mapping(info, "Extended")
    sizes, units = three(extended, "VoxelSize"), three(extended, "VoxelUnits")
    box = _box(*("_".join(map(str, extents.get(key) or [])) for key in ("MinPoint", "MaxPoint")))
    start, size = (box.start_xyz, box.size_xyz) if box else ((0, 0, 0), (0, 0, 0))
    axes = [
        {"Label": "XYZ"[at], "Resolution": sizes[at], "Units": units[at], "Size": size[at], "Offset": start[at]}
        for at in range(3)
    ]
    return {"Axes": axes, "Properties": {"Values": extended.get("Values")}}


def instance_type(metainfo: MetaInfo) -> str | None:
    """The type of instance for a volume, or None where DVID has none for its type of voxel."""
    return image_type(metainfo.dtype.name, metainfo.channels)


def creation_settings(metainfo: MetaInfo) -> dict[str, str]:
    """The settings, beside type and name, to create an instance for a volume with."""
    settings = {}
    tags = {AXES_TAG: metainfo.axes}
    if metainfo.channels > 1 and has_any_channels(instance_type(metainfo) or ""):
        settings["Channels"] = str(metainfo.channels)
    if 0 not in metainfo.shape:
        first, last = corners(metainfo)
        settings["MinPoint"], settings["MaxPoint"] = _joined(",", first), _joined(",", last)
        tags[MIN_TAG], tags[MAX_TAG] = _joined("_", first), _joined("_", last)
    settings["Tags"] = ",".join(f"{key}={value}" for key, value in tags.items())
    known = [step for step in map(metainfo.resolution, "xyz") if step is not None]
    if known:
        # The server wants all three; an axis that the volume does not have gets the size of the first that it has.
        steps = [metainfo.resolution(axis) or known[0] for axis in "xyz"]
        settings["VoxelSize"] = _joined(",", [size for size, _ in steps])
        settings["VoxelUnits"] = _joined(",", [unit for _, unit in steps])
    return settings


def corners(metainfo: MetaInfo) -> tuple[list[int], list[int]]:
    """The first and the last voxel of a volume, xyz."""
    along = [metainfo.along(axis) for axis in "xyz"]
    return [offset for offset, _ in along], [offset + size - 1 for offset, size in along]


def three(extended: Mapping[str, Any], setting: str) -> list[Any]:
    """The values along x, y and z of a setting that an info tells.

    Raises:
        MetadataError: it has no three.
    """
    values = extended.get(setting)
    if not isinstance(values, list) or len(values) != 3:
        raise MetadataError(f"Extended.{setting}", "a list of 3", values)
    return values


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, Mapping) else {}


def _joined(separator: str, values: list[Any]) -> str:
    return separator.join(str(value) for value in values)


def _box(first: object, last: object) -> Box | None:
    """The box of two tags, or None where they hold none."""
    points = []
    for text in (first, last):
        if not isinstance(text, str) or not re.fullmatch(r"-?\d{1,10}_-?\d{1,10}_-?\d{1,10}", text):
            return None
        points.append([int(number) for number in text.split("_")])
    (x0, y0, z0), (x1, y1, z1) = points
    return Box((x0, y0, z0), (x1 + 1, y1 + 1, z1 + 1)) if x0 <= x1 and y0 <= y1 and z0 <= z1 else None
