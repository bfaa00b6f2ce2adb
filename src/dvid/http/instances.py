"""Requests to data instances: /api/node/{selector}/{name}/..."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from dvid.datatypes.base import datatype
from dvid.datatypes.common import COMMON_ROUTES
from dvid.errors import BadRequest, LockedNode, MethodNotAllowed, NotFound, NotServed
from dvid.http.routing import Match, Table
from dvid.routes import Route


@cache
def table(typename: str) -> Table:
    """The routes of a datatype's instances."""
    kind = datatype(typename)
    own = {(route.method, path) for route in kind.routes for path in route.expanded()}
    common = [route for route in COMMON_ROUTES if (route.method, route.path) not in own]
    return Table((*kind.routes, *common), f"{typename} data")


def match(
    typename: str,
    method: str,
    path: str,
    options: Mapping[str, str | list[str]],
    admit: Callable[[Route], None],
    *,
    locked: bool,
) -> Match:
    """The route for a request to an instance of a type. `admit` may refuse it before its arguments are looked at.

    Raises:
        LockedNode: it would write to a committed node.
        NotServed: the type is known, but its data is not served.
        BadRequest: the type has no such request, or an argument is not what it takes.
    """

    def admit_here(route: Route) -> None:
        admit(route)
        if route.writes and route.of_node and locked:
            raise LockedNode("the node is committed: write to a child of it (POST .../newversion or .../branch)")

    kind = datatype(typename)
    try:
        return table(typename).match(method, path, options, admit_here)
    except (NotFound, MethodNotAllowed) as error:
        if kind.served or isinstance(error, MethodNotAllowed):
            raise BadRequest(str(error)) from None  # 400, as the reference server answers it
        if locked and method in ("POST", "DELETE"):
            raise LockedNode("the node is committed: write to a child of it") from None
        raise NotServed(
            f"this version of the service keeps {typename} instances, but does not serve their data yet"
        ) from None
