"""Images of several 16-bit channels."""

from __future__ import annotations

from typing import Any

from dvid.datatypes.base import Options
from dvid.datatypes.known.declaration import Basis, known_type
from dvid.datatypes.voxels import SETTINGS_ABOUT, extents_beside, voxel_extended, voxel_settings
from dvid.versions.view import View


def _channels() -> Basis:
    def configure(options: Options) -> dict[str, Any]:
        return voxel_settings(options, values=[], interpolable=True, block_size=32)

    def extended(view: View) -> dict[str, Any]:
        return {**voxel_extended(view), "Values": None}

    return Basis(configure, SETTINGS_ABOUT, extended)


DATATYPES = (
    known_type(
        "multichan16",
        "Images of several 16-bit channels, loaded from V3D raw files.",
        basis=_channels(),
        beside=extents_beside,
    ),
)
