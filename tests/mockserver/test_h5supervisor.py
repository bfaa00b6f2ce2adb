import concurrent.futures
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

import h5py
import numpy as np
import pytest
import urllib3
from tests.mockserver.conftest import Client, is_running, tagged, worker_of
from tests.waiting import eventually

from dvidclient.errors import ClientError
from dvidclient.volume_client import VolumeClient
from dvidclient.volume_metainfo import MetaInfo
from mockserver import h5worker
from mockserver.h5check import child_environment
from mockserver.h5journal import journal_path
from mockserver.h5mockserver import H5MockServer, H5MockServerDataFile


def next_worker(server, before):
    return eventually(lambda: (pid := worker_of(server)) not in (None, before) and pid)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_worker_that_crashes_is_followed_by_another_and_clients_read_on(file, serve, voxels, capfd, number):
    server = serve(file)
    client = VolumeClient(server.url, "abc123", "my_volume")
    worker = worker_of(server)
    os.kill(worker, number)
    read = np.asarray(client.retrieve_subvolume((0, 0, 0, 0), (1, 40, 30, 20)))
    np.testing.assert_array_equal(read, voxels.transpose(3, 2, 1, 0))
    assert next_worker(server, worker) != worker
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert f"a worker ended (signal {int(number)})" in said


def test_a_file_stays_locked_while_a_worker_follows_another(file, serve):
    server = serve(file)
    for _ in range(3):
        worker = worker_of(server)
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(OSError, match="lock"):
            h5py.File(file, "r+", locking=True)
        next_worker(server, worker)


def test_a_write_that_was_answered_stays_when_the_worker_is_killed(file, serve):
    server = serve(file)
    Client(server.url).new("keyvalue", "kv")
    for round_number in range(5):
        stored = Client(server.url).post(f"node/abc123/kv/key/{round_number}", b"%d" % round_number)
        assert stored.status == 200
        worker = worker_of(server)
        os.kill(worker, signal.SIGKILL)
        next_worker(server, worker)
        assert Client(server.url).json("node/abc123/kv/keys") == [str(n) for n in range(round_number + 1)]


SIDE = 48


def write_on_and_on(url, number, answered, stop):
    """Fills a volume with one value after the other; what was answered is noted."""
    try:
        client = VolumeClient(url, "abc", f"v{number}", retries=0)
        for value in range(answered[number] + 1, 250):
            if stop.is_set():
                return
            # The volume grows meanwhile, so that the structure of the file changes, too.
            edge = min(SIDE, 8 + value)
            client.modify_subvolume((0, 0, 0, 0), (1, SIDE, SIDE, edge), np.full((1, SIDE, SIDE, edge), value, "u1"))
            answered[number] = value
    except ClientError:
        return


def test_a_server_that_is_killed_while_it_writes_leaves_a_file_with_all_that_was_answered(path):
    with H5MockServerDataFile(path) as made:
        made.add_node("d", "abc")
        for number in range(3):
            made.add_volume("d", f"v{number}", tagged(np.zeros((1, SIDE, SIDE), "u1"), "zyx"), compression="gzip")
    answered = [0, 0, 0]
    rng = np.random.default_rng(1)
    for _ in range(5):
        server = H5MockServer(path)
        server.start()
        worker = worker_of(server)
        stop = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            writers = [pool.submit(write_on_and_on, server.url, n, answered, stop) for n in range(3)]
            before = sum(answered)
            eventually(lambda before=before: sum(answered) > before + 3)
            time.sleep(float(rng.uniform(0, 0.3)))
            os.kill(server.pid, signal.SIGKILL)
            os.kill(worker, signal.SIGKILL)
            stop.set()
            for writer in writers:
                writer.result()
        server.shutdown()
        eventually(lambda pid=worker: not is_running(pid))
        with H5MockServerDataFile(path):
            pass  # puts the file right
        assert not journal_path(path).exists()
        with h5py.File(path) as file:
            for number in range(3):
                stored = file[f"/all_nodes/abc/v{number}"][...]
                value = int(stored[0, 0, 0])
                # The last write may be in the file without an answer.
                assert answered[number] <= value <= answered[number] + 1
                edge = min(SIDE, 8 + value) if value else 1
                assert stored.shape[0] >= edge
                assert (stored[:edge] == value).all()
                answered[number] = value
    assert sum(answered) >= 15


