import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvidclient import axistags as vigra
from dvidclient.axistags import AxisInfo, AxisTags, AxisType, TaggedArray

SIZES = dict(zip("cxyzt", (2, 3, 4, 5, 6), strict=True))


def volume(axes):
    shape = tuple(SIZES[axis] for axis in axes)
    return vigra.taggedView(np.arange(np.prod(shape)).reshape(shape), axes)


def axes_of(array):
    return "".join(array.axistags.keys())


def test_default_tags_are_those_of_vigra():
    tags = vigra.defaultAxistags("cxyz")
    assert repr(tags) == "c x y z"
    assert str(tags).splitlines()[:2] == ["AxisInfo: 'c' (type: Channels)", "AxisInfo: 'x' (type: Space)"]
    assert [tag.key for tag in tags] == list("cxyz")
    assert (tags.index("z"), tags.index("t"), tags.channelIndex, "z" in tags, len(tags)) == (3, 4, 0, True, 4)
    assert repr(vigra.defaultAxistags(3)) == "x y c"
    assert tags["x"] == AxisInfo("x", AxisType.Space)
    assert tags[0].isChannel()
    assert tags[1].isSpatial()


def test_tags_survive_json_as_vigra_writes_it():
    tags = AxisTags([AxisInfo("x", AxisType.Space, 4.0, "nanometers"), AxisInfo("c", AxisType.Channels)])
    assert AxisTags.fromJSON(tags.toJSON()) == tags
    written_by_vigra = '{"axes": [{"key": "t", "typeFlags": 8, "resolution": 0, "description": ""}]}'
    assert AxisTags.fromJSON(written_by_vigra) == AxisTags("t")


@pytest.mark.parametrize("axes", ["xx", "q", "xyzx"])
def test_impossible_axes_are_refused(axes):
    with pytest.raises(ValueError, match="ax"):
        AxisTags(axes)


def test_a_view_shares_memory_and_needs_one_tag_for_each_dimension():
    data = np.zeros((4, 3))
    view = vigra.taggedView(data, "xy")
    view[1, 2] = 7
    assert data[1, 2] == 7
    assert isinstance(view, vigra.VigraArray)
    with pytest.raises(RuntimeError, match=r"match len\(axistags\)"):
        vigra.taggedView(data, "xyz")


@pytest.mark.parametrize(
    ("index", "axes"),
    [
        (np.s_[1], "xyz"),
        (np.s_[:, 2], "cyz"),
        (np.s_[..., 0], "cxy"),
        (np.s_[0, ..., 0], "xy"),
        (np.s_[0:1, 1:3], "cxyz"),
        (np.s_[:, np.newaxis, 1, ...], "c?yz"),
        (np.s_[::-1, np.int64(1), 2, 3], "c"),
        (np.s_[:, [0, 2]], "????"),
        (np.s_[:, :, :, np.arange(5) > 2], "????"),
    ],
)
def test_slicing_keeps_the_tags_of_the_axes_that_are_left(index, axes):
    tagged = volume("cxyz")
    plain = np.asarray(tagged)
    assert axes_of(tagged[index]) == axes
    np.testing.assert_array_equal(np.asarray(tagged[index]), plain[index])


def test_one_voxel_is_a_number():
    assert volume("xy")[1, 2] == 6
    assert not isinstance(volume("xy")[1, 2], np.ndarray)


@given(st.permutations(range(4)))
def test_transposing_permutes_the_tags(order):
    tagged = volume("cxyz")
    expected = "".join("cxyz"[axis] for axis in order)
    for result in (tagged.transpose(order), tagged.transpose(*order), np.transpose(tagged, order)):
        assert axes_of(result) == expected
        assert result.shape == tuple(SIZES[axis] for axis in expected)


def test_other_rearrangements_move_the_tags():
    tagged = volume("cxyz")
    assert axes_of(tagged.T) == axes_of(tagged.transpose()) == axes_of(tagged.transpose(None)) == "zyxc"
    assert axes_of(tagged.swapaxes(0, -1)) == axes_of(np.swapaxes(tagged, 0, 3)) == "zxyc"
    assert axes_of(np.moveaxis(tagged, 0, -1)) == "xyzc"
    assert axes_of(tagged[:1].squeeze()) == axes_of(tagged[:1].squeeze(0)) == "xyz"


@given(st.permutations("cxyz"), st.permutations("cxyz"))
def test_with_axes_reorders(have, want):
    have, want = "".join(have), "".join(want)
    tagged = volume(have)
    moved = tagged.withAxes(want)
    assert axes_of(moved) == axes_of(tagged.withAxes(*want)) == want
    np.testing.assert_array_equal(np.asarray(moved), np.einsum(f"{have}->{want}", np.asarray(tagged)))
    assert np.shares_memory(moved, tagged)
    np.testing.assert_array_equal(np.asarray(vigra.taggedView(tagged, want)), np.asarray(moved))


def test_with_axes_adds_and_drops_axes_of_size_1_only():
    tagged = volume("cxy")
    assert tagged.withAxes("yxzc").shape == (4, 3, 1, 2)
    assert axes_of(tagged[:1].withAxes("yx")) == "yx"
    with pytest.raises(RuntimeError, match="'c' of size 2"):
        tagged.withAxes("yx")


def test_tags_stay_where_the_axes_stay():
    tagged = volume("cxyz")
    for same in (
        tagged + 1,
        tagged.astype("f4"),
        tagged.copy(),
        tagged > 3,
        np.sqrt(tagged),
        tagged.sum(0, keepdims=True),
    ):
        assert axes_of(same) == "cxyz"
    assert type(np.asarray(tagged)) is np.ndarray


def test_no_axis_is_named_where_it_cannot_be_told():
    tagged = volume("cxyz")
    assert axes_of(tagged.reshape(3, 2, 4, 5)) == "????"
    assert axes_of(tagged.reshape(-1)) == axes_of(tagged.ravel()) == "?"
    assert axes_of(tagged.sum(axis=0)) == "???"
    assert axes_of(tagged[tagged > 3]) == "?"
    assert axes_of(tagged.reshape(tagged.shape)) == "cxyz"


def test_an_array_keeps_its_tags_through_pickle():
    tagged = volume("zyc")
    again = pickle.loads(pickle.dumps(tagged))
    assert isinstance(again, TaggedArray)
    assert again.axistags == tagged.axistags
    np.testing.assert_array_equal(np.asarray(again), np.asarray(tagged))


def test_repr_names_the_axes():
    assert repr(volume("xy")[:1, :2]).startswith("TaggedArray(shape=(1, 2), axistags=x y, dtype=int64, data=\n[[0 1]])")


def test_axes_are_equal_unless_both_know_another_resolution():
    nothing, four, eight = (AxisInfo("x", AxisType.Space, step) for step in (0.0, 4.0, 8.0))
    assert nothing == four
    assert nothing == eight
    assert four != eight
    assert hash(four) == hash(eight) == hash(nothing)
    assert AxisTags([four]) == AxisTags("x")
