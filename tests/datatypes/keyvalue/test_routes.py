"""Key-values over HTTP."""

from __future__ import annotations

import io
import json
import random
import tarfile

import pytest

from dvid.codecs.keyvalues import KeyRange, decode_keyvalues, encode_keys, encode_keyvalues
from dvid.datatypes.keyvalue import operations
from dvid.versions.envelope import Format
from dvid.versions.layout import DATA, text_key

KEYS = [
    "a", "a/b", "a//b", "/", "a/", "//", ".", "..", "a%b", "%2F", "a b", " ", "a+b", "?", "#", "a?b=c&d", "é", "日本", "😀",
    "\ufffd", '"', "\\", "'", ",", "\0", "a\0", "a\0b", "\1", "a\nb", "\t", "\x7f", "key", "keys", "~", ":", ";", "x" * 400,
]  # fmt: skip
VALUES = [b"", b"\0", b"value", b"\xff" * 3, b"a" * 511, b"b" * 512, b"c" * 100_000, random.Random(3).randbytes(5000)]


def store(client, pairs: dict[str, bytes]) -> None:
    assert client.post("keyvalues", b"".join(encode_keyvalues(pairs.items()))).status == 200


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_any_characters_is_read_listed_and_deleted(client, quote, key: str) -> None:
    store(client, {"before": b"1", "zzz": b"2"})
    path = f"key/{quote(key)}"
    assert client.get(path).status == 404
    assert client.post(path, b'"value"').status == 200
    answer = client.get(path)
    assert (answer.status, answer.body) == (200, b'"value"')
    assert answer.headers["content-type"] == "application/octet-stream"
    assert client.at(client.root, "HEAD", path).status == 200
    expected = sorted({"before", "zzz", key}, key=lambda text: text.encode())
    assert client.get("keys").json == expected
    if "/" not in key:
        assert client.get(f"keyrange/{quote(key)}/{quote(key)}").json == [key]
        assert client.get(f"keyrangevalues/{quote(key)}/{quote(key)}?json=true").json == {key: "value"}
    assert decode_keyvalues(client.get("keyvalues", encode_keys([key])).body) == [(key, b'"value"')]
    assert client.get("keyvalues?json=true", json.dumps([key]).encode()).json == {key: "value"}
    assert client.delete(path).status == 200
    assert client.get(path).status == client.at(client.root, "HEAD", path).status == 404
    assert client.get("keys").json == ["before", "zzz"]


@pytest.mark.parametrize("compression", ["none", "lz4", "gzip", "gzip:9", "snappy", "jpeg:80"])
def test_values_are_read_as_they_were_put_with_every_compression(client, compression: str) -> None:
    client.make("packed", Compression=compression)
    path = f"/api/node/{client.root}/packed"
    for number, value in enumerate(VALUES):
        assert client.send("POST", f"{path}/key/{number}", value).status == 200
    for number, value in enumerate(VALUES):
        answer = client.send("GET", f"{path}/key/{number}")
        assert (answer.status, answer.body) == (200, value)
        head = client.send("HEAD", f"{path}/key/{number}")
        assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(value)))
    expected = [(str(number), value) for number, value in enumerate(VALUES)]
    assert decode_keyvalues(client.send("GET", f"{path}/keyrangevalues/0/9").body) == expected
    assert (
        decode_keyvalues(client.send("GET", f"{path}/keyvalues", encode_keys(k for k, _ in expected)).body) == expected
    )


def test_small_and_incompressible_values_are_stored_as_they_are_and_others_compressed(client) -> None:
    for number, value in enumerate(VALUES):
        client.post(f"key/{number}", value)
    with client.database.view(client.root, "kv") as view:
        stored = [view.get(DATA, text_key(str(number))) for number in range(len(VALUES))]
    forms = [value.format for value in stored if value is not None]
    assert forms == [Format.RAW] * 5 + [Format.LZ4] * 2 + [Format.RAW]


def test_an_empty_value_is_a_value(client) -> None:
    store(client, {"empty": b"", "full": b"1"})
    answer = client.get("key/empty")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")
    assert client.get("keys").json == ["empty", "full"]
    assert client.get("keyrangevalues/a/z?json=true").json == {"empty": {}, "full": 1}
    assert client.get("key/empty", range="bytes=0-0").status == 416


def test_ranges_of_keys_hold_both_ends_and_all_between(client) -> None:
    pairs = {f"k{number:03}": b"%d" % number for number in range(0, 1000, 3)}
    store(client, pairs)
    for first, last in (("k000", "k999"), ("k300", "k300"), ("k301", "k308"), ("a", "k2"), ("k9", "k1"), ("z", "zz")):
        expected = {key: int(value) for key, value in pairs.items() if first <= key <= last}
        assert client.get(f"keyrange/{first}/{last}").json == list(expected)
        path = f"keyrangevalues/{first}/{last}"
        assert client.get(f"{path}?json=true").json == client.get(f"{path}?json=true&check=false").json == expected
        for option in ("", "?protobuf=true"):
            found = decode_keyvalues(client.get(path + option).body)
            assert found == [(key, b"%d" % value) for key, value in expected.items()]
        for option in ("?tar=true", "?jsontar=true"):
            with tarfile.open(fileobj=io.BytesIO(client.get(path + option).body)) as archive:
                found = [(member.name, archive.extractfile(member)) for member in archive]
                assert {name: int(file.read()) for name, file in found if file} == expected


