"""Requests that split supervoxels."""

from __future__ import annotations

from dvid.codecs.sparsevols import decode_rles, rles_header
from dvid.datatypes.labelmap.arguments import label
from dvid.errors import BadRequest
from dvid.labels.splits import split_supervoxel
from dvid.routes import JSON, Argument, Call, Reply, Route, flag, json_reply
from dvid.versions.view import Edit


def post_split_supervoxel(call: Call, supervoxel: int, split: int, remain: int, downres: bool) -> Reply:
    """Split a supervoxel in two."""
    sent = call.body()
    runs = decode_rles(sent)
    if not len(runs):
        raise BadRequest("split: the sparse volume that was sent has no voxels")

    plain = sent[len(rles_header(0)) :]

    def divide(edit: Edit) -> Reply:
        made = split_supervoxel(edit, supervoxel, runs, plain, split_label=split, remain_label=remain, downres=downres)
        return json_reply(
            {
                "SplitSupervoxel": made.parts.split,
                "RemainSupervoxel": made.parts.remain,
                "MutationID": made.mutation,
            }
        )

    return call.edit(divide)


ROUTES = (
    Route(
        "POST",
        "/split-supervoxel/{supervoxel}",
        post_split_supervoxel,
        "Split a supervoxel in two, which both stay in its body.",
        arguments=(Argument("supervoxel", "Which supervoxel.", label, example="12345"),),
        options=(
            Argument("split", "Label of what is split off; a new one if not given.", label, default=0),
            Argument("remain", "Label of what remains; a new one if not given.", label, default=0),
            Argument("downres", "false: lower resolutions are left as they are.", flag, default=True),
        ),
        body="What is split off: a sparse volume in the format rles, as GET sparsevol answers it. "
        "What of it lies outside the supervoxel is ignored.",
        answers=JSON,
        writes=True,
    ),
)
