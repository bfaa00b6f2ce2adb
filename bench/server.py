"""A load generator for a server that speaks the DVID HTTP API: requests a second and CPU for each.

Without --url it starts a server of this project on a new store. With --url and --pid, any server can be measured; two
of them one after the other give figures side by side. See bench/README.md.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np

Request = tuple[str, str, bytes | None]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--url", help="of a running server; default: start one")
    options.add_argument("--pid", type=int, help="its process id, to measure CPU; its children count too")
    options.add_argument("--size", type=int, default=256, help="edge of the volume in voxels")
    options.add_argument("--clients", type=int, default=8)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=1.0, help="length of a round")
    given = options.parse_args()
    if given.url:
        measure(given.url, given.pid, given)
    else:
        with own_server() as (url, pid):
            measure(url, pid, given)


@contextmanager
def own_server() -> Iterator[tuple[str, int]]:
    with tempfile.TemporaryDirectory(prefix="dvid-bench-") as folder:
        command = [sys.executable, "-m", "dvid", "serve", "--data", f"{folder}/data", "--http", "127.0.0.1:0"]
        quiet = {**os.environ, "DVID_SERVER_ACCESS_LOG": "off"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=quiet) as server:
            try:
                line = server.stdout.readline() if server.stdout else ""
                found = re.search(r"http://[^\s/]+", line)
                if found is None:
                    raise SystemExit(f"the server did not start: {line!r}")
                yield found[0], server.pid
            finally:
                server.terminate()


def measure(url: str, pid: int | None, given: argparse.Namespace) -> None:
    address = urlsplit(url)
    host, port = address.hostname or "127.0.0.1", address.port or 80
    token = os.environ.get("DVID_ADMIN_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    def send(connection: http.client.HTTPConnection, request: Request) -> bytes:
        method, path, body = request
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{method} {path}: {answer.status}: {data[:200]!r}")
        return data

    def connect() -> http.client.HTTPConnection:
        return http.client.HTTPConnection(host, port, timeout=60)

    first = connect()
    admin = f"?admintoken={token}" if token else ""
    root = json.loads(send(first, ("POST", f"/api/repos{admin}", b'{"alias": "bench"}')))["root"]
    for typename, name in (("uint8blk", "gray"), ("keyvalue", "kv")):
        body = json.dumps({"typename": typename, "dataname": name}).encode()
        send(first, ("POST", f"/api/repo/{root}/instance", body))
    voxels = np.random.default_rng(0).integers(90, 160, (given.size,) * 3, np.uint8)
    edge = given.size
    send(first, ("POST", f"/api/node/{root}/gray/raw/0_1_2/{edge}_{edge}_{edge}/0_0_0", voxels.tobytes()))
    for number in range(1000):
        send(first, ("POST", f"/api/node/{root}/kv/key/k{number}", bytes(200)))

    print(f"{url}, {given.clients} clients, medians of {given.rounds} rounds of {given.seconds} s\n")
    print("| request | requests/s | MB/s | server CPU ms/request |")
    print("| --- | --- | --- | --- |")
    for what, choose in workloads(root, edge).items():
        rates, loads, costs = [], [], []
        for _ in range(given.rounds):
            before = cpu_seconds(pid)
            count, size, spent = one_round(connect, send, choose, given.clients, given.seconds)
            rates.append(count / spent)
            loads.append(size / spent / 1e6)
            costs.append((cpu_seconds(pid) - before) / count * 1e3)
        cpu = f"{statistics.median(costs):.3f}" if pid else "?"
        print(f"| {what} | {statistics.median(rates):.0f} | {statistics.median(loads):.0f} | {cpu} |", flush=True)


def workloads(root: str, size: int) -> dict[str, Callable[[np.random.Generator], Request]]:
    """For each kind of request: what makes one."""

    def box(edge: int, step: int) -> Callable[[np.random.Generator], Request]:
        def choose(random: np.random.Generator) -> Request:
            x, y, z = (int(n) * step for n in random.integers(0, (size - edge) // step + 1, 3))
            return "GET", f"/api/node/{root}/gray/raw/0_1_2/{edge}_{edge}_{edge}/{x}_{y}_{z}", None

        return choose

    def plane(form: str) -> Callable[[np.random.Generator], Request]:
        def choose(random: np.random.Generator) -> Request:
            z = int(random.integers(0, size))
            return "GET", f"/api/node/{root}/gray/raw/xy/{size}_{size}/0_0_{z}/{form}", None

        return choose

    return {
        "raw 64^3": box(64, 64),
        "raw 100^3 unaligned": box(100, 1),
        f"slice {size} x {size} jpg": plane("jpg"),
        f"slice {size} x {size} png": plane("png"),
        "keyvalue GET": lambda random: ("GET", f"/api/node/{root}/kv/key/k{random.integers(1000)}", None),
        "keyvalue POST": lambda random: ("POST", f"/api/node/{root}/kv/key/k{random.integers(1000)}", bytes(200)),
    }


def one_round(
    connect: Callable[[], http.client.HTTPConnection],
    send: Callable[[http.client.HTTPConnection, Request], bytes],
    choose: Callable[[np.random.Generator], Request],
    clients: int,
    seconds: float,
) -> tuple[int, int, float]:
    """Requests answered, bytes of their answers, and seconds."""
    counts, sizes = [0] * clients, [0] * clients
    begin = time.perf_counter()

    def client(number: int) -> None:
        random, connection = np.random.default_rng(number), connect()
        while time.perf_counter() - begin < seconds:
            request = choose(random)
            sizes[number] += len(send(connection, request)) + len(request[2] or b"")
            counts[number] += 1
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts), sum(sizes), time.perf_counter() - begin


def cpu_seconds(pid: int | None) -> float:
    """CPU time that a process and its children have used so far (Linux)."""
    if pid is None:
        return 0.0
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()  # noqa: SIM115
    spent = sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    children = open(f"/proc/{pid}/task/{pid}/children").read().split()  # noqa: SIM115
    return spent + sum(cpu_seconds(int(child)) for child in children)


if __name__ == "__main__":
    main()
