"""Picking visible keys, list after list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dvid.versions.layout import inverted
from dvid.versions.sieve import Sieve


@given(
    st.sets(st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"]), st.integers(1, 9))),
    st.sets(st.integers(1, 9)),
    st.lists(st.integers(1, 6)),
)
def test_however_the_keys_are_cut_into_lists_the_newest_visible_of_each_is_picked(
    entries: set[tuple[bytes, int]], visible: set[int], lengths: list[int]
) -> None:
    keys = sorted(key + inverted(version) for key, version in entries)
    expected = [
        key + inverted(max(versions))
        for key in (b"a", b"b", b"c", b"d")
        if (versions := [version for of, version in entries if of == key and version in visible])
    ]
    sieve, picked = Sieve(visible.__contains__), []
    rest = list(keys)
    while rest:
        length = lengths.pop() if lengths else len(rest)
        part, rest = rest[:length], rest[length:]
        chosen = sieve.newest(part)
        picked += part if chosen is None else [part[i] for i in chosen]
        behind = sieve.behind(part[-1])
        assert part[-1] < behind
        assert all(key >= behind for key in rest if key[:-4] != part[-1][:-4])
        if chosen is not None and not any(key[:-4] == part[-1][:-4] for key in picked[-1:]):
            assert all(key >= behind for key in rest), "an unsettled key must be gone on with"
    assert picked == expected
