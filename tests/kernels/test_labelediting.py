"""Painting and lower resolutions of label blocks, compared with plain numpy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernels.labelblock_model import decode, serialized, volumes

from dvid.errors import BadRequest
from dvid.kernels.labelblocks import count_labels
from dvid.kernels.labelediting import count_in_runs, downres_blocks, paint_block
from dvid.kernels.labellayout import FINE, check_block
from dvid.kernels.labelwriting import encode_blocks


def array(data):
    return np.frombuffer(data, np.uint8)


def encode(voxels):
    return encode_blocks(voxels, np.zeros((1, 3), np.int64), voxels.shape)[0]


def labels_of(block):
    return block[16 : 16 + 8 * int(block[12:16].view(np.uint32)[0])].view(np.uint64)


@st.composite
def painted(draw):
    """A block, runs inside it, and new labels for its list."""
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
    salt = draw(st.sampled_from([0, 1, 2**63, 2**64 - 3]))
    merging = draw(st.integers(1, 3))  # several labels become one
    return data, voxels, np.array(runs, np.int32).reshape(-1, 4), salt, merging


def inside_of(voxels, runs):
    inside = np.zeros(voxels.shape, bool)
    for x, y, z, length in runs.tolist():
        inside[z, y, x : x + length] = True
    return inside


def distinct_list(data):
    """The block with other labels, so that each voxel tells which entry of the list it is of: from 1 on."""
    listed = np.arange(1, 1 + len(labels_of(array(data))), dtype=np.uint64)
    return data[:16] + listed.tobytes() + data[16 + listed.nbytes :]


@given(painted())
def test_painting_gives_voxels_in_runs_one_label_and_others_another(case):
    data, voxels, runs, salt, merging = case
    entries = decode(distinct_list(data)).astype(np.int64)  # 0: of a sub-block without data
    count = len(labels_of(array(data)))
    targets = [(np.arange(count, dtype=np.uint64) // np.uint64(merging)) ^ np.uint64(salt + side) for side in (0, 1)]
    inside = inside_of(voxels, runs)
    lookup = [np.concatenate((np.zeros(1, np.uint64), labels)) for labels in targets]
    expected = np.where(inside, lookup[0][entries], lookup[1][entries])
    made, counts = paint_block(array(data), runs, *targets)
    assert check_block(made) == (FINE, 0)
    np.testing.assert_array_equal(decode(made.tobytes()), expected)
    by_entry = np.bincount(entries[inside].ravel(), minlength=count + 1)
    assert counts.tolist() == [*by_entry[1:], by_entry[0]]
    assert len(set(labels_of(made).tolist())) == len(labels_of(made))


@given(painted())
def test_voxels_in_runs_are_counted_without_making_a_block(case):
    data, voxels, runs, _, _ = case
    listed = labels_of(array(data))
    counts = count_in_runs(array(data), runs)
    assert counts.tolist() == paint_block(array(data), runs, listed, listed)[1].tolist()
    assert counts.sum() == inside_of(voxels, runs).sum()
    gz, gy, gx = (side // 8 for side in voxels.shape)
    whole = np.array([(0, y, z, 8 * gx) for z in range(8 * gz) for y in range(8 * gy)], np.int32)
    assert count_in_runs(array(data), whole)[:-1].tolist() == count_labels(array(data)).tolist()


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
        count_in_runs(block, np.array([(0, 0, 0, 24), run], np.int32))
    with pytest.raises(BadRequest, match="does not lie in its block"):
        paint_block(block, np.array([(0, 0, 0, 24), run], np.int32), labels_of(block), labels_of(block))


def test_runs_have_four_columns():
    with pytest.raises(BadRequest, match="expected"):
        count_in_runs(encode(np.zeros((8, 8, 8), np.uint64)), np.zeros((1, 3), np.int32))


@pytest.mark.parametrize("counts", [(1, 2), (2, 3), (3, 1)])
def test_there_is_a_label_for_each_entry_of_the_list(counts):
    block = encode(np.repeat(np.uint64([4, 5]), 256).reshape(8, 8, 8))
    with pytest.raises(BadRequest, match="a list of 2"):
        paint_block(block, np.zeros((0, 4), np.int32), *(np.zeros(count, np.uint64) for count in counts))


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