def test_many_values_are_answered_whole(client) -> None:
    """More than fit into one piece of an answer, and more than are looked up at once."""
    pairs = {f"{number:05}": b'"%s"' % (b"%05d" % number * 40) for number in range(5000)}
    store(client, pairs)
    assert decode_keyvalues(client.get("keyrangevalues/0/9").body) == list(pairs.items())
    assert client.get("keyrangevalues/0/9?json=true").json == {key: json.loads(value) for key, value in pairs.items()}
    keys = random.Random(1).choices([*pairs, "absent"], k=4000)
    found = decode_keyvalues(client.get("keyvalues", encode_keys(keys)).body)
    assert found == [(key, pairs.get(key, b"")) for key in keys]


def test_a_batch_answers_in_the_order_asked_with_parts_and_absent_keys(client) -> None:
    store(client, {"a": b'"aaa"', "b": b"12345", "empty": b""})
    answer = client.get(
        "keyvalues", encode_keys(["b", "absent", "a", "empty"], [KeyRange("b", 1, 2), KeyRange("no", 0, 9)])
    )
    assert decode_keyvalues(answer.body) == [
        ("b", b"12345"), ("absent", b""), ("a", b'"aaa"'), ("empty", b""), ("b", b"23"), ("no", b""),
    ]  # fmt: skip
    body = b'["absent", {"key": "b", "byte_start": 0, "byte_end": 1}, {"key": "a"}]'
    assert client.get("keyvalues?json=true", body).json == {"absent": {}, "b": 12, "a": "aaa"}
    with tarfile.open(fileobj=io.BytesIO(client.get("keyvalues?jsontar=true", body).body)) as archive:
        assert archive.getnames() == ["absent", "b", "a"]
    beyond = b'[{"key": "b", "byte_start": 0, "byte_end": 5}]'
    assert client.get("keyvalues?json=true", beyond).status == 400


def test_values_that_are_not_json_are_refused_or_passed_through(client) -> None:
    store(client, {"a": b"1", "binary": b"\0\xff"})
    for path, body in (("keyrangevalues/a/z", b""), ("keyvalues", b'["a", "binary"]')):
        answer = client.get(f"{path}?json=true", body)
        assert (answer.status, b"'binary'" in answer.body) == (400, True)
        assert client.get(f"{path}?json=true&check=false", body).body == b'{"a":1,"binary":\0\xff}'
    assert client.get("keyvalues?json=true", b'["a"]').json == {"a": 1}


@pytest.mark.parametrize(
    ("header", "status", "body", "content_range"),
    [
        ("bytes=1-3", 206, b"123", "bytes 1-3/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-500", 206, b"56789", "bytes 5-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=3-1", 200, b"0123456789", None),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("nonsense", 200, b"0123456789", None),
    ],
)
def test_a_range_header_is_served_refused_or_ignored(client, header, status, body, content_range) -> None:
    client.post("key/a", b"0123456789")
    answer = client.get("key/a", range=header)
    assert (answer.status, answer.headers.get("content-range")) == (status, content_range)
    assert answer.headers["accept-ranges"] == "bytes"
    assert body is None or answer.body == body


@pytest.mark.parametrize(
    ("query", "status", "body"),
    [
        ("byte_start=2&byte_end=4", 200, b"234"),
        ("byte_start=0&byte_end=9", 200, b"0123456789"),
        ("byte_start=0&byte_end=10", 400, None),
        ("byte_start=4&byte_end=3", 400, None),
        ("byte_start=4", 400, None),
        ("byte_end=4", 400, None),
        ("byte_start=-1&byte_end=4", 400, None),
        ("byte_start=x&byte_end=4", 400, None),
        ("byte_start=1&byte_start=2&byte_end=4", 400, None),
        ("byte_start=9999999999999999999999&byte_end=4", 400, None),
        ("no_such_option=1", 400, None),
    ],
)
def test_a_part_is_asked_for_by_both_its_ends(client, query: str, status: int, body: bytes | None) -> None:
    client.post("key/a", b"0123456789")
    answer = client.get(f"key/a?{query}")
    assert answer.status == status
    assert body is None or answer.body == body


def test_a_range_header_and_a_part_exclude_each_other(client) -> None:
    client.post("key/a", b"0123456789")
    assert client.get("key/a?byte_start=1&byte_end=2", range="bytes=1-2").status == 400


