"""Who may do what."""

from __future__ import annotations

from typing import Any

import pytest

from dvid.config import load_config
from dvid.http.access import Access, Caller

PAGE = "https://evil.example"


def caller(
    token: str | None = None,
    address: str = "127.0.0.1:8000",
    cors: list[str] | None = None,
    given: Any = None,
    **env: str,
) -> Caller:
    environ = {"DVID_ADMIN_TOKEN": token or "", "HOME": "/tmp"}
    config = load_config(None, {"server.httpAddress": address, "server.corsDomains": cors or []}, environ=environ)
    base = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "127.0.0.1:8000"}
    return Access(config).caller({**base, **env}, given)


@pytest.mark.parametrize("header", ["Bearer secret", "bearer secret", "BEARER  secret"])
def test_the_token_gives_admin_rights(header: str) -> None:
    assert caller("secret", HTTP_AUTHORIZATION=header).admin
    assert caller("secret", given="secret").admin
    assert caller("secret", "0.0.0.0:8000", given="secret", REMOTE_ADDR="10.0.0.9", HTTP_HOST="dvid.example").admin


@pytest.mark.parametrize("given", ["Secret", "secret ", "", "sécret", ["secret", "secret"], None])
def test_nothing_else_gives_them_where_there_is_a_token(given: Any) -> None:
    assert not caller("secret", given=given).admin


def test_a_wrong_token_is_said_to_be_wrong() -> None:
    assert "wrong" in caller("secret", given="guess").refused_admin
    assert caller("secret", given="guess").refused_writes == ""


def test_the_header_goes_before_the_query() -> None:
    assert not caller("secret", given="secret", HTTP_AUTHORIZATION="Bearer guess").admin


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "LOCALHOST:8000", "[::1]:8000"])
def test_without_a_token_this_machine_has_admin_rights_on_loopback(host: str) -> None:
    assert caller(HTTP_HOST=host) == Caller(True)
    assert caller(HTTP_HOST=host, HTTP_ORIGIN=f"http://{host.lower()}").admin


@pytest.mark.parametrize("remote", ["10.0.0.9", "192.168.1.2", "::2", "", "nonsense", "::ffff:10.0.0.1"])
def test_other_machines_have_none(remote: str) -> None:
    assert not caller(REMOTE_ADDR=remote).admin


@pytest.mark.parametrize("remote", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_has_many_addresses(remote: str) -> None:
    assert caller(REMOTE_ADDR=remote).admin


def test_without_a_token_an_open_server_grants_none() -> None:
    refused = caller(address="0.0.0.0:8000")
    assert not refused.admin
    assert "DVID_ADMIN_TOKEN" in refused.refused_admin


@pytest.mark.parametrize("header", ["HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA"])
def test_what_comes_through_a_proxy_has_no_admin_rights(header: str) -> None:
    assert not caller(**{header: "10.0.0.9"}).admin


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example:8000", "localhost", "127.0.0.1:8001", "", "[::1"],
)
def test_a_foreign_host_may_not_write_nor_administrate(host: str) -> None:
    refused = caller(HTTP_HOST=host)
    assert not refused.admin
    assert "Host" in refused.refused_writes


@pytest.mark.parametrize(
    "origin", [PAGE, "null", "http://127.0.0.1:9000", "http://localhost:8000.evil.example", "http://[bad"]
)
def test_a_page_of_another_origin_may_not_write_nor_administrate(origin: str) -> None:
    refused = caller(HTTP_ORIGIN=origin)
    assert not refused.admin
    assert "server.corsDomains" in refused.refused_writes
    assert "server.corsDomains" in caller("secret", "0.0.0.0:8000", given="secret", HTTP_ORIGIN=origin).refused_writes


def test_a_request_of_another_site_without_an_origin_may_not_write() -> None:
    assert caller(HTTP_SEC_FETCH_SITE="cross-site").refused_writes
    assert not caller(HTTP_SEC_FETCH_SITE="same-origin").refused_writes
    assert not caller(HTTP_SEC_FETCH_SITE="none").refused_writes


@pytest.mark.parametrize("named", ["https://evil.example", "evil.example"])
def test_a_named_origin_may_write(named: str) -> None:
    assert not caller(cors=[named], HTTP_ORIGIN=PAGE).refused_writes
    assert caller(cors=[named], HTTP_ORIGIN="https://sub.evil.example").refused_writes


def test_the_star_names_no_origin() -> None:
    assert caller(cors=["*"], HTTP_ORIGIN=PAGE).refused_writes


def test_a_named_host_may_write_through_a_proxy_but_not_administrate() -> None:
    behind = caller(cors=["dvid.example"], HTTP_HOST="dvid.example", HTTP_X_FORWARDED_FOR="10.0.0.9")
    assert not behind.refused_writes
    assert not behind.admin


def answered(cors: list[str], **env: str) -> dict[str, str]:
    config = load_config(None, {"server.corsDomains": cors}, environ={"HOME": "/tmp"})
    headers: list[tuple[str, str]] = []
    access = Access(config)
    access.cors(env, headers)
    access.preflight(env, headers)
    return dict(headers)


def test_no_page_reads_by_default() -> None:
    assert answered([], HTTP_ORIGIN=PAGE) == {}


def test_the_star_lets_all_pages_read() -> None:
    assert answered(["*"])["access-control-allow-origin"] == "*"
    assert answered(["*"], HTTP_ORIGIN=PAGE)["access-control-allow-origin"] == "*"


def test_a_named_origin_is_answered_by_its_name() -> None:
    headers = answered(["evil.example"], HTTP_ORIGIN=PAGE)
    assert headers["access-control-allow-origin"] == PAGE
    assert headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in answered(["other.example"], HTTP_ORIGIN=PAGE)
    assert answered(["other.example"])["vary"] == "Origin"


def test_a_preflight_allows_what_was_asked() -> None:
    headers = answered(
        ["*"],
        HTTP_ORIGIN=PAGE,
        HTTP_ACCESS_CONTROL_REQUEST_HEADERS="authorization, content-type",
        HTTP_ACCESS_CONTROL_REQUEST_PRIVATE_NETWORK="true",
    )
    assert headers["access-control-allow-headers"] == "authorization, content-type"
    assert "POST" in headers["access-control-allow-methods"]
    assert headers["access-control-allow-private-network"] == "true"


def test_a_preflight_repeats_nothing_but_names_of_headers() -> None:
    headers = answered(["*"], HTTP_ORIGIN=PAGE, HTTP_ACCESS_CONTROL_REQUEST_HEADERS="a\r\nset-cookie: x")
    assert "access-control-allow-headers" not in headers
