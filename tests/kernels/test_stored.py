"""Stored blocks to voxels in one call, compared with plain numpy slicing and with `dvid.versions.envelope`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvid.errors import BadRequest
from dvid.kernels.buffers import locate
from dvid.kernels.stored import CORRUPT, DONE, OTHER, Codes, gather_stored, unpack_stored
from dvid.versions.envelope import Format, compress, seal

CODES = Codes(nothing=int(Format.TOMBSTONE), raw=int(Format.RAW), lz4=int(Format.LZ4))
UNTOUCHED = 77
FAR = [-(2**63), -(2**31), 2**31, 2**63 - 1]
FORMS = [None, Format.RAW, Format.LZ4, Format.TOMBSTONE, Format.GZIP]


def key_of(number):
    return b"key" + number.to_bytes(4, "big") * (1 + number % 3)


def stored_block(number, block, form):
    """A block as the store has it; None where it is absent."""
    if form is None:
        return None
    payload = b"" if form is Format.TOMBSTONE else compress(block.tobytes(), form)
    return seal(key_of(number), payload, form)


@st.composite
def layouts(draw):
    box_shape = tuple(draw(st.lists(st.integers(1, 20), min_size=3, max_size=3)))
    block_shape = tuple(draw(st.lists(st.integers(1, 9), min_size=3, max_size=3)))
    itemsize = draw(st.sampled_from([1, 2, 4, 8, 12]))
    coordinate = st.one_of(st.integers(-12, 24), st.sampled_from(FAR))
    origins = draw(st.lists(st.tuples(coordinate, coordinate, coordinate), max_size=10))
    forms = [draw(st.sampled_from(FORMS)) for _ in origins]
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    blocks = random.integers(0, 3, (len(origins), *block_shape, itemsize), np.uint8)
    return box_shape, block_shape, itemsize, origins, forms, blocks


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


def gather(box, stored, origins, block_shape, background, checked=None):
    names = [key_of(number) for number in range(len(stored))]
    flat = box.reshape(*box.shape[:2], -1)
    checked = np.zeros(len(stored), np.uint8) if checked is None else checked
    at = np.array(origins, np.int64).reshape(-1, 3)
    return gather_stored(
        locate(stored), locate(names), at, block_shape, background, flat.ctypes.data, flat.shape, CODES, checked
    )


@given(layouts())
def test_gathered_blocks_are_what_slicing_gives(layout):
    box_shape, block_shape, itemsize, origins, forms, blocks = layout
    background = np.arange(1, itemsize + 1, dtype=np.uint8)
    expected = np.full((*box_shape, itemsize), UNTOUCHED, np.uint8)
    states = np.zeros(len(origins), np.uint8)
    for number, (origin, form) in enumerate(zip(origins, forms, strict=True)):
        both = shared(origin, block_shape, box_shape)
        if both and form is Format.GZIP:
            states[number] = OTHER
        elif both:
            empty = form in (None, Format.TOMBSTONE)
            expected[both[0]] = background if empty else blocks[number][both[1]]
    stored = [stored_block(number, blocks[number], form) for number, form in enumerate(forms)]
    box = np.full_like(expected, UNTOUCHED)
    found = gather(box, stored, origins, block_shape, background)
    # A block left to the caller may lie over another: the box is compared where none does.
    if not states.any():
        assert found is None
        assert np.array_equal(box, expected)
    else:
        assert np.array_equal(found, states)


def damaged(form):
    """Ways in which a stored block of 4^3 zeros can be wrong, each with a name."""
    block = np.zeros((4, 4, 4), np.uint8)
    good = stored_block(0, block, form)
    flips = {f"bit {bit}": good[: bit // 8] + bytes([good[bit // 8] ^ 1 << bit % 8]) + good[bit // 8 + 1 :]
             for bit in range(0, 8 * len(good), 3)}  # fmt: skip
    cuts = {f"cut to {length}": good[:length] for length in range(len(good))}
    return {**flips, **cuts, "another key's": seal(b"other", good[9:], form), "longer": good + b"\0"}


@pytest.mark.parametrize("form", [Format.RAW, Format.LZ4])
def test_no_damaged_block_is_copied(form):
    for what, stored in damaged(form).items():
        box = np.full((4, 4, 4), UNTOUCHED, np.uint8)
        states = gather(box, [stored], [(0, 0, 0)], (4, 4, 4), np.zeros(1, np.uint8))
        assert states is not None, what
        assert states.tolist() == [CORRUPT], what
        assert (box == UNTOUCHED).all(), what


@pytest.mark.parametrize("size", [0, 63, 65, 640])
@pytest.mark.parametrize("form", [Format.RAW, Format.LZ4])
def test_a_block_of_another_size_is_damage_though_its_checksum_is_right(form, size):
    stored = seal(key_of(0), compress(bytes(size), form), form)
    box = np.full((4, 4, 4), UNTOUCHED, np.uint8)
    assert gather(box, [stored], [(0, 0, 0)], (4, 4, 4), np.zeros(1, np.uint8)).tolist() == [CORRUPT]
    assert (box == UNTOUCHED).all()


def test_lz4_that_cannot_be_decoded_is_damage_though_its_checksum_is_right():
    stored = seal(key_of(0), (64).to_bytes(4, "little") + b"\xff" * 20, Format.LZ4)
    box = np.zeros((4, 4, 4), np.uint8)
    assert gather(box, [stored], [(0, 0, 0)], (4, 4, 4), np.zeros(1, np.uint8)).tolist() == [CORRUPT]


def test_each_block_is_checked_once_when_it_is_first_touched():
    blocks = np.zeros((2, 4, 4, 4), np.uint8)
    good = [stored_block(number, blocks[number], Format.RAW) for number in range(2)]
    bad = [value[:-1] + b"\1" for value in good]
    box, checked, zero = np.zeros((4, 4, 4), np.uint8), np.zeros(2, np.uint8), np.zeros(1, np.uint8)
    origins = [(0, 0, 0), (4, 0, 0)]
    assert gather(box, [good[0], bad[1]], origins, (4, 4, 4), zero, checked) is None
    assert checked.tolist() == [1, 0]
    assert gather(box, bad, origins, (4, 4, 4), zero, checked) is None
    origins = [(0, 0, 0), (2, 0, 0)]
    assert gather(box, bad, origins, (4, 4, 4), zero, checked).tolist() == [DONE, CORRUPT]


@given(layouts(), st.integers(0, 17))
def test_unpacked_blocks_follow_each_other_behind_their_heads(layout, head):
    _, block_shape, itemsize, origins, forms, blocks = layout
    forms = [form or Format.RAW for form in forms]
    size = int(np.prod(block_shape)) * itemsize
    heads = np.random.default_rng(0).integers(0, 256, (len(origins), head), np.uint8)
    stored = [stored_block(number, blocks[number], form) for number, form in enumerate(forms)]
    names = [key_of(number) for number in range(len(stored))]
    out = np.full((len(stored), head + size), UNTOUCHED, np.uint8)
    states = unpack_stored(locate(stored), locate(names), heads, size, out.ctypes.data, CODES)
    states = np.zeros(len(stored), np.uint8) if states is None else states
    for number, form in enumerate(forms):
        unpacked = form in (Format.RAW, Format.LZ4)
        assert states[number] == (DONE if unpacked else OTHER)
        assert np.array_equal(out[number, :head], heads[number])
        expected = np.frombuffer(blocks[number].tobytes(), np.uint8) if unpacked else UNTOUCHED
        assert (out[number, head:] == expected).all()


@pytest.mark.parametrize("form", [Format.RAW, Format.LZ4])
def test_no_damaged_block_is_unpacked(form):
    heads = np.zeros((1, 0), np.uint8)
    for what, stored in damaged(form).items():
        out = np.zeros(64, np.uint8)
        states = unpack_stored(locate([stored]), locate([key_of(0)]), heads, 64, out.ctypes.data, CODES)
        assert states is not None, what
        assert states.tolist() == [CORRUPT], what


def test_arrays_that_do_not_fit_each_other_are_refused():
    none, two = locate([]), locate([b"1", b"2"])
    origins, room = np.zeros((2, 3), np.int64), np.zeros(64, np.uint8)
    zero, checked = np.zeros(1, np.uint8), np.zeros(2, np.uint8)
    for values, names, at, marks, shape in [
        (two, none, origins, checked, (4, 4, 4)),
        (two, two, origins[:1], checked, (4, 4, 4)),
        (two, two, origins, checked[:1], (4, 4, 4)),
    ]:
        with pytest.raises(BadRequest, match="do not fit"):
            gather_stored(values, names, at, (4, 4, 4), zero, room.ctypes.data, shape, CODES, marks)
    with pytest.raises(BadRequest, match="do not fit"):
        gather_stored(two, two, origins, (4, 4, 4), np.zeros(2, np.uint8), room.ctypes.data, (1, 1, 3), CODES, checked)
    with pytest.raises(BadRequest, match="do not fit"):
        unpack_stored(two, two, np.zeros((1, 4), np.uint8), 4, room.ctypes.data, CODES)