def test_a_worker_ends_with_its_parent_and_leaves_the_file_to_others(file, serve):
    server = serve(file)
    worker = worker_of(server)
    os.kill(server.pid, signal.SIGKILL)
    eventually(lambda: not is_running(worker) and not is_running(server.pid))
    server.shutdown()
    with H5MockServerDataFile(file) as opened:
        opened.add_node("my_dataset", "next")


def test_a_worker_that_hangs_in_the_hdf5_library_is_ended(path):
    # A chunk of 200 MiB is unpacked for each slab that is read of it: no slab is read within the time given here. A machine
    # that is busy may need it for other requests, too, now and then.
    with H5MockServerDataFile(path) as made:
        made.add_node("d", "abc")
    with h5py.File(path, "r+") as file:
        stored = file.create_dataset(
            "/all_nodes/abc/v", (800, 512, 512), "u1", chunks=(800, 512, 512), compression="gzip"
        )
        stored[0, 0, 0] = 1
    code = "import sys; from mockserver.h5supervisor import serve; serve(sys.argv[1], port=0, longest_seconds=0.2)"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            url = re.search(r"http://[0-9.:]+", process.stdout.readline())[0]
            asked = Client(url)
            with pytest.raises(Exception, match=r"(aborted|reset|closed)"):
                asked.get("node/abc/v/raw/0_1_2/512_512_300/0_0_0")
            eventually(lambda: answers(asked))
        finally:
            process.terminate()
            assert process.wait(120) == 0
        said = process.stderr.read()
    assert "a worker ended (signal 9) while reading x 0:512" in said
    assert "of 'v', for more than 0.2 s" in said


def answers(asked):
    """Whether a request gets an answer, of a worker that is not ended meanwhile."""
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        return asked.json("server/info")["Storage backend"] == "hdf5"
    return False


def test_many_clients_at_once_read_what_they_wrote(file, serve):
    url = serve(file).url

    def work(number):
        name = f"v{number}"
        VolumeClient.create_volume(url, "abc123", name, MetaInfo((1, 40, 40, 40), np.uint16, "cxyz"))
        client = VolumeClient(url, "abc123", name)
        rng = np.random.default_rng(number)
        expected = np.zeros((1, 40, 40, 40), np.uint16)
        for _ in range(6):
            low = rng.integers(0, 20, 3)
            high = low + rng.integers(1, 20, 3)
            box = (slice(None), *(slice(a, b) for a, b in zip(low, high, strict=True)))
            expected[box] = rng.integers(0, 2**16, expected[box].shape)
            client.modify_subvolume((0, *low), (1, *high), expected[box])
            np.testing.assert_array_equal(
                np.asarray(client.retrieve_subvolume((0, 0, 0, 0), (1, 40, 40, 40))), expected
            )

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, number) for number in range(12)]:
            done.result()


def test_clients_that_send_and_read_nothing_keep_no_other_waiting(file, serve):
    url = serve(file).url
    address = urllib.parse.urlsplit(url)
    VolumeClient.create_volume(url, "abc123", "large", MetaInfo((1, 256, 256, 256), np.uint8, "cxyz"))
    slow = []
    try:
        for number in range(24):
            connection = socket.create_connection((address.hostname, address.port))
            slow.append(connection)
            if number % 2:
                path = "/api/node/abc123/large/raw/0_1_2/256_256_256/0_0_0"
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            else:
                connection.sendall(b"POST /api/repos HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n{")
        asked = Client(url)
        for _ in range(5):
            assert asked.json("server/info")["Storage backend"] == "hdf5"
    finally:
        for connection in slow:
            connection.close()


def test_answers_that_nobody_takes_do_not_fill_the_disk(path, monkeypatch):
    monkeypatch.setattr(h5worker, "MOST_WAITING_BYTES", 1 << 20)
    with H5MockServerDataFile(path) as made:
        made.add_node("d", "abc")
        made.add_volume("d", "v", tagged(np.zeros((40, 1024, 1024, 1), np.uint8), "zyxc"))
    with H5MockServer(path, same_process=True) as server:
        asked = Client(server.url)
        with socket.create_connection(("127.0.0.1", urllib.parse.urlsplit(server.url).port)) as slow:
            slow.sendall(b"GET /api/node/abc/v/raw/0_1_2/1024_1024_40/0_0_0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            refused = eventually(lambda: (answer := asked.get("server/info")).status == 503 and answer)
            assert refused.headers["Retry-After"] == "5"
            assert b"wait for their readers" in refused.data
        eventually(lambda: asked.get("server/info").status == 200)
