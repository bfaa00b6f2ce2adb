"""A request with an Idempotency-Key can be sent again: it is answered as the first time and does nothing twice."""

from __future__ import annotations

from typing import Any

import pytest
from tests.http.conftest import ADMIN, Client, MakeClient
from tests.http.retry_examples import BLOCK, EXAMPLES, Example, prepare

from dvid.database import Database
from dvid.errors import Busy, Conflict, DvidError, TooLarge
from dvid.http.openapi import document, sections
from dvid.http.retries import MOST_BYTES, Attempt
from dvid.routes import Reply
from dvid.storage.protocol import Transaction
from dvid.versions.layout import REPLY
from dvid.versions.retries import KeptReply, find, keep

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture
def client(client_of: MakeClient) -> Client:
    """Of a server that takes all requests."""
    return client_of(**{"server.allowLabelmapSplit": True})


def database_of(client: Client) -> Database:
    database: Database = client.app.service.database
    return database


def state(client: Client) -> list[tuple[bytes, bytes]]:
    """All that is stored."""
    with database_of(client).store.snapshot() as snapshot:
        return [(bytes(key), bytes(value)) for key, value in snapshot.scan(b"\0", b"\xff" * 500)]


def kept_rows(client: Client) -> int:
    return sum(key.startswith(REPLY) for key, _ in state(client))


def send(
    client: Client, method: str, path: str, body: bytes = b"", key: str | None = KEY, *, admin: bool = True, **more: Any
) -> Answer:
    head, _, query = path.partition("?")
    headers = {"HTTP_AUTHORIZATION": ADMIN["Authorization"]} if admin else {}
    if key is not None:
        headers["HTTP_IDEMPOTENCY_KEY"] = key
    return client.call(method, head.encode(), query, body, **headers, **more)


def replayed(answer: Answer) -> bool:
    return answer[1].get("idempotent-replayed") == "true"


def filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def test_every_request_that_changes_something_is_tried_here() -> None:
    handlers = {route.handler for section in sections() for route in section.routes if route.writes}
    untried = handlers - {example.route.handler for example in EXAMPLES}
    told = "add a request to each to tests/http/retry_examples.py"
    assert {handler for handler in untried if not handler.__name__.startswith("refuse_")} == set(), told


@pytest.mark.parametrize(
    "example", EXAMPLES, ids=lambda example: f"{example.method} {example.path.removeprefix('/api/')}"
)
def test_a_repeat_is_answered_as_the_first_and_changes_nothing(client: Client, example: Example) -> None:
    words = prepare(client)
    method, path = example.method, filled(example.path, words)
    body = example.body if len(example.body) > 1000 else filled(example.body.decode("latin-1"), words).encode("latin-1")
    before = state(client)
    first = send(client, method, path, body)
    assert first[0] == 200, first
    assert not replayed(first)
    after_first = state(client)
    assert before != after_first
    assert kept_rows(client) == 1
    for _ in range(2):
        again = send(client, method, path, body)
        assert replayed(again)
        assert (again[0], again[1]["content-type"], again[2]) == (first[0], first[1]["content-type"], first[2])
        assert state(client) == after_first
        send(
            client, "POST", f"/api/node/{words['ROOT']}/commit", b"{}", key=None
        )  # the next repeat is at a committed node
        after_first = state(client)


def test_the_routes_and_the_documents_tell_of_the_header() -> None:
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            headers = [one for one in operation["parameters"] if one["in"] == "header"]
            assert len(headers) == ("507" in operation["responses"]), (method, path)
            assert all(one["name"] == "Idempotency-Key" and not one["required"] for one in headers)


def test_without_the_header_nothing_is_kept(client: Client) -> None:
    assert send(client, "POST", "/api/repos", b"{}", key=None)[0] == 200
    assert kept_rows(client) == 0


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "\u00e9", "\x7f", "a\tb"])
def test_a_key_that_is_not_visible_ascii_is_refused(client: Client, key: str) -> None:
    status, _, answer = send(client, "POST", "/api/repos", b"{}", key=key)
    assert (status, b"Idempotency-Key" in answer) == (400, True)
    assert kept_rows(client) == 0


@pytest.mark.parametrize("key", ["!", "~" * 255, '"quoted"', "a,b;c=d"])
def test_any_other_key_is_taken(client: Client, key: str) -> None:
    first = send(client, "POST", "/api/repos", b"{}", key=key)
    assert first[0] == 200
    assert send(client, "POST", "/api/repos", b"{}", key=key)[2] == first[2]


