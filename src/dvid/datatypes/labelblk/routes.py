"""Requests to a labelblk. Those for voxels are labelmap's, for a volume that has neither supervoxels nor scales."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, update_wrapper
from typing import Any

from dvid.datatypes.common import COMMON_ROUTES, sync_names, sync_with
from dvid.datatypes.descriptions import DESCRIPTION_ROUTES
from dvid.datatypes.labelblk.edits import delete_blocks
from dvid.datatypes.labelblk.settings import CHANGEABLE, configure, get_metadata, setting_routes
from dvid.datatypes.labelmap import blocks, volumes
from dvid.errors import BadRequest
from dvid.geometry import MAX_COORDINATE, Xyz, reverse3
from dvid.routes import TEXT, Argument, Call, Reply, Route, choice, coordinates, integer, xyz
from dvid.versions.edit import Edit
from dvid.versions.records import InstanceRecord

PLAIN = {"scale": 0, "supervoxels": True}
"""What requests to a labelmap have beside, as a labelblk means it: its voxels hold what is asked for."""


def taken(routes: Sequence[Route], method: str, path: str, given: dict[str, Any], **changes: Any) -> Route:
    """A request of another type, with some of its options fixed.

    Args:
        routes: of the other type.
        method: of the request.
        path: of the request.
        given: the options that are fixed.
        changes: what is declared otherwise.
    """
    (route,) = (route for route in routes if (route.method, route.path) == (method, path))
    fixed = {option.name: given[option.name] for option in route.options if option.name in given}
    options = tuple(option for option in route.options if option.name not in fixed)
    handler = changes.pop("handler", route.handler)
    answer: Callable[..., Reply] = update_wrapper(partial(handler, **fixed), handler)
    return replace(route, handler=answer, options=options, **changes)


_volume = partial(taken, volumes.ROUTES, given=PLAIN)


def get_blocks(call: Call, size_or_start: tuple[int, ...], offset_or_count: Xyz, compression: str) -> Reply:
    """Answer the blocks of a box."""
    return blocks.get_blocks(call, size_or_start, offset_or_count, scale=0, compression=compression, supervoxels=True)


def delete_row(call: Call, size_or_start: Xyz, offset_or_count: int) -> Reply:
    """Delete blocks along x."""
    start, count = reverse3(size_or_start), offset_or_count
    if start[2] + count > MAX_COORDINATE:
        raise BadRequest(f"the last of {count} blocks from {size_or_start} on lies beyond {MAX_COORDINATE}")

    def delete(edit: Edit) -> Reply:
        delete_blocks(edit, start, count)
        return Reply(b"", TEXT)

    return call.edit(delete)


def post_sync(call: Call, replace: bool) -> Reply:
    """Name the labelvols to keep in step with."""
    wanted = sync_names(call)
    for other in named_others(call, wanted):
        if other.typename == "labelblk":
            raise BadRequest(
                f"a labelblk cannot be kept as the lower resolution of another one ({other.name}): "
                "take a labelmap, which has lower resolutions of its own"
            )
        if other.typename != "labelvol":
            raise BadRequest(
                f"a labelblk can be synced with labelvol instances only; {other.name!r} is a {other.typename}"
            )
    return sync_with(call, wanted, replace)


def named_others(call: Call, names: list[str]) -> list[InstanceRecord]:
    """The instances of some names, as far as there are any."""
    with call.view() as view:
        return [instance for instance in view.siblings() if instance.name in names]


_GET_LABELS = _volume(method="GET", path="/labels")

ROUTES = (
    _volume(method="GET", path="/raw/{dims}/{size}/{offset}[/{format}]"),
    _volume(method="GET", path="/isotropic/{dims}/{size}/{offset}[/{format}]"),
    _volume(method="GET", path="/pseudocolor/{dims}/{size}/{offset}[/{format}]"),
    _volume(
        method="POST",
        path="/raw/{dims}/{size}/{offset}",
        about="Store a volume of labels, in whole blocks. What labelvols that are synced with the instance answer follows at once.",
    ),
    _volume(method="POST", path="/isotropic/{dims}/{size}/{offset}"),
    _volume(method="GET", path="/label/{coord}"),
    _GET_LABELS,
    replace(_GET_LABELS, method="POST", about="The same, for clients that send no body with GET."),
    Route(
        "GET",
        "/blocks/{size_or_start}/{offset_or_count}",
        get_blocks,
        "Answer the blocks of a box that somebody wrote, each behind a header of four int32: block x, y, z and number of bytes.",
        arguments=(
            Argument("size_or_start", "Size in voxels, in whole blocks: x_y_z.", coordinates, example="64_64_64"),
            Argument("offset_or_count", "The first voxel: x_y_z.", xyz, example="0_0_0"),
        ),
        options=(
            Argument(
                "compression",
                "Of each block's uint64 labels: lz4, gzip or uncompressed; blocks: the compressed layout, gzipped.",
                choice("lz4", "gzip", "blocks", "uncompressed"),
                default="lz4",
            ),
        ),
        throttled=True,
        immutable=True,
    ),
    Route(
        "DELETE",
        "/blocks/{size_or_start}/{offset_or_count}",
        delete_row,
        "Delete a row of blocks along x: their voxels are 0 from now on. The extents stay as they are.",
        arguments=(
            Argument("size_or_start", "Coordinates of the first block: x_y_z, in blocks.", xyz, example="10_20_30"),
            Argument("offset_or_count", "Number of blocks along x.", integer(1, 2**31 - 1), example="8"),
        ),
        answers=TEXT,
        writes=True,
    ),
    *setting_routes(configure, CHANGEABLE),
    taken(
        COMMON_ROUTES,
        "POST",
        "/sync",
        {},
        handler=post_sync,
        about="Name the labelvol instances that tell where the labels are. Either of the two may name the other.",
        body='A JSON object with names of labelvol instances separated by commas, like {"sync": "bodies"}.',
    ),
    taken(DESCRIPTION_ROUTES, "GET", "/metadata", {}, handler=get_metadata),
    *(route for route in DESCRIPTION_ROUTES if route.path != "/metadata"),
)
