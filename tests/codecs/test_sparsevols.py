"""Sparse volumes on the wire: written by struct in the test, and what must be refused."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvid.codecs.sparsevols import (
    MAX_RUNS,
    decode_rles,
    encode_labelled_rles,
    encode_rles,
    encode_srles,
    rles_header,
)
from dvid.errors import BadRequest, TooLarge

LOW, HIGH = -(2**31), 2**31 - 1

coordinate = st.integers(LOW, HIGH)
some_runs = st.lists(st.tuples(coordinate, coordinate, coordinate, st.integers(1, HIGH)), max_size=20)


def array(runs):
    return np.array(runs, np.int32).reshape(-1, 4)


def posted(runs, *, payload=0, dimensions=3, axis=0, reserved=0, voxels=0, count=None):
    header = struct.pack("<4B2I", payload, dimensions, axis, reserved, voxels, len(runs) if count is None else count)
    return header + b"".join(struct.pack("<4i", *run) for run in runs)


@given(some_runs)
def test_runs_are_encoded_as_documented(runs):
    assert encode_rles(array(runs)) == posted(runs)
    assert bytes(encode_srles(array(runs))) == posted(runs)[12:]
    coarse = struct.pack("<Qi", 2**64 - 1, len(runs)) + posted(runs)[12:]
    assert encode_labelled_rles(2**64 - 1, array(runs)) == coarse


def test_runs_that_are_part_of_another_array_are_encoded():
    runs = np.arange(40, dtype=np.int32).reshape(-1, 4)[::2]
    assert bytes(encode_srles(runs)) == runs.astype("<i4").tobytes()


def test_the_header_holds_as_many_runs_as_its_count():
    assert rles_header(MAX_RUNS) == bytes([0, 3, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255])
    with pytest.raises(TooLarge, match="srles"):
        rles_header(MAX_RUNS + 1)


@given(some_runs.map(sorted), st.integers(0, 2**32 - 1), st.integers(0, 255))
def test_what_is_posted_comes_in_order(runs, voxels, reserved):
    runs = [(x, y, z, min(length, HIGH - x + 1)) for x, y, z, length in runs]
    found = decode_rles(memoryview(posted(runs, voxels=voxels, reserved=reserved)))
    rows = found.tolist()
    assert found.dtype == np.int32
    assert [(z, y, x) for x, y, z, _ in rows] == sorted((z, y, x) for x, y, z, _ in rows)
    # Voxels of each row as intervals: joined here by another way.
    assert intervals(rows) == intervals(runs)


def intervals(runs):
    edges = {}
    for x, y, z, length in runs:
        edges.setdefault((z, y), []).append((x, x + length))
    joined = {}
    for row, parts in edges.items():
        whole = []
        for start, stop in sorted(parts):
            if whole and start <= whole[-1][1]:
                whole[-1][1] = max(whole[-1][1], stop)
            else:
                whole.append([start, stop])
        joined[row] = whole
    return joined


def test_overlapping_and_touching_runs_are_made_one():
    runs = [(10, 5, 5, 4), (8, 5, 5, 3), (14, 5, 5, 1), (8, 5, 5, 3), (0, 0, 6, 1), (0, 9, 5, 1)]
    assert decode_rles(posted(runs)).tolist() == [[8, 5, 5, 7], [0, 9, 5, 1], [0, 0, 6, 1]]


def test_no_runs_are_read():
    assert decode_rles(posted([])).shape == (0, 4)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes, expected a header of 12"),
        (posted([])[:11], "11 bytes"),
        (posted([(0, 0, 0, 1)], payload=1), "payload"),
        (posted([(0, 0, 0, 1)], dimensions=2), "2 dimensions"),
        (posted([(0, 0, 0, 1)], dimensions=4), "4 dimensions"),
        (posted([(0, 0, 0, 1)], axis=2), "dimension 2"),
        (posted([(0, 0, 0, 1)])[:-1], "says it has 1 runs, which take 28 bytes, but it has 27"),
        (posted([(0, 0, 0, 1)]) + b"\0", "29 bytes"),
        (posted([(0, 0, 0, 1)], count=2**32 - 1), "says it has 4294967295 runs"),
        (posted([(0, 0, 0, 1)], count=0), "0 runs"),
        (posted([(1, 2, 3, 1), (4, 5, 6, 0)]), "run 1 of the split, at x=4 y=5 z=6 with length 0, has no voxels"),
        (posted([(0, 0, 0, -1)]), "length -1, has no voxels"),
        (posted([(0, 0, 0, LOW)]), "has no voxels"),
        (posted([(HIGH, 0, 0, 2)]), "ends at x=2147483648, beyond 2147483647"),
    ],
)
def test_what_is_no_sparse_volume_is_refused(data, message):
    with pytest.raises(BadRequest, match="the split") as refused:
        decode_rles(data, "the split")
    assert message in str(refused.value)


@given(
    st.binary(max_size=80)
    | st.binary(max_size=64).map(lambda b: bytes([0, 3, 0, 0, 0, 0, 0, 0, len(b) // 16, 0, 0, 0]) + b)
)
def test_any_bytes_are_runs_or_refused(garbage):
    try:
        runs = decode_rles(garbage)
    except BadRequest:
        return
    assert (runs[:, 3] > 0).all()
    assert (runs[:, 0].astype(np.int64) + runs[:, 3] <= 2**31).all()
