"""A request to each route that changes something, on the repo that `prepare` makes.

In paths and bodies stand ROOT for the open root of the repo, DONE for the committed root of another, and ONE and TWO for its
committed children, which hold different values of one key. The names of instances are those of their types.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.http.conftest import Client

from dvid.codecs.keyvalues import encode_keyvalues

ADMIN = {"Authorization": "Bearer token-for-tests"}
BLOCK = 32**3


@dataclass(frozen=True, slots=True)
class Example:
    """A request that succeeds."""

    handler: str
    """Module and name of the function that serves the route."""
    path: str
    body: bytes = b""


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
    return {"ROOT": client.root, "DONE": done, "ONE": sides[0], "TWO": sides[1]}


def _json(handler: str, path: str, body: Any) -> Example:
    return Example(handler, path, json.dumps(body).encode())


_PARENTS = ["ONE", "TWO"]
EXAMPLES = [
    _json("http.repositories.post_repos", "/api/repos", {"alias": "again"}),
    Example("http.repositories.delete_repo", "/api/repo/DONE?imsure=true"),
    _json("http.repositories.post_info", "/api/repo/ROOT/info", {"alias": "other"}),
    _json("http.repositories.post_instance", "/api/repo/ROOT/instance", {"typename": "keyvalue", "dataname": "new"}),
    _json("http.repositories.post_rename", "/api/repo/ROOT/instance/roi/rename", {"name": "region"}),
    Example("http.repositories.delete_instance", "/api/repo/ROOT/instance/roi?imsure=true"),
    _json("http.repositories.post_log", "/api/repo/ROOT/log", {"log": ["a line"]}),
    _json("http.repositories.post_merge", "/api/repo/DONE/merge", {"mergeType": "conflict-free", "parents": _PARENTS}),
    _json("http.repositories.post_resolve", "/api/repo/DONE/resolve", {"data": ["kv"], "parents": _PARENTS}),
    _json("http.nodes.post_note", "/api/node/ROOT/note", {"note": "a note"}),
    _json("http.nodes.post_log", "/api/node/ROOT/log", {"log": ["a line"]}),
    _json("http.nodes.post_commit", "/api/node/ROOT/commit", {"note": "done"}),
    _json("http.nodes.post_newversion", "/api/node/DONE/newversion", {"note": "next"}),
    _json("http.nodes.post_branch", "/api/node/DONE/branch", {"branch": "side"}),
    _json("http.nodes.post_tag", "/api/node/DONE/tag", {"tag": "release"}),
    _json("datatypes.common.post_tags", "/api/node/ROOT/keyvalue/tags", {"a": "b"}),
    _json("datatypes.common.post_sync", "/api/node/ROOT/keyvalue/sync", {"sync": "roi"}),
    Example("datatypes.common.post_blob", "/api/node/ROOT/keyvalue/blobstore", b"content"),
    Example("datatypes.keyvalue.routes.post_key", "/api/node/ROOT/keyvalue/key/k", b"value"),
    Example("datatypes.keyvalue.routes.delete_key", "/api/node/ROOT/keyvalue/key/k"),
    Example(
        "datatypes.keyvalue.routes.post_keyvalues",
        "/api/node/ROOT/keyvalue/keyvalues",
        b"".join(encode_keyvalues([("a", b"1"), ("b", b"2")])),
    ),
    _json("datatypes.roi.routes.post_roi", "/api/node/ROOT/roi/roi", [[0, 0, 0, 3]]),
    Example("datatypes.roi.routes.delete_roi", "/api/node/ROOT/roi/roi"),
    _json("datatypes.roi.routes.post_info", "/api/node/ROOT/roi/info", {"BlockSize": "64,64,64"}),
    Example("datatypes.imageblk.raw.post_raw", "/api/node/ROOT/uint8blk/raw/0_1_2/32_32_32/0_0_0", bytes(BLOCK)),
    Example(
        "datatypes.imageblk.raw.post_raw",
        "/api/node/ROOT/uint8blk/raw/0_1_2/3_3_3/5_5_5?unaligned=true",
        b"x" * 27,
    ),
    Example("datatypes.imageblk.blocks.post_blocks", "/api/node/ROOT/uint8blk/blocks/0_0_0/2", b"x" * 2 * BLOCK),
    _json(
        "datatypes.imageblk.routes.post_extents",
        "/api/node/ROOT/uint8blk/extents",
        {"MinPoint": [0, 0, 0], "MaxPoint": [9, 9, 9]},
    ),
    _json("datatypes.imageblk.routes.post_resolution", "/api/node/ROOT/uint8blk/resolution", [4, 4, 40]),
]
