"""From a request's path to the declared route: parsing its arguments and options."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import falcon
from falcon.routing import CompiledRouter

from dvid.errors import BadRequest, MethodNotAllowed, NotFound
from dvid.routes import REQUIRED, Argument, Reply, Route

COMMON_OPTIONS = frozenset({"u", "app", "admintoken", "interactive", "throttle"})
"""Options that any request may have."""


@dataclass(frozen=True, slots=True)
class Match:
    """A route with the parsed arguments of one request."""

    route: Route
    arguments: dict[str, Any]

    def run(self, request: Any) -> Reply:
        """Call the route's handler."""
        return self.route.handler(request, **self.arguments)


class Table:
    """Routes that can be looked up by path and method."""

    def __init__(self, routes: Iterable[Route], what: str) -> None:
        self.routes = tuple(routes)
        self._what = what
        self._router = CompiledRouter()
        by_path: dict[str, dict[str, Route]] = defaultdict(dict)
        for route in self.routes:
            for path in route.expanded():
                by_path[path][route.method] = route
        for path, by_method in by_path.items():
            if "GET" in by_method:
                by_method.setdefault("HEAD", by_method["GET"])
            self._router.add_route(path, _Resource(by_method))

    def match(
        self, method: str, path: str, options: Mapping[str, str | list[str]], admit: Callable[[Route], None]
    ) -> Match:
        """The route for a request. `admit` may refuse it before its arguments are looked at.

        Raises:
            NotFound: no route has such a path.
            MethodNotAllowed: the path has no route for the method.
            BadRequest: an argument or option is not what the route takes.
        """
        found = self._router.find(path)
        if found is None:
            found = self._router.find(path.rstrip("/")) if path.endswith("/") else None
            if found is None:
                raise NotFound(f"{self._what} has no path {path[:200]!r}: see GET .../help")
        resource, _, texts, _ = found
        by_method: Mapping[str, Route] = cast("_Resource", resource).by_method
        route = by_method.get(method)
        if route is None:
            allowed = ", ".join(sorted(by_method))
            raise MethodNotAllowed(f"{method} is not for {path[:200]!r}; it takes {allowed}")
        admit(route)
        return Match(route, parse(route, texts, options))


class _Resource:
    """What Falcon's router asks of a resource."""

    def __init__(self, by_method: Mapping[str, Route]) -> None:
        self.by_method = by_method

    def on_get(self, request: falcon.Request, response: falcon.Response, **texts: str) -> None:
        raise NotImplementedError("routes are run by dvid.http.app")


def parse(route: Route, texts: Mapping[str, str], options: Mapping[str, str | list[str]]) -> dict[str, Any]:
    """The arguments for a route's handler.

    Raises:
        BadRequest: one is missing, unknown, or not what the route takes.
    """
    arguments: dict[str, Any] = {}
    for argument in route.arguments:
        text = texts.get(argument.name)
        arguments[argument.name] = _default(argument) if text is None else argument.read(text)
    known = set(COMMON_OPTIONS)
    for option in route.options:
        known.add(option.name)
        given = options.get(option.name)
        if isinstance(given, list):
            raise BadRequest(f"the option {option.name} is given more than once")
        arguments[option.name] = _default(option) if given is None else option.read(given)
    for name in options:
        if name not in known:
            takes = ", ".join(option.name for option in route.options) or "none of its own"
            raise BadRequest(f"unknown option {name[:80]!r}; this request takes: {takes}")
    return arguments


def _default(argument: Argument) -> Any:
    if argument.default is REQUIRED:
        raise BadRequest(f"{argument.name} is missing: {argument.about}")
    return argument.default
