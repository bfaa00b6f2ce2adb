"""Promise: a labelmap's supervoxels and bodies are read and changed by typed calls, in the axis order of arrays."""

import numpy
import pytest

from dvidclient.data.labelmap import LabelMap
from dvidclient.errors import BadArgument, ServerRefused
from dvidclient.sparse import SparseVolume

NEVER = 987654321


@pytest.fixture(scope="module")
def labels_zyx():
    """Three boxes of different sizes along each axis in 32 x 64 x 96 voxels: supervoxels 11, 22 and 33."""
    array = numpy.zeros((32, 64, 96), numpy.uint64)
    array[2:10, 5:40, 7:80] = 11
    array[12:20, 6:30, 40:90] = 22
    array[25:28, 50:60, 3:9] = 33
    return array


@pytest.fixture
def labels(made, write_labels, reads, labels_zyx):
    """A labelmap with blocks of 32 voxels along each edge."""
    instance = made("labelmap", BlockSize=(32, 32, 32), MaxDownresLevel=1)
    write_labels(instance, labels_zyx)
    reads(lambda: instance.sizes([11, 22, 33]), numpy.array([(labels_zyx == label).sum() for label in (11, 22, 33)]))
    return instance


def voxels_of(labels_zyx, *labels):
    return SparseVolume.from_mask(numpy.isin(labels_zyx, labels))


def test_an_instance_is_a_labelmap(labels):
    assert isinstance(labels, LabelMap)
    assert labels.typename == "labelmap"


def test_labels_are_read_at_points(labels, labels_zyx):
    points = numpy.array([[2, 5, 7], [9, 39, 79], [12, 6, 40], [25, 50, 3], [0, 0, 0], [31, 63, 95]])
    found = labels.labels_at(points)
    assert found.dtype == numpy.uint64
    numpy.testing.assert_array_equal(found, labels_zyx[tuple(points.T)])
    assert labels.label_at((12, 6, 40)) == 22
    assert labels.labels_at([]).tolist() == []


def test_a_volume_read_in_another_way_answers_in_that_way(labels, labels_zyx, reads):
    reads(lambda: labels.at_scale(1).label_at((6, 3, 20)), 22)
    reads(lambda: labels.at_scale(1).sparsevol(22).extents_zyx, numpy.s_[6:10, 3:15, 20:45])
    assert labels.at_scale(1).sparsevol(22, scale=0) == voxels_of(labels_zyx, 22)
    labels.merge(11, 22)
    reads(lambda: labels.label_at((13, 7, 41)), 11)
    supervoxels = labels.with_options(supervoxels=True)
    assert supervoxels.label_at((13, 7, 41)) == 22
    assert supervoxels.sizes([22]).tolist() == [(labels_zyx == 22).sum()]
    assert supervoxels.sparsevol(22) == voxels_of(labels_zyx, 22)
    box, mask = supervoxels.mask(22)
    numpy.testing.assert_array_equal(supervoxels[box] == 22, mask)


def test_a_sparse_volume_is_where_the_label_is(labels, labels_zyx, reads):
    reads(lambda: labels.sparsevol(11), voxels_of(labels_zyx, 11))
    numpy.testing.assert_array_equal(labels.sparsevol(22).coordinates_zyx, numpy.argwhere(labels_zyx == 22))


def test_a_sparse_volume_within_bounds_ends_at_them(labels, labels_zyx):
    bounds = numpy.s_[4:8, 10:33, 13:50]
    assert labels.sparsevol(11, bounds_zyx=bounds) == voxels_of(labels_zyx, 11).within(bounds)
    open_bounds = numpy.s_[:6, 30:, :]
    assert labels.sparsevol(11, bounds_zyx=open_bounds) == voxels_of(labels_zyx, 11).within(numpy.s_[0:6, 30:64, 0:96])
    assert not labels.sparsevol(33, bounds_zyx=numpy.s_[0:8, 0:8, 0:8])


