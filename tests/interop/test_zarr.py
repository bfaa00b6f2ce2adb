from __future__ import annotations

import json
import pickle
import tracemalloc

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from dvid.errors import BadRequest, NotFound, TooLarge
from dvid.interop import open_source

VOLUME = np.arange(6 * 20 * 30, dtype=np.uint16).reshape(6, 20, 30)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "v.zarr"


@pytest.mark.parametrize("version", [2, 3])
def test_arrays_of_both_versions_are_read(path, version):
    zarr.create_array(path, data=VOLUME, chunks=(2, 8, 8), zarr_format=version)
    with open_source(str(path)) as source:
        assert (source.shape_zyx, source.dtype, source.preferred_chunk_zyx) == (VOLUME.shape, np.uint16, (2, 8, 8))
        np.testing.assert_array_equal(source.read((1, 2, 3), (4, 5, 6)), VOLUME[1:5, 2:7, 3:9])


def test_sharded_arrays_are_read(path):
    zarr.create_array(path, data=VOLUME, chunks=(2, 5, 5), shards=(2, 10, 15))
    with open_source(str(path)) as source:
        assert source.preferred_chunk_zyx == (2, 5, 5)
        np.testing.assert_array_equal(source.read((0, 0, 0), VOLUME.shape), VOLUME)


@pytest.mark.parametrize("version", [2, 3])
def test_a_group_with_one_array_is_that_array(path, version):
    group = zarr.create_group(path, zarr_format=version)
    group.create_array("raw", data=VOLUME)
    with open_source(str(path)) as source:
        np.testing.assert_array_equal(source.read((0, 0, 0), VOLUME.shape), VOLUME)


def test_several_arrays_are_listed_with_shape_and_type(path):
    group = zarr.create_group(path)
    group.create_array("raw", data=VOLUME)
    group.create_array("labels", data=VOLUME.astype(np.uint64))
    group.create_group("more")
    with pytest.raises(BadRequest) as caught:
        open_source(str(path))
    for text in ("raw (6, 20, 30) uint16", "labels (6, 20, 30) uint64", "more"):
        assert text in str(caught.value)
    with open_source(str(path), "labels") as source:
        assert source.dtype == np.uint64
    with open_source(str(path / "labels")) as source:
        assert source.dtype == np.uint64
    with pytest.raises(NotFound, match="nothing_here"):
        open_source(str(path), "nothing_here")


def test_no_path_leads_out_of_the_store(tmp_path, path):
    zarr.create_group(path)
    zarr.create_array(tmp_path / "other.zarr", data=VOLUME)
    for key in ("../other.zarr", "a/../../other.zarr"):
        with pytest.raises(BadRequest, match=r"has \. or \.\. in it"):
            open_source(str(path), key)
    attributes = {"multiscales": [{"datasets": [{"path": "../other.zarr"}]}]}
    zarr.open_group(path, mode="r+").attrs.update(attributes)
    with pytest.raises(BadRequest, match="name no dataset"):
        open_source(str(path))


@pytest.mark.parametrize("version", [2, 3])
def test_the_first_scale_of_an_ome_zarr_image_is_read_with_its_voxel_size(path, version):
    group = zarr.create_group(path, zarr_format=version)
    image = {
        "axes": [{"name": "c", "type": "channel"}]
        + [{"name": letter, "type": "space", "unit": "micrometer"} for letter in "zyx"],
        "datasets": [
            {"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 0.05, 0.0046, 0.0046]}]},
            {"path": "s1", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 0.1, 0.0092, 0.0092]}]},
        ],
    }
    group.attrs.update(
        {"multiscales": [image]} if version == 2 else {"ome": {"version": "0.5", "multiscales": [image]}}
    )
    colours = np.stack([VOLUME, VOLUME + 1])
    group.create_array("s0", data=colours, chunks=(1, 2, 10, 10))
    group.create_array("s1", data=colours[:, ::2, ::2, ::2])
    with open_source(str(path)) as source:
        assert (source.shape_zyx, source.channels) == (VOLUME.shape, 2)
        assert (source.voxel_size_zyx, source.units) == ((50.0, 4.6, 4.6), "nanometers")
        assert source.preferred_chunk_zyx == (2, 10, 10)
        np.testing.assert_array_equal(source.read((0, 0, 0), VOLUME.shape), np.moveaxis(colours, 0, 3))
    for opened in (open_source(str(path), "s1"), open_source(str(path / "s1"))):
        assert opened.voxel_size_zyx == (100.0, 9.2, 9.2)
        assert opened.shape_zyx == (3, 10, 15)


