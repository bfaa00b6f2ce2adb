"""Requests for boxes of voxels, to read and to write."""

import json

import lz4.block
import numpy as np
import pytest
from isal import isal_zlib
from tests.datatypes.conftest import box_path

from dvid.codecs.images import decode_image
from dvid.datatypes.imageblk import raw, reading
from dvid.http.calls import Request
from dvid.storage.lmdb_snapshot import LmdbSnapshot

TYPES = ["uint8blk", "uint16blk", "uint32blk", "uint64blk", "float32blk", "rgba8blk"]


def png(reply):
    assert reply.headers["content-type"] == "image/png"
    return decode_image(reply.content, 1 << 24)


# ---- slices -------------------------------------------------------------------------------------


@pytest.mark.parametrize("typename", ["uint8blk", "uint16blk", "rgba8blk"])
@pytest.mark.parametrize("start", [(0, 0, 0), (-7, 5, -3), (20, -40, 11)])
def test_slices_are_cuts_through_the_volume(make_image, typename, start):
    image = make_image(typename, BlockSize="16,16,16")
    image.write((-16, -16, -16), image.random((48, 48, 48)))
    z, y, x = start
    volume = image.read((z, y, x), (9, 20, 33))
    offset = f"{x}_{y}_{z}"
    for plane, size, expected in [
        ("xy", "33_20", volume[0]),
        ("0_1", "33_20", volume[0]),
        ("xz", "33_9", volume[:, 0]),
        ("0_2", "33_9", volume[:, 0]),
        ("yz", "20_9", volume[:, :, 0]),
        ("1_2", "20_9", volume[:, :, 0]),
    ]:
        assert np.array_equal(png(image.get(f"raw/{plane}/{size}/{offset}")), expected), plane
        assert np.array_equal(png(image.get(f"raw/{plane}/{size}/{offset}/png")), expected), plane
        assert np.array_equal(png(image.get(f"isotropic/{plane}/{size}/{offset}")), expected), plane


def test_jpeg_slices_are_near_the_voxels_and_nearer_with_higher_quality(image):
    z, y, x = np.ogrid[:16, :32, :32]
    volume = (2 * z + 3 * y + x).astype(np.uint8)
    image.write((0, 0, 0), volume)
    errors = []
    for quality in ("10", "95"):
        reply = image.get(f"raw/xy/32_32/0_0_3/jpg:{quality}")
        assert reply.headers["content-type"] == "image/jpeg"
        errors.append(np.abs(decode_image(reply.content, 1 << 20).astype(int) - volume[3]).mean())
    assert errors[1] < errors[0] < 10
    assert errors[1] < 2


@pytest.mark.parametrize(
    "path",
    [
        "raw/xy/32_32_32/0_0_0",
        "raw/xy/0_32/0_0_0",
        "raw/xy/-1_32/0_0_0",
        "raw/xy/32_32/0_0",
        "raw/xy/32_32/0_0_0/bmp",
        "raw/xy/32_32/0_0_0/jpg:300",
        "raw/xw/32_32/0_0_0",
        "raw/0_1_2_3/32_32/0_0_0",
        "raw/0_1_2/32_32/0_0_0",
        "raw/0_1_2/32_0_32/0_0_0",
        "raw/0_1_2/32_32_32/0_0_0/png",
        "raw/0_1_2/32_32_32/0_0_2147483640",
        "raw/0_1_2/32_32_32/0_0_9999999999",
        "raw/0_1_2/32_32_32/0_0_0?compression=brotli",
        "raw/xy/32_32/0_0_0?compression=lz4",
        "raw/xy/32_32/0_0_0?attenuation=3",
        "raw/xy/32_32/0_0_0?roi=nothing",
        "raw/0_1_2/32_32_32/0_0_0?roi=image",
        "isotropic/xy/0_0/0_0_0",
        "raw/xy/100000_100000/0_0_0",
        "raw/0_1_2/2000_2000_2000/0_0_0",
        "raw/0_1_2/2000_2000_200/0_0_0?compression=lz4",
        "raw/0_1_2/2147483647_1_2147483647/0_0_0",
    ],
)
def test_requests_that_make_no_sense_or_are_too_large_are_refused_with_a_reason(image, path):
    reply = image.ask("GET", path)
    assert reply.status_code in (400, 413), reply.text
    assert len(reply.text) > 20