def test_a_sparse_volume_is_that_of_a_point(labels, labels_zyx):
    assert labels.sparsevol_at((13, 7, 41)) == voxels_of(labels_zyx, 22)


def test_a_sparse_volume_at_half_resolution_has_its_coordinates(labels, labels_zyx, reads):
    half = labels_zyx[::2, ::2, ::2]
    expected = {tuple(point) for point in numpy.argwhere(half == 11).tolist()}

    def missing():
        found = {tuple(point) for point in labels.sparsevol(11, scale=1).coordinates_zyx.tolist()}
        return len(expected ^ found) > 0.1 * len(expected)

    reads(missing, False)


def test_a_mask_is_an_array_in_a_box(labels, labels_zyx):
    box, mask = labels.mask(33)
    assert box == numpy.s_[25:28, 50:60, 3:9]
    assert mask.dtype == bool
    assert mask.all()
    assert mask.shape == (3, 10, 6)
    box, mask = labels.mask(11, bounds_zyx=numpy.s_[0:4, 0:8, 0:32])
    numpy.testing.assert_array_equal(mask, labels_zyx[box] == 11)


def test_the_blocks_of_a_label_are_coarse(labels):
    assert labels.coarse(11).coordinates_zyx.tolist() == [[0, y, x] for y in (0, 1) for x in (0, 1, 2)]
    assert labels.coarse(33).coordinates_zyx.tolist() == [[0, 1, 0]]


def test_it_is_told_whether_a_label_exists(labels):
    assert labels.exists(11)
    assert not labels.exists(NEVER)
    assert labels.exists(33, bounds_zyx=numpy.s_[0:32, 32:64, 0:32])
    assert not labels.exists(33, bounds_zyx=numpy.s_[0:32, 0:32, :])
    assert labels.exists(11, supervoxels=True)
    assert not labels.exists(NEVER, supervoxels=True)


def test_a_merge_makes_one_body(labels, labels_zyx, reads):
    mutation = labels.merge(11, 22)
    assert isinstance(mutation, int)
    reads(lambda: labels.supervoxels(11), [11, 22])
    reads(lambda: labels.mapping([11, 22, 33, NEVER]), [11, 11, 33, 0])
    reads(lambda: labels.sparsevol(11), voxels_of(labels_zyx, 11, 22))
    assert labels.sparsevol(22, supervoxels=True) == voxels_of(labels_zyx, 22)
    assert labels.label_at((13, 7, 41)) == 11
    assert labels.label_at((13, 7, 41), supervoxels=True) == 22
    assert not labels.exists(22)
    merged = [
        (record["Target"], record["Labels"]) for record in labels.mutations() if record["Action"].startswith("merge")
    ]
    assert (11, [22]) in merged
    assert labels.lastmod(11)["mutation id"] == mutation
    assert labels.lastmod(11)["last mod user"] == "tester"


def test_sizes_are_of_bodies_or_of_supervoxels(labels, labels_zyx, reads):
    of_11, of_22, of_33 = (int((labels_zyx == label).sum()) for label in (11, 22, 33))
    labels.merge(11, 22)
    reads(lambda: labels.body_size(11), of_11 + of_22)
    assert labels.body_size(11, supervoxels=True) == of_11
    assert labels.sizes([33, 11, NEVER]).tolist() == [of_33, of_11 + of_22, 0]
    assert labels.sizes([33, 11, 22], supervoxels=True).tolist() == [of_33, of_11, of_22]
    supervoxels, sizes = labels.supervoxel_sizes(11)
    assert (supervoxels.tolist(), sizes.tolist()) == ([11, 22], [of_11, of_22])
    assert labels.sparsevol_size(33) == {
        "voxels": of_33,
        "numblocks": 1,
        "minvoxel": [0, 32, 0],
        "maxvoxel": [31, 63, 31],
    }


