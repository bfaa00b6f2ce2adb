"""Requests to a labelvol: those for sparse volumes and labels are labelmap's, turned to the labelblk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from dvid.codecs.sparsevols import decode_rles, rles_header
from dvid.datatypes.boxes import need_aligned, requested_box
from dvid.datatypes.common import COMMON_ROUTES, sync_names, sync_with
from dvid.datatypes.labelblk import edits
from dvid.datatypes.labelblk.routes import named_others, taken
from dvid.datatypes.labelmap import numbers, sparse
from dvid.datatypes.labelmap.arguments import MAX_LIST_BYTES, label, listed
from dvid.datatypes.labelvol.partner import check_same_blocks, turned
from dvid.errors import BadRequest
from dvid.geometry import Box, Xyz
from dvid.labels.blocks import block_shape
from dvid.labels.index import all_entries
from dvid.labels.removals import remove
from dvid.routes import JSON, TEXT, Argument, Call, Reply, Route, coordinates, json_reply, xyz
from dvid.versions.edit import Edit

_BODIES = {"scale": 0, "supervoxels": False}


def post_sync(call: Call, replace: bool) -> Reply:
    """Name the labelblk to keep in step with."""
    wanted = sync_names(call)
    others = named_others(call, wanted)
    with call.view() as view:
        for other in others:
            if other.typename != "labelblk":
                raise BadRequest(f"a labelvol can be synced with a labelblk only; {other.name!r} is a {other.typename}")
            check_same_blocks(view, other)
    return sync_with(call, wanted, replace)


def post_merge(call: Call) -> Reply:
    """Merge labels."""
    labels = listed(call.body(MAX_LIST_BYTES))
    if len(labels) < 2:
        raise BadRequest(f"merge: at least two labels are needed, [target, label, ...], not {labels}")
    return call.edit(lambda edit: json_reply({"MutationID": edits.merge(edit, labels[0], labels[1:])}))


def _split(call: Call, label: int, splitlabel: int, *, coarse: bool) -> Reply:
    sent = call.body()
    runs = decode_rles(sent)
    divide = edits.split_coarse if coarse else edits.split
    plain = sent[len(rles_header(0)) :]
    return call.edit(lambda edit: json_reply({"label": divide(edit, label, runs, plain, wanted=splitlabel).label}))


def post_split(call: Call, label: int, splitlabel: int) -> Reply:
    """Split voxels off a label."""
    return _split(call, label, splitlabel, coarse=False)


def post_split_coarse(call: Call, label: int, splitlabel: int) -> Reply:
    """Split blocks off a label."""
    return _split(call, label, splitlabel, coarse=True)


def post_resync(call: Call, label: int) -> Reply:
    """Look whether all that is known of a label is right."""
    sent = call.body()
    runs = decode_rles(sent) if sent else np.empty((0, 4), np.int32)

    def mend(edit: Edit) -> Reply:
        mended = edits.mend(edit, label, runs)
        return json_reply({"Blocks": mended.blocks, "Mended": mended.wrong, "Restored": mended.restored})

    return call.edit(mend)


def delete_area(call: Call, label: int, size: tuple[int, ...], offset: Xyz) -> Reply:
    """Leave the blocks of a box out of the sparse volume of a label."""
    box = requested_box(size, offset)

    def leave_out(edit: Edit) -> Reply:
        shape = block_shape(edit)
        need_aligned(box, shape)
        remove(edit, label, _within(edit, label, box))
        return Reply(b"", TEXT)

    return call.edit(leave_out)


def _within(edit: Edit, label: int, box: Box) -> Any:
    """The blocks of a label in a box: (n, 3) int64, zyx."""
    at = all_entries(edit, np.array([label], np.uint64)).blocks_zyx
    wanted = box.blocks(block_shape(edit))
    return at[((at >= wanted.start_zyx) & (at < wanted.stop_zyx)).all(1)]


# ---- routes -------------------------------------------------------------------------------------

LABEL = Argument("label", "A label, other than 0.", label, example="12345")
_SPLIT_LABEL = Argument(
    "splitlabel",
    "The label of what is split off; it may exist, so that one split adds to another. A new one if not given.",
    label,
    default=0,
)


def _asked(method: str, path: str, arguments: tuple[Argument, ...], about: str) -> Route:
    """A request for a sparse volume. What it answers depends on another instance, so clients cannot keep it."""
    route = taken(sparse.ROUTES, method, path, _BODIES, arguments=arguments, about=about, immutable=False)
    answer = partial(route.handler, needed="nothing") if method == "GET" else route.handler
    return replace(route, handler=turned(answer))


def _numbered(path: str) -> Route:
    route = taken(numbers.ROUTES, "GET", path, {})
    return replace(route, handler=turned(route.handler))


def _of_labelblk(routes: tuple[Route, ...], names: Mapping[str, str]) -> tuple[Route, ...]:
    """Requests of all types that mean the labelblk: its log tells of the changes, and its blobs belong to them."""
    return tuple(
        replace(route, handler=turned(route.handler), about=f"{route.about} {names[route.path]}")
        for route in routes
        if route.path in names
    )


_edit = partial(Route, writes=True)
_LABELBLK_S = {
    "/mutations": "It is the labelblk's.",
    "/mutations-range/{begin}/{end}": "It is the labelblk's.",
    "/blobstore/{reference}": "It is one of the labelblk's.",
    "/blobstore": "It is kept with the labelblk.",
}

ROUTES = (
    _asked(
        "GET",
        "/sparsevol/{label}",
        (LABEL,),
        "Answer where a label is: runs of voxels, each four int32: x, y, z of its first voxel, and its voxels along x.",
    ),
    _asked(
        "HEAD",
        "/sparsevol/{label}",
        (LABEL,),
        "200 if a label is anywhere within bounds, which count as whole blocks; else 204.",
    ),
    _asked(
        "GET",
        "/sparsevol-by-point/{coord}",
        (Argument("coord", "The voxel: x_y_z.", xyz, example="10_20_30"),),
        "Answer where the label of a voxel is, as sparsevol does.",
    ),
    _asked(
        "GET", "/sparsevol-coarse/{label}", (LABEL,), "Answer in which blocks a label is: rles, with blocks for voxels."
    ),
    _numbered("/maxlabel"),
    _numbered("/nextlabel"),
    _edit(
        "POST",
        "/nextlabel",
        turned(numbers.post_needed),
        'Give out new labels, which are used for nothing else from now on: {"start": 9, "end": 13}, both included.',
        body='{"needed": 5}: how many.',
        answers=JSON,
    ),
    _edit(
        "POST",
        "/merge",
        turned(post_merge),
        "Merge labels into another one, and answer the mutation id: their voxels in the labelblk get its label.",
        body=f"A JSON list, [target, label, ...], of at most {MAX_LIST_BYTES >> 20} MiB. None may be 0 or come twice, and all "
        "must exist.",
        answers=JSON,
    ),
    _edit(
        "POST",
        "/split/{label}",
        turned(post_split),
        'Split voxels off a label: in the labelblk they get another one, {"label": ...}.',
        arguments=(LABEL,),
        options=(_SPLIT_LABEL,),
        body="The voxels: a sparse volume in the format rles, as GET sparsevol answers it. All of them must have the label, and "
        "some of the label must be left.",
        answers=JSON,
    ),
    _edit(
        "POST",
        "/split-coarse/{label}",
        turned(post_split_coarse),
        'Split blocks off a label: in the labelblk, its voxels in these blocks get another one, {"label": ...}.',
        arguments=(LABEL,),
        options=(_SPLIT_LABEL,),
        body="The blocks: as GET sparsevol-coarse answers them. The label must be in all of them, and in others, too.",
        answers=JSON,
    ),
    _edit(
        "POST",
        "/resync/{label}",
        turned(post_resync),
        "Compare what is known of a label with the voxels of the labelblk, in the blocks where it is known to be and in those that "
        'are named; put right what differs, and take back what DELETE area left out there. {"Blocks": looked at, "Mended": wrong '
        'before, "Restored": left out before}.',
        arguments=(LABEL,),
        body="Blocks: as GET sparsevol-coarse answers them. Nothing: only those where the label is known to be, and all that was left out.",
        answers=JSON,
    ),
    _edit(
        "DELETE",
        "/area/{label}/{size}/{offset}",
        turned(delete_area),
        "Leave the blocks of a box out of the sparse volume of a label, at this version and those after it. The labelblk keeps its "
        "voxels, and edits go by these. POST resync takes it back, and so does a merge of the label into another.",
        arguments=(
            LABEL,
            Argument("size", "Size in voxels, in whole blocks: x_y_z.", coordinates, example="64_64_64"),
            Argument("offset", "The first voxel: x_y_z.", xyz, example="0_0_0"),
        ),
        answers=TEXT,
    ),
    taken(
        COMMON_ROUTES,
        "POST",
        "/sync",
        {},
        handler=post_sync,
        about="Name the labelblk that requests here are turned to; its blocks must have the same size. Either of the two may "
        "name the other.",
        body='A JSON object with the name of the labelblk, like {"sync": "segmentation"}.',
    ),
    *_of_labelblk(COMMON_ROUTES, _LABELBLK_S),
)
