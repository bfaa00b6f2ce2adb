"""Requests that change which supervoxels make up which bodies."""

from __future__ import annotations

from dvid.datatypes.labelmap.arguments import MAX_LIST_BYTES, label, listed
from dvid.errors import BadRequest
from dvid.labels import grouping
from dvid.routes import JSON, Argument, Call, Reply, Route, json_reply
from dvid.versions.view import Edit

_LIST = f"of at most {MAX_LIST_BYTES >> 20} MiB"


def post_merge(call: Call) -> Reply:
    """Merge bodies."""
    labels = listed(call.body(MAX_LIST_BYTES))
    if len(labels) < 2:
        raise BadRequest(f"merge: at least two labels are needed, [target, label, ...], not {labels}")

    def run(edit: Edit) -> Reply:
        return json_reply({"MutationID": grouping.merge(edit, labels[0], labels[1:])})

    return call.edit(run)


def post_cleave(call: Call, label: int) -> Reply:
    """Take supervoxels out of a body."""
    supervoxels = listed(call.body(MAX_LIST_BYTES), "supervoxels")

    def run(edit: Edit) -> Reply:
        cleaved = grouping.cleave(edit, label, supervoxels)
        return json_reply({"CleavedLabel": cleaved.label, "MutationID": cleaved.mutation})

    return call.edit(run)


def post_renumber(call: Call) -> Reply:
    """Give bodies other numbers."""
    labels = listed(call.body(MAX_LIST_BYTES))
    if len(labels) % 2:
        raise BadRequest(f"renumber: pairs of labels were expected, [new, old, ...], not {len(labels)} numbers")
    pairs = list(zip(labels[::2], labels[1::2], strict=True))

    def run(edit: Edit) -> Reply:
        return json_reply({"MutationID": grouping.renumber(edit, pairs)})

    return call.edit(run)


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/merge",
        post_merge,
        "Merge bodies into another one, and answer the mutation id. The time it takes depends on the bodies that are merged, "
        "not on the one that takes them.",
        body=f"A JSON list of labels of bodies, [target, label, ...], {_LIST}. None may be 0 or come twice, and all must exist.",
        answers=JSON,
        writes=True,
    ),
    Route(
        "POST",
        "/cleave/{label}",
        post_cleave,
        "Take supervoxels out of a body and make a new body of them; answer its label and the mutation id. Some of the body must "
        "be left.",
        arguments=(Argument("label", "The body.", label, example="12345"),),
        body=f"A JSON list of supervoxels of the body, {_LIST}. None may come twice.",
        answers=JSON,
        writes=True,
    ),
    Route(
        "POST",
        "/renumber",
        post_renumber,
        "Give bodies other numbers, and answer the mutation id. The pairs are taken one after another, in one transaction: if one "
        "is refused, none has an effect. A new number may be neither that of a body nor that of a supervoxel of another body.",
        body=f"A JSON list of pairs, [new, old, new, old, ...], {_LIST}.",
        answers=JSON,
        writes=True,
    ),
)
