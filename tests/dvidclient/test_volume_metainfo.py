import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvidclient.arrays import array_module
from dvidclient.axistags import AxisTags
from dvidclient.errors import MetadataError
from dvidclient.volume_metainfo import MetaInfo

METADATA = {
    "Axes": [
        {"Label": "X", "Resolution": 4, "Units": "nanometers", "Size": 306, "Offset": -5},
        {"Label": "Y", "Resolution": 4.5, "Units": "nanometers", "Size": 401, "Offset": 0},
        {"Label": "Z", "Resolution": 40, "Units": "micron", "Size": 498, "Offset": 3},
    ],
    "Properties": {
        "Values": [{"DataType": "uint16", "Label": "a"}, {"DataType": "uint16", "Label": "b"}],
        "Background": 0,
    },
}


def test_metadata_of_a_server_is_read():
    info = MetaInfo.from_metadata(json.dumps(METADATA))
    assert info.shape == (2, 306, 401, 498)
    assert info.offset == (0, -5, 0, 3)
    assert info.dtype == np.uint16
    assert info.axes == "cxyz"
    assert info.voxel_size == (4.0, 4.5, 40.0)
    assert info.units == ("nanometers", "nanometers", "micron")


def test_axes_come_in_the_order_asked_for():
    info = MetaInfo.from_metadata(METADATA, "czy")
    assert (info.shape, info.offset, info.units) == ((2, 498, 401), (0, 3, 0), ("micron", "nanometers"))
    assert (info.along("x"), info.along("z"), info.resolution("x"), info.resolution("z")) == (
        (0, 1),
        (3, 498),
        None,
        (40.0, "micron"),
    )


@given(
    axes=st.sampled_from(["cxyz", "czyx", "xyz", "zyx"]),
    sizes=st.lists(st.integers(0, 2**31 - 1), min_size=3, max_size=3),
    offsets=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=3, max_size=3),
    steps=st.lists(st.floats(1e-6, 1e6), min_size=3, max_size=3),
    channels=st.integers(1, 5),
    dtype=st.sampled_from(["u1", "i2", ">u4", "u8", "f4"]),
)
def test_metadata_says_all_that_a_volume_of_three_dimensions_is(axes, sizes, offsets, steps, channels, dtype):
    shape, offset = (channels, *sizes), (0, *offsets)
    if axes[0] != "c":
        shape, offset = shape[1:], offset[1:]
    info = MetaInfo(shape, dtype, axes, offset=offset, voxel_size=steps, units=("nm", "µm", ""))
    again = MetaInfo.from_metadata(json.dumps(info.to_metadata()), axes)
    assert again == info
    assert hash(again) == hash(info)