# ---- volumes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["lz4", "gzip"])
@pytest.mark.parametrize("shape", [(5, 17, 33), (40, 100, 300)])
def test_compressed_answers_hold_the_same_voxels(image, compression, shape):
    image.write((0, 0, 0), image.random((48, 112, 304), highest=4))
    start = (-3, 2, 5)
    packed = image.get(box_path("raw/0_1_2", start, shape) + f"?compression={compression}").content
    size = int(np.prod(shape))
    plain = (
        lz4.block.decompress(packed, uncompressed_size=size)
        if compression == "lz4"
        else isal_zlib.decompress(packed, 31)
    )
    assert plain == image.read(start, shape).tobytes()
    assert len(packed) < size


@pytest.mark.parametrize("typename", ["uint8blk", "rgba8blk"])
@pytest.mark.parametrize("compression", ["lz4", "gzip"])
@pytest.mark.parametrize(
    ("piece", "blocks", "unpacked"), [(5000, 1 << 14, 1 << 25), (70, 1 << 14, 0), (5000, 3, 1 << 25)]
)
def test_answers_in_pieces_are_those_in_one(make_image, monkeypatch, typename, compression, piece, blocks, unpacked):
    image = make_image(typename, BlockSize="16,8,4", Compression=compression)
    image.write((0, 0, 0), image.random((12, 24, 48), highest=3))
    image.write((20, 8, 32), image.random((4, 16, 32), 1))
    boxes = [((-3, -5, -7), (31, 40, 70)), ((1, 3, 2), (1, 1, 1)), ((0, 0, 0), (24, 24, 16)), ((5, 5, 5), (2, 90, 3))]
    whole = [image.read(*box) for box in boxes]
    monkeypatch.setattr(raw, "WHOLE_BYTES", 0)
    monkeypatch.setattr(reading, "PIECE_BYTES", piece)
    monkeypatch.setattr(reading, "BLOCKS_AT_ONCE", blocks)
    monkeypatch.setattr(reading, "_UNPACKED_BYTES", unpacked)
    for box, expected in zip(boxes, whole, strict=True):
        assert np.array_equal(image.read(*box), expected), box


def test_voxels_nobody_wrote_are_zero_whatever_the_background(make_image):
    image = make_image("uint16blk", BlockSize="16,16,16", Background=7)
    image.write((0, 0, 0), image.random((16, 16, 16), highest=9) + np.uint16(1))
    found = image.read((0, 0, -16), (16, 16, 48))
    assert (found[:, :, 16:32] > 0).all()
    assert not found[:, :, :16].any()
    assert not found[:, :, 32:].any()


def test_a_volume_of_bytes_leaves_as_one_jpeg_too(image):
    image.write((0, 0, 0), np.full((16, 16, 16), 90, np.uint8))
    reply = image.get("raw/0_1_2/16_16_16/0_0_0/jpg:90")
    assert reply.headers["content-type"] == "image/jpeg"
    planes = decode_image(reply.content, 1 << 20)
    assert planes.shape == (256, 16)
    assert np.abs(planes.astype(int) - 90).max() <= 2


# ---- writing ------------------------------------------------------------------------------------


def test_a_box_that_cuts_blocks_is_refused_unless_that_is_asked_for(image):
    body = bytes(16 * 16 * 17)
    refused = image.ask("POST", "raw/0_1_2/16_16_17/0_0_0", body)
    assert refused.status_code == 400
    assert "unaligned=true" in refused.text
    assert image.get("info").json["Extended"]["MinPoint"] is None
    image.post("raw/0_1_2/16_16_17/0_0_0?unaligned=true", body)


@pytest.mark.parametrize("compression", ["", "lz4", "gzip"])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("off", [-1, 1, 4096])
def test_a_body_of_another_length_than_the_box_is_refused_and_leaves_no_trace(image, compression, aligned, off):
    size = 16 * 16 * 16 if aligned else 16 * 16 * 15
    encode = {
        "": bytes,
        "lz4": lambda data: lz4.block.compress(data, store_size=False),
        "gzip": lambda data: isal_zlib.compress(data, 1, 31),
    }
    path = f"raw/0_1_2/16_16_{size // 256}/0_0_0?unaligned=true&compression={compression}"
    reply = image.ask("POST", path, encode[compression](b"\1" * (size + off)))
    assert reply.status_code in (400, 413), reply.text
    assert not image.read((0, 0, 0), (16, 16, 16)).any()
    assert image.get("mutations").json == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("raw/xy/16_16/0_0_0", 400),
        ("isotropic/0_1_2/16_16_16/0_0_0", 400),
        ("raw/0_1_2/16_16_16/0_0_0?compression=zip", 400),
        ("raw/0_1_2/16_16_16/0_0_0?mutate=perhaps", 400),
        ("raw/0_1_2/16_16_16/0_0_0?roi=image", 400),
        ("raw/0_1_2/16_0_16/0_0_0", 400),
        ("raw/0_1_2/16_16_16/0_0_2147483632", 400),
        ("raw/0_1_2/20000_20000_20000/0_0_0", 413),
    ],
)
def test_writes_that_make_no_sense_are_refused(image, path, status):
    assert image.ask("POST", path, bytes(4096)).status_code == status


