"""Boxes of labels, in one piece and in many, and single voxels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.labels.segmentation import Segmentation

from dvid.geometry import Box
from dvid.labels.reading import labels_at, read_label_bytes, read_labels, stream_labels

START, SHAPE = (-16, -16, -32), (32, 48, 64)
WORLD = Box((-64,) * 3, (64,) * 3)


@pytest.fixture(scope="module")
def filled(database):
    """A segmentation with merged bodies, its supervoxels and its bodies in all of the world."""
    made = Segmentation(database)
    voxels = np.random.default_rng(0).choice(np.array([0, 1, 2, 3, 2**64 - 2], np.uint64), SHAPE)
    made.write(voxels, START)
    made.merge(1, 3)
    made.merge(2, 2**64 - 2)
    supervoxels = np.zeros(WORLD.shape_zyx, np.uint64)
    supervoxels[Box.at(START, SHAPE).slices_in(WORLD)] = voxels
    bodies = supervoxels.copy()
    bodies[bodies == 3] = 1
    bodies[bodies == 2**64 - 2] = 2
    return made, {True: supervoxels, False: bodies}


edges = st.tuples(st.integers(-60, 30), st.integers(1, 34))


@settings(max_examples=50)
@given(axes=st.tuples(edges, edges, edges), supervoxels=st.booleans())
def test_pieces_follow_each_other_as_in_memory(filled, axes, supervoxels):
    made, worlds = filled
    box = Box.at(*(tuple(axis[i] for axis in axes) for i in (0, 1)))
    expected = worlds[supervoxels][box.slices_in(WORLD)]

    def read(view):
        pieces = list(stream_labels(view, box, supervoxels=supervoxels))
        for part, data in pieces:
            found = np.frombuffer(data, np.uint64).reshape(part.shape_zyx)
            np.testing.assert_array_equal(found, expected[part.slices_in(box)])
        assert b"".join(data for _, data in pieces) == read_label_bytes(view, box, supervoxels=supervoxels)
        return read_labels(view, box, supervoxels=supervoxels)

    np.testing.assert_array_equal(made.see(read), expected)


@settings(max_examples=50)
@given(
    points=st.lists(st.tuples(*[st.integers(-60, 60)] * 3), max_size=200),
    supervoxels=st.booleans(),
    seed=st.integers(0, 99),
)
def test_points_get_the_label_of_their_voxel_in_any_order(filled, points, supervoxels, seed):
    made, worlds = filled
    more = np.random.default_rng(seed).integers(-40, 50, (seed * 20, 3))
    asked = np.concatenate((np.array(points, np.int64).reshape(-1, 3), more))
    found = made.see(lambda view: labels_at(view, asked, supervoxels=supervoxels))
    assert found.dtype == np.uint64
    np.testing.assert_array_equal(found, worlds[supervoxels][tuple((asked + 64).T)])


@pytest.mark.parametrize("axis", [1, 2])
def test_a_layer_may_be_hundreds_of_blocks_wide(database, axis):
    made = Segmentation(database)
    shape = [16, 16, 16]
    shape[axis] = 16 * 600
    start = [0, 0, 0]
    start[axis] = -16 * 300
    voxels = (np.arange(np.prod(shape), dtype=np.uint64) // np.uint64(4096)).reshape(shape) + np.uint64(1)
    made.write(voxels, tuple(start))
    made.merge(1, 2)
    voxels[voxels == 2] = 1
    box = Box.at(tuple(edge + 3 for edge in start), tuple(side - 3 for side in shape))
    data = made.see(lambda view: b"".join(piece for _, piece in stream_labels(view, box)))
    np.testing.assert_array_equal(np.frombuffer(data, np.uint64).reshape(box.shape_zyx), voxels[3:, 3:, 3:])
    np.testing.assert_array_equal(made.see(lambda view: read_labels(view, box)), voxels[3:, 3:, 3:])
