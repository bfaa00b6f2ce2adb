"""Boxes, slices and single voxels of labels, compared with numpy."""

from __future__ import annotations

from typing import Any

import lz4.block
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib
from tests.conftest import TOKEN
from tests.datatypes.conftest import MakeInstance, box_path
from tests.datatypes.labelmap.conftest import MakeSegmentation, Segmentation
from tests.labels.halving import Pyramid

from dvid.codecs.images import decode_image
from dvid.datatypes.labelmap import volumes
from dvid.geometry import Box
from dvid.kernels.colours import pseudocolours
from dvid.labels import reading

Labels = np.ndarray[Any, np.dtype[np.uint64]]

ADMIN = {"Authorization": f"Bearer {TOKEN}"}
LARGE = 2**64 - 2
START, SHAPE = (-32, -16, -16), (48, 48, 64)
COMPRESSIONS = ["", "lz4", "gzip", "google", "googlegzip"]
MERGED = {3: 2, 5: 2, LARGE: 7}
"""Supervoxels and the bodies that they were merged into."""


class Filled(Segmentation):
    """Blocks of 16^3; the voxels from START on are those of a model, at three scales."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, BlockSize="16,16,16", MaxDownresLevel=2, **settings)
        rng = np.random.default_rng(0)
        coarse = rng.choice(np.array([0, 1, 2, 3, 5, 7, 2**63, LARGE], np.uint64), [side // 4 for side in SHAPE])
        voxels = coarse.repeat(4, 0).repeat(4, 1).repeat(4, 2)
        voxels[:16, :16, :16] = 1  # a block of one label
        voxels[16:32, :16, :16] = 0
        voxels[::5, ::3, ::2] = 2
        self.box = Box.at(START, SHAPE)
        self.model = Pyramid(Box((-64, -64, -64), (64, 64, 64)), 2)
        self.fill(voxels)

    def fill(self, voxels: Labels) -> None:
        self.write(START, voxels)
        self.model.put(self.box, voxels)

    def expected(self, start: Any, shape: Any, scale: int = 0, *, supervoxels: bool = True) -> Labels:
        found = self.model.read(Box.at(start, shape), scale)
        if not supervoxels:
            for supervoxel, body in MERGED.items():
                found[found == np.uint64(supervoxel)] = body
        return found

    def ask_box(self, start: Any, shape: Any, query: str = "", **where: str) -> Labels:
        """A box as its `compression` in the query says, decoded."""
        data = self.get(box_path("raw/0_1_2", start, shape) + query, **where).content
        size = int(np.prod(shape)) * 8
        if "google" in query:
            return decoded(isal_zlib.decompress(data, 31) if "googlegzip" in query else data, shape)
        if "lz4" in query:
            data = lz4.block.decompress(data, uncompressed_size=size)
        elif "gzip" in query:
            data = isal_zlib.decompress(data, 31)
        assert len(data) == size
        return np.frombuffer(data, np.uint64).reshape(shape)


def decoded(data: bytes, shape: tuple[int, ...]) -> Labels:
    """Compressed segmentation of one channel, in blocks of 8^3, as its description has it."""
    words = np.frombuffer(data, "<u4")
    base, out = int(words[0]), np.empty(shape, np.uint64)
    for i, (z, y, x) in enumerate(np.ndindex(*(side // 8 for side in shape))):
        head, first = (int(word) for word in words[base + 2 * i : base + 2 * i + 2])
        bits, table = head >> 24, base + (head & 0xFFFFFF)
        places = np.zeros(512, int)
        if bits:
            packed = words[base + first : base + first + 16 * bits]
            shifts = np.arange(0, 32, bits, dtype=np.uint32)
            places = (packed[:, None] >> shifts & np.uint32(2**bits - 1)).reshape(-1).astype(int)
        labels = words[table + 2 * places] | words[table + 2 * places + 1].astype(np.uint64) << np.uint64(32)
        out[8 * z : 8 * z + 8, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8] = labels.reshape(8, 8, 8)
    return out


@pytest.fixture(scope="module")
def filled(make_instance: Any) -> Filled:
    """Never changed by a test."""
    made: Filled = make_instance("labelmap", "seg", kind=Filled)
    made.post("merge", [2, 3, 5])
    made.post("merge", [7, LARGE])
    return made


@pytest.fixture
def empty(make_segmentation: MakeSegmentation) -> Segmentation:
    return make_segmentation(BlockSize="16,16,16")


edges = st.tuples(st.integers(-45, 40), st.integers(1, 40))


# ---- boxes --------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    axes=st.tuples(edges, edges, edges),
    compression=st.sampled_from(COMPRESSIONS),
    scale=st.integers(0, 2),
    supervoxels=st.booleans(),
)
def test_any_box_is_what_numpy_has(filled: Filled, axes: Any, compression: str, scale: int, supervoxels: bool) -> None:
    start, shape = (tuple(axis[i] for axis in axes) for i in (0, 1))
    if "google" in compression:
        shape = tuple(-(-side // 8) * 8 for side in shape)
    query = f"?compression={compression}&scale={scale}&supervoxels={str(supervoxels).lower()}"
    found = filled.ask_box(start, shape, query)
    np.testing.assert_array_equal(found, filled.expected(start, shape, scale, supervoxels=supervoxels))


@pytest.mark.parametrize("scale", [0, 1, 2])
def test_answers_in_pieces_are_those_in_one(filled: Filled, monkeypatch: pytest.MonkeyPatch, scale: int) -> None:
    monkeypatch.setattr(volumes, "_WHOLE_BYTES", 0)
    boxes = [
        ((-35, -20, -30), (60, 70, 90)),
        ((3, 2, 1), (1, 1, 1)),
        ((-1, -9, 3), (3, 30, 2)),
        ((-8, 0, 0), (8, 16, 16)),
    ]
    for piece, blocks in [(1 << 19, 64), (5000, 64), (70, 64), (3000, 3), (8, 1)]:
        monkeypatch.setattr(reading, "_PIECE_BYTES", piece)
        monkeypatch.setattr(reading, "_BLOCKS_AT_ONCE", blocks)
        for start, shape in boxes if piece > 100 else boxes[1:3]:
            for compression in ("", "gzip"):
                found = filled.ask_box(start, shape, f"?scale={scale}&compression={compression}")
                np.testing.assert_array_equal(found, filled.expected(start, shape, scale, supervoxels=False))


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_nobody_wrote_is_0(empty: Segmentation, compression: str) -> None:
    found = Filled.ask_box(empty, (-24, 5, 2**31 - 90), (8, 16, 40), f"?compression={compression}")  # type: ignore[arg-type]
    assert not found.any()


LAST = 16 * (2**20 - 1)
ENDS = [
    *(("labelarray", start) for start in ((-(2**31),) * 3, (2**31 - 32,) * 3, (-(2**31), 0, 2**31 - 32))),
    *(("labelmap", start) for start in ((-LAST,) * 3, (LAST,) * 3, (-LAST, 0, LAST))),
]


@pytest.mark.parametrize(("typename", "start"), ENDS)
def test_labels_may_lie_at_the_ends_of_the_coordinates(make_instance: MakeInstance, typename: str, start: Any) -> None:
    made = make_instance(typename, "seg", kind=Segmentation, BlockSize="16,16,16", MaxDownresLevel=3)
    voxels = np.random.default_rng(0).integers(0, 3, (16, 16, 16)).astype(np.uint64)
    made.write(start, voxels)
    np.testing.assert_array_equal(made.read(start, (16, 16, 16)), voxels)
    assert made.read(start, (1, 1, 1))[0, 0, 0] == voxels[0, 0, 0]
    point = "_".join(map(str, start[::-1]))
    assert made.get(f"label/{point}").json == {"Label": int(voxels[0, 0, 0])}
    half = [side >> 1 for side in start]
    assert made.get(box_path("raw/0_1_2", half, (8, 8, 8)) + "?scale=1").content != bytes(8 * 512)
    runs = np.frombuffer(made.get("sparsevol/1").content, "<i4")[3:].reshape(-1, 4)
    assert runs[:, 3].sum() == (voxels == 1).sum()
    assert runs[:, :3].min(0).tolist() == list(start[::-1])
    assert made.get("sparsevol-size/1").json["minvoxel"] == list(start[::-1])


@pytest.mark.parametrize("compression", ["", "lz4", "gzip"])
def test_what_is_sent_is_stored_however_it_is_compressed(empty: Segmentation, compression: str) -> None:
    voxels = np.random.default_rng(1).choice(np.array([0, 1, 2**63 + 5], np.uint64), (32, 16, 48))
    pack = {
        "": bytes,
        "lz4": lambda data: lz4.block.compress(data, store_size=False),
        "gzip": lambda data: isal_zlib.compress(data, 1, 31),
    }[compression]
    empty.post(
        box_path("raw/0_1_2", (-16, 0, 32), voxels.shape) + f"?compression={compression}", pack(voxels.tobytes())
    )
    np.testing.assert_array_equal(empty.read((-16, 0, 32), voxels.shape), voxels)
    assert empty.info()["Extended"]["MinPoint"] == [32, 0, -16]
    assert empty.info()["Extended"]["MaxPoint"] == [79, 15, 15]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "raw/0_1_2/16_16/0_0_0", 400),
        ("GET", "raw/0_1_2/16_0_16/0_0_0", 400),
        ("GET", "raw/0_1_2/16_16_16/0_0_0/png", 400),
        ("GET", "raw/0_1_2/16_16_16/0_0_2147483640", 400),
        ("GET", "raw/0_1_2/16_16_16/0_0_-2147483649", 400),
        ("GET", "raw/0_1_2/16_16_16/0_0_0?scale=3", 400),
        ("GET", "raw/0_1_2/16_16_16/0_0_0?scale=-1", 400),
        ("GET", "raw/0_1_2/16_16_16/0_0_0?scale=256", 400),
        ("GET", "raw/0_1_2/16_16_16/0_0_0?compression=zip", 400),
        ("GET", "raw/0_1_2/16_16_12/0_0_0?compression=google", 400),
        ("GET", "raw/0_1_2/16_16_16/0_0_0?supervoxels=perhaps", 400),
        ("GET", "raw/0_1_2/16_16_16/0_0_0?roi=seg", 400),
        ("GET", "raw/0_1_2/16_16_16/0_0_0?roi=nothing", 400),
        ("GET", "raw/0_1_2/3000_3000_3000/0_0_0", 413),
        ("GET", "raw/0_1_2/1000_1000_100/0_0_0?compression=lz4", 413),
        ("GET", "raw/0_1_2/1000_1000_104/0_0_0?compression=google", 413),
        ("GET", "raw/xy/16_16/0_0_0?compression=google", 400),
        ("GET", "raw/xy/16_16/0_0_0/tif", 400),
        ("GET", "raw/xy/50000_50000/0_0_0", 413),
        ("GET", "raw/xy/16_16_16/0_0_0", 400),
        ("GET", "pseudocolor/0_1_2/16_16_16/0_0_0", 400),
        ("GET", "label/0_0", 400),
        ("GET", "label/0_0_0?scale=3", 400),
        ("GET", "label/0_0_3000000000", 400),
        ("POST", "raw/xy/16_16/0_0_0", 400),
        ("POST", "raw/0_1_2/16_16_17/0_0_0", 400),
        ("POST", "raw/0_1_2/16_16_16/0_1_0", 400),
        ("POST", "raw/0_1_2/16_16_16/0_0_2147483632", 400),
        ("POST", "raw/0_1_2/16_16_16/0_0_0?compression=google", 400),
        ("POST", "raw/0_1_2/16_16_16/0_0_0?roi=seg", 400),
        ("POST", "raw/0_1_2/16_16_16/0_0_0?mutate=perhaps", 400),
        ("POST", "raw/0_1_2/20000_20000_20000/0_0_0", 413),
        ("POST", "isotropic/0_1_2/16_16_16/0_0_0", 400),
    ],
)
def test_requests_that_make_no_sense_or_are_too_large_are_refused(
    filled: Filled, method: str, path: str, status: int
) -> None:
    before = filled.info(), filled.get("mutations").json
    reply = filled.ask(method, path, bytes(32768) if method == "POST" else None)
    assert reply.status_code == status, reply.text
    assert len(reply.text) > 20
    assert (filled.info(), filled.get("mutations").json) == before


@pytest.mark.parametrize("compression", ["", "lz4", "gzip"])
@pytest.mark.parametrize("off", [-8, -1, 1, 8, 4096])
def test_a_body_of_another_length_than_the_box_leaves_no_trace(empty: Segmentation, compression: str, off: int) -> None:
    pack = {
        "": bytes,
        "lz4": lambda data: lz4.block.compress(data, store_size=False),
        "gzip": lambda data: isal_zlib.compress(data, 1, 31),
    }[compression]
    before = empty.info(), stored(empty)
    reply = empty.ask("POST", f"raw/0_1_2/16_16_32/0_0_0?compression={compression}", pack(b"\1" * (65536 + off)))
    assert reply.status_code in (400, 413), reply.text
    assert (empty.info(), stored(empty)) == before


def stored(segmentation: Segmentation) -> list[tuple[bytes, bytes]]:
    """Everything in the store."""
    with segmentation.database.store.snapshot() as snapshot:
        return [(bytes(key), bytes(value)) for key, value in snapshot.scan(b"", b"\xff" * 9)]


# ---- slices -------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [(0, 0, 0), (-33, 5, -3), (7, -18, 40)])
@pytest.mark.parametrize("scale", [0, 2])
@pytest.mark.parametrize("supervoxels", [False, True])
def test_slices_are_cuts_through_the_volume(filled: Filled, start: Any, scale: int, supervoxels: bool) -> None:
    volume = filled.expected(start, (9, 20, 33), scale, supervoxels=supervoxels)
    offset = "_".join(map(str, start[::-1]))
    query = f"?scale={scale}&supervoxels={str(supervoxels).lower()}"
    for plane, size, expected in [
        ("xy", "33_20", volume[0]),
        ("0_1", "33_20", volume[0]),
        ("xz", "33_9", volume[:, 0]),
        ("1_2", "20_9", volume[:, :, 0]),
    ]:
        for what in ("raw", "isotropic"):
            reply = filled.get(f"{what}/{plane}/{size}/{offset}{query}")
            assert reply.headers["content-type"] == "image/png"
            np.testing.assert_array_equal(words_of(decode_image(reply.content, 1 << 24)), expected)
        colours = decode_image(filled.get(f"pseudocolor/{plane}/{size}/{offset}{query}").content, 1 << 24)
        np.testing.assert_array_equal(colours[..., :3], pseudocolours(np.ascontiguousarray(expected)))


def words_of(image: Any) -> Labels:
    """The labels of an image: their eight bytes, lowest first, are its channels of 16 bits, each highest first."""
    return np.ascontiguousarray(image.byteswap()).view("<u8")[..., 0]  # type: ignore[no-any-return]


def test_isotropic_slices_have_square_pixels(make_segmentation: MakeSegmentation) -> None:
    made = make_segmentation(BlockSize="16,16,16", VoxelSize="4,4,8")
    voxels = np.random.default_rng(0).integers(0, 9, (16, 16, 16)).astype(np.uint64)
    made.write((0, 0, 0), voxels)
    image = words_of(decode_image(made.get("isotropic/xz/16_32/0_5_0").content, 1 << 24))
    np.testing.assert_array_equal(image, voxels[:, 5].repeat(2, 0))


def test_pseudocolors_leave_as_jpeg_too(filled: Filled) -> None:
    reply = filled.get("pseudocolor/xy/64_48/-16_-16_-32/jpg:95")
    assert reply.headers["content-type"] == "image/jpeg"
    assert decode_image(reply.content, 1 << 20).shape == (48, 64, 3)


# ---- single voxels ------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0, 1, 2])
def test_single_voxels_are_those_of_the_volume(filled: Filled, scale: int) -> None:
    points = np.random.default_rng(2).integers(-40, 50, (500, 3))
    points[:3] = [[2**31 - 1] * 3, [-(2**31)] * 3, [0, -(2**31), 5]]
    volume = filled.expected((-64,) * 3, (128,) * 3, scale, supervoxels=False)
    expected = [int(volume[tuple(point + 64)]) if abs(point).max() < 64 else 0 for point in points]
    sent = points[:, ::-1].tolist()
    assert filled.ask("GET", f"labels?scale={scale}", sent).json == expected
    x, y, z = sent[9]
    assert filled.get(f"label/{x}_{y}_{z}?scale={scale}").json == {"Label": expected[9]}
    assert filled.ask("GET", "labels", []).json == []


@pytest.mark.parametrize(
    "body",
    ["", "x", "{}", "[[1, 2]]", "[[1, 2, 3, 4]]", "[[1, 2, 3.5]]", '[["1", 2, 3]]', "[[1, 2, 2147483648]]", "[[1, 2, 1e9]]",
     "[[99999999999999999999999, 0, 0]]", "[1, 2, 3]", b"\xff\xfe", "[" * 100000],
)  # fmt: skip
def test_what_is_no_list_of_points_is_refused(filled: Filled, body: Any) -> None:
    reply = filled.ask("GET", "labels", body)
    assert reply.status_code == 400, reply.text


# ---- regions ------------------------------------------------------------------------------------

SPANS = [[-1, 0, -1, 0], [0, 0, 0, 1], [0, 1, 3, 3], [1, -1, 0, 4]]


def painted(grid: tuple[int, ...], start: Any, shape: Any, step: int = 1) -> np.ndarray[Any, Any]:
    """Which voxels have their first voxel of full resolution in the region."""
    inside = np.zeros(shape, bool)
    axes = [(np.arange(n) + a) * step // g for a, n, g in zip(start, shape, grid, strict=True)]
    for z, y, x0, x1 in SPANS:
        z_in, y_in, x_in = axes[0] == z, axes[1] == y, (axes[2] >= x0) & (axes[2] <= x1)
        inside |= z_in[:, None, None] & y_in[:, None] & x_in
    return inside


@pytest.mark.parametrize("edge", ["16,16,16", "10,12,7", "64,64,64"])
@pytest.mark.parametrize("whole", [3 << 20, 0])
def test_outside_a_region_labels_are_0_at_every_scale(
    filled: Filled, monkeypatch: pytest.MonkeyPatch, edge: str, whole: int
) -> None:
    name = f"r{edge.replace(',', '')}_{whole}"
    filled.make("roi", name, BlockSize=edge)
    filled.post("roi", SPANS, name=name)
    grid = tuple(map(int, edge.split(",")))[::-1]
    monkeypatch.setattr(volumes, "_WHOLE_BYTES", whole)
    monkeypatch.setattr(reading, "_PIECE_BYTES", 30000)
    for scale in range(3):
        start, shape = (-9, -20, -8), (33, 40, 60)
        inside = painted(grid, start, shape, 1 << scale)
        for compression in ("", "lz4"):
            found = filled.ask_box(start, shape, f"?roi={name}&scale={scale}&compression={compression}")
            np.testing.assert_array_equal(found, filled.expected(start, shape, scale, supervoxels=False) * inside)


def test_regions_at_very_low_resolutions_take_no_memory(make_segmentation: MakeSegmentation) -> None:
    made = make_segmentation(BlockSize="16,16,16", MaxDownresLevel=255)
    made.make("roi", "r", BlockSize="1,1,1")
    made.post("roi", [[0, 0, 0, 5], [-(2**31), 0, 0, 0]], name="r")
    made.write((0, 0, 0), np.full((16, 16, 16), 3, np.uint64))
    for scale in (4, 20, 31, 32, 33, 64, 200, 255):
        found = np.frombuffer(made.get(f"raw/0_1_2/8_8_8/-4_-4_-4?roi=r&scale={scale}").content, np.uint64)
        assert np.flatnonzero(found).tolist() == [4 * 64 + 4 * 8 + 4], scale
        assert found.max() == 3


@pytest.mark.parametrize("edge", ["16,16,16", "10,12,7", "64,64,64"])
def test_only_blocks_that_touch_the_region_are_written(empty: Segmentation, edge: str) -> None:
    empty.make("roi", "r", BlockSize=edge)
    empty.post("roi", SPANS, name="r")
    voxels = np.random.default_rng(0).integers(1, 5, (48, 48, 80)).astype(np.uint64)
    empty.write((-16, -16, -16), voxels, "?roi=r")
    blocks = painted(tuple(map(int, edge.split(",")))[::-1], (-16, -16, -16), voxels.shape)
    kept = blocks.reshape(3, 16, 3, 16, 5, 16).any((1, 3, 5)).repeat(16, 0).repeat(16, 1).repeat(16, 2)
    np.testing.assert_array_equal(empty.read((-16, -16, -16), voxels.shape), voxels * kept)
    for label in range(1, 5):
        assert empty.get(f"size/{label}").json["voxels"] == ((voxels * kept) == label).sum()


# ---- writes that do not come to be --------------------------------------------------------------


def test_a_write_to_a_branch_that_moves_on_while_it_arrives_is_refused(
    empty: Segmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    planes_of = volumes.sent_planes

    def slow(*arguments: Any) -> Any:
        empty.commit(empty.node)
        empty.child(empty.node)
        return planes_of(*arguments)

    monkeypatch.setattr(volumes, "sent_planes", slow)
    reply = empty.ask("POST", "raw/0_1_2/16_16_16/0_0_0", bytes(32768), node=f"{empty.node}:master")
    assert reply.status_code == 409
    assert "send it again" in reply.text


def test_blocks_are_not_stored_in_an_instance_that_took_the_place_of_the_one_they_were_sent_to(
    empty: Segmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    planes_of = volumes.sent_planes

    def slow(*arguments: Any) -> Any:
        deleted = empty.request("DELETE", f"/api/repo/{empty.node}/instance/seg?imsure=true", headers=ADMIN)
        assert deleted.status_code == 200, deleted.text
        empty.make("labelmap", "seg", BlockSize="32,32,32")
        return planes_of(*arguments)

    monkeypatch.setattr(volumes, "sent_planes", slow)
    reply = empty.ask("POST", "raw/0_1_2/16_16_16/0_0_0", b"\1" * 32768)
    assert reply.status_code == 409, reply.text
    assert not empty.read((0, 0, 0), (32, 32, 32)).any()


def test_a_committed_node_takes_no_voxels(empty: Segmentation) -> None:
    empty.commit(empty.node)
    reply = empty.ask("POST", "raw/0_1_2/16_16_16/0_0_0", bytes(32768))
    assert reply.status_code == 400
    assert "committed" in reply.text
