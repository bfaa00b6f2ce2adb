"""Bodies that unpack to more than is allowed, and JSON and messages made to be costly."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import lz4.block
import pytest
from tests.robustness.conftest import ADMIN, MIB, Place
from tests.robustness.requests import BROKEN_JSON

SPARE = 64 * MIB
"""What a request of at most 1 MiB may take for a moment, with answers of at most 4 MiB."""


def gzip_bomb(size: int) -> bytes:
    """So many zeros, packed twice as tightly as once."""
    return gzip.compress(bytes(size), 9)


def lz4_bomb(size: int) -> bytes:
    packed: bytes = lz4.block.compress(bytes(size), store_size=False)
    return packed


BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "gzip of 900 MiB for a small box": ("32_32_32/0_0_0?compression=gzip", lambda: gzip_bomb(900 * MIB)),
    "gzip of 16 MiB for a box of 16 MiB": ("256_256_256/0_0_0?compression=gzip", lambda: gzip_bomb(16 * MIB)),
    "gzip, one byte short": ("32_32_32/0_0_0?compression=gzip", lambda: gzip_bomb(32**3 - 1)),
    "gzip, one byte more": ("32_32_32/0_0_0?compression=gzip", lambda: gzip_bomb(32**3 + 1)),
    "gzip, cut": ("32_32_32/0_0_0?compression=gzip", lambda: gzip_bomb(32**3)[:-9]),
    "gzip, with a wrong checksum": ("32_32_32/0_0_0?compression=gzip", lambda: gzip_bomb(32**3)[:-8] + bytes(8)),
    "gzip, with more behind it": ("32_32_32/0_0_0?compression=gzip", lambda: gzip_bomb(32**3) + b"more"),
    "many gzip members": ("32_32_32/0_0_0?compression=gzip", lambda: gzip_bomb(1) * 40_000),
    "many empty gzip members": ("32_32_32/0_0_0?compression=gzip", lambda: gzip.compress(b"") * 40_000),
    "no gzip": ("32_32_32/0_0_0?compression=gzip", lambda: bytes(1000)),
    "lz4 of 200 MiB for a small box": ("32_32_32/0_0_0?compression=lz4", lambda: lz4_bomb(200 * MIB)),
    "lz4 of 16 MiB for a box of 16 MiB": ("256_256_256/0_0_0?compression=lz4", lambda: lz4_bomb(16 * MIB)),
    "lz4, one byte short": ("32_32_32/0_0_0?compression=lz4", lambda: lz4_bomb(32**3 - 1)),
    "lz4, one byte more": ("32_32_32/0_0_0?compression=lz4", lambda: lz4_bomb(32**3 + 1)),
    "lz4, cut": ("32_32_32/0_0_0?compression=lz4", lambda: lz4_bomb(32**3)[:-3]),
    "lz4, with an offset before its beginning": (
        "32_32_32/0_0_0?compression=lz4",
        lambda: b"\x10a\xff\xff" + bytes(60),
    ),
    "no lz4": ("32_32_32/0_0_0?compression=lz4", lambda: b"\xff" * 1000),
    "nothing": ("32_32_32/0_0_0", lambda: b""),
    "a box beyond the space": ("32_32_32/2147483616_0_0", lambda: bytes(32**3)),
    "a box of 2^93 voxels": ("2147483647_2147483647_2147483647/0_0_0?unaligned=true", lambda: bytes(1000)),
    "a box without voxels": ("0_32_32/0_0_0", lambda: b""),
    "a box of negative size": ("-32_32_32/0_0_0", lambda: b""),
    "a thin box through very many blocks": ("1_1_1000000/0_0_0?unaligned=true", lambda: bytes(1_000_000)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bad_voxels_are_refused_without_much_memory(place: Place, name: str) -> None:
    where, make = BOMBS[name]
    body = make()
    path = f"/api/node/{place.child}/a_uint8blk/raw/0_1_2/{where}"
    place.client.call("POST", path, body)
    before, memory = place.store.state(), place.forget_memory()
    answer = place.client.call("POST", path, body)
    assert 400 <= answer.status < 500, answer
    place.check(answer, name, before, changes=True)
    assert place.memory() - memory < SPARE


GREEDY = [
    "{gray}/raw/0_1_2/1000_1000_1000/0_0_0",
    "{gray}/raw/0_1_2/2147483647_2147483647_2147483647/-2147483648_-2147483648_-2147483648",
    "{gray}/raw/xy/100000_100000/0_0_0/png",
    "{gray}/raw/xy/16000_16000/0_0_0/png",
    "{gray}/raw/xz/2147483647_1/0_0_0/jpg",
    "{gray}/isotropic/xz/16000_16000/0_0_0/png",
    "{gray}/isotropic/xz/2147483647_2147483647/0_0_0/png",
    "{gray}/arb/0_0_0/1e9_0_0/0_1e9_0/0.001",
    "{gray}/arb/0_0_0/160000_0_0/0_160000_0/8",
    "{gray}/arb/0_0_0/1e14_0_0/0_1e14_0/1e-14",
    "{gray}/arb/0_0_0/1e-14_0_0/0_1e-14_0/1e14",
    "{gray}/blocks/0_0_0/2147483647",
    "{gray}/blocks/2147483647_2147483647_2147483647/10",
    "{gray}/subvolblocks/4096_4096_4096/0_0_0",
    "{gray}/subvolblocks/2147483616_2147483616_2147483616/0_0_0",
    "{gray}/specificblocks?blocks=" + ",".join(["0,0,0"] * 1000),
    "{gray}/raw/0_1_2/164_164_164/0_0_0?roi=a_roi",
    "{gray}/raw/0_1_2/1000_1000_1000/0_0_0/jpg",
    "{roi}/mask/0_1_2/2147483647_2147483647_2147483647/0_0_0",
    "{roi}/mask/0_1_2/1000_1000_1000/-5_-5_-5",
]


@pytest.mark.parametrize("path", GREEDY)
def test_too_large_an_answer_is_refused_before_memory_is_taken(place: Place, path: str) -> None:
    node = f"/api/node/{place.root}"
    path = path.format(gray=f"{node}/a_uint8blk", roi=f"{node}/a_roi")
    place.client.call("GET", path)
    memory = place.forget_memory()
    answer = place.client.call("GET", path)
    assert 400 <= answer.status < 500, (answer.status, answer.headers)
    assert place.memory() - memory < SPARE


def json_paths(place: Place) -> list[tuple[str, str]]:
    """All POSTs that take JSON."""
    repo, node = f"/api/repo/{place.root}", f"/api/node/{place.child}"
    return [
        *(("POST", f"{repo}/{name}") for name in ("info", "instance", "log", "merge", "resolve")),
        ("POST", f"{repo}/instance/a_roi/rename"),
        *(("POST", f"{node}/{name}") for name in ("note", "log", "commit", "newversion", "branch", "tag")),
        *(("POST", f"{node}/a_uint8blk/{name}") for name in ("tags", "sync", "extents", "resolution")),
        *(("POST", f"{node}/a_roi/{name}") for name in ("roi", "ptquery", "info")),
        ("POST", "/api/repos"),
        ("POST", "/api/server/settings"),
        ("GET", f"{node}/a_keyvalue/keyvalues?json=true"),
        ("GET", f"{node}/a_keyvalue/keyvalues?tar=true"),
    ]


ALLOWED = [b"", b" ", b"\xef\xbb\xbf{}", b'{"name": "a", "name": "b"}']
"""Some take these: nothing as {}, of two fields with one name the last."""


@pytest.mark.parametrize(
    "body", [body for body in BROKEN_JSON if body not in ALLOWED], ids=lambda body: repr(body[:12])
)
def test_broken_json_is_refused(place: Place, body: bytes) -> None:
    for method, path in json_paths(place):
        before = place.store.state()
        memory = place.forget_memory()
        answer = place.client.call(method, path, body, ADMIN)
        if answer.status == 200:  # lists that are proper JSON and no nonsense where lists are taken
            assert "ptquery" in path or "roi" in path or "keyvalues" in path, (path, answer)
            assert json.loads(body) is not None
            place.spoil()
            place.prepare()
            continue
        assert 400 <= answer.status < 500, (path, answer)
        place.check(answer, path, before, changes=True)
        assert place.memory() - memory < SPARE, path


WRONG_TYPES: list[Any] = [
    None,
    True,
    1,
    -1.5,
    "text",
    [],
    [1],
    [[]],
    {"log": "no list"},
    {"log": [1]},
    {"log": None},
    {"note": 1},
    {"note": {}},
    {"alias": []},
    {"uuid": 5},
    {"uuid": "no uuid"},
    {"uuid": "A" * 32},
    {"branch": 5},
    {"branch": ""},
    {"branch": "a:b"},
    {"branch": "x" * 10_000},
    {"tag": "a/b"},
    {"tag": "\0"},
    {"tag": ["x"]},
    {"typename": "nosuch", "dataname": "x"},
    {"typename": "uint8blk"},
    {"typename": "uint8blk", "dataname": ""},
    {"typename": "uint8blk", "dataname": "a/b"},
    {"typename": "uint8blk", "dataname": 5.5, "nosuch": 1},
    {"typename": "uint8blk", "dataname": "x", "BlockSize": "0,32,32"},
    {"typename": "uint8blk", "dataname": "x", "BlockSize": "-1,-1,-1"},
    {"typename": "uint8blk", "dataname": "x", "BlockSize": "100000,100000,100000"},
    {"typename": "uint8blk", "dataname": "x", "BlockSize": "1e308,1,1"},
    {"typename": "uint8blk", "dataname": "x", "BlockSize": "nan,1,1"},
    {"typename": "uint8blk", "dataname": "x", "BlockSize": [[1]]},
    {"typename": "uint8blk", "dataname": "x", "VoxelSize": "inf,1,1"},
    {"typename": "uint8blk", "dataname": "x", "VoxelSize": "0,0,0"},
    {"typename": "uint8blk", "dataname": "x", "Background": 256},
    {"typename": "uint8blk", "dataname": "x", "Background": 10**400},
    {"typename": "uint8blk", "dataname": "x", "Compression": "lz4:99999999999999999999"},
    {"typename": "uint8blk", "dataname": "x", "Compression": "jpeg:-1"},
    {"typename": "uint8blk", "dataname": "x", "versioned": "maybe"},
    {"typename": "uint8blk", "dataname": "x", "Tags": "novalue"},
    {"typename": "uint8blk", "dataname": "x" * 100_000},
    {"mergeType": "conflict-free", "parents": []},
    {"mergeType": "conflict-free", "parents": ["nosuch", "nosuch"]},
    {"mergeType": "conflict-free", "parents": "x"},
    {"mergeType": {}, "parents": []},
    {"data": ["nosuch"], "parents": ["x"]},
    {"sync": 5},
    {"sync": "nosuch"},
    {"tag1": 5},
    {"MinPoint": [0, 0, 0]},
    {"MinPoint": [0, 0, 0], "MaxPoint": [-1, 0, 0]},
    {"MinPoint": [0, 0, 0], "MaxPoint": [2**31, 0, 0]},
    {"MinPoint": [0, 0, 0], "MaxPoint": [10**30, 0, 0]},
    {"MinPoint": [0.5, 0, 0], "MaxPoint": [1, 1, 1]},
    {"MinPoint": [True, 0, 0], "MaxPoint": [1, 1, 1]},
    [0, 0, 0],
    [-1, 1, 1],
    [1, 1],
    [1, 1, 1, 1],
    ["8", "8", "8"],
    [10**400, 1, 1],
    [[0, 0, 0]],
    [[0, 0, 1, 0]],
    [[0, 0, 0, 2**31]],
    [[0, 0, 0, 1.5]],
    [[0, 0, 0, "1"]],
    [[0, 0, 0, None]],
    [{"key": "a", "byte_start": 5, "byte_end": 1}],
    [{"key": "key1", "byte_start": 0, "byte_end": 2**70}],
    [{"key": 5}],
    {"throttle": 10**30},
]


def test_json_of_a_wrong_kind_is_refused(place: Place) -> None:
    refused = 0
    for value in WRONG_TYPES:
        for method, path in json_paths(place):
            before = place.store.state()
            answer = place.client.call(method, path, json.dumps(value).encode(), ADMIN)
            assert answer.status < 500, (path, value, answer)
            place.check(answer, f"{path} {str(value)[:100]}", before, changes=method == "POST")
            if answer.status != 200:
                refused += 1
            elif method == "POST":
                place.spoil()
                place.prepare()
                break  # the paths name nodes of the old repo
    assert refused > len(WRONG_TYPES) * 5


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a\x00" * 500_000,
        b"\x0a\x05\x0a\x01a\x12\x00" * 140_000,
        b"\x0a" * 1_000_000,
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x08\x96\x01",
        b"\x0b" * 10_000 + b"\x0c" * 10_000,
    ],
    ids=["empty pairs", "one key often", "tags", "an enormous length", "another message", "groups in groups"],
)
def test_messages_made_to_be_costly_are_bounded(place: Place, body: bytes) -> None:
    path = f"/api/node/{place.child}/a_keyvalue/keyvalues"
    for method in ("GET", "POST"):
        before, memory = place.store.state(), place.forget_memory()
        answer = place.client.call(method, path, body)
        place.check(answer, method, before, changes=method == "POST")
        assert place.memory() - memory < 3 * SPARE
