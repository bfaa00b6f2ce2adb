"""What holds for all requests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.http.conftest import ADMIN, Client, MakeClient

PAGE = {"Origin": "https://neuroglancer.example"}


def test_head_answers_what_get_would_without_the_body(client: Client) -> None:
    get, head = client.simulate_get("/api/server/info"), client.simulate_head("/api/server/info")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]
    assert int(head.headers["content-length"]) == len(get.content)


def test_options_tells_the_methods(client: Client) -> None:
    answer = client.simulate_options("/api/repos")
    assert answer.status_code == 204
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize(
    "path", ["/api/heartbeat", "/api/nosuch", "/nosuch", "/api/node/nosuch/x/y", "/api/server/config"]
)
def test_every_answer_can_be_read_by_the_pages_that_may(client_of: MakeClient, path: str) -> None:
    answer = client_of(**{"server.corsDomains": ["neuroglancer.example"]}).simulate_get(path, headers=PAGE)
    assert answer.headers["access-control-allow-origin"] == PAGE["Origin"]
    assert "access-control-allow-origin" not in client_of().simulate_get(path, headers=PAGE).headers


def test_an_error_is_one_line_of_text(client: Client) -> None:
    answer = client.simulate_get("/api/nosuch")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.count("\n") == 1
    assert "/nosuch" in answer.text


def test_a_wrong_method_is_told(client: Client) -> None:
    assert client.simulate_delete("/api/heartbeat").status_code == 405
    assert client.call("PROPFIND", b"/api/heartbeat")[0] == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/repos"),
        ("GET", "/api/server/config"),
        ("GET", "/api/storage"),
        ("POST", "/api/server/settings"),
        ("POST", "/api/server/reload-auth"),
        ("POST", "/api/server/reload-blocklist"),
        ("DELETE", "/api/repo/{root}?imsure=true"),
        ("DELETE", "/api/repo/{root}/instance/x?imsure=true"),
    ],
)
def test_what_needs_admin_rights_is_refused_without_them(client: Client, method: str, path: str) -> None:
    path, _, query = path.format(root=client.root).partition("?")
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = client.simulate_request(method, path, query_string=query, headers=headers, json={})
        assert answer.status_code == 403, answer.text
    assert client.simulate_get(f"/api/repo/{client.root}/info").status_code == 200


def test_a_wrong_token_is_no_error_where_no_rights_are_needed(client: Client) -> None:
    assert client.simulate_get("/api/heartbeat", params={"admintoken": "wrong"}).status_code == 200
    assert client.simulate_get("/api/heartbeat", headers={"Authorization": "Bearer wrong"}).status_code == 200


def test_the_token_is_in_no_answer(client: Client) -> None:
    for path in ("/api/server/config", "/api/server/info", "/api/help", "/metrics"):
        assert ADMIN["Authorization"].split()[1] not in client.simulate_get(path, headers=ADMIN).text


def test_the_settings_in_force_are_toml(client: Client) -> None:
    import tomllib

    answer = client.simulate_get("/api/server/config", headers=ADMIN)
    assert tomllib.loads(answer.text)["limits"]["heavyRequests"] == 1


@pytest.mark.parametrize(
    "foreign",
    [{"HTTP_ORIGIN": PAGE["Origin"]}, {"HTTP_HOST": "evil.example:8000"}, {"HTTP_SEC_FETCH_SITE": "cross-site"}],
)
def test_a_foreign_page_writes_nothing_to_a_server_on_loopback(client_of: MakeClient, foreign: dict[str, str]) -> None:
    client = client_of(token=None)
    path, body = f"/api/repo/{client.root}/info".encode(), b'{"alias": "changed"}'
    before = client.call("GET", path)
    for method, where in (("POST", path), ("POST", b"/api/repos"), ("DELETE", path.replace(b"/info", b""))):
        assert client.call(method, where, "imsure=true", body, **foreign)[0] == 403
    assert client.call("GET", path) == before
    assert client.call("POST", path, body=body)[0] == 200


def test_a_read_only_server_refuses_every_write(tmp_path: Any, client_of: MakeClient) -> None:
    client = client_of(**{"server.readOnly": True})
    for method, path in (("POST", "/api/repos"), ("POST", "/api/repo/x/log"), ("DELETE", "/api/repo/x")):
        assert client.simulate_request(method, path, headers=ADMIN, json={}).status_code == 403
    assert client.simulate_get("/api/server/info").json["Mode"] == "read only"


class Source:
    """A request's body: pieces that are made when they are asked for."""

    def __init__(self, error: Exception | None = None) -> None:
        self.given, self._error = 0, error

    def read(self, size: int) -> bytes:
        if self._error is not None:
            raise self._error
        self.given += size
        return b" " * size


def test_a_body_over_the_limit_is_refused_before_it_is_read(client_of: MakeClient) -> None:
    client, source = client_of(**{"limits.bodyBytes": "1 KiB"}), Source()
    path = f"/api/repo/{client.root}/log".encode()
    status, _, text = client.call("POST", path, body=source, CONTENT_LENGTH="1025")
    assert (status, source.given) == (413, 0)
    assert b"limits.bodyBytes" in text


