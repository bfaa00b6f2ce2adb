"""What all types of data made of blocks of voxels share: their settings, their extents, and how infos show both."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np

from dvid.datatypes.base import Options
from dvid.errors import BadRequest
from dvid.geometry import MAX_COORDINATE, MIN_COORDINATE, Box, Xyz, Zyx, reverse3
from dvid.versions.edit import Edit
from dvid.versions.records import InstanceRecord
from dvid.versions.view import View

MAX_BLOCK_EDGE = 1024
MAX_BLOCK_BYTES = 64 << 20

_EXTENTS = "extents"
_UNIT = "nanometers"

GRID_ABOUT: Mapping[str, str] = {
    "BlockSize": "Voxels of a block along x, y and z, like 64,64,64.",
    "VoxelSize": "Size of a voxel along x, y and z, also called Res; 8,8,8 if not given.",
    "VoxelUnits": 'Units of VoxelSize along x, y and z; "nanometers,nanometers,nanometers" if not given.',
}
"""What the settings of a grid of blocks mean."""

SETTINGS_ABOUT: Mapping[str, str] = {
    **GRID_ABOUT,
    "Background": "Value of voxels that nobody wrote, 0 to 255; 0 if not given.",
    "MinPoint": "First voxel x,y,z of the volume, if it is known beforehand. Extents grow from there.",
    "MaxPoint": "Last voxel x,y,z of the volume; goes with MinPoint.",
    "GridStore": "Kept for clients of the reference server; not used.",
    "ScaleLevel": "Kept for clients of the reference server; not used.",
}
"""What the settings of `voxel_settings` mean."""


# ---- settings -----------------------------------------------------------------------------------


def block_size_setting(options: Options, default: int, voxel_bytes: int = 1) -> list[int]:
    """The setting BlockSize, in the order x, y, z.

    Args:
        options: the settings of a new instance.
        default: edge of a block where none is given.
        voxel_bytes: bytes of a voxel, to bound the bytes of a block.

    Raises:
        BadRequest: it is not three numbers from 1 to 1024, or a block would have more than 64 MiB.
    """
    x, y, z = options.integers("BlockSize", (default, default, default))
    if not all(1 <= edge <= MAX_BLOCK_EDGE for edge in (x, y, z)):
        raise BadRequest(f"BlockSize: three numbers from 1 to {MAX_BLOCK_EDGE} were expected, not {x},{y},{z}")
    if x * y * z * voxel_bytes > MAX_BLOCK_BYTES:
        raise BadRequest(
            f"BlockSize: a block of {x},{y},{z} voxels has {x * y * z * voxel_bytes} bytes, "
            f"the limit is {MAX_BLOCK_BYTES}"
        )
    return [x, y, z]


def grid_settings(options: Options, *, block_size: int, voxel_bytes: int = 1) -> dict[str, Any]:
    """The settings of a grid of blocks: BlockSize, VoxelSize and VoxelUnits, each in the order x, y, z.

    Raises:
        BadRequest: one has a bad value.
    """
    voxel_size = options.numbers("VoxelSize", options.numbers("Res", (8.0, 8.0, 8.0)))
    if min(voxel_size) <= 0:
        raise BadRequest(f"VoxelSize: three positive numbers were expected, not {','.join(map(str, voxel_size))}")
    text = options.take("VoxelUnits")
    units = [_UNIT] * 3 if text is None else [unit.strip() for unit in text.split(",")]
    if len(units) != 3 or not all(units) or max(map(len, units)) > 40:
        raise BadRequest(f'VoxelUnits: three units like "nanometers,nanometers,microns" were expected, not {text!r}')
    return {
        "BlockSize": block_size_setting(options, block_size, voxel_bytes),
        "VoxelSize": [_plain(size) for size in voxel_size],
        "VoxelUnits": units,
    }


def _plain(number: float) -> float:
    """A number that JSON shows without ".0" where it is whole, as the reference server does."""
    return int(number) if number == int(number) else number


def voxel_settings(
    options: Options, *, values: list[dict[str, str]], interpolable: bool, block_size: int
) -> dict[str, Any]:
    """Take the settings of a volume of voxels.

    Args:
        options: the settings of a new instance.
        values: the channels of a voxel, each with its "DataType" (a numpy name) and "Label".
        interpolable: True if values between two voxels have a meaning.
        block_size: edge of a block where BlockSize is not given.

    Returns:
        What the instance's record keeps: BlockSize, VoxelSize, VoxelUnits, MinPoint, MaxPoint (x, y, z; None if not
        known beforehand), Background, Values, Interpolable, GridStore, ScaleLevel.

    Raises:
        BadRequest: a setting has a bad value.
    """
    voxel_bytes = sum(np.dtype(value["DataType"]).itemsize for value in values)
    low, high = _point(options, "MinPoint"), _point(options, "MaxPoint")
    if (low is None) != (high is None):
        raise BadRequest("MinPoint and MaxPoint go together: give both or none")
    if low is not None and high is not None and any(a > b for a, b in zip(low, high, strict=True)):
        raise BadRequest(f"MinPoint {low} lies beyond MaxPoint {high}")
    return {
        "Values": [dict(value) for value in values],
        "Interpolable": interpolable,
        **grid_settings(options, block_size=block_size, voxel_bytes=voxel_bytes),
        "MinPoint": low,
        "MaxPoint": high,
        "Background": options.integer("Background", 0, 0, 255),
        "GridStore": options.take("GridStore") or "",
        "ScaleLevel": options.integer("ScaleLevel", 0, 0, 255),
    }


def _point(options: Options, name: str) -> list[int] | None:
    text = options.take(name)
    if text is None:
        return None
    point = Options({name: text}).integers(name, ())
    if not all(MIN_COORDINATE <= coordinate < MAX_COORDINATE for coordinate in point):
        raise BadRequest(f"{name}: {text!r} has a number outside the 32-bit range")
    return list(point)


def block_zyx(instance: InstanceRecord) -> Zyx:
    """Voxels of a block along z, y and x."""
    x, y, z = instance.settings["BlockSize"]
    return z, y, x


# ---- extents ------------------------------------------------------------------------------------


def extents_of(view: View) -> Box | None:
    """The smallest box that holds what was written at this version and before it, or None if that is nothing.

    Until something is written these are the MinPoint and MaxPoint the instance was made with.
    """
    boxes = [Box(tuple(corners[:3]), tuple(corners[3:])) for corners in view.properties(_EXTENTS)]
    if boxes:
        return reduce(Box.__or__, boxes)
    low, high = view.instance.settings.get("MinPoint"), view.instance.settings.get("MaxPoint")
    if low is None or high is None:
        return None
    return box_of_points(tuple(low), tuple(high))


def box_of_points(min_xyz: Xyz, max_xyz: Xyz) -> Box:
    """The box between two voxels, both of which belong to it."""
    x, y, z = max_xyz
    return Box(reverse3(min_xyz), (z + 1, y + 1, x + 1))


def grow_extents(edit: Edit, box: Box) -> None:
    """Make the extents hold a box; writes only if they do not yet."""
    extents = extents_of(edit)
    grown = box if extents is None else extents | box
    if box and grown != extents:
        set_extents(edit, grown)


def set_extents(edit: Edit, box: Box) -> None:
    """Replace the extents of this version."""
    edit.set_property(_EXTENTS, [*box.start_zyx, *box.stop_zyx])


# ---- info ---------------------------------------------------------------------------------------


def voxel_extended(view: View) -> dict[str, Any]:
    """The "Extended" part of the info of a volume of voxels. Points are x, y, z; MaxPoint belongs to the volume."""
    settings = view.instance.settings
    extents = extents_of(view)
    low = high = low_block = high_block = None
    if extents is not None:
        blocks = extents.blocks(block_zyx(view.instance))
        low, high = _corners(extents.start_zyx, extents.stop_zyx)
        low_block, high_block = _corners(blocks.start_zyx, blocks.stop_zyx)
    return {
        "Values": settings["Values"],
        "Interpolable": settings["Interpolable"],
        "BlockSize": settings["BlockSize"],
        "VoxelSize": settings["VoxelSize"],
        "VoxelUnits": settings["VoxelUnits"],
        "MinPoint": low,
        "MaxPoint": high,
        "MinIndex": low_block,
        "MaxIndex": high_block,
        "Background": settings["Background"],
        "GridStore": settings.get("GridStore", ""),
        "ScaleLevel": settings.get("ScaleLevel", 0),
    }


def extents_beside(view: View) -> dict[str, Any]:
    """The "Extents" that the infos of volumes have beside "Base" and "Extended"."""
    extents = extents_of(view)
    low, high = (None, None) if extents is None else _corners(extents.start_zyx, extents.stop_zyx)
    return {"Extents": {"MinPoint": low, "MaxPoint": high}}


def _corners(start_zyx: Zyx, stop_zyx: Zyx) -> tuple[list[int], list[int]]:
    """First and last point, as infos show them: x, y, z."""
    return list(reverse3(start_zyx)), [stop - 1 for stop in reverse3(stop_zyx)]
