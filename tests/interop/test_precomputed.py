"""Neuroglancer precomputed volumes, as tensorstore writes and reads them, and as they lie in folders."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st

from dvid.errors import BadRequest, Conflict, DvidError, NotFound
from dvid.interop import create_sink, open_source
from dvid.interop.compressed_segmentation import decode

SHAPE = (20, 37, 50)
OFFSET_XYZ = (3, -5, 100)


def voxels(dtype="uint64", labels=40, channels=1):
    numbers = np.random.default_rng(1).integers(0, labels, (*SHAPE, channels))
    large = numbers.astype(np.uint64) * np.uint64(0x0123456789ABCDEF)
    return (large if dtype == "uint64" else numbers).astype(dtype)


def write(path, array_zyxc, encoding="compressed_segmentation", chunk=(16, 16, 16), **scale):
    """A volume as tensorstore writes it."""
    if encoding == "compressed_segmentation":
        scale["compressed_segmentation_block_size"] = scale.pop("block", [8, 8, 8])
    store = tensorstore.open(
        {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": f"{path}/"},
            "multiscale_metadata": {
                "type": "segmentation" if array_zyxc.dtype == np.uint64 else "image",
                "data_type": array_zyxc.dtype.name,
                "num_channels": array_zyxc.shape[3],
            },
            "scale_metadata": {
                "key": "full",
                "size": list(SHAPE[::-1]),
                "voxel_offset": OFFSET_XYZ,
                "resolution": [4, 4, 40],
                "encoding": encoding,
                "chunk_size": list(chunk),
                **scale,
            },
        },
        create=True,
    ).result()
    store.write(array_zyxc.transpose(2, 1, 0, 3)).result()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint64", "float32"])
@pytest.mark.parametrize("channels", [1, 3])
def test_raw_chunks_are_read(tmp_path, dtype, channels):
    array = voxels(dtype, channels=channels)
    write(tmp_path / "v", array, "raw", chunk=(16, 9, 7))
    expected = array if channels > 1 else array[..., 0]
    with open_source(str(tmp_path / "v")) as source:
        assert (source.shape_zyx, source.channels, source.dtype) == (SHAPE, channels, np.dtype(dtype))
        assert (source.origin_zyx, source.preferred_chunk_zyx) == (OFFSET_XYZ[::-1], (7, 9, 16))
        assert (source.voxel_size_zyx, source.units) == ((40, 4, 4), "nanometers")
        assert source.is_segmentation == (dtype == "uint64")
        np.testing.assert_array_equal(source.read((0, 0, 0), SHAPE), expected)
        np.testing.assert_array_equal(source.read((5, 6, 7), (9, 20, 33)), expected[5:14, 6:26, 7:40])


@pytest.mark.parametrize("dtype", ["uint32", "uint64"])
@pytest.mark.parametrize("labels", [1, 2, 5, 200, 30000])
@pytest.mark.parametrize("block", [[8, 8, 8], [4, 6, 3], [64, 64, 16]])
def test_compressed_segmentation_is_read(tmp_path, dtype, labels, block):
    array = voxels(dtype, labels, channels=2)
    write(tmp_path / "v", array, block=block)
    with open_source(str(tmp_path / "v")) as source:
        np.testing.assert_array_equal(source.read((0, 0, 0), SHAPE), array)
        np.testing.assert_array_equal(source.read((15, 15, 15), (2, 2, 2)), array[15:17, 15:17, 15:17])


@pytest.mark.parametrize("encoding", ["raw", "compressed_segmentation"])
def test_sharded_volumes_are_read_through_tensorstore(tmp_path, encoding):
    array = voxels()
    sharding = {
        "@type": "neuroglancer_uint64_sharded_v1",
        "preshift_bits": 1,
        "minishard_bits": 2,
        "shard_bits": 1,
        "hash": "murmurhash3_x86_128",
        "minishard_index_encoding": "gzip",
        "data_encoding": "gzip",
    }
    write(tmp_path / "v", array, encoding, sharding=sharding)
    assert list((tmp_path / "v").glob("full/*.shard"))
    with open_source(str(tmp_path / "v")) as source:
        np.testing.assert_array_equal(source.read((0, 0, 0), SHAPE), array[..., 0])
        np.testing.assert_array_equal(source.read((5, 6, 7), (9, 20, 33)), array[5:14, 6:26, 7:40, 0])


def test_chunks_that_are_missing_are_0_and_gzipped_ones_are_read(tmp_path):
    array = voxels()
    write(tmp_path / "v", array)
    first, second, *_ = sorted((tmp_path / "v" / "full").iterdir())
    first.unlink()
    (second.parent / f"{second.name}.gz").write_bytes(gzip.compress(second.read_bytes()))
    second.unlink()
    with open_source(str(tmp_path / "v")) as source:
        found = source.read((0, 0, 0), SHAPE)
    gone = [np.s_[a - o : b - o] for (a, b), o in zip(_spans(first.name), OFFSET_XYZ, strict=True)][::-1]
    assert not found[tuple(gone)].any()
    array[tuple(gone)] = 0
    np.testing.assert_array_equal(found, array[..., 0])


def _spans(name):
    import re

    return [tuple(map(int, re.fullmatch(r"(-?\d+)-(-?\d+)", part).groups())) for part in name.split("_")]


def test_a_scale_is_chosen_by_its_key_or_its_folder(tmp_path):
    array = voxels()
    write(tmp_path / "v", array)
    for found in (open_source(str(tmp_path / "v"), "full"), open_source(str(tmp_path / "v" / "full"))):
        with found as source:
            assert source.read((3, 3, 3), (1, 1, 1))[0, 0, 0] == array[3, 3, 3, 0]
    with pytest.raises(NotFound, match="full"):
        open_source(str(tmp_path / "v"), "half")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"key": "../elsewhere"}, "outside"),
        ({"key": "/etc"}, "outside"),
        ({"size": [0, 1, 1]}, "damaged"),
        ({"size": [1, 1]}, "damaged"),
        ({"chunk_sizes": []}, "damaged"),
        ({"chunk_sizes": [[10**7, 10**7, 10**7]]}, "pieces"),
        ({"encoding": "jpeg"}, "jpeg"),
    ],
)
def test_a_bad_description_is_refused(tmp_path, change, said):
    write(tmp_path / "v", voxels())
    info = json.loads((tmp_path / "v" / "info").read_text())
    info["scales"][0].update(change)
    (tmp_path / "v" / "info").write_text(json.dumps(info))
    with pytest.raises(DvidError, match=said):
        open_source(str(tmp_path / "v"))


@settings(max_examples=200)
@given(st.data())
def test_damaged_chunks_are_refused_or_read_as_something(data):
    """Whatever the bytes: an array of the right shape, or a refusal."""
    good = _compressed()
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    try:
        found = decode(bytes(damaged[:cut]), (10, 9, 17), 1, np.dtype(np.uint64), (8, 8, 8))
    except BadRequest:
        return
    assert found.shape == (1, 10, 9, 17)


def _compressed():
    from dvid.codecs.segmentation import encode

    labels = np.random.default_rng(3).integers(0, 9, (16, 16, 24)).astype(np.uint64)
    return bytes(encode(labels))


@pytest.mark.parametrize("dtype", ["uint8", "uint64", "float32"])
@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_written_is_what_tensorstore_reads(tmp_path, dtype, channels):
    array = voxels(dtype, channels=channels)
    given = array if channels > 1 else array[..., 0]
    with create_sink(
        str(tmp_path / "v"),
        shape_zyx=SHAPE,
        dtype=dtype,
        chunk_zyx=(16, 16, 32),
        voxel_size_zyx=(40, 4, 4),
        units="nanometers",
        channels=channels,
        start_zyx=OFFSET_XYZ[::-1],
        format="precomputed",
    ) as sink:
        assert sink.part_zyx == (16, 16, 32)
        sink.write((0, 0, 0), given[:16])
        sink.write((16, 0, 0), given[16:])
    store = tensorstore.open(
        {"driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": f"{tmp_path}/v/"}}
    ).result()
    assert store.domain.origin == (*OFFSET_XYZ, 0)
    np.testing.assert_array_equal(store.read().result().transpose(2, 1, 0, 3), array)
    with open_source(str(tmp_path / "v")) as source:
        np.testing.assert_array_equal(source.read((0, 0, 0), SHAPE), given)
        assert source.voxel_size_zyx == (40, 4, 4)


def test_an_interrupted_export_is_gone_on_with(tmp_path):
    array = voxels()[..., 0]
    plan = {"shape_zyx": SHAPE, "dtype": "uint64", "chunk_zyx": (10, 64, 64), "format": "precomputed"}
    with create_sink(str(tmp_path / "v"), **plan) as sink:
        sink.write((0, 0, 0), array[:10])
    with pytest.raises(Conflict):
        create_sink(str(tmp_path / "v"), **plan)
    with create_sink(str(tmp_path / "v"), resume=True, **plan) as sink:
        assert sink.completed == {(0, 0, 0)}
        sink.write((10, 0, 0), array[10:])
    with open_source(str(tmp_path / "v")) as source:
        np.testing.assert_array_equal(source.read((0, 0, 0), SHAPE), array)
