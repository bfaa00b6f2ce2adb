"""Requests that split supervoxels, and bodies."""

from __future__ import annotations

from dvid.codecs.sparsevols import decode_rles, rles_header
from dvid.datatypes.labelmap.arguments import label, need_index
from dvid.errors import BadRequest
from dvid.labels.splits import Runs, split_body, split_supervoxel
from dvid.routes import JSON, Argument, Call, Reply, Route, flag, json_reply
from dvid.versions.edit import Edit


def sent_runs(call: Call) -> tuple[Runs, bytes]:
    """The sparse volume that was sent: its runs in order, and as they were sent, without the header.

    Raises:
        BadRequest: it is none, or has no voxels.
    """
    sent = call.body()
    runs = decode_rles(sent)
    if not len(runs):
        raise BadRequest("split: the sparse volume that was sent has no voxels")
    return runs, sent[len(rles_header(0)) :]


def post_split_supervoxel(call: Call, supervoxel: int, split: int, remain: int, downres: bool) -> Reply:
    """Split a supervoxel in two."""
    runs, plain = sent_runs(call)

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


def post_split(call: Call, label: int) -> Reply:
    """Split a part off a body."""
    if not call.config.server.allow_labelmap_split:
        raise BadRequest(
            "split: this server does not allow it (server.allowLabelmapSplit); use cleave, or split-supervoxel"
        )
    runs, plain = sent_runs(call)

    def divide(edit: Edit) -> Reply:
        need_index(edit)
        made = split_body(edit, label, runs, plain)
        return json_reply({"label": made.label, "MutationID": made.mutation})

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
    Route(
        "POST",
        "/split/{label}",
        post_split,
        "Make a new body of a part of a body, whichever supervoxels that goes through: those that lie in it as a whole go to the new "
        "body, the others are split in two. Refused unless the server's setting allowLabelmapSplit is true. Answers "
        '{"label": the new body, "MutationID": id}.',
        arguments=(Argument("label", "The body.", label, example="12345"),),
        body="The part: a sparse volume in the format rles, as GET sparsevol answers it. All of it must belong to the body, and "
        "some of the body must be left.",
        answers=JSON,
        writes=True,
    ),
)
