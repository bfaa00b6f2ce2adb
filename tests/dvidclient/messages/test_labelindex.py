"""Promise: the index of a body is read as the message that protobuf defines, and what is no index is refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvidclient.messages.labelindex import BodyIndex
from dvidclient.messages.protobuf import bytes_field, number

at = st.integers(-(2**20) + 1, 2**20 - 1)
labels = st.integers(1, 2**64 - 1)
counts = st.dictionaries(labels, st.integers(0, 2**32 - 1), max_size=4)
indices = st.dictionaries(st.tuples(at, at, at), counts, max_size=6)


def message_of(index, label=7, mutation=9, texts=("2026-01-01T00:00:00Z", "me", "tour"), changed=()):
    """Of a dict of blocks z, y, x to dicts of supervoxels to voxels; blocks that a merge ``changed`` hold its number, too."""

    def key(zyx):
        parts = [abs(part) | (1 << 20 if part < 0 else 0) for part in zyx]
        return parts[0] << 42 | parts[1] << 21 | parts[2]

    def pair(first, second):
        return b"\x08" + number(first) + second

    blocks = []
    for zyx, held in index.items():
        entries = [b"".join(bytes_field(1, pair(one, b"\x10" + number(held[one])))) for one in held]
        held_by = b"".join(entries) + (b"\x10" + number(mutation) if zyx in changed else b"")
        blocks.append(b"".join(bytes_field(1, pair(key(zyx), b"".join(bytes_field(2, held_by))))))
    told = b"".join(b"".join(bytes_field(at, text.encode())) for at, text in enumerate(texts, 4))
    return b"".join(blocks) + b"\x10" + number(label) + b"\x18" + number(mutation) + told


@given(indices, st.integers(0, 6))
def test_an_index_comes_back_sorted(index, changed):
    found = BodyIndex.from_wire(message_of(index, changed=list(index)[:changed]))
    expected = [[*zyx, one, index[zyx][one]] for zyx in sorted(index) for one in sorted(index[zyx])]
    rows = zip(found.blocks_zyx.tolist(), found.supervoxels.tolist(), found.voxels.tolist(), strict=True)
    assert [[*block, supervoxel, voxels] for block, supervoxel, voxels in rows] == expected
    assert (found.body, found.mutation, found.time) == (7, 9, "2026-01-01T00:00:00Z")
    assert (found.user, found.app) == ("me", "tour")


@given(st.binary(max_size=60))
def test_any_bytes_are_an_index_or_refused(message):
    try:
        found = BodyIndex.from_wire(message)
    except ValueError:
        return
    assert 6 * len(found.voxels) <= len(message)


@given(indices, st.integers(0, 200), st.integers(0, 255))
def test_a_byte_that_is_wrong_is_refused_or_read(index, place, byte):
    message = bytearray(message_of(index))
    message[place % len(message)] = byte
    with contextlib.suppress(ValueError):
        BodyIndex.from_wire(bytes(message))


def test_an_index_says_what_it_is():
    found = BodyIndex.from_wire(message_of({(0, 0, 0): {5: 10, 6: 1}, (0, 0, -1): {5: 2}}))
    assert repr(found) == "<BodyIndex: body 7, 13 voxels of 2 supervoxels in 2 blocks>"
    assert found.blocks_zyx.tolist() == [[0, 0, -1], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (b"\x0a\x02\x08\x80", "the last number is cut off"),
        (b"\x0a\x02\x08\x01", "other numbers than a key and counts"),
        (b"\x0a\x04\x10\x01\x12\x00", "another field than 1"),
        (b"\x0a\x06\x08\x01\x12\x02\x18\x05", "another field than 2"),
        (b"\x0a\x0c\x08" + b"\xff" * 11, "the last number is cut off"),
        (b"\x0a\x0e\x08" + b"\xff" * 10 + b"\x01\x12\x00", "a number of 11 bytes"),
        (b"\x0a\x03\x08\x80\x80" + b"\x0a\x04\x01\x12\x00\x00", "a block of the index is cut off"),
    ],
)
def test_what_is_no_index_is_refused(message, said):
    with pytest.raises(ValueError, match=said):
        BodyIndex.from_wire(message)