def test_dimension_names_tell_the_order_of_axes(path):
    zarr.create_array(path, data=VOLUME.transpose(2, 1, 0), dimension_names=["x", "y", "z"])
    with open_source(str(path)) as source:
        np.testing.assert_array_equal(source.read((1, 2, 3), (4, 5, 6)), VOLUME[1:5, 2:7, 3:9])


def test_pickled_elements_are_never_loaded(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    class Trap:
        def __reduce__(self):
            return (open, ("trap-was-sprung", "w"))

    path.mkdir()
    about = {
        "zarr_format": 2, "shape": [1, 1, 1], "chunks": [1, 1, 1], "dtype": "|O", "compressor": None,
        "fill_value": None, "order": "C", "filters": [{"id": "pickle", "protocol": 5}],
    }  # fmt: skip
    (path / ".zarray").write_text(json.dumps(about))
    (path / "0.0.0").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(BadRequest, match="Python objects"):
        open_source(str(path)).read((0, 0, 0), (1, 1, 1))
    (path / ".zarray").write_text(json.dumps(about | {"dtype": "|u1", "fill_value": 0}))
    with pytest.raises(BadRequest, match="Python objects"):
        open_source(str(path)).read((0, 0, 0), (1, 1, 1))
    assert not (tmp_path / "trap-was-sprung").exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", '{"zarr_format": 3}', '{"zarr_format": 3, "node_type": "array"}', "\x00\xff"]
)
def test_damaged_metadata_are_refused(path, text):
    path.mkdir()
    for name in ("zarr.json", ".zarray", ".zgroup"):
        (path / name).write_text(text)
        with pytest.raises(BadRequest, match=r"v\.zarr"):
            open_source(str(path))
        (path / name).unlink()


CHANGES = st.sampled_from(
    [None, -1, 0, 1.5, "x", [], {}, [-1, 2, 3], [0, 2, 3], [10**30] * 3, 10**30, True, "<u2", "object"]
)


@settings(max_examples=60)
@given(data=st.data())
def test_metadata_of_any_nonsense_are_refused_or_read(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("zarr") / "v.zarr"
    version = data.draw(st.sampled_from([2, 3]))
    zarr.create_array(path, data=VOLUME, chunks=(2, 8, 8), zarr_format=version)
    file = path / ("zarr.json" if version == 3 else ".zarray")
    about = json.loads(file.read_text())
    about[data.draw(st.sampled_from(sorted(about)))] = data.draw(CHANGES)
    file.write_text(json.dumps(about))
    refusal = str(path)
    try:
        with open_source(str(path)) as source:
            source.read((0, 0, 0), tuple(min(n, 4) for n in source.shape_zyx))
    except (BadRequest, NotFound, TooLarge) as error:
        refusal = str(error)
    assert "v.zarr" in refusal


@pytest.mark.parametrize("version", [2, 3])
def test_a_truncated_chunk_is_refused_naming_the_place(path, version):
    zarr.create_array(path, data=VOLUME, chunks=(6, 20, 30), zarr_format=version)
    (chunk,) = (file for file in path.rglob("*") if file.is_file() and file.suffix != ".json" and file.name[0] != ".")
    chunk.write_bytes(chunk.read_bytes()[:50])
    with open_source(str(path)) as source, pytest.raises(BadRequest, match=r"v\.zarr at \(0, 0, 0\)"):
        source.read((0, 0, 0), (1, 1, 1))


def test_giant_chunks_are_refused(path):
    zarr.create_array(path, shape=(10**5,) * 3, dtype=np.uint64, chunks=(10**4,) * 3)
    with pytest.raises(TooLarge, match="pieces"):
        open_source(str(path))


def test_a_small_box_of_a_huge_volume_takes_little_memory(path):
    array = zarr.create_array(path, shape=(10**5,) * 3, dtype=np.uint8, chunks=(64, 64, 64))
    array[70000, 50000, 100] = 7
    with open_source(str(path)) as source:
        source.read((0, 0, 0), (1, 1, 1))
    tracemalloc.start()
    try:
        with open_source(str(path)) as source:
            box = source.read((70000, 50000, 100), (64, 64, 64))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert box[0, 0, 0] == 7
    assert peak < 16 << 20
