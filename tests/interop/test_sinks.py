from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvid.errors import BadRequest, Conflict, NotFound, TooLarge
from dvid.interop import create_sink, open_source
from dvid.interop.sinks import progress_path
from dvid.interop.volumes import VolumeSink, iter_boxes

SHAPE = (7, 50, 41)
CHUNK = (3, 16, 20)

# What is written, and what is read back; the formats that keep voxels exactly.
EXACT = {
    "hdf5": ("v.h5", "v.h5"),
    "zarr": ("v.zarr", "v.zarr"),
    "npy": ("v.npy", "v.npy"),
    "tiff": ("v.tif", "v.tif"),
    "tiff slices": ("tiffs/*.tif", "tiffs"),
    "png slices": ("pngs/*.png", "pngs/*.png"),
}
DTYPES = {name: ["uint8", "uint16", "int32", "uint64", "float32", "float64"] for name in EXACT} | {
    "png slices": ["uint8", "uint16"]
}


def make_volume(dtype: str, channels: int = 1, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    tail = (channels,) if channels > 1 else ()
    numbers = np.random.default_rng(7).integers(0, 2**63, size=(*shape, *tail), dtype=np.uint64)
    return (numbers % 251 / 8 if dtype.startswith("float") else numbers).astype(dtype)


def make_sink(path: Path, volume: np.ndarray, **options: object) -> VolumeSink:
    channels = volume.shape[3] if volume.ndim == 4 else 1
    given_options = {"chunk_zyx": CHUNK, "channels": channels, **options}
    return create_sink(str(path), shape_zyx=volume.shape[:3], dtype=volume.dtype, **given_options)


def write_boxes(sink: VolumeSink, volume: np.ndarray, boxes: list) -> None:
    for (z, y, x), (a, b, c) in boxes:
        sink.write((z, y, x), volume[z : z + a, y : y + b, x : x + c])


def parts_of(sink: VolumeSink) -> list:
    return list(iter_boxes(sink.plan.shape_zyx, sink.part_zyx))


@pytest.mark.parametrize(
    ("name", "dtype", "channels"),
    [(n, d, 1) for n in EXACT for d in DTYPES[n]]
    + [(n, "uint8", c) for n, c in itertools.product(EXACT, (2, 3, 4))]
    + [("png slices", "uint16", 3), ("hdf5", "float32", 7)],
)
def test_a_volume_comes_back_as_it_was_written(tmp_path, name, dtype, channels):
    volume = make_volume(dtype, channels)
    written, read = (tmp_path / path for path in EXACT[name])
    with make_sink(written, volume, voxel_size_zyx=(50.0, 4.6, 4.6), units="nanometers") as sink:
        write_boxes(sink, volume, parts_of(sink))
    with open_source(str(read)) as source:
        assert (source.shape_zyx, source.channels, source.dtype) == (SHAPE, channels, np.dtype(dtype))
        box = source.read((0, 0, 0), SHAPE)
        assert box.flags.c_contiguous
        np.testing.assert_array_equal(box, volume)
        # .npy and PNG have no place for the size of voxels.
        keeps_size = name not in ("npy", "png slices")
        assert source.voxel_size_zyx == ((50.0, 4.6, 4.6) if keeps_size else None)
        assert source.units == ("nanometers" if keeps_size else None)
    assert [entry for entry in os.listdir(tmp_path) if entry.endswith(".progress")] == []


@pytest.fixture(scope="module")
def written_volumes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("volumes")
    volumes = {1: make_volume("uint16"), 3: make_volume("uint16", 3)}
    sources = []
    for name, channels in itertools.product(EXACT, volumes):
        inner = folder / str(channels)
        inner.mkdir(exist_ok=True)
        with make_sink(inner / EXACT[name][0], volumes[channels]) as sink:
            write_boxes(sink, volumes[channels], parts_of(sink))
        sources.append((open_source(str(inner / EXACT[name][1])), volumes[channels]))
    yield sources
    for source, _ in sources:
        source.close()


@settings(max_examples=60)
@given(data=st.data())
def test_any_box_of_any_format_equals_the_slice_of_the_array(written_volumes, data):
    source, volume = data.draw(st.sampled_from(written_volumes))
    start = tuple(data.draw(st.integers(0, size - 1)) for size in SHAPE)
    shape = tuple(data.draw(st.integers(1, size - first)) for size, first in zip(SHAPE, start, strict=True))
    where = tuple(slice(first, first + size) for first, size in zip(start, shape, strict=True))
    np.testing.assert_array_equal(source.read(start, shape), volume[where])


@settings(max_examples=30)
@given(
    start=st.tuples(*[st.integers(-3, 60)] * 3),
    shape=st.tuples(*[st.integers(-3, 60)] * 3),
)
def test_a_box_that_is_not_inside_is_refused_by_every_format(written_volumes, start, shape):
    inside = all(a >= 0 and n >= 1 and a + n <= size for a, n, size in zip(start, shape, SHAPE, strict=True))
    for source, _ in written_volumes:
        if inside:
            source.read(start, shape)
        else:
            with pytest.raises(BadRequest, match="not inside"):
                source.read(start, shape)


def test_jpeg_slices_come_back_nearly_as_they_were_written(tmp_path):
    ramp = np.broadcast_to(np.linspace(0, 255, 41), SHAPE).astype(np.uint8)
    with make_sink(tmp_path / "jpgs/*.jpg", ramp) as sink:
        write_boxes(sink, ramp, parts_of(sink))
    with open_source(str(tmp_path / "jpgs")) as source:
        assert source.shape_zyx == SHAPE
        assert np.abs(source.read((0, 0, 0), SHAPE).astype(int) - ramp).max() <= 4


@pytest.mark.parametrize("name", EXACT)
def test_an_interrupted_export_goes_on_where_it_ended(tmp_path, name):
    volume = make_volume("uint16")
    path, read = (tmp_path / part for part in EXACT[name])
    sink = make_sink(path, volume)
    parts = parts_of(sink)
    half = len(parts) // 2
    with contextlib.suppress(KeyboardInterrupt), sink:
        write_boxes(sink, volume, parts[:half])
        raise KeyboardInterrupt
    assert os.path.exists(progress_path(sink.name))

    with pytest.raises(Conflict, match="resume"):
        make_sink(path, volume)
    again = make_sink(path, volume, resume=True)
    assert again.completed_count == half
    assert len(again.completed) == half
    assert [again.is_completed(*part) for part in parts] == [True] * half + [False] * (len(parts) - half)
    write_boxes(again, volume, parts[half:])
    again.close()
    assert not os.path.exists(progress_path(sink.name))
    with open_source(str(read)) as source:
        np.testing.assert_array_equal(source.read((0, 0, 0), SHAPE), volume)


KILLED = """
    import os, signal, sys
    import numpy as np
    sys.path.insert(0, {tests!r})
    from dvid.interop import create_sink
    from dvid.interop.volumes import iter_boxes
    import dvid.interop.volumes as volumes

    shape = (40, 64, 64)
    volume = np.arange(np.prod(shape), dtype=np.uint32).reshape(shape).astype({dtype!r})
    volumes.CHECKPOINT_SECONDS = 0.0
    sink = create_sink(sys.argv[1], shape_zyx=shape, dtype={dtype!r}, chunk_zyx=(8, 32, 32), resume=True)
    parts = [part for part in iter_boxes(shape, sink.part_zyx) if not sink.is_completed(*part)]
    print(sink.completed_count, flush=True)
    for count, ((z, y, x), (a, b, c)) in enumerate(parts):
        if count == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        sink.write((z, y, x), volume[z : z + a, y : y + b, x : x + c])
    sink.close()
"""


@pytest.mark.parametrize("name", EXACT)
def test_a_killed_export_goes_on_with_what_it_had_noted(tmp_path, name):
    dtype = "uint16"
    script = textwrap.dedent(KILLED).format(tests=str(Path(__file__).parent), dtype=dtype)
    path, read = (tmp_path / part for part in EXACT[name])

    def run(parts: int) -> tuple[int, int]:
        done = subprocess.run(
            [sys.executable, "-c", script, str(path), str(parts)], capture_output=True, text=True, check=False
        )
        assert done.stderr == ""
        return done.returncode, int(done.stdout)

    assert run(0) == (-signal.SIGKILL, 0)
    assert run(5) == (-signal.SIGKILL, 0)
    assert run(7) == (-signal.SIGKILL, 5)
    assert run(10**6) == (0, 12)
    with open_source(str(read)) as source:
        expected = np.arange(np.prod(source.shape_zyx), dtype=np.uint32).reshape(source.shape_zyx).astype(dtype)
        np.testing.assert_array_equal(source.read((0, 0, 0), source.shape_zyx), expected)


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"chunk_zyx": (2, 16, 20)}, "chunk_zyx"), ({"work": {"node": "b"}}, "node"), ({"dtype": np.uint8}, "dtype")],
)
def test_an_export_of_something_else_is_not_gone_on_with(tmp_path, changed, named):
    options = {"shape_zyx": SHAPE, "dtype": np.uint16, "chunk_zyx": CHUNK, "work": {"node": "a"}}
    path = str(tmp_path / "v.npy")
    with create_sink(path, **options) as sink:
        sink.write((0, 0, 0), np.ones(CHUNK, np.uint16))
    with pytest.raises(Conflict, match=named):
        create_sink(path, **{**options, **changed}, resume=True)
    with create_sink(path, **options, resume=True) as sink:
        assert sink.completed == {(0, 0, 0)}


