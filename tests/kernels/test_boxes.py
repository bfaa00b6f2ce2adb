"""Copying between boxes and blocks, compared with plain numpy slicing."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dvid.errors import BadRequest
from dvid.kernels.boxes import gather_blocks, scatter_blocks
from dvid.kernels.buffers import addresses

FAR = [-(2**63), -(2**63) + 1, -(2**31), 2**31, 2**63 - 1]
UNTOUCHED = 7


@st.composite
def layouts(draw):
    """A box, and blocks that lie in, across and outside it."""
    box_shape = tuple(draw(st.lists(st.integers(0, 20), min_size=3, max_size=3)))
    block_shape = tuple(draw(st.lists(st.integers(1, 9), min_size=3, max_size=3)))
    itemsize = draw(st.sampled_from([1, 2, 3, 4, 8]))
    coordinate = st.one_of(st.integers(-12, 24), st.sampled_from(FAR))
    origins = draw(st.lists(st.tuples(coordinate, coordinate, coordinate), max_size=12))
    missing = draw(st.lists(st.booleans(), min_size=len(origins), max_size=len(origins)))
    seed = draw(st.integers(0, 1000))
    return box_shape, block_shape, itemsize, origins, missing, np.random.default_rng(seed)


def shared(origin, block_shape, box_shape):
    """Slices of the box and of the block for what both cover, or None; in Python's unbounded integers."""
    box, block = [], []
    for start, extent, limit in zip(origin, block_shape, box_shape, strict=True):
        first, last = max(start, 0), min(start + extent, limit)
        if first >= last:
            return None
        box.append(slice(first, last))
        block.append(slice(first - start, last - start))
    return tuple(box), tuple(block)


def expected_box(box_shape, blocks, origins, block_shape, background):
    """The oracle of gathering: (z, y, x, itemsize)."""
    box = np.full((*box_shape, len(background)), UNTOUCHED, np.uint8)
    for block, origin in zip(blocks, origins, strict=True):
        both = shared(origin, block_shape, box_shape)
        if both:
            box[both[0]] = background if block is None else block[both[1]]
    return box


def flat(box):
    """A box as the kernels see it."""
    return box.reshape(*box.shape[:2], box.shape[2] * box.shape[3])


def origins_array(origins):
    return np.array(origins, np.int64).reshape(-1, 3)


def random_blocks(random, count, block_shape, itemsize):
    return random.integers(0, 4, (count, *block_shape, itemsize), np.uint8)


@given(layouts())
@example(((4, 4, 4), (4, 4, 4), 1, [(0, 0, 0)], [False], np.random.default_rng(0)))
@example(((5, 4, 4), (3, 2, 4), 2, [(0, 0, 0), (3, 2, 0), (-1, -1, 0)], [False, True, False], np.random.default_rng(0)))
def test_gathered_blocks_are_what_slicing_gives(layout):
    box_shape, block_shape, itemsize, origins, missing, random = layout
    blocks = random_blocks(random, len(origins), block_shape, itemsize)
    kept = [None if gone else block for block, gone in zip(blocks, missing, strict=True)]
    background = random.integers(0, 256, itemsize, np.uint8)
    expected = expected_box(box_shape, kept, origins, block_shape, background)

    box = np.full_like(expected, UNTOUCHED)
    views = [None if block is None else memoryview(block.tobytes()) for block in kept]
    gather_blocks(addresses(views), origins_array(origins), block_shape, background, flat(box))
    assert np.array_equal(box, expected)


@given(layouts(), st.integers(0, 9))
def test_scattered_blocks_are_what_slicing_gives_and_headers_stay(layout, header):
    box_shape, block_shape, itemsize, origins, _, random = layout
    box = random.integers(0, 256, (*box_shape, itemsize), np.uint8)
    size = int(np.prod(block_shape)) * itemsize
    expected = np.full((len(origins), header + size), UNTOUCHED, np.uint8)
    for row, origin in zip(expected, origins, strict=True):
        both = shared(origin, block_shape, box_shape)
        if both:
            row[header:].reshape(*block_shape, itemsize)[both[1]] = box[both[0]]

    out = np.full_like(expected, UNTOUCHED)
    scatter_blocks(flat(box), origins_array(origins), block_shape, itemsize, out, header)
    assert np.array_equal(out, expected)


def test_a_box_cut_into_blocks_and_gathered_again_is_the_same():
    random = np.random.default_rng(3)
    volume = random.integers(0, 2**16, (40, 70, 33), np.uint16)
    box = volume.view(np.uint8)
    origins = np.stack(np.meshgrid(*(np.arange(-5, n, 32) for n in volume.shape), indexing="ij"), -1).reshape(-1, 3)
    out = np.zeros((len(origins), 9 + 2 * 32**3), np.uint8)
    scatter_blocks(box, origins, (32, 32, 32), 2, out, header=9)
    again = np.zeros_like(volume)
    where = addresses([memoryview(row)[9:] for row in out])
    gather_blocks(where, origins, (32, 32, 32), np.zeros(2, np.uint8), again.view(np.uint8))
    assert np.array_equal(again, volume)


def test_a_body_that_is_read_only_can_be_scattered():
    box = np.frombuffer(bytes(range(8)), np.uint8).reshape(2, 2, 2)
    out = np.zeros((1, 8), np.uint8)
    scatter_blocks(box, np.zeros((1, 3), np.int64), (2, 2, 2), 1, out)
    assert out.tobytes() == bytes(range(8))


def one_block(**changes):
    """Arguments of a gathering that is right, but for the changes."""
    block = np.zeros((2, 2, 2), np.uint8)
    arguments = {
        "addresses": addresses([block.data]),
        "origins_zyx": np.zeros((1, 3), np.int64),
        "block_shape_zyx": (2, 2, 2),
        "background": np.zeros(1, np.uint8),
        "box": np.zeros((2, 2, 2), np.uint8),
    }
    return arguments | changes, block


@pytest.mark.parametrize(
    "changes",
    [
        {"block_shape_zyx": (2, 2, 0)},
        {"block_shape_zyx": (2, -2, 2)},
        {"block_shape_zyx": (2, 2)},
        {"block_shape_zyx": (2**20, 2**20, 2**20)},
        {"background": np.zeros(0, np.uint8)},
        {"background": np.zeros(3, np.uint8)},
        {"origins_zyx": np.zeros((2, 3), np.int64)},
        {"origins_zyx": np.zeros((1, 2), np.int64)},
        {"box": np.zeros((2, 2), np.uint8)},
    ],
)
def test_arguments_that_do_not_fit_together_are_refused(changes):
    arguments, _block = one_block(**changes)
    with pytest.raises(BadRequest):
        gather_blocks(**arguments)


@pytest.mark.parametrize(
    "box", [np.zeros((2, 2, 4), np.uint8)[:, :, ::2], np.zeros((2, 2, 2), np.uint16), np.zeros((2, 2, 2)).T]
)
def test_an_array_of_another_type_or_layout_never_reaches_the_kernel(box):
    arguments, _block = one_block(box=box)
    with pytest.raises(TypeError):
        gather_blocks(**arguments)


@pytest.mark.parametrize(("header", "row"), [(0, 9), (1, 8), (-1, 7)])
def test_room_for_blocks_must_have_their_size(header, row):
    out = np.zeros((1, row), np.uint8)
    with pytest.raises(BadRequest, match="room for blocks"):
        scatter_blocks(np.zeros((2, 2, 2), np.uint8), np.zeros((1, 3), np.int64), (2, 2, 2), 1, out, header)
