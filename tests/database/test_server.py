"""Promises of a server with three stores: real processes, real folders."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.waiting import eventually

from dvid.config import load_config
from dvid.database import Database
from dvid.versions.verify import verify

ROOT = "0123456789abcdef0123456789abcdef"
STORES = ("main", "images", "notes")
BLOCK = 64**3


class Client:
    """One connection to a server, with admin rights."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self._headers = {"Authorization": f"Bearer {token}"}

    def call(self, method: str, path: str, body: bytes | Any = b"", *, admin: bool = False) -> tuple[int, bytes]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._connection.request(method, "/api" + path, data or None, self._headers if admin else {})
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def ask(self, method: str, path: str, body: bytes | Any = b"", *, admin: bool = False) -> bytes:
        """The answer; it must be 200."""
        status, answer = self.call(method, path, body, admin=admin)
        assert status == 200, f"{method} {path}: {status} {answer[:300]!r}"
        return answer

    def close(self) -> None:
        self._connection.close()


@dataclass
class Place:
    """A folder with the configuration and the stores, and what serves it."""

    folder: Path
    start: Callable[[], Any]

    def serve(self) -> tuple[Any, Client]:
        server = self.start()
        return server, Client(server.url, server.token)

    def size(self, store: str) -> int:
        """Bytes that a store's folder takes on disk."""
        return sum(file.stat().st_blocks * 512 for file in (self.folder / store).iterdir())

    def problems(self) -> list[Any]:
        config = load_config(str(self.folder / "dvid.toml"), environ={})
        with Database.from_config(config, read_only=True) as database:
            return list(verify(database.store, others=database.others))


def write_config(folder: Path, stores: tuple[str, ...] = STORES) -> None:
    tables = "".join(f'[store.{name}]\npath = "{name}"\n' for name in stores)
    backends = {"default": "main", "uint8blk": "images", f'"notes:{ROOT}"': "notes"}
    tables += "".join(f'[backend.{what}]\nstore = "{store}"\n' for what, store in backends.items() if store in stores)
    (folder / "dvid.toml").write_text(tables)


@pytest.fixture
def place(tmp_path: Path, serve: Any) -> Place:
    write_config(tmp_path)
    # --data names the folder of the default store, which is "main" in the file, too.
    return Place(tmp_path, lambda: serve(tmp_path / "main", str(tmp_path / "dvid.toml")))


@pytest.fixture
def served(place: Place) -> Iterator[tuple[Place, Any, Client]]:
    server, client = place.serve()
    make_repo(client)
    yield place, server, client
    client.close()


def make_repo(client: Client) -> None:
    client.ask("POST", "/repos", {"root": ROOT}, admin=True)
    for typename, name in (("keyvalue", "notes"), ("keyvalue", "plain"), ("uint8blk", "gray"), ("roi", "region")):
        client.ask("POST", f"/repo/{ROOT}/instance", {"typename": typename, "dataname": name})


def child_of(client: Client, uuid: str) -> str:
    return str(json.loads(client.ask("POST", f"/node/{uuid}/newversion", {}))["child"])


def test_data_lands_in_its_folder_and_is_there_after_a_restart(served):
    place, server, client = served
    random = Random(1)
    image = random.randbytes(8 * BLOCK)
    before = {store: place.size(store) for store in STORES}
    client.ask("POST", f"/node/{ROOT}/gray/raw/0_1_2/128_128_128/0_0_0", image)
    assert place.size("images") > before["images"] + len(image)
    assert max(place.size("main") - before["main"], place.size("notes") - before["notes"]) < 1 << 20
    note, plain = random.randbytes(3 << 20), random.randbytes(5 << 20)
    client.ask("POST", f"/node/{ROOT}/notes/key/one", note)
    assert place.size("notes") > before["notes"] + len(note)
    assert place.size("main") < before["main"] + (1 << 20)
    client.ask("POST", f"/node/{ROOT}/plain/key/one", plain)
    assert place.size("main") > before["main"] + len(plain)

    client.ask("POST", f"/node/{ROOT}/region/roi", [[0, 0, 0, 0]])
    client.close()
    assert server.stop() == 0
    server, client = place.serve()
    assert client.ask("GET", f"/node/{ROOT}/gray/raw/0_1_2/128_128_128/0_0_0") == image
    assert client.ask("GET", f"/node/{ROOT}/notes/key/one") == note
    assert client.ask("GET", f"/node/{ROOT}/plain/key/one") == plain
    masked = client.ask("GET", f"/node/{ROOT}/gray/raw/0_1_2/32_32_64/0_0_0?roi=region")
    assert masked[: 32**3].count(0) < 32**3 / 100
    assert masked[32**3 :] == bytes(32**3)
    storage = json.loads(client.ask("GET", "/storage", admin=True))
    assert sorted(storage) == sorted(STORES)
    assert storage["images"]["used bytes"] > len(image)
    assert storage["notes"]["path"] == str(place.folder / "notes")
    server.stop()
    assert place.problems() == []
    client.close()


