"""Entity tags: what was read at a committed version needs not be sent again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from dvid.http.about import software_version
from dvid.http.routing import COMMON_OPTIONS, Match
from dvid.routes import Reply
from dvid.versions.view import View


def entity_tag(view: View, match: Match, path: str, options: Mapping[str, str | list[str]]) -> str:
    """The tag of what a GET of a committed node answers; empty where the answer may change.

    It names the data, the node and the request, not the bytes: so it is known before anything is read.
    """
    route = match.route
    if (
        not route.immutable
        or route.method != "GET"
        or any(option.foreign and option.name in options for option in route.options)
    ):
        return ""
    instance = view.instance
    asked = sorted((name, value) for name, value in options.items() if name not in COMMON_OPTIONS)
    what = (software_version(), instance.data_uuid, view.node.uuid, view.epoch(), instance.settings, path, asked)
    return f'W/"{hashlib.blake2b(repr(what).encode(), digest_size=12).hexdigest()}"'


def matches(given: str | None, tag: str) -> bool:
    """Whether an If-None-Match header has a tag."""
    if given is None:
        return False
    opaque = tag.removeprefix("W/")
    return any(one.strip().removeprefix("W/") == opaque for one in given.split(","))


def headers(tag: str) -> dict[str, str]:
    """The headers that tell a tag. What an admin writes to a committed node changes it: so it is to be asked for."""
    return {"etag": tag, "cache-control": "no-cache"}


def tagged(reply: Reply, tag: str) -> Reply:
    """A reply with its tag."""
    return replace(reply, headers={**reply.headers, **headers(tag)})
