import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvidclient import schema
from dvidclient.errors import MetadataError
from dvidclient.volume_metainfo import DTYPES, MOST_CHANNELS, MetaInfo

jsonschema = pytest.importorskip("jsonschema")
SCHEMA = MetaInfo.schema()
GOOD = MetaInfo(
    (2, 3, 4, 5), "u2", "cxyz", offset=(0, -1, 2, 0), voxel_size=(4, 4, 40), units=("nm",) * 3
).to_metadata()


def all_schemas(part):
    """A schema and all within it."""
    yield part
    for inner in (*part.get("properties", {}).values(), *part.get("allOf", ())):
        yield from all_schemas(inner)
    for keyword in ("items", "contains"):
        if keyword in part:
            yield from all_schemas(part[keyword])


def places(value, path=()):
    """The path of every value within a document."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def test_the_schema_is_a_json_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_keyword_of_the_schema_is_checked():
    for part in all_schemas(SCHEMA):
        assert set(part) <= schema.CHECKED | schema.ANNOTATIONS


def test_every_field_says_what_it_is():
    for part in all_schemas(SCHEMA):
        for field, inner in part.get("properties", {}).items():
            assert "description" in inner or part.get("title", "").startswith("the axis"), field


def test_the_schema_and_the_client_have_the_same_limits():
    values = SCHEMA["properties"]["Properties"]["properties"]["Values"]
    assert values["maxItems"] == MOST_CHANNELS
    assert tuple(values["items"]["properties"]["DataType"]["enum"]) == DTYPES


wild = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**33), 2**33),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["X", "y", "Z", "", "uint8", "uint16", "nm", 512.0, -0.0, 0, [], {}]),
    st.recursive(
        st.integers(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2)
    ),
)


@settings(max_examples=400)
@given(data=st.data(), changes=st.integers(0, 3))
def test_metadata_is_taken_exactly_where_the_schema_takes_it(data, changes):
    document = copy.deepcopy(GOOD)
    for _ in range(changes):
        paths = [path for path in places(document) if path]
        if not paths:
            break
        path = data.draw(st.sampled_from(paths))
        holder = document
        for step in path[:-1]:
            holder = holder[step]
        match data.draw(st.sampled_from(["change", "drop", "double"])):
            case "change":
                holder[path[-1]] = data.draw(wild)
            case "drop":
                del holder[path[-1]]
            case "double" if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[path[-1]]))
    wanted = jsonschema.Draft202012Validator(SCHEMA).is_valid(document)
    types = {value.get("DataType") for value in document["Properties"]["Values"]} if wanted else {None}
    if wanted and len(types) == 1:
        info = MetaInfo.from_metadata(json.dumps(document))
        assert jsonschema.Draft202012Validator(SCHEMA).is_valid(info.to_metadata())
    else:
        with pytest.raises(MetadataError):
            MetaInfo.from_metadata(json.dumps(document))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("Axes", 1, "Size"), -3, "Axes[1].Size: expected an integer from 0 to 2147483647, got -3"),
        (("Axes", 1, "Size"), "3", "Axes[1].Size: expected an integer from 0 to 2147483647, got '3'"),
        (("Axes", 0, "Resolution"), 0, "Axes[0].Resolution: expected a number above 0, got 0"),
        (("Axes", 0, "Resolution"), float("inf"), "Axes[0].Resolution: expected a number above 0, got inf"),
        (("Axes", 2, "Units"), None, "Axes[2].Units: expected a string, got None"),
        (("Axes", 2, "Label"), "T", "Axes[2].Label: expected one of X, Y, Z, x, y, z, got 'T'"),
        (("Axes", 2), [], "Axes[2]: expected a JSON object, got []"),
        (("Axes",), [], "Axes: expected a list of 3, got []"),
        (("Properties", "Values"), {}, "Properties.Values: expected a list of 1 to 65535, got {}"),
        (("Properties",), {}, "Properties.Values: expected a list of 1 to 65535, got 'nothing'"),
    ],
)
def test_an_error_names_the_field_what_was_expected_and_the_value(path, value, message):
    document = copy.deepcopy(GOOD)
    holder = document
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    with pytest.raises(MetadataError) as error:
        MetaInfo.from_metadata(document)
    assert str(error.value) == message


def test_an_axis_that_is_missing_is_named():
    document = copy.deepcopy(GOOD)
    document["Axes"][2]["Label"] = "y"
    with pytest.raises(MetadataError, match=r"^Axes: expected a list with the axis Z, got"):
        MetaInfo.from_metadata(document)
