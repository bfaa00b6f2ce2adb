"""The settings of labelarray instances, and how infos show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dvid.datatypes.base import Options
from dvid.datatypes.labelmap import settings as labelmap
from dvid.datatypes.voxels import voxel_settings
from dvid.errors import BadRequest
from dvid.routes import TEXT, Call, Reply, Route
from dvid.versions.view import View

_SUBBLOCK = 8  # what blocks are made of

SETTINGS: Mapping[str, str] = {
    **labelmap.SETTINGS,
    "CountLabels": "Kept for clients of the reference server: voxels of labels are always counted.",
}


def configure(options: Options) -> dict[str, Any]:
    """Take the settings of a new instance."""
    values = [{"DataType": "uint64", "Label": "labelarray"}]
    settings = voxel_settings(options, values=values, interpolable=False, block_size=64)
    if any(edge % _SUBBLOCK for edge in settings["BlockSize"]):
        edges = ",".join(map(str, settings["BlockSize"]))
        raise BadRequest(f"BlockSize: multiples of {_SUBBLOCK} were expected, not {edges}")
    settings["IndexedLabels"] = options.flag("IndexedLabels", True)
    settings["CountLabels"] = options.flag("CountLabels", True)
    settings["MaxDownresLevel"] = options.integer("MaxDownresLevel", 0, 0, 255)
    return settings


def extended(view: View) -> dict[str, Any]:
    """The "Extended" part of an instance's info."""
    return {**labelmap.extended(view), "CountLabels": view.instance.settings["CountLabels"]}


def post_info(call: Call) -> Reply:
    """Change those settings that change nothing of what is stored."""
    return labelmap.change_settings(call, configure)


ROUTES = (
    Route(
        "POST",
        "/info",
        post_info,
        labelmap.INFO_ABOUT,
        body=labelmap.INFO_BODY,
        answers=TEXT,
        writes=True,
        of_node=False,
    ),
)
