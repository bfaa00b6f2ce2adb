"""Clients of a segmentation that keep book of what they were answered: see `tests.crash.load`."""

from __future__ import annotations

import json
import struct
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.crash.load import Http, State, Versions, Writer, Writers, Xyz

from dvid.codecs.labelblocks import deflate, encode
from dvid.codecs.sparsevols import encode_rles
from dvid.kernels.runs import ordered_runs

Labels = NDArray[np.uint64]

EDGE = 16
"""Voxels of a block along each axis."""
SIDE = 32
"""Voxels of a writer's box along each axis."""
SCALES = 2
LOW: Xyz = (-64, 0, -32)
SIZE: Xyz = (192, 64, 96)
"""A box around all that is written, x first; aligned at every scale."""
_GIVEN_OUT = 1 << 40
"""Labels above it are those that the server gives out; all others are chosen by clients."""


def raw_path(instance: str, offset: Xyz, size: Xyz) -> str:
    return f"{instance}/raw/0_1_2/{'_'.join(map(str, size))}/{'_'.join(map(str, offset))}"


def labels_in(body: bytes, size: Xyz) -> Labels:
    """(z, y, x)."""
    return np.frombuffer(body, "<u8").astype(np.uint64).reshape(size[::-1])


def read_scale(http: Http, instance: str, scale: int) -> Labels:
    """The supervoxels of everything at a scale."""
    offset, size = (tuple(edge >> scale for edge in box) for box in (LOW, SIZE))
    path = raw_path(instance, offset, size)  # type: ignore[arg-type]
    return labels_in(http.get(f"{path}?scale={scale}&supervoxels=true"), size)  # type: ignore[arg-type]


def halved(labels: Labels) -> Labels:
    """Half the resolution: the most frequent of eight labels but 0, of equally frequent ones the lowest."""
    parts = np.stack([labels[z::2, y::2, x::2] for z in (0, 1) for y in (0, 1) for x in (0, 1)])
    often = (parts[:, None] == parts[None]).sum(0)
    often[parts == 0] = 0
    parts = np.where(often == often.max(0), parts, np.uint64(2**64 - 1))
    lowest: Labels = np.where(often.max(0) == 0, np.uint64(0), parts.min(0))
    return lowest