def test_requests_that_read_have_no_use_for_the_key(client: Client) -> None:
    path = client.make_instance("keyvalue", "kv")
    assert send(client, "GET", f"{path}/keys", key="not a key")[0] == 200
    assert send(client, "GET", f"{path}/keys")[0] == 200
    region = client.make_instance("roi", "region")
    assert send(client, "POST", f"{region}/ptquery", b"[[1,1,1]]")[::2] == (200, b"[false]")
    assert kept_rows(client) == 0


# ---- the same request, or another one -----------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/kv/key/a", b"another value"),
        ("POST", "/kv/key/a", b""),
        ("POST", "/kv/key/b", b"value"),
        ("POST", "/kv/key/a?u=someone", b"value"),
        ("DELETE", "/kv/key/a", b"value"),
        ("POST", "/kv/keyvalues", b"value"),
        ("POST", "/nosuch/key/a", b"value"),
        ("POST", "/nosuch", b"value"),
    ],
)
def test_another_request_with_the_key_is_refused(client: Client, method: str, path: str, body: bytes) -> None:
    node = client.make_instance("keyvalue", "kv").removesuffix("/kv")
    assert send(client, "POST", f"{node}/kv/key/a", b"value")[0] == 200
    before = state(client)
    status, _, answer = send(client, method, f"{node}{path}", body)
    assert status == 422
    assert b"was used for another request" in answer
    assert state(client) == before


def test_the_order_of_options_and_the_token_do_not_make_it_another_request(client: Client) -> None:
    path = client.make_instance("uint8blk", "gray") + "/raw/0_1_2/32_32_32/0_0_0"
    assert send(client, "POST", f"{path}?mutate=true&u=me", bytes(BLOCK))[0] == 200
    assert replayed(send(client, "POST", f"{path}?u=me&mutate=true", bytes(BLOCK), admin=False))
    assert replayed(send(client, "POST", f"{path}?u=me&mutate=true&admintoken=wrong", bytes(BLOCK), admin=False))
    assert send(client, "POST", f"{path}?mutate=true", bytes(BLOCK))[0] == 422


@pytest.mark.parametrize("at", [0, 70_000, 3 * (1 << 20) - 1])
def test_large_bodies_are_told_from_each_other_by_any_byte(client: Client, at: int) -> None:
    path = client.make_instance("uint8blk", "gray") + "/raw/0_1_2/1024_96_32/0_0_0"
    body = bytearray(3 << 20)
    assert send(client, "POST", path, bytes(body))[0] == 200
    assert replayed(send(client, "POST", path, bytes(body)))
    body[at] = 1
    assert send(client, "POST", path, bytes(body))[0] == 422


def test_a_body_that_the_handler_does_not_read_is_a_part_of_the_request(client: Client) -> None:
    path = client.make_instance("keyvalue", "kv") + "/key/a"
    assert send(client, "DELETE", path, b"x" * 100_000)[0] == 200
    assert replayed(send(client, "DELETE", path, b"x" * 100_000))
    assert send(client, "DELETE", path, b"x" * 99_999 + b"y")[0] == 422


def test_a_body_that_is_cut_is_not_taken_for_the_whole(client: Client) -> None:
    path = client.make_instance("keyvalue", "kv") + "/key/a"
    assert send(client, "DELETE", path, b"x", CONTENT_LENGTH="5")[0] == 400
    assert kept_rows(client) == 0


# ---- what is kept, for whom, how long -----------------------------------------------------------


def test_a_refused_request_keeps_nothing_and_its_key_can_be_used_again(client: Client) -> None:
    path = client.make_instance("keyvalue", "kv")
    assert send(client, "POST", f"{path}/keyvalues", b"nonsense")[0] == 400
    assert send(client, "POST", f"/api/node/{client.root}/newversion", b"{}")[0] == 400  # the node is open
    assert kept_rows(client) == 0
    client.commit()
    first = send(client, "POST", f"/api/node/{client.root}/newversion", b"{}")
    assert first[0] == 200
    assert send(client, "POST", f"/api/node/{client.root}/newversion", b"{}")[2] == first[2]


