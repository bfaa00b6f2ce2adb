from __future__ import annotations

import json
import tracemalloc

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvid.errors import BadRequest, NotFound
from dvid.interop import open_source

VOLUME = np.arange(6 * 20 * 30, dtype=np.uint16).reshape(6, 20, 30)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "v.h5"


def test_the_only_volume_of_a_file_is_chosen(path):
    with h5py.File(path, "w") as file:
        file["volumes/raw"] = VOLUME
        file["synapses"] = np.zeros((5, 3), np.int32)
    with open_source(str(path)) as source:
        assert source.name == f"{path}:/volumes/raw"
        np.testing.assert_array_equal(source.read((0, 0, 0), VOLUME.shape), VOLUME)


def test_several_volumes_are_listed_with_shape_and_type(path):
    with h5py.File(path, "w") as file:
        file["raw"] = VOLUME
        file["labels/ids"] = VOLUME.astype(np.uint64)
    with pytest.raises(BadRequest) as caught:
        open_source(str(path))
    assert "raw (6, 20, 30) uint16" in str(caught.value)
    assert "labels/ids (6, 20, 30) uint64" in str(caught.value)
    with open_source(str(path), "/labels/ids") as source:
        assert source.dtype == np.uint64


def test_a_missing_dataset_is_answered_with_what_is_there(path):
    with h5py.File(path, "w") as file:
        file["volumes/raw"] = VOLUME
    with pytest.raises(NotFound, match="volumes holds raw"):
        open_source(str(path), "volumes/row")
    with pytest.raises(NotFound, match="is a dataset, not a group"):
        open_source(str(path), "volumes/raw/x")
    with pytest.raises(BadRequest, match="not a dataset; it holds raw"):
        open_source(str(path), "volumes")


def test_a_file_without_datasets_is_refused(path):
    h5py.File(path, "w").close()
    with pytest.raises(BadRequest, match="no dataset"):
        open_source(str(path))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((2, 3), "S5"), "type"),
        (np.zeros((2, 3, 4), np.complex64), "type"),
        (np.zeros((2, 3, 4), [("a", "u1")]), "type"),
        (np.float32(3), "2 to 4 axes"),
        (np.zeros(5), "2 to 4 axes"),
        (np.zeros((2,) * 6), "2 to 4 axes"),
        (np.zeros((2, 0, 4)), "empty"),
        (h5py.Empty("f4"), "no elements"),
    ],
)
def test_what_is_no_volume_is_refused(path, data, message):
    with h5py.File(path, "w") as file:
        file["d"] = data
    with pytest.raises(BadRequest, match=message):
        open_source(str(path))


