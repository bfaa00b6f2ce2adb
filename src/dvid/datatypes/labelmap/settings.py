"""The settings of labelmap instances, and how infos show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dvid.datatypes.base import Options
from dvid.datatypes.voxels import SETTINGS_ABOUT, voxel_extended, voxel_settings
from dvid.errors import BadRequest
from dvid.labels.numbering import largest_label, largest_of_all, next_start
from dvid.versions.view import View

_SUBBLOCKS = 16  # the reference server refuses others, though its blocks could have any multiple of 8

SETTINGS: Mapping[str, str] = {
    **SETTINGS_ABOUT,
    "IndexedLabels": "false: keep no index of where labels are.",
    "MaxDownresLevel": "Number of lower resolutions, each half the one before it; 0 if not given.",
}


def configure(options: Options) -> dict[str, Any]:
    """Take the settings of a new instance."""
    values = [{"DataType": "uint64", "Label": "labelmap"}]
    settings = voxel_settings(options, values=values, interpolable=False, block_size=64)
    if any(edge % _SUBBLOCKS for edge in settings["BlockSize"]):
        edges = ",".join(map(str, settings["BlockSize"]))
        raise BadRequest(f"BlockSize: multiples of {_SUBBLOCKS} were expected, not {edges}")
    settings["IndexedLabels"] = options.flag("IndexedLabels", True)
    settings["MaxDownresLevel"] = options.integer("MaxDownresLevel", 0, 0, 255)
    return settings


def extended(view: View) -> dict[str, Any]:
    """The "Extended" part of an instance's info."""
    settings = view.instance.settings
    largest = largest_label(view)
    return {
        **voxel_extended(view),
        "IndexedLabels": settings["IndexedLabels"],
        "MaxDownresLevel": settings["MaxDownresLevel"],
        "MaxLabel": {} if largest is None else {str(view.node.version): largest},
        "MaxRepoLabel": largest_of_all(view),
        "NextLabel": next_start(view),
    }
