"""Splits and lower resolutions of label blocks, compared with plain numpy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernels.labelblock_model import decode, serialized, volumes

from dvid.errors import BadRequest
from dvid.kernels.labelediting import downres_blocks, split_block
from dvid.kernels.labellayout import FINE, check_block
from dvid.kernels.labelwriting import encode_blocks

NEW, REST = 2**64 - 2, 2**63 + 1


def array(data):
    return np.frombuffer(data, np.uint8)


def encode(voxels):
    return encode_blocks(voxels, np.zeros((1, 3), np.int64), voxels.shape)[0]


@st.composite
def splits(draw):
    """A block, runs inside it, and a label that it may have."""
    if draw(st.booleans()):
        data = draw(serialized())
    else:
        data = encode(draw(volumes([8, 16, 24]))).tobytes()
    voxels = decode(data)
    runs = []
    for _ in range(draw(st.integers(0, 12))):
        z, y, x = (draw(st.integers(0, side - 1)) for side in voxels.shape)
        runs.append((x, y, z, draw(st.integers(1, voxels.shape[2] - x))))
    if draw(st.booleans()):  # a whole sub-block
        corner = [8 * draw(st.integers(0, side // 8 - 1)) for side in voxels.shape]
        runs += [(corner[2], corner[1] + y, corner[0] + z, 8) for z in range(8) for y in range(8)]
    place = tuple(draw(st.integers(0, side - 1)) for side in voxels.shape)
    supervoxel = draw(st.sampled_from([int(voxels[place]), 12345]))
    return data, voxels, np.array(runs, np.int32).reshape(-1, 4), supervoxel


@given(splits(), st.booleans())
def test_a_split_changes_the_supervoxel_and_nothing_else(case, same):
    data, voxels, runs, supervoxel = case
    remain_label = supervoxel if same else REST
    inside = np.zeros(voxels.shape, bool)
    for x, y, z, length in runs.tolist():
        inside[z, y, x : x + length] = True
    of_it = voxels == np.uint64(supervoxel)
    expected = voxels.copy()
    expected[of_it & inside] = NEW
    expected[of_it & ~inside] = remain_label
    made, counts = split_block(array(data), runs, supervoxel, NEW, remain_label)
    assert check_block(made) == (FINE, 0)
    np.testing.assert_array_equal(decode(made.tobytes()), expected)
    assert counts == ((of_it & inside).sum(), (of_it & ~inside).sum(), (inside & ~of_it).sum())


@pytest.mark.parametrize(
    "run",
    [
        (-1, 0, 0, 1),
        (0, 16, 0, 1),
        (0, 0, 8, 1),
        (0, 0, 0, 0),
        (0, 0, 0, 25),
        (23, 0, 0, 2),
        (0, -(2**31), 0, 1),
        (2**31 - 1, 0, 0, 2**31 - 1),
        (5, 0, 0, -3),
    ],
)
def test_a_run_outside_the_block_is_refused(run):
    block = encode(np.arange(8 * 16 * 24, dtype=np.uint64).reshape(8, 16, 24))
    with pytest.raises(BadRequest, match="does not lie in its block"):
        split_block(block, np.array([(0, 0, 0, 24), run], np.int32), 5, 6, 7)


def test_runs_have_four_columns():
    with pytest.raises(BadRequest, match="expected"):
        split_block(encode(np.zeros((8, 8, 8), np.uint64)), np.zeros((1, 3), np.int32), 5, 6, 7)


# ---- lower resolutions --------------------------------------------------------------------------


def halved(voxels):
    """The most frequent label but 0 of each 2 x 2 x 2, the lowest of equals."""
    z, y, x = (side // 2 for side in voxels.shape)
    cells = voxels.reshape(z, 2, y, 2, x, 2).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 8)
    best = np.zeros(len(cells), np.uint64)
    votes = np.zeros(len(cells), int)
    for i in range(8):
        label = cells[:, i]
        found = (cells == label[:, None]).sum(1)
        better = (label != 0) & ((found > votes) | ((found == votes) & (label < best)))
        best[better], votes[better] = label[better], found[better]
    return best.reshape(z, y, x)


@st.composite
def octants(draw):
    shape = tuple(draw(st.lists(st.sampled_from([8, 16, 24]), min_size=3, max_size=3)))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    whole = np.zeros([2 * side for side in shape], np.uint64)
    children = []
    for octant in range(8):
        kinds = draw(st.sampled_from([0, 1, 2, 2, 3, 5, 1000]))
        if not kinds:
            children.append(None)
            continue
        pool = np.unique(random.integers(0, draw(st.sampled_from([4, 2**64 - 1])), kinds, np.uint64))
        grain = draw(st.sampled_from([1, 2, 5, 8]))
        voxels = pool[random.integers(0, len(pool), [-(-side // grain) for side in shape])]
        for axis in range(3):
            voxels = voxels.repeat(grain, axis)
        voxels = np.ascontiguousarray(voxels[: shape[0], : shape[1], : shape[2]])
        z, y, x = ((octant >> 2) * shape[0], (octant >> 1 & 1) * shape[1], (octant & 1) * shape[2])
        whole[z : z + shape[0], y : y + shape[1], x : x + shape[2]] = voxels
        children.append(encode(voxels))
    return shape, children, whole


@given(octants())
def test_each_voxel_of_half_the_resolution_is_the_most_frequent_label(case):
    shape, children, whole = case
    made = downres_blocks(children, shape)
    assert check_block(made) == (FINE, 0)
    np.testing.assert_array_equal(decode(made.tobytes()), halved(whole))


@given(serialized())
def test_blocks_of_any_legal_form_are_halved(data):
    voxels = decode(data)
    whole = np.concatenate([voxels, np.zeros_like(voxels)], 0)
    whole = np.concatenate([whole, np.zeros_like(whole)], 1)
    whole = np.concatenate([np.zeros_like(whole), whole], 2)
    children = [None, array(data), *[None] * 6]
    np.testing.assert_array_equal(decode(downres_blocks(children, voxels.shape).tobytes()), halved(whole))


@pytest.mark.parametrize(
    ("cell", "winner"),
    [
        ([0, 0, 0, 0, 0, 0, 0, 9], 9),
        ([0, 0, 0, 0, 0, 0, 0, 0], 0),
        ([7, 7, 5, 5, 0, 0, 0, 9], 5),
        ([5, 5, 7, 7, 9, 9, 9, 0], 9),
        ([8, 7, 6, 5, 4, 3, 2, 1], 1),
        ([2**64 - 1] * 4 + [2**63] * 4, 2**63),
    ],
)
def test_zeros_do_not_count_and_the_lowest_of_equals_wins(cell, winner):
    voxels = np.zeros((8, 8, 8), np.uint64)
    voxels[2:4, 4:6, 6:8] = np.array(cell, np.uint64).reshape(2, 2, 2)
    made = decode(downres_blocks([encode(voxels), *[None] * 7], (8, 8, 8)).tobytes())
    assert made[1, 2, 3] == winner
    assert np.count_nonzero(made) == (winner > 0)


def test_children_of_other_shapes_or_numbers_are_refused():
    block = encode(np.zeros((8, 8, 16), np.uint64))
    with pytest.raises(BadRequest, match="block 2 of 8 has another shape"):
        downres_blocks([None, None, block, *[None] * 5], (16, 8, 8))
    with pytest.raises(BadRequest, match="7 blocks given"):
        downres_blocks([None] * 7, (8, 8, 8))
    with pytest.raises(BadRequest, match="multiple of 8"):
        downres_blocks([None] * 8, (8, 8, 4))
