"""The Python client: how fast it reads, and what chunked transfer does to speed and memory at both ends.

Without --url a server of this project is started on a new store. See docs/client-transfers.md for what came out.

    python bench/client.py read
    python bench/client.py labels
    python bench/client.py transfers
    python bench/client.py transfers --url http://127.0.0.1:8000 --repo UUID --pid PID
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import json
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import urllib3
from server import own_server

import dvidclient
from dvidclient import wire
from dvidclient.connection import Connection
from dvidclient.errors import ClientError
from dvidclient.volume_metainfo import MetaInfo

PIECE = 256 << 10


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("what", choices=["read", "labels", "transfers", "plain-server", "one-transfer"])
    options.add_argument("--url", help="of a running server; default: start one")
    options.add_argument("--repo", help="UUID of an open version to make volumes at; default: make a repo")
    options.add_argument(
        "--pid", type=int, help="process id of the server, for its CPU and memory; its children count, too"
    )
    options.add_argument("--size", type=int, default=512, help="read: edge of the volume in voxels")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--megabytes", type=int, nargs="+", default=[64, 512], help="transfers: sizes")
    options.add_argument(
        "--no-plain", action="store_true", help="transfers: only with the server, not with a plain one"
    )
    options.add_argument("--bytes", type=int, help=argparse.SUPPRESS)
    options.add_argument("--how", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.what == "plain-server":
        PlainServer().run()
    elif given.what == "one-transfer":
        print(json.dumps(one_transfer(given.how, given.url, given.bytes)))
    else:
        with contextlib.ExitStack() as stack:
            url, pid = (given.url, given.pid) if given.url else stack.enter_context(own_server())
            {"read": reading, "labels": labels, "transfers": transfers}[given.what](url, pid, given)


# ---- reading a volume -----------------------------------------------------------------------


def reading(url: str, pid: int | None, given: argparse.Namespace) -> None:
    edge = given.size
    volume = make_volume(url, given.repo, (edge, edge, edge))
    voxels = grayscale(edge)
    volume[...] = voxels
    client = volume.client
    stop = (edge, edge, edge)

    with plain_server() as (plain, plain_pid):

        def by_one_socket() -> np.ndarray:
            out = np.empty((edge, edge, edge), np.uint8)
            fetch(plain, f"/length?bytes={out.nbytes}", memoryview(out.reshape(-1)))
            return out

        def by_client(workers: int) -> Callable[[], np.ndarray]:
            return lambda: client.retrieve_subvolume((0, 0, 0), stop, workers=workers)

        ways = {"trivial server, one socket": (by_one_socket, plain_pid)}
        ways.update({f"client, workers={n}": (by_client(n), pid) for n in (1, 2, 4, 8)})
        for name, (read, _) in ways.items():
            if "client" in name:
                assert np.array_equal(read(), voxels)
            else:
                read()
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        cpu: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(given.rounds):
            for name, (read, server) in ways.items():
                own, others, began = own_cpu(), cpu_of(server), time.perf_counter()
                read()
                seconds[name].append(time.perf_counter() - began)
                cpu[name].append((own_cpu() - own, cpu_of(server) - others))
    print(f"{edge}^3 uint8, {edge**3 / 1e6:.0f} MB, {given.rounds} rounds, {os.cpu_count()} cores")
    first = seconds["trivial server, one socket"]
    for name in ways:
        ratios = sorted(mine / trivial for mine, trivial in zip(seconds[name], first, strict=True))
        client_cpu, server_cpu = (statistics.mean(part) for part in zip(*cpu[name], strict=True))
        print(
            f"{name:28} median {statistics.median(seconds[name]) * 1e3:6.1f} ms  best {min(seconds[name]) * 1e3:6.1f} ms  "
            f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}), "
            f"of the best {min(seconds[name]) / min(first):.2f}  "
            f"CPU client {client_cpu * 1e3:4.0f} ms, server {server_cpu * 1e3:4.0f} ms, "
            f"cores in use {(client_cpu + server_cpu) / statistics.mean(seconds[name]):.2f}"
        )


# ---- labels, packed or not ------------------------------------------------------------------


def labels(url: str, pid: int | None, given: argparse.Namespace) -> None:
    """Cells of some 24 voxels across with wavy walls, uint64."""
    edge = min(given.size, 256)
    z, y, x = np.mgrid[:edge, :edge, :edge].astype(np.float32)
    cells = (z + 8 * np.sin(y / 17), y + 8 * np.sin(z / 11), x + 8 * np.cos(y / 19))
    third, second, first = ((along // 24 + 10).astype(np.uint64) for along in cells)
    voxels = 10**9 + (third * 1000 + second) * 1000 + first
    volume = opened(url, given.repo).create("labelmap", f"bench-{time.time_ns()}")
    box = np.s_[0:edge, 0:edge, 0:edge]
    volume[box] = voxels
    raw = f"{volume.path}/raw/0_1_2/{edge}_{edge}_{edge}/0_0_0"
    for compression in ("none", "lz4"):
        sent = len(
            volume.connection.get_bytes(raw, "", query={"compression": compression} if compression == "lz4" else {})
        )
        view = volume.with_options(compression=compression)
        for workers in (1, 4):
            seconds, cpu = [], []
            for _ in range(given.rounds):
                own, others, began = own_cpu(), cpu_of(pid), time.perf_counter()
                read = view.read(box, workers=workers)
                seconds.append(time.perf_counter() - began)
                cpu.append((own_cpu() - own, cpu_of(pid) - others))
                assert np.array_equal(read, voxels)
            client_cpu, server_cpu = (statistics.mean(part) for part in zip(*cpu, strict=True))
            print(
                f"{edge}^3 uint64, {voxels.nbytes >> 20} MB, {compression:4}, workers={workers}: sent {sent / 2**20:6.1f} MB, "
                f"median {statistics.median(seconds) * 1e3:6.1f} ms  best {min(seconds) * 1e3:6.1f} ms  "
                f"CPU client {client_cpu * 1e3:4.0f} ms, server {server_cpu * 1e3:4.0f} ms"
            )


def opened(url: str, repo: str | None) -> Any:
    server = dvidclient.connect(url, os.environ.get("DVID_ADMIN_TOKEN"))
    return server.node(repo) if repo else server.create_repo("bench-client").root


def make_volume(url: str, repo: str | None, shape_zyx: tuple[int, int, int]) -> Any:
    return opened(url, repo).create_volume(f"bench-{time.time_ns()}", MetaInfo(shape_zyx, np.uint8, "zyx"))


def grayscale(edge: int) -> np.ndarray:
    """Slow changes and noise, as in a micrograph: lz4 makes little of it."""
    z, y, x = np.ogrid[:edge, :edge, :edge]
    noise = np.random.default_rng(0).integers(0, 32, (edge, edge, edge), np.uint8)
    return noise + ((z + y + x) // 8).astype(np.uint8)


def fetch(url: str, path: str, target: memoryview) -> None:
    """What the simplest client does: one socket, one request, the answer into memory that is there."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
        head = b""
        while (end := head.find(b"\r\n\r\n")) < 0:
            head += connection.recv(4096)
        at = len(head) - end - 4
        target[:at] = head[end + 4 :]
        while at < len(target):
            at += connection.recv_into(target[at:])


