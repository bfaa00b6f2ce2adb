"""How near labels come to each other in blocks, compared with a look at all pairs of voxels."""

import math
from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.labels.segmentation import BLOCK_ZYX, Segmentation

from dvid.errors import NotFound
from dvid.geometry import Box
from dvid.labels.proximity import stream_proximity
from dvid.labels.reading import read_labels
from dvid.labels.scales import ask_for_scales

START = (-16, -32, 0)
SHAPE = (32, 48, 32)
HIGHEST = 2**64 - 2


def near(made, target, *others, node="", **options):
    """What is told, as plain values."""

    def ask(view):
        return [
            (found.block_zyx, found.label, found.distance)
            for some in stream_proximity(view, target, others, **options)
            for found in some
        ]

    return made.see(ask, node)


def of_all_pairs(voxels, start_zyx, target, others):
    """The same, from the labels of a box of whole blocks."""
    found = []
    for place in Box.at(start_zyx, voxels.shape).blocks(BLOCK_ZYX):
        block = Box.at(tuple(np.multiply(place, BLOCK_ZYX).tolist()), BLOCK_ZYX)
        inside = voxels[block.slices_in(Box.at(start_zyx, voxels.shape))]
        for other in others:
            squares = ((np.argwhere(inside == target)[:, None] - np.argwhere(inside == other)) ** 2).sum(2)
            if squares.size:
                found.append((place, other, math.sqrt(squares.min())))
    return found


def balls(random, labels, shape=SHAPE):
    """A volume with a few balls of each label."""
    voxels = np.zeros(shape, np.uint64)
    grid = np.indices(shape).reshape(3, -1).T
    for label in labels:
        for _ in range(int(random.integers(1, 5))):
            centre = random.integers(0, shape)
            voxels.reshape(-1)[((grid - centre) ** 2).sum(1) <= random.integers(0, 12)] = label
    return voxels


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), merged=st.booleans())
def test_distances_are_those_of_all_pairs_at_every_scale(make_segmentation, seed, merged):
    made = make_segmentation(MaxDownresLevel=1)
    random = np.random.default_rng(seed)
    volume = balls(random, [1, 2, 4, 5, HIGHEST, 3])
    for at, label in enumerate([1, 2, 4, 5, HIGHEST, 3]):
        volume[0, 0, at] = label
    made.write(volume, START)
    places = list(Box.at(START, SHAPE).blocks(BLOCK_ZYX))
    made.edit(lambda edit: ask_for_scales(edit, 0, places, edit.log("test-scales", {})))
    if merged:
        made.merge(2, 4)
        made.merge(5, HIGHEST)
    for scale, supervoxels in product((0, 1), (False, True)):
        box = Box.at((-16, -16, 0), (32, 32, 16)) if scale else Box.at(START, SHAPE)
        known = [1, 2, 4, 5, HIGHEST] if supervoxels else sorted(set(made.sizes()) - {3})
        others = random.permutation(np.array(known, object)).tolist()
        voxels = made.see(partial(read_labels, box=box, scale=scale, supervoxels=supervoxels))
        told = near(made, 3, *others, scale=scale, supervoxels=supervoxels)
        assert told == of_all_pairs(voxels, box.start_zyx, 3, others)
        assert told


def test_only_blocks_that_hold_both_are_told_of(make_segmentation):
    made = make_segmentation()
    voxels = np.zeros((16, 16, 48), np.uint64)
    voxels[0, 0, :16] = 1
    voxels[0, 0, 16:] = 2  # they touch across the face of two blocks
    voxels[0, 5, 33] = 1
    made.write(voxels, (-16, 0, -48))
    assert near(made, 1, 2) == [((-1, 0, -1), 2, 5.0)]
    assert near(made, 2, 1) == [((-1, 0, -1), 1, 5.0)]


def test_a_merge_and_a_later_version_change_what_is_near(make_segmentation):
    made = make_segmentation()
    voxels = np.zeros((16, 16, 16), np.uint64)
    voxels[0, 0, 0], voxels[3, 4, 0], voxels[0, 0, 2], voxels[15, 15, 15] = 1, 2, 3, 4
    made.write(voxels)
    made.commit()
    child = made.child()
    made.merge(2, 3, node=child)
    assert near(made, 1, 4, 2) == [((0, 0, 0), 4, math.sqrt(3 * 15**2)), ((0, 0, 0), 2, 5.0)]
    assert near(made, 1, 2, node=child) == [((0, 0, 0), 2, 2.0)]
    assert near(made, 1, 2, node=child, supervoxels=True) == [((0, 0, 0), 2, 5.0)]
    assert near(made, 2, 4, node=child) == [((0, 0, 0), 4, math.sqrt(12**2 + 11**2 + 15**2))]
    voxels[1, 0, 0] = 2
    made.write(voxels, node=child)
    assert near(made, 1, 2, node=child) == [((0, 0, 0), 2, 1.0)]
    assert near(made, 1, 2) == [((0, 0, 0), 2, 5.0)]
    with pytest.raises(NotFound, match="3"):
        near(made, 1, 3, node=child)


def test_many_blocks_come_in_order(make_segmentation):
    made = make_segmentation()
    voxels = np.zeros((16, 16, 16 * 1100), np.uint64)
    voxels[0, 0, ::16] = 1
    voxels[0, 0, 5::16] = 2
    made.write(voxels, (0, 0, -16 * 550))
    assert near(made, 1, 2) == [((0, 0, x), 2, 5.0) for x in range(-550, 550)]
    assert sum(1 for _ in made.see(lambda view: list(stream_proximity(view, 1, [2])))) > 1


@pytest.mark.parametrize(("target", "others"), [(9, (1,)), (1, (9,)), (1, (2, 9))])
def test_a_label_that_does_not_exist_is_not_found(make_segmentation, target, others):
    made = make_segmentation()
    made.write(np.arange(1, 4097, dtype=np.uint64).reshape(BLOCK_ZYX) % np.uint64(3))
    with pytest.raises(NotFound, match="9"):
        near(made, target, *others)
    assert near(made, 1, 2) == [((0, 0, 0), 2, 1.0)]


def test_labels_without_a_block_in_common_are_near_nowhere(make_segmentation):
    made = make_segmentation()
    voxels = np.zeros((16, 16, 32), np.uint64)
    voxels[..., :16], voxels[..., 16:] = 1, 2
    made.write(voxels)
    assert near(made, 1, 2) == []


def test_whole_blocks_of_one_body_are_near_others_only_where_these_are(make_segmentation):
    made: Segmentation = make_segmentation()
    voxels = np.ones((16, 16, 32), np.uint64)
    voxels[7, 7, 20] = 2
    made.write(voxels)
    assert near(made, 1, 2) == [((0, 0, 1), 2, 1.0)]
