"""Requests that change which supervoxels make up which bodies."""

from __future__ import annotations

import msgspec

from dvid.datatypes.labelmap.arguments import MAX_LIST_BYTES, label, listed
from dvid.errors import BadRequest, Conflict
from dvid.labels import grouping
from dvid.labels.logged import ACTIONS, latest
from dvid.labels.undo import undo
from dvid.routes import JSON, Argument, Call, Reply, Route, json_reply
from dvid.versions.edit import Edit

_MAX_WHICH_BYTES = 1 << 16
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


class _Which(msgspec.Struct, forbid_unknown_fields=True):
    """Which mutation is to be taken back."""

    MutationID: int | None = None
    User: str | None = None


_which = msgspec.json.Decoder(_Which).decode


def post_undo(call: Call) -> Reply:
    """Take a mutation back."""
    sent = call.body(_MAX_WHICH_BYTES)
    try:
        which = _which(sent) if sent.strip() else _Which()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(
            f'undo: {{"MutationID": 1000000001}}, {{"User": "name"}} or nothing was expected: {error}'
        ) from None
    named, user = which.MutationID, call.user if which.User is None else which.User
    if named is not None and which.User is not None:
        raise BadRequest("undo: either a MutationID or a User was expected, not both")
    if named is not None and not 0 <= named < 2**63:
        raise BadRequest(f"undo: a mutation id was expected, not {named}")
    found = None
    if named is None:
        with call.view() as view:  # outside of the transaction, which then looks at what has come meanwhile
            found = latest(view, user)

    def run(edit: Edit) -> Reply:
        mutation = named
        if mutation is None:
            mutation = latest(edit, user, found or 0) or found
        if mutation is None:
            whose = f"of {user!r} " if user else "without a name of who made it "
            raise Conflict(f"undo: this version has no mutation {whose}to take back (of {', '.join(ACTIONS)})")
        made = undo(edit, mutation)
        reply = {"MutationID": made.mutation, "Undone": made.undone, "UndoneAction": made.action, "Redo": made.redo}
        return json_reply(reply)

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
    Route(
        "POST",
        "/undo",
        post_undo,
        "Take back a mutation of this version: a merge, a cleave, a renumbering, or the split of a supervoxel. That is a mutation of its "
        'own, which can be taken back, too. Answers {"MutationID": id of the undo, "Undone": id of what it took back, '
        '"UndoneAction": what that was, "Redo": true if that was an undo}. It is 409, with the reason, where it cannot be: another '
        "mutation since then depends on this one, it was taken back already, or it was made at another version.",
        body='{"MutationID": id} names the mutation. Nothing, or {"User": "name"}: the latest one that the user who asks (u), or that '
        "one, made at this version and that is not taken back yet; undos are passed over.",
        answers=JSON,
        writes=True,
    ),
)
