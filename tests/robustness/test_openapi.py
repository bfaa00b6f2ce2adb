"""What the server says of itself holds: requests made from its OpenAPI document."""

from __future__ import annotations

import re
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance
from tests.robustness.conftest import ADMIN, SECONDS, TYPES, Place

from dvid.http.openapi import document

EXAMPLES = 10
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]
OPERATIONS = [
    (method, path) for path, operations in document()["paths"].items() for method in operations if method != "delete"
]


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted({method for method, _ in OPERATIONS}))
def test_requests_made_from_the_description_are_answered_as_described(place: Place, method: str) -> None:
    url = place.server.url.rstrip("/")
    schema = schemathesis.openapi.from_url(f"{url}/api/openapi.json")

    def fill(data: Any, case: Any, path: str) -> None:
        """Name, most of the time, what there is."""
        values = case.path_parameters
        for name in re.findall(r"\{(\w+)\}", path):
            values.setdefault(name, "x")
            if name in ("node", "begin", "end") and data.draw(st.integers(0, 4)):
                values[name] = data.draw(st.sampled_from([place.child, place.root, place.child[:10]]))
            elif name == "name" and data.draw(st.integers(0, 4)):
                values[name] = data.draw(st.sampled_from([place.instance(kind) for kind in TYPES]))

    @settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def run(path: str, data: Any) -> None:
        place.prepare()
        case = data.draw(schema[path][method].as_strategy())
        fill(data, case, path)
        headers = ADMIN if data.draw(st.booleans()) else {}
        before = place.store.state()
        answer = case.call(base_url=url, headers=headers, timeout=SECONDS)
        if answer.status_code != 501:  # said of types that are known, and not served yet
            case.validate_response(answer, checks=CHECKS)
        if answer.status_code >= 400 or method in ("get", "head"):
            assert place.store.state() == before, (
                f"{method} {path}: {answer.status_code}, and yet the store has changed"
            )
        else:
            place.spoil()

    for path in sorted(path for one, path in OPERATIONS if one == method):
        run(path)
