"""`dvid node UUID NAME export-shards`: blocks in Arrow files, as shards have them."""

from __future__ import annotations

import json

import imagecodecs
import numpy as np
import pyarrow as pa
import pytest

import dvid as library
from dvid.codecs.labelblocks import checked
from dvid.errors import BadRequest
from dvid.interop.shards import read_spec

SHAPE = (70, 130, 200)


def info(size_xyz, *, preshift=1, minishard=1, shard=8, chunk=(32, 32, 32), scales=1, **more):
    sharding = {
        "@type": "neuroglancer_uint64_sharded_v1",
        "hash": "identity",
        "preshift_bits": preshift,
        "minishard_bits": minishard,
        "shard_bits": shard,
    }
    sizes = [[-(-edge >> level) for edge in size_xyz] for level in range(scales)]
    described = [
        {"key": str(n), "size": size, "chunk_sizes": [chunk], "sharding": sharding} for n, size in enumerate(sizes)
    ]
    return {"@type": "neuroglancer_multiscale_volume", "scales": described, **more}


def labels():
    made = np.kron(np.random.default_rng(1).integers(1, 60, (9, 17, 25)), np.ones((8, 8, 8), int))
    made = made[: SHAPE[0], : SHAPE[1], : SHAPE[2]].astype(np.uint64)
    made[32:64, 32:64, 32:64] = 0
    return made


def morton(place_xyz, grid_xyz):
    """The compressed Morton code, bit by bit."""
    code, at = 0, 0
    bits = [(edge - 1).bit_length() for edge in grid_xyz]
    for level in range(max(bits)):
        for value, have in zip(place_xyz, bits, strict=True):
            if level < have:
                code |= (value >> level & 1) << at
                at += 1
    return code


@pytest.fixture
def node(on_store):
    np.save(on_store.folder / "seg.npy", labels())
    (on_store.folder / "map.csv").write_text("1,2\n3,2\n5,700\n")
    words = ("--type", "labelmap", "--block-size", 32, "--scales", 1, "--mapping", "map.csv")
    made = on_store.uuid("repos", "new", "fly")
    on_store("import", "seg.npy", "--node", made, "--name", "seg", *words)
    return made


@pytest.mark.parametrize("batch", [1, 3])
def test_every_block_is_in_the_file_of_its_shard(on_store, node, batch):
    (on_store.folder / "spec.json").write_text(json.dumps(info((200, 130, 70), scales=2, batch_size=batch)))
    on_store("node", node, "seg", "export-shards", "spec.json", "out", 2)
    with library.open(str(on_store.folder / "store"), read_only=True) as store:
        seg = store["fly"][node]["seg"]
        for scale, grid in ((0, (7, 5, 3)), (1, (4, 3, 2))):
            at_scale = seg.at_scale(scale)
            expected = {
                (x, y, z)
                for z in range(grid[2])
                for y in range(grid[1])
                for x in range(grid[0])
                if at_scale[z * 32 : z * 32 + 32, y * 32 : y * 32 + 32, x * 32 : x * 32 + 32].any()
            }
            files = sorted((on_store.folder / "out" / f"s{scale}").glob("*.arrow"))
            found, shards = set(), set()
            for path in files:
                rows = check_shard(path, at_scale)
                found |= set(rows)
                (number,) = {morton(place, grid) >> 2 for place in rows}
                assert number not in shards
                shards.add(number)
                origin = min(rows, key=lambda place: morton(place, grid))
                assert path.stem == "_".join(
                    str((edge >> bit) * (32 << bit)) for edge, bit in zip(origin, (1, 1, 0), strict=True)
                )
            assert found == expected
    assert (1, 1, 1) not in found or scale == 1, "a block of zeros is left out"


def check_shard(path, seg):
    """The blocks of a shard; each is found by the offsets of the index, and is what the segmentation has there."""
    head, names, *lines = path.with_suffix(".csv").read_text().splitlines()
    assert names == "x,y,z,offset,size,batch_idx"
    data = path.read_bytes()
    schema_size = int(head.removeprefix("# schema_size="))
    schema = pa.ipc.read_schema(pa.py_buffer(data[:schema_size]))
    assert not any(field.nullable for field in schema)
    table = pa.ipc.open_stream(data).read_all()
    assert len(table) == len(lines)
    places = []
    for line in lines:
        x, y, z, offset, size, row = map(int, line.split(","))
        batch = pa.ipc.read_record_batch(pa.py_buffer(data[offset : offset + size]), schema)
        block = {name: batch.column(name)[row].as_py() for name in schema.names}
        assert (block["chunk_x"], block["chunk_y"], block["chunk_z"]) == (x, y, z)
        raw = imagecodecs.zstd_decode(block["dvid_compressed_block"])
        assert len(raw) == block["uncompressed_size"]
        checked(np.frombuffer(raw, np.uint8), (32, 32, 32), "block")
        box = np.s_[z * 32 : z * 32 + 32, y * 32 : y * 32 + 32, x * 32 : x * 32 + 32]
        assert set(np.unique(seg.supervoxels[box]).tolist()) <= set(block["supervoxels"])
        assert block["labels"] == [{1: 2, 3: 2, 5: 700}.get(label, label) for label in block["supervoxels"]]
        places.append((x, y, z))
    assert places == sorted(places, key=lambda place: place[::-1])
    return places


def test_what_is_there_already_stays(on_store, node):
    (on_store.folder / "spec.json").write_text(json.dumps(info((200, 130, 70))))
    (on_store.folder / "out").mkdir()
    (on_store.folder / "out" / "mine").write_text("mine")
    assert "out" in on_store.fails("node", node, "seg", "export-shards", "spec.json", "out", code=2)
    assert "--data" in on_store.on().fails("node", node, "seg", "export-shards", "spec.json", "new", code=2)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (info((200, 130, 70), chunk=(64, 64, 64)), "blocks"),
        (info((200, 130, 70), shard=1), "do not fit"),
        (info((200, 130, 70), batch_size=-1), "batch_size"),
        (info((0, 130, 70)), "size"),
        ({"scales": [{}]}, "sharding"),
        ({"@type": "other", "scales": []}, "@type"),
        ([], "describes no"),
    ],
)
def test_a_spec_that_cannot_be_followed_is_refused(tmp_path, spec, said):
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    with pytest.raises(BadRequest, match=said):
        read_spec(str(tmp_path / "spec.json"), (32, 32, 32))


def test_shards_are_boxes_of_the_lowest_bits(tmp_path):
    """The example of tensorstore's own tests: axes of 4, 2 and 1 bits."""
    (tmp_path / "spec.json").write_text(json.dumps(info((16 * 32, 4 * 32, 2 * 32), preshift=2, minishard=3, shard=2)))
    (scale,) = read_spec(str(tmp_path / "spec.json"), (32, 32, 32)).scales
    assert scale.grid_zyx == (2, 4, 16)
    assert scale.shard_zyx == (2, 4, 4)
