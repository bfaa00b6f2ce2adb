"""Keys sort as what they stand for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvid.errors import BadRequest
from dvid.versions import layout

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\0\1\2\x7fa/%é"), max_size=6)
COORDINATES = st.integers(-(2**31), 2**31 - 1)
VERSIONS = st.integers(0, layout.NEWEST)


@given(TEXTS, TEXTS)
def test_text_keys_sort_by_code_point_and_none_begins_another(one: str, other: str) -> None:
    first, second = layout.text_key(one), layout.text_key(other)
    assert (first < second) == (one < other)
    assert (first == second) == (one == other)
    assert one == other or not second.startswith(first)
    assert layout.text_of(first) == one


@given(TEXTS, TEXTS, VERSIONS)
def test_the_end_of_a_text_key_lies_between_all_its_versions_and_the_next_text(
    one: str, other: str, version: int
) -> None:
    stored = layout.text_key(other) + layout.inverted(version)
    assert (stored < layout.text_key_end(one)) == (other <= one)


def test_a_text_that_utf8_cannot_hold_is_refused() -> None:
    with pytest.raises(BadRequest, match="UTF-8"):
        layout.text_key("a\ud800")


@given(st.tuples(COORDINATES, COORDINATES, COORDINATES), st.tuples(COORDINATES, COORDINATES, COORDINATES))
def test_block_keys_sort_by_z_y_x(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    assert (layout.block_key(one) < layout.block_key(other)) == (one < other)
    assert layout.block_of(layout.block_key(one)) == one


@given(st.binary(max_size=6), VERSIONS, VERSIONS)
def test_of_two_versions_of_a_key_the_newer_sorts_first(key: bytes, one: int, other: int) -> None:
    first, second = key + layout.inverted(one), key + layout.inverted(other)
    assert (first < second) == (one > other)
    assert layout.version_of(first) == one


@given(st.binary(min_size=1, max_size=6).filter(lambda key: key.strip(b"\xff")), st.binary(max_size=6))
def test_after_a_prefix_comes_all_that_does_not_begin_with_it(prefix: bytes, key: bytes) -> None:
    assert (prefix <= key < layout.after(prefix)) == key.startswith(prefix)