def test_the_largest_body_is_a_setting(make_image):
    image = make_image(BlockSize="16,16,16", limits={"limits.bodyBytes": 5000})
    image.write((0, 0, 0), image.random((16, 16, 16)))
    assert image.ask("POST", "raw/0_1_2/16_16_32/0_0_0", bytes(8192)).status_code == 413


def test_the_extents_grow_with_boxes_and_not_with_blocks(image):
    def points():
        shown = image.get("info").json["Extended"]
        return shown["MinPoint"], shown["MaxPoint"]

    assert points() == (None, None)
    image.post("blocks/5_5_5/1", bytes(4096))
    assert points() == (None, None)
    image.write((16, 0, -32), image.random((16, 16, 32)))
    assert points() == ([-32, 0, 16], [-1, 15, 31])
    image.write((3, 40, 2), image.random((2, 2, 2)), "?unaligned=true")
    assert points() == ([-32, 0, 3], [3, 41, 31])
    image.write((16, 0, -32), image.random((16, 16, 32)))
    assert points() == ([-32, 0, 3], [3, 41, 31])


def test_each_write_is_an_event_with_a_mutation_id_of_its_own(image):
    image.write((0, 0, 16), image.random((16, 32, 48)))
    image.write((0, 0, 16), image.random((16, 32, 48)), "?mutate=true")
    image.write((1, 2, 3), image.random((1, 1, 1)), "?unaligned=true&mutate=true")
    image.post("blocks/-1_0_2/3", bytes(3 * 4096))
    events = image.get("mutations").json
    assert [event["Action"] for event in events] == ["ingest-blocks", "mutate-blocks", "mutate-blocks", "ingest-blocks"]
    assert [event["Offset"] for event in events] == [[16, 0, 0], [16, 0, 0], [3, 2, 1], [-16, 0, 32]]
    assert [event["Size"] for event in events] == [[48, 32, 16], [48, 32, 16], [1, 1, 1], [48, 16, 16]]
    assert [event["Blocks"] for event in events] == [6, 6, 1, 3]
    assert len({event["MutationID"] for event in events}) == 4


def test_a_write_to_a_branch_that_moves_on_while_it_arrives_is_refused(image, monkeypatch):
    planes_of = raw.sent_planes

    def slow(*arguments):
        image.commit(image.node)
        image.child(image.node)
        return planes_of(*arguments)

    monkeypatch.setattr(raw, "sent_planes", slow)
    reply = image.ask("POST", "raw/0_1_2/16_16_16/0_0_0", bytes(4096), node=f"{image.node}:master")
    assert reply.status_code == 409
    assert "send it again" in reply.text


def test_no_snapshot_is_open_while_a_body_arrives(image, monkeypatch):
    opened, seen = [], []
    enter, leave, read = LmdbSnapshot.__enter__, LmdbSnapshot.__exit__, Request.read
    monkeypatch.setattr(LmdbSnapshot, "__enter__", lambda self: (opened.append(self), enter(self))[1])
    monkeypatch.setattr(LmdbSnapshot, "__exit__", lambda self, *error: (opened.remove(self), leave(self, *error))[1])
    monkeypatch.setattr(Request, "read", lambda self, size: (seen.append(len(opened)), read(self, size))[1])
    image.post("raw/0_1_2/16_16_16/0_0_0", bytes(4096))
    image.post("raw/0_1_2/16_16_15/0_0_0?unaligned=true", bytes(4096 - 256))
    image.post("blocks/0_0_0/1", bytes(4096))
    assert len(seen) >= 3
    assert not any(seen)


# ---- regions ------------------------------------------------------------------------------------


def painted(spans, size_zyx, start, shape):
    """Which voxels of a box lie in a region given by spans [z, y, x0, x1]."""
    inside = np.zeros(shape, bool)
    for z, y, x0, x1 in spans:
        for block_x in range(x0, x1 + 1):
            low = [b * s - a for b, s, a in zip((z, y, block_x), size_zyx, start, strict=True)]
            part = tuple(slice(max(a, 0), max(a + s, 0)) for a, s in zip(low, size_zyx, strict=True))
            inside[part] = True
    return inside


