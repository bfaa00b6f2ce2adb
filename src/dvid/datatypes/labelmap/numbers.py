"""Requests for new labels and the largest ones."""

from __future__ import annotations

import msgspec

from dvid.datatypes.labelmap.arguments import label, need_index
from dvid.errors import BadRequest
from dvid.labels.numbering import (
    LARGEST,
    MAX_SETTABLE,
    known_largest,
    new_labels,
    next_label,
    saw_label,
    set_next_start,
)
from dvid.routes import JSON, TEXT, Argument, Call, Reply, Route, integer
from dvid.versions.edit import Edit

_MAX_NEEDED_BYTES = 1 << 10


class _Needed(msgspec.Struct, forbid_unknown_fields=True):
    needed: int


_needed = msgspec.json.Decoder(_Needed).decode


def get_maxlabel(call: Call) -> Reply:
    """Answer the largest label of the version."""
    with call.view() as view:
        need_index(view)
        return _json(f'{{"maxlabel": {known_largest(view)}}}')


def post_maxlabel(call: Call, largest: int) -> Reply:
    """Raise the largest label of the version."""
    if largest > MAX_SETTABLE:
        raise BadRequest(f"the largest label can be set to at most {MAX_SETTABLE} (2^48), not to {largest}")

    def see(edit: Edit) -> Reply:
        need_index(edit)
        saw_label(edit, largest)
        return Reply(b"", TEXT)

    return call.edit(see)


def get_nextlabel(call: Call) -> Reply:
    """Answer what the next new label will be."""
    with call.view() as view:
        need_index(view)
        return _json(f'{{"nextlabel": {next_label(view)}}}')


def post_nextlabel(call: Call, count: int) -> Reply:
    """Give out new labels."""

    def reserve(edit: Edit) -> Reply:
        need_index(edit)
        given = new_labels(edit, count)
        return _json(f'{{"start": {given.start}, "end": {given.stop - 1}}}')

    return call.edit(reserve)


def post_needed(call: Call) -> Reply:
    """Give out as many new labels as the body asks for, in the words of older types: {"needed": 5}."""
    try:
        count = _needed(call.body(_MAX_NEEDED_BYTES)).needed
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f'nextlabel: {{"needed": number of labels}} was expected: {error}') from None
    if not 1 <= count < 2**63:
        raise BadRequest(f"nextlabel: 1 or more labels can be given out, not {count}")
    return post_nextlabel(call, count)


def post_set_nextlabel(call: Call, start: int, ceiling: int | None) -> Reply:
    """Set where new labels count up from."""

    def change(edit: Edit) -> Reply:
        need_index(edit)
        set_next_start(edit, start, ceiling)
        return Reply(b"", TEXT)

    return call.edit(change)


def _json(text: str) -> Reply:
    """Some clients compare the text of these answers, so the spaces in it matter."""
    return Reply(text.encode(), JSON)


def _ceiling(text: str) -> int | None:
    if not text:
        return None
    return 0 if text == "0" else label(text)


ROUTES = (
    Route(
        "GET",
        "/maxlabel",
        get_maxlabel,
        'Answer the largest label that this version or one before it holds or has given out: {"maxlabel": 4}. 400 if there '
        "is none.",
        answers=JSON,
    ),
    Route(
        "POST",
        "/maxlabel[/{largest}]",
        post_maxlabel,
        "Raise the largest label of this version. New labels begin behind the largest one of all versions, unless POST "
        "set-nextlabel has said where: then they stay there. A number that is not above the present one changes nothing.",
        arguments=(Argument("largest", f"A label from 1 to {MAX_SETTABLE} (2^48).", label, example="100000"),),
        answers=TEXT,
        writes=True,
        admin=True,
    ),
    Route(
        "GET",
        "/nextlabel",
        get_nextlabel,
        'Answer the label that will be given out next: {"nextlabel": 5}.',
        answers=JSON,
    ),
    Route(
        "POST",
        "/nextlabel[/{count}]",
        post_nextlabel,
        'Give out new labels, which are used for nothing else from now on: {"start": 9, "end": 13}, both included.',
        arguments=(Argument("count", "How many.", integer(1, 2**63 - 1), example="5"),),
        answers=JSON,
        writes=True,
    ),
    Route(
        "POST",
        "/set-nextlabel[/{start}]",
        post_set_nextlabel,
        "Let new labels count up from behind this one, at all versions of the instance, and no longer from the largest one. "
        "Labels that are in use at any version are stepped over, but not those that were given out and are still to be used.",
        arguments=(Argument("start", f"The label before the next one, 1 to {LARGEST}.", label, example="999"),),
        options=(
            Argument(
                "ceiling",
                "The last label that may be given out; asking for more is refused. 0: there is none. Without this option "
                "it stays as it is.",
                _ceiling,
                schema={"type": "integer"},
                default=None,
                example="2000",
            ),
        ),
        answers=TEXT,
        writes=True,
        admin=True,
    ),
)
