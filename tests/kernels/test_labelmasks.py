"""Runs and masks of label blocks, compared with plain numpy."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernels.labelblock_model import decode, serialize, serialized

from dvid.errors import BadRequest
from dvid.geometry import Box
from dvid.kernels.buffers import addresses
from dvid.kernels.labelmasks import binary_block, block_runs


def array(data):
    return np.frombuffer(data, np.uint8)


def labels_of(data):
    return np.frombuffer(data, np.uint64, int.from_bytes(data[12:16], "little"), 16)


def mask_of(data, flags):
    """Which voxels are meant: by the places in the label list, which duplicates share with nobody."""
    count = len(labels_of(data))
    places = decode(data[:16] + np.arange(1, count + 1, dtype=np.uint64).tobytes() + data[16 + 8 * count :])
    return np.concatenate([[False], flags])[places.astype(np.int64)]


def runs_of(mask, origin_zyx, box=None):
    """Runs of a mask, row by row; those of a box as if there were nothing outside."""
    mask = mask.copy()
    if box is not None:
        for axis in range(3):
            at = np.arange(mask.shape[axis]) + origin_zyx[axis]
            inside = (at >= box.start_zyx[axis]) & (at < box.stop_zyx[axis])
            mask &= inside.reshape([-1 if other == axis else 1 for other in range(3)])
    edges = np.diff(np.pad(mask, ((0, 0), (0, 0), (1, 1))).astype(np.int8), axis=2)
    begin, end = np.argwhere(edges == 1), np.argwhere(edges == -1)
    z, y, x = (begin + origin_zyx).T
    return np.stack([x, y, z, end[:, 2] - begin[:, 2]], 1)


@st.composite
def flagged(draw, most=3):
    blocks = draw(st.lists(serialized(), max_size=most))
    share = draw(st.sampled_from([0, 0.1, 0.5, 0.9, 1]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    return blocks, [random.random(len(labels_of(data))) < share for data in blocks]


coordinates = st.one_of(st.integers(-40, 40), st.sampled_from([-(2**31), 2**31 - 24]))


@given(flagged(), st.data())
def test_runs_are_those_of_the_mask_in_order_block_by_block(case, draw):
    blocks, flags = case
    origins = [draw.draw(st.tuples(coordinates, coordinates, coordinates)) for _ in blocks]
    box = None
    if draw.draw(st.booleans()):
        start = draw.draw(st.tuples(*[st.integers(-45, 45)] * 3))
        box = Box.at(start, draw.draw(st.tuples(*[st.integers(0, 60)] * 3)))
    starts = np.cumsum([0, *map(len, flags)])
    runs, ends = block_runs(
        addresses(blocks),
        np.array(origins, np.int64).reshape(-1, 3),
        np.concatenate([np.empty(0, bool), *flags]),
        starts,
        box,
    )
    expected = [
        runs_of(mask_of(data, own), origin, box) for data, own, origin in zip(blocks, flags, origins, strict=True)
    ]
    assert runs.tolist() == [run for some in expected for run in some.tolist()]
    assert ends.tolist() == np.cumsum([len(some) for some in expected]).tolist()


def test_every_other_voxel_makes_the_most_runs():
    tables, voxels = [[0, 1]] * 27, [np.arange(512) % 2] * 27
    data = serialize((3, 3, 3), [5, 6], tables, voxels)
    for flags in ([True, False], [False, True]):
        runs, _ = block_runs(addresses([data]), np.zeros((1, 3), np.int64), np.array(flags), np.array([0, 2]))
        assert len(runs) == 24 * 24 * 12
        assert runs.tolist() == runs_of(mask_of(data, flags), (0, 0, 0)).tolist()


SOLID = serialize((1, 1, 1), [5], [], [])


@pytest.mark.parametrize(
    ("blocks", "origins", "flags", "starts"),
    [
        ([SOLID], [(0, 0, 0)], 2, [0, 2]),
        ([SOLID], [(0, 0, 0)], 0, [0, 1]),
        ([SOLID], [(0, 0, 0)], 0, [0, 0]),
        ([SOLID], [(0, 0, 0)], 1, [-1, 0]),
        ([SOLID], [(0, 0, 0)], 1, [2**62, 2**62 + 1]),
        ([SOLID, None], [(0, 0, 0), (0, 0, 0)], 2, [0, 1, 2]),
        ([SOLID], [(0, 0, 2**31 - 7)], 1, [0, 1]),
        ([SOLID], [(-(2**31) - 1, 0, 0)], 1, [0, 1]),
        ([SOLID], [(0, 2**63 - 1, 0)], 1, [0, 1]),
    ],
)
def test_flags_and_places_that_do_not_fit_are_refused(blocks, origins, flags, starts):
    with pytest.raises(BadRequest, match="another number of labels than flags"):
        block_runs(addresses(blocks), np.array(origins, np.int64), np.ones(flags, bool), np.array(starts))


def test_arrays_of_other_lengths_are_refused():
    with pytest.raises(BadRequest, match="do not fit"):
        block_runs(addresses([SOLID]), np.zeros((2, 3), np.int64), np.ones(1, bool), np.array([0, 1]))
    with pytest.raises(BadRequest, match="do not fit"):
        block_runs(addresses([SOLID]), np.zeros((1, 3), np.int64), np.ones(1, bool), np.array([0]))


# ---- binary blocks ------------------------------------------------------------------------------


def read_binary(data, grid_zyx):
    """First voxel x, y, z, and the mask, of what is sent as a binary block."""
    *origin, content = struct.unpack_from("<3iB", data)
    mask = np.full([8 * side for side in grid_zyx], content == 1)
    at = 13
    if content == 2:
        for sub in np.ndindex(*grid_zyx):
            content, at = data[at], at + 1
            bits = np.full(512, content == 1)
            if content == 2:
                bits = np.unpackbits(np.frombuffer(data, np.uint8, 64, at), bitorder="little").astype(bool)
                at += 64
            assert content < 3
            z, y, x = (8 * place for place in sub)
            mask[z : z + 8, y : y + 8, x : x + 8] = bits.reshape(8, 8, 8)
    assert at == len(data)
    return origin, mask


@given(flagged(1), st.tuples(*[st.integers(-(2**31), 2**31 - 1)] * 3))
def test_binary_blocks_have_a_bit_for_each_voxel_where_there_are_both_kinds(case, origin):
    for data, flags in zip(*case, strict=True):
        made = binary_block(array(data), flags, origin).tobytes()
        found, mask = read_binary(made, struct.unpack_from("<3I", data)[::-1])
        assert found == list(origin[::-1])
        np.testing.assert_array_equal(mask, mask_of(data, flags))
        assert len(made) == 13 or 0 < mask.sum() < mask.size


def test_flags_of_another_number_than_labels_make_no_binary_block():
    with pytest.raises(BadRequest, match="2 flags given"):
        binary_block(array(SOLID), np.ones(2, bool), (0, 0, 0))
    with pytest.raises(BadRequest, match="32 bits"):
        binary_block(array(SOLID), np.ones(1, bool), (0, 0, 2**31))