@pytest.mark.parametrize("name", EXACT)
def test_an_output_that_changed_meanwhile_is_not_gone_on_with(tmp_path, name):
    volume = make_volume("uint16")
    path = tmp_path / EXACT[name][0]
    with make_sink(path, volume) as sink:
        write_boxes(sink, volume, parts_of(sink)[:2])
    if name.endswith("slices"):
        for entry in os.listdir(sink.name):
            os.unlink(os.path.join(sink.name, entry))
        os.rmdir(sink.name)
    elif name == "zarr":
        (path / "zarr.json").write_text("{}")
    else:
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(Conflict, match="cannot be gone on with"):
        make_sink(path, volume, resume=True)


def test_two_exports_to_one_place_are_refused(tmp_path):
    volume = make_volume("uint16")
    with make_sink(tmp_path / "v.npy", volume) as sink:
        write_boxes(sink, volume, parts_of(sink)[:1])
        with pytest.raises(Conflict, match="in use"):
            make_sink(tmp_path / "v.npy", volume, resume=True)


@pytest.mark.parametrize("name", EXACT)
def test_nothing_that_exists_is_overwritten(tmp_path, name):
    volume = make_volume("uint16")
    path = tmp_path / EXACT[name][0]
    place = path.parent if name.endswith("slices") else path
    if name in ("zarr",) or name.endswith("slices"):
        place.mkdir()
        (place / "mine.txt").write_text("mine")
    else:
        place.write_text("mine")
    for resume in (False, True):
        with pytest.raises(Conflict, match="exists already"):
            make_sink(path, volume, resume=resume)
    kept = place / "mine.txt" if place.is_dir() else place
    assert kept.read_text() == "mine"
    assert not os.path.exists(progress_path(str(place)))


