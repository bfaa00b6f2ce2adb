"""`dvid node UUID NAME ...` for segmentations, on a store and on a server."""

from __future__ import annotations

import numpy as np
import pytest

import dvid as library
from dvid.codecs.nanovdb import OnIndexGrid, leaves_of_runs
from dvid.kernels.colours import pseudocolours

SHAPE = (20, 70, 90)
START_ZYX = np.array([-10, 5, -30])
MERGED = {1: 1, 2: 2, 3: 3, 4: 2, 5: 9, 6: 9}
"""The body of each supervoxel."""


def labels():
    coarse = np.random.default_rng(4).integers(0, 7, (5, 18, 23))
    return np.kron(coarse, np.ones((4, 4, 4), int))[: SHAPE[0], : SHAPE[1], : SHAPE[2]].astype(np.uint64)


def bodies():
    table = np.zeros(7, np.uint64)
    table[list(MERGED)] = list(MERGED.values())
    return table[labels().astype(int)]


@pytest.fixture
def node(dvid):
    """A version with a segmentation at a place with negative coordinates."""
    np.save(dvid.folder / "seg.npy", labels())
    np.save(dvid.folder / "map.npy", np.array(list(MERGED.items())))
    made = dvid.uuid("repos", "new", "fly")
    dvid("import", "seg.npy", "--node", made, "--name", "seg", "--offset=-30,5,-10", "--mapping", "map.npy")
    return made


def counted(folder, name):
    return {tuple(row[:-1]): row[-1] for row in np.loadtxt(folder / name, np.int64, ndmin=2).tolist()}


def test_dumps_tell_all_there_is(dvid, node):
    for kind in ("svcount", "indices", "mappings"):
        dvid("node", node, "seg", "dump", kind, f"{kind}.txt")
    expected = {}
    places = np.argwhere(labels() != 0)
    blocks = (places + START_ZYX) // 64
    for supervoxel, block in zip(labels()[tuple(places.T)].tolist(), blocks.tolist(), strict=True):
        key = (supervoxel, *block)
        expected[key] = expected.get(key, 0) + 1
    assert counted(dvid.folder, "svcount.txt") == expected
    with_bodies = {(MERGED[key[0]], *key): voxels for key, voxels in expected.items()}
    assert counted(dvid.folder, "indices.txt") == with_bodies
    mapped = dict(np.loadtxt(dvid.folder / "mappings.txt", np.int64).tolist())
    assert {key: body for key, body in mapped.items() if body} == {k: b for k, b in MERGED.items() if k != b}
    assert set(mapped) - set(MERGED) <= {9}, "9 is a body's number, and no supervoxel's"
    assert "exists" in dvid.fails("node", node, "seg", "dump", "svcount", "svcount.txt", code=2)
    assert "svcounts" in dvid.fails("node", node, "seg", "dump", "svcounts", "x.txt", code=2)


def test_a_composite_has_a_colour_for_each_body_and_the_image_as_opacity(dvid, node):
    gray = np.random.default_rng(5).integers(0, 256, SHAPE, np.uint8)
    np.save(dvid.folder / "gray.npy", gray)
    dvid("import", "gray.npy", "--node", node, "--name", "gray", "--offset=-30,5,-10")
    dvid("node", node, "seg", "composite", "gray", "both")
    dvid("export", "both.npy", "--node", node, "--name", "both", "--offset=-30,5,-10", "--size", "90,70,20")
    found = np.load(dvid.folder / "both.npy")
    colours = pseudocolours(np.ascontiguousarray(bodies().reshape(-1, SHAPE[2]))).reshape(*SHAPE, 3)
    assert np.array_equal(found[..., :3], colours)
    assert np.array_equal(found[..., 3], gray)
    assert "rgba8blk" in dvid.fails("node", node, "seg", "composite", "gray", "gray", code=2)
    assert "an image, not labels" in dvid.fails("node", node, "gray", "composite", "gray", "x", code=2)


def test_new_labels_count_from_where_they_are_told(dvid, node):
    dvid("node", node, "seg", "set-nextlabel", 999, 1000)
    with library.open(str(dvid.folder / "store")) as store:
        seg = store["fly"][node]["seg"]
        assert seg.cleave(9, [5]).label == 1000
        with pytest.raises(library.errors.BadRequest, match="1000"):
            seg.new_labels()
    dvid("node", node, "seg", "set-nextlabel", 2000, 0)
    assert "ceiling" in dvid.fails("node", node, "seg", "set-nextlabel", 2000, 5, code=2)
    with library.open(str(dvid.folder / "store")) as store:
        assert store["fly"][node]["seg"].new_labels() == range(2001, 2002)


