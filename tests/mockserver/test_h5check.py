import contextlib
import os
import re
import subprocess
import sys
import zlib

import h5py
import numpy as np
import pytest
import urllib3
from tests.mockserver.conftest import Client, random_voxels, tagged

from mockserver.h5check import check, child_environment
from mockserver.h5datafile import open_locked
from mockserver.h5errors import FileUnusable
from mockserver.h5mockserver import H5MockServerDataFile


def run(path, *options):
    """The command's exit code, output and error output; it must end by itself."""
    done = subprocess.run(
        [sys.executable, "-m", "mockserver.h5mockserver", str(path), "--port", "0", *options],
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def checked(path):
    descriptor = open_locked(path)
    try:
        return check(path, descriptor)
    finally:
        os.close(descriptor)


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-3000])


def without_superblock(path):
    data = path.read_bytes()
    path.write_bytes(data[:8] + bytes(88) + data[96:])


def with_other_groups(path):
    with h5py.File(path, "w") as file:
        file["some"] = 1


def linked_to_another_file(path):
    with h5py.File(path, "r+") as file:
        file["/all_nodes/abc123/linked"] = h5py.ExternalLink("/etc/passwd", "/")


def virtual(path):
    layout = h5py.VirtualLayout((10, 10), "u1")
    layout[:] = h5py.VirtualSource("/other.h5", "data", (10, 10))
    with h5py.File(path, "r+") as file:
        file["/all_nodes/abc123"].create_virtual_dataset("virtual", layout)


def kept_in_another_file(path):
    with h5py.File(path, "r+") as file:
        file["/all_nodes/abc123"].create_dataset("outside", (10, 10), "u1", external=[("/etc/passwd", 0, 100)])


def compressed_by_what_is_not_known(path):
    with h5py.File(path, "r+") as file:
        how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        how.set_chunk((5, 5))
        how.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
        space = h5py.h5s.create_simple((10, 10))
        h5py.h5d.create(file["/all_nodes/abc123"].id, b"zstd", h5py.h5t.NATIVE_UINT8, space, how)


def with_enormous_chunks(path):
    with h5py.File(path, "r+") as file:
        file["/all_nodes/abc123"].create_dataset("large", (4000, 2000, 2000), "u1", chunks=(1000, 1000, 1000))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "cannot be opened: No such file or directory"),
        (lambda path: path.write_text("hello"), "is not an HDF5 file"),
        (lambda path: path.write_text(""), "is not an HDF5 file"),
        (lambda path: (path.unlink(), path.mkdir()), "(cannot be opened: Is a directory|is no regular file)"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "is no regular file"),
        (cut_short, "is corrupt: .*truncated"),
        (without_superblock, "is corrupt"),
        (with_other_groups, "was not made for this server: it has no group /datasets"),
        (linked_to_another_file, "has a link to another file, /.*/linked"),
        (virtual, "keeps the voxels of /.*/virtual in other files"),
        (kept_in_another_file, "keeps the voxels of /.*/outside in other files"),
        (compressed_by_what_is_not_known, "needs the HDF5 filter 32015 for /.*/zstd"),
        (with_enormous_chunks, "has chunks of 1000000000 bytes in /.*/large"),
    ],
)
def test_what_cannot_be_served_is_refused_with_one_line(file, spoil, message):
    spoil(file)
    code, output, errors = run(file)
    assert (code, output) == (2, "")
    assert errors.count("\n") == 1
    assert "Traceback" not in errors
    assert re.search(rf"^h5mockserver: {file} {message}", errors), errors


def test_a_file_that_another_program_has_open_is_refused_with_one_line(file):
    with h5py.File(file, "r+", locking=True):
        code, output, errors = run(file)
    assert (code, output) == (2, "")
    assert errors == f"h5mockserver: {file} is in use by another program, which has it locked\n"


def test_an_address_in_use_is_refused_with_one_line(file, serve, tmp_path):
    port = serve(file).url.rpartition(":")[2]
    other = tmp_path / "other.h5"
    with H5MockServerDataFile(other) as made:
        made.add_node("d", "abc")
    code, _, errors = run(other, "--port", port)
    assert code == 2
    assert errors.count("\n") == 1
    assert f"cannot listen at 127.0.0.1:{port}" in errors


def test_what_is_no_volume_is_left_out_and_said(file):
    with h5py.File(file, "r+") as opened:
        node = opened["/all_nodes/abc123"]
        node["words"] = np.array([b"a", b"b"])
        node["line"] = np.arange(5)
        node["five"] = np.zeros((1, 1, 1, 2, 2))
        node["complex"] = np.zeros((2, 2), complex)
        node["dangling"] = h5py.SoftLink("/nowhere")
        opened["/datasets/empty"] = h5py.SoftLink("/nowhere")
        opened.create_group("/datasets/bare")
    notes = checked(file)
    assert [note for note in notes if "/bare is left out: it has no group 'nodes'" in note]
    assert [note for note in notes if "/empty is left out" in note]
    left = {note.split(" is left out")[0].rpartition("/")[2] for note in notes if " is left out: it" in note}
    assert left >= {"words", "line", "five", "complex"}


