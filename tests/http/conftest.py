"""An application without a server process, and a client that calls it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import TestClient

from dvid.config import load_config
from dvid.database import Database
from dvid.http.app import create_app

TOKEN = "token-for-tests"


class Client(TestClient):
    """Calls an application; `root` is the root of a repo that was made for the test."""

    root: str = ""

    def call(
        self, method: str, raw: bytes, query: str = "", body: bytes | Any = b"", **environ: str
    ) -> tuple[int, dict[str, str], bytes]:
        """A request with exactly these bytes as its path, as an HTTP server hands it on: status, headers and body."""
        given: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": raw.decode("latin-1"),
            "QUERY_STRING": query,
            "SCRIPT_NAME": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "127.0.0.1:8000",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.url_scheme": "http",
            "wsgi.errors": sys.stderr,
            "wsgi.input": io.BytesIO(body) if isinstance(body, bytes) else body,
        }
        if isinstance(body, bytes) and "HTTP_TRANSFER_ENCODING" not in environ:
            given["CONTENT_LENGTH"] = str(len(body))
        head: list[Any] = []
        pieces = self.app({**given, **environ}, lambda *arguments: head.extend(arguments))
        answer = b"".join(pieces)
        if hasattr(pieces, "close"):
            pieces.close()
        assert all("\n" not in value and "\r" not in value for _, value in head[1])
        return int(head[0][:3]), dict(head[1]), answer

    def make_instance(self, typename: str, name: str, **settings: Any) -> str:
        """Make an instance; the path of its requests."""
        body = {"typename": typename, "dataname": name, **settings}
        answer = self.simulate_post(f"/api/repo/{self.root}/instance", json=body)
        assert answer.status_code == 200, answer.text
        return f"/api/node/{self.root}/{name}"

    def commit(self) -> None:
        """Commit the root."""
        assert self.simulate_post(f"/api/node/{self.root}/commit", json={}).status_code == 200


MakeClient = Callable[..., Client]
ADMIN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def client_of(tmp_path: Path) -> Iterator[MakeClient]:
    """Makes clients of applications with other settings: `client_of(token=None, **{"limits.bodyBytes": 10})`."""
    opened: list[Database] = []

    def make(token: str | None = TOKEN, **settings: Any) -> Client:
        path = str(tmp_path / f"data{len(opened)}")
        config = load_config(None, {"data": path, **settings}, environ={"DVID_ADMIN_TOKEN": token or ""})
        opened.append(Database.open(path))
        client = Client(create_app(opened[-1], config))  # type: ignore[arg-type]
        if not config.server.read_only:
            headers = {"HTTP_AUTHORIZATION": ADMIN["Authorization"]} if token else {}
            status, _, answer = client.call("POST", b"/api/repos", body=b"{}", **headers)
            assert status == 200, answer
            client.root = json.loads(answer)["root"]
        return client

    yield make
    for database in opened:
        database.close()


@pytest.fixture
def client(client_of: MakeClient) -> Client:
    return client_of()
