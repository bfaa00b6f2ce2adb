"""The OpenAPI document and the page of the API are made of the routes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema_rs
import schemathesis
from tests.http.conftest import Client

from dvid.datatypes.base import datatypes
from dvid.http import reference
from dvid.http.openapi import document, sections

PAGE = Path(__file__).parents[2] / "docs" / "http-api.md"


def test_every_route_is_described() -> None:
    paths = {re.sub(r"\{\w+\}", "{}", path): operations for path, operations in document()["paths"].items()}
    for section in sections():
        for route in section.routes:
            for path in route.expanded():
                full = re.sub(r"\{\w+(:path)?\}", "{}", section.prefix + path).rstrip("/") or "/"
                assert route.method.lower() in paths[full], (section.title, route.path)


def test_every_type_with_requests_has_a_section() -> None:
    titles = ", ".join(section.title for section in sections())
    for name, kind in datatypes().items():
        assert not kind.routes or name in titles.split(", ")


def test_no_two_paths_are_one_to_openapi() -> None:
    shapes = [re.sub(r"\{\w+\}", "{}", path) for path in document()["paths"]]
    assert len(shapes) == len(set(shapes))


def test_the_arguments_of_a_path_are_its_parameters() -> None:
    for path, operations in document()["paths"].items():
        for operation in operations.values():
            named = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert named == set(re.findall(r"\{([^}]*)\}", path)), path
            keys = [(one["name"], one["in"]) for one in operation["parameters"]]
            assert len(keys) == len(set(keys)), path


def test_the_schemas_are_json_schemas() -> None:
    for operations in document()["paths"].values():
        for operation in operations.values():
            for parameter in operation["parameters"]:
                jsonschema_rs.Draft202012Validator(parameter["schema"])


def test_tools_for_openapi_take_the_document(client: Client) -> None:
    answer = client.simulate_get("/api/openapi.json")
    assert answer.json == json.loads(json.dumps(document()))
    schema = schemathesis.openapi.from_dict(answer.json)
    assert sum(1 for _ in schema.get_all_operations()) > 30


def test_the_page_of_the_api_is_current() -> None:
    told = "docs/http-api.md is out of date. Run: python -m dvid.http.reference > docs/http-api.md"
    assert PAGE.read_text() == reference.page(), told
