import functools
import http.server
import io
import sys
import threading

import numpy as np
import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from dvidclient import wire
from dvidclient.connection import Connection
from dvidclient.errors import NoAnswer


def answer(data):
    """An answer with this body, as the connection gives it out."""
    return urllib3.HTTPResponse(
        io.BytesIO(data), {"Content-Length": str(len(data))}, 200, preload_content=False, decode_content=False
    )


@given(
    axes=st.sampled_from(["cxyz", "czyx", "xyz", "cxy", "cy", "zx"]),
    sizes=st.tuples(*[st.integers(1, 5)] * 4),
    dtype=st.sampled_from(["u1", "<u2", ">u4", "f4", "u8"]),
)
def test_voxels_travel_channel_first_then_x_y_z(axes, sizes, dtype):
    size = dict(zip("cxyz", sizes, strict=True))
    shape = tuple(size[axis] for axis in axes)
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    voxels_zyxc = wire.as_zyxc(array, axes)
    np.testing.assert_array_equal(wire.from_zyxc(voxels_zyxc, axes), array)
    sent = np.frombuffer(wire.wire_bytes(voxels_zyxc), np.dtype(dtype).newbyteorder("<"))
    in_order = [
        array[tuple(dict(zip("zyxc", at, strict=True))[a] for a in axes)] for at in np.ndindex(voxels_zyxc.shape)
    ]
    assert sent.tolist() == [value.item() for value in in_order]


@given(
    sizes=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)),
    channels=st.integers(1, 4),
    dtype=st.sampled_from(["u1", ">u2", "f4"]),
    order=st.sampled_from(["C", "F"]),
    data=st.data(),
    piece=st.sampled_from([1, 7, 64, wire.PIECE_BYTES]),
)
def test_any_channels_are_received_into_any_memory(sizes, channels, dtype, order, data, piece):
    first = data.draw(st.integers(0, channels - 1))
    wanted = data.draw(st.integers(1, channels - first))
    sent = np.arange(np.prod(sizes) * channels).astype(np.dtype(dtype).newbyteorder("<")).reshape(*sizes, channels)
    target = np.zeros((*sizes, wanted), dtype, order=order)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "PIECE_BYTES", piece)
        wire.receive_voxels(answer(sent.tobytes()), target, first, channels)
    np.testing.assert_array_equal(target, sent[..., first : first + wanted])


@pytest.mark.parametrize("size", [0, 23, 25])
def test_an_answer_of_the_wrong_length_is_refused(size):
    with pytest.raises(urllib3.exceptions.ProtocolError, match="expected 24 bytes"):
        wire.receive_voxels(answer(bytes(size)), np.zeros((2, 3, 4, 1), np.uint8), 0, 1)


@pytest.mark.parametrize(("size", "match"), [(23, "1 bytes early"), (25, "sends more")])
def test_an_answer_of_the_wrong_length_is_refused_where_no_length_was_declared(size, match):
    streamed = urllib3.HTTPResponse(io.BytesIO(bytes(size)), {}, 200, preload_content=False, decode_content=False)
    with pytest.raises(urllib3.exceptions.ProtocolError, match=match):
        wire.receive_voxels(streamed, np.zeros((2, 3, 4, 1), np.uint8), 0, 1)


@pytest.fixture
def lz4():
    """The package, where it is installed."""
    return pytest.importorskip("lz4.block")


@given(
    sizes=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)),
    channels=st.integers(1, 3),
    dtype=st.sampled_from(["u1", ">u2", "u8"]),
    data=st.data(),
)
def test_packed_voxels_are_unpacked_into_any_memory(sizes, channels, dtype, data):
    pytest.importorskip("lz4.block")
    first = data.draw(st.integers(0, channels - 1))
    sent = np.arange(np.prod(sizes) * channels).astype(np.dtype(dtype).newbyteorder("<")).reshape(*sizes, channels)
    target = np.zeros((*sizes, channels - first), dtype, order="F")
    wire.receive_lz4(answer(wire.compressed(wire.wire_bytes(sent))), target, first, channels)
    np.testing.assert_array_equal(target, sent[..., first:])