class Volumes(Writer):
    """Fills a box with one pattern of supervoxels after another."""

    instance = "segmentation"

    def __init__(self, name: str, node: str, random: Random, base: int, offset: Xyz) -> None:
        super().__init__(name, node, random)
        self._base, self._offset = base, offset
        self._path = f"{node}/{raw_path(self.instance, offset, (SIDE, SIDE, SIDE))}"

    def pattern(self, number: int) -> Labels:
        """77 different patterns of labels of which most come in many of them."""
        z, y, x = np.indices((SIDE, SIDE, SIDE))
        labels = self._base + (x // 9 + y // 7 * 5 + z // 13 * 3 + number) % 7 + 10 * (number % 11)
        return labels.astype(np.uint64)

    def step(self) -> None:
        number = self.number()
        voxels, change = self.pattern(number), {"box": number % 77}
        if number % 2:
            self.send("POST", self._path, voxels.tobytes(), change, events=0)
        else:
            self.send(
                "POST", f"{self.node}/{self.instance}/blocks?downres=true", self._blocks(voxels), change, events=0
            )

    def _blocks(self, voxels: Labels) -> bytes:
        parts = []
        for z, y, x in np.ndindex(2, 2, 2):
            block = voxels[z * EDGE :, y * EDGE :, x * EDGE :][:EDGE, :EDGE, :EDGE]
            data = deflate(encode(block))
            place = (at + edge // EDGE for at, edge in zip((x, y, z), self._offset, strict=True))
            parts.append(struct.pack("<4i", *place, len(data)) + data)
        return b"".join(parts)

    def observe(self, http: Http) -> State:
        found = labels_in(http.get(f"{self._path}?supervoxels=true"), (SIDE, SIDE, SIDE))
        if not found.any():
            return {}
        number = next((number for number in range(77) if (self.pattern(number) == found).all()), None)
        assert number is not None, f"{self.name}: the box has voxels of several requests"
        labels, voxels = np.unique(found, return_counts=True)
        sizes = json.loads(_get_json(http, f"{self.node}/{self.instance}/sizes?supervoxels=true", labels.tolist()))
        assert sizes == voxels.tolist(), f"{self.name}: the index tells of {sizes}, and there are {voxels.tolist()}"
        return {"box": number}


def _get_json(http: Http, path: str, body: Any) -> bytes:
    status, answer = http.call("GET", path, json.dumps(body).encode())
    assert status == 200, f"GET {path}: {status} {answer[:300]!r}"
    return answer


class Editor(Writer):
    """Merges, cleaves, renumbers, splits, and takes back, in a box of its own.

    Its state has the supervoxels of the box, and its bodies: lists of supervoxels by label.
    """

    instance = "segmentation"

    def __init__(self, name: str, node: str, random: Random, base: int, offset: Xyz) -> None:
        super().__init__(name, node, random)
        self._base = base
        self._path = raw_path(f"{node}/{self.instance}", offset, (SIDE, SIDE, SIDE))
        self._offset = offset
        self._last: tuple[int, State] | None = None
        self.answered: set[int] = set()
        """The mutations that were answered."""

    def begin(self, http: Http) -> None:
        """Store the supervoxels, each a body: slabs, in several blocks each."""
        z, _, x = np.indices((SIDE, SIDE, SIDE))
        voxels = (self._base + 1 + x // 6 + z // 16 * 6).astype(np.uint64)
        status, answer = http.call("POST", f"{self._path}?app={self.name}-0", voxels.tobytes())
        assert status == 200, answer
        labels = np.unique(voxels).tolist()
        self.state = {"voxels": voxels.tobytes(), "bodies": {label: [label] for label in labels}}

    def step(self) -> None:
        number = self.number()
        bodies: dict[int, list[int]] = self.state["bodies"]
        before = dict(self.state)
        several = [label for label, held in bodies.items() if len(held) > 1]
        kinds = ["merge"] * (len(bodies) > 2) + ["cleave"] * bool(several) + ["renumber", "split"]
        kind = "undo" if self._last is not None and self.random.random() < 0.3 else self.random.choice(kinds)
        if kind == "undo":
            assert self._last is not None
            mutation, earlier = self._last
            body = json.dumps({"MutationID": mutation}).encode()
            answer = self._post("undo", body, earlier)
            self._last = (answer["MutationID"], before) if number % 2 else None  # to be done once more, or not
            return
        if kind == "merge":
            chosen = self.random.sample(sorted(bodies), self.random.choice([2, 3]) if len(bodies) > 3 else 2)
            rest = {label: held for label, held in bodies.items() if label not in chosen}
            joined = sorted(supervoxel for label in chosen for supervoxel in bodies[label])
            change = {"bodies": {**rest, chosen[0]: joined}}
            answer = self._post("merge", json.dumps(chosen).encode(), change)
        elif kind == "cleave":
            label = self.random.choice(several)
            taken = self.random.sample(bodies[label], self.random.randint(1, len(bodies[label]) - 1))
            rest_of = [supervoxel for supervoxel in bodies[label] if supervoxel not in taken]
            change = {"bodies": {**bodies, label: rest_of, 0: sorted(taken)}}
            answer = self._post(f"cleave/{label}", json.dumps(taken).encode(), change)
            self.state["bodies"] = _named(self.state["bodies"], answer["CleavedLabel"])
        elif kind == "renumber":
            old, new = self.random.choice(sorted(bodies)), self._base + 1000 + number
            change = {"bodies": {**{label: held for label, held in bodies.items() if label != old}, new: bodies[old]}}
            answer = self._post("renumber", json.dumps([new, old]).encode(), change)
        else:
            answer = self._split(number, bodies)
            if answer is None:
                return
        self._last = answer["MutationID"], before

    def _split(self, number: int, bodies: dict[int, list[int]]) -> dict[str, Any] | None:
        owner = self.random.choice(sorted(bodies))
        supervoxel = self.random.choice(bodies[owner])
        voxels = np.frombuffer(self.state["voxels"], np.uint64).reshape(SIDE, SIDE, SIDE).copy()
        points = np.argwhere(voxels == supervoxel)
        if len(points) < 50:
            return None
        points = points[points[:, 1] <= np.median(points[:, 1]) - 1] if number % 2 else points[::2]
        if not len(points):
            return None
        split, remain = self._base + 100_000 + 2 * number, self._base + 100_001 + 2 * number
        voxels[voxels == supervoxel] = remain
        voxels[tuple(points.T)] = split
        runs = np.ones((len(points), 4), np.int32)
        runs[:, :3] = points[:, ::-1] + np.array(self._offset)
        held = sorted({*bodies[owner], split, remain} - {supervoxel})
        change = {"voxels": voxels.tobytes(), "bodies": {**bodies, owner: held}}
        path = f"split-supervoxel/{supervoxel}?split={split}&remain={remain}"
        return self._post(path, encode_rles(ordered_runs(runs)), change)

    def _post(self, path: str, body: bytes, change: State) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.send("POST", f"{self.node}/{self.instance}/{path}", body, change))
        self.answered.add(answer["MutationID"])
        return answer

    def observe(self, http: Http) -> State:
        size = (SIDE, SIDE, SIDE)
        supervoxels = labels_in(http.get(f"{self._path}?supervoxels=true"), size)
        shown = labels_in(http.get(self._path), size)
        bodies: dict[int, list[int]] = {}
        for supervoxel, body in np.unique(np.stack((supervoxels.ravel(), shown.ravel()), 1), axis=0).tolist():
            bodies.setdefault(body, []).append(supervoxel)
        for body, held in bodies.items():
            listed = json.loads(http.get(f"{self.node}/{self.instance}/supervoxels/{body}"))
            assert sorted(listed) == held, f"{self.name}: body {body} lists {sorted(listed)}, voxels show {held}"
            told = json.loads(http.get(f"{self.node}/{self.instance}/size/{body}"))["voxels"]
            assert told == (shown == body).sum(), (
                f"{self.name}: body {body} has {(shown == body).sum()} voxels, not {told}"
            )
        if self._under_way is not None and 0 in self._under_way[1].get("bodies", {}):  # the server has chosen its label
            mark, change, events = self._under_way
            new = max(bodies)
            if new not in self.state["bodies"]:
                self._under_way = mark, {"bodies": _named(change["bodies"], new)}, events
        return {"voxels": supervoxels.tobytes(), "bodies": bodies}

    def judge(self, http: Http) -> None:
        """Compare what the server shows with the book."""
        if self._under_way is not None:
            self._last = None  # its mutation may be another one by now
        super().judge(http)


def _named(bodies: dict[int, list[int]], label: int) -> dict[int, list[int]]:
    """The bodies with a label for that which had none."""
    assert label > _GIVEN_OUT
    return {label if body == 0 else body: held for body, held in bodies.items()}


class LabelVersions(Versions):
    """Commits, goes on in new versions and branches, and writes voxels in each; in a repo of its own."""

    PATH = raw_path("values", (0, 0, 0), (SIDE, EDGE, EDGE))

    def write_value(self, node: str, number: int) -> None:
        voxels = np.full((EDGE, EDGE, SIDE), number, np.uint64)
        voxels[:, :, 20:] = 7
        self.send("POST", f"/api/node/{node}/{self.PATH}", voxels.tobytes(), {f"value {node}": number}, events=0)

    def read_value(self, http: Http, node: str) -> int | None:
        voxels = labels_in(http.get(f"/api/node/{node}/{self.PATH}"), (SIDE, EDGE, EDGE))
        number = int(voxels[0, 0, 0])
        assert (voxels[:, :, :20] == number).all(), f"{node} shows voxels of several requests"
        assert (voxels[:, :, 20:] == (7 if number else 0)).all(), f"{node} shows voxels of several requests"
        return number or None


class LabelLoad(Writers):
    """All writers of one repo (and one more for the versions), and what must hold for them together."""

    def __init__(self, http: Http, random: Random) -> None:
        self.root: str = http.post("/api/repos", {}, admin=True)["root"]
        history: str = http.post("/api/repos", {}, admin=True)["root"]
        settings = {"typename": "labelmap", "BlockSize": f"{EDGE},{EDGE},{EDGE}", "MaxDownresLevel": str(SCALES)}
        http.post(f"/api/repo/{self.root}/instance", {**settings, "dataname": "segmentation"})
        http.post(f"/api/repo/{history}/instance", {**settings, "dataname": "values"})
        self.node = f"/api/node/{self.root}"
        self.instance = f"{self.node}/segmentation"
        corner = np.full((EDGE, EDGE, EDGE), _GIVEN_OUT, np.uint64)
        path = raw_path(self.instance, (112, 48, 48), (EDGE, EDGE, EDGE))
        assert http.call("POST", f"{path}?app=corner", corner.tobytes())[0] == 200
        self.editors = [
            Editor("editor1", self.node, random, 1_000_000, (0, 0, 0)),
            Editor("editor2", self.node, random, 2_000_000, (48, 16, 16)),
        ]
        for editor in self.editors:
            editor.begin(http)
        self.writers = [
            *self.editors,
            Volumes("volume1", self.node, random, 10_000, (-48, 16, -16)),
            Volumes("volume2", self.node, random, 20_000, (80, 16, 16)),
            LabelVersions("versions", history, random),
        ]

    def judge(self, http: Http) -> None:
        """Compare all that the server shows with the book."""
        for writer in self.writers:
            writer.judge(http)
        log = json.loads(http.get(f"{self.instance}/mutations"))
        expected: dict[str, int] = {}  # it tells of edits of bodies, not of voxels that came in
        for editor in self.editors:
            expected.update(editor.events)
        seen: dict[str, int] = {}
        for event in log:
            seen[event["App"]] = seen.get(event["App"], 0) + 1
        assert seen == expected, (
            f"the log has {seen.items() - expected.items()}, lacks {expected.items() - seen.items()}"
        )
        logged = [event["MutationID"] for event in log]
        assert len(set(logged)) == len(logged)
        for editor in self.editors:
            assert editor.answered <= set(logged), f"lost mutations: {editor.answered - set(logged)}"

    def judge_scales(self, http: Http) -> None:
        """Compare the lower resolutions with what full resolution comes to, whether they are made by now or not."""
        labels = read_scale(http, self.instance, 0)
        for scale in range(1, SCALES + 1):
            labels = halved(labels)
            assert (read_scale(http, self.instance, scale) == labels).all(), f"scale {scale} is not what it should be"

    def waiting(self, http: Http) -> int:
        """How many blocks of lower resolutions wait to be made."""
        return int(json.loads(http.get(f"{self.instance}/info"))["Extended"]["WaitingBlocks"])
