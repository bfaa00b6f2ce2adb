"""Requests that labelarray answers on its own terms: writing labels, splitting them, their sizes, new ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dvid.datatypes.labelarray.shared import LABEL_HERE
from dvid.datatypes.labelmap import blocks, numbers, volumes
from dvid.datatypes.labelmap.arguments import label, need_index
from dvid.datatypes.labelmap.bodies import extent_of_label
from dvid.datatypes.labelmap.splitting import sent_runs
from dvid.labels.painting import split_off, split_off_blocks
from dvid.labels.splits import Runs, SplitBody
from dvid.routes import JSON, OCTETS, Argument, Call, Reply, Route
from dvid.storage.protocol import Buffer
from dvid.versions.edit import Edit

# ---- writing ------------------------------------------------------------------------------------


def post_raw(call: Call, **arguments: Any) -> Reply:
    """Store a box of labels."""
    return volumes.post_raw(call, **arguments, bodies=True)


def post_blocks(call: Call, **arguments: Any) -> Reply:
    """Store blocks of labels, and what hangs on them."""
    return blocks.post_blocks(call, **arguments, noindexing=False, bodies=True)


# ---- splitting ----------------------------------------------------------------------------------


def post_split(call: Call, label: int, splitlabel: int) -> Reply:
    """Split voxels off a label."""
    return _split(call, label, splitlabel, split_off)


def post_split_coarse(call: Call, label: int, splitlabel: int) -> Reply:
    """Split the voxels in some blocks off a label."""
    return _split(call, label, splitlabel, split_off_blocks)


def _split(
    call: Call, label: int, splitlabel: int, operation: Callable[[Edit, int, Runs, Buffer, int], SplitBody]
) -> Reply:
    runs, plain = sent_runs(call)

    def divide(edit: Edit) -> Reply:
        need_index(edit)
        made = operation(edit, label, runs, plain, splitlabel)
        return Reply(f'{{"label": {made.label}}}'.encode(), JSON)

    return call.edit(divide)


# ---- sizes and numbers --------------------------------------------------------------------------


def get_sparsevol_size(call: Call, label: int) -> Reply:
    """Answer how many blocks hold a label, and where it lies."""
    with call.view() as view:
        extent, first, last = extent_of_label(view, label)
    text = f'{{"numblocks": {extent.blocks}, "minvoxel": {list(first)}, "maxvoxel": {list(last)}}}'
    return Reply(text.encode(), OCTETS)  # the reference server's media type, though it is JSON


# ---- routes -------------------------------------------------------------------------------------


def _labelmap_route(routes: tuple[Route, ...], path: str) -> Route:
    (found,) = (route for route in routes if route.method == "POST" and route.path.split("/")[1] == path)
    return found


_RAW = _labelmap_route(volumes.ROUTES, "raw")
_BLOCKS = _labelmap_route(blocks.ROUTES, "blocks")
_SPLIT_LABEL = Argument(
    "splitlabel",
    "The label that they get, perhaps one that there is, as that of a split-coarse before; a new one if not given.",
    label,
    default=0,
)

ROUTES = (
    replace(
        _RAW,
        handler=post_raw,
        about="Store a volume of labels, in whole blocks; index, sizes and lower resolutions follow.",
    ),
    replace(
        _BLOCKS,
        handler=post_blocks,
        about="Store blocks of labels. Extents, the largest label and the index follow.",
        options=tuple(option for option in _BLOCKS.options if option.name != "noindexing"),
    ),
    Route(
        "GET",
        "/sparsevol-size/{label}",
        get_sparsevol_size,
        "Answer how many blocks hold a label, and the first and the last voxel of the box around these blocks: "
        '{"numblocks": 1081, "minvoxel": [x, y, z], "maxvoxel": [x, y, z]}. 404 if there is no such label.',
        arguments=(LABEL_HERE,),
        immutable=True,
    ),
    Route(
        "POST",
        "/split/{label}",
        post_split,
        'Give some voxels of a label another one: {"label": 23}. The time it takes depends on them, not on the label they had.',
        arguments=(LABEL_HERE,),
        options=(_SPLIT_LABEL,),
        body="The voxels: a sparse volume in the format rles, as GET sparsevol answers it. All of them must have the label, and some "
        "of the label must be left.",
        answers=JSON,
        writes=True,
    ),
    Route(
        "POST",
        "/split-coarse/{label}",
        post_split_coarse,
        'Give all voxels that a label has in some blocks another one: {"label": 23}.',
        arguments=(LABEL_HERE,),
        options=(_SPLIT_LABEL,),
        body="The blocks: a sparse volume in the format rles, with blocks for voxels, as GET sparsevol-coarse answers it. The label "
        "must be in each of them, and in others, too.",
        answers=JSON,
        writes=True,
    ),
    Route(
        "POST",
        "/nextlabel",
        numbers.post_needed,
        'Give out new labels, which are used for nothing else from now on: {"start": 9, "end": 13}, both included.',
        body='How many: {"needed": 5}.',
        answers=JSON,
        writes=True,
    ),
)
