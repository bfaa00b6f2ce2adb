"""What a file holds, by node: volumes (datasets) and key-values (groups), made with the settings that clients send."""

from __future__ import annotations

import json
import re
import uuid as uuids
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from dvidclient.boxes import Box
from dvidclient.errors import MetadataError
from dvidclient.typenames import EARLY_NAMES, VOXELS_OF, has_any_channels, image_type
from dvidclient.volume_metainfo import MetaInfo
from mockserver.h5datafile import DataFile
from mockserver.h5errors import Refused
from mockserver.h5tree import MOST_ATTRIBUTE, Node, checked_name
from mockserver.h5volume import INSTANCE, MOST_CHANNELS, Volume, create_volume, text_of

KEYVALUE = "keyvalue"
# Those that a dataset of HDF5 can be: nothing here knows of supervoxels.
TYPES = (*(name for name in VOXELS_OF if has_any_channels(name)), "rgba8blk", "labelblk")


def told_of(thing: h5py.Dataset | h5py.Group) -> dict[str, Any]:
    """What the attribute ``dvid_instance`` says: ``TypeName``, ``Tags``, ``DataUUID``; without it, what can be told."""
    try:
        told = json.loads(text_of(thing.attrs[INSTANCE])) if INSTANCE in thing.attrs else {}
    except (ValueError, TypeError, RecursionError, OSError):
        told = {}
    told = told if isinstance(told, dict) else {}
    tags = told.get("Tags")
    uuid = told.get("DataUUID")
    typename = told.get("TypeName")
    return {
        "TypeName": typename if isinstance(typename, str) else None,
        "Tags": {k: v for k, v in tags.items() if isinstance(v, str)} if isinstance(tags, dict) else {},
        "DataUUID": uuid if isinstance(uuid, str) else uuids.uuid5(uuids.NAMESPACE_URL, thing.name or "").hex,
    }


def type_of(thing: h5py.Dataset | h5py.Group, volume: Volume | None) -> str:
    """The type of instance that something is served as."""
    if volume is None:
        return KEYVALUE
    told = told_of(thing)["TypeName"]
    info = volume.metainfo
    if told in TYPES and _fits(told, info):
        return str(told)
    return natural_type(info)


def natural_type(info: MetaInfo) -> str:
    """The type of instance for voxels of which nothing else is known: 64-bit integers are labels."""
    if info.dtype.name == "uint64" and info.channels == 1:
        return "labelblk"
    # A file may hold voxels that no DVID server has a type for.
    return image_type(info.dtype.name, info.channels) or f"{info.dtype.name}blk"


def create(data: DataFile, node: Node, typename: str, name: str, settings: Mapping[str, Any]) -> None:
    """Makes a volume without voxels, or key-values without keys, for all versions of a repository.

    Args:
        data: the file.
        node: any version of the repository.
        typename: today's or the early name of a type.
        name: of the new instance.
        settings: as clients send them, names in any case; or the metadata of a volume.

    Raises:
        Refused: it cannot be.
    """
    typename = EARLY_NAMES.get(typename, typename)
    if typename != KEYVALUE and typename not in TYPES:
        known = ", ".join([*TYPES, KEYVALUE, *EARLY_NAMES])
        raise Refused(f"there is no type {typename!r} here, only {known}")
    checked_name(name, "dataname")
    given = {str(key).lower(): value for key, value in settings.items()}
    told = {"TypeName": typename, "Tags": _tags(given.get("tags")), "DataUUID": uuids.uuid4().hex}
    text = json.dumps(told)
    if len(text) > MOST_ATTRIBUTE:
        raise Refused(f"Tags: expected at most {MOST_ATTRIBUTE} bytes, got {len(text)}")
    info = None if typename == KEYVALUE else _metainfo(typename, settings, given)
    background = 0 if info is None else _background(given.get("background"), info)
    with data.writing(f"creating {name!r}") as file:
        repo = data.tree.repos[node.repo]
        if any(name in file[other.path] for other in repo.nodes):
            raise Refused(f"repository {repo.name!r} has data named {name!r} already", 409)
        group = file[repo.root.path]
        if info is None:
            made: Any = group.create_group(name, track_order=False)
        else:
            made = create_volume(group, name, info, background=background).dataset
        made.attrs[INSTANCE] = text


def own_volume(data: DataFile, node: Node, name: str) -> Volume:
    """The volume of a name, of this node alone, to be changed.

    Raises:
        NotThere: there is none.
        Refused: it is no volume, or the node takes no changes.
    """
    data.volume(node, name)
    return Volume(data.own(node, name))


