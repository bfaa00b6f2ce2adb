"""Promise: a region of interest is a set of blocks, to be read and written as runs and as masks."""

import numpy
import pytest

from dvidclient.data.roi import Roi
from dvidclient.errors import BadArgument
from dvidclient.sparse import SparseVolume

BLOCKS = SparseVolume([[0, 0, 0, 2], [0, 2, 3, 3], [1, 2, -3, 4], [-2, -1, -1, 1]])


@pytest.fixture
def roi(made):
    """A region with blocks of 16 voxels along z, 8 along y and 4 along x."""
    return made("roi", BlockSize=(4, 8, 16))


def expected_mask(blocks, box):
    """Voxel by voxel."""
    inside = {tuple(point) for point in blocks.coordinates_zyx.tolist()}
    shape = [part.stop - part.start for part in box]
    z, y, x = (numpy.arange(part.start, part.stop) // edge for part, edge in zip(box, (16, 8, 4), strict=True))
    found = [(bz, by, bx) in inside for bz in z.tolist() for by in y.tolist() for bx in x.tolist()]
    return numpy.array(found, bool).reshape(shape)


def test_an_instance_is_a_roi(roi):
    assert isinstance(roi, Roi)
    assert roi.block_shape == (16, 8, 4)


def test_a_region_without_blocks_is_empty(roi):
    assert not roi.blocks
    assert not roi.mask(numpy.s_[0:4, 0:4, 0:4]).any()
    assert roi.contains([[0, 0, 0]]).tolist() == [False]


def test_blocks_come_back(roi):
    roi.write(BLOCKS)
    assert roi.blocks == BLOCKS
    other = SparseVolume.from_coordinates([[5, 5, 5]])
    roi.write(other)
    assert roi.blocks == other
    roi.clear()
    assert not roi.blocks


@pytest.mark.parametrize(
    "box",
    [
        numpy.s_[0:16, 0:8, 0:4],
        numpy.s_[-35:40, -9:30, -14:30],
        numpy.s_[3:5, 17:20, 11:14],
        numpy.s_[-17:-16, -1:0, -4:-1],
        numpy.s_[0:0, 0:4, 0:4],
    ],
)
def test_a_mask_of_any_box_tells_which_voxels_are_in_the_region(roi, box):
    roi.write(BLOCKS)
    mask = roi.mask(box)
    assert mask.dtype == bool
    numpy.testing.assert_array_equal(mask, expected_mask(BLOCKS, box))


def test_points_are_in_the_region_where_its_mask_is(roi):
    roi.write(BLOCKS)
    box = numpy.s_[0:32, 0:24, 0:26]
    points = numpy.argwhere(numpy.ones((32, 24, 26)))
    numpy.testing.assert_array_equal(roi.contains(points).reshape(32, 24, 26), roi.mask(box))
    assert roi.contains([]).tolist() == []


def test_a_region_is_made_of_the_blocks_that_a_mask_touches(roi):
    mask = numpy.zeros((20, 20, 20), bool)
    mask[3, 7, 5:9] = True
    roi.write_mask(mask, offset_zyx=(16, 0, -4))
    assert roi.blocks == SparseVolume([[1, 0, 0, 2]])
    roi.write_voxels(SparseVolume([[31, 8, 3, 2]]))
    assert roi.blocks == SparseVolume([[1, 1, 0, 2]])


def test_a_region_is_shared_out_in_boxes_that_cover_it(made):
    roi = made("roi", BlockSize=(32, 32, 32))
    blocks = SparseVolume([[z, y, 2, 9] for z in range(3) for y in range(5)])
    roi.write(blocks)
    boxes = roi.partition(batchsize=4)
    covered = set()
    for box in boxes:
        assert [part.stop - part.start for part in box] == [128, 128, 128]
        assert all(part.start % 32 == 0 for part in box)
        cells = [range(part.start // 32, part.stop // 32) for part in box]
        covered |= {(z, y, x) for z in cells[0] for y in cells[1] for x in cells[2]}
    assert {tuple(point) for point in blocks.coordinates_zyx.tolist()} <= covered


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda roi: roi.mask(numpy.s_[0:4, 0:4]), "box_zyx: expected slices along z, y and x"),
        (lambda roi: roi.mask(numpy.s_[0:4, 0:4, :]), "box_zyx: expected slices with a start and a stop"),
        (lambda roi: roi.mask(numpy.s_[0:2000, 0:2000, 0:2000]), "box_zyx: expected at most 2147483648 voxels"),
        (lambda roi: roi.contains([1, 2, 3]), r"points_zyx: expected integers of the shape \(n, 3\)"),
        (lambda roi: roi.write_mask([[1]]), "mask_zyx: expected an array of three axes"),
    ],
)
def test_arguments_are_checked_before_anything_is_asked(version, call, said):
    document = {"Base": {"Name": "never-made", "TypeName": "roi"}, "Extended": {"BlockSize": [32, 32, 32]}}
    with pytest.raises(BadArgument, match=said):
        call(Roi(version, document))
