"""Segmentations in and out, with their mappings, on a store and on a server."""

from __future__ import annotations

import re
import shlex
import signal
import time

import h5py
import numpy as np
import pytest

import dvid as library
from dvid.interop import create_sink, open_source

SHAPE = (40, 70, 100)
START_ZYX = (-9, 30, 5)
PLACE = "5,30,-9"

MAPPING = np.array([[1, 500], [2, 500], [3, 3], [4, 3], [5, 5], [6, 2**40], [999, 3]], np.uint64)
"""Two supervoxels come to a body of a new number, two to that of one of them; one is there alone, one only gets another
number, one is no supervoxel. 7 and 8 are not mentioned."""
BODIES = {1: 500, 2: 500, 3: 3, 4: 3, 5: 5, 6: 2**40, 7: 7, 8: 8}


def labels():
    """Supervoxels 0 to 8 in small cubes."""
    coarse = np.random.default_rng(4).integers(0, 9, (5, 9, 13))
    return np.kron(coarse, np.ones((8, 8, 8), int))[: SHAPE[0], : SHAPE[1], : SHAPE[2]].astype(np.uint64)


def bodies(supervoxels):
    table = np.zeros(9, np.uint64)
    table[list(BODIES)] = list(BODIES.values())
    return table[supervoxels.astype(int)]


def read(path):
    with open_source(str(path)) as source:
        return source.read((0, 0, 0), source.shape_zyx)


def write(folder, form):
    """The labels as a file of some format; its path."""
    name = {"h5": "in.h5", "zarr": "in.zarr", "png": "slices", "precomputed": "in", "npy": "in.npy"}[form]
    dtype = np.uint16 if form == "png" else np.int64 if form == "npy" else np.uint64
    named = form if form in ("png", "precomputed") else None
    with create_sink(
        str(folder / name), shape_zyx=SHAPE, dtype=dtype, chunk_zyx=(16, 32, 32), start_zyx=START_ZYX, format=named
    ) as sink:
        sink.write((0, 0, 0), labels().astype(dtype))
    return name


@pytest.mark.parametrize("form", ["h5", "zarr", "png", "precomputed", "npy"])
def test_labels_of_every_format_become_bodies_by_a_mapping(on_store, form):
    np.savetxt(on_store.folder / "map.csv", MAPPING, "%d", ",", header="supervoxel,body", comments="")
    place = () if form == "precomputed" else (f"--offset={PLACE}",)
    source = write(on_store.folder, form)
    _, told = on_store.both(
        "import", source, *place, "--new-repo", "fly", "--name", "seg", "--mapping", "map.csv", "--block-size", "32"
    )
    assert "made the labelmap instance" in told
    assert "1 supervoxels of the mapping are not in 'seg'" in told
    with library.open(str(on_store.folder / "store")) as store:
        seg = store["fly"]["master"]["seg"]
        assert seg.extents.start_zyx == START_ZYX
        assert seg.extents.shape_zyx == SHAPE
        assert np.array_equal(seg[:], bodies(labels()))
        assert np.array_equal(seg.supervoxels[:], labels())
        assert seg.members(500).tolist() == [1, 2]
        assert seg.members(2**40).tolist() == [6]
        found, sizes = np.unique(bodies(labels()), return_counts=True)
        assert seg.bodies()[0].tolist() == found[1:].tolist()
        assert seg.bodies()[1].tolist() == sizes[1:].tolist()