def test_a_finished_export_is_not_resumed(tmp_path):
    volume = make_volume("uint8")
    with make_sink(tmp_path / "v.h5", volume) as sink:
        write_boxes(sink, volume, parts_of(sink))
    with pytest.raises(Conflict, match="exists already"):
        make_sink(tmp_path / "v.h5", volume, resume=True)


@pytest.mark.parametrize(
    ("path", "options", "error", "message"),
    [
        ("v.xyz", {}, BadRequest, "extension"),
        ("v", {"format": "bmp"}, BadRequest, "bmp"),
        ("v.png", {}, BadRequest, "one image"),
        ("s/*.png", {"format": "hdf5"}, BadRequest, "hdf5"),
        ("s/*.png", {"dtype": np.float32}, BadRequest, "uint8 or uint16"),
        ("s/*.jpg", {"dtype": np.uint16}, BadRequest, "uint8"),
        ("s/*.jpg", {"channels": 4}, BadRequest, "channels"),
        ("v.h5", {"shape_zyx": (0, 4, 4)}, BadRequest, "size"),
        ("v.h5", {"shape_zyx": (4, -4, 4)}, BadRequest, "size"),
        ("v.h5", {"chunk_zyx": (4, 4, 0)}, BadRequest, "chunks"),
        ("v.h5", {"channels": 0}, BadRequest, "channels"),
        ("v.h5", {"dtype": np.complex64}, BadRequest, "complex64"),
        ("v.h5", {"dtype": object}, BadRequest, "object"),
        ("v.h5", {"shape_zyx": (10**9,) * 3, "chunk_zyx": (1, 1, 1)}, BadRequest, "chunks"),
        ("v.h5", {"shape_zyx": (10**9,) * 3, "chunk_zyx": (10**4,) * 3}, TooLarge, "pieces"),
        ("v.npy", {"shape_zyx": (10**5,) * 3, "chunk_zyx": (1000,) * 3}, Conflict, "left"),
        ("v.tif", {"shape_zyx": (10**4, 10**5, 10**5), "chunk_zyx": (1000,) * 3}, Conflict, "left"),
        ("nowhere/v.h5", {}, NotFound, "nowhere"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_made(tmp_path, path, options, error, message):
    arguments = {"shape_zyx": SHAPE, "dtype": np.uint8, "chunk_zyx": CHUNK, **options}
    with pytest.raises(error, match=message):
        create_sink(str(tmp_path / path), **arguments)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("start", "array", "message"),
    [
        ((0, 0, 0), np.zeros(CHUNK, np.uint16), "uint16"),
        ((0, 0, 0), np.zeros((3, 16, 20, 2), np.uint8), "channel"),
        ((1, 0, 0), np.zeros(CHUNK, np.uint8), "whole parts"),
        ((0, 0, 0), np.zeros((2, 16, 20), np.uint8), "whole parts"),
        ((6, 0, 0), np.zeros(CHUNK, np.uint8), "not inside"),
        ((-3, 0, 0), np.zeros(CHUNK, np.uint8), "not inside"),
        ((0, 0, 0), np.zeros((0, 16, 20), np.uint8), "not inside"),
    ],
)
def test_a_box_that_does_not_fit_the_parts_is_refused(tmp_path, start, array, message):
    with create_sink(str(tmp_path / "v.h5"), shape_zyx=SHAPE, dtype=np.uint8, chunk_zyx=CHUNK) as sink:
        with pytest.raises(BadRequest, match=message):
            sink.write(start, array)
        assert sink.completed == set()


def test_a_format_may_be_named_where_the_path_does_not_tell_it(tmp_path):
    volume = make_volume("uint8")
    with make_sink(tmp_path / "stack", volume, format="png") as sink:
        write_boxes(sink, volume, parts_of(sink))
    assert sorted(os.listdir(tmp_path / "stack")) == [f"z{z:05d}.png" for z in range(SHAPE[0])]
    with open_source(str(tmp_path / "stack")) as source:
        np.testing.assert_array_equal(source.read((0, 0, 0), SHAPE), volume)


def test_a_stack_is_written_slab_by_slab(tmp_path):
    volume = make_volume("uint8")
    with make_sink(tmp_path / "s/*.png", volume) as sink:
        assert sink.part_zyx == (1, *SHAPE[1:])
        assert sink.part_count == SHAPE[0]
        sink.write((0, 0, 0), volume[:4])
        assert sink.completed == {(z, 0, 0) for z in range(4)}
        with pytest.raises(BadRequest, match="whole parts"):
            sink.write((4, 0, 0), volume[4:5, :16])
        sink.write((4, 0, 0), volume[4:])
    assert open_source(str(tmp_path / "s")).shape_zyx == SHAPE