def set_tags(data: DataFile, node: Node, name: str, tags: Mapping[str, Any], *, replace: bool) -> None:
    """Adds tags, or replaces all there are; to be called while writing. Tags are those of all versions that share the data.

    Raises:
        Refused: they are no texts, or too long.
    """
    if not all(isinstance(tag, str) for tag in tags.values()):
        raise Refused(f"Tags: expected a JSON object with texts, got {dict(tags)!r}"[:200])
    thing = data.group(data.holder(node, name))[name]
    told = told_of(thing)
    told["Tags"] = {**({} if replace else told["Tags"]), **tags}
    told["TypeName"] = type_of(thing, Volume(thing) if isinstance(thing, h5py.Dataset) else None)
    text = json.dumps(told)
    if len(text) > MOST_ATTRIBUTE:
        raise Refused(f"Tags: expected at most {MOST_ATTRIBUTE} bytes, got {len(text)}")
    thing.attrs[INSTANCE] = text


def _fits(typename: str, info: MetaInfo) -> bool:
    dtype, channels = VOXELS_OF[typename]
    return info.dtype.name == dtype and (info.channels == channels or has_any_channels(typename))


def _metainfo(typename: str, settings: Mapping[str, Any], given: Mapping[str, Any]) -> MetaInfo:
    dtype, channels = VOXELS_OF[typename]
    try:
        if "Axes" in settings:
            info = MetaInfo.from_metadata(settings)
            if not _fits(typename, info):
                raise Refused(
                    f"type {typename} holds {dtype} with {channels} channels, not {info.channels} of {info.dtype}"
                )
            _check_channels(info.channels)
            return info
        if "channels" in given:
            wanted = _integers("Channels", given["channels"], 1)[0]
            if wanted != channels and not has_any_channels(typename):
                raise Refused(f"Channels: type {typename} has {channels}, not {wanted}")
            channels = wanted
        _check_channels(channels)
        first = _integers("MinPoint", given["minpoint"], 3) if "minpoint" in given else None
        last = _integers("MaxPoint", given["maxpoint"], 3) if "maxpoint" in given else None
        size, offset = [0, 0, 0], [0, 0, 0]
        if (first is None) != (last is None):
            raise Refused("MinPoint and MaxPoint: expected both or none")
        if first is not None and last is not None:
            box = extents(first, last)
            size, offset = list(box.size_xyz), list(box.start_xyz)
        steps = given.get("voxelsize", given.get("res"))
        units = given.get("voxelunits")
        return MetaInfo(
            (channels, *size),
            np.dtype(dtype),
            "cxyz",
            (0, *offset),
            None if steps is None else tuple(_numbers("VoxelSize", steps)),
            None if units is None or steps is None else tuple(_parts("VoxelUnits", units, 3)),
        )
    except MetadataError as error:
        raise Refused(str(error)) from error


def extents(first: list[int], last: list[int]) -> Box:
    """The box from a first to a last voxel, xyz.

    Raises:
        Refused: there is no such box.
    """
    stop = [at + 1 for at in last]
    within = all(-(2**31) <= at < 2**31 for at in (*first, *last))
    if not within or any(low >= high for low, high in zip(first, stop, strict=True)):
        raise Refused(f"expected MinPoint <= MaxPoint, both from -2^31 to 2^31 - 1, got {first} and {last}")
    return Box((first[0], first[1], first[2]), (stop[0], stop[1], stop[2]))


def _check_channels(channels: int) -> None:
    if not 1 <= channels <= MOST_CHANNELS:
        raise Refused(f"Channels: expected 1 to {MOST_CHANNELS}, got {channels}")


def _background(value: Any, info: MetaInfo) -> int:
    number = 0 if value is None else _integers("Background", value, 1)[0]
    if number and (info.dtype.kind not in "ui" or not 0 <= number <= np.iinfo(info.dtype).max):
        raise Refused(f"Background: expected a value of {info.dtype}, got {number}")
    return number


def _parts(name: str, value: Any, count: int) -> list[str]:
    items = value if isinstance(value, list) else str(value).split(",")
    if len(items) != count:
        raise Refused(f"{name}: expected {count} values separated by commas, got {value!r}")
    return [str(item).strip() for item in items]


def _integers(name: str, value: Any, count: int) -> list[int]:
    parts = _parts(name, value, count)
    if not all(re.fullmatch(r"[+-]?[0-9]{1,20}", part) for part in parts):
        raise Refused(f"{name}: expected {count} whole numbers, got {value!r}")
    return [int(part) for part in parts]


def _numbers(name: str, value: Any) -> list[float]:
    try:
        return [float(part) for part in _parts(name, value, 3)]
    except ValueError as error:
        raise Refused(f"{name}: expected 3 numbers, got {value!r}") from error


def _tags(value: Any) -> dict[str, str]:
    if value is None or value == "":
        return {}
    if isinstance(value, dict):
        return {str(key): str(tag) for key, tag in value.items()}
    pairs = [pair.partition("=") for pair in str(value).split(",")]
    if not all(key and equals for key, equals, _ in pairs):
        raise Refused(f"Tags: expected KEY=VALUE,KEY=VALUE, got {value!r}")
    return {key: tag for key, _, tag in pairs}
