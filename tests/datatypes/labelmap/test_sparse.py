"""Sparse volumes of bodies and supervoxels, in all formats and within any bounds, compared with numpy."""

from __future__ import annotations

import struct
from typing import Any

import lz4.block
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib
from tests.datatypes.labelmap.conftest import MakeSegmentation, Segmentation
from tests.labels.halving import Pyramid

from dvid.background import work_off
from dvid.datatypes import streams
from dvid.datatypes.labelmap import sparse as requests
from dvid.geometry import Box
from dvid.labels import sparse

LARGE = 2**64 - 2
START, SHAPE = (-16, -32, -48), (32, 48, 80)
LOW, SIZE = -64, 160  # of the cube in which masks are compared
SUPERVOXELS = [1, 2, 3, 5, 2**63, LARGE]
BODIES = {1: [1, 5], 2: [2], 3: [3, LARGE, 2**63]}


class Filled(Segmentation):
    """Blocks of 16^3 that hold the supervoxels of some bodies, and the model of their voxels at three scales."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, BlockSize="16,16,16", MaxDownresLevel=2, **settings)
        rng = np.random.default_rng(0)
        pool = np.array([0, 0, 0, *SUPERVOXELS], np.uint64)
        voxels = rng.choice(pool, [side // 8 for side in SHAPE]).repeat(8, 0).repeat(8, 1).repeat(8, 2)
        voxels[::3, ::5, ::2] = rng.choice(pool, voxels[::3, ::5, ::2].shape)
        voxels[:16, :16, :48] = 1  # blocks of one label
        voxels[16:, :16, :16] = 0
        self.write(START, voxels)
        self.model = Pyramid(Box((-64,) * 3, (64,) * 3), 2)
        self.model.put(Box.at(START, SHAPE), voxels)
        for body, (first, *others) in BODIES.items():
            assert body == first
            if others:
                self.post("merge", [body, *others])

    def mask(self, label: int, scale: int = 0, *, supervoxels: bool = False) -> np.ndarray[Any, Any]:
        """Where a label is in the cube."""
        wanted = [label] if supervoxels else BODIES[label]
        found = self.model.read(Box.at((LOW,) * 3, (SIZE,) * 3), scale)
        return np.isin(found, np.array(wanted, np.uint64))


@pytest.fixture(scope="module")
def filled(make_instance: Any) -> Filled:
    """Never changed by a test."""
    made: Filled = make_instance("labelmap", "seg", kind=Filled)
    return made


def runs_of(data: bytes) -> np.ndarray[Any, Any]:
    return np.frombuffer(data, "<i4").reshape(-1, 4)


def painted(runs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The mask of runs, which must not overlap."""
    mask = np.zeros((SIZE,) * 3, bool)
    for x, y, z, length in (runs - np.array([LOW, LOW, LOW, 0])).tolist():
        assert length > 0
        assert x >= 0
        assert not mask[z, y, x : x + length].any()
        mask[z, y, x : x + length] = True
    return mask


def unpacked(reply: bytes, form: str, compression: str) -> np.ndarray[Any, Any]:
    """The mask that an answer describes."""
    if form == "blocks":
        return masked(reply)
    if compression == "lz4":
        reply = lz4.block.decompress(reply, uncompressed_size=1 << 22)
    elif compression == "gzip":
        reply = isal_zlib.decompress(reply, 31)
    if form == "srles":
        return painted(runs_of(reply))
    assert reply[:8] == struct.pack("<BBBBI", 0, 3, 0, 0, 0)
    runs = runs_of(reply[12:])
    assert struct.unpack_from("<I", reply, 8) == (len(runs),)
    return painted(runs)


def masked(data: bytes) -> np.ndarray[Any, Any]:
    """The mask of the format "blocks"."""
    gx, gy, gz = struct.unpack_from("<3I", data)
    mask, at = np.zeros((SIZE,) * 3, bool), 20
    while at < len(data):
        x, y, z, content = struct.unpack_from("<3iB", data, at)
        at += 13
        part = mask[z - LOW : z - LOW + 8 * gz, y - LOW : y - LOW + 8 * gy, x - LOW : x - LOW + 8 * gx]
        part[:] = content == 1
        for sub in np.ndindex(gz, gy, gx) if content == 2 else ():
            content, at = data[at], at + 1
            bits = np.full(512, content == 1)
            if content == 2:
                bits = np.unpackbits(np.frombuffer(data, np.uint8, 64, at), bitorder="little").astype(bool)
                at += 64
            sz, sy, sx = (8 * place for place in sub)
            part[sz : sz + 8, sy : sy + 8, sx : sx + 8] = bits.reshape(8, 8, 8)
    assert at == len(data)
    return mask