def test_versions_branches_and_logs_work_in_every_store(served):
    place, _, client = served
    client.ask("POST", f"/node/{ROOT}/gray/raw/0_1_2/64_64_64/0_0_0", b"\1" * BLOCK)
    for name in ("notes", "plain"):
        client.ask("POST", f"/node/{ROOT}/{name}/key/a", b"root")
    client.ask("POST", f"/node/{ROOT}/commit", {})
    for name in ("notes", "plain"):
        status, answer = client.call("POST", f"/node/{ROOT}/{name}/key/a", b"late")
        assert (status, b"committed" in answer) == (400, True)
    assert client.call("POST", f"/node/{ROOT}/gray/raw/0_1_2/64_64_64/0_0_0", b"\2" * BLOCK)[0] == 400
    child = child_of(client, ROOT)
    side = json.loads(client.ask("POST", f"/node/{ROOT}/branch", {"branch": "side"}))["child"]
    client.ask("POST", f"/node/{child}/gray/raw/0_1_2/64_64_64/0_0_0?mutate=true", b"\2" * BLOCK)
    for name in ("notes", "plain"):
        client.ask("POST", f"/node/{child}/{name}/key/a", b"child")
        client.ask("DELETE", f"/node/{side}/{name}/key/a")
        assert [client.call("GET", f"/node/{node}/{name}/key/a") for node in (ROOT, child)] == [
            (200, b"root"),
            (200, b"child"),
        ]
        assert client.call("GET", f"/node/{side}/{name}/key/a")[0] == 404
        assert len(json.loads(client.ask("GET", f"/node/{child}/{name}/mutations"))) == 1
    for node, voxel in ((ROOT, b"\1"), (child, b"\2"), (side, b"\1")):
        assert client.ask("GET", f"/node/{node}/gray/raw/0_1_2/64_64_64/0_0_0") == voxel * BLOCK
    ids = [
        event["MutationID"]
        for name in ("notes", "plain", "gray")
        for event in json.loads(client.ask("GET", f"/node/{ROOT}/{name}/mutations-range/{ROOT}/{child}"))
    ]
    assert len(ids) == len(set(ids)) == 6
    assert place.problems() == []


def test_a_store_that_is_not_declared_is_named_and_its_data_comes_back(served):
    place, server, client = served
    client.ask("POST", f"/node/{ROOT}/notes/key/a", b"value")
    client.ask("POST", f"/node/{ROOT}/plain/key/a", b"value")
    client.close()
    server.stop()
    write_config(place.folder, ("main", "images"))
    server, client = place.serve()
    for method in ("GET", "POST"):
        status, answer = client.call(method, f"/node/{ROOT}/notes/key/a", b"x" if method == "POST" else b"")
        assert (status, b"[store.notes]" in answer) == (503, True)
    assert client.ask("GET", f"/node/{ROOT}/plain/key/a") == b"value"
    assert ROOT in json.loads(client.ask("GET", "/repos/info"))
    client.close()
    server.stop()
    write_config(place.folder)
    _, client = place.serve()
    assert client.ask("GET", f"/node/{ROOT}/notes/key/a") == b"value"
    client.close()


def test_deletion_frees_the_store_of_the_instance(served):
    place, _, client = served
    client.ask("POST", f"/node/{ROOT}/gray/raw/0_1_2/128_128_128/0_0_0", Random(2).randbytes(8 * BLOCK))
    client.ask("POST", f"/node/{ROOT}/notes/key/a", b"x" * 100_000)

    def used() -> dict[str, int]:
        storage = json.loads(client.ask("GET", "/storage", admin=True))
        return {name: storage[name]["used bytes"] for name in STORES}

    before = used()
    client.ask("DELETE", f"/repo/{ROOT}/instance/gray?imsure=true", admin=True)
    eventually(lambda: used()["images"] < before["images"] - 8 * BLOCK)
    assert used()["notes"] == before["notes"]
    assert client.ask("GET", f"/node/{ROOT}/notes/key/a") == b"x" * 100_000
    assert place.problems() == []


