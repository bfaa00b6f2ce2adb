"""Help texts for people, made from the declarations of routes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from dvid.datatypes.base import Datatype
from dvid.routes import REQUIRED, Argument, Route

_WIDTH = 100


def datatype_help(kind: Datatype, common: Iterable[Route] = ()) -> str:
    """All about a datatype: what it is for, its settings, its routes."""
    lines = [kind.name, "=" * len(kind.name), "", *_wrapped(kind.about, ""), ""]
    if kind.settings_about:
        lines += ["Settings of a new instance (names in any case):", ""]
        for name, about in kind.settings_about.items():
            lines += _entry(name, about)
        lines.append("")
    if not kind.served:
        lines += ["This version of the service keeps such instances, but does not serve their data yet.", ""]
    lines += ["Requests, below /api/node/{node}/{name}:", ""]
    for route in (*kind.routes, *common):
        lines += route_help(route)
    return "\n".join(lines)


def route_help(route: Route) -> list[str]:
    """All about a route."""
    options = "&".join(f"{option.name}=..." for option in route.options)
    lines = [f"{route.method} {route.shown}" + (f"  [?{options}]" if options else "")]
    lines += _wrapped(route.about, "    ")
    if route.body:
        lines += _wrapped(f"Body: {route.body}", "    ")
    for argument in (*route.arguments, *route.options):
        lines += _entry(argument.name, argument.about + _extras(argument), "    ")
    if route.answers:
        lines.append(f"    Answers {route.answers}.")
    if route.writes:
        lines += _wrapped("Takes an Idempotency-Key: sent again with it, it answers the same, and acts once.", "    ")
    if route.throttled:
        lines += _wrapped("Takes throttle=true: answered 503 at once if too many such requests are running.", "    ")
    return [*lines, ""]


def _extras(argument: Argument) -> str:
    default = "" if argument.default is REQUIRED or argument.default in (None, "") else f" Default: {argument.default}."
    example = f" Example: {argument.example}" if argument.example else ""
    return default + example


def _entry(name: str, about: str, indent: str = "  ") -> list[str]:
    width = max(14, len(name) + 1)
    wrapped = textwrap.wrap(about, _WIDTH - width - len(indent)) or [""]
    return [f"{indent}{name:<{width}}{wrapped[0]}", *(f"{indent}{'':<{width}}{line}" for line in wrapped[1:])]


def _wrapped(text: str, indent: str) -> list[str]:
    return [
        indent + line
        for paragraph in text.split("\n")
        for line in textwrap.wrap(paragraph, _WIDTH - len(indent)) or [""]
    ]
