"""Volumes in and out: every format, any place, and after interruptions of any kind."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest

import dvid as library
from dvid.interop import open_source


def voxels_of(dtype="uint8", shape=(45, 70, 50), seed=3):
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return random.random(shape).astype(dtype)
    return random.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def read(path):
    with open_source(str(path)) as source:
        return source.read((0, 0, 0), source.shape_zyx)


@pytest.mark.parametrize("output", ["out.npy", "out.h5", "out.zarr", "out.tif", "slices/*.png"])
def test_what_is_imported_is_exported_the_same(on_store, output):
    volume = voxels_of()
    np.save(on_store.folder / "in.npy", volume)
    node = on_store.uuid("repos", "new", "fly")
    on_store("import", "in.npy", "--node", node, "--name", "gray", "--offset=-7,11,40")
    on_store("export", output, "--node", node, "--name", "gray")
    path = on_store.folder / output.removesuffix("/*.png")
    assert np.array_equal(read(path), volume)
    on_store("repo", node, "new", "uint8blk", "again", "BlockSize=16,24,40")
    on_store("import", output, "--repo", node, "--name", "again")
    with library.open(str(on_store.folder / "store")) as store:
        again = store["fly"]["master"]["again"]
        assert np.array_equal(again[0:45, 0:70, 0:50], volume)


def test_files_come_back_byte_for_byte(dvid):
    np.save(dvid.folder / "in.npy", voxels_of("uint16"))
    node = dvid.uuid("repos", "new", "fly")
    dvid("import", "in.npy", "--node", node, "--name", "gray", "--offset", "1,2,3")
    dvid("export", "out.npy", "--node", node[:9], "--name", "gray")
    assert (dvid.folder / "out.npy").read_bytes() == (dvid.folder / "in.npy").read_bytes()


@pytest.mark.parametrize(
    ("dtype", "channels", "typename"),
    [("uint8", 4, "rgba8blk"), ("float32", 1, "float32blk"), ("uint64", 1, "uint64blk"), ("uint8", 3, "uint8blk")],
)
def test_the_type_of_a_new_instance_follows_the_voxels(dvid, dtype, channels, typename):
    shape = (20, 33, 18) if channels == 1 else (20, 33, 18, channels)
    volume = voxels_of(dtype, shape)
    np.save(dvid.folder / "in.npy", volume)
    _, told = dvid.both("import", "in.npy", "--new-repo", "fly", "--name", "volume")
    assert f"made the {typename} instance" in told
    node = re.search("[0-9a-f]{32}", told)[0]
    dvid("export", "out.npy", "--repo", node, "--name", "volume")
    assert np.array_equal(np.load(dvid.folder / "out.npy"), volume)


def test_the_voxel_size_goes_in_and_out(on_store):
    with h5py.File(on_store.folder / "in.h5", "w") as file:
        data = file.create_dataset("volume", data=voxels_of())
        data.attrs["resolution"] = [40.0, 4.5, 4.0]
        data.attrs["units"] = "nanometers"
        file.create_dataset("other", data=np.zeros((2, 3, 4), np.uint8))
    assert "other" in on_store.fails("import", "in.h5", "--new-repo", "fly", "--name", "gray", code=2)
    arguments = ("--dataset", "volume", "--new-repo", "fly2", "--name", "gray", "--block-size", "64,32,16")
    _, told = on_store.both("import", "in.h5", *arguments)
    node = re.search("[0-9a-f]{32}", told)[0]
    text = on_store("info", node)
    assert "4, 4.5, 40 nanometers" in text
    assert "64 x 32 x 16" in text
    on_store("export", "out.zarr", "--node", node, "--name", "gray")
    with open_source(str(on_store.folder / "out.zarr")) as source:
        assert source.voxel_size_zyx == (40.0, 4.5, 4.0)
        assert source.units == "nanometers"


def test_around_an_import_that_cuts_blocks_everything_stays(dvid):
    np.save(dvid.folder / "all.npy", np.full((64, 64, 64), 7, np.uint8))
    np.save(dvid.folder / "part.npy", voxels_of(shape=(11, 40, 9)))
    node = dvid.uuid("repos", "new", "fly")
    dvid("import", "all.npy", "--node", node, "--name", "gray")
    dvid("import", "part.npy", "--node", node, "--name", "gray", "--offset", "30,5,26")
    dvid("export", "out.npy", "--node", node, "--name", "gray")
    expected = np.full((64, 64, 64), 7, np.uint8)
    expected[26:37, 5:45, 30:39] = voxels_of(shape=(11, 40, 9))
    assert np.array_equal(np.load(dvid.folder / "out.npy"), expected)


def test_a_box_is_exported(dvid):
    volume = voxels_of()
    np.save(dvid.folder / "in.npy", volume)
    node = dvid.uuid("repos", "new", "fly")
    dvid("import", "in.npy", "--node", node, "--name", "gray")
    dvid(
        "export", "out.h5", "--node", node, "--name", "gray", "--offset", "3,5,7", "--size", "20,30,10", "--chunk", "8"
    )
    assert np.array_equal(read(dvid.folder / "out.h5"), volume[7:17, 5:35, 3:23])


def test_slices_are_loaded_in_the_order_given(dvid):
    volume = voxels_of(shape=(6, 40, 50))
    np.save(dvid.folder / "in.npy", volume)
    node = dvid.uuid("repos", "new", "fly")
    dvid("import", "in.npy", "--node", node, "--name", "gray")
    dvid("export", "slices", "--format", "png", "--node", node, "--name", "gray")
    slices = [f"slices/z{z:05d}.png" for z in (4, 0, 5)]
    dvid("repo", node, "new", "uint8blk", "loaded")
    dvid("node", node, "loaded", "load", "10,20,30", *slices)
    dvid("export", "out.npy", "--node", node, "--name", "loaded")
    assert np.array_equal(np.load(dvid.folder / "out.npy"), volume[[4, 0, 5]])
    assert "nothing.png" in dvid.fails("node", node, "loaded", "load", "0,0,0", "nothing.png", code=2)
    assert "0,0" in dvid.fails("node", node, "loaded", "load", "0,0", *slices, code=2)


@pytest.mark.parametrize("form", ["tiff", "png"])
def test_slices_that_a_pattern_matches_are_loaded_in_natural_order(dvid, form):
    volume = voxels_of(shape=(12, 40, 50))
    np.save(dvid.folder / "in.npy", volume)
    node = dvid.uuid("repos", "new", "fly")
    dvid("import", "in.npy", "--node", node, "--name", "gray")
    dvid("export", "slices", "--format", form, "--node", node, "--name", "gray")
    for z, path in enumerate(sorted((dvid.folder / "slices").iterdir())):
        path.rename(path.with_name(f"s[{z}]{path.suffix}"))
    (dvid.folder / "slices" / "notes.txt").write_text("no slice")
    ending = {"tiff": "tif", "png": "png"}[form]
    dvid("repo", node, "new", "uint8blk", "loaded")
    dvid("node", node, "loaded", "load", "0,0,0", f"slices/*.{ending}")
    # A file of that name is there, so it is one, not a pattern.
    dvid("node", node, "loaded", "load", "0,0,12", f"slices/s[3].{ending}", f"slices/s?1?.{ending}")
    dvid("export", "out.npy", "--node", node, "--name", "loaded")
    assert np.array_equal(np.load(dvid.folder / "out.npy"), volume[[*range(12), 3, 1]])
    complaint = dvid.fails("node", node, "loaded", "load", "0,0,0", f"slices/*.{ending}", "slices/*.jpg", code=2)
    assert "no file matches slices/*.jpg" in complaint


def test_what_does_not_fit_is_refused_before_anything_is_written(on_store):
    np.save(on_store.folder / "in.npy", voxels_of("uint16"))
    node = on_store.uuid("repos", "new", "fly")
    on_store("repo", node, "new", "uint8blk", "gray")
    on_store("repo", node, "new", "keyvalue", "notes")
    goal = ("import", "in.npy", "--node", node, "--name")
    assert "uint16" in on_store.fails(*goal, "gray", code=2)
    assert "keyvalue" in on_store.fails(*goal, "notes", code=2)
    assert "beyond" in on_store.fails(*goal, "gray", "--offset", "2147483640,0,0", code=2)
    assert "nothing.npy" in on_store.fails("import", "nothing.npy", "--node", node, "--name", "gray", code=2)
    assert "--new-repo" in on_store.fails("import", "in.npy", "--name", "gray", code=2)
    assert "empty" in on_store.fails("export", "out.npy", "--node", node, "--name", "gray", code=2)
    on_store("node", node, "commit")
    assert "committed" in on_store.fails(*goal, "new", code=2)
    assert on_store.journals == []


UNFIT = [
    ("float32", 1, "labelmap", "cannot hold as uint64"),
    ("uint16", 1, "uint8blk", "cannot hold as uint8"),
    ("uint8", 3, "labelmap", "3 channel(s)"),
    ("uint8", 1, "rgba8blk", "1 channel(s)"),
    ("uint8", 1, "keyvalue", "keyvalue"),
    ("int16", 1, None, "int16blk"),
]
"""Type of the voxels, channels, type of the new instance, and what is said of it."""


@pytest.mark.parametrize(("dtype", "channels", "typename", "told"), UNFIT)
def test_what_does_not_fit_a_new_instance_leaves_nothing_behind(on_server, dtype, channels, typename, told):
    np.save(on_server.folder / "in.npy", voxels_of(dtype, (20, 33, 18, channels)).squeeze())
    node = on_server.uuid("repos", "new", "fly")
    before = on_server("info", "--json")
    words = ("import", "in.npy", "--name", "new", *(("--type", typename) if typename else ()))
    anew = ("--new-repo", "again")
    for command, place in ((on_server, ("--node", node)), (on_server, anew), (on_server.on("--data", "other"), anew)):
        _, errors = command.both(*words, *place, code=2)
        assert told in errors
        assert errors.count("\n") == 1, "nothing is told but what is wrong"
    assert on_server("info", "--json") == before
    assert not (on_server.folder / "other").exists()
    assert on_server.journals == []


REFUSED = [
    ("in.npy", ("--block-size", "2000"), "BlockSize: three numbers from 1 to 1024 were expected, not 2000,2000,2000"),
    ("in.npy", ("--block-size", "900,900,900"), "729000000 bytes, the limit is 67108864"),
    ("in.npy", ("--type", "labelmap", "--block-size", "20"), "BlockSize: multiples of 16 were expected, not 20,20,20"),
    ("in.npy", ("--type", "labelblk", "--block-size", "20"), "BlockSize: multiples of 8 were expected, not 20,20,20"),
    ("in.npy", ("--name", "a/b"), "'a/b'"),
    ("many.npy", ("--axes", "zyxc"), "Channels: a number from 1 to 64 was expected, not 65"),
    ("odd.h5", (), "VoxelUnits: three units"),
]
"""Sources and options that each make settings which a type refuses, and what is said of them."""


def test_settings_that_the_type_refuses_leave_nothing_behind(on_server):
    np.save(on_server.folder / "in.npy", voxels_of())
    np.save(on_server.folder / "many.npy", voxels_of(shape=(3, 4, 5, 65)))
    with h5py.File(on_server.folder / "odd.h5", "w") as file:
        attributes = file.create_dataset("volume", data=voxels_of()).attrs
        attributes["resolution"], attributes["units"] = [40.0, 4.0, 4.0], "ells, more or less"
    node = on_server.uuid("repos", "new", "fly")
    before = on_server("info", "--json")
    anew = ("--new-repo", "again")
    places = ((on_server.on("--data", "other"), anew), (on_server, anew), (on_server, ("--node", node)))
    for number, (source, options, told) in enumerate(REFUSED):
        command, place = places[number % 3]
        out, errors = command.both("import", source, "--name", "new", *options, *place, code=2)
        assert told in errors
        assert (out, errors.count("\n")) == ("", 1), "nothing is told but what is wrong"
        assert not (on_server.folder / "other").exists()
    assert on_server("info", "--json") == before
    assert on_server.journals == []


def test_a_mapping_is_not_for_a_new_image(on_store):
    np.save(on_store.folder / "in.npy", voxels_of())
    (on_store.folder / "map.csv").write_text("1,2\n")
    words = ("import", "in.npy", "--new-repo", "fly", "--name", "new", "--type", "uint8blk", "--mapping", "map.csv")
    assert "an image" in on_store.fails(*words, code=2)
    assert not (on_store.folder / "store").exists()


def test_a_committed_node_is_not_written_to_whoever_asks(on_server):
    np.save(on_server.folder / "in.npy", voxels_of())
    node = on_server.uuid("repos", "new", "fly")
    on_server("repo", node, "new", "uint8blk", "gray")
    on_server("node", node, "commit")
    assert "committed" in on_server.fails("import", "in.npy", "--node", node, "--name", "gray", code=2)


# ---- interruptions ------------------------------------------------------------------------------

interruptions = pytest.mark.slow
LARGE = (320, 512, 512)  # five boxes of 16 MiB


@pytest.fixture
def large(on_store):
    """A volume of several boxes in large.npy, and an empty instance for it; the volume and the node."""
    volume = np.tile(voxels_of(shape=(64, 64, 64)), (5, 8, 8))
    assert volume.shape == LARGE
    np.save(on_store.folder / "large.npy", volume)
    node = on_store.uuid("repos", "new", "fly")
    on_store("repo", node, "new", "uint8blk", "gray", "BlockSize=64,64,64")
    return volume, node


IMPORT = ("import", "large.npy", "--name", "gray", "--workers", "1", "--node")
TRIES = 20
"""On a busy machine the command may be through before it is interrupted: then all begins anew."""


def notes_something(journals) -> bool:
    """Whether a progress file notes something as done."""
    with suppress(FileNotFoundError):
        return any(path.read_bytes().count(b"\n") > 1 for path in journals)
    return False


def interrupt_import(command, node, number: int) -> tuple[int, str]:
    """Import, and send a signal when something is noted as done; the exit code, and what was said on standard error."""
    for _ in range(TRIES):
        process = command.start(*IMPORT, node)
        while process.poll() is None and not notes_something(command.journals):
            time.sleep(0.001)
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
        if command.journals:
            return process.returncode, errors
        command("repo", node, "delete", "gray", "--yes")
        command("repo", node, "new", "uint8blk", "gray", "BlockSize=64,64,64")
    raise AssertionError("each import was through before it was interrupted")


def kill_export(command, node, output: str, begun: Path) -> Path:
    """Export, and kill the command as soon as a file or folder is there; the progress file that it leaves."""
    path = command.folder / output.removesuffix("/*.png")
    progress = path.with_name(path.name + ".progress")
    for _ in range(TRIES):
        process = command.start("export", output, "--node", node, "--name", "gray", "--workers", "1")
        while process.poll() is None and not begun.exists():
            time.sleep(0.001)
        process.kill()
        _, errors = process.communicate(timeout=120)
        assert begun.exists(), errors
        if progress.exists():
            return progress
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    raise AssertionError("each export was through before it was killed")


def stored(command, node):
    with library.open(str(command.folder / "store")) as store:
        return store[node][node]["gray"][0 : LARGE[0], 0 : LARGE[1], 0 : LARGE[2]]


@interruptions
def test_an_import_that_was_killed_goes_on_where_it_was(on_store, large):
    volume, node = large
    interrupt_import(on_store, node, signal.SIGKILL)
    goal = ("import", "large.npy", "--node", node, "--name", "gray")
    assert "--resume" in on_store.fails(*goal, code=2)
    # What is noted as done is not written again: marks put there meanwhile stay.
    with library.open(str(on_store.folder / "store")) as store:
        gray = store[node][node]["gray"]
        assert np.array_equal(gray[0:64, 0:512, 0:512], volume[:64])
        gray[0:64, 0:64, 0:64] = np.uint8(9)
    on_store(*goal, "--resume")
    after = stored(on_store, node)
    assert (after[:64, :64, :64] == 9).all()
    after[:64, :64, :64] = volume[:64, :64, :64]
    assert np.array_equal(after, volume)
    assert on_store.journals == []


@interruptions
def test_ctrl_c_says_how_to_go_on_and_that_works(on_store, large):
    volume, node = large
    code, errors = interrupt_import(on_store, node, signal.SIGINT)
    assert code == 130
    assert "Traceback" not in errors
    command = re.search(r"Go on with: dvid (.*)", errors)[1]
    on_store.on()(*shlex.split(command))
    assert np.array_equal(stored(on_store, node), volume)


@interruptions
def test_restart_writes_everything_anew(on_store, large):
    volume, node = large
    interrupt_import(on_store, node, signal.SIGKILL)
    with library.open(str(on_store.folder / "store")) as store:
        store[node][node]["gray"][0:64, 0:64, 0:64] = np.uint8(9)
    on_store("import", "large.npy", "--node", node, "--name", "gray", "--restart")
    assert np.array_equal(stored(on_store, node), volume)


@interruptions
def test_a_source_that_changed_is_not_gone_on_with(on_store, large):
    volume, node = large
    interrupt_import(on_store, node, signal.SIGKILL)
    np.save(on_store.folder / "large.npy", volume[::-1])
    complaint = on_store.fails("import", "large.npy", "--node", node, "--name", "gray", "--resume", code=2)
    assert "state of the source" in complaint


@interruptions
def test_an_export_that_was_killed_goes_on_where_it_was(on_store, large):
    volume, node = large
    on_store("import", "large.npy", "--node", node, "--name", "gray")
    progress = kill_export(on_store, node, "out.zarr", on_store.folder / "out.zarr" / "c")
    assert "resume" in on_store.fails("export", "out.zarr", "--node", node, "--name", "gray", code=2)
    on_store("export", "out.zarr", "--node", node, "--name", "gray", "--resume")
    assert not progress.exists()
    assert np.array_equal(read(on_store.folder / "out.zarr"), volume)
    assert "exists" in on_store.fails("export", "out.zarr", "--node", node, "--name", "gray", code=2)


@interruptions
@pytest.mark.parametrize("output", ["out.zarr", "out.h5", "slices/*.png"])
def test_an_export_is_begun_anew(on_store, large, output):
    volume, node = large
    on_store("import", "large.npy", "--node", node, "--name", "gray")
    path = on_store.folder / output.removesuffix("/*.png")
    kill_export(on_store, node, output, path)
    on_store("export", output, "--node", node, "--name", "gray", "--restart")
    assert np.array_equal(read(path), volume)