def test_a_body_becomes_a_grid_of_its_voxels(dvid, node):
    dvid("node", node, "seg", "fvdb", 9, "body.nvdb")
    runs = np.ones((np.count_nonzero(bodies() == 9), 4), np.int32)
    runs[:, :3] = (np.argwhere(bodies() == 9) + START_ZYX)[:, ::-1]
    grid = OnIndexGrid([leaves_of_runs(runs, 10**6)], "label_9", (8, 8, 8))
    assert (dvid.folder / "body.nvdb").read_bytes() == b"".join(grid.pieces())
    assert "4" in dvid.fails("node", node, "seg", "fvdb", 4, "none.nvdb", code=2)
    assert not (dvid.folder / "none.nvdb").exists()


def numbered(places_zyx):
    """The order in which NanoVDB numbers voxels: level by level, x before y before z."""
    columns = []
    for shift, bits in ((12, 20), (7, 5), (3, 4), (0, 3)):
        part = places_zyx >> shift & ((1 << bits) - 1)
        columns += [part[:, 2], part[:, 1], part[:, 0]]
    return np.lexsort(columns[::-1])


def test_a_body_comes_with_what_an_image_has_at_its_voxels(dvid, node):
    # The image begins 7 voxels in, reaches beyond the labels, and has blocks of another size.
    gray = np.random.default_rng(6).integers(1, 256, SHAPE, np.uint8)
    np.save(dvid.folder / "gray.npy", gray)
    dvid("import", "gray.npy", "--node", node, "--name", "em", "--offset=-23,12,-3", "--block-size", "16")
    dvid("node", node, "seg", "fvdb", 9, "body.nvdb", "grayscale=em")
    dvid("node", node, "seg", "fvdb", 9, "alone.nvdb")
    assert (dvid.folder / "body.nvdb").read_bytes() == (dvid.folder / "alone.nvdb").read_bytes()
    there = np.zeros(SHAPE, np.uint8)
    there[7:, 7:, 7:] = gray[:-7, :-7, :-7]
    order = numbered(np.argwhere(bodies() == 9) + START_ZYX)
    expected = there[bodies() == 9][order]
    assert np.array_equal(np.fromfile(dvid.folder / "body-em.bin", np.uint8), expected)


def test_a_body_and_its_values_are_written_both_or_neither(dvid, node):
    (dvid.folder / "taken-em.bin").touch()
    dvid("repo", node, "new", "uint8blk", "em")
    complaints = {
        ("taken.nvdb", "grayscale=em"): "taken-em.bin exists",
        ("b.nvdb", "grayscale=seg"): "uint64",
        ("b.nvdb", "grayscale=none"): "none",
        ("b.nvdb", "gray=em"): "grayscale=IMAGE was expected",
    }
    for words, told in complaints.items():
        assert told in dvid.fails("node", node, "seg", "fvdb", 9, *words, code=2)
    assert list(dvid.folder.glob("*.nvdb")) == []
    assert [path.name for path in dvid.folder.glob("*.bin")] == ["taken-em.bin"]
    # Nobody wrote to the image.
    dvid("node", node, "seg", "fvdb", 9, "b.nvdb", "grayscale=em")
    values = (dvid.folder / "b-em.bin").read_bytes()
    assert values == bytes(np.count_nonzero(bodies() == 9))


def test_largest_labels_are_compared_and_corrected(on_store):
    np.save(on_store.folder / "seg.npy", labels())
    first = on_store.uuid("repos", "new", "fly")
    on_store("import", "seg.npy", "--node", first, "--name", "seg", "--type", "labelmap")
    on_store("node", first, "commit")
    second = on_store.uuid("node", first, "newversion")
    with library.open(str(on_store.folder / "store")) as store:
        seg = store["fly"][second]["seg"]
        seg.merge(1, [2])
        assert seg.cleave(1, [2]).label == 7
    words = ("node", first, "seg", "repair-maxlabel")
    text, told = on_store.both(*words)
    assert [line.split()[-1] for line in text.splitlines()] == ["6", "7", "7"]
    assert "all are right" in told
    with library.open(str(on_store.folder / "store")) as store:
        store["fly"][second]["seg"].new_labels(1000)
    text, told = on_store.both(*words)
    assert [line.endswith("differs") for line in text.splitlines()] == [False, True, True]
    assert "noted 1007  found 7" in text
    assert "2 are corrected" in on_store.both(*words, "--commit")[1]
    assert "all are right" in on_store.both(*words)[1]
    with library.open(str(on_store.folder / "store")) as store:
        seg = store["fly"][second]["seg"]
        assert seg.largest_label == 7
        assert seg.new_labels() == range(8, 9)
    assert "--data" in on_store.on().fails(*words, code=2)
