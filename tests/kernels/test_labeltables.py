"""Tables of rows by label, beside a dictionary."""

import sys
from threading import Barrier, Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvid.kernels.labeltables import ABSENT, EMPTY, THERE, LabelTable

CAPACITY = 64
MULTIPLIER = 0x9E3779B97F4A7C15

labels = st.lists(st.integers(0, 40) | st.sampled_from([2**32, 2**63, 2**64 - 1]), max_size=20, unique=True)


def some(names, seed, size=3):
    """Labels, and rows and states for them."""
    rng = np.random.default_rng(seed)
    states = rng.choice(np.array([ABSENT, THERE], np.uint8), len(names))
    rows = rng.integers(0, 256, (len(names), size)).astype(np.uint8) * (states == THERE)[:, None].astype(np.uint8)
    return np.array(names, np.uint64), rows, states


@given(st.lists(st.tuples(labels, st.integers(0, 99)), max_size=8), labels, st.sampled_from([MULTIPLIER, 1, 2**64 - 1]))
def test_what_it_tells_is_what_it_was_told_last(puts, asked, multiplier):
    table, told = LabelTable(3, CAPACITY, multiplier), {}
    for names, seed in puts:
        given_labels, rows, states = some(names, seed)
        table.put(given_labels, rows, states)
        told |= {name: (row.tolist(), state) for name, row, state in zip(names, rows, states.tolist(), strict=True)}
        found, known = table.find(given_labels)  # the newest are never forgotten
        np.testing.assert_array_equal(found[states == THERE], rows[states == THERE])
        np.testing.assert_array_equal(known, states)
    found, known = table.find(np.array(asked, np.uint64))
    for name, row, state in zip(asked, found.tolist(), known.tolist(), strict=True):
        if state != EMPTY:
            assert state == told[name][1]
        assert row == (told[name][0] if state == THERE else [0, 0, 0])


def test_what_fits_is_kept():
    table = LabelTable(17, CAPACITY, MULTIPLIER)
    names = np.arange(5, 5 + CAPACITY // 2, dtype=np.uint64) << np.uint64(40)
    rows = np.arange(names.size * 17, dtype=np.uint64).astype(np.uint8).reshape(-1, 17)
    for at in range(0, len(names), 5):
        table.put(names[at : at + 5], rows[at : at + 5], np.full(len(names[at : at + 5]), THERE, np.uint8))
    found, known = table.find(names[::-1])
    np.testing.assert_array_equal(found, rows[::-1])
    assert (known == THERE).all()


@pytest.mark.parametrize("more", [1, 100])
def test_more_than_it_has_room_for_is_not_kept_at_all(more):
    table = LabelTable(3, CAPACITY, MULTIPLIER)
    table.put(*some([7, 8], 0))
    table.put(*some(list(range(100, 100 + CAPACITY // 2 + more)), 1))
    assert (table.find(np.arange(100, 300, dtype=np.uint64))[1] == EMPTY).all()
    assert (table.find(np.array([7, 8], np.uint64))[1] != EMPTY).all()


def test_it_never_gets_more_than_half_full_however_many_threads_put_rows_into_it():
    capacity, threads, rounds = 1 << 15, 6, 400
    table, start = LabelTable(8, capacity, MULTIPLIER), Barrier(threads)
    most, wrong = [], []

    def put(number):
        start.wait()
        for at in range(rounds):
            names = np.arange(capacity // 2, dtype=np.uint64) + np.uint64((number * rounds + at) << 20)
            table.put(names, names.view(np.uint8).reshape(-1, 8), np.full(len(names), THERE, np.uint8))
            with table._lock:
                most.append(int((table._states != EMPTY).sum()))
            found, known = table.find(names[::64])
            if (found[known == THERE].reshape(-1).view(np.uint64) != names[::64][known == THERE]).any():
                wrong.append(number)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        workers = [Thread(target=put, args=[number], daemon=True) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
    finally:
        sys.setswitchinterval(interval)
    assert not any(worker.is_alive() for worker in workers)
    assert wrong == []
    assert max(most) <= capacity // 2
