"""The settings of labelmap instances, and how infos show them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from dvid.datatypes.base import Options
from dvid.datatypes.voxels import SETTINGS_ABOUT, voxel_extended, voxel_settings
from dvid.errors import BadRequest
from dvid.labels.growth import keep_scales
from dvid.labels.numbering import largest_label, largest_of_all, next_start
from dvid.labels.scales import behind
from dvid.routes import TEXT, Call, Reply, Route
from dvid.storage.protocol import Transaction
from dvid.versions.instances import change_instance
from dvid.versions.records import InstanceRecord
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
        "WaitingBlocks": behind(view),
    }


# ---- changing them ------------------------------------------------------------------------------

_CHANGEABLE = ("VoxelSize", "VoxelUnits", "GridStore", "MaxDownresLevel")


def change_settings(call: Call, configure: Callable[[Options], dict[str, Any]]) -> Reply:
    """Change those settings that leave what is stored as it is; `configure` is that of the type."""
    given = call.json()
    if not isinstance(given, dict):
        raise BadRequest('a JSON object of settings was expected, like {"VoxelSize": "8,8,8"}')
    names = {name.lower(): name for name in _CHANGEABLE}
    wrong = sorted(name for name in given if name.lower() not in names)
    if wrong:
        raise BadRequest(f"{', '.join(wrong)}: only {', '.join(_CHANGEABLE)} can be changed later")
    made = configure(Options(given))
    changed = {names[name.lower()]: made[names[name.lower()]] for name in given}

    def change(transaction: Transaction, instance: InstanceRecord) -> Reply:
        change_instance(transaction, instance, settings={**instance.settings, **changed})
        return Reply(b"", TEXT)

    lowest = changed.get("MaxDownresLevel")
    return call.configure(change, None if lowest is None else partial(keep_scales, lowest=lowest))


def post_info(call: Call) -> Reply:
    """Change those settings that leave what is stored as it is."""
    return change_settings(call, configure)


INFO_ABOUT = (
    f"Change settings of the instance: {', '.join(_CHANGEABLE)}. Lower resolutions that are added are made of what is stored, at "
    "every version; in a large volume requests for them answer 503 until it is known which of their blocks are to be made."
)
INFO_BODY = 'A JSON object of settings, like {"VoxelSize": "8,8,8"}.'

ROUTES = (
    Route(
        "POST",
        "/info",
        post_info,
        INFO_ABOUT,
        body=INFO_BODY,
        answers=TEXT,
        writes=True,
        of_node=False,
    ),
)
