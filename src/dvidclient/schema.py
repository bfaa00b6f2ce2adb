"""JSON documents against a JSON schema: as much of 2020-12 as the schemas of the client use, with errors that name the field."""

from __future__ import annotations

import functools
import importlib.resources
import json
import math
from collections.abc import Mapping
from typing import Any

from dvidclient.errors import MetadataError

ANNOTATIONS = frozenset({"$schema", "$id", "title", "description"})
CHECKED = frozenset(
    {
        *("type", "enum", "minimum", "maximum", "exclusiveMinimum", "required", "properties"),
        *("items", "minItems", "maxItems", "allOf", "contains"),
    }
)

_KINDS = {
    "object": "a JSON object",
    "array": "a list",
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
}


@functools.cache
def schema_named(name: str) -> Mapping[str, Any]:
    """A schema of the folder ``dvidclient/schemas``: ``"volume_metadata"``. It is shared: do not change it."""
    file = importlib.resources.files("dvidclient") / "schemas" / f"{name}.schema.json"
    schema: Mapping[str, Any] = json.loads(file.read_text("utf-8"))
    return schema


def check(value: Any, schema: Mapping[str, Any], place: str, whole: str = "document") -> None:
    """Checks a value against a schema.

    Args:
        value: of a JSON document, as ``json.loads`` gives it.
        schema: uses no other keywords than ``CHECKED`` and ``ANNOTATIONS``.
        place: where the value is in the document, such as ``Axes[1]``; empty for all of it.
        whole: what messages call the document.

    Raises:
        MetadataError: names the first field that is wrong.
    """
    field = place or whole
    if not _is_of(value, schema) or not _is_within(value, schema):
        raise MetadataError(field, expected(schema), value)
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        for name in schema.get("required", ()):
            if name not in value:
                raise MetadataError(_under(place, name), expected(properties.get(name, {})), "nothing")
        for name, inner in properties.items():
            if name in value:
                check(value[name], inner, _under(place, name), whole)
    elif isinstance(value, list):
        if "items" in schema:
            for at, item in enumerate(value):
                check(item, schema["items"], f"{place}[{at}]", whole)
        if "contains" in schema and not any(_fits(item, schema["contains"]) for item in value):
            raise MetadataError(field, f"a list with {schema['contains']['title']}", value)
    for part in schema.get("allOf", ()):
        check(value, part, place, whole)


def expected(schema: Mapping[str, Any]) -> str:
    """What a schema wants, in words."""
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    words = _KINDS.get(schema.get("type", ""), "a value")
    low, high = schema.get("minimum", schema.get("minItems")), schema.get("maximum", schema.get("maxItems"))
    if "exclusiveMinimum" in schema:
        return f"{words} above {schema['exclusiveMinimum']}"
    if low is not None and high is not None:
        span = str(low) if low == high else f"{low} to {high}"
        return f"{words} of {span}" if schema.get("type") == "array" else f"{words} from {span}"
    return words


def _is_of(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether the value has the type and is one of the values of a schema."""
    if "enum" in schema:
        return isinstance(value, str) and value in schema["enum"]
    match schema.get("type"):
        case "object":
            return isinstance(value, Mapping)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "integer":
            return _is_number(value) and value == int(value)
        case "number":
            return _is_number(value)
        case _:
            return True


def _is_within(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a number or the length of a list lies within the bounds of a schema."""
    if isinstance(value, list):
        return bool(schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf))
    if not _is_number(value):
        return True
    above = schema.get("exclusiveMinimum", -math.inf)
    return bool(above < value and schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf))


def _is_number(value: Any) -> bool:
    # JSON has no NaN and no infinities, whatever Python's reader takes.
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and math.isfinite(value)
    )


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    try:
        check(value, schema, "")
    except MetadataError:
        return False
    return True


def _under(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
