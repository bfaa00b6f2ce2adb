"""Volumes in blocks that are not images: label volumes, and images of several 16-bit channels."""

from __future__ import annotations

from typing import Any

from dvid.datatypes.base import Options
from dvid.datatypes.known.declaration import Basis, Setting, known_type
from dvid.datatypes.voxels import SETTINGS_ABOUT, extents_beside, voxel_extended, voxel_settings
from dvid.versions.view import View

INDEXED = Setting("IndexedLabels", "false: keep no index of where labels are.", lambda o, name: o.flag(name, True))
COUNTED = Setting("CountLabels", "false: do not count the voxels of labels.", lambda o, name: o.flag(name, True))
SCALES = Setting(
    "MaxDownresLevel",
    "Number of lower resolutions, each half the one before it; 0 if not given.",
    lambda o, name: o.integer(name, 0, 0, 255),
)


def _labels(name: str, block_size: int) -> Basis:
    """The settings of a volume of 64-bit labels."""

    def configure(options: Options) -> dict[str, Any]:
        values = [{"DataType": "uint64", "Label": name}]
        return voxel_settings(options, values=values, interpolable=False, block_size=block_size)

    return Basis(configure, SETTINGS_ABOUT, voxel_extended)


def _channels() -> Basis:
    def configure(options: Options) -> dict[str, Any]:
        return voxel_settings(options, values=[], interpolable=True, block_size=32)

    def extended(view: View) -> dict[str, Any]:
        return {**voxel_extended(view), "Values": None}

    return Basis(configure, SETTINGS_ABOUT, extended)


DATATYPES = (
    known_type(
        "labelarray",
        "A volume of 64-bit labels in compressed blocks, with an index of where each label is. labelmap succeeds it.",
        INDEXED,
        COUNTED,
        SCALES,
        basis=_labels("labelarray", 64),
        constants={"MaxLabel": {}, "MaxRepoLabel": 0},
        beside=extents_beside,
        compression="gzip",
    ),
    known_type(
        "multichan16",
        "Images of several 16-bit channels, loaded from V3D raw files.",
        basis=_channels(),
        beside=extents_beside,
    ),
)
