"""Volumes in a Python program: numpy slicing without a server."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dvid
from dvid.datatypes.imageblk import writing
from dvid.datatypes.imageblk.layout import layout_of
from dvid.errors import BadRequest, Conflict, LockedNode, UnknownInstance
from dvid.geometry import Box
from dvid.kernels.sealing import seal_blocks


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    with dvid.open(str(tmp_path_factory.mktemp("volumes") / "store"), durability="relaxed") as opened:
        yield opened


@pytest.fixture(scope="module")
def make_volume(library):
    return lambda typename="uint8blk", **options: library.create_repo()["master"].create(
        typename, "v", **{"BlockSize": "8,8,8", **options}
    )


@pytest.fixture(scope="module")
def filled(make_volume):
    """A volume whose voxels from (-10, 0, 5) to (10, 12, 25) are those of an array, and that array."""
    volume = make_volume("uint16blk")
    array = np.random.default_rng(0).integers(1, 2**16, (20, 12, 20)).astype(np.uint16)
    volume[-10:10, 0:12, 5:25] = array
    return volume, array


bounds = st.tuples(st.integers(-14, 14), st.integers(-14, 14))


@given(st.tuples(*[st.one_of(st.integers(-14, 14), bounds.map(sorted))] * 3))
def test_slices_and_numbers_give_what_numpy_gives(filled, index):
    volume, array = filled
    world = np.zeros((60, 60, 60), np.uint16)
    world[20:40, 30:42, 35:55] = array
    asked = tuple(slice(*part) if isinstance(part, list) else part for part in index)
    shifted = tuple(slice(part.start + 30, part.stop + 30) if isinstance(part, slice) else part + 30 for part in asked)
    found = volume[asked]
    assert found.dtype == np.uint16
    assert found.shape == world[shifted].shape
    assert np.array_equal(found, world[shifted])


def test_what_is_left_out_is_what_was_written(filled):
    volume, array = filled
    assert volume.extents == Box((-10, 0, 5), (10, 12, 25))
    for index in [(), ..., slice(None), (slice(None), ...), (slice(None),) * 3, (..., slice(None))]:
        assert np.array_equal(volume[index], array)
    assert np.array_equal(volume[-3], array[7])
    assert np.array_equal(volume[..., 6], array[:, :, 1])
    assert np.array_equal(volume[0, ...], array[10])
    assert np.array_equal(volume[2:4, ..., 7], array[12:14, :, 2])
    assert np.array_equal(volume[:0, 3:, 5:7], array[:10, 3:, :2])
    assert volume[np.int64(-10), np.uint8(0), 5] == array[0, 0, 0]
    assert (volume.dtype, volume.channels, volume.block_zyx) == (np.uint16, 1, (8, 8, 8))


@pytest.mark.parametrize(
    ("index", "error"),
    [
        ((0, 0, 0, 0), IndexError),
        ((..., ...), IndexError),
        ((..., 0, 0, 0, 0), IndexError),
        (slice(0, 10, 2), IndexError),
        (slice(10, 0, -1), IndexError),
        ((0, 0, 2**31), IndexError),
        ((0, 0, -(2**31) - 1), IndexError),
        (1.5, TypeError),
        ("x", TypeError),
        (None, TypeError),
        (slice("a", "b"), TypeError),
        ((0, [1, 2], 0), TypeError),
    ],
)
def test_other_indices_are_refused(filled, index, error):
    volume, _ = filled
    with pytest.raises(error):
        volume[index]
    with pytest.raises(error):
        volume[index] = 0


def test_slices_without_bounds_need_something_written(make_volume):
    volume = make_volume()
    assert volume.extents is None
    with pytest.raises(IndexError, match="empty"):
        volume[:]
    assert volume[5:5, 0:3, 9:2].shape == (0, 3, 0)
    assert not volume[0:3, 0:3, 0:3].any()
    volume[5:5, 0:3, 0:3] = 7
    assert volume.extents is None


def test_assigned_arrays_are_broadcast_like_numpy_does(make_volume):
    volume = make_volume()
    copy = np.zeros((20, 20, 20), np.uint8)
    row, plane = np.arange(20, dtype=np.uint8), np.arange(400, dtype=np.int64).reshape(20, 20) % 250
    for index, value in [
        ((slice(0, 20),) * 3, 9),
        ((slice(2, 20), slice(0, 20), slice(0, 20)), plane),
        ((3, slice(0, 20), slice(0, 20)), plane),
        ((slice(0, 20), 4, slice(0, 20)), plane),
        ((slice(0, 20), slice(0, 20), 5), row),
        ((6, 7, slice(0, 20)), row),
        ((slice(5, 8), 3, 4), [1, 2, 3]),
        ((1, 2, 3), 200),
        ((slice(0, 20), slice(0, 20), slice(3, 4)), plane[..., None]),
    ]:
        volume[index] = value
        copy[index] = value
        assert np.array_equal(volume[0:20, 0:20, 0:20], copy), index


def test_channels_are_the_last_axis(make_volume):
    volume = make_volume("rgba8blk")
    assert volume.channels == 4
    array = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 4)).astype(np.uint8)
    volume[0:3, 0:4, 0:5] = array
    volume[1, 0:4, 0:5] = [1, 2, 3, 4]
    array[1] = [1, 2, 3, 4]
    assert np.array_equal(volume[:], array)
    assert np.array_equal(volume[2, 1, 3], array[2, 1, 3])
    several = make_volume("float32blk", Channels=2)
    several[0:1, 0:1, 0:2] = np.array([[0.5, 1], [2, 3]])
    assert several[0, 0, 1].tolist() == [2, 3]


@pytest.mark.parametrize(
    "voxels",
    [256, -1, 1.5, "a", [1, 2], np.zeros((3, 3, 3)), np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 2), 2**40)],
)
def test_voxels_that_the_volume_cannot_hold_are_refused_and_leave_no_trace(make_volume, voxels):
    volume = make_volume()
    if isinstance(voxels, list):
        voxels = [voxels, voxels, voxels]
    with pytest.raises(BadRequest):
        volume[0:2, 0:2, 0:2] = voxels
    assert volume.extents is None


def test_numbers_of_another_type_are_taken_where_they_fit(make_volume):
    volume = make_volume("uint64blk")
    volume[0, 0, 0:2] = [2**63, 2**64 - 1]
    assert volume[0, 0, 0:2].tolist() == [2**63, 2**64 - 1]
    real = make_volume("float32blk")
    real[0, 0, 0:2] = np.array([0.25, 3])
    real[0, 0, 2] = 7
    assert real[0, 0, 0:3].tolist() == [0.25, 3, 7]


def test_versions_keep_what_they_had(library):
    repo = library.create_repo("versions of a volume")
    root = repo["master"]
    volume = root.create("uint8blk", "v")
    volume[0:40, 0:40, 0:40] = 1
    root.commit()
    with pytest.raises(LockedNode):
        volume[0, 0, 0] = 2
    child = root.new_version()
    child["v"][10:20, 10:20, 10:20] = 5
    assert (root["v"][:] == 1).all()
    assert child["v"][:].sum() == 40**3 + 4 * 1000
    assert volume.info["Base"]["TypeName"] == "uint8blk"
    assert "'v'" in repr(volume)
    with pytest.raises(UnknownInstance):
        root["w"]


def test_box_reads_and_writes_are_the_same_as_slices(make_volume):
    volume = make_volume()
    array = np.random.default_rng(0).integers(0, 256, (7, 8, 9)).astype(np.uint8)
    first = volume.write(Box.at((-3, 0, 2), (7, 8, 9)), array)
    assert np.array_equal(volume.read(Box.at((-3, 0, 2), (7, 8, 9))), array)
    assert volume.write(Box.at((0, 0, 0), (1, 1, 1)), 0) > first
    with pytest.raises(BadRequest, match="sizes"):
        volume.write(Box.at((0, 0, 0), (1, 0, 1)), 0)


def test_whole_blocks_are_made_ready_before_the_transaction(make_volume, monkeypatch):
    volume, other = make_volume(), make_volume()

    def seal_and_write_elsewhere(*arguments, **options):
        monkeypatch.undo()
        other[1, 2, 3] = 7  # there is one transaction at a time, and a thread in one cannot begin another
        return seal_blocks(*arguments, **options)

    monkeypatch.setattr(writing, "seal_blocks", seal_and_write_elsewhere)
    volume[0:8, 0:16, 0:8] = 9
    assert (volume[:] == 9).all()
    assert other[1, 2, 3] == 7


def test_a_draft_is_stored_where_it_was_made_for_or_not_at_all(library):
    root = library.create_repo()["master"]
    root.create("uint8blk", "v", BlockSize="8,8,8")
    root.commit()
    child, side = root.new_version(), root.branch("side")
    box = Box.at((0, 0, 0), (8, 8, 8))
    with child["v"].view() as view:
        draft = writing.Draft(view, box)
        with pytest.raises(BadRequest, match="cuts blocks"):
            writing.Draft(view, Box.at((0, 0, 0), (8, 8, 7)))
        layout = layout_of(view.instance)
    draft.seal(writing.planes_of(layout, box, np.full(512, 3, np.uint8)))
    with pytest.raises(Conflict):
        side["v"].edit(lambda edit: draft.store(edit, mutate=False))
    assert side["v"].extents is None
    child["v"].edit(lambda edit: draft.store(edit, mutate=False))
    assert (child["v"][:] == 3).all()
    assert child["v"].extents == box