def cut(mask: np.ndarray[Any, Any], bounds: dict[str, int], edge: int = 1) -> np.ndarray[Any, Any]:
    """What of a mask lies within bounds, whose last voxel counts; with `edge`, in the blocks that they touch."""
    mask = mask.copy()
    for axis, name in enumerate("zyx"):
        at = (np.arange(SIZE) + LOW) // edge
        inside = at >= bounds.get(f"min{name}", -(2**31)) // edge
        inside &= at <= bounds.get(f"max{name}", 2**31) // edge
        mask &= inside.reshape([-1 if other == axis else 1 for other in range(3)])
    return mask


limits = st.dictionaries(
    st.sampled_from(["minx", "maxx", "miny", "maxy", "minz", "maxz"]),
    st.one_of(st.integers(-50, 40), st.sampled_from([-(2**31), 2**31 - 2])),
)
forms = st.sampled_from([("rles", ""), ("rles", "lz4"), ("rles", "gzip"), ("srles", ""), ("blocks", "")])


# ---- formats and bounds -------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    label=st.one_of(
        st.tuples(st.sampled_from(list(BODIES)), st.just(False)), st.tuples(st.sampled_from(SUPERVOXELS), st.just(True))
    ),
    scale=st.integers(0, 2),
    form=forms,
    bounds=limits,
    exact=st.booleans(),
)
def test_a_sparse_volume_is_the_mask_of_its_label(
    filled: Filled, label: tuple[int, bool], scale: int, form: tuple[str, str], bounds: dict[str, int], exact: bool
) -> None:
    name, supervoxels = label
    query = f"?format={form[0]}&compression={form[1]}&scale={scale}&exact={exact}&supervoxels={supervoxels}".lower()
    query += "".join(f"&{key}={value}" for key, value in bounds.items())
    mask = filled.mask(name, scale, supervoxels=supervoxels)
    reply = filled.ask("GET", f"sparsevol/{name}{query}")
    if (
        reply.status_code == 404
    ):  # it has no block within the bounds; at lower resolutions it may have one without voxels
        assert not cut(mask, bounds, 16).any()
        return
    assert reply.status_code == 200
    assert scale or cut(mask, bounds, 16).any()
    found = unpacked(reply.content, *form)
    expected = cut(mask, bounds) if exact and form[0] != "blocks" else cut(mask, bounds, 16)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("at_once", [1, 3, 256])
@pytest.mark.parametrize("kept", [0, 5, 4 << 20])
def test_runs_come_in_order_and_join_across_blocks(
    filled: Filled, monkeypatch: pytest.MonkeyPatch, at_once: int, kept: int
) -> None:
    monkeypatch.setattr(sparse, "_BLOCKS_AT_ONCE", at_once)
    monkeypatch.setattr(requests, "_KEPT_RUNS", kept)
    monkeypatch.setattr(streams, "_EAGER_BYTES", 100)
    for label in BODIES:
        reply = filled.get(f"sparsevol/{label}").content
        runs = runs_of(reply[12:])
        assert struct.unpack_from("<I", reply, 8) == (len(runs),)
        np.testing.assert_array_equal(painted(runs), filled.mask(label))
        ends = set(map(tuple, (runs[:, :3] + runs[:, 3:] * [1, 0, 0]).tolist()))
        assert ends.isdisjoint(map(tuple, runs[:, :3].tolist()))  # no run begins where another ends
        rows = runs[:, [2, 1]] // 16  # row by row of blocks
        assert np.array_equal(
            np.lexsort((runs[:, 0], runs[:, 1], runs[:, 2], rows[:, 1], rows[:, 0])), np.arange(len(runs))
        )


