"""A keyvalue instance behind the HTTP application."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pytest

from dvid.config import load_config
from dvid.database import Database
from dvid.http.app import create_app


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.status == 200, self.body
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)


class Client:
    """Sends requests to the instance "kv" of a repo."""

    def __init__(self, database: Database, config: Any) -> None:
        self.database = database
        self._app = create_app(database, config)
        self.root = self.send("POST", "/api/repos", b"{}").json["root"]
        self.make("kv")

    def make(self, name: str, **settings: Any) -> None:
        body = json.dumps({"typename": "keyvalue", "dataname": name, **settings}).encode()
        assert self.send("POST", f"/api/repo/{self.root}/instance", body).status == 200

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """One request, with its path percent-encoded as a client sends it."""
        path, _, query = path.partition("?")
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "SCRIPT_NAME": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "127.0.0.1:8000",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.url_scheme": "http",
            "wsgi.errors": sys.stderr,
            "wsgi.input": io.BytesIO(body),
            **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
        }
        head: list[Any] = []
        pieces = self._app(environ, lambda *arguments: head.extend(arguments))
        content = b"".join(pieces)
        if hasattr(pieces, "close"):
            pieces.close()
        return Answer(int(head[0][:3]), dict(head[1]), content)

    def at(self, node: str, method: str, rest: str, body: bytes = b"", **headers: str) -> Answer:
        return self.send(method, f"/api/node/{node}/kv/{rest}", body, **headers)

    def get(self, rest: str, body: bytes = b"", **headers: str) -> Answer:
        return self.at(self.root, "GET", rest, body, **headers)

    def post(self, rest: str, body: bytes = b"", **headers: str) -> Answer:
        return self.at(self.root, "POST", rest, body, **headers)

    def delete(self, rest: str) -> Answer:
        return self.at(self.root, "DELETE", rest)


def quoted(key: str) -> str:
    """A key as it stands in a path."""
    return quote_from_bytes(key.encode(), safe="")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    path = str(tmp_path / "data")
    config = load_config(None, {"data": path}, environ={})
    with Database.open(path, durability="relaxed") as database:
        yield Client(database, config)


@pytest.fixture
def quote() -> Any:
    return quoted