def test_a_commit_takes_in_all_writes_before_it_and_none_after(served):
    """Writers of all stores against commits: what was answered is kept, and a committed node never changes."""
    place, server, client = served
    names = ("notes", "notes", "plain", "extra")
    client.ask("POST", f"/repo/{ROOT}/instance", {"typename": "keyvalue", "dataname": "extra", "Tags": "a=b"})
    node, clock = ROOT, time.monotonic
    for _ in range(12):
        answers: list[tuple[str, str, float, float, int]] = []
        begun = threading.Barrier(len(names) + 1)
        threads = [
            threading.Thread(target=write_until_refused, args=(server, node, name, number, begun, answers))
            for number, name in enumerate(names)
        ]
        for thread in threads:
            thread.start()
        begun.wait()
        eventually(lambda answers=answers: len({name for name, *_ in answers}) == 3)
        asked = clock()
        client.ask("POST", f"/node/{node}/commit", {})
        answered = clock()
        seen = {name: set(json.loads(client.ask("GET", f"/node/{node}/{name}/keys"))) for name in set(names)}
        for thread in threads:
            thread.join()
        taken = [answer for answer in answers if answer[4] == 200]
        assert len({name for name, *_ in taken}) == 3
        for _, _, begin, end, status in answers:
            assert status in (200, 400)
            assert status == 400 or begin < answered, "a write that began after the commit was taken"
            assert status == 200 or end > asked, "a write that was answered before the commit was refused"
        for name in set(names):
            kept = {key for one, key, *_ in taken if one == name}
            assert seen[name] == kept, "the committed node changed, or an answered write was lost"
            assert set(json.loads(client.ask("GET", f"/node/{node}/{name}/keys"))) == kept
        node = child_of(client, node)
        for name in set(names):
            for key in json.loads(client.ask("GET", f"/node/{node}/{name}/keys")):
                client.ask("DELETE", f"/node/{node}/{name}/key/{key}")
    assert place.problems() == []


def write_until_refused(server, node, name, number, begun, answers) -> None:
    client = Client(server.url, server.token)
    begun.wait()
    for count in range(100_000):
        key = f"{number}-{count}"
        begin = time.monotonic()
        status, _ = client.call("POST", f"/node/{node}/{name}/key/{key}", b"value")
        answers.append((name, key, begin, time.monotonic(), status))
        if status != 200:
            break
    client.close()


@pytest.mark.slow
def test_kill_9_loses_no_answered_write_of_any_store_and_leaves_none_by_half(place):
    server, client = place.serve()
    make_repo(client)
    client.close()
    random = Random(3)
    books = {name: {} for name in ("notes", "plain", "gray")}
    node = ROOT
    for _ in range(5):
        threads, under_way = [], {}
        stop = threading.Event()
        for name in books:
            threads.append(
                threading.Thread(target=keep_writing, args=(server, node, name, books[name], under_way, stop))
            )
            threads[-1].start()
        commits: list[str] = []
        committer = threading.Thread(target=keep_committing, args=(server, commits, stop))
        committer.start()
        time.sleep(0.3 + random.random())
        server.kill()
        stop.set()
        for thread in (*threads, committer):
            thread.join()
        server, client = place.serve()
        for name, book in books.items():
            for key, value in book.items():
                seen = read_value(client, node, name, key)
                allowed = {value, under_way[name][1]} if under_way[name][0] == key else {value}
                assert seen in allowed, f"{name}/{key}: {seen} is none of {allowed}"
                book[key] = seen
        for uuid in commits:
            assert json.loads(client.ask("GET", f"/node/{uuid}/commit"))["Locked"]
        ids = [
            event["MutationID"]
            for name in books
            for event in json.loads(client.ask("GET", f"/node/{node}/{name}/mutations"))
        ]
        assert len(ids) == len(set(ids))
        client.close()
        assert place.problems() == []


def read_value(client: Client, node: str, name: str, key: str) -> int:
    if name == "gray":
        voxels = client.ask("GET", f"/node/{node}/gray/raw/0_1_2/128_64_64/{128 * int(key)}_0_0")
        assert voxels == voxels[:1] * len(voxels), "half of a box"
        return voxels[0]
    status, answer = client.call("GET", f"/node/{node}/{name}/key/{key}")
    return int(answer) if status == 200 else 0


def keep_writing(server, node, name, book, under_way, stop) -> None:
    client = Client(server.url, server.token)
    count = 0
    under_way[name] = ("", 0)
    try:
        while not stop.is_set():
            count += 1
            key, value = str(count % 7), (book.get(str(count % 7), 0) + 1) % 200
            book.setdefault(key, 0)
            under_way[name] = (key, value)
            if name == "gray":
                path = f"/node/{node}/gray/raw/0_1_2/128_64_64/{128 * int(key)}_0_0?mutate=true"
                client.ask("POST", path, bytes([value]) * 2 * BLOCK)
            else:
                client.ask("POST", f"/node/{node}/{name}/key/{key}", str(value).encode())
            book[key] = value
    except (OSError, http.client.HTTPException):
        pass  # the server is gone


def keep_committing(server, commits, stop) -> None:
    """Commit nodes of another repo meanwhile: that keeps writers of all stores out, again and again."""
    client = Client(server.url, server.token)
    try:
        node = json.loads(client.ask("POST", "/repos", {}, admin=True))["root"]
        while not stop.is_set():
            client.ask("POST", f"/node/{node}/commit", {})
            commits.append(node)
            node = child_of(client, node)
    except (OSError, http.client.HTTPException):
        pass  # the server is gone
