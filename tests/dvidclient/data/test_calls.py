"""Promise: a broken answer to a typed call is an error that says what was wrong, and a change takes effect once."""

import http.server
import json
import threading

import numpy
import pytest

from dvidclient import connect
from dvidclient.data import calls
from dvidclient.data.annotation import Annotations
from dvidclient.data.keyvalue import KeyValues
from dvidclient.data.labelmap import LabelMap
from dvidclient.data.roi import Roi
from dvidclient.errors import NoAnswer
from dvidclient.node import Node
from dvidclient.repo import Repo


@pytest.fixture
def answering():
    """An instance of a class, at a server that answers all that is asked of the instance with some bytes."""
    servers = []

    def make(kind, body):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = b"{}" if "/server/info" in self.path else body
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def do_POST(self):
                self.do_GET()

            def log_message(self, *args):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        servers.append((server, thread))
        document = {
            "Base": {"Name": "broken", "TypeName": kind.__name__.lower()},
            "Extended": {"BlockSize": [32, 32, 32], "VoxelSize": [8, 8, 8], "VoxelUnits": ["nm"] * 3},
        }
        repo = Repo(connect(f"127.0.0.1:{server.server_address[1]}", retries=0), {"Root": "abc", "Alias": "broken"})
        return kind(Node(repo, "abc"), document)

    yield make
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("kind", "call", "body", "said"),
    [
        (LabelMap, lambda i: i.sparsevol(5), b"\x00\x03\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff", "4294967295 runs"),
        (LabelMap, lambda i: i.sparsevol(5), b"oh", "a header of 12 bytes, got 2 bytes"),
        (LabelMap, lambda i: i.supervoxels(5), b"[1, -1]", "expected labels from 0 to"),
        (LabelMap, lambda i: i.supervoxels(5), b'{"a": 1}', "expected a JSON list"),
        (LabelMap, lambda i: i.supervoxels(5), b"[" * 100_000, "expected JSON"),
        (LabelMap, lambda i: i.sizes([1, 2]), b"[1]", "expected 2 numbers, got 1"),
        (LabelMap, lambda i: i.labels_at([[1, 2, 3]]), b'["x"]', "expected integers, got 'x'|expected labels"),
        (LabelMap, lambda i: i.body_size(5), b'{"voxels": "many"}', "integers voxels, got {'voxels': 'many'}"),
        (LabelMap, lambda i: i.supervoxel_sizes(5), b'{"supervoxels": [1, 2], "sizes": [1]}', "of the same length"),
        (LabelMap, lambda i: i.listlabels(), b"1234567", "numbers of 8 bytes, got 7 bytes"),
        (LabelMap, lambda i: i.listlabels(number=1), bytes(16), "expected at most 8 bytes, the server sends 16"),
        (LabelMap, lambda i: i.listlabels(start=5, number=2), bytes(16), "expected bodies in order, from 5 on"),
        (LabelMap, lambda i: i.listlabels(number=2), numpy.array([7, 7], "<u8").tobytes(), "expected bodies in order"),
        (LabelMap, lambda i: i.listed_sizes(number=9), bytes(24), "expected 2 numbers for each body, got 3"),
        (LabelMap, lambda i: i.history(5, "abc"), b'{"a": 1}\n{"b"', "expected JSON documents, got '{\"b\"'"),
        (LabelMap, lambda i: i.cleave(5, [6]), b"{}", "integers CleavedLabel"),
        (LabelMap, lambda i: i.new_labels(2), b'{"start": 5}', "integers start, end"),
        (KeyValues, lambda i: list(i), b"[1]", "expected a list of keys"),
        (KeyValues, lambda i: i.get_many(["a"]), b"\x0a\x7f", "expected keys and values: expected 127 bytes"),
        (Roi, lambda i: i.blocks, b"[[1, 2, 3]]", r"shape \(n, 4\)"),
        (Roi, lambda i: i.blocks, b"[[1, 2, 9, 3]]", "lengths from 1"),
        (Roi, lambda i: i.blocks, b"[[1], [2, 3]]", "expected a list of z, y"),
        (Roi, lambda i: i.contains([[1, 2, 3]]), b"[1]", "1 times true or false"),
        (Roi, lambda i: i.partition(), b'{"Subvolumes": [{"MinPoint": [0, 0]}]}', "MinPoint"),
        (Annotations, lambda i: i.of_tag("a"), b'[{"Pos": "here"}]', "expected annotations"),
    ],
)
def test_a_broken_answer_is_named(answering, kind, call, body, said):
    with pytest.raises(NoAnswer, match=said):
        call(answering(kind, body))


@pytest.mark.parametrize("found", [[], [{"Action": "merge"}], [{"Action": "merge"}, {"Action": "cleave"}]])
def test_a_history_is_read_as_a_list_or_as_documents_one_behind_the_other(answering, found):
    lines = "\n".join(json.dumps(one) for one in found).encode()
    assert answering(LabelMap, lines).history(5, "abc") == found
    assert answering(LabelMap, json.dumps(found).encode()).history(5, "abc") == found


def test_a_change_whose_answer_is_lost_takes_effect_once(proxy, made, write_labels, reads):
    instance = made("labelmap", BlockSize=(32, 32, 32))
    array = numpy.zeros((32, 32, 32), numpy.uint64)
    array[0:4], array[4:9] = 1, 2
    write_labels(instance, array)
    reads(lambda: instance.listlabels().tolist(), [1, 2])
    through = connect(proxy.url).node(instance.node.uuid)[instance.name]
    if not through.connection.heeds_keys:
        pytest.skip("this server does not heed idempotency keys")
    lost = iter([True])
    proxy.faults = lambda method, path: "cut" if method == "POST" and "/merge" in path and next(lost, False) else None
    mutation = through.merge(1, 2)
    assert len(proxy.asked("/merge")) == 2
    assert instance.supervoxels(1).tolist() == [1, 2]
    assert [record["MutationID"] for record in instance.mutations()] == [mutation]


def test_many_labels_are_asked_for_in_several_requests(made, write_labels, reads, monkeypatch):
    monkeypatch.setattr(calls, "BATCH", 10)
    instance = made("labelmap", BlockSize=(32, 32, 32))
    array = numpy.arange(32**3, dtype=numpy.uint64).reshape(32, 32, 32) // 1024 + 1
    write_labels(instance, array)
    reads(lambda: instance.sizes(range(1, 33)), numpy.full(32, 1024))
    points = numpy.column_stack([numpy.arange(32), numpy.zeros((32, 2), int)])
    assert instance.labels_at(points).tolist() == list(range(1, 33))
    assert instance.mapping(numpy.arange(1, 33)).tolist() == list(range(1, 33))
