"""Requests for whole blocks."""

import struct

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.datatypes.conftest import box_path

from dvid.codecs.images import decode_jpeg_block
from dvid.datatypes.imageblk import blocks as block_requests
from dvid.datatypes.imageblk import reading, streams

SIZE = 16**3


def parsed(stream, block_bytes=None):
    """The blocks of a stream by their coordinates, x y z."""
    found, at = {}, 0
    while at < len(stream):
        x, y, z, count = struct.unpack_from("<iiii", stream, at)
        assert block_bytes in (None, count)
        found[x, y, z] = stream[at + 16 : at + 16 + count]
        assert len(found[x, y, z]) == count
        at += 16 + count
    return found


def listed(blocks_xyz):
    return ",".join(str(n) for block in blocks_xyz for n in block)


@pytest.mark.parametrize("typename", ["uint8blk", "uint64blk", "rgba8blk"])
@pytest.mark.parametrize("compression", ["lz4", "none", "gzip", "snappy"])
@pytest.mark.parametrize("whole", [0, 1 << 20])
def test_block_streams_hold_what_was_written_and_skip_the_rest(make_image, monkeypatch, typename, compression, whole):
    monkeypatch.setattr(block_requests, "WHOLE_BYTES", whole)
    image = make_image(typename, BlockSize="16,16,16", Compression=compression)
    item = image.dtype.itemsize * image.channels
    for number, start in enumerate([(0, 0, 0), (-16, 0, 16), (16, 32, -32)]):
        image.write(start, image.random((16, 16, 32), number, [250, 2, 3][number]))
    written = {(x, 0, 0) for x in (0, 1)} | {(x, 0, -1) for x in (1, 2)} | {(x, 2, 1) for x in (-2, -1)}

    def voxels(block):
        x, y, z = block
        return image.read((z * 16, y * 16, x * 16), (16, 16, 16)).tobytes()

    stream = image.get(box_path("subvolblocks", (-32, -16, -32), (80, 64, 80)) + "?compression=uncompressed").content
    found = parsed(stream, SIZE * item)
    assert set(found) == written
    assert list(found) == sorted(found, key=lambda block: block[::-1])
    assert all(data == voxels(block) for block, data in found.items())

    wanted = [(2, 0, -1), (7, 7, 7), (-1, 2, 1), (0, 0, 0), (-5, -5, -5)]
    stream = image.get(f"specificblocks?blocks={listed(wanted)}&compression=uncompressed").content
    found = parsed(stream, SIZE * item)
    assert list(found) == [block for block in wanted if block in written]
    assert all(data == voxels(block) for block, data in found.items())
    assert image.get(f"specificblocks?blocks={listed(wanted)}&prefetch=true").content == b""
    assert image.get("specificblocks?blocks=").content == b""
    assert image.get(box_path("subvolblocks", (320, 320, 320), (16, 16, 16))).content == b""


def test_a_stream_of_many_blocks_is_looked_up_in_several_steps(image, monkeypatch):
    image.write((0, 0, 0), image.random((48, 48, 48)))
    path = box_path("subvolblocks", (-16, 0, 0), (64, 48, 64))
    whole = image.get(path).content
    monkeypatch.setattr(streams, "BLOCKS_AT_ONCE", 5)
    monkeypatch.setattr(streams, "PIECE_BYTES", 2 * SIZE)
    monkeypatch.setattr(block_requests, "WHOLE_BYTES", 0)
    assert image.get(path).content == whole
    assert len(parsed(whole, SIZE)) == 27


def test_a_tombstone_hides_a_block_from_streams_and_boxes(image):
    from dvid.versions.layout import DATA, block_key

    image.write((0, 0, 0), image.random((16, 16, 32)) | np.uint8(1))
    image.commit(image.node)
    child = image.child(image.node)
    image.database.edit(child, "image", lambda edit: edit.delete(DATA, block_key((0, 0, 1))))
    assert set(parsed(image.get(box_path("subvolblocks", (0, 0, 0), (16, 16, 32)), node=child).content)) == {(0, 0, 0)}
    assert not image.read((0, 0, 16), (16, 16, 16), node=child).any()
    assert image.read((0, 0, 0), (16, 16, 32)).all()


