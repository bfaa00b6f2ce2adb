"""Promise of the TOML writer: what it writes reads back the same."""

import tomllib
from datetime import date, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvid.config.toml import write_toml

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | texts
    | st.sampled_from([date(2026, 1, 2), time(3, 4, 5), datetime(2026, 1, 2, 3, 4, 5)])
)
contents = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))
tables = st.dictionaries(texts, contents, max_size=5)


@given(tables)
def test_what_is_written_reads_back_the_same(table):
    assert tomllib.loads(write_toml(table)) == table


def test_a_value_without_a_toml_form_is_refused():
    with pytest.raises(TypeError, match="NoneType"):
        write_toml({"a": {"b": None}})