def test_what_is_imported_is_exported_the_same(dvid):
    np.save(dvid.folder / "map.npy", MAPPING)
    write(dvid.folder, "h5")
    node = dvid.uuid("repos", "new", "fly")
    dvid("import", "in.h5", "--node", node, "--name", "seg", f"--offset={PLACE}", "--mapping", "map.npy", "--scales", 2)
    dvid("export", "bodies.npy", "--node", node, "--name", "seg")
    assert np.array_equal(read(dvid.folder / "bodies.npy"), bodies(labels()))
    dvid("export", "supervoxels", "--format", "precomputed", "--supervoxels", "--node", node, "--name", "seg")
    assert np.array_equal(read(dvid.folder / "supervoxels"), labels())
    with open_source(str(dvid.folder / "supervoxels")) as source:
        assert source.origin_zyx == START_ZYX
    box = ("--scale", 1, "--offset", "4,16,0", "--size", "30,20,10", "--supervoxels")
    dvid("export", "half.zarr", "--node", node, "--name", "seg", *box)
    with library.open(str(dvid.folder / "store"), read_only=True) as store:
        half = store["fly"][node]["seg"].at_scale(1).supervoxels[0:10, 16:36, 4:34]
    assert half.any()
    assert np.array_equal(read(dvid.folder / "half.zarr"), half)
    assert "scales 0 to 2" in dvid.fails("export", "x.npy", "--node", node, "--name", "seg", "--scale", 3, code=2)
    # Both ways write the same index.
    _, told = dvid.both("import", "supervoxels", "--new-repo", "again", "--name", "seg", "--mapping", "map.npy")
    again = re.search("[0-9a-f]{32}", told)[0]
    with library.open(str(dvid.folder / "store"), read_only=True) as store:
        one, other = store["fly"][node]["seg"], store["again"][again]["seg"]
        assert one.extents == other.extents
        for first, second in zip(one.bodies(), other.bodies(), strict=True):
            assert np.array_equal(first, second)


def test_labels_around_an_import_stay(dvid):
    np.save(dvid.folder / "all.npy", np.full((64, 64, 64), 70, np.uint64))
    np.save(dvid.folder / "part.npy", labels()[:11, :40, :9])
    node = dvid.uuid("repos", "new", "fly")
    dvid("import", "all.npy", "--node", node, "--name", "seg", "--type", "labelmap")
    dvid("import", "part.npy", "--node", node, "--name", "seg", "--offset", "30,5,26")
    expected = np.full((64, 64, 64), 70, np.uint64)
    expected[26:37, 5:45, 30:39] = labels()[:11, :40, :9]
    dvid("export", "out.npy", "--node", node, "--name", "seg")
    assert np.array_equal(np.load(dvid.folder / "out.npy"), expected)


def test_slices_are_loaded_as_labels(dvid):
    write(dvid.folder, "png")
    node = dvid.uuid("repos", "new", "fly")
    dvid("repo", node, "new", "labelmap", "seg")
    slices = sorted(str(path.relative_to(dvid.folder)) for path in (dvid.folder / "slices").iterdir())
    dvid("node", node, "seg", "load", "0,0,7", *slices[:5])
    dvid("export", "out.npy", "--node", node, "--name", "seg")
    assert np.array_equal(np.load(dvid.folder / "out.npy"), labels()[:5])


def test_what_cannot_be_is_refused(on_store):
    np.save(on_store.folder / "float.npy", labels().astype(np.float32))
    np.save(on_store.folder / "in.npy", labels())
    (on_store.folder / "map.csv").write_text("1,2\n")
    node = on_store.uuid("repos", "new", "fly")
    on_store("repo", node, "new", "uint64blk", "image")
    to_labels = ("--node", node, "--name", "seg", "--type", "labelmap")
    assert "float32" in on_store.fails("import", "float.npy", *to_labels, code=2)
    to_image = ("--node", node, "--name", "image")
    assert "image" in on_store.fails("import", "in.npy", *to_image, "--mapping", "map.csv", code=2)
    assert "--scales" in on_store.fails("import", "in.npy", "--node", node, "--name", "n", "--scales", 2, code=2)
    assert "an image, not labels" in on_store.fails("export", "x.npy", *to_image, "--supervoxels", code=2)


LAST = 2**20 * 64
"""Behind the last voxel of a block of 64 that a label index has a key for; the first one has the coordinate 64 - LAST."""


