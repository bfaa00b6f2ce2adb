"""The kernels of label blocks read no byte before or behind a block: there is memory there that kills who touches it."""

import ctypes
import mmap
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernels.labelblock_model import decode, serialized

from dvid.codecs import labelblocks
from dvid.kernels.buffers import addresses
from dvid.kernels.labelblocks import labels_of_points
from dvid.kernels.labellayout import FINE, check_block
from dvid.kernels.labelmasks import binary_block, block_runs

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_PAGE = mmap.PAGESIZE
_NONE, _BOTH = 0, 3


@contextmanager
def guarded(data, at_end):
    """The bytes between two pages that cannot be read, right behind the first or right before the second."""
    room = -(-max(len(data), 1) // _PAGE) * _PAGE
    memory = mmap.mmap(-1, room + 2 * _PAGE)
    pages = np.frombuffer(memory, np.uint8)
    first = pages.ctypes.data
    for guard in (first, first + _PAGE + room):
        assert _libc.mprotect(guard, _PAGE, _NONE) == 0
    start = _PAGE + (room - len(data) if at_end else 0)
    block = pages[start : start + len(data)]
    block[:] = np.frombuffer(data, np.uint8)
    try:
        yield block
    finally:
        for guard in (first, first + _PAGE + room):
            assert _libc.mprotect(guard, _PAGE, _BOTH) == 0


@pytest.mark.parametrize("at_end", [False, True])
@given(serialized())
def test_nothing_is_read_around_a_block(at_end, data):
    voxels = decode(data)
    with guarded(data, at_end) as block:
        labelblocks.checked(block.data)
        np.testing.assert_array_equal(labelblocks.decode(block), voxels)
        corners = np.stack(np.meshgrid(*([0, side - 1] for side in voxels.shape)), -1).reshape(-1, 3)
        at = labels_of_points(addresses([block.data]), np.array([len(corners)]), corners)
        assert at.tolist() == voxels[tuple(corners.T)].tolist()
        part = np.empty((1, 1, voxels.shape[2] - 1), np.uint64)
        labelblocks.decode_into([block], np.array([(1 - voxels.shape[0], 0, -1)]), part)
        assert part[0, 0].tolist() == voxels[-1, 0, 1:].tolist()
        flags = labelblocks.labels_of(block) % np.uint64(2) == 1
        assert labelblocks.count(block)[flags].sum() == (voxels % np.uint64(2)).sum()
        runs, _ = block_runs(addresses([block.data]), np.zeros((1, 3), np.int64), flags, np.array([0, len(flags)]))
        assert runs[:, 3].sum() == (voxels % np.uint64(2)).sum()
        binary_block(block, flags, (0, 0, 0))
        listed = labelblocks.labels_of(block)
        inside = labelblocks.count_inside(block, runs)
        assert inside[:-1][flags].sum() == inside.sum() == (voxels % np.uint64(2)).sum()
        assert labelblocks.paint(block, runs, listed, listed[::-1])[1].tolist() == inside.tolist()
        labelblocks.downres([block, *[None] * 6, block], voxels.shape)


@pytest.mark.parametrize("at_end", [False, True])
@given(serialized(), st.data())
def test_nothing_is_read_around_bytes_that_were_tampered_with(at_end, data, draw):
    tampered = bytearray(data[: draw.draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))])
    for _ in range(draw.draw(st.integers(0, 4)) if tampered else 0):
        last = len(tampered) - 1
        tampered[draw.draw(st.one_of(st.integers(0, min(60, last)), st.integers(0, last)))] = draw.draw(
            st.sampled_from([0, 1, 2, 127, 128, 255])
        )
    with guarded(bytes(tampered), at_end) as block:
        if check_block(block)[0] == FINE:
            np.testing.assert_array_equal(labelblocks.decode(block), decode(bytes(tampered)))
