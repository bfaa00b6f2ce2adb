"""Clients that keep book of what they were answered, so that what a crash leaves behind can be judged.

Each writer changes things that no other writer changes. It knows their state as of the last answer, and the one change
that may be under way: after a crash the server must show the one or the other, and nothing between.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from dvid.codecs.keyvalues import encode_keyvalues

State = dict[str, Any]
"""What there is, by name; what is absent or None is not there."""
Xyz = tuple[int, int, int]


class Http:
    """One connection to a server."""

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self._admin = {"Authorization": f"Bearer {token}"} if token else {}

    def call(self, method: str, path: str, body: bytes = b"", *, admin: bool = False) -> tuple[int, bytes]:
        """Status and body of the answer."""
        self._connection.request(method, path, body or None, self._admin if admin else {})
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def get(self, path: str) -> bytes:
        """What is at a path; it must be there."""
        status, answer = self.call("GET", path)
        assert status == 200, f"GET {path}: {status} {answer[:300]!r}"
        return answer

    def post(self, path: str, body: Any, *, admin: bool = False) -> Any:
        """The JSON that a POST of JSON answers."""
        status, answer = self.call("POST", path, json.dumps(body).encode(), admin=admin)
        assert status == 200, f"POST {path}: {status} {answer[:300]!r}"
        return json.loads(answer) if answer else None

    def close(self) -> None:
        self._connection.close()


class Writer:
    """A client that changes what is its own."""

    instance = ""
    """Whose mutation log tells of its changes; empty: none that outlives them."""

    def __init__(self, name: str, node: str, random: Random) -> None:
        self.name, self.node, self.random = name, node, random
        self.state: State = {}
        self.events: Counter[str] = Counter()
        """How many events the log must have of each change."""
        self.answers = 0
        self.problem: BaseException | None = None
        self._count = 0
        self._under_way: tuple[str, State, int] | None = None

    def step(self) -> None:
        """Change something."""
        raise NotImplementedError

    def observe(self, http: Http) -> State:
        """What the server shows now, checked to be whole."""
        raise NotImplementedError

    def run(self, url: str, token: str, stop: threading.Event) -> None:
        """Change things until the server is gone or it is time to stop."""
        self._http = Http(url, token)
        try:
            while not stop.is_set():
                self.step()
        except TimeoutError as error:
            self.problem = error
        except (OSError, http.client.HTTPException):
            pass  # the server is gone
        except BaseException as error:  # noqa: BLE001 - told by the thread that judges
            self.problem = error
        finally:
            self._http.close()

    def number(self) -> int:
        """A number for the next change."""
        self._count += 1
        return self._count

    def send(
        self, method: str, path: str, body: bytes, change: State, *, events: int = 1, admin: bool = False
    ) -> bytes:
        """Send a request that makes a change, all of it or nothing; the body of the answer.

        What has events must change something that is seen: or nobody could tell after a crash whether it has happened.
        """
        mark = f"{self.name}-{self._count}"
        assert not events or any(self.state.get(name) != value for name, value in change.items()), f"{mark}: {change}"
        self._under_way = mark, change, events
        status, answer = self._http.call(method, f"{path}{'&' if '?' in path else '?'}app={mark}", body, admin=admin)
        assert status == 200, f"{method} {path}: {status} {answer[:300]!r}"
        self._settle(happened=True)
        self.answers += 1
        return answer

    def _settle(self, *, happened: bool) -> None:
        if self._under_way is not None and happened:
            mark, change, events = self._under_way
            self.state.update(change)
            if events:
                self.events[mark] = events
        self._under_way = None

    def judge(self, http: Http) -> None:
        """Compare what the server shows with the book."""
        if self.problem is not None:
            raise AssertionError(f"{self.name} met {self.problem!r}") from self.problem
        seen, before = _present(self.observe(http)), _present(self.state)
        after = before if self._under_way is None else _present({**self.state, **self._under_way[1]})
        assert seen in (before, after), (
            f"{self.name}: half of a change, or a lost one\nwas {_differences(before, seen)}\n"
            f"under way was {self._under_way}"
        )
        self._settle(happened=seen == after)


def _present(state: State) -> State:
    return {name: value for name, value in state.items() if value is not None}


def _differences(book: State, seen: State) -> dict[str, tuple[Any, Any]]:
    return {name: (book.get(name), seen.get(name)) for name in {**book, **seen} if book.get(name) != seen.get(name)}


# ---- values -------------------------------------------------------------------------------------


def value_of(number: int) -> bytes:
    """A value that shows by its content that it is whole; of 3 bytes to some 40 KB."""
    return json.dumps([number] * (number * 7919 % 8000 + 1)).encode()


def number_in(value: Any) -> int:
    """The number of a value that was read, which must be whole."""
    assert json.dumps(value).encode() == value_of(value[0]), f"a value is not whole: {str(value)[:80]}"
    return int(value[0])


class Keys(Writer):
    """Writes single keys, overwrites and deletes them."""

    instance = "keys"

    def step(self) -> None:
        number = self.number()
        key = f"{self.name}{self.random.randrange(12)}"
        path = f"{self.node}/keys/key/{key}"
        if self.state.get(key) is not None and self.random.random() < 0.25:
            self.send("DELETE", path, b"", {key: None})
        else:
            self.send("POST", path, value_of(number), {key: number})

    def observe(self, http: Http) -> State:
        # "~" is behind all digits
        found = json.loads(http.get(f"{self.node}/keys/keyrangevalues/{self.name}/{self.name}~?json=true"))
        return {key: number_in(value) for key, value in found.items()}


class Batches(Writer):
    """Writes a hundred keys in one request."""

    instance = "batches"
    KEYS = 100

    def step(self) -> None:
        number, batch = self.number(), f"{self.name}{self.random.randrange(3)}"
        pairs = [(f"{batch}.{key:02}", b"[%d]" % number) for key in range(self.KEYS)]
        body = b"".join(encode_keyvalues(pairs))
        self.send("POST", f"{self.node}/batches/keyvalues", body, {batch: number}, events=self.KEYS)

    def observe(self, http: Http) -> State:
        path = f"{self.node}/batches/keyrangevalues/{self.name}/{self.name}~?json=true"
        batches: dict[str, list[int]] = {}
        for key, value in json.loads(http.get(path)).items():
            batches.setdefault(key.partition(".")[0], []).append(value[0])
        for name, numbers in batches.items():
            assert len(numbers) == self.KEYS, f"{name} has {len(numbers)} of {self.KEYS} keys"
            assert len(set(numbers)) == 1, f"{name} has keys of several requests: {sorted(set(numbers))}"
        return {name: numbers[0] for name, numbers in batches.items()}


class Boxes(Writer):
    """Fills a box of an image with one value after another."""

    def __init__(
        self, name: str, node: str, random: Random, instance: str, offset: Xyz, size: Xyz, *, unaligned: bool
    ) -> None:
        super().__init__(name, node, random)
        self.instance, self.offset, self.size, self.unaligned = instance, offset, size, unaligned
        self._path = f"{node}/{instance}/raw/0_1_2/{'_'.join(map(str, size))}/{'_'.join(map(str, offset))}"

    def step(self) -> None:
        number = self.number()
        value = number % 255 + 1
        options = f"?mutate={'true' if number % 3 == 0 else 'false'}{'&unaligned=true' if self.unaligned else ''}"
        x, y, z = self.size
        self.send("POST", self._path + options, bytes([value]) * (x * y * z), {"box": value})

    def observe(self, http: Http) -> State:
        voxels = http.get(self._path)
        values = set(voxels)
        assert len(values) == 1, f"{self.name}: the box has voxels of several requests: {sorted(values)}"
        return {"box": voxels[0] or None}


class Region(Writer):
    """Replaces and empties a region of interest."""

    def __init__(self, name: str, node: str, random: Random) -> None:
        super().__init__(name, node, random)
        self.instance = name

    @staticmethod
    def spans(number: int) -> list[list[int]]:
        """The spans of a region, in many layers, which show what region it is."""
        return [[z, y, 0, number] for z in range(number % 5, 40, number % 3 + 1) for y in range(number % 7 + 1)]

    def step(self) -> None:
        number = self.number()
        path = f"{self.node}/{self.instance}/roi"
        if number % 5 == 4 and self.state.get("region") is not None:
            self.send("DELETE", path, b"", {"region": None})
        else:
            self.send("POST", path, json.dumps(self.spans(number)).encode(), {"region": number})

    def observe(self, http: Http) -> State:
        spans = json.loads(http.get(f"{self.node}/{self.instance}/roi"))
        if not spans:
            return {}
        number = spans[0][3]
        assert spans == self.spans(number), f"{self.name}: the region is not whole"
        extended = json.loads(http.get(f"{self.node}/{self.instance}/info"))["Extended"]
        assert (extended["MinZ"], extended["MaxZ"]) == (spans[0][0], spans[-1][0])
        return {"region": number}


class Instances(Writer):
    """Makes instances, puts something into them, deletes them."""

    def step(self) -> None:
        number, name = self.number(), f"{self.name}{self.random.randrange(4)}"
        held = self.state.get(name)
        root = self.node.rpartition("/")[2]
        if held is None:
            body = json.dumps({"typename": "keyvalue", "dataname": name}).encode()
            self.send("POST", f"/api/repo/{root}/instance", body, {name: "empty"}, events=0)
        elif self.random.random() < 0.6:
            self.send("POST", f"{self.node}/{name}/key/k", value_of(number), {name: number}, events=0)
        else:
            path = f"/api/repo/{root}/instance/{name}?imsure=true"
            self.send("DELETE", path, b"", {name: None}, events=0, admin=True)

    def observe(self, http: Http) -> State:
        root = self.node.rpartition("/")[2]
        found = {}
        for name in json.loads(http.get(f"/api/repo/{root}/info"))["DataInstances"]:
            if name.startswith(self.name):
                status, value = http.call("GET", f"{self.node}/{name}/key/k")
                assert status in (200, 404), f"{name}: {status} {value[:200]!r}"
                found[name] = number_in(json.loads(value)) if status == 200 else "empty"
        return found


class Versions(Writer):
    """Commits, goes on in new versions and branches, and writes a key in each; in a repo of its own.

    Its state has a record (parent, branch, locked, note) and a value for each node.
    """

    def __init__(self, name: str, root: str, random: Random) -> None:
        super().__init__(name, "", random)
        self.root = self.head = root
        self.state = {root: ("", "", False, ""), f"value {root}": None}

    def step(self) -> None:
        number, head = self.number(), self.head
        parent, branch, locked, _ = self.state[head]
        if locked:
            child = UUID(int=self.random.getrandbits(128)).hex
            body = {"uuid": child, "note": f"child {number}"}
            inherited = {f"value {child}": self.state[f"value {head}"]}
            if number % 3 == 0:
                body["branch"] = f"branch{number}"
                change = {child: (head, body["branch"], False, body["note"]), **inherited}
                self.send("POST", f"/api/node/{head}/branch", json.dumps(body).encode(), change, events=0)
            else:
                change = {child: (head, branch, False, body["note"]), **inherited}
                self.send("POST", f"/api/node/{head}/newversion", json.dumps(body).encode(), change, events=0)
            self.head = child
        elif number % 2:
            self.write_value(head, number)
        else:
            text = json.dumps({"note": f"done {number}", "log": [f"line {number}", "another"]}).encode()
            change = {head: (parent, branch, True, f"done {number}")}
            self.send("POST", f"/api/node/{head}/commit", text, change, events=0)

    def observe(self, http: Http) -> State:
        nodes = json.loads(http.get(f"/api/repo/{self.root}/info"))["DAG"]["Nodes"]
        by_version = {node["VersionID"]: uuid for uuid, node in nodes.items()}
        assert len(by_version) == len(nodes)
        found: State = {}
        for uuid, node in nodes.items():
            parents = [by_version[parent] for parent in node["Parents"]]
            for parent in parents:
                assert node["VersionID"] in nodes[parent]["Children"], f"{parent} does not know its child {uuid}"
            for child in node["Children"]:
                assert node["VersionID"] in nodes[by_version[child]]["Parents"]
            assert len(node["Log"]) == 2 * node["Locked"], f"half of a commit: {node}"
            found[uuid] = (parents[0] if parents else "", node["Branch"], node["Locked"], node["Note"])
            found[f"value {uuid}"] = self.read_value(http, uuid)
        return found

    def write_value(self, node: str, number: int) -> None:
        """Store a number at a node."""
        path = f"/api/node/{node}/values/key/k"
        self.send("POST", path, value_of(number), {f"value {node}": number}, events=0)

    def read_value(self, http: Http, node: str) -> int | None:
        """The number that a node shows, if there is one."""
        status, value = http.call("GET", f"/api/node/{node}/values/key/k")
        assert status in (200, 404), f"{node}: {status} {value[:200]!r}"
        return number_in(json.loads(value)) if status == 200 else None

    def judge(self, http: Http) -> None:
        """Compare what the server shows with the book, and go on from the newest node."""
        super().judge(http)
        self.head = [name for name in self.state if not name.startswith("value ")][-1]
        branch = self.state[self.head][1]
        leaf = json.loads(http.get(f"/api/repo/{self.root}/branch-versions/{branch or 'master'}"))[0]
        assert leaf == self.head, "the branch ends in another node than the newest"


# ---- all together -------------------------------------------------------------------------------


class Writers:
    """Writers that write at the same time."""

    writers: Sequence[Writer]

    def start(self, url: str, token: str) -> Running:
        """Let all writers write."""
        return Running(self.writers, url, token)

    def answers(self) -> int:
        """How many answers there were."""
        return sum(writer.answers for writer in self.writers)


class Load(Writers):
    """All writers of one repo (and one more for the versions), and what must hold for them together."""

    def __init__(self, http: Http, random: Random) -> None:
        root: str = http.post("/api/repos", {}, admin=True)["root"]
        history: str = http.post("/api/repos", {}, admin=True)["root"]
        node = f"/api/node/{root}"
        self.root = root
        types = dict.fromkeys(("keys", "batches"), "keyvalue") | dict.fromkeys(("region1", "region2"), "roi")
        for name, typename in {**types, "whole": "uint8blk", "cut": "uint8blk"}.items():
            http.post(f"/api/repo/{root}/instance", {"typename": typename, "dataname": name})
        http.post(f"/api/repo/{history}/instance", {"typename": "keyvalue", "dataname": "values"})
        self.node = node
        self.boxes = [
            Boxes("whole1", node, random, "whole", (0, 0, 0), (64, 64, 64), unaligned=False),
            Boxes("whole2", node, random, "whole", (-128, 64, 32), (64, 64, 64), unaligned=False),
            # side by side inside the same blocks
            Boxes("cut1", node, random, "cut", (5, 7, -9), (40, 40, 40), unaligned=True),
            Boxes("cut2", node, random, "cut", (45, 7, -9), (40, 40, 40), unaligned=True),
            Boxes("cut3", node, random, "cut", (5, 47, -9), (80, 3, 40), unaligned=True),
        ]
        self.writers = [
            Keys("a", node, random),
            Keys("b", node, random),
            Batches("c", node, random),
            Batches("d", node, random),
            Region("region1", node, random),
            Region("region2", node, random),
            Instances("made", node, random),
            Versions("versions", history, random),
            *self.boxes,
        ]

    def judge(self, http: Http) -> None:
        """Compare all that the server shows with the book."""
        for writer in self.writers:
            writer.judge(http)
        self._judge_logs(http)
        for name in ("whole", "cut"):
            self._judge_extents(http, name)

    def _judge_logs(self, http: Http) -> None:
        owners: dict[int, str] = {}
        for instance in {writer.instance for writer in self.writers if writer.instance}:
            expected: Counter[str] = Counter()
            for writer in self.writers:
                if writer.instance == instance:
                    expected += writer.events
            log = json.loads(http.get(f"{self.node}/{instance}/mutations"))
            seen = Counter(event["App"] for event in log)
            assert seen == expected, f"{instance}: the log has {seen - expected}, lacks {expected - seen}"
            for event in log:
                owner = owners.setdefault(event["MutationID"], event["App"])
                assert owner == event["App"], f"mutation id {event['MutationID']} belongs to {owner} and {event['App']}"
        info = json.loads(http.get(f"/api/repo/{self.root}/info"))
        assert info["MutationID"] > max(owners, default=0)

    def _judge_extents(self, http: Http, name: str) -> None:
        extended = json.loads(http.get(f"{self.node}/{name}/info"))["Extended"]
        written = [box for box in self.boxes if box.instance == name and box.state]
        if not written:
            assert extended["MinPoint"] is None
            return
        low = [min(box.offset[axis] for box in written) for axis in range(3)]
        high = [max(box.offset[axis] + box.size[axis] for box in written) - 1 for axis in range(3)]
        assert (extended["MinPoint"], extended["MaxPoint"]) == (low, high)


class Running:
    """Writers at work."""

    def __init__(self, writers: Iterable[Writer], url: str, token: str) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=writer.run, args=(url, token, self._stop), name=writer.name) for writer in writers
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until all have stopped, each after the answer it waits for."""
        self._stop.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), f"{thread.name} hangs"