def test_labels_in_blocks_that_no_index_can_name_are_refused_before_anything_is_made(dvid):
    np.save(dvid.folder / "in.npy", labels())
    (dvid.folder / "map.csv").write_text("1,2\n")
    depth, height, width = SHAPE
    node = dvid.uuid("repos", "new", "fly")
    dvid("repo", node, "new", "labelmap", "indexed")
    dvid("repo", node, "new", "labelmap", "plain", "IndexedLabels=false")
    before = dvid("info", "--json")
    words = ("import", "in.npy", "--type", "labelmap")
    for place, name, (x, y, z), block in (
        (("--new-repo", "other"), "seg", (LAST - width + 1, 5, 0), "block 1048576,1,0"),
        (("--node", node), "seg", (0, LAST, 0), "block 0,1048576,0"),
        (("--node", node), "indexed", (7, 0, 63 - LAST), "block 0,0,-1048576"),
    ):
        out, errors = dvid.both(*words, *place, "--name", name, f"--offset={x},{y},{z}", code=2)
        assert f"({width}, {height}, {depth}) voxels at ({x}, {y}, {z})" in errors
        assert f"{block} (x, y, z) has no key" in errors
        assert "less than 1048576 (2^20) and more than -1048576" in errors
        assert (out, errors.count("\n")) == ("", 1), "nothing is told but what is wrong"
    assert "keeps none" in dvid.fails(*words, "--node", node, "--name", "plain", "--mapping", "map.csv", code=2)
    assert dvid("info", "--json") == before
    assert dvid.journals == []
    # What lies just inside is taken, and all of it where there is no index.
    for name, (x, y, z) in (("indexed", (LAST - width, 5, 64 - LAST)), ("plain", (LAST - 9, LAST, -(2**31)))):
        dvid(*words, "--node", node, "--name", name, f"--offset={x},{y},{z}")
        dvid("export", f"{name}.npy", "--node", node, "--name", name)
        assert np.array_equal(np.load(dvid.folder / f"{name}.npy"), labels())


def test_a_new_instance_is_removed_again_where_the_first_labels_are_negative(dvid):
    np.save(dvid.folder / "in.npy", labels().astype(np.int64) - 1)
    node = dvid.uuid("repos", "new", "fly")
    words = ("import", "in.npy", "--node", node, "--name", "seg", "--type", "labelmap")
    _, errors = dvid.both(*words, code=2)
    assert "removed the instance 'seg' again" in errors
    assert "label -1" in errors.splitlines()[-1]
    assert "seg" not in dvid("info", node)
    assert dvid.journals == []
    np.save(dvid.folder / "in.npy", labels().astype(np.int64))
    dvid(*words)
    # An instance that was there before, empty or not, stays.
    np.save(dvid.folder / "in.npy", labels().astype(np.int64) - 1)
    dvid("repo", node, "new", "labelmap", "empty")
    for name in ("seg", "empty"):
        _, errors = dvid.both("import", "in.npy", "--node", node, "--name", name, code=2)
        assert "removed" not in errors
        assert dvid.journals == []
    assert "empty" in dvid("info", node)
    dvid("export", "out.npy", "--node", node, "--name", "seg")
    assert np.array_equal(np.load(dvid.folder / "out.npy"), labels())


def test_a_new_instance_that_may_not_be_removed_is_named(on_server):
    np.save(on_server.folder / "in.npy", labels().astype(np.int64) - 1)
    node = on_server.uuid("repos", "new", "fly")
    del on_server.environment["DVID_ADMIN_TOKEN"]
    _, errors = on_server.both("import", "in.npy", "--node", node, "--name", "seg", "--type", "labelmap", code=2)
    assert f"the instance 'seg' remains at node {node}" in errors
    assert "seg" in on_server("info", node)


def test_where_labels_were_written_before_a_negative_one_it_is_said_how_to_go_on(on_store):
    volume = np.zeros((64, 256, 384), np.int64)  # several boxes of 16 MiB
    volume[:, :64, :64] = 5
    volume[-1, -1, -1] = -7
    np.save(on_store.folder / "in.npy", volume)
    node = on_store.uuid("repos", "new", "fly")
    words = ("import", "in.npy", "--node", node, "--name", "seg", "--type", "labelmap", "--workers", 1)
    _, errors = on_store.both(*words, code=2)
    assert "the instance 'seg' remains, with voxels in" in errors
    command = re.search(r"Go on with .*: dvid (import .*) --resume\n", errors)[1]
    assert len(on_store.journals) == 1
    volume[-1, -1, -1] = 7
    np.save(on_store.folder / "in.npy", volume)
    on_store.on()(*shlex.split(command), "--restart")
    with library.open(str(on_store.folder / "store")) as store:
        assert np.array_equal(store["fly"][node]["seg"][:], volume.astype(np.uint64))
    assert on_store.journals == []


