"""Rows of the index, changed as a dictionary would be."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvid.kernels.indexrows import merge_rows

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
