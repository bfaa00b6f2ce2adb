"""Whole blocks of labels, as clients send and get them."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import lz4.block
import numpy as np
import pytest
from tests.datatypes.labelmap.conftest import MakeSegmentation, Segmentation
from tests.kernels.labelblock_model import decode as decode_block
from tests.kernels.labelblock_model import serialize

from dvid.background import work_off
from dvid.codecs.labelblocks import encode, solid
from dvid.datatypes.labelmap import blocks as blocks_module

Labels = np.ndarray[Any, np.dtype[np.uint64]]
Xyz = tuple[int, int, int]

SIDE = (16, 16, 16)
LARGE = 2**64 - 2


def random(seed: int = 0, shape: Any = SIDE) -> Labels:
    pool = np.array([0, 1, 2, 3, 2**63 + 1, LARGE], np.uint64)
    return np.random.default_rng(seed).choice(pool, shape)


def message(*blocks: tuple[Xyz, bytes]) -> bytes:
    """A stream of blocks: (x, y, z) and the bytes of each."""
    return b"".join(struct.pack("<4i", *xyz, len(data)) + data for xyz, data in blocks)


def packed(voxels: Labels) -> bytes:
    return gzip.compress(encode(voxels))


def parts(data: bytes) -> Iterator[tuple[Xyz, bytes]]:
    at = 0
    while at < len(data):
        x, y, z, size = struct.unpack_from("<4i", data, at)
        yield (x, y, z), data[at + 16 : at + 16 + size]
        assert at + 16 + size <= len(data)
        at += 16 + size


UNPACK: dict[str, Callable[[bytes], Labels]] = {
    "blocks": lambda data: decode_block(gzip.decompress(data)),
    "lz4": lambda data: np.frombuffer(lz4.block.decompress(data, uncompressed_size=32768), np.uint64).reshape(SIDE),
    "gzip": lambda data: np.frombuffer(gzip.decompress(data), np.uint64).reshape(SIDE),
    "uncompressed": lambda data: np.frombuffer(data, np.uint64).reshape(SIDE),
}


@pytest.fixture
def labels(make_segmentation: MakeSegmentation) -> Segmentation:
    return make_segmentation(BlockSize="16,16,16", MaxDownresLevel=1)


def stored(segmentation: Segmentation) -> list[tuple[bytes, bytes]]:
    """Everything in the store."""
    with segmentation.database.store.snapshot() as snapshot:
        return [(bytes(key), bytes(value)) for key, value in snapshot.scan(b"", b"\xff" * 9)]


def counts(segmentation: Segmentation, voxels: Labels, start: Any, **where: str) -> None:
    """What the index, the sizes and the members say is what counting the voxels says."""
    names, sizes = np.unique(voxels[voxels != 0], return_counts=True)
    listed = segmentation.get("listlabels?sizes=true", **where).content
    rows = np.frombuffer(listed, np.uint64).reshape(-1, 2)
    assert dict(rows.tolist()) == dict(zip(names.tolist(), sizes.tolist(), strict=True))
    for name in names.tolist():
        runs = np.frombuffer(segmentation.get(f"sparsevol/{name}", **where).content, "<i4")[3:].reshape(-1, 4)
        found = np.zeros(voxels.shape, bool)
        for x, y, z, length in runs.tolist():
            found[z - start[0], y - start[1], x - start[2] : x - start[2] + length] = True
        np.testing.assert_array_equal(found, voxels == np.uint64(name))


# ---- in and out ---------------------------------------------------------------------------------


def test_blocks_are_answered_as_they_were_sent(labels: Segmentation) -> None:
    sent = {(x, 0, -1): packed(random(x + 9)) for x in range(-2, 3)}
    sent[7, -3, 2] = packed(np.full(SIDE, LARGE, np.uint64))
    sent[0, 5, 0] = packed(np.zeros(SIDE, np.uint64))
    labels.post("blocks", message(*sent.items()))
    wanted = ",".join(f"{x},{y},{z}" for x, y, z in [*sent, (50, 50, 50)])
    assert dict(parts(labels.get(f"specificblocks?blocks={wanted}").content)) == sent
    assert dict(parts(labels.get("blocks/112_16_16/-48_0_-16?compression=blocks").content)) == {
        xyz: data for xyz, data in sent.items() if xyz[1:] == (0, -1)
    }
    assert labels.info()["Extended"]["MinPoint"] == [-32, -48, -16]
    assert labels.info()["Extended"]["MaxPoint"] == [127, 95, 47]
    assert labels.info()["Extended"]["MaxRepoLabel"] == LARGE


@pytest.mark.parametrize("compression", list(UNPACK))
@pytest.mark.parametrize("supervoxels", [False, True])
def test_blocks_hold_bodies_unless_supervoxels_are_asked_for(
    labels: Segmentation, compression: str, supervoxels: bool
) -> None:
    sent = {(x, 1, 0): random(x, SIDE) for x in range(3)}
    sent[3, 1, 0] = np.full(SIDE, 3, np.uint64)
    labels.post("blocks", message(*((xyz, packed(voxels)) for xyz, voxels in sent.items())))
    labels.post("merge", [1, 3, LARGE])
    asked = f"compression={compression}&supervoxels={str(supervoxels).lower()}"
    for path in (f"blocks/64_16_16/0_16_0?{asked}", f"specificblocks?blocks=0,1,0,1,1,0,2,1,0,3,1,0&{asked}"):
        found = dict(parts(labels.get(path).content))
        assert list(found) == list(sent)
        for xyz, data in found.items():
            expected = sent[xyz].copy()
            if not supervoxels:
                expected[(expected == 3) | (expected == np.uint64(LARGE))] = 1
            np.testing.assert_array_equal(UNPACK[compression](data), expected)


def test_blocks_of_lower_resolutions_are_never_old(labels: Segmentation) -> None:
    for seed in range(2):
        voxels = random(seed, (32, 32, 32))
        labels.write((0, 0, 0), voxels)
        expected = np.frombuffer(labels.get("raw/0_1_2/16_16_16/0_0_0?scale=1").content, np.uint64)
        for compression, unpack in UNPACK.items():
            ((xyz, data),) = parts(labels.get(f"blocks/16_16_16/0_0_0?scale=1&compression={compression}").content)
            assert xyz == (0, 0, 0)
            np.testing.assert_array_equal(unpack(data).reshape(-1), expected)
        if seed == 0:
            while work_off(labels.database):
                pass


def test_many_blocks_leave_in_pieces(labels: Segmentation, monkeypatch: pytest.MonkeyPatch) -> None:
    voxels = random(1, (48, 48, 48))
    labels.write((-16, -16, -16), voxels)
    whole = labels.get("blocks/96_96_96/-48_-48_-48").content
    monkeypatch.setattr(blocks_module, "_WHOLE_BLOCKS", 3)
    monkeypatch.setattr(blocks_module, "_AT_ONCE", 5)
    assert labels.get("blocks/96_96_96/-48_-48_-48").content == whole
    found = dict(parts(whole))
    assert len(found) == 27
    for (x, y, z), data in found.items():
        low = [16 * at + 16 for at in (z, y, x)]
        part = voxels[tuple(slice(edge, edge + 16) for edge in low)]
        np.testing.assert_array_equal(UNPACK["lz4"](data), part)


def test_of_two_blocks_for_one_place_the_last_one_counts(labels: Segmentation) -> None:
    first, last = random(1), random(2)
    labels.post("blocks", message(((0, 0, 0), packed(first)), ((1, 0, 0), packed(first)), ((0, 0, 0), packed(last))))
    both = np.concatenate((last, first), 2)
    np.testing.assert_array_equal(labels.read((0, 0, 0), (16, 16, 32)), both)
    counts(labels, both, (0, 0, 0))


def test_a_stream_without_blocks_changes_nothing(labels: Segmentation) -> None:
    before = stored(labels)
    labels.post("blocks", b"")
    labels.post("ingest-supervoxels", b"")
    assert stored(labels) == before
    assert labels.get("specificblocks").content == b""
    assert labels.get("blocks/16_16_16/0_0_0").content == b""


@pytest.mark.parametrize("downres", [False, True])
def test_index_sizes_and_members_follow_blocks_that_are_overwritten(labels: Segmentation, downres: bool) -> None:
    start, shape = (-16, 0, -16), (32, 16, 48)
    voxels = random(0, shape)
    labels.write(start, voxels)
    node = labels.node
    for round_ in range(4):
        place = (round_ % 3 - 1, 0, round_ % 2 - 1)
        new = [random(round_ + 5), np.full(SIDE, 9, np.uint64), np.zeros(SIDE, np.uint64), random(77)][round_]
        labels.post(f"blocks?downres={str(downres).lower()}", message((place, packed(new))), node=node)
        z, y, x = (16 * at - low for at, low in zip(place[::-1], start, strict=True))
        voxels[z : z + 16, y : y + 16, x : x + 16] = new
        counts(labels, voxels, start, node=node)
        if round_ == 1:
            older = voxels.copy()
            labels.commit(node)
            node, parent = labels.child(node), node
    counts(labels, older, start, node=parent)


def test_a_supervoxel_that_is_overwritten_leaves_its_body(labels: Segmentation) -> None:
    voxels = np.repeat(np.array([1, 2, 3, 4], np.uint64), 4)[None, None] * np.ones((16, 16, 1), np.uint64)
    labels.write((0, 0, 0), voxels)
    labels.post("merge", [1, 2, 3])
    assert sorted(labels.get("supervoxels/1").json) == [1, 2, 3]
    voxels[voxels == 1] = 4
    labels.write((0, 0, 0), voxels)
    assert sorted(labels.get("supervoxels/1").json) == [2, 3]
    assert labels.get("size/1").json["voxels"] == 2048
    voxels[:] = 4
    labels.post("blocks", message(((0, 0, 0), packed(voxels))))
    assert labels.status("GET", "supervoxels/1") == 404
    assert labels.get("size/4").json["voxels"] == 4096


def test_blocks_of_any_legal_form_are_counted_right(labels: Segmentation) -> None:
    rng = np.random.default_rng(3)
    # Duplicates and unused labels in the list, sub-blocks without a table: nothing an encoder here writes.
    tables = [[0, 1, 3], [], [2], [4, 0], [5, 5], [1], [3, 2], [0]]
    places = [rng.integers(0, max(len(table), 1), 512) for table in tables]
    data = serialize((2, 2, 2), [7, 7, 0, 2**63, 9, 1000], tables, places)
    labels.post("blocks", message(((0, 0, 0), gzip.compress(data))))
    voxels = decode_block(data)
    np.testing.assert_array_equal(labels.read((0, 0, 0), SIDE), voxels)
    counts(labels, voxels, (0, 0, 0))


@pytest.mark.parametrize("cut", [0, 3, 16, 20, 100])
@pytest.mark.parametrize("compression", list(UNPACK))
def test_gzip_of_several_members_is_read_like_any_other(labels: Segmentation, cut: int, compression: str) -> None:
    voxels = random(4)
    data = encode(voxels)
    labels.post("blocks", message(((0, 0, 0), gzip.compress(data[:cut]) + gzip.compress(data[cut:], 9) + bytes(3))))
    labels.post("merge", [1, 3])
    voxels[voxels == 3] = 1
    ((_, found),) = parts(labels.get(f"blocks/16_16_16/0_0_0?compression={compression}").content)
    np.testing.assert_array_equal(UNPACK[compression](found), voxels)
    np.testing.assert_array_equal(labels.read((0, 0, 0), SIDE), voxels)


# ---- what is kept apart -------------------------------------------------------------------------


def test_noindexing_and_ingest_store_blocks_and_no_index(labels: Segmentation) -> None:
    voxels = np.full(SIDE, 5, np.uint64)
    labels.post("blocks?noindexing=true", message(((0, 0, 0), packed(voxels))))
    assert labels.status("GET", "sparsevol/5") == 404
    assert labels.info()["Extended"]["MaxPoint"] == [15, 15, 15]
    labels.post("ingest-supervoxels", message(((4, 0, 0), packed(voxels + np.uint64(1)))))
    assert labels.info()["Extended"]["MaxPoint"] == [15, 15, 15]
    assert (labels.read((0, 0, 64), SIDE) == 6).all()
    assert (labels.read((0, 0, 0), SIDE) == 5).all()


def test_blocks_without_an_index_are_replaced_by_others_with_one(labels: Segmentation) -> None:
    labels.post("blocks?noindexing=true", message(((0, 0, 0), packed(np.full(SIDE, 5, np.uint64)))))
    labels.post("blocks", message(((0, 0, 0), packed(np.full(SIDE, 6, np.uint64)))))
    counts(labels, np.full(SIDE, 6, np.uint64), (0, 0, 0))


def test_without_an_index_voxels_are_kept_and_questions_for_it_are_refused(
    make_segmentation: MakeSegmentation,
) -> None:
    labels = make_segmentation(BlockSize="16,16,16", IndexedLabels="false", MaxDownresLevel=1)
    voxels = random(1, (32, 16, 16))
    labels.write((0, 0, 0), voxels)
    labels.post("blocks", message(((0, 0, 1), packed(voxels[:16]))))
    expected = np.concatenate((voxels[:16], voxels[:16]))
    np.testing.assert_array_equal(labels.read((0, 0, 0), expected.shape), expected)
    assert labels.get("raw/0_1_2/8_8_16/0_0_0?scale=1").content != bytes(8192)
    for path in ("sparsevol/1", "sparsevol-coarse/1", "sparsevol-by-point/0_0_0", "sparsevols-coarse/1/2", "size/1"):
        reply = labels.ask("GET", path)
        assert reply.status_code == 400, (path, reply.text)


def test_clients_may_send_lower_resolutions_of_their_own(labels: Segmentation) -> None:
    labels.write((0, 0, 0), random(1, (32, 32, 32)))
    own = random(2)
    labels.post("blocks?scale=1", message(((0, 0, 0), packed(own))))
    for _ in range(2):
        ((_, data),) = parts(labels.get("blocks/16_16_16/0_0_0?scale=1&compression=blocks").content)
        np.testing.assert_array_equal(decode_block(gzip.decompress(data)), own)
        work_off(labels.database, 100)
    counts(labels, labels.read((0, 0, 0), (32, 32, 32)), (0, 0, 0))


# ---- what is refused ----------------------------------------------------------------------------

GOOD = packed(random(8))
BLOCK = encode(random(8))
BOMB = gzip.compress(bytes(64 << 20))


@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        (b"abc", {400}),
        (message(((0, 0, 0), GOOD))[:-1], {400}),
        (message(((0, 0, 0), GOOD)) + b"\0" * 15, {400}),
        (message(((0, 0, 0), GOOD)) + struct.pack("<4i", 1, 0, 0, 5), {400}),
        (struct.pack("<4i", 0, 0, 0, 0), {400}),
        (struct.pack("<4i", 0, 0, 0, -5) + GOOD, {400}),
        (struct.pack("<4i", 0, 0, 0, 2**31 - 1) + GOOD, {400}),
        (message(((0, 0, 0), GOOD), ((1, 0, 0), GOOD[:-9])), {400}),
        (message(((0, 0, 0), GOOD), ((1, 0, 0), GOOD[:40] + b"\xff\xff\xff" + GOOD[43:])), {400}),
        (message(((0, 0, 0), GOOD), ((1, 0, 0), GOOD + b"more")), {400}),
        (message(((0, 0, 0), BLOCK)), {400}),
        (message(((0, 0, 0), zlib.compress(BLOCK))), {400}),
        (message(((0, 0, 0), gzip.compress(b""))), {400}),
        (message(((0, 0, 0), gzip.compress(BLOCK[:-1]))), {400}),
        (message(((0, 0, 0), gzip.compress(BLOCK + b"\0"))), {400}),
        (message(((0, 0, 0), gzip.compress(struct.pack("<4I", 2, 2, 2, 2**32 - 1)))), {400}),
        (message(((0, 0, 0), gzip.compress(struct.pack("<4I", 2, 2, 2, 0)))), {400}),
        (message(((0, 0, 0), gzip.compress(encode(np.zeros((16, 16, 32), np.uint64))))), {400}),
        (message(((0, 0, 0), gzip.compress(solid(5, (64, 64, 64))))), {400}),
        (message(((0, 0, 0), gzip.compress(random(1).tobytes()))), {400}),
        (message(((0, 0, 0), BOMB)), {413}),
        (message(((0, 0, 0), gzip.compress(BLOCK) + BOMB)), {413}),
        (message(((2**27, 0, 0), GOOD)), {400}),
        (message(((0, -(2**27) - 1, 0), GOOD)), {400}),
        (message(((0, 0, 2**31 - 1), GOOD)), {400}),
        (message(((0, 0, 0), GOOD), ((-(2**31), 0, 0), GOOD)), {400}),
    ],
)
@pytest.mark.parametrize("path", ["blocks", "blocks?downres=true", "ingest-supervoxels?scale=1"])
def test_damaged_streams_are_refused_and_leave_nothing_behind(
    labels: Segmentation, path: str, body: bytes, statuses: set[int]
) -> None:
    before = stored(labels)
    reply = labels.ask("POST", path, body)
    assert reply.status_code in statuses, reply.text
    assert len(reply.text) > 20
    assert stored(labels) == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "blocks?downres=true&scale=1"),
        ("POST", "blocks?scale=2"),
        ("POST", "blocks?compression=lz4"),
        ("POST", "ingest-supervoxels?scale=2"),
        ("GET", "blocks/16_16_16/0_0_0?scale=2"),
        ("GET", "blocks/16_16_16/0_0_0?compression=google"),
        ("GET", "blocks/16_16_17/0_0_0"),
        ("GET", "blocks/16_16_16/0_1_0"),
        ("GET", "blocks/16_16/0_1_0"),
        ("GET", "blocks/0_16_16/0_0_0"),
        ("GET", "blocks/16_16_16/0_0_2147483632"),
        ("GET", "specificblocks?blocks=1,2"),
        ("GET", "specificblocks?blocks=1,2,x"),
        ("GET", "specificblocks?blocks=1,2,2147483648"),
        ("GET", "specificblocks?blocks=0,0,0&scale=2"),
    ],
)
def test_requests_that_make_no_sense_are_refused(labels: Segmentation, method: str, path: str) -> None:
    reply = labels.ask(method, path, message(((0, 0, 0), GOOD)) if method == "POST" else None)
    assert reply.status_code == 400, reply.text


def test_blocks_at_the_ends_of_the_coordinates_are_kept(make_segmentation: MakeSegmentation) -> None:
    labels = make_segmentation(BlockSize="16,16,16", MaxDownresLevel=1, IndexedLabels="false")
    last, first = (2**27 - 2,) * 3, (-(2**27),) * 3
    labels.post("blocks?downres=true", message((last, packed(random(1))), (first, packed(random(2)))))
    for place, seed in ((last, 1), (first, 2)):
        np.testing.assert_array_equal(labels.read(tuple(16 * at for at in place[::-1]), SIDE), random(seed))
    assert labels.get("specificblocks?blocks=2147483647,0,0,0,-2147483648,0").content == b""
    work_off(labels.database, 100)


def test_a_stream_for_a_branch_that_moves_on_while_it_arrives_is_refused(
    labels: Segmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = blocks_module._sent_blocks

    def slow(*arguments: Any) -> Any:
        labels.commit(labels.node)
        labels.child(labels.node)
        return sent(*arguments)

    monkeypatch.setattr(blocks_module, "_sent_blocks", slow)
    reply = labels.ask("POST", "blocks", message(((0, 0, 0), GOOD)), node=f"{labels.node}:master")
    assert reply.status_code == 409
    assert "send it again" in reply.text
