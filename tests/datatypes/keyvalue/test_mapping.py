"""Key-values in a Python program: a mapping of texts to bytes."""

from collections.abc import MutableMapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dvid
from dvid.errors import BadRequest, LockedNode

keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    with dvid.open(str(tmp_path_factory.mktemp("values") / "store"), durability="relaxed") as opened:
        yield opened


@settings(max_examples=25)
@given(st.lists(st.tuples(keys, st.one_of(st.none(), st.binary(max_size=50))), max_size=12))
def test_it_is_a_mapping_in_the_order_of_its_keys(library, changes):
    values = library.create_repo()["master"].create("keyvalue", "kv")
    model = {}
    for key, value in changes:
        if value is not None:
            values[key] = model[key] = value
        elif key in model:
            del values[key], model[key]
        else:
            with pytest.raises(KeyError):
                del values[key]
    assert isinstance(values, MutableMapping)
    assert values == model
    assert list(values) == sorted(model, key=str.encode)
    assert len(values) == len(model)
    assert values.range() == model
    assert all(key in values for key in model)


def test_several_values_are_stored_in_one_go_or_not_at_all(library):
    values = library.create_repo()["master"].create("keyvalue", "kv")
    values.put_many({"a": b"1", "c": bytearray(b"33" * 1000)})
    with pytest.raises(BadRequest):
        values.put_many({"b": b"2", "": b"no key"})
    assert dict(values) == {"a": b"1", "c": b"33" * 1000}
    assert values.range("b", "d") == {"c": b"33" * 1000}
    assert values.get("b") is None
    assert values.pop("a") == b"1"
    assert 5 not in values
    assert "" not in values
    with pytest.raises(KeyError):
        values["a"]


def test_versions_keep_what_they_had(library):
    root = library.create_repo()["master"]
    values = root.create("keyvalue", "kv")
    values.update({"a": b"1", "b": b"2"})
    root.commit()
    with pytest.raises(LockedNode):
        values["a"] = b"3"
    child = root.new_version()["kv"]
    del child["a"]
    child["c"] = b"3"
    assert dict(child) == {"b": b"2", "c": b"3"}
    assert dict(values) == {"a": b"1", "b": b"2"}
