"""Files, and servers of them in processes of their own."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import urllib3
from tests import laws  # noqa: F401 - for what it does

from dvidclient.arrays import array_module
from mockserver.h5mockserver import H5MockServer, H5MockServerDataFile

# Shells start their background jobs with SIGINT ignored, and so would be all that tests start and then stop by it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_token_in_the_environment(monkeypatch):
    monkeypatch.delenv("DVID_ADMIN_TOKEN", raising=False)


def tagged(array, axes):
    return array_module().taggedView(array, axes)


def random_voxels(shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mock_storage.h5"


@pytest.fixture
def voxels():
    """Of the volume of ``file``: z, y, x, c."""
    return random_voxels((20, 30, 40, 1))


@pytest.fixture
def file(path, voxels):
    """A file with the volume ``my_volume`` in the node ``abc123`` of the dataset ``my_dataset``."""
    with H5MockServerDataFile(path) as made:
        made.add_node("my_dataset", "abc123")
        made.add_volume("my_dataset", "my_volume", tagged(voxels, "zyxc"))
    return path


class Client:
    """Sends requests without a retry."""

    def __init__(self, url):
        self.url = url
        self.pool = urllib3.PoolManager(retries=False, timeout=120)

    def ask(self, method, path, body=None, **options):
        if isinstance(body, dict):
            body = json.dumps(body)
        answer = self.pool.request(method, f"{self.url}/api/{path}", body=body, **options)
        assert answer.headers["Access-Control-Allow-Origin"] == "*", path
        return answer

    def get(self, path, **options):
        return self.ask("GET", path, **options)

    def json(self, path):
        answer = self.get(path)
        assert answer.status == 200, answer.data
        return answer.json()

    def post(self, path, body=None):
        return self.ask("POST", path, body)

    def new(self, typename, name, uuid="abc123", **settings):
        answer = self.post(f"repo/{uuid}/instance", {"typename": typename, "dataname": name, **settings})
        assert answer.status == 200, answer.data


@pytest.fixture
def serve():
    """Starts servers of files, and stops them at the end."""
    running = []

    def start(path, **options):
        server = H5MockServer(path, **options)
        server.start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.shutdown()


@pytest.fixture
def client(file):
    """Asks a server of ``file`` in this process, which starts sooner than one of its own."""
    with H5MockServer(file, same_process=True) as server:
        found = Client(server.url)
        yield found
        found.pool.clear()


def worker_of(server):
    """The process that answers, of a server in a process of its own."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return int(children[0]) if children else None


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that has ended is still listed until its parent has asked for it; and its files are open until its last thread has ended.
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" or len(os.listdir(f"/proc/{pid}/task")) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False
