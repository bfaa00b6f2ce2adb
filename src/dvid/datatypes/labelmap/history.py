"""Requests that ask what was done to bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from dvid.datatypes.common import EventHead, event_list, path_back
from dvid.datatypes.labelmap.arguments import LABEL, need_index
from dvid.labels.bodies import existing, members
from dvid.labels.changes import COMPLETE
from dvid.labels.mapping import bodies_of
from dvid.routes import JSON, Argument, Call, Reply, Route, choice, flag
from dvid.versions.view import View

_TOLD = {
    "merge-complete": ("Target", "Labels"),
    "cleave-complete": ("OrigLabel", "CleavedLabel", "CleavedSupervoxels"),
    "renumber-complete": ("OrigLabel", "NewLabel"),
    "split-complete": ("Target", "NewLabel"),
}
"""What `history` tells of events: the first member is the body that they were done to."""

_encode = msgspec.json.Encoder().encode
_head = msgspec.json.Decoder(EventHead).decode


def get_mutations(call: Call, userid: str | None, exact: bool) -> Reply:
    """Answer what was done to bodies at one version."""
    return Reply(event_list(call, None, _wanted(userid if exact else None)), JSON)


def get_mutations_range(call: Call, begin: str, end: str, rangefmt: str, userid: str | None, exact: bool) -> Reply:
    """Answer what was done to bodies along a path of versions, newest version first."""
    return Reply(event_list(call, path_back(call, begin, end), _wanted(userid if exact else None)), JSON)


def _wanted(user: str | None) -> Callable[[EventHead], bool]:
    return lambda event: event.Action.endswith(COMPLETE) and user in (None, event.User)


def get_history(call: Call, label: int, begin: str, end: str) -> Reply:
    """Answer what was done to the bodies that a body came from."""
    path = path_back(call, begin, end)
    with call.view() as view:
        need_index(view)
        later = view.at(end)
        row = existing(later, label)
        supervoxels = members(later, label, row.own)
        origins = set(bodies_of(view.at(begin), supervoxels).tolist())
    return Reply(_history(call, path[::-1], origins), JSON)


def _history(call: Call, path: list[str], origins: set[int]) -> Iterator[bytes]:
    with call.view() as view:
        for uuid in path:
            piece = b"".join(_told(view.at(uuid), origins))
            if piece:
                yield piece


def _told(view: View, origins: set[int]) -> Iterator[bytes]:
    for line in view.events():
        action = _head(line).Action
        if action not in _TOLD:
            continue
        event = msgspec.json.decode(line)
        named = _TOLD[action]
        if event[named[0]] in origins:
            told = {"Action": action.removesuffix(COMPLETE), **{name: event[name] for name in named}}
            yield _encode(told) + b"\n"


_USER = (
    Argument("userid", "With exact=true: only what this user changed. On its own it has no effect.", default=None),
    Argument(
        "exact",
        "true: the option userid counts. Without it all users' changes are answered, as on the reference server.",
        flag,
        schema={"type": "boolean"},
        default=False,
    ),
)

ROUTES = (
    Route(
        "GET",
        "/mutations",
        get_mutations,
        "Answer the merges, cleaves, renumberings and splits of this version: a JSON list, oldest first.",
        options=_USER,
        answers=JSON,
    ),
    Route(
        "GET",
        "/mutations-range/{begin}/{end}",
        get_mutations_range,
        "Answer the merges, cleaves, renumberings and splits of each version from one node to one of its descendants: a "
        "JSON list, the last version first, within a version the oldest change first.",
        arguments=(
            Argument("begin", "The ancestor: a UUID or another name of a node."),
            Argument("end", "The descendant."),
        ),
        options=(Argument("rangefmt", "How the range is given: uuid.", choice("", "uuid"), default=""), *_USER),
        answers=JSON,
    ),
    Route(
        "GET",
        "/history/{label}[/{begin}[/{end}]]",
        get_history,
        "Answer where a body came from: the merges into, cleaves from, renumberings and splits of those bodies of an "
        "earlier version that its supervoxels belonged to then, at the versions from there on, the oldest first. They come "
        "as JSON objects one behind the other, a line for each, as the reference server answers them. 404 if the later "
        "version has no such body.",
        arguments=(
            Argument("label", "A body of the later version.", LABEL.parse, example="12345"),
            Argument("begin", "The earlier version: a UUID or another name of a node."),
            Argument("end", "The later version, a descendant of the earlier one."),
        ),
        answers=JSON,
    ),
)
