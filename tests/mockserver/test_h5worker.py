import os
import socket
import threading

import pytest
from tests.mockserver.conftest import Client, random_voxels, tagged
from tests.waiting import eventually

from mockserver import h5worker
from mockserver.h5datafile import DataFile, open_locked
from mockserver.h5mockserver import H5MockServerDataFile
from mockserver.h5requests import MOST_REQUEST_BYTES, asks_for_much


@pytest.fixture
def watched(path):
    """A file, what is asked of the HDF5 library for it, and the address of a server of it in this process."""
    with H5MockServerDataFile(path) as made:
        made.add_node("d", "abc")
        made.add_volume("d", "v", tagged(random_voxels((100, 256, 256)), "zyx"))
    descriptor = open_locked(path)
    done = []
    data = DataFile(path, descriptor, watch=lambda doing: done.append(doing) if doing else None)
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    server = h5worker.http_server(data, listener, MOST_REQUEST_BYTES)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield data, done, address
    h5worker.stop_http(server, thread)
    data.close()
    os.close(descriptor)


def test_little_is_answered_between_the_pieces_of_what_is_much(watched):
    data, done, address = watched
    much = []
    try:
        with data.reading("the test"):
            for _ in range(3 * h5worker.THREADS):
                much.append(socket.create_connection(address))
                much[-1].sendall(b"GET /api/node/abc/v/raw/0_1_2/256_256_100/0_0_0 HTTP/1.1\r\nHost: h\r\n\r\n")
            eventually(lambda: data.turns.waiting == h5worker.THREADS)
            little = socket.create_connection(address, timeout=60)
            much.append(little)
            little.sendall(
                b"GET /api/node/abc/v/raw/0_1_2/16_16_16/1_2_3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            )
            # It came last, and waits for the file, not for a thread.
            eventually(lambda: data.turns.waiting == h5worker.THREADS + 1)
            done.clear()
        answer = little.makefile("rb").read()
    finally:
        for connection in much:
            connection.close()
    assert answer.partition(b"\r\n\r\n")[2] == data_of_box(data)
    assert "reading x 1:17, y 2:18, z 3:19 of 'v'" in done[:2]


def data_of_box(data):
    with data.reading("the test") as file:
        return file["/all_nodes/abc/v"][3:19, 2:18, 1:17].tobytes()


def test_an_image_of_a_large_box_is_read_in_pieces(watched):
    _, done, address = watched
    asked = Client(f"http://{address[0]}:{address[1]}")
    assert asked.get("node/abc/v/raw/0_1_2/256_256_100/0_0_0/jpg").status == 200
    asked.pool.clear()
    # 6.5 MB, in pieces of 2 MiB at most.
    assert len(done) > 4


@pytest.mark.parametrize(
    ("path", "body", "much"),
    [
        ("/api/node/a/v/raw/0_1_2/64_64_64/0_0_0", 0, False),
        ("/api/node/a/v/raw/0_1_2/64_64_65/0_0_0", 0, True),
        ("/api/node/a/v/raw/xyz/64,64,65/-1,0,0/jpg", 0, True),
        ("/api/node/a/v/0_1/1000_1000/0_0_0", 0, True),
        ("/api/node/a/v/0_1/1000_100/0_0_0", 0, False),
        ("/api/node/a/v/raw/0_1_2/64_64_x/0_0_0", 0, False),
        ("/api/node/a/v/info", 0, False),
        ("/api/node/a/v/key/k", 1 << 20, False),
        ("/api/node/a/v/key/k", (1 << 20) + 1, True),
        ("", 0, False),
    ],
)
def test_what_is_much_can_be_told_from_a_request(path, body, much):
    assert asks_for_much(path, body) is much