def test_a_chunk_with_wrong_bytes_fails_the_reads_of_it_and_no_others(path, serve):
    voxels = random_voxels((64, 64, 64))
    with H5MockServerDataFile(path) as made:
        made.add_node("d", "abc123")
        made.add_volume("d", "v", tagged(voxels, "zyx"), compression="gzip")
        made.add_volume("d", "whole", tagged(voxels, "zyx"))
    with h5py.File(path, "r+") as file:
        stored = file["/all_nodes/abc123/v"]
        edge = stored.chunks[0]
        data = stored.id.read_direct_chunk((0, 0, 0))[1]
        stored.id.write_direct_chunk((0, 0, 0), data[:1000] + bytes(len(data) - 1000))
        file.create_dataset("/all_nodes/abc123/long", (256, 256), "u1", chunks=(64, 64), compression="gzip")
        # Unpacked, it is longer than a chunk.
        file["/all_nodes/abc123/long"].id.write_direct_chunk((0, 0), zlib.compress(bytes(50_000_000)))
    assert edge == 64
    asked = Client(serve(path).url)
    broken = asked.get("node/abc123/v/raw/0_1_2/8_8_8/0_0_0")
    assert broken.status == 500
    assert broken.data.startswith(b"reading x 0:8, y 0:8, z 0:8 of 'v'")
    assert broken.data.count(b"\n") == 1
    assert asked.get("node/abc123/long/raw/0_1_2/8_8_1/0_0_0").status in (200, 500)
    assert asked.get("node/abc123/long/raw/0_1_2/8_8_1/100_0_0").data == bytes(64)
    assert asked.get("node/abc123/whole/raw/0_1_2/64_64_64/0_0_0").data == voxels.tobytes()
    assert asked.post("node/abc123/v/raw/0_1_2/1_1_1/0_0_0", b"1").status == 500
    assert asked.post("node/abc123/whole/raw/0_1_2/1_1_1/0_0_0", b"1").status == 200


def fuzzed(data, rng, spare):
    """A copy with some bytes changed, none of them among the voxels."""
    copy = bytearray(data)
    start, stop = spare
    for _ in range(rng.integers(1, 9)):
        at = int(rng.integers(0, len(copy) - (stop - start)))
        at += stop - start if at >= start else 0
        copy[at] = int(rng.integers(0, 256))
    return bytes(copy)


REQUESTS = [
    ("GET", "repos/info"),
    ("GET", "node/abc123/v/raw/0_1_2/33_33_33/0_0_0"),
    ("GET", "node/abc123/plain/raw/0_1_2/7_6_5/0_0_0"),
    ("POST", "node/abc123/w/raw/0_1_2/9_9_1/0_0_0", bytes(9 * 9 * 2)),
    ("POST", "node/abc123/plain/raw/0_1_2/9_9_9/-1_-1_-1", bytes(9**3)),
    ("POST", "repo/abc123/instance", {"typename": "uint8blk", "dataname": "new"}),
]


def why_refused(path):
    try:
        checked(path)
    except FileUnusable as error:
        return str(error)
    return None


@pytest.mark.slow
def test_copies_of_a_file_with_wrong_bytes_are_refused_or_served_and_stop_no_server(path, serve):
    with H5MockServerDataFile(path) as made:
        made.add_node("d", "abc123")
        made.add_volume("d", "v", tagged(random_voxels((33, 33, 33)), "zyx"), compression="gzip")
        made.add_volume("d", "w", tagged(random_voxels((9, 9, 2)), "yxc"))
    with h5py.File(path, "r+") as file:
        chunks = []
        file["/all_nodes/abc123/v"].id.chunk_iter(lambda chunk: chunks.append((chunk.byte_offset, chunk.size)))
        file.create_dataset("/all_nodes/abc123/plain", data=random_voxels((5, 6, 7)))
    (start, size), *_ = chunks
    whole = path.read_bytes()
    rng = np.random.default_rng(5)
    refused = served = 0
    for _ in range(40):
        path.write_bytes(fuzzed(whole, rng, (start, start + size)))
        if (why := why_refused(path)) is not None:
            assert "\n" not in why
            refused += 1
        elif served < 12:
            served += 1
            server = serve(path)
            asked = Client(server.url)
            for request in REQUESTS:
                # Where the HDF5 library crashed, there is no answer to this request; the next one has one.
                with contextlib.suppress(urllib3.exceptions.HTTPError):
                    assert asked.ask(*request).status in (200, 400, 409, 413, 500), request
            assert asked.json("server/info")["Storage backend"] == "hdf5"
            server.shutdown()
    assert refused > 5
    assert served > 5