def test_too_many_runs_are_not_compressed_as_one(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_KEPT_RUNS", 3)
    reply = filled.ask("GET", "sparsevol/1?compression=lz4")
    assert reply.status_code == 400
    assert "srles" in reply.text


def test_the_number_of_runs_is_that_of_the_runs_though_somebody_writes_between(
    make_segmentation: MakeSegmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_segmentation(BlockSize="16,16,16")
    made.write((0, 0, 0), np.ones((16, 16, 16), np.uint64))
    monkeypatch.setattr(requests, "_KEPT_RUNS", 3)
    kept = requests._kept

    def slow(*arguments: Any) -> Any:
        found = kept(*arguments)
        voxels = np.ones((16, 16, 16), np.uint64)
        voxels[:, :, ::2] = 2
        made.write((0, 0, 0), voxels)
        return found

    monkeypatch.setattr(requests, "_kept", slow)
    reply = made.get("sparsevol/1").content
    assert struct.unpack_from("<I", reply, 8) == (len(runs_of(reply[12:])),)


def test_the_label_at_a_point_is_answered_like_any_other(filled: Filled) -> None:
    volume = filled.model.read(Box.at((LOW,) * 3, (SIZE,) * 3))
    for body, supervoxels in BODIES.items():
        for supervoxel in supervoxels:
            z, y, x = np.argwhere(volume == np.uint64(supervoxel))[-1] + LOW
            point = f"sparsevol-by-point/{x}_{y}_{z}"
            assert filled.get(point).content == filled.get(f"sparsevol/{body}").content
            found = filled.get(f"{point}?supervoxels=true&minx=0&scale=1").content
            assert found == filled.get(f"sparsevol/{supervoxel}?supervoxels=true&minx=0&scale=1").content
    assert filled.status("GET", "sparsevol-by-point/1000_0_0") == 400


@settings(max_examples=40)
@given(label=st.sampled_from(list(BODIES)), bounds=limits, supervoxels=st.booleans())
def test_coarse_volumes_are_the_blocks_that_hold_the_label(
    filled: Filled, label: int, bounds: dict[str, int], supervoxels: bool
) -> None:
    query = f"?supervoxels={str(supervoxels).lower()}" + "".join(f"&{key}={value}" for key, value in bounds.items())
    reply = filled.get(f"sparsevol-coarse/{label}{query}").content
    mask = cut(filled.mask(label, supervoxels=supervoxels), bounds, 16)
    blocks = mask.reshape([SIZE // 16, 16] * 3).any((1, 3, 5))
    found = np.zeros_like(blocks)
    for x, y, z, length in (runs_of(reply[12:]) - np.array([LOW // 16] * 3 + [0])).tolist():
        found[z, y, x : x + length] = True
    if all(bounds.get(f"min{axis}", -(2**31)) <= bounds.get(f"max{axis}", 2**31) for axis in "xyz"):
        np.testing.assert_array_equal(found, blocks)
        head = filled.status("HEAD", f"sparsevol/{label}{query}")
        assert head == (200 if blocks.any() else 204)


def test_coarse_volumes_of_a_range_come_one_behind_the_other(filled: Filled) -> None:
    data, at, found = filled.get(f"sparsevols-coarse/2/{LARGE}").content, 0, {}
    while at < len(data):
        label, count = struct.unpack_from("<Qi", data, at)
        found[label] = data[at + 12 : at + 12 + 16 * count]
        at += 12 + 16 * count
    expected = {label: filled.get(f"sparsevol-coarse/{label}").content[12:] for label in (2, 3)}
    assert found == expected
    assert filled.get("sparsevols-coarse/4/4").content == b""
    assert filled.status("GET", "sparsevols-coarse/4/3") == 400


# ---- what is not there --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["sparsevol/{}", "sparsevol-coarse/{}", "sparsevol/{}?format=srles", "sparsevol/{}?format=blocks"]
)
def test_labels_that_are_nowhere_are_not_found(filled: Filled, path: str) -> None:
    for label in (5, 999, LARGE):
        assert filled.status("GET", path.format(label)) == 404
        assert filled.status("HEAD", f"sparsevol/{label}") == 204
    for label in (0, 2**64 - 1):  # no label at all
        assert filled.status("GET", path.format(label)) == 400
    found = filled.ask("GET", path.format(999) + ("&" if "?" in path else "?") + "supervoxels=true")
    assert found.status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "format=nrles",
        "compression=zip",
        "compression=lz4&format=srles",
        "compression=gzip&format=blocks",
        "scale=3",
        "scale=x",
        "exact=perhaps",
        "minx=a",
        "maxz=2147483647",
        "minz=-2147483649",
    ],
)
def test_requests_that_make_no_sense_are_refused(filled: Filled, query: str) -> None:
    reply = filled.ask("GET", f"sparsevol/1?{query}")
    assert reply.status_code == 400, reply.text


# ---- versions -----------------------------------------------------------------------------------


def test_each_version_has_its_own(make_segmentation: MakeSegmentation) -> None:
    made = make_segmentation(BlockSize="16,16,16", MaxDownresLevel=1)
    voxels = np.full((16, 16, 32), 1, np.uint64)
    voxels[:, :, 16:] = 2
    made.write((0, 0, 0), voxels)
    made.commit(made.node)
    merged, painted_over = made.child(made.node, "a"), made.child(made.node, "b")
    made.post("merge", [1, 2], node=merged)
    made.write((0, 0, 0), np.full((16, 16, 16), 2, np.uint64), node=painted_over)

    def voxels_of(label: int, node: str, scale: int = 0) -> int:
        reply = made.ask("GET", f"sparsevol/{label}?scale={scale}", node=node)
        return int(runs_of(reply.content[12:])[:, 3].sum()) if reply.status_code == 200 else -reply.status_code

    for _ in range(2):
        assert [voxels_of(label, made.node) for label in (1, 2)] == [4096, 4096]
        assert [voxels_of(label, merged) for label in (1, 2)] == [8192, -404]
        assert [voxels_of(label, painted_over) for label in (1, 2)] == [-404, 8192]
        assert [voxels_of(label, painted_over, 1) for label in (1, 2)] == [-404, 1024]
        assert [voxels_of(label, made.node, 1) for label in (1, 2)] == [512, 512]
        while work_off(made.database):
            pass