SPANS = [[-1, 0, -1, 0], [0, 0, 0, 1], [0, 1, 3, 3], [1, -1, 0, 4]]


@pytest.mark.parametrize("typename", ["uint8blk", "uint16blk", "rgba8blk"])
@pytest.mark.parametrize(("edge", "whole"), [("16,16,16", 1 << 20), ("10,12,7", 1 << 20), ("10,12,7", 0)])
def test_outside_a_region_voxels_are_zero(make_image, monkeypatch, typename, edge, whole):
    image = make_image(typename, BlockSize="16,16,16")
    image.make("roi", "r", BlockSize=edge)
    image.post("roi", json.dumps(SPANS), name="r")
    image.write((-16, -16, -16), image.random((48, 48, 80)))
    start, shape = (-9, -5, -8), (33, 30, 61)
    plain = image.read(start, shape)
    inside = painted(SPANS, tuple(map(int, edge.split(",")))[::-1], start, shape)
    monkeypatch.setattr(raw, "WHOLE_BYTES", whole)
    monkeypatch.setattr(reading, "PIECE_BYTES", 3000)
    found = image.get(box_path("raw/0_1_2", start, shape) + "?roi=r").content
    expected = plain * (inside if image.channels == 1 else inside[..., None])
    assert np.array_equal(np.frombuffer(found, image.dtype).reshape(plain.shape), expected)


@pytest.mark.parametrize("attenuation", [1, 3, 7])
def test_outside_a_region_slices_are_attenuated_on_demand(image, attenuation):
    image.make("roi", "r", BlockSize="16,16,16")
    image.post("roi", json.dumps(SPANS), name="r")
    image.write((-16, -16, -16), image.random((48, 48, 80)))
    plain = image.read((3, -16, -16), (1, 40, 70))[0]
    inside = painted(SPANS, (16, 16, 16), (3, -16, -16), (1, 40, 70))[0]
    found = png(image.get(f"raw/xy/70_40/-16_-16_3?roi=r&attenuation={attenuation}"))
    assert np.array_equal(found, np.where(inside, plain, plain >> attenuation))
    for refused in (0, 8, "x"):
        assert image.ask("GET", f"raw/xy/70_40/-16_-16_3?roi=r&attenuation={refused}").status_code == 400


def test_attenuation_is_for_bytes(make_image):
    image = make_image("uint16blk", BlockSize="16,16,16")
    image.make("roi", "r")
    assert image.ask("GET", "raw/xy/16_16/0_0_0?roi=r&attenuation=2").status_code == 400


@pytest.mark.parametrize("edge", ["16,16,16", "10,12,7", "64,64,64"])
@pytest.mark.parametrize(("start", "shape"), [((-16, -16, -16), (48, 48, 80)), ((-9, -5, -8), (33, 30, 61))])
def test_only_blocks_that_touch_the_region_are_written(image, edge, start, shape):
    image.make("roi", "r", BlockSize=edge)
    image.post("roi", json.dumps(SPANS), name="r")
    voxels = image.random(shape) | np.uint8(1)
    image.write(start, voxels, "?roi=r&unaligned=true")
    size = tuple(map(int, edge.split(",")))[::-1]
    world = painted(SPANS, size, (-32, -32, -32), (96, 96, 128))
    expected = np.zeros((96, 96, 128), np.uint8)
    expected[tuple(slice(a + 32, a + 32 + n) for a, n in zip(start, shape, strict=True))] = voxels
    blocks = world.reshape(6, 16, 6, 16, 8, 16).any(axis=(1, 3, 5))
    kept = blocks.repeat(16, 0).repeat(16, 1).repeat(16, 2)
    assert np.array_equal(image.read((-32, -32, -32), (96, 96, 128)), expected * kept)
    assert (
        image.get("mutations").json[0]["Blocks"]
        == (expected * kept).reshape(6, 16, 6, 16, 8, 16).any(axis=(1, 3, 5)).sum()
    )


# ---- settings -----------------------------------------------------------------------------------


def test_the_voxel_size_may_be_called_res(make_image):
    assert make_image("uint8blk", Res="3.2,3.2,40").get("info").json["Extended"]["VoxelSize"] == [3.2, 3.2, 40]
    assert make_image("uint8blk", GridStore="s", ScaleLevel=2).get("info").json["Extended"]["ScaleLevel"] == 2
