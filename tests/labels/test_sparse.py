"""Where labels are, as runs and as blocks."""

from __future__ import annotations

import numpy as np
import pytest
from tests.labels.segmentation import BLOCK_ZYX, Segmentation

from dvid.errors import NotFound
from dvid.geometry import Box
from dvid.kernels.runs import Runs
from dvid.labels.sparse import coarse_runs, seek, stream_runs

START, SHAPE = (-32, -16, -32), (64, 48, 80)


@pytest.fixture(scope="module")
def filled(database):
    """Supervoxels 1 to 4 in boxes of 7 voxels' sides, 1 and 3 one body; and the supervoxels."""
    made = Segmentation(database)
    coarse = np.random.default_rng(0).integers(0, 5, [side // 7 + 1 for side in SHAPE]).astype(np.uint64)
    voxels = coarse.repeat(7, 0).repeat(7, 1).repeat(7, 2)[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    made.write(voxels, START)
    made.merge(1, 3)
    return made, voxels


def mask(runs: Runs) -> np.ndarray:
    found = np.zeros(SHAPE, int)
    for x, y, z, length in runs.tolist():
        found[z - START[0], y - START[1], x - START[2] : x - START[2] + length] += 1
    return found


@pytest.mark.parametrize(("label", "supervoxel", "members"), [(1, False, (1, 3)), (2, False, (2,)), (3, True, (3,))])
@pytest.mark.parametrize(
    "box", [None, Box((-20, 3, -7), (9, 17, 20)), Box((0, 0, 0), (1, 1, 1)), Box((90,) * 3, (99,) * 3)]
)
def test_runs_are_the_voxels_of_the_label_within_the_box(filled, label, supervoxel, members, box):
    made, voxels = filled

    def read(view):
        sought = seek(view, label, supervoxel=supervoxel).within(box, BLOCK_ZYX)
        return np.concatenate([np.empty((0, 4), np.int32), *stream_runs(view, sought, box)]), coarse_runs(sought)

    runs, coarse = made.see(read)
    expected = np.isin(voxels, members)
    whole = Box.at(START, SHAPE)
    if box is not None:
        inside = np.zeros(SHAPE, bool)
        if box & whole:
            inside[(box & whole).slices_in(whole)] = True
        expected = expected & inside
    np.testing.assert_array_equal(mask(runs), expected)
    blocks = {(z, y, x + i) for x, y, z, length in coarse.tolist() for i in range(length)}
    assert blocks >= {tuple(at) for at in ((np.argwhere(expected) + START) // 16).tolist()}
    if box is None:
        assert len(blocks) == len(np.unique((np.argwhere(expected) + START) // 16, axis=0))


def test_what_is_nowhere_is_not_found(filled):
    made, _ = filled
    for label, supervoxel in [(3, False), (9, False), (9, True), (0, True)]:
        with pytest.raises(NotFound, match=str(label)):
            made.see(lambda view, label=label, supervoxel=supervoxel: seek(view, label, supervoxel=supervoxel))
    assert made.see(lambda view: seek(view, 3, supervoxel=True)).supervoxels.tolist() == [3]
