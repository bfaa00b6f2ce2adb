"""Rows of the index, changed as a dictionary would be."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvid.kernels.indexrows import distinct, in_order, merge_rows, unpack_rows

blocks = st.integers(0, 511)
counts = st.integers(1, 2**32 - 1)


def packed(row):
    return b"".join(struct.pack("<HI", block, row[block]) for block in sorted(row))


def merged(rows, changes):
    """`merge_rows` for rows that are dictionaries and changes that are lists of (block, voxels)."""
    flat = [change for some in changes for change in sorted(some, key=lambda change: change[0])]
    ends = np.cumsum([len(some) for some in changes], dtype=np.int64)
    numbers = np.array(flat, np.int64).reshape(-1, 2)
    columns = np.ascontiguousarray(numbers[:, 0]), np.ascontiguousarray(numbers[:, 1])
    return merge_rows([packed(row) for row in rows], *columns, ends)


@st.composite
def cases(draw):
    """Rows, and changes of them that leave no block with less than no voxels."""
    rows = draw(st.lists(st.dictionaries(blocks, counts, max_size=8), max_size=6))
    changes, after = [], []
    for row in rows:
        new = dict(row)
        for block in draw(st.lists(blocks | st.sampled_from(sorted(row) or [0]), max_size=8, unique=True)):
            new[block] = draw(st.integers(0, 2**32 - 1))
        some = []
        for block in set(row) | set(new):
            delta = new.get(block, 0) - row.get(block, 0)
            part = draw(st.integers(-(2**33), 2**33)) if delta else 0
            some += [(block, part), (block, delta - part)] if part else [(block, delta)] if delta else []
        changes.append(some)
        after.append({block: count for block, count in new.items() if count})
    return rows, changes, after


@given(cases())
def test_rows_become_what_dictionaries_would(case):
    rows, changes, after = case
    assert merged(rows, changes) == ([packed(row) for row in after], None)


@given(st.lists(st.dictionaries(blocks, counts, max_size=4), min_size=1, max_size=5), st.data())
def test_the_first_row_that_does_not_fit_is_named(rows, data):
    wrong = data.draw(st.integers(0, len(rows) - 1))
    block = data.draw(blocks)
    have = rows[wrong].get(block, 0)
    by = data.draw(st.sampled_from([-have - 1, 2**32 - have, -(2**40), 2**40]))
    changes = [[(7, 1)] if 7 not in row else [] for row in rows]
    changes[wrong] = [(block, by)]
    if wrong + 1 < len(rows):
        changes[-1] = [(3, -(2**40))]
    assert merged(rows, changes) == ([], wrong)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_nothing_to_change_changes_nothing(rows):
    held = [{1: 5, 511: 2**32 - 1}] * rows
    assert merged(held, [[]] * rows) == ([packed(row) for row in held], None)


# ---- reading ------------------------------------------------------------------------------------

regions = st.tuples(*[st.integers(-(2**31), 2**31 - 1)] * 3)
points = st.lists(st.tuples(*[st.integers(-2, 2) | st.integers(-(2**40), 2**40)] * 3), max_size=20)


def key(label, region_zyx):
    return struct.pack(">QIII", label, *(axis + 2**31 for axis in region_zyx))


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), regions, st.dictionaries(blocks, counts, max_size=6)), max_size=6))
def test_rows_are_read_as_they_were_packed(rows):
    expected = [
        (
            label,
            tuple(
                8 * axis + inner for axis, inner in zip(region, (block >> 6, block >> 3 & 7, block & 7), strict=True)
            ),
            row[block],
        )
        for label, region, row in rows
        for block in sorted(row)
    ]
    labels, blocks_zyx, voxels = unpack_rows(
        [key(label, region) for label, region, _ in rows], [packed(r) for *_, r in rows]
    )
    assert list(zip(labels.tolist(), map(tuple, blocks_zyx.tolist()), voxels.tolist(), strict=True)) == expected


@pytest.mark.parametrize(
    "row", [b"\0", bytes(7), struct.pack("<HI", 512, 1), packed({3: 1}) + struct.pack("<HI", 65535, 1)]
)
def test_a_row_that_is_damaged_is_not_read(row):
    assert unpack_rows([key(1, (0, 0, 0)), key(2, (0, 0, 0))], [packed({5: 9}), row]) is None


@given(points, st.booleans())
def test_points_that_repeat_are_kept_once_and_in_order(some, in_order_already):
    given_points = sorted(some) if in_order_already else some
    array = np.array(given_points, np.int64).reshape(-1, 3)
    assert list(map(tuple, distinct(array).tolist())) == sorted(set(some))
    assert list(map(tuple, array.tolist())) == given_points


def test_points_need_not_lie_one_behind_the_other_in_memory():
    array = np.array([[9, 0, 0], [9, 1, 0], [9, 1, 0]], np.int64)[:, ::-1]
    assert distinct(array).tolist() == [[0, 0, 9], [0, 1, 9]]


@given(st.lists(st.tuples(st.tuples(*[st.integers(-1, 1)] * 3), st.integers(0, 3) | st.just(2**64 - 1)), max_size=6))
def test_the_order_is_that_of_points_then_of_labels(pairs):
    for some in (pairs, sorted(pairs)):
        array = np.array([point for point, _ in some], np.int64).reshape(-1, 3)
        assert in_order(array, np.array([label for _, label in some], np.uint64)) == (some == sorted(some))
