"""Requests that describe a volume of voxels, or change its description: extents and voxel size."""

from __future__ import annotations

from typing import Any

from dvid.datatypes.base import datatype
from dvid.datatypes.voxels import extents_of, set_extents
from dvid.errors import BadRequest
from dvid.geometry import MAX_COORDINATE, MIN_COORDINATE, Box, Xyz, reverse3
from dvid.routes import TEXT, Call, Reply, Route, json_reply
from dvid.storage.protocol import Transaction
from dvid.versions import instances
from dvid.versions.edit import Edit
from dvid.versions.records import InstanceRecord
from dvid.versions.view import View

METADATA = "application/vnd.dvid-nd-data+json"


def metadata(view: View) -> dict[str, Any]:
    """The layout of the volume, in the terms of application/vnd.dvid-nd-data+json."""
    settings = view.instance.settings
    extents = extents_of(view)
    offset, size = ((0, 0, 0), (0, 0, 0)) if extents is None else (extents.start_zyx[::-1], extents.shape_zyx[::-1])
    axes = [
        {"Label": label, "Resolution": resolution, "Units": units, "Size": extent, "Offset": start}
        for label, resolution, units, extent, start in zip(
            "XYZ", settings["VoxelSize"], settings["VoxelUnits"], size, offset, strict=True
        )
    ]
    return {"Axes": axes, "Properties": datatype(view.instance.typename).extended(view)}


def get_metadata(call: Call) -> Reply:
    """Describe the layout of the volume."""
    with call.view() as view:
        return json_reply(metadata(view), METADATA)


def post_extents(call: Call) -> Reply:
    """Set the extents."""
    body = call.json()
    points = [body.get(name) if isinstance(body, dict) else None for name in ("MinPoint", "MaxPoint")]
    low, high = (_three_integers(point) for point in points)
    box = Box(reverse3(low), reverse3((high[0] + 1, high[1] + 1, high[2] + 1)))
    if not box:
        raise BadRequest(f"MaxPoint {list(high)} is below MinPoint {list(low)}")

    def change(edit: Edit) -> Reply:
        set_extents(edit, box)
        return Reply(b"", TEXT)

    return call.edit(change)


def _three_integers(value: Any) -> Xyz:
    if not (isinstance(value, list) and len(value) == 3 and all(type(v) is int for v in value)):
        raise BadRequest('{"MinPoint": [x, y, z], "MaxPoint": [x, y, z]} with whole numbers was expected')
    if not all(MIN_COORDINATE <= v < MAX_COORDINATE for v in value):
        raise BadRequest(f"the point {value} has a coordinate outside the 32-bit range")
    return value[0], value[1], value[2]


def post_resolution(call: Call) -> Reply:
    """Set the voxel size."""
    value = call.json()
    if not (
        isinstance(value, list) and len(value) == 3 and all(type(v) in (int, float) and 0 < v < 1e15 for v in value)
    ):
        raise BadRequest("the voxel size as three numbers above 0 was expected, like [8, 8, 8]")

    def change(transaction: Transaction, instance: InstanceRecord) -> Reply:
        instances.change_instance(transaction, instance, settings={**instance.settings, "VoxelSize": value})
        return Reply(b"", TEXT)

    return call.configure(change)


DESCRIPTION_ROUTES = (
    Route(
        "GET",
        "/metadata",
        get_metadata,
        "Describe axes, extents, resolution and values of the volume.",
        answers=METADATA,
    ),
    Route(
        "POST",
        "/extents",
        post_extents,
        "Set the extents of the volume.",
        body='A JSON object: {"MinPoint": [0, 0, 0], "MaxPoint": [300, 400, 500]}, both included.',
        answers=TEXT,
        writes=True,
    ),
    Route(
        "POST",
        "/resolution",
        post_resolution,
        "Set the voxel size of the volume.",
        body="A JSON list: [8, 8, 8].",
        answers=TEXT,
        writes=True,
        of_node=False,
    ),
)