# ---- chunked or not -------------------------------------------------------------------------


def transfers(url: str, pid: int | None, given: argparse.Namespace) -> None:
    print(
        f"seconds: best of {given.rounds}; CPU: mean, in seconds; memory: most above the idle process, in MB of 2^20 bytes"
    )
    print(f"{'':52}{'':>16}{'CPU':>8}{'CPU':>8}{'memory':>8}{'memory':>8}")
    print(f"{'':52}{'seconds':>8}{'MB/s':>8}{'client':>8}{'server':>8}{'client':>8}{'server':>8}")
    with plain_server() as (plain, plain_pid):
        for megabytes in given.megabytes:
            count = megabytes << 20
            for receive in () if given.no_plain else ("whole", "in place"):
                for path in ("length", "chunked", "chunked-4k"):
                    report(given, f"GET {receive}", f"{plain}/{path}?bytes={count}", count, plain_pid, f"plain, {path}")
            for send in () if given.no_plain else ("length", "chunked"):
                for kept in ("kept", "dropped"):
                    way = f"plain, body {kept}"
                    report(given, f"POST {send}", f"{plain}/{kept}?bytes={count}", count, plain_pid, way)
            shape = (count >> 18, 512, 512)
            volume = make_volume(url, given.repo, shape)
            volume[...] = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
            raw = f"{url}{volume.path}/raw/0_1_2/512_512_{shape[0]}/0_0_0"
            for receive in ("whole", "in place"):
                report(given, f"GET {receive}", raw, count, pid, "volume, one request")
            report(given, "client read", f"{url}#{volume.node.uuid}#{volume.name}", count, pid, "volume, parts")
            for send in ("length", "chunked"):
                report(given, f"POST {send}", f"{raw}?mutate=true", count, pid, "volume, one request")
            report(given, "client write", f"{url}#{volume.node.uuid}#{volume.name}", count, pid, "volume, parts")


