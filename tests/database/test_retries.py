"""Replies are kept in the store of what was changed, and found whatever store that is."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

from tests.database.conftest import ROOT, Repo

from dvid.background import forget_replies
from dvid.config import Config
from dvid.database import Database
from dvid.http.app import Application, create_app
from dvid.versions import layout
from dvid.versions.verify import verify


def call(app: Application, method: str, path: str, body: bytes, key: str) -> tuple[int, bool]:
    """Send a request; its status, and whether the answer is that of an earlier one."""
    head: list[tuple[str, list[tuple[str, str]]]] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SCRIPT_NAME": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_IDEMPOTENCY_KEY": key,
        "CONTENT_LENGTH": str(len(body)),
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
    }
    b"".join(app(environ, lambda *answer: head.append(answer)))
    return int(head[0][0][:3]), ("idempotent-replayed", "true") in head[0][1]


def kept(database: Database) -> dict[str, int]:
    """How many replies each store holds."""
    found = {}
    for name, store in {"main": database.store, **database.others}.items():
        with store.snapshot() as snapshot:
            found[name] = sum(1 for _ in snapshot.scan(layout.REPLY, layout.after(layout.REPLY)))
    return found


def test_a_reply_is_in_the_store_of_the_data(
    database: Database, repo: Repo, config: Config, opened: Callable[[], Database]
) -> None:
    apps = [create_app(one, config) for one in (database, opened())]
    node = f"/api/node/{ROOT}"
    sent = [
        ("POST", f"{node}/notes/key/a", b"value", {"main": 0, "images": 0, "notes": 1}),
        ("POST", f"{node}/plain/key/a", b"value", {"main": 1, "images": 0, "notes": 1}),
        ("POST", f"{node}/gray/raw/0_1_2/32_32_32/0_0_0", bytes(32**3), {"main": 1, "images": 1, "notes": 1}),
        ("POST", f"{node}/gray/resolution", b"[4, 4, 4]", {"main": 2, "images": 1, "notes": 1}),
        ("POST", f"{node}/commit", b"{}", {"main": 3, "images": 1, "notes": 1}),
    ]
    for method, path, body, expected in sent:
        assert call(apps[0], method, path, body, path) == (200, False)
        assert kept(database) == expected
    for app in apps:
        for method, path, body, _ in sent:
            assert call(app, method, path, body, path) == (200, True)
            assert call(app, method, path, body + b" ", path) == (422, False)
    assert kept(database) == sent[-1][-1]
    assert list(verify(database.store, others=database.others)) == []


def test_one_key_for_requests_to_two_stores_is_refused(database: Database, repo: Repo, config: Config) -> None:
    app = create_app(database, config)
    assert call(app, "POST", f"/api/node/{ROOT}/notes/key/a", b"value", "one") == (200, False)
    assert call(app, "POST", f"/api/node/{ROOT}/plain/key/a", b"value", "one") == (422, False)


def test_expired_replies_of_all_stores_are_removed(database: Database, repo: Repo, config: Config) -> None:
    app = create_app(database, config)
    for name in ("notes", "plain"):
        assert call(app, "POST", f"/api/node/{ROOT}/{name}/key/a", b"value", name) == (200, False)
    assert forget_replies(database, before=0) == 0
    assert forget_replies(database, before=2**62) == 2
    assert kept(database) == {"main": 0, "images": 0, "notes": 0}
    assert call(app, "POST", f"/api/node/{ROOT}/notes/key/a", b"value", "notes") == (200, False)