@pytest.mark.parametrize("typename", ["uint8blk", "uint32blk", "rgba8blk"])
@pytest.mark.parametrize("piece", [1, 1 << 19])
def test_rows_of_blocks_come_back_with_background_where_nobody_wrote(make_image, monkeypatch, typename, piece):
    monkeypatch.setattr(streams, "PIECE_BYTES", piece)
    image = make_image(typename, BlockSize="16,8,4", Background=9)
    item = image.dtype.itemsize * image.channels
    size = 16 * 8 * 4 * item
    data = np.random.default_rng(0).integers(0, 200, 3 * size, np.uint8).tobytes()
    image.post("blocks/-1_2_-3/3", data)
    assert image.get("blocks/-1_2_-3/3").content == data
    assert image.get("blocks/-2_2_-3/5").content == b"\x09" * size + data + b"\x09" * size
    first = image.read((-12, 16, -16), (4, 8, 16))
    assert first.tobytes() == data[:size]
    assert image.read((-12, 16, 16), (4, 8, 16)).tobytes() == data[2 * size :]


@settings(
    max_examples=10,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(st.integers(-3, 3), st.integers(1, 6), st.integers(0, 99))
def test_a_row_of_blocks_and_a_box_are_two_ways_to_write_the_same(make_image, first, count, seed):
    image = make_image("uint16blk", BlockSize="8,4,12")
    box = image.random((12, 4, 8 * count), seed)
    row = b"".join(box[:, :, 8 * n : 8 * n + 8].tobytes() for n in range(count))
    image.post(f"blocks/{first}_0_0/{count}", row)
    assert np.array_equal(image.read((0, 0, 8 * first), (12, 4, 8 * count)), box)
    image.write((12, 0, 8 * first), box)
    assert image.get(f"blocks/{first}_0_1/{count}").content == row


def test_jpeg_stored_blocks_leave_as_they_are_stored_or_decoded(make_image):
    image = make_image("uint8blk", BlockSize="16,16,16", Compression="jpeg:90")
    z, y, x = np.ogrid[:16, :16, :32]
    image.write((0, 0, 0), (4 * z + 3 * y + x).astype(np.uint8))
    path = box_path("subvolblocks", (0, 0, 0), (16, 16, 48))
    stored = parsed(image.get(path).content)
    assert set(stored) == {(0, 0, 0), (1, 0, 0)}
    plain = parsed(image.get(path + "?compression=uncompressed").content, SIZE)
    for (bx, by, bz), data in stored.items():
        assert data[:2] == b"\xff\xd8"
        decoded = decode_jpeg_block(data, (16, 16, 16))
        assert decoded.tobytes() == plain[bx, by, bz]
        assert np.array_equal(decoded, image.read((bz * 16, by * 16, bx * 16), (16, 16, 16)))


def test_blocks_of_bytes_become_jpeg_on_demand_and_others_do_not(make_image):
    image = make_image("uint8blk", BlockSize="16,16,16")
    image.write((0, 0, 0), np.full((16, 16, 16), 77, np.uint8))
    found = parsed(image.get(box_path("subvolblocks", (0, 0, 0), (16, 16, 32)) + "?compression=jpeg").content)
    assert list(found) == [(0, 0, 0)]
    assert np.abs(decode_jpeg_block(found[0, 0, 0], (16, 16, 16)).astype(int) - 77).max() <= 2
    other = make_image("uint16blk", BlockSize="16,16,16")
    assert other.ask("GET", "subvolblocks/16_16_16/0_0_0?compression=jpeg").status_code == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "subvolblocks/16_16_17/0_0_0"),
        ("GET", "subvolblocks/16_16_16/0_0_1"),
        ("GET", "subvolblocks/16_16/0_0_0"),
        ("GET", "subvolblocks/16_16_16/0_0_0?compression=lz4"),
        ("GET", "subvolblocks/16000_16000_16000/0_0_0"),
        ("GET", "specificblocks?blocks=1,2"),
        ("GET", "specificblocks?blocks=1,2,x"),
        ("GET", "blocks/0_0_0/0"),
        ("GET", "blocks/0_0_0/-1"),
        ("GET", "blocks/0_0_0/2147483647"),
        ("GET", "blocks/134217727_0_0/2"),
        ("POST", "blocks/0_0_0/2"),
        ("POST", "blocks/0_0_0/0"),
        ("POST", "blocks/0_0_0/2000000000"),
    ],
)
def test_requests_that_make_no_sense_or_are_too_large_are_refused(image, method, path):
    reply = image.ask(method, path, bytes(4096) if method == "POST" else None)
    assert reply.status_code in (400, 413), reply.text
    assert len(reply.text) > 20
    assert image.get("mutations").json == []


def test_what_is_known_of_blocks_at_a_time_is_bounded():
    assert reading.BLOCKS_AT_ONCE <= 1 << 14
    endless = list(range(50_000))
    assert max(map(len, streams.groups_of([(0, 0, n) for n in endless])())) == reading.BLOCKS_AT_ONCE
