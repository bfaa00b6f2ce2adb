"""Promise: labelarrays, and labelblks with their labelvols, are read and changed by the same calls."""

import numpy
import pytest

from dvidclient.data.labels import LabelArray, Labels, LabelVol
from dvidclient.errors import ServerRefused
from dvidclient.sparse import SparseVolume

NEVER = 987654321


@pytest.fixture(scope="module")
def labels_zyx():
    """Two boxes in 32 x 64 x 96 voxels: labels 11 and 22."""
    array = numpy.zeros((32, 64, 96), numpy.uint64)
    array[2:10, 5:40, 7:80] = 11
    array[12:20, 6:30, 40:90] = 22
    return array


def voxels_of(labels_zyx, *labels):
    return SparseVolume.from_mask(numpy.isin(labels_zyx, labels))


@pytest.fixture
def labelarray(made, write_labels, reads, labels_zyx):
    instance = made("labelarray", BlockSize=(32, 32, 32))
    write_labels(instance, labels_zyx)
    reads(lambda: instance.sparsevol(22), voxels_of(labels_zyx, 22))
    reads(lambda: instance.sparsevol(11), voxels_of(labels_zyx, 11))
    return instance


@pytest.fixture
def synced(made, write_labels, reads, labels_zyx):
    """A labelblk and its labelvol."""
    volume, where = made("labelblk", BlockSize=(32, 32, 32)), made("labelvol", BlockSize=(32, 32, 32))
    where.sync(volume.name)
    volume.sync(where.name)
    write_labels(volume, labels_zyx)
    reads(lambda: where.sparsevol(22), voxels_of(labels_zyx, 22))
    reads(lambda: where.sparsevol(11), voxels_of(labels_zyx, 11))
    return volume, where


@pytest.fixture(params=["labelarray", "labelvol"])
def pair(request):
    """Where labels are read by points, and where their sparse volumes are read and changed."""
    if request.param == "labelarray":
        instance = request.getfixturevalue("labelarray")
        return instance, instance
    return request.getfixturevalue("synced")


def test_instances_have_the_class_of_their_type(labelarray, synced):
    assert [type(instance) for instance in (labelarray, *synced)] == [LabelArray, Labels, LabelVol]


def test_labels_are_read_at_points(pair, labels_zyx):
    volume, _ = pair
    points = numpy.array([[2, 5, 7], [12, 6, 40], [0, 0, 0], [31, 63, 95]])
    numpy.testing.assert_array_equal(volume.labels_at(points), labels_zyx[tuple(points.T)])
    assert volume.label_at((12, 6, 40)) == 22


def test_sparse_volumes_are_read_whole_in_bounds_and_by_point(pair, labels_zyx):
    _, where = pair
    bounds = numpy.s_[4:8, 10:33, 13:50]
    assert where.sparsevol(11, bounds_zyx=bounds) == voxels_of(labels_zyx, 11).within(bounds)
    assert not where.sparsevol(22, bounds_zyx=numpy.s_[0:8, :, :])
    assert where.sparsevol_at((13, 7, 41)) == voxels_of(labels_zyx, 22)
    assert where.coarse(11).coordinates_zyx.tolist() == [[0, y, x] for y in (0, 1) for x in (0, 1, 2)]
    assert where.coarse(11, bounds_zyx=numpy.s_[:, 33:, 32:64]).coordinates_zyx.tolist() == [[0, 1, 1]]
    box, mask = where.mask(22)
    assert box == numpy.s_[12:20, 6:30, 40:90]
    assert mask.all()


def test_it_is_told_whether_a_label_exists(pair):
    _, where = pair
    assert where.exists(11)
    assert not where.exists(NEVER)
    assert where.exists(22, bounds_zyx=numpy.s_[:, :, 64:])
    assert not where.exists(22, bounds_zyx=numpy.s_[:, 32:, :])


def test_a_merge_gives_voxels_the_label_of_the_target(pair, labels_zyx, reads):
    volume, where = pair
    where.merge(11, 22)
    reads(lambda: where.sparsevol(11), voxels_of(labels_zyx, 11, 22))
    reads(lambda: volume.label_at((13, 7, 41)), 11)


def test_a_split_gives_voxels_a_new_label(pair, labels_zyx, reads):
    volume, where = pair
    part = voxels_of(labels_zyx, 11).within(numpy.s_[0:5, 0:64, 0:96])
    label = where.split(11, part)
    assert label not in (11, 22)
    reads(lambda: where.sparsevol(label), part)
    reads(lambda: volume.labels_at([[4, 5, 7], [5, 5, 7]]).tolist(), [label, 11])
    reads(lambda: where.maxlabel >= label, True)


def test_a_split_by_blocks_takes_whole_blocks(pair, labels_zyx, reads):
    _, where = pair
    label = where.split_coarse(11, SparseVolume([[0, 0, 0, 1]]), new_label=555)
    assert label == 555
    reads(lambda: where.sparsevol(555), voxels_of(labels_zyx, 11).within(numpy.s_[0:32, 0:32, 0:32]))
    reads(lambda: where.coarse(11).voxels, 5)


def test_a_labelarray_takes_merges_back_where_the_server_can(labelarray, labels_zyx):
    if "undo" not in labelarray.help:
        pytest.skip("this server has no undo")
    labelarray.merge(11, 22)
    labelarray.undo()
    assert labelarray.sparsevol(22) == voxels_of(labels_zyx, 22)


def test_the_size_of_a_label_is_told_by_blocks(labelarray):
    found = labelarray.sparsevol_size(22)
    assert (found["numblocks"], found["minvoxel"], found["maxvoxel"]) == (2, [32, 0, 0], [95, 31, 31])


def test_new_labels_are_reserved_where_the_server_does_it(pair):
    _, where = pair
    try:
        labels = where.new_labels(2)
    except ServerRefused as refused:
        if refused.status != 400:
            raise
        pytest.skip(refused.answer)
    assert len(labels) == 2
    assert where.nextlabel == labels[-1] + 1


def test_a_labelvol_is_resynced(synced, labels_zyx, reads):
    _, where = synced
    where.resync(11, where.coarse(11))
    reads(lambda: where.sparsevol(11), voxels_of(labels_zyx, 11))