def test_a_chunked_body_over_the_limit_is_not_read_to_its_end(client_of: MakeClient) -> None:
    client, source = client_of(**{"limits.bodyBytes": "1 MiB"}), Source()
    path = f"/api/repo/{client.root}/log".encode()
    assert client.call("POST", path, body=source, HTTP_TRANSFER_ENCODING="chunked")[0] == 413
    assert source.given < 3 << 20


def test_a_body_shorter_than_announced_changes_nothing(client: Client) -> None:
    path = f"/api/repo/{client.root}/log".encode()
    status, _, text = client.call("POST", path, body=b'{"log": ["a"]}', CONTENT_LENGTH="15")
    assert status == 400
    assert b"ends after 14 bytes" in text
    assert client.simulate_get(path.decode()).json == {"log": []}


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "99999999999999999999999"])
def test_a_strange_content_length_is_refused(client: Client, length: str) -> None:
    status, _, _ = client.call("POST", f"/api/repo/{client.root}/log".encode(), body=Source(), CONTENT_LENGTH=length)
    assert status in (400, 413)


def test_a_value_in_chunks_needs_its_length(client: Client) -> None:
    path = client.make_instance("keyvalue", "kv") + "/key/a"
    assert client.call("POST", path.encode(), body=b"abc", HTTP_TRANSFER_ENCODING="chunked")[0] == 411
    assert client.simulate_get(path).status_code == 404


def test_json_may_come_in_chunks(client: Client) -> None:
    path = f"/api/repo/{client.root}/log"
    body = b'{"log": ["a"]}'
    assert client.call("POST", path.encode(), body=body, HTTP_TRANSFER_ENCODING="chunked")[0] == 200
    assert client.call("POST", path.encode(), body=body[:-1], HTTP_TRANSFER_ENCODING="chunked")[0] == 400
    assert len(client.simulate_get(path).json["log"]) == 1


def test_heavy_requests_find_their_places_taken(client: Client) -> None:
    path = client.make_instance("uint8blk", "gray") + "/raw/0_1_2/32_32_32/0_0_0"
    board = client.app.service.board
    assert client.simulate_get(path, params={"throttle": "true"}).status_code == 200
    place = board.take_place()
    try:
        for word in ("true", "on"):
            answer = client.simulate_get(path, params={"throttle": word})
            assert answer.status_code == 503
            assert "limits.heavyRequests" in answer.text
            assert answer.headers["retry-after"] == "1"
        assert client.simulate_get(path).status_code == 200
        assert client.simulate_get(path, params={"throttle": "off"}).status_code == 200
        assert client.simulate_post("/api/server/settings", headers=ADMIN, json={"throttle": "2"}).status_code == 200
        for _ in range(3):
            assert client.simulate_get(path, params={"throttle": "true"}).status_code == 200
    finally:
        board.leave_place(place)


def test_a_heavy_request_that_fails_gives_its_place_back(client: Client) -> None:
    path = client.make_instance("uint8blk", "gray") + "/raw/0_1_2/32_32_32/0_0_0"
    for _ in range(2):
        assert client.simulate_get(path, params={"throttle": "true", "compression": "nosuch"}).status_code == 400
    assert client.simulate_get(path, params={"throttle": "true"}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"throttle": 0},
        {"throttle": "many"},
        {"throttle": True},
        {"throttle": 1.5},
        {"nosuch": 1},
        {"throttle": "9" * 5000},
    ],
)
def test_a_bad_setting_changes_nothing(client: Client, body: dict[str, Any]) -> None:
    assert client.simulate_post("/api/server/settings", headers=ADMIN, json=body).status_code == 400
    assert client.app.service.board.places == 1


@pytest.mark.parametrize("name", ["with space", "mit Umlaut ü", "日本", "a+b", "semi;colon", "a=b&c", "~"])
def test_names_with_odd_characters_work(client: Client, name: str) -> None:
    from urllib.parse import quote

    client.make_instance("keyvalue", name)
    path = f"/api/node/{client.root}/{quote(name)}"
    assert client.simulate_get(f"{path}/info").json["Base"]["Name"] == name
    assert client.simulate_post(f"{path}/key/{quote('ein Schlüssel')}", body=b"x").status_code == 200
    assert client.simulate_get(f"{path}/keys").json == ["ein Schlüssel"]


def test_json_is_compressed_where_it_is_taken(client: Client) -> None:
    import gzip

    plain = client.simulate_get("/api/openapi.json")
    packed = client.simulate_get("/api/openapi.json", headers={"Accept-Encoding": "gzip"})
    assert json.loads(gzip.decompress(packed.content)) == plain.json
    assert packed.headers["content-encoding"] == "gzip"


def test_an_error_inside_the_server_tells_nothing_of_it(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    source = Source(RuntimeError("a secret"))
    status, _, text = client.call("POST", f"/api/repo/{client.root}/log".encode(), body=source, CONTENT_LENGTH="9")
    assert status == 500
    assert b"secret" not in text
    assert "a secret" in caplog.text


def test_what_runs_is_counted(client: Client) -> None:
    assert client.app.service.gate.running == 0
    load = client.simulate_get("/api/load").json
    assert load["goroutines"] == 1
    assert client.app.service.gate.running == 0