@pytest.mark.parametrize("size", [0, 23, 25, 10**6])
def test_packed_voxels_of_the_wrong_number_are_refused(lz4, size):
    packed = lz4.compress(bytes(size), store_size=False)
    with pytest.raises(urllib3.exceptions.ProtocolError, match=r"expected lz4 of 24 bytes|expected at most 40 bytes"):
        wire.receive_lz4(answer(packed), np.zeros((2, 3, 4, 1), np.uint8), 0, 1)


@given(st.binary(max_size=60))
def test_bytes_that_are_not_packed_voxels_are_refused_or_right(noise):
    pytest.importorskip("lz4.block")
    target = np.zeros((2, 3, 4, 1), np.uint8)
    try:
        unpacked = wire.lz4_block().decompress(noise, uncompressed_size=24)
    except wire.lz4_block().LZ4BlockError:
        unpacked = b""
    if len(unpacked) == 24:
        wire.receive_lz4(answer(noise), target, 0, 1)
        assert target.tobytes() == unpacked
    else:
        with pytest.raises(
            urllib3.exceptions.ProtocolError, match=r"expected lz4 of 24 bytes|expected at most 40 bytes"
        ):
            wire.receive_lz4(answer(noise), target, 0, 1)


class Sender(http.server.ThreadingHTTPServer):
    """Sends bytes: ``/length``, ``/chunked``, ``/short`` or ``/short-chunked``."""

    daemon_threads = True

    def __init__(self, data):
        super().__init__(("127.0.0.1", 0), _SenderHandler)
        self.data = data
        self.connections = 0

    def process_request(self, request, client_address):
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request, client_address):
        """A client that has read enough has gone."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _SenderHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        data = self.server.data
        chunked, short = "chunked" in self.path, "short" in self.path
        sent = data[: len(data) // 2] if short else data
        self.close_connection = short
        self.send_response(200)
        self.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(data)))))
        self.end_headers()
        if not chunked:
            self.wfile.write(sent)
            return
        for at in range(0, len(sent), 10_000):
            piece = sent[at : at + 10_000]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if not short:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *args):
        pass


@pytest.fixture
def sender():
    sender = Sender(np.random.default_rng(0).integers(0, 256, 300_000, np.uint8).tobytes())
    thread = threading.Thread(target=sender.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield sender
    sender.shutdown()
    thread.join()
    sender.server_close()


@pytest.mark.parametrize("path", ["/length", "/chunked"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_voxels_are_received_from_a_socket_with_a_length_and_in_chunks(sender, path, order):
    connection = Connection(f"127.0.0.1:{sender.server_address[1]}", retries=0)
    target = np.zeros((100, 60, 50, 1), np.uint8, order=order)
    for _ in range(3):
        target[...] = 0
        receive = functools.partial(wire.receive_voxels, target_zyxc=target, first_channel=0, channels=1)
        connection.request("GET", path, what="reading", receive=receive)
        assert target.tobytes() == sender.data
    assert sender.connections == 1


@pytest.mark.parametrize("path", ["/short", "/short-chunked"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_voxels_that_end_early_are_an_error(sender, path, order):
    connection = Connection(f"127.0.0.1:{sender.server_address[1]}", retries=0)
    target = np.zeros((100, 60, 50, 1), np.uint8, order=order)
    receive = functools.partial(wire.receive_voxels, target_zyxc=target, first_channel=0, channels=1)
    with pytest.raises(NoAnswer, match=r"ended \d+ bytes early|connection broke|Connection broken"):
        connection.request("GET", path, what="reading", receive=receive)


@pytest.mark.parametrize("path", ["/length", "/chunked"])
def test_voxels_that_do_not_end_are_an_error(sender, path):
    connection = Connection(f"127.0.0.1:{sender.server_address[1]}", retries=0)
    target = np.zeros((50, 60, 50, 1), np.uint8)
    receive = functools.partial(wire.receive_voxels, target_zyxc=target, first_channel=0, channels=1)
    with pytest.raises(NoAnswer, match=r"expected 150000 bytes of voxels, the server sends (300000|more)"):
        connection.request("GET", path, what="reading", receive=receive)
