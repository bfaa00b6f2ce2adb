"""A server with small limits, requests sent to it byte by byte, and an eye on its store and its memory."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import lmdb
import pytest
import xxhash
from tests.conftest import TOKEN, Server, start_server
from tests.waiting import eventually

from dvid.codecs.keyvalues import encode_keyvalues
from dvid.datatypes.base import datatypes
from dvid.versions import layout

MIB = 1 << 20
SECONDS = 60
"""An answer that takes longer counts as none."""
LIMITS = {"body_bytes": MIB, "decompressed_bytes": 4 * MIB, "answer_bytes": 4 * MIB, "request_seconds": 20}
TYPES = [name for name, kind in datatypes().items() if kind.routes or name in ("labelmap", "annotation")]
"""The types that are served, and two that are not."""
ADMIN = {"Authorization": f"Bearer {TOKEN}"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; status 0: the connection was closed without an answer."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Client:
    """Sends any bytes, on a connection that is kept as long as the server keeps it."""

    server: Server
    _socket: socket.socket | None = field(default=None, repr=False)

    def connect(self) -> socket.socket:
        """A new connection."""
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=SECONDS)

    def call(self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        """Send a request whose target goes out as it is (it must be ASCII)."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{self.server.port}"]
        if body or method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        return self.send("\r\n".join([*lines, "", ""]).encode() + body, method)

    def send(self, data: bytes, method: str = "GET") -> Answer:
        """Send bytes and read one answer."""
        if self._socket is None:
            self._socket = self.connect()
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # the answer may be there all the same
                self._socket.sendall(data)
            answer = http.client.HTTPResponse(self._socket, method=method)
            answer.begin()
            found = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
            keep = not answer.will_close
        except (ConnectionResetError, http.client.RemoteDisconnected):
            found, keep = Answer(0, {}, b""), False
        except BaseException:
            self.close()
            raise
        if not keep:
            self.close()
        return found

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def json(self, method: str, target: str, body: object = None) -> object:
        """The JSON of an answer that must be 200; the request is an admin's."""
        data = b"" if body is None else json.dumps(body).encode()
        answer = self.call(method, target, data, ADMIN)
        assert answer.status == 200, answer
        return json.loads(answer.body) if answer.body else None


class Store:
    """Looks at the files of the store from outside."""

    def __init__(self, folder: Path) -> None:
        self._environment = lmdb.open(str(folder), readonly=True, map_size=1 << 40)
        self._last, self._digest = -1, 0

    def state(self) -> int:
        """A number that changes with the content."""
        last = self._environment.info()["last_txnid"]
        if last != self._last:
            digest = xxhash.xxh3_64()
            with self._environment.begin(buffers=True) as transaction:
                for key, value in transaction.cursor():
                    digest.update(key)
                    digest.update(value)
            self._last, self._digest = last, digest.intdigest()
        return self._digest

    def has_work(self) -> bool:
        """Whether data of deleted instances are left, or an instance has something to do in the background."""
        with self._environment.begin() as transaction:
            cursor = transaction.cursor()
            return any(
                cursor.set_range(table) and cursor.key().startswith(table) for table in (layout.DOOMED, layout.BUSY)
            )

    def close(self) -> None:
        """Let go of it."""
        self._environment.close()


@dataclass
class Place:
    """A server under test with a repo in it: a committed root with data of each type, and an open child."""

    server: Server
    client: Client
    store: Store
    root: str = ""
    child: str = ""
    _fresh: bool = False

    def instance(self, typename: str) -> str:
        """The name of the instance of a type."""
        return f"a_{typename}"

    def prepare(self) -> None:
        """Make the repo, unless the last one is as it was made."""
        if self._fresh:
            return
        client = self.client
        client.close()  # it may have been idle for so long that the server has closed it
        eventually(lambda: not self.store.has_work())  # what is done in the background changes the store at any moment
        self.root = client.json("POST", "/api/repos", {"alias": "tests"})["root"]  # type: ignore[index]
        for typename in TYPES:
            body = {"typename": typename, "dataname": self.instance(typename)}
            client.json("POST", f"/api/repo/{self.root}/instance", body)
        node = f"/api/node/{self.root}"
        pairs = [(f"key{number}", b"[%d]" % number) for number in range(20)]
        assert client.call("POST", f"{node}/a_keyvalue/keyvalues", b"".join(encode_keyvalues(pairs))).status == 200
        client.json("POST", f"{node}/a_roi/roi", [[0, 0, 0, 1], [1, -1, -2, 3]])
        for typename, size in (("uint8blk", 1), ("rgba8blk", 4), ("float32blk", 4)):
            path = f"{node}/a_{typename}/raw/0_1_2/32_32_32/0_0_0"
            assert client.call("POST", path, bytes(range(256)) * (128 * size)).status == 200
        client.json("POST", f"{node}/commit", {})
        self.child = client.json("POST", f"{node}/newversion", {})["child"]  # type: ignore[index]
        self._fresh = True

    def spoil(self) -> None:
        """Have the repo made anew."""
        self._fresh = False

    def check(self, answer: Answer, request: str, before: int, *, changes: bool, head: bool = False) -> None:
        """Check what holds for every answer, whatever was asked.

        Args:
            answer: what came.
            request: which is shown if it fails.
            before: the state of the store before the request.
            changes: whether such a request may change the store where it succeeds.
            head: whether the answer has no body.
        """
        status = answer.status
        assert status, f"{request}: the connection was closed without an answer"
        assert status < 500 or (status == 501 and b"does not serve their data" in answer.body), f"{request}: {answer}"
        if status >= 400:
            assert answer.headers["content-type"].startswith("text/plain"), f"{request}: {answer}"
            if not head:
                text = answer.body.decode()
                assert text.endswith("\n"), f"{request}: {answer}"
                assert len(text.splitlines()) == 1, f"{request}: {answer}"
                assert 10 < len(text) < 1100, f"{request}: {answer}"
        elif not head and answer.headers.get("content-type", "").startswith("application/json"):
            packed = answer.headers.get("content-encoding") == "gzip"
            json.loads(gzip.decompress(answer.body) if packed else answer.body)
        if status >= 400 or not changes:
            assert self.store.state() == before, f"{request}: {status}, and yet the store has changed"

    def memory(self) -> int:
        """Peak memory of all workers since `forget_memory`, in bytes."""
        peaks = []
        for pid in self.server.workers():
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            peaks += [int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM")]
        return sum(peaks)

    def forget_memory(self) -> int:
        """Let the peak be what is in use now."""
        for pid in self.server.workers():
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        return self.memory()


def quoted(text: str) -> str:
    """Text as a part of a path."""
    return quote(text.encode(errors="surrogatepass"), safe="")


@pytest.fixture(scope="module")
def lasting_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The server of all tests of a module."""
    folder = tmp_path_factory.mktemp("robustness")
    server = start_server(folder / "data", workers=1, **LIMITS)
    store = Store(folder / "data")
    place = Place(server, Client(server), store)
    workers = server.workers()
    try:
        place.prepare()
        server.rest()
        yield place
        assert server.workers() == workers, "a worker process has died"
        assert "an error that should not happen" not in server.log.read_text()
        assert server.stop() == 0
    finally:
        place.client.close()
        store.close()
        server.kill()


@pytest.fixture
def place(lasting_place: Place) -> Place:
    """The server with its repo in order."""
    lasting_place.spoil()
    lasting_place.prepare()
    return lasting_place