def test_repeats_are_answered_when_what_they_name_is_gone(client: Client) -> None:
    path = client.make_instance("keyvalue", "kv")
    assert send(client, "POST", f"{path}/key/a", b"1", key="write")[0] == 200
    renamed = f"/api/repo/{client.root}/instance/kv/rename"
    assert send(client, "POST", renamed, b'{"name": "other"}', key="rename")[0] == 200
    assert replayed(send(client, "POST", f"{path}/key/a", b"1", key="write"))
    assert send(client, "POST", f"{path}/key/a", b"1", key="new")[0] == 400
    assert send(client, "DELETE", f"/api/repo/{client.root}?imsure=true", key="delete")[0] == 200
    assert replayed(send(client, "POST", renamed, b'{"name": "other"}', key="rename"))
    assert replayed(send(client, "DELETE", f"/api/repo/{client.root}?imsure=true", key="delete"))


def test_a_repeat_needs_the_rights_of_the_first(client: Client) -> None:
    assert send(client, "POST", "/api/repos", b"{}")[0] == 200
    status, headers, answer = send(client, "POST", "/api/repos", b"{}", admin=False)
    assert (status, b"admin" in answer) == (403, True)
    assert "idempotent-replayed" not in headers
    status, _, answer = send(client, "POST", "/api/repos", b"{}", HTTP_ORIGIN="https://evil.example")
    assert (status, b"evil.example" in answer) == (403, True)


def test_a_server_that_is_read_only_answers_no_repeats(client_of: MakeClient) -> None:
    client = client_of(**{"server.readOnly": True})
    status, _, answer = send(client, "POST", "/api/repos", b"{}")
    assert (status, b"read-only" in answer) == (403, True)


def test_a_reply_that_has_expired_counts_no_more(client_of: MakeClient) -> None:
    client = client_of(**{"server.idempotencyHours": 1})
    first = send(client, "POST", "/api/repos", b"{}")
    store = database_of(client).store
    with store.snapshot() as snapshot:
        row = find(snapshot, KEY, 0)
    assert row is not None

    def aged(minutes: int) -> KeptReply:
        return KeptReply(row.time - minutes * 60_000, row.request, row.body, row.media_type, admin=True)

    store.transact(lambda transaction: keep(transaction, KEY, aged(59)))
    assert send(client, "POST", "/api/repos", b"{}")[2] == first[2]
    store.transact(lambda transaction: keep(transaction, KEY, aged(61)))
    again = send(client, "POST", "/api/repos", b"{}")
    assert (again[0], replayed(again)) == (200, False)
    assert again[2] != first[2]
    assert send(client, "POST", "/api/repos", b"{}")[2] == again[2]
    assert kept_rows(client) == 1


@pytest.mark.parametrize(
    ("reply", "error"),
    [(Reply(b"x" * (MOST_BYTES + 1)), TooLarge), (Reply(iter([b"x"])), Conflict)],
    ids=["long", "in pieces"],
)
def test_a_reply_that_cannot_be_kept_is_refused_without_a_trace(
    client: Client, reply: Reply, error: type[DvidError]
) -> None:
    before = state(client)

    def operation(transaction: Transaction) -> None:
        transaction.put(b"\0\0\0\x09effect", b"")
        Attempt(KEY, "POST", "/", "", 24).keep(transaction, reply)

    with pytest.raises(error, match="without an Idempotency-Key"):
        database_of(client).store.transact(operation)
    assert state(client) == before


def test_a_second_arrival_is_rolled_back_and_answered_only_what_is_committed(client: Client) -> None:
    database, before = database_of(client), state(client)
    first, second = (Attempt(KEY, "POST", "/", "", 24) for _ in range(2))

    def operation(transaction: Transaction) -> None:
        first.keep(transaction, Reply(b"first"))
        second.keep(transaction, Reply(b"second"))

    with pytest.raises(Busy, match="send it again"):
        database.store.transact(operation)
    assert second.find(database) is None
    assert state(client) == before


def test_a_reply_of_64_kib_is_kept_whole(client: Client) -> None:
    reply, attempt = Reply(bytes(range(256)) * 256, "x/y", 201, {"Name": "value"}), Attempt(KEY, "POST", "/", "", 24)
    database_of(client).store.transact(lambda transaction: attempt.keep(transaction, reply))
    kept = attempt.find(database_of(client))
    assert kept is not None
    assert attempt.replayed(kept) == Reply(reply.body, "x/y", 201, {"Name": "value", "Idempotent-Replayed": "true"})


def test_browsers_may_send_the_header_from_a_page_that_is_allowed_to(client_of: MakeClient) -> None:
    client = client_of(**{"server.corsDomains": ["https://page.example"]})
    asked = {"HTTP_ORIGIN": "https://page.example", "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": "idempotency-key"}
    _, headers, _ = client.call("OPTIONS", b"/api/repos", **asked)
    assert headers["access-control-allow-headers"] == "idempotency-key"
