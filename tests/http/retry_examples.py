"""A request to each route that changes something, on the repo that `prepare` makes.

In paths and bodies stand ROOT for the open root of the repo, DONE for the committed root of another, ONE and TWO for its
committed children, which hold different values of one key, and BLOCK for a block of labels. The names of instances are
those of their types.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
from tests.datatypes.labelmap.messages import label_index, label_indices, mapping_ops
from tests.http.conftest import Client

from dvid.codecs.keyvalues import encode_keyvalues
from dvid.http import instances, nodes, repositories, server
from dvid.http.routing import Table
from dvid.routes import Route

ADMIN = {"Authorization": "Bearer token-for-tests"}
BLOCK = 32**3
SERVER = Table(server.ROUTES, "the server")
TABLES = {"node": Table(nodes.ROUTES, "a node"), "repo": Table(repositories.ROUTES, "a repo")}


@dataclass(frozen=True, slots=True)
class Example:
    """A request that succeeds."""

    method: str
    path: str
    body: bytes = b""

    @property
    def route(self) -> Route:
        """The route that serves it."""
        path, _, query = self.path.partition("?")
        _, _, kind, *place = path.split("/", 5)
        options: Mapping[str, str | list[str]] = dict(parse_qsl(query))
        if kind == "node" and len(place) == 3:
            table, path = instances.table(place[1]), "/" + place[2]
        elif kind in TABLES:
            table, path = TABLES[kind], "/" + "/".join(place[1:])
        else:
            table, path = SERVER, path.removeprefix("/api")
        return table.match(self.method, path, options, lambda _: None).route


def prepare(client: Client) -> dict[str, str]:
    """Make what the requests are about; what the words in them stand for."""
    for name in ("keyvalue", "roi", "uint8blk"):
        client.make_instance(name, name)
    done = client.simulate_post("/api/repos", json={}, headers=ADMIN).json["root"]
    made = client.simulate_post(f"/api/repo/{done}/instance", json={"typename": "keyvalue", "dataname": "kv"})
    assert made.status_code == 200
    assert client.simulate_post(f"/api/node/{done}/commit", json={}).status_code == 200
    sides = []
    for branch in ("one", "two"):
        side = client.simulate_post(f"/api/node/{done}/branch", json={"branch": branch}).json["child"]
        assert client.simulate_post(f"/api/node/{side}/kv/key/k", body=branch).status_code == 200
        assert client.simulate_post(f"/api/node/{side}/commit", json={}).status_code == 200
        sides.append(side)
    _labels(client)
    return {"ROOT": client.root, "DONE": done, "ONE": sides[0], "TWO": sides[1], "BLOCK": _segmentation(client)}


def _labels(client: Client) -> None:
    """Make a labelblk of the labels 1 and 2, both in two blocks, and a labelvol that is synced with it."""
    path = client.make_instance("labelblk", "labelblk", BlockSize="32,32,32")
    labels = np.repeat(np.arange(1, 3, dtype=np.uint64), BLOCK).tobytes()
    assert client.simulate_post(f"{path}/raw/0_1_2/64_32_32/0_0_0", body=labels).status_code == 200
    path = client.make_instance("labelvol", "labelvol", BlockSize="32,32,32")
    assert client.simulate_post(f"{path}/sync", json={"sync": "labelblk"}).status_code == 200


def _segmentation(client: Client) -> str:
    """Make a labelmap of the supervoxels 1 to 4, with the bodies 1, 2 and 3; its block, as requests have it.

    And a labelarray with label 1 in two blocks.
    """
    path = client.make_instance("labelarray", "labelarray", BlockSize="32,32,32")
    body = np.ones(2 * BLOCK, np.uint64).tobytes()
    assert client.simulate_post(f"{path}/raw/0_1_2/64_32_32/0_0_0", body=body).status_code == 200
    path = client.make_instance("labelmap", "labelmap", BlockSize="32,32,32")
    labels = np.repeat(np.arange(1, 5, dtype=np.uint64), BLOCK // 4).tobytes()
    assert client.simulate_post(f"{path}/raw/0_1_2/32_32_32/0_0_0", body=labels).status_code == 200
    assert client.simulate_post(f"{path}/merge", json=[3, 4]).status_code == 200
    return client.simulate_get(f"{path}/specificblocks", params={"blocks": "0,0,0"}).content.decode("latin-1")


def _json(path: str, body: Any) -> Example:
    return Example("POST", path, json.dumps(body).encode())


_PARENTS = ["ONE", "TWO"]
RUN = struct.pack("<BBBBIIiiii", 0, 3, 0, 0, 0, 1, 0, 0, 0, 5)
_INDEX = label_index(2, {(0, 0, 0): {2: 100}})
EXAMPLES = [
    _json("/api/repos", {"alias": "again"}),
    Example("DELETE", "/api/repo/DONE?imsure=true"),
    _json("/api/repo/ROOT/info", {"alias": "other"}),
    _json("/api/repo/ROOT/instance", {"typename": "keyvalue", "dataname": "new"}),
    _json("/api/repo/ROOT/instance/roi/rename", {"name": "region"}),
    Example("DELETE", "/api/repo/ROOT/instance/roi?imsure=true"),
    _json("/api/repo/ROOT/log", {"log": ["a line"]}),
    _json("/api/repo/DONE/merge", {"mergeType": "conflict-free", "parents": _PARENTS}),
    _json("/api/repo/DONE/resolve", {"data": ["kv"], "parents": _PARENTS}),
    _json("/api/node/ROOT/note", {"note": "a note"}),
    _json("/api/node/ROOT/log", {"log": ["a line"]}),
    _json("/api/node/ROOT/commit", {"note": "done"}),
    _json("/api/node/DONE/newversion", {"note": "next"}),
    _json("/api/node/DONE/branch", {"branch": "side"}),
    _json("/api/node/DONE/tag", {"tag": "release"}),
    _json("/api/node/ROOT/keyvalue/tags", {"a": "b"}),
    _json("/api/node/ROOT/keyvalue/sync", {"sync": "roi"}),
    Example("POST", "/api/node/ROOT/keyvalue/blobstore", b"content"),
    Example("POST", "/api/node/ROOT/keyvalue/key/k", b"value"),
    Example("DELETE", "/api/node/ROOT/keyvalue/key/k"),
    Example(
        "POST",
        "/api/node/ROOT/keyvalue/keyvalues",
        b"".join(encode_keyvalues([("a", b"1"), ("b", b"2")])),
    ),
    _json("/api/node/ROOT/roi/roi", [[0, 0, 0, 3]]),
    Example("DELETE", "/api/node/ROOT/roi/roi"),
    _json("/api/node/ROOT/roi/info", {"BlockSize": "64,64,64"}),
    Example("POST", "/api/node/ROOT/uint8blk/raw/0_1_2/32_32_32/0_0_0", bytes(BLOCK)),
    Example(
        "POST",
        "/api/node/ROOT/uint8blk/raw/0_1_2/3_3_3/5_5_5?unaligned=true",
        b"x" * 27,
    ),
    Example("POST", "/api/node/ROOT/uint8blk/blocks/0_0_0/2", b"x" * 2 * BLOCK),
    _json(
        "/api/node/ROOT/uint8blk/extents",
        {"MinPoint": [0, 0, 0], "MaxPoint": [9, 9, 9]},
    ),
    _json("/api/node/ROOT/uint8blk/resolution", [4, 4, 40]),
    Example(
        "POST",
        "/api/node/ROOT/labelmap/raw/0_1_2/32_32_32/32_0_0",
        np.full(BLOCK, 7, np.uint64).tobytes(),
    ),
    Example("POST", "/api/node/ROOT/labelmap/blocks", b"BLOCK"),
    Example("POST", "/api/node/ROOT/labelmap/ingest-supervoxels", b"BLOCK"),
    _json("/api/node/ROOT/labelmap/info", {"VoxelSize": "4,4,40"}),
    _json("/api/node/ROOT/labelmap/merge", [1, 2]),
    _json("/api/node/ROOT/labelmap/cleave/3", [4]),
    _json("/api/node/ROOT/labelmap/renumber", [9, 2]),
    Example(
        "POST",
        "/api/node/ROOT/labelmap/split-supervoxel/1",
        RUN,
    ),
    Example(
        "POST",
        "/api/node/ROOT/labelmap/split/3",
        struct.pack("<BBBBIIiiii", 0, 3, 0, 0, 0, 1, 0, 0, 16, 5),
    ),
    Example("POST", "/api/node/ROOT/labelmap/undo"),
    Example("POST", "/api/node/ROOT/labelmap/index/2", _INDEX),
    Example("POST", "/api/node/ROOT/labelmap/indices", label_indices(_INDEX)),
    Example("POST", "/api/node/ROOT/labelmap/mappings", mapping_ops((1, [50]))),
    Example("POST", "/api/node/ROOT/labelmap/maxlabel/1000"),
    Example("POST", "/api/node/ROOT/labelmap/nextlabel/5"),
    Example("POST", "/api/node/ROOT/labelmap/set-nextlabel/2000"),
    _json("/api/node/ROOT/labelblk/info", {"VoxelSize": "4,4,40"}),
    _json("/api/node/ROOT/labelblk/", {"VoxelSize": "4,4,40"}),
    _json("/api/node/ROOT/labelblk/sync", {"sync": "labelvol"}),
    _json("/api/node/ROOT/labelvol/sync", {"sync": "labelblk"}),
    _json("/api/node/ROOT/labelvol/info", {"VoxelSize": "4,4,40"}),
    _json("/api/node/ROOT/labelvol/", {"VoxelSize": "4,4,40"}),
    Example(
        "POST",
        "/api/node/ROOT/labelblk/raw/0_1_2/32_32_32/0_0_0",
        np.full(BLOCK, 7, np.uint64).tobytes(),
    ),
    Example("DELETE", "/api/node/ROOT/labelblk/blocks/0_0_0/1"),
    _json("/api/node/ROOT/labelvol/merge", [1, 2]),
    Example("POST", "/api/node/ROOT/labelvol/split/1", RUN),
    Example("POST", "/api/node/ROOT/labelvol/split-coarse/1", struct.pack("<BBBBIIiiii", 0, 3, 0, 0, 0, 1, 0, 0, 0, 1)),
    Example("POST", "/api/node/ROOT/labelvol/resync/1"),
    Example("DELETE", "/api/node/ROOT/labelvol/area/1/32_32_32/0_0_0"),
    _json("/api/node/ROOT/labelvol/nextlabel", {"needed": 5}),
    Example("POST", "/api/node/ROOT/labelvol/blobstore", b"content"),
    Example(
        "POST",
        "/api/node/ROOT/labelarray/raw/0_1_2/32_32_32/64_0_0",
        np.full(BLOCK, 7, np.uint64).tobytes(),
    ),
    Example("POST", "/api/node/ROOT/labelarray/blocks", b"BLOCK"),
    Example("POST", "/api/node/ROOT/labelarray/split/1", struct.pack("<BBBBIIiiii", 0, 3, 0, 0, 0, 1, 0, 0, 0, 5)),
    Example(
        "POST", "/api/node/ROOT/labelarray/split-coarse/1", struct.pack("<BBBBIIiiii", 0, 3, 0, 0, 0, 1, 1, 0, 0, 1)
    ),
    _json("/api/node/ROOT/labelarray/nextlabel", {"needed": 5}),
    _json("/api/node/ROOT/labelarray/info", {"VoxelSize": "4,4,40"}),
]
