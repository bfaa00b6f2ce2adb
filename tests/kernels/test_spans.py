"""Reading, ordering and painting spans, compared with json and sets."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvid.kernels.spans import COVER, GRID, LEGACY, cut_windows, ordered_spans, paint_spans, parse_rows

numbers = st.integers(-(2**31), 2**31 - 1)


@given(
    st.lists(st.lists(numbers, min_size=3, max_size=3)),
    st.sampled_from([None, 0, 1, 4]),
    st.sampled_from(["", " ", "\n\t\r "]),
)
def test_rows_are_read_as_json_reads_them(rows, indent, space):
    text = (space + json.dumps(rows, indent=indent) + space).encode()
    found, wrong = parse_rows(text, 3)
    assert wrong == -1
    assert found.tolist() == rows


@given(st.binary(max_size=40) | st.text('[]0123456789,- .e"', max_size=40).map(str.encode))
def test_what_is_read_is_what_json_reads(text):
    found, wrong = parse_rows(text, 2)
    try:
        value = json.loads(text)
    except (ValueError, UnicodeDecodeError):
        value = None
    right = isinstance(value, list) and all(
        isinstance(row, list) and len(row) == 2 and all(type(n) is int and -(2**31) <= n < 2**31 for n in row)
        for row in value
    )
    assert (wrong == -1) == right
    if right:
        assert found.tolist() == value
    else:
        assert 0 <= wrong <= len(text)


@pytest.mark.parametrize(
    ("text", "row", "at"),
    [(b"[[1,2],[3,4,5]]", 1, 11), (b"[[1,2] [3,4]]", 1, 7), (b"[[1,2147483648]]", 0, 4), (b"[[1,2]", 1, 6)],
)
def test_a_mistake_is_found_where_it_stands(text, row, at):
    rows, wrong = parse_rows(text, 2)
    assert (len(rows), wrong) == (row, at)


small = st.integers(-5, 5)


@given(st.lists(st.tuples(small, small, small, small).map(lambda s: [*s[:2], *sorted(s[2:])])))
def test_ordered_spans_are_disjoint_and_cover_the_same(spans):
    ordered = ordered_spans(np.array(spans, np.int32).reshape(-1, 4)).tolist()
    covered = [(z, y, x) for z, y, x0, x1 in ordered for x in range(x0, x1 + 1)]
    assert covered == sorted({(z, y, x) for z, y, x0, x1 in spans for x in range(x0, x1 + 1)})


def test_spans_as_long_as_numbers_go_are_ordered():
    low, high = -(2**31), 2**31 - 1
    spans = np.array([[0, 0, low, high], [0, 0, 5, 6], [high, low, high, high]], np.int32)
    assert ordered_spans(spans).tolist() == [[0, 0, low, high], [high, low, high, high]]


@given(
    st.lists(st.tuples(small, small, small).map(lambda s: [s[0], *sorted(s[1:])])),
    small,
    st.integers(-20, 20),
    st.integers(1, 5),
)
def test_painted_places_are_those_of_the_spans(spans, first_row, first_column, scale):
    plane = np.zeros((4, 17), np.uint8)
    paint_spans(np.array(spans, np.int32).reshape(-1, 3), plane, first_row, first_column, scale)
    blocks = {(y, x) for y, x0, x1 in spans for x in range(x0, x1 + 1)}
    expected = [[(first_row + r, (first_column + c) // scale) in blocks for c in range(17)] for r in range(4)]
    assert plane.tolist() == expected


def test_painting_stays_within_the_plane_for_the_largest_numbers():
    low, high = -(2**31), 2**31 - 1
    around = np.zeros((5, 8), np.uint8)
    paint_spans(np.array([[low, low, high], [0, low, high], [high, low, high]], np.int32), around[1:4], -1, -3, 1024)
    assert around.tolist() == [[0] * 8, [0] * 8, [1] * 8, [0] * 8, [0] * 8]


def rows_of(*rows):
    """Rows of (x0, x1), as `cut_windows` takes them."""
    spans = np.array([[0, y, x0, x1] for y, row in enumerate(rows) for x0, x1 in row], np.int64)
    return spans, np.cumsum([0, *map(len, rows)])


def test_windows_of_a_grid_are_centred_on_their_row():
    windows = cut_windows(*rows_of([(0, 4)], [(10, 10), (20, 20)]), 3, GRID, 100)
    assert windows[:, [0, 1, 3, 4]].tolist() == [[-1, 1, 0, 2], [2, 4, 0, 3], [9, 11, 1, 1], [18, 20, 1, 1]]


def test_covering_windows_begin_at_a_block():
    windows = cut_windows(*rows_of([(0, 4), (7, 7)], [(10, 10), (20, 20)]), 3, COVER, 100)
    assert windows[:, [0, 1, 3, 4]].tolist() == [
        [0, 2, 0, 3],
        [3, 5, 0, 2],
        [7, 9, 0, 1],
        [10, 12, 1, 1],
        [20, 22, 1, 1],
    ]


def test_legacy_windows_share_out_what_is_left_and_end_at_holes():
    windows = cut_windows(*rows_of([(0, 6)], [(0, 3), (6, 7)]), 3, LEGACY, 100)
    assert windows[:, :5].tolist() == [[0, 3, 0, 0, 4], [4, 6, 0, 0, 3], [0, 3, 0, 1, 4], [6, 7, 1, 1, 2]]


@pytest.mark.parametrize("style", [GRID, COVER, LEGACY])
def test_windows_stop_at_their_limit(style):
    spans, rows = rows_of([(0, 2**31)])
    assert cut_windows(spans, rows, 1, style, 5000) is None
    assert len(cut_windows(*rows_of([(0, 4999)]), 1, style, 5000)) == 5000