def test_axes_may_be_tags_of_any_kind_or_letters():
    module = array_module()
    infos = [
        MetaInfo((4, 2, 2, 2), np.uint8, tags) for tags in (module.defaultAxistags("cxyz"), AxisTags("cxyz"), "cxyz")
    ]
    assert infos[0] == infos[1] == infos[2]
    assert all(type(info.axistags) is type(module.defaultAxistags("c")) for info in infos)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (((4, 2, 2), "u1", "cxyz"), "shape"),
        ((4, "u1", "cxyz"), "shape"),
        (((4, 2, -1, 2), "u1", "cxyz"), r"shape\[2\]"),
        (((4, 2, 2.0, 2), "u1", "cxyz"), r"shape\[2\]"),
        (((4, 2, True, 2), "u1", "cxyz"), r"shape\[2\]"),
        (((0, 2, 2, 2), "u1", "cxyz"), r"shape\[0\]"),
        (((4, 2, 2, 2), "S3", "cxyz"), "dtype"),
        (((4, 2, 2, 2), "nonsense", "cxyz"), "dtype"),
        (((4, 2, 2, 2), "u1", "xyzc"), "axistags"),
        (((4, 2, 2, 2), "u1", "cxyt"), "axistags"),
        (((4, 2, 2, 2), "u1", "cxyx"), "axistags"),
        (((4,), "u1", "x"), "axistags"),
        (((4, 2), "u1", 7), "axistags"),
        (((1, 2, 3), "u1", "cxy", (1, 0, 0)), r"offset\[0\]"),
        (((1, 2, 3), "u1", "cxy", (0, 2**31, 0)), r"offset\[1\]"),
        (((1, 2, 3), "u1", "cxy", None, (1.0,)), "voxel_size"),
        (((1, 2, 3), "u1", "cxy", None, (1.0, 0)), "voxel_size"),
        (((1, 2, 3), "u1", "cxy", None, None, ("nm", 3)), "units"),
    ],
)
def test_an_impossible_volume_is_refused_by_the_name_of_its_field(arguments, field):
    with pytest.raises(MetadataError, match=f"^{field}: expected ") as error:
        MetaInfo(*arguments)
    assert error.value.field in str(error.value)


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("Axes",), None, "Axes"),
        (("Axes",), [], "Axes"),
        (("Axes", 1, "Label"), "X", "Axes"),
        (("Axes", 1, "Label"), 3, "Axes[1].Label"),
        (("Axes", 1), "Y", "Axes[1]"),
        (("Axes", 2, "Size"), "7", "Axes[2].Size"),
        (("Axes", 2, "Size"), -1, "Axes[2].Size"),
        (("Axes", 2, "Offset"), 1.5, "Axes[2].Offset"),
        (("Axes", 0, "Resolution"), 0, "Axes[0].Resolution"),
        (("Axes", 0, "Resolution"), True, "Axes[0].Resolution"),
        (("Axes", 0, "Units"), None, "Axes[0].Units"),
        (("Properties",), {}, "Properties.Values"),
        (("Properties", "Values"), [], "Properties.Values"),
        (("Properties", "Values", 0), {"Label": "a"}, "Properties.Values[0].DataType"),
        (("Properties", "Values", 1, "DataType"), "uint8", "Properties.Values[1].DataType"),
        (("Properties", "Values", 1, "DataType"), "uint9", "Properties.Values[1].DataType"),
    ],
)
def test_bad_metadata_is_refused_by_the_name_of_its_field(path, value, field):
    document = copy.deepcopy(METADATA)
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(MetadataError) as error:
        MetaInfo.from_metadata(document)
    assert error.value.field == field


@pytest.mark.parametrize("text", ["", "[]", "nonsense", b"\xff"])
def test_metadata_must_be_a_json_object(text):
    with pytest.raises(MetadataError, match=r"^metadata: expected"):
        MetaInfo.from_metadata(text)


def test_axis_tags_carry_the_size_of_a_voxel_and_its_unit_both_ways():
    info = MetaInfo((4, 2, 2, 2), "u1", "cxyz", voxel_size=(4, 4, 40), units=("nm", "nm", "micrometers"))
    z = info.axistags["z"]
    assert (z.resolution, z.description, info.axistags["c"].resolution) == (40.0, "micrometers", 0.0)
    assert MetaInfo((4, 2, 2, 2), "u1", info.axistags) == info
    assert info.axistags == array_module().defaultAxistags("cxyz")
    assert MetaInfo((4, 2, 2, 2), "u1", array_module().defaultAxistags("cxyz")).voxel_size is None
    # What is said of the volume itself counts more.
    assert MetaInfo((4, 2, 2, 2), "u1", info.axistags, voxel_size=(1, 1, 1)).voxel_size == (1.0, 1.0, 1.0)


def test_descriptions_that_are_no_units_are_not_taken_for_units():
    module = array_module()
    tags = module.AxisTags([module.AxisInfo(key, module.AxisType.Space, 2.0, "depth") for key in "xy"])
    info = MetaInfo((5, 6), "u1", tags)
    assert (info.voxel_size, info.units) == ((2.0, 2.0), None)


@pytest.mark.parametrize("axes", ["", "c", "cxyq", "xyzc", "xx", "cxyzt"])
def test_axes_that_no_volume_has_are_refused(axes):
    with pytest.raises(MetadataError, match=r"^axistags: expected 2 to 4 axes"):
        MetaInfo.from_metadata(METADATA, axes)
