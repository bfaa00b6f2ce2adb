"""The HTTP API as an OpenAPI 3.1 document, from the declarations of the routes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from dvid.datatypes.base import datatypes
from dvid.datatypes.common import COMMON_ROUTES
from dvid.http import nodes, repositories, server
from dvid.http.about import software_version
from dvid.routes import JSON, REQUIRED, Argument, Route

NODE = Argument(
    "node", "A UUID, the beginning of one, a tag, or UUID:branch.", example="28841c8277e044a7b187dda03e18da13"
)
INSTANCE = Argument("name", "Name of a data instance.", example="grayscale")
COMMON = (
    Argument("u", "Who asks; kept with what is changed.", default=None, example="someone"),
    Argument("app", "With which program.", default=None),
    Argument("admintoken", "The admin token, where it cannot be sent as 'Authorization: Bearer TOKEN'.", default=None),
)
IDEMPOTENCY_KEY = Argument(
    "Idempotency-Key",
    "A text of the client's that it takes for no other request: sent again with it, the same request is answered as the "
    "first time (with Idempotent-Replayed: true) and does nothing twice.",
    schema={"type": "string", "pattern": "^[!-~]{1,255}$"},
    default=None,
    example="8e03978e-40d5-43dd-bc93-6894a57f9324",
)
THROTTLE = Argument(
    "throttle",
    "true or on: be refused with 503 when too many heavy requests are running.",
    schema={"type": "string", "enum": ["true", "on", "false", "off"]},
    default=None,
)


class Section(NamedTuple):
    """Routes with a common beginning of their paths."""

    title: str
    about: str
    prefix: str
    routes: tuple[Route, ...]
    arguments: tuple[Argument, ...]
    """Of the prefix."""


def sections() -> Iterator[Section]:
    """All routes of the server."""
    yield Section("Server", "The server and all its repos.", "/api", server.ROUTES, ())
    yield Section("Repos", "A repo, by any of its nodes.", "/api/repo/{node}", repositories.ROUTES, (NODE,))
    yield Section("Nodes", "A node: one version of a repo.", "/api/node/{node}", nodes.ROUTES, (NODE,))
    both = (NODE, INSTANCE)
    yield Section(
        "Data of any type", "Requests that every data instance takes.", "/api/node/{node}/{name}", COMMON_ROUTES, both
    )
    grouped: dict[str, list[str]] = {}
    for name, kind in datatypes().items():
        if kind.routes:
            grouped.setdefault(repr(kind.routes), []).append(name)
    for names in grouped.values():
        about = "\n\n".join(dict.fromkeys(datatypes()[name].about for name in names))
        yield Section(", ".join(names), about, "/api/node/{node}/{name}", datatypes()[names[0]].routes, both)


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document, as JSON values."""
    paths: dict[str, dict[str, Any]] = {}
    shapes: dict[str, str] = {}  # paths that differ in the names of their arguments only are one to OpenAPI
    for section in sections():
        for route in section.routes:
            for path in replace(route, path=route.shown).expanded():
                full = section.prefix + (path if path != "/" or not section.arguments else "")
                shape = re.sub(r"\{\w+\}", "{}", full)
                known = shapes.setdefault(shape, full)
                operations = paths.setdefault(known, {})
                method = route.method.lower()
                made = _operation(section, route, full, known)
                operations[method] = _merged(operations[method], made) if method in operations else made
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "dvid",
            "version": software_version(),
            "summary": "A versioned data service for image volumes, segmentations and what is attached to them.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": section.title, "description": section.about} for section in sections()],
        "paths": paths,
        "components": {"securitySchemes": {"admin": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(section: Section, route: Route, path: str, shown: str) -> dict[str, Any]:
    """A request; `shown` is its path with the names that another request has given to the arguments."""
    names = zip(re.findall(r"\{(\w+)\}", path), re.findall(r"\{(\w+)\}", shown), strict=True)
    arguments = {argument.name: argument for argument in (*section.arguments, *route.arguments)}
    options: Iterable[Argument] = (*route.options, *COMMON, *((THROTTLE,) if route.throttled else ()))
    unique = {option.name: option for option in reversed(list(options))}
    summary, _, rest = route.about.partition("\n")
    operation: dict[str, Any] = {
        "tags": [section.title],
        "summary": summary,
        "parameters": [
            *({**_parameter(arguments.get(own) or Argument(own, ""), "path"), "name": name} for own, name in names),
            *(_parameter(option, "query") for option in reversed(unique.values())),
            *([_parameter(IDEMPOTENCY_KEY, "header")] if route.writes else []),
        ],
        "responses": {
            "200": {"description": "It was done.", "content": {route.answers: {}}},
            "4XX": {"description": "The request is wrong, or not allowed; the text says why.", "content": _TEXT},
            "503": {"description": "Too much is running: try again later.", "content": _TEXT},
        },
    }
    if rest.strip():
        operation["description"] = rest.strip()
    if route.body:
        media_type = JSON if "JSON" in route.body[:20] else "application/octet-stream"
        operation["requestBody"] = {"description": route.body, "content": {media_type: {}}}
    if route.writes:
        operation["responses"]["422"] = {"description": "Its Idempotency-Key is another request's.", "content": _TEXT}
        operation["responses"]["507"] = {"description": "The store is full; nothing was changed.", "content": _TEXT}
    if INSTANCE in section.arguments:
        operation["responses"]["501"] = {"description": "Data of this type are not served yet.", "content": _TEXT}
    if route.admin:
        operation["security"] = [{"admin": []}]
    return operation


_TEXT: dict[str, Any] = {"text/plain": {}}


def _parameter(argument: Argument, where: str) -> dict[str, Any]:
    required = where == "path" or argument.default is REQUIRED
    parameter: dict[str, Any] = {
        "name": argument.name,
        "in": where,
        "required": required,
        "description": argument.about,
        "schema": dict(argument.schema),
    }
    if argument.example:
        parameter["example"] = argument.example
    return parameter


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """One operation for requests that look alike and mean different things for different types of data."""
    merged = {**one, "tags": [*one["tags"], *(tag for tag in other["tags"] if tag not in one["tags"])]}
    if other["summary"] not in one["summary"]:
        merged["summary"] = f"{one['summary']} Or: {other['summary']}"
    paths = [parameter for parameter in one["parameters"] if parameter["in"] == "path"]
    queries = {parameter["name"]: parameter for parameter in one["parameters"] if parameter["in"] != "path"}
    others = {parameter["name"]: parameter for parameter in other["parameters"] if parameter["in"] != "path"}
    joined = {**others, **queries}
    merged["parameters"] = paths + [
        parameter if name in queries and name in others else {**parameter, "required": False}
        for name, parameter in joined.items()
    ]
    content = {**other["responses"]["200"]["content"], **one["responses"]["200"]["content"]}
    merged["responses"] = {**other["responses"], **one["responses"]}
    merged["responses"]["200"] = {**one["responses"]["200"], "content": content}
    bodies = [operation["requestBody"] for operation in (one, other) if "requestBody" in operation]
    if len(bodies) == 2:
        about = " Or: ".join(dict.fromkeys(body["description"] for body in bodies))
        merged["requestBody"] = {"description": about, "content": {**bodies[1]["content"], **bodies[0]["content"]}}
    elif bodies:
        merged["requestBody"] = bodies[0]
    if "security" not in one or "security" not in other:
        merged.pop("security", None)
    return merged