def report(given: argparse.Namespace, how: str, url: str, count: int, pid: int | None, where: str) -> None:
    """One line: the same transfer several times, each by a new process."""
    command = [sys.executable, __file__, "one-transfer", "--how", how, "--url", url, "--bytes", str(count)]
    found = []
    for _ in range(given.rounds):
        used = cpu_of(pid)
        with watched(pid) as server:
            answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        used = cpu_of(pid) - used
        found.append({**json.loads(answer.stdout), "server": server.most - server.before, "server_cpu": used})
    label = f"{count >> 20:4} MB {how:14} {where}"
    if refused := found[0].get("refused"):
        print(f"{label:52} refused: {refused}")
        return
    seconds = min(one["seconds"] for one in found)
    cpu = "".join(f"{statistics.mean(one[end] for one in found):8.3f}" for end in ("client_cpu", "server_cpu"))
    memory = "".join(f"{max(one[end] for one in found) / 2**20:8.0f}" for end in ("client", "server"))
    print(f"{label:52}{seconds:8.3f}{count / seconds / 2**20:8.0f}{cpu}{memory}", flush=True)


def one_transfer(how: str, url: str, count: int) -> dict[str, Any]:
    """One transfer by this process, which did nothing else before; what it took."""
    verb, _, way = how.partition(" ")
    body = np.random.default_rng(0).integers(0, 256, count, np.uint8) if verb == "POST" or way == "write" else None
    pool = urllib3.PoolManager(retries=False)
    base, _, rest = url.partition("#")
    address = urlsplit(base)
    pool.request(
        "GET", f"{address.scheme}://{address.netloc}/api/server/info"
    )  # a connection, and all that is imported
    connection = Connection(f"{address.scheme}://{address.netloc}")
    volume = None
    if verb == "client":
        uuid, _, name = rest.partition("#")
        volume = dvidclient.connect(base, os.environ.get("DVID_ADMIN_TOKEN")).node(uuid)[name]
        _ = volume.shape
    before, used = reset_peak(), own_cpu()
    began = time.perf_counter()
    try:
        refused = transfer_now(verb, way, base, count, body, volume, connection, pool)
    except (ClientError, urllib3.exceptions.HTTPError) as error:
        refused = str(error)[:100]
    if refused:
        return {"refused": refused}
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "client": peak() - before, "client_cpu": own_cpu() - used}


