"""Requests made from the declarations of the routes: right ones, nearly right ones and nonsense."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import lz4.block
from hypothesis import strategies as st

from dvid.codecs.keyvalues import encode_keys, encode_keyvalues
from dvid.routes import Argument, Route

BIG = 2**31
NUMBERS = [0, 1, -1, 2, 16, 31, 32, 33, 64, -32, 255, 4096, BIG - 1, BIG, -BIG, -BIG - 1, 2**63, 10**30, -(10**30)]
WORDS = [
    "",
    "0",
    "-1",
    "1.5",
    "1e3",
    "NaN",
    "inf",
    "-Infinity",
    "1e309",
    "0x10",
    "+1",
    " 1",
    "1 ",
    "\u0661\u0662",
    "9" * 5000,
    "1_2",
    "1_2_3_4",
    "a_b_c",
    "1__2",
    "_",
    "0.5_0.5_0.5",
    "xy",
    "xz",
    "0_1",
    "0_1_2",
    "2_1_0",
    "0_1_2_3",
    "png",
    "jpg",
    "jpg:80",
    "jpg:0",
    "jpg:101",
    "jpg:" + "9" * 30,
    "octet-stream",
    "lz4",
    "gzip",
    "snappy",
    "true",
    "false",
    "on",
    "maybe",
    "null",
    "[]",
    "{}",
    "a_roi",
    "a_uint8blk",
    "nosuch",
    "master",
    ":master",
    ":",
    "::",
    ":master~1",
    ":master~99999999999999999999",
    "~",
    "..",
    ".",
    "../../etc/passwd",
    "a/b",
    "/",
    "\\",
    "%",
    "%zz",
    "\0",
    "\n",
    "\r\nX: y",
    "\x7f",
    "\u2028",
    "\ufffd",
    "\U0001f9e0",
    "<script>alert(1)</script>",
    "' OR 1=1 --",
    "key1",
    "x" * 401,
    "x" * 5000,
    "cover",
]
RAW = ["%", "%zz", "%00", "%ff%fe", "%c3%28", "%ed%a0%80", "%2e%2e%2f", "//", "?", "&", "=", ";", "+", "%2F", "{}", "*"]
"""Parts of a target that are not properly quoted."""
HEADERS = {
    "Range": ["bytes=0-1", "bytes=-1", "bytes=5-2", "bytes=0-1,3-4", "bytes=" + "9" * 40 + "-", "x", "bytes=a-b", ""],
    "If-None-Match": ["*", '"x"', "W/", '"', "x" * 5000],
    "Accept-Encoding": ["gzip", "gzip;q=0", "gzip;q=x", "*;q=1", ";;,,", "gzip;q=" + "9" * 400],
    "Content-Type": ["application/json", "x", "", "text/plain; charset=nosuch", "multipart/form-data"],
    "Content-Encoding": ["gzip", "nosuch"],
    "Authorization": ["Bearer", "Bearer ", "Basic x", "Bearer \u00e9", "x"],
    "Origin": ["null", "http://", "http://[", "https://evil.example"],
    "Accept": ["application/json", "x/y;q=z"],
}
_FIELD = re.compile(r'"(\w+)"')


@dataclass(frozen=True, slots=True)
class Request:
    """A request; in its target stand {root}, {child} and {name} for what the repo under test has."""

    method: str
    target: str
    body: bytes
    headers: tuple[tuple[str, str], ...]
    admin: bool


def quoted(text: str) -> str:
    """Text as a part of a target; braces stay what they are in templates."""
    return quote(text.encode(errors="surrogatepass"), safe="").replace("{", "%7B").replace("}", "%7D")


numbers = st.one_of(st.sampled_from(NUMBERS), st.integers(-(10**3), 10**3), st.integers())
triples = st.one_of(
    st.sampled_from(["0_0_0", "32_32_32", "-32_0_32", "64_32_96", "1_1_1", "100_100_1"]),
    st.lists(numbers, min_size=2, max_size=4).map(lambda values: "_".join(map(str, values))),
)
odd = st.one_of(st.sampled_from(WORDS), triples, numbers.map(str), st.floats().map(str), st.text(max_size=20)).map(
    quoted
)
unquoted = st.sampled_from(RAW)


_MORE_EXAMPLES = {
    "dims": ["xy", "xz", "yz", "0_1"],
    "size": ["32_32_32", "32_32", "64_32_32", "33_7_5", "500_500"],
    "offset": ["-7_5_11", "32_0_-32"],
    "format": ["png", "jpg", "jpg:50", "octet-stream"],
    "count": ["1", "2"],
    "start": ["0_0_0", "-1_0_2"],
    "key": ["key1", "key2"],
    "first": ["", "key1"],
    "compression": ["lz4", "gzip", "jpeg", "uncompressed"],
    "roi": ["a_roi"],
    "blocks": ["0,0,0", "0,0,0,1,1,1"],
    "unaligned": ["true"],
    "mutate": ["true"],
    "json": ["true"],
    "tar": ["true"],
    "optimized": ["cover", "true"],
    "imsure": ["true"],
}


def _right(argument: Argument) -> st.SearchStrategy[str]:
    found = [argument.example] if argument.example else []
    found += _MORE_EXAMPLES.get(argument.name, [])
    found += [str(value) for value in argument.schema.get("enum", ())]
    if argument.schema.get("type") == "boolean":
        found += ["true", "false"]
    if "_" in argument.example:
        return st.one_of(st.sampled_from(found), triples)
    if argument.schema.get("type") == "integer" or re.fullmatch(r"-?\d+", argument.example):
        return st.one_of(st.sampled_from(found or ["1"]), numbers.map(str))
    return st.sampled_from(found or ["x"]).map(quoted)


def text_of(argument: Argument, *, right: bool) -> st.SearchStrategy[str]:
    """The text of an argument."""
    good = _right(argument)
    if argument.name in ("node", "begin", "end"):
        good = st.sampled_from(["{child}", "{child}", "{root}", "{root}:master", "{half}"])
    return good if right else st.one_of(good, odd, unquoted, st.just("{root}:nosuch"))


plain = st.one_of(st.none(), st.booleans(), numbers, st.floats(), st.sampled_from(WORDS), st.text(max_size=8))
anything = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(WORDS), st.text(max_size=5)), inner, max_size=4),
    ),
    max_leaves=8,
)
BROKEN_JSON = [
    b"",
    b" ",
    b"{",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"[[" * 3 + b"]]" * 2,
    b"nul",
    b"NaN",
    b"Infinity",
    b"-",
    b"1" * 200_000,
    b"1e400",
    b"-1e400",
    b"[1e400]",
    b'"\xff\xfe"',
    b'{"\xc3\x28": 1}',
    b'"\\ud800"',
    b'{"\\ud800": "\\udfff"}',
    b'{"name": "a", "name": "b"}',
    b"\xef\xbb\xbf{}",
    b"{}x",
    b"{} {}",
    b"\x00",
    b'"' + b"a" * 500_000 + b'"',
    b"[" + b"0," * 200_000 + b"0]",
    b"[" + b"[]," * 100_000 + b"[]]",
    b"[[0,0,0,0]," * 1000 + b"]",
    '"\U0001f9e0'.encode("utf-16"),
]


def _json_text(value: Any) -> bytes:
    return json.dumps(value).encode(errors="surrogatepass")


@st.composite
def json_bodies(draw: Any, about: str) -> bytes:
    """JSON, with the fields that a description of a body names."""
    if draw(st.integers(0, 3)) == 0:
        return bytes(draw(st.sampled_from(BROKEN_JSON)))
    names = list(dict.fromkeys(_FIELD.findall(about)))
    if not names or draw(st.integers(0, 3)) == 0:
        return _json_text(draw(anything))
    good = st.sampled_from(
        ["a", "uint8blk", "keyvalue", "roi", "labelmap", "conflict-free", "lz4", "jpeg:50", "32,32,32", "1,2", "true"]
    )
    lists = st.lists(st.one_of(numbers, good, plain), max_size=4)
    triple = st.lists(numbers, min_size=3, max_size=3)
    value = st.one_of(good, good, lists, triple, anything)
    extra = ["BlockSize", "VoxelSize", "VoxelUnits", "Background", "versioned", "Tags", "nosuch"]
    fields = draw(st.lists(st.sampled_from(names * 3 + extra), max_size=6, unique=True))
    return _json_text({name: draw(value) for name in fields})


@st.composite
def binary_bodies(draw: Any) -> bytes:
    """Voxels, key-values, compressed data; whole, cut, or no such thing."""
    edge = draw(st.sampled_from([1, 16, 32, 33, 64]))
    voxels = bytes([draw(st.integers(0, 255))]) * edge**3
    made: bytes = draw(
        st.sampled_from(
            [
                voxels,
                voxels * 2,
                gzip.compress(voxels),
                lz4.block.compress(voxels, store_size=False),
                lz4.block.compress(voxels),
                b"".join(encode_keyvalues([("a", b"1"), ("b", b""), ("a", b"2")])),
                b"".join(encode_keyvalues([("", b"1")])),
                b"".join(encode_keyvalues([("x" * 500, b"1")])),
                encode_keys(["key1", "nosuch", ""]),
                b"",
                b"\xff" * 50,
                b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
            ]
        )
    )
    cut = draw(st.integers(0, 5))
    if cut == 0:
        made = made[: draw(st.integers(0, len(made)))]
    elif cut == 1:
        made += draw(st.binary(min_size=1, max_size=8))
    elif cut == 2 and made:
        at = draw(st.integers(0, len(made) - 1))
        made = made[:at] + bytes([made[at] ^ draw(st.integers(1, 255))]) + made[at + 1 :]
    return made if draw(st.integers(0, 6)) else draw(st.binary(max_size=60))


@st.composite
def requests_to(draw: Any, route: Route, prefix: str, arguments: tuple[Argument, ...]) -> Request:
    """A request to a route."""
    path = draw(st.sampled_from(list(route.expanded())))
    right = draw(st.integers(0, 2)) > 0  # else one part or another may be wrong
    known = {argument.name: argument for argument in (*arguments, *route.arguments)}

    def fill(found: re.Match[str]) -> str:
        name = found[1]
        if name == "name" and name in {argument.name for argument in arguments}:
            return "{name}" if right else str(draw(st.one_of(st.just("{name}"), odd)))
        return str(draw(text_of(known.get(name) or Argument(name, ""), right=right)))

    target = re.sub(r"\{(\w+)(?::path)?\}", fill, prefix + path)
    options = [f"{option.name}={draw(text_of(option, right=right))}" for option in route.options if draw(st.booleans())]
    more = st.one_of(
        st.sampled_from(["u=someone", "u=", "app=x", "throttle=maybe", "throttle=on", "admintoken=wrong", "u=a&u=b"]),
        st.sampled_from(["nosuch=1", "&&&", "=", "a&b", "%00=%00", "roi=a_roi", "roi=nosuch", "roi={name}"]),
        st.builds("{}={}".format, odd, odd),
    )
    if not right:
        options += draw(st.lists(more, max_size=1))
    if options:
        target += "?" + "&".join(options)
    body = b""
    if route.body or draw(st.integers(0, 9)) == 0:
        body = draw(json_bodies(route.body) if "JSON" in route.body else binary_bodies())
    names = draw(st.lists(st.sampled_from(sorted(HEADERS)), max_size=1))
    headers = tuple((name, draw(st.sampled_from(HEADERS[name]))) for name in names)
    others = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "NOSUCH"]
    method = route.method if right or draw(st.integers(0, 4)) else draw(st.sampled_from(others))
    return Request(method, target, body, headers, draw(st.booleans()))
