"""Whatever is asked of the declared routes, the answer says what was wrong, and nothing else has changed."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.robustness.conftest import ADMIN, LIMITS, MIB, TYPES, Place
from tests.robustness.requests import Request, requests_to

from dvid.datatypes.base import datatypes
from dvid.datatypes.common import COMMON_ROUTES
from dvid.http.openapi import INSTANCE, NODE, sections

EXAMPLES = 90
ALLOWED_MEMORY = 48 * MIB + 6 * LIMITS["body_bytes"] + 6 * LIMITS["decompressed_bytes"] + 6 * LIMITS["answer_bytes"]
"""How much more than before a worker may ever take for one request after the other."""

GROUPS = {
    section.title: (section.prefix, section.routes, section.arguments, "keyvalue")
    for section in sections()
    if INSTANCE not in section.arguments
}
GROUPS |= {
    name: ("/api/node/{node}/{name}", (*datatypes()[name].routes, *COMMON_ROUTES), (NODE, INSTANCE), name)
    for name in TYPES
}


def play(place: Place, typename: str, request: Request) -> None:
    """Send a request and check what must hold for all."""
    place.prepare()
    target = request.target
    for variable, value in (
        ("{root}", place.root),
        ("{child}", place.child),
        ("{half}", place.child[:12]),
        ("{name}", place.instance(typename)),
    ):
        target = target.replace(variable, value)
    target = target.encode("ascii", "ignore").decode().replace(" ", "%20") or "/"
    headers = {**dict(request.headers), **(ADMIN if request.admin else {})}
    headers = {name: value for name, value in headers.items() if value.isascii()}
    before = place.store.state()
    answer = place.client.call(request.method, target, request.body, headers)
    reading = request.method in ("GET", "HEAD", "OPTIONS")
    told = f"{request.method} {target[:300]} {headers} {request.body[:200]!r} ({len(request.body)} bytes)"
    place.check(answer, told, before, changes=not reading, head=request.method == "HEAD")
    if answer.status == 200 and not reading:
        place.spoil()


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_any_request_to_a_route_is_answered_or_refused_in_one_line(place: Place, group: str) -> None:
    prefix, routes, arguments, typename = GROUPS[group]
    any_request = st.sampled_from(routes).flatmap(lambda route: requests_to(route, prefix, arguments))
    place.client.json("GET", f"/api/node/{place.root}/a_uint8blk/info")
    before = place.forget_memory()

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), database=None)
    @given(request=any_request)
    def run(request: Request) -> None:
        play(place, typename, request)

    run()
    assert place.memory() - before < ALLOWED_MEMORY