def test_nothing_outside_the_file_is_read(path, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = VOLUME
        other["group/secret"] = VOLUME
    (tmp_path / "bytes").write_bytes(bytes(VOLUME.nbytes))
    with h5py.File(path, "w") as file:
        file["linked"] = h5py.ExternalLink("other.h5", "/secret")
        file["through"] = h5py.ExternalLink("other.h5", "/group")
        file["soft"] = h5py.SoftLink("/linked")
        file["soft_through"] = h5py.SoftLink("/through/secret")
        file.create_dataset(
            "stored", VOLUME.shape, VOLUME.dtype, external=[(str(tmp_path / "bytes"), 0, h5py.h5f.UNLIMITED)]
        )
        layout = h5py.VirtualLayout(VOLUME.shape, VOLUME.dtype)
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", VOLUME.shape)
        file.create_virtual_dataset("virtual", layout)
    for key in ("linked", "through/secret", "soft", "soft_through"):
        with pytest.raises(BadRequest, match="leads to another file"):
            open_source(str(path), key)
    with pytest.raises(BadRequest, match="in other files"):
        open_source(str(path), "stored")
    with pytest.raises(BadRequest, match="virtual"):
        open_source(str(path), "virtual")
    with h5py.File(path, "r+") as file:
        del file["stored"], file["virtual"]
    with pytest.raises(BadRequest, match="no dataset"):
        open_source(str(path))


def test_links_inside_the_file_are_followed_but_not_in_circles(path):
    with h5py.File(path, "w") as file:
        file["a/raw"] = VOLUME
        file["b/raw"] = h5py.SoftLink("/a/raw")
        file["a/near"] = h5py.SoftLink("raw")
        file["circle"] = h5py.SoftLink("/circle")
        file["dangling"] = h5py.SoftLink("/nowhere")
    for key in ("b/raw", "a/near", "./a//raw"):
        with open_source(str(path), key) as source:
            np.testing.assert_array_equal(source.read((1, 2, 3), (2, 3, 4)), VOLUME[1:3, 2:5, 3:7])
    with pytest.raises(BadRequest, match="soft links"):
        open_source(str(path), "circle")
    with pytest.raises(NotFound):
        open_source(str(path), "dangling")


@pytest.mark.parametrize(
    ("attributes", "size", "offset"),
    [
        ({"resolution": (40.0, 4.0, 4.5)}, (40.0, 4.0, 4.5), None),
        ({"resolution": (40.0, 4.0, 4.5), "offset": (400.0, 0.0, 8.0)}, (40.0, 4.0, 4.5), (400.0, 0.0, 8.0)),
        ({"resolution": (0.05, 0.0046, 0.0046), "units": "um"}, (50.0, 4.6, 4.6), None),
        ({"resolution": 8}, (8.0, 8.0, 8.0), None),
        ({"voxel_size_nm": (50.0, 4.6, 4.6)}, (50.0, 4.6, 4.6), None),
        ({"element_size_um": (0.05, 0.0046, 0.0046)}, (50.0, 4.6, 4.6), None),
        ({"resolution": "fine"}, None, None),
        ({"resolution": (1.0, 2.0)}, None, None),
        ({"resolution": (1.0, 0.0, 2.0)}, None, None),
        ({"resolution": (1.0, np.nan, 2.0)}, None, None),
        ({}, None, None),
    ],
)
def test_the_voxel_size_is_read_where_attributes_tell_it(path, attributes, size, offset):
    with h5py.File(path, "w") as file:
        file["raw"] = VOLUME
        file["raw"].attrs.update(attributes)
    with open_source(str(path)) as source:
        assert source.voxel_size_zyx == size
        assert source.offset_zyx == offset
        assert source.units == (None if size is None else "nanometers")


@pytest.mark.parametrize("how", ["axes", "axistags", "labels", "argument"])
def test_the_order_of_axes_is_read_where_attributes_tell_it(path, how):
    with h5py.File(path, "w") as file:
        data = file.create_dataset("raw", data=VOLUME.transpose(2, 1, 0), chunks=(8, 10, 2))
        data.attrs["resolution"] = (4.6, 4.7, 50.0)
        if how == "axes":
            data.attrs["axes"] = "xyz"
        elif how == "axistags":
            data.attrs["axistags"] = json.dumps({"axes": [{"key": letter, "typeFlags": 2} for letter in "xyz"]})
        elif how == "labels":
            for index, letter in enumerate("xyz"):
                data.dims[index].label = letter
    with open_source(str(path), axes="xyz" if how == "argument" else None) as source:
        assert source.shape_zyx == VOLUME.shape
        assert source.voxel_size_zyx == (50.0, 4.7, 4.6)
        assert source.preferred_chunk_zyx == (2, 10, 8)
        np.testing.assert_array_equal(source.read((1, 2, 3), (2, 3, 4)), VOLUME[1:3, 2:5, 3:7])


def test_big_endian_and_boolean_volumes_are_read_as_native_numbers(path):
    with h5py.File(path, "w") as file:
        file["big"] = VOLUME.astype(">u2")
        file["mask"] = VOLUME % 2 == 0
    with open_source(str(path), "big") as source:
        box = source.read((0, 0, 0), VOLUME.shape)
        assert box.dtype == np.dtype("=u2")
        np.testing.assert_array_equal(box, VOLUME)
    with open_source(str(path), "mask") as source:
        assert source.dtype == np.uint8
        np.testing.assert_array_equal(source.read((0, 0, 0), VOLUME.shape), VOLUME % 2 == 0)


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_but_never_breaks(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("h5") / "v.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("raw", data=VOLUME, chunks=(2, 10, 10), compression="gzip", fletcher32=True)
        file["raw"].attrs["resolution"] = (1.0, 2.0, 3.0)
    whole = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del whole[data.draw(st.integers(0, len(whole) - 1)) :]
    else:
        for _ in range(data.draw(st.integers(1, 20))):
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    refusal = str(path)
    try:
        with open_source(str(path)) as source:
            source.read((0, 0, 0), tuple(min(n, 4) for n in source.shape_zyx))
    except (BadRequest, NotFound) as error:
        refusal = str(error)
    assert str(path) in refusal


def test_a_truncated_file_is_refused(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("raw", data=VOLUME, chunks=(2, 10, 10), compression="gzip")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadRequest, match=r"v\.h5 cannot be read as an HDF5 file"):
        open_source(str(path))


def test_a_small_box_of_a_huge_volume_takes_little_memory(path):
    with h5py.File(path, "w") as file:
        data = file.create_dataset("raw", (10**5,) * 3, np.uint8, chunks=(64, 64, 64))
        data[70000:70064, 50000:50064, 64:128] = 7
    tracemalloc.start()
    try:
        with open_source(str(path)) as source:
            box = source.read((70000, 50000, 100), (64, 64, 64))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Of the box, x 100 to 127 lies in the part that is written.
    assert box[:, :, :28].min() == 7
    assert box[:, :, 28:].max() == 0
    assert peak < 4 << 20


def test_the_real_volume_is_read_with_its_voxel_size(vnc_path):
    with pytest.raises(BadRequest, match="supervoxels"):
        open_source(str(vnc_path))
    with open_source(str(vnc_path), "raw") as source, h5py.File(vnc_path) as file:
        assert source.shape_zyx == (20, 1024, 1024)
        assert source.voxel_size_zyx == (50.0, 4.6, 4.6)
        assert source.preferred_chunk_zyx == (4, 256, 256)
        np.testing.assert_array_equal(source.read((3, 500, 700), (9, 300, 100)), file["raw"][3:12, 500:800, 700:800])
    with open_source(str(vnc_path), "supervoxels") as source:
        assert source.dtype == np.uint64


def test_the_fingerprint_tells_a_changed_file(path):
    with h5py.File(path, "w") as file:
        file["raw"] = VOLUME
        file["other"] = VOLUME
    first = open_source(str(path), "raw").fingerprint()
    assert open_source(str(path), "raw").fingerprint() == first
    assert open_source(str(path), "other").fingerprint() != first
    with h5py.File(path, "r+") as file:
        file["more"] = VOLUME
    assert open_source(str(path), "raw").fingerprint() != first