def transfer_now(
    verb: str,
    way: str,
    base: str,
    count: int,
    body: np.ndarray | None,
    volume: Any,
    connection: Connection,
    pool: urllib3.PoolManager,
) -> str:
    """Does it; what the server said against it, or nothing."""
    if volume is not None and way == "read":
        assert volume[...].nbytes == count
    elif volume is not None and body is not None:
        volume[...] = body.reshape(volume.shape)
    elif verb == "GET":
        path = base.removeprefix(connection.base_url)
        if way == "whole":
            assert np.frombuffer(connection.get_bytes(path, way), np.uint8).size == count
        else:
            target = np.empty((1, 1, count, 1), np.uint8)
            connection.request(
                "GET", path, what=way, receive=lambda response: wire.receive_voxels(response, target, 0, 1)
            )
    elif body is not None:
        whole = body.data
        pieces = (whole[at : at + PIECE] for at in range(0, count, PIECE))
        sent: Any = whole if way == "length" else pieces
        answer = pool.request("POST", base, body=sent, headers={"Content-Type": "application/octet-stream"})
        if answer.status != 200:
            return f"status {answer.status}: {answer.data[:100].decode(errors='replace').strip()}"
    return ""


# ---- a server that does nothing else --------------------------------------------------------


class PlainServer(http.server.ThreadingHTTPServer):
    """Sends bytes (GET /length, /chunked in pieces of 256 kB, /chunked-4k), and takes them (POST /kept, /dropped)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), PlainHandler)
        self.noise = np.random.default_rng(0).integers(0, 256, 512 << 20, np.uint8).data

    def run(self) -> None:
        print(f"http://127.0.0.1:{self.server_address[1]}", flush=True)
        self.serve_forever()


class PlainHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: PlainServer

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        body = self.server.noise[: int(query["bytes"][0])] if "bytes" in query else memoryview(b"{}")
        self.send_response(200)
        if "chunked" not in self.path:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        step = 4096 if "4k" in self.path else PIECE
        for at in range(0, len(body), step):
            piece = body[at : at + step]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def do_POST(self) -> None:
        kept = self.body_kept() if "kept" in self.path else self.body_dropped()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        del kept

    def body_kept(self) -> Any:
        """All of the body in memory: at once where its length is known, collected where it is not."""
        if length := self.headers.get("Content-Length"):
            return self.rfile.read(int(length))
        return b"".join(self.chunks())

    def body_dropped(self) -> None:
        """No more of the body in memory than a piece."""
        if length := self.headers.get("Content-Length"):
            piece, left = memoryview(bytearray(PIECE)), int(length)
            while left:
                left -= self.rfile.readinto(piece[: min(PIECE, left)])
        else:
            for _ in self.chunks():
                pass

    def chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def plain_server() -> Iterator[tuple[str, int]]:
    command = [sys.executable, __file__, "plain-server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline() if server.stdout else ""
            yield line.strip(), server.pid
        finally:
            server.terminate()


# ---- what processes use ---------------------------------------------------------------------


def family(pid: int | None) -> list[int]:
    """A process and all its children."""
    if pid is None:
        return []
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return [pid, *(each for child in children.read().split() for each in family(int(child)))]


def own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def cpu_of(pid: int | None) -> float:
    ticks = 0
    for each in family(pid):
        with open(f"/proc/{each}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def reset_peak() -> int:
    """Bytes of memory that this process uses now; from here on the most is counted anew."""
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")
    return _status(os.getpid(), "VmRSS")


def peak() -> int:
    """The most bytes of memory since then."""
    return _status(os.getpid(), "VmHWM")


class Watched(threading.Thread):
    """The memory of a server, without what it maps of files: looked at all the time, as the kernel keeps no such peak."""

    def __init__(self, pid: int | None) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.before = self.most = _status(pid, "RssAnon")
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.003):
            self.most = max(self.most, _status(self.pid, "RssAnon"))


@contextmanager
def watched(pid: int | None) -> Iterator[Watched]:
    watch = Watched(pid)
    watch.start()
    try:
        yield watch
    finally:
        watch.ended.set()
        watch.join()


def _status(pid: int | None, field: str) -> int:
    total = 0
    for each in family(pid):
        with open(f"/proc/{each}/status") as status:
            found = re.search(rf"{field}:\s+(\d+) kB", status.read())
        total += int(found[1]) << 10 if found else 0
    return total


if __name__ == "__main__":
    main()