MAPPINGS = {
    "1,2\n1,3\n": "two bodies",
    "1,0\n": "labels are from 1",
    "1,2\n2,1\n": "a supervoxel of body 1",
    f"1,{2**64 - 1}\n": "labels are from 1",
}
"""Mappings that no segmentation can have, and what is said of them."""


def test_a_mapping_that_cannot_be_is_refused_before_anything_is_made(dvid):
    np.save(dvid.folder / "in.npy", labels())
    node = dvid.uuid("repos", "new", "fly")
    before = dvid("info", "--json")
    places = [("--new-repo", "other"), *[("--node", node)] * 3]
    for place, (text, told) in zip(places, MAPPINGS.items(), strict=True):
        (dvid.folder / "map.csv").write_text(text)
        out, errors = dvid.both("import", "in.npy", *place, "--name", "seg", "--mapping", "map.csv", code=2)
        assert told in errors
        assert (out, errors.count("\n")) == ("", 1), "nothing is told but what is wrong"
    assert dvid("info", "--json") == before
    assert dvid.journals == []
    (dvid.folder / "map.csv").write_text("1,2\n0,7\n0,8\n")
    dvid("import", "in.npy", "--node", node, "--name", "seg", "--mapping", "map.csv")


def test_an_import_that_was_killed_goes_on_and_applies_its_mapping(on_store):
    """Many merges: whenever it is stopped, the next run does what is missing."""
    count = 30_000
    volume = np.arange(1, count + 1, dtype=np.uint64).repeat(8).reshape(-1, 60, 50)
    np.save(on_store.folder / "in.npy", volume)
    table = np.stack((np.arange(1, count + 1), np.arange(1, count + 1) // 10 * 10 + 1), 1)
    np.save(on_store.folder / "map.npy", table)
    node = on_store.uuid("repos", "new", "fly")
    words = ("import", "in.npy", "--node", node, "--name", "seg", "--mapping", "map.npy", "--block-size", 32)
    for pause in (0.3, 0.2, 0.1, 0.05, *[0.0] * 16):
        process = on_store.start(*words)
        while process.poll() is None and not on_store.journals:
            time.sleep(0.01)
        time.sleep(pause)
        process.kill()
        _, errors = process.communicate(timeout=120)
        if on_store.journals:
            break
        assert process.returncode in (0, -signal.SIGKILL), errors
        on_store("repo", node, "delete", "seg", "--yes")  # it was through already: all begins anew
    assert "--resume" in on_store.fails(*words, code=2)
    on_store(*words, "--resume")
    assert on_store.journals == []
    with library.open(str(on_store.folder / "store")) as store:
        seg = store["fly"]["master"]["seg"]
        assert np.array_equal(seg[:], (volume // 10 * 10 + 1).astype(np.uint64))
        assert seg.bodies()[1].sum() == volume.size


def test_the_real_segmentation_comes_with_its_bodies(on_store, vnc_path):
    _, told = on_store.both(
        "import", vnc_path, "--dataset", "supervoxels", "--mapping", vnc_path, "--mapping-dataset", "mapping",
        "--new-repo", "vnc", "--name", "seg",
    )  # fmt: skip
    assert "not in" not in told
    with h5py.File(vnc_path) as file, library.open(str(on_store.folder / "store")) as store:
        seg = store["vnc"]["master"]["seg"]
        supervoxels, mapping = file["supervoxels"][...], file["mapping"][...]
        table = np.zeros(int(mapping.max()) + 1, np.uint64)
        table[mapping[:, 0]] = mapping[:, 1]
        assert np.array_equal(seg[:], table[supervoxels])
        assert len(seg.bodies()[0]) == 2012
        assert sum(len(seg.members(int(body))) for body in seg.bodies()[0]) == 2575
