import copy

import pytest

from dvidclient.errors import MetadataError
from dvidclient.layout import Layout, metadata_of
from dvidclient.volume_metainfo import MetaInfo

INFO = {
    "Base": {"TypeName": "uint8blk", "Tags": None},
    "Extended": {
        "Values": [{"DataType": "uint8", "Label": "uint8"}],
        "BlockSize": [32, 16, 64],
        "VoxelSize": [4, 4.5, 40],
        "VoxelUnits": ["nm", "nm", "um"],
        "MinPoint": None,
        "MaxPoint": None,
    },
    "Extents": {"MinPoint": [0, -16, 64], "MaxPoint": [31, 15, 127]},
}


def test_an_info_says_what_metadata_say():
    info = MetaInfo.from_metadata(metadata_of(INFO))
    assert (info.shape, info.offset) == ((1, 32, 32, 64), (0, 0, -16, 64))
    assert (info.voxel_size, info.units) == ((4.0, 4.5, 40.0), ("nm", "nm", "um"))


def test_older_servers_tell_the_extents_among_the_settings():
    info = copy.deepcopy(INFO)
    info["Extended"].update(info.pop("Extents"))
    assert metadata_of(info) == metadata_of(INFO)


def test_without_extents_a_volume_is_empty():
    info = {**INFO, "Extents": {"MinPoint": None, "MaxPoint": None}}
    assert MetaInfo.from_metadata(metadata_of(info)).shape == (1, 0, 0, 0)


@pytest.mark.parametrize("setting", ["VoxelSize", "VoxelUnits", "BlockSize", "Values"])
@pytest.mark.parametrize("value", [None, [], [1, 2], "abc", [0, 0, 0]])
def test_an_instance_that_is_no_volume_is_refused_by_the_field(setting, value):
    info = copy.deepcopy(INFO)
    info["Extended"][setting] = value
    with pytest.raises(MetadataError, match=r"^(Extended\.|Axes\[0\]\.|Properties\.Values)"):
        Layout.from_server(info, metadata_of(info))
