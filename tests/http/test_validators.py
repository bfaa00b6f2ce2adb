"""Entity tags of what was read at committed nodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from tests.http.conftest import ADMIN, Client, MakeClient

from dvid.datatypes.base import datatype
from dvid.http import instances
from dvid.routes import Argument, Call, Reply, Route


def _read(call: Call, key: str, other: str | None) -> Reply:
    with call.view() as view:
        value = view.get(b"\x10", key.encode())
        return Reply(b"" if value is None else bytes(value.payload))


def _write(call: Call, key: str) -> Reply:
    body = call.body()
    call.edit(lambda edit: edit.put(b"\x10", key.encode(), body))
    return Reply(b"")


_KEY = Argument("key", "A key.")
_ROUTES = (
    Route(
        "GET",
        "/probe/{key}",
        _read,
        "Read.",
        (_KEY,),
        (Argument("other", "Other data.", default=None, foreign=True),),
        immutable=True,
    ),
    Route("GET", "/changing/{key}", _read, "Read.", (_KEY,), (Argument("other", "Other data.", default=None),)),
    Route("POST", "/probe/{key}", _write, "Write.", (_KEY,), writes=True),
)


@pytest.fixture
def path(client: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A keyvalue instance with routes of the test's own: what is promised does not depend on a type."""
    kind = datatype("keyvalue")
    probed = dataclasses.replace(kind, routes=(*kind.routes, *_ROUTES))
    monkeypatch.setattr(instances, "datatype", lambda _: probed)
    instances.table.cache_clear()
    yield client.make_instance("keyvalue", "data")
    instances.table.cache_clear()


def test_an_open_node_has_no_tags(client: Client, path: str) -> None:
    assert "etag" not in client.simulate_get(f"{path}/probe/a").headers


def test_what_was_read_at_a_committed_node_is_not_sent_again(client: Client, path: str) -> None:
    client.simulate_post(f"{path}/probe/a", body=b"value")
    client.commit()
    first = client.simulate_get(f"{path}/probe/a")
    tag = first.headers["etag"]
    for given in (tag, f'"other", {tag}', tag.removeprefix("W/")):
        again = client.simulate_get(f"{path}/probe/a", headers={"If-None-Match": given})
        assert again.status_code == 304
        assert again.content == b""
        assert again.headers["etag"] == tag
    assert client.simulate_head(f"{path}/probe/a", headers={"If-None-Match": tag}).status_code == 304
    changed = client.simulate_get(f"{path}/probe/a", headers={"If-None-Match": '"other"'})
    assert (changed.status_code, changed.content) == (200, b"value")


def test_other_requests_have_other_tags(client: Client, path: str) -> None:
    client.commit()
    tags = {client.simulate_get(f"{path}/probe/{key}").headers["etag"] for key in "abc"}
    assert len(tags) == 3


def test_who_asks_does_not_matter(client: Client, path: str) -> None:
    client.commit()
    tag = client.simulate_get(f"{path}/probe/a", params={"u": "one", "app": "x"}).headers["etag"]
    assert client.simulate_get(f"{path}/probe/a", params={"u": "two"}).headers["etag"] == tag


def test_a_write_of_an_admin_to_a_committed_node_changes_the_tags(client: Client, path: str) -> None:
    client.commit()
    tag = client.simulate_get(f"{path}/probe/a").headers["etag"]
    assert client.simulate_post(f"{path}/probe/a", body=b"refused").status_code == 400
    assert client.simulate_get(f"{path}/probe/a").headers["etag"] == tag
    assert client.simulate_post(f"{path}/probe/a", body=b"new", headers=ADMIN).status_code == 200
    answer = client.simulate_get(f"{path}/probe/a", headers={"If-None-Match": tag})
    assert (answer.status_code, answer.content) == (200, b"new")
    assert answer.headers["etag"] != tag


def test_answers_that_depend_on_other_data_have_no_tags(client: Client, path: str) -> None:
    client.commit()
    assert "etag" not in client.simulate_get(f"{path}/probe/a", params={"other": "x"}).headers
    assert "etag" not in client.simulate_get(f"{path}/changing/a").headers


def test_errors_have_no_tags(client: Client, path: str) -> None:
    client.commit()
    answer = client.simulate_get(f"{path}/probe/a", params={"nosuch": "x"}, headers={"If-None-Match": "*"})
    assert answer.status_code == 400
    assert "etag" not in answer.headers


def test_data_without_versions_has_no_tags(client: Client, path: str, client_of: MakeClient) -> None:
    unversioned = client.make_instance("keyvalue", "shared", versioned=False)
    client.commit()
    assert "etag" not in client.simulate_get(f"{unversioned}/probe/a").headers


@pytest.mark.parametrize(
    "path",
    [
        "gray/raw/0_1_2/32_32_32/0_0_0",
        "gray/raw/xy/32_32/0_0_0/png",
        "gray/blocks/0_0_0/1",
        "kv/key/a",
        "kv/keys",
        "r/roi",
    ],
)
def test_what_a_committed_node_holds_is_not_sent_twice(client: Client, path: str) -> None:
    gray, keys, region = (
        client.make_instance(kind, name) for kind, name in (("uint8blk", "gray"), ("keyvalue", "kv"), ("roi", "r"))
    )
    assert client.simulate_post(f"{gray}/raw/0_1_2/32_32_32/0_0_0", body=bytes(range(256)) * 128).status_code == 200
    assert client.simulate_post(f"{keys}/key/a", body=b"value").status_code == 200
    assert client.simulate_post(f"{region}/roi", body=b"[[0, 0, 0, 1]]").status_code == 200
    where = f"/api/node/{client.root}/{path}"
    assert "etag" not in client.simulate_get(where).headers  # the node is open: it may change
    assert client.simulate_post(f"/api/node/{client.root}/commit", body=b"{}").status_code == 200
    first = client.simulate_get(where)
    again = client.simulate_get(where, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_an_answer_that_depends_on_another_instance_has_no_tag(client: Client) -> None:
    gray, region = client.make_instance("uint8blk", "gray"), client.make_instance("roi", "r")
    assert client.simulate_post(f"{region}/roi", body=b"[[0, 0, 0, 1]]").status_code == 200
    assert client.simulate_post(f"/api/node/{client.root}/commit", body=b"{}").status_code == 200
    answer = client.simulate_get(f"{gray}/raw/0_1_2/32_32_32/0_0_0", query_string="roi=r")
    assert answer.status_code == 200
    assert "etag" not in answer.headers