def test_an_index_tells_where_each_supervoxel_is(labels, labels_zyx, reads):
    mutation = labels.merge(11, 22)
    reads(lambda: labels.index(11).mutation, mutation)
    index = labels.index(11)
    expected = []
    for z, y, x in numpy.ndindex(1, 2, 3):
        block = labels_zyx[z * 32 : z * 32 + 32, y * 32 : y * 32 + 32, x * 32 : x * 32 + 32]
        expected += [[z, y, x, label, (block == label).sum()] for label in (11, 22) if (block == label).any()]
    found = numpy.column_stack([index.blocks_zyx, index.supervoxels, index.voxels])
    assert found.tolist() == expected
    assert (index.body, index.user) == (11, "tester")
    with pytest.raises(ServerRefused):
        labels.index(NEVER)


def test_bodies_are_listed_in_pages_or_at_once(labels, labels_zyx):
    assert labels.listlabels().tolist() == [11, 22, 33]
    assert labels.listlabels(start=12).tolist() == [22, 33]
    assert labels.listlabels(start=12, number=1).tolist() == [22]
    assert labels.listlabels(start=34).tolist() == []
    assert labels.listed_sizes().tolist() == [[label, (labels_zyx == label).sum()] for label in (11, 22, 33)]


def test_a_cleave_makes_a_body_of_supervoxels(labels, labels_zyx, reads):
    labels.merge(11, numpy.array([22, 33], numpy.uint64))
    reads(lambda: labels.supervoxels(11), [11, 22, 33])
    body = labels.cleave(11, [22, 33])
    reads(lambda: labels.supervoxels(body), [22, 33])
    reads(lambda: labels.mapping([11, 22, 33]), [11, body, body])
    reads(lambda: labels.sparsevol(body), voxels_of(labels_zyx, 22, 33))
    reads(lambda: {tuple(row) for row in labels.mappings.tolist()} >= {(22, body), (33, body)}, True)


def test_a_body_gets_another_number(labels, labels_zyx, reads):
    labels.merge(11, 22)
    labels.renumber({11: 5555})
    reads(lambda: labels.supervoxels(5555), [11, 22])
    reads(lambda: labels.mapping([11, 22]), [5555, 5555])
    assert not labels.exists(11)
    reads(lambda: labels.sparsevol(5555), voxels_of(labels_zyx, 11, 22))


def test_labels_to_merge_come_one_by_one_or_as_a_list_or_array(labels, reads):
    labels.merge(numpy.uint64(11), numpy.uint64(22))
    reads(lambda: labels.supervoxels(11), [11, 22])
    labels.merge(33, [11])
    reads(lambda: labels.supervoxels(33), [11, 22, 33])


def test_a_supervoxel_is_split_in_two(labels, labels_zyx, reads):
    part = voxels_of(labels_zyx, 11).within(numpy.s_[0:5, 0:64, 0:96])
    split, remain = labels.split_supervoxel(11, part)
    reads(lambda: labels.supervoxels(11), sorted([split, remain]))
    reads(lambda: labels.sparsevol(split, supervoxels=True), part)
    reads(lambda: labels.sparsevol(11), voxels_of(labels_zyx, 11))
    assert labels.split_supervoxel(
        22, voxels_of(labels_zyx, 22).within(numpy.s_[0:13, 0:64, 0:96]), split=801, remain=802
    ) == (
        801,
        802,
    )


def test_a_body_is_split_by_voxels_where_the_server_is_set_up_for_it(labels, labels_zyx, reads):
    part = voxels_of(labels_zyx, 11).within(numpy.s_[0:32, 0:64, 0:20])
    try:
        body = labels.split(11, part)
    except ServerRefused as refused:
        if "allowLabelmapSplit" not in refused.answer:
            raise
        pytest.skip(refused.answer)
    reads(lambda: labels.sparsevol(body), part)
    reads(lambda: labels.body_size(11), int((labels_zyx == 11).sum()) - part.voxels)


def test_new_labels_are_used_for_nothing_else(labels):
    first = labels.new_labels(3)
    assert len(first) == 3
    assert labels.nextlabel == first[-1] + 1
    assert labels.new_labels()[0] == first[-1] + 1
    assert labels.maxlabel >= 33


