import numpy as np
import pytest

from dvidclient.typenames import EARLY_NAMES, VOXEL_TYPES, VOXELS_OF, has_any_channels, image_type


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", VOXEL_TYPES)
def test_images_of_any_voxels_have_a_type_that_can_hold_them(dtype, channels):
    typename = image_type(dtype, channels)
    assert VOXELS_OF[typename][0] == dtype
    assert has_any_channels(typename) or VOXELS_OF[typename][1] == channels
    assert (typename == "rgba8blk") == ((dtype, channels) == ("uint8", 4))


def test_there_are_no_images_of_other_voxels():
    assert image_type("int16", 1) is None


def test_every_type_holds_voxels_that_numpy_knows_and_every_early_name_means_one():
    assert all(np.dtype(dtype).itemsize and channels for dtype, channels in VOXELS_OF.values())
    assert set(EARLY_NAMES.values()) <= set(VOXELS_OF)
    assert [has_any_channels(name) for name in ("uint8blk", "rgba8blk", "labelblk", "labelmap", "no")] == [
        True,
        False,
        False,
        False,
        False,
    ]
