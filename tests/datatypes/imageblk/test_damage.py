"""Damaged blocks: an error that names the key, never wrong voxels."""

import numpy as np
import pytest

from dvid.datatypes.imageblk import blocks as block_requests
from dvid.datatypes.imageblk import raw
from dvid.datatypes.imageblk.reading import read_box
from dvid.errors import CorruptValue
from dvid.geometry import Box
from dvid.versions.envelope import Format, compress, seal
from dvid.versions.layout import DATA, block_key

READS = [
    "raw/0_1_2/32_16_16/0_0_0",
    "raw/0_1_2/32_16_16/0_0_0?compression=lz4",
    "raw/0_1_2/32_16_16/0_0_0?compression=gzip",
    "raw/xy/32_16/0_0_3",
    "raw/yz/16_16/20_0_0/jpg",
    "isotropic/xz/32_16/0_3_0",
    "blocks/0_0_0/2",
    "subvolblocks/32_16_16/0_0_0?compression=uncompressed",
    "specificblocks?blocks=0,0,0,1,0,0&compression=uncompressed",
    "arb/0_0_0/240_0_0/0_120_0/8",
]


def stored(image):
    """The stored key of block (1, 0, 0), and its value."""
    with image.database.view(image.node, "image") as view:
        (key,), (value,) = view.stored(DATA, [block_key((0, 0, 1))])
        return key, bytes(value)


def replace(image, key, value):
    image.database.transact(lambda tx, _: tx.put(key, value))


@pytest.fixture(params=["lz4", "none", "gzip", "snappy", "jpeg"])
def image_of_two_blocks(request, make_image):
    image = make_image("uint8blk", BlockSize="16,16,16", Compression=request.param)
    image.write((0, 0, 0), image.random((16, 16, 32), highest=3))
    return image


@pytest.mark.parametrize("path", [*READS, "subvolblocks/32_16_16/0_0_0?compression=jpeg"])
def test_every_read_of_a_damaged_block_is_an_error_that_names_its_key(image_of_two_blocks, path):
    image = image_of_two_blocks
    key, good = stored(image)
    random = np.random.default_rng(len(path))
    places = [0, 1, 8, 9, 10, 13, len(good) - 1, *random.integers(0, len(good), 5).tolist()]
    bad_values = [good[:at] + bytes([good[at] ^ (1 << int(random.integers(0, 8)))]) + good[at + 1 :] for at in places]
    for bad in [*bad_values, good[:-1], good[:9], good[:4], b"", good + b"\0"]:
        replace(image, key, bad)
        reply = image.ask("GET", path)
        assert reply.status_code == 500, (path, bad[:12], len(bad))
        assert key.hex() in reply.text
    replace(image, key, good)
    image.get(path)


@pytest.mark.parametrize("form", [Format.RAW, Format.LZ4, Format.GZIP, Format.SNAPPY, Format.JPEG])
@pytest.mark.parametrize("size", [0, 100, 4095, 4097])
@pytest.mark.parametrize("path", READS)
def test_a_block_of_another_size_is_an_error_though_its_checksum_is_right(image, form, size, path):
    image.write((0, 0, 0), image.random((16, 16, 32)))
    key, _ = stored(image)
    payload = bytes(size) if form is Format.JPEG else compress(bytes(size), form)
    replace(image, key, seal(key, payload, form))
    reply = image.ask("GET", path)
    assert reply.status_code == 500
    assert key.hex() in reply.text


@pytest.mark.parametrize("path", ["raw/0_1_2/32_16_16/0_0_0", "blocks/0_0_0/2", "subvolblocks/32_16_16/0_0_0"])
def test_an_answer_in_pieces_is_cut_before_the_damage(image, monkeypatch, path):
    monkeypatch.setattr(raw, "WHOLE_BYTES", 0)
    monkeypatch.setattr(block_requests, "WHOLE_BYTES", 0)
    image.write((0, 0, 0), image.random((16, 16, 32)))
    expected = image.get(path).content
    key, good = stored(image)
    replace(image, key, good[:-1] + bytes([good[-1] ^ 1]))
    found = image.ask("GET", path)
    assert len(found.content) < len(expected)
    assert expected.startswith(found.content)


def test_damage_elsewhere_does_not_matter(image):
    voxels = image.random((16, 16, 32))
    image.write((0, 0, 0), voxels)
    key, good = stored(image)
    replace(image, key, good[:-1])
    assert np.array_equal(image.read((0, 0, 0), (16, 16, 16)), voxels[:, :, :16])
    with image.database.view(image.node, "image") as view, pytest.raises(CorruptValue, match=key.hex()):
        read_box(view, Box((0, 0, 0), (1, 1, 17)))


def test_a_write_that_would_keep_part_of_a_damaged_block_is_an_error(image):
    image.write((0, 0, 0), image.random((16, 16, 32)))
    key, good = stored(image)
    replace(image, key, good[:-1])
    reply = image.ask("POST", "raw/0_1_2/5_5_5/20_0_0?unaligned=true", bytes(125))
    assert reply.status_code == 500
    assert key.hex() in reply.text
    assert stored(image)[1] == good[:-1]
    image.write((0, 0, 16), np.zeros((16, 16, 16), np.uint8))
    assert not image.read((0, 0, 16), (16, 16, 16)).any()