def test_a_history_tells_where_a_body_came_from(administrator, write_labels, labels_zyx, reads):
    begin = administrator.create_repo("history").root
    instance = begin.create("labelmap", "labels", BlockSize=(32, 32, 32))
    write_labels(instance, labels_zyx)
    reads(lambda: instance.listlabels(), [11, 22, 33])
    begin.commit("written")
    end = begin.new_version()
    later = end["labels"]
    later.merge(11, 22)
    reads(lambda: later.supervoxels(11), [11, 22])
    assert {record["Action"] for record in later.history(11, begin.uuid)} <= {"merge", "merge-complete"}
    between = later.mutations_between(begin.uuid, end.uuid)
    assert [record["Labels"] for record in between if record["Action"].startswith("merge")] == [[22]]
    assert instance.mutations() == []


def test_a_merge_is_taken_back_where_the_server_can(labels, reads):
    if "undo" not in labels.help:
        pytest.skip("this server has no undo")
    mutation = labels.merge(11, 22)
    undone = labels.undo(mutation)
    assert undone["Undone"] == mutation
    assert undone["UndoneAction"].startswith("merge")
    assert labels.supervoxels(11).tolist() == [11]
    labels.undo(undone["MutationID"])
    assert labels.supervoxels(11).tolist() == [11, 22]
    labels.undo()
    with pytest.raises(ServerRefused):
        labels.undo(mutation)


def test_what_the_server_refuses_names_what_was_asked(labels):
    with pytest.raises(
        ServerRefused, match=rf"reading the sparse volume of label {NEVER} of labelmap '{labels.name}'"
    ) as refused:
        labels.sparsevol(NEVER)
    assert refused.value.status == 404
    with pytest.raises(ServerRefused, match="asking for the size of body") as refused:
        labels.body_size(NEVER)
    assert refused.value.status == 404


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda labels: labels.sparsevol(0), "label: expected a label from 1 to"),
        (lambda labels: labels.sparsevol(-1), "label: expected a label from 1 to"),
        (lambda labels: labels.sparsevol(1.5), "label: expected integers, got 1.5"),
        (lambda labels: labels.merge(1, 2**64), r"others: expected labels from 0 to 2\^64 - 1"),
        (lambda labels: labels.merge(0, 2), "target: expected a label from 1 to"),
        (lambda labels: labels.mapping([1, -1]), r"supervoxels: expected labels from 0 to 2\^64 - 1, got \[1, -1\]"),
        (lambda labels: labels.sizes(5), "bodies: expected labels"),
        (lambda labels: labels.cleave(1, [0.5]), "supervoxels: expected integers, got 0.5"),
        (lambda labels: labels.labels_at([1, 2, 3]), r"points_zyx: expected integers of the shape \(n, 3\)"),
        (lambda labels: labels.labels_at([[0, 0, 2**31]]), "points_zyx: expected coordinates of 32 bits"),
        (lambda labels: labels.label_at((1, 2)), "point_zyx: expected z, y, x"),
        (lambda labels: labels.sparsevol(1, bounds_zyx=(0, 0, 0)), "bounds_zyx: expected slices along z, y and x"),
        (lambda labels: labels.renumber({1: 0}), "numbers: expected a label"),
    ],
)
def test_arguments_are_checked_before_anything_is_asked(version, call, said):
    document = {"Base": {"Name": "never-made", "TypeName": "labelmap"}}
    with pytest.raises(BadArgument, match=said):
        call(LabelMap(version, document))


def test_labels_of_64_bits_stay_exact(made, write_labels, reads):
    largest = 2**63 + 12345
    instance = made("labelmap", BlockSize=(32, 32, 32))
    write_labels(instance, numpy.full((32, 32, 32), largest, numpy.uint64))
    reads(lambda: instance.sizes([largest, 1]), numpy.array([32**3, 0]))
    assert instance.label_at((0, 0, 0)) == largest
    assert instance.listlabels().tolist() == [largest]
    assert instance.supervoxels(largest).tolist() == [largest]