def test_keys_that_are_empty_too_long_or_not_utf8_are_refused_everywhere(client, quote) -> None:
    for key, says in (("", b""), ("x" * 401, b"400"), ("é" * 201, b"400"), ("\0" * 400, b"NUL"), ("x" * 5000, b"")):
        for answer in (
            client.post(f"key/{quote(key)}", b"value"),
            client.post("keyvalues", b"".join(encode_keyvalues([("good", b""), (key, b"value")]))),
        ):
            assert 400 <= answer.status < 500
            assert says in answer.body
        assert 400 <= client.get(f"key/{quote(key)}").status < 500
        found = client.get("keyvalues", encode_keys([key]))
        assert found.status == 400 or decode_keyvalues(found.body) == [(key, b"")]
    for path in ("key/%FF", "key/a%C3", "keyrange/%FF/z"):
        assert client.get(path).status == 400
    assert client.post("key/%FF", b"").status == 400
    assert client.get("keys").json == []


@pytest.mark.parametrize("body", [b"\x0a", b"\x0a\x05ab", b"\xff" * 20, b"\x0a\x04\x0a\x02\xff\xfe"])
def test_a_batch_that_is_damaged_changes_nothing(client, body: bytes) -> None:
    assert client.post("keyvalues", b"".join(encode_keyvalues([("a", b"1")])) + body).status == 400
    assert client.get("keys").json == []
    assert client.get("mutations").json == []


def test_every_change_is_in_the_mutation_log_and_nothing_else(client) -> None:
    client.post("key/a?u=anna", b"12345")
    client.delete("key/never")
    client.post("keyvalues", b"")
    store(client, {"b": b"1", "c": b"22"})
    client.delete("key/a")
    fields = ("Action", "Key", "Bytes", "User")
    events = client.get("mutations").json
    assert [tuple(event.get(name) for name in fields) for event in events] == [
        ("postkv", "a", 5, "anna"),
        ("postkv", "b", 1, None),
        ("postkv", "c", 2, None),
        ("delete", "a", None, None),
    ]
    assert len({event["MutationID"] for event in events}) == 3
    assert [event["Key"] for event in client.get("mutations?userid=anna").json] == ["a"]


def test_versions_hold_their_own_values_and_unversioned_instances_one_for_all(client) -> None:
    client.make("flat", versioned="false")
    client.post("key/a", b"root")
    client.post("key/gone", b"root")
    flat = f"/api/node/{client.root}/flat/key/a"
    client.send("POST", flat, b"one")
    assert client.send("POST", f"/api/node/{client.root}/commit", b"{}").status == 200
    assert client.post("key/a", b"late").status == client.delete("key/a").status == 400
    child = client.send("POST", f"/api/node/{client.root}/newversion", b"").json["child"]
    client.at(child, "POST", "key/a", b"child")
    client.at(child, "DELETE", "key/gone")
    assert (client.get("key/a").body, client.at(child, "GET", "key/a").body) == (b"root", b"child")
    assert client.at(child, "GET", "keys").json == ["a"]
    assert client.get("keys").json == ["a", "gone"]
    assert client.send("POST", flat, b"two").status == 200
    assert client.send("GET", f"/api/node/{child}/flat/key/a").body == b"two"


@pytest.mark.parametrize("path", ["key", "keyrange/a", "keyrangevalues/a", "nosuch", "keys/a", "keyvalues/a"])
def test_paths_that_are_none_are_refused(client, path: str) -> None:
    assert 400 <= client.get(path).status < 500


def test_methods_that_are_none_are_refused(client) -> None:
    for method, path in (("PUT", "key/a"), ("DELETE", "keyvalues"), ("DELETE", "keys"), ("POST", "keyrange/a/b")):
        assert 400 <= client.at(client.root, method, path, b"x").status < 500


def test_the_help_tells_of_every_request(client) -> None:
    text = client.get("help").body.decode()
    for path in ("/keys", "/keyrange/", "/keyrangevalues/", "/key/", "/keyvalues", "/mutations", "/tags", "byte_start"):
        assert path in text
    assert client.post("info").json == client.get("info").json


def test_operations_need_no_server(client) -> None:
    database, root = client.database, client.root
    with database.view(root, "kv") as view:
        packed = operations.pack(view.instance, [("a", b"1"), ("b", b"x" * 9999), ("a", b"2")])
    database.edit(root, "kv", lambda edit: operations.put(edit, packed))
    with database.view(root, "kv") as view:
        assert operations.get_many(view, ["b", "no", "a"]) == [b"x" * 9999, None, b"2"]
        assert list(operations.list_keys(view)) == ["a", "b"]
        assert [(key, bytes(value)) for key, value in operations.list_values(view, last="a")] == [("a", b"2")]
    assert database.edit(root, "kv", lambda edit: operations.delete(edit, "a"))
    assert not database.edit(root, "kv", lambda edit: operations.delete(edit, "a"))
