"""Odd requests are the sender's fault, never the server's."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.http.conftest import ADMIN, Client

SETTINGS = settings(max_examples=150)
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X"])
BITS = st.one_of(
    st.sampled_from(
        [
            "",
            ".",
            "..",
            "api",
            "node",
            "repo",
            "repos",
            "info",
            "server",
            "help",
            "key",
            "raw",
            "0_1_2",
            "\0",
            "%",
            "*",
            "blobstore",
            "instance",
            "branch-versions",
            "mutations-range",
            "master",
            "a/b",
            "\ud800",
            "💥",
            "{x}",
            "\r\n",
        ]
    ),
    st.text(max_size=8),
)
RAW = st.lists(st.one_of(BITS.map(lambda text: text.encode(errors="surrogatepass")), st.binary(max_size=8)), max_size=8)


@SETTINGS
@given(method=METHODS, parts=RAW, absolute=st.sampled_from([b"/", b"/api/", b""]))
def test_any_path_is_answered(client: Client, method: str, parts: list[bytes], absolute: bytes) -> None:
    assert client.call(method, absolute + b"/".join(parts))[0] < 500


@SETTINGS
@given(method=METHODS, parts=RAW, typename=st.sampled_from(["repo", "node"]))
def test_any_path_below_a_node_is_answered(client: Client, method: str, parts: list[bytes], typename: str) -> None:
    raw = f"/api/{typename}/{client.root}/".encode() + b"/".join(parts)
    assert client.call(method, raw)[0] < 500


@SETTINGS
@given(
    query=st.one_of(
        st.text(alphabet=st.characters(max_codepoint=255), max_size=40), st.from_regex(r"([a-z]{1,9}=[^&]{0,5}&?){0,4}")
    )
)
def test_any_query_is_answered(client: Client, query: str) -> None:
    query = query.encode(errors="replace").decode("latin-1")
    for path in (b"/api/repos/info", b"/api/user-latencies", f"/api/node/{client.root}/note".encode()):
        assert client.call("GET", path, query)[0] < 500


@SETTINGS
@given(
    headers=st.dictionaries(
        st.sampled_from(
            [
                "accept_encoding",
                "authorization",
                "host",
                "if_none_match",
                "origin",
                "range",
                "transfer_encoding",
                "access_control_request_headers",
                "x_forwarded_for",
                "sec_fetch_site",
                "content_encoding",
                "expect",
            ]
        ),
        st.text(alphabet=st.characters(max_codepoint=255), max_size=30),
    ),
    method=METHODS,
)
def test_any_headers_are_answered(client: Client, headers: dict[str, str], method: str) -> None:
    assert client.call(method, f"/api/repo/{client.root}/info".encode(), **headers)[0] < 500


@SETTINGS
@given(
    body=st.one_of(
        st.binary(max_size=40), st.sampled_from([b"[" * 100_000, b"1e999", b'{"log": "\xff"}', b'{"a":', b"null"])
    )
)
@pytest.mark.parametrize(
    "path", ["repo/{}/info", "repo/{}/log", "repo/{}/instance", "node/{}/note", "node/{}/tag", "repo/{}/merge"]
)
def test_any_body_is_answered(client: Client, path: str, body: bytes) -> None:
    assert client.call("POST", f"/api/{path.format(client.root)}".encode(), body=body)[0] < 500


@pytest.mark.parametrize(
    "raw",
    [
        b"/api/node/%s/x",
        b"/api/\0",
        b"/api/\xff\xfe",
        b"/api/heartbeat\r\nx",
        b"/api/node//info",
        b"//api/heartbeat",
        b"/api//heartbeat",
        b"/api/../api/heartbeat",
        b"/api/repo/" + b"a" * 60_000,
        b"/api/server/blobstore/" + b"a" * 5_000,
        "/api/server/blobstore/\u00fc".encode(),
    ],
)
def test_a_bad_path_is_refused(client: Client, raw: bytes) -> None:
    assert 400 <= client.call("GET", raw)[0] < 500


def test_a_name_is_not_read_as_a_pattern(client: Client) -> None:
    for name in ("..", ".", "a/b", "{name}", "\x7f"):
        body = {"typename": "keyvalue", "dataname": name}
        made = client.simulate_post(f"/api/repo/{client.root}/instance", json=body, headers=ADMIN)
        assert made.status_code in (200, 400)
        answer = client.simulate_get(f"/api/node/{client.root}/{quote(name, safe='')}/info")
        assert answer.status_code < 500
