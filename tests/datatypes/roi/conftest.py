"""A repo with a region, in a store of its own, and the application that serves it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import falcon.testing
import pytest

from dvid.config import load_config
from dvid.database import Database
from dvid.http.app import create_app

TOKEN = "token-for-tests"


@dataclass
class Region:
    """A region named "r" in a repo of its own, asked as clients ask it."""

    database: Database
    app: Any
    node: str

    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None
    ) -> falcon.testing.Result:
        path, _, query = path.partition("?")
        return falcon.testing.simulate_request(
            self.app, method, path, query_string=query, body=body, headers=headers, host="localhost"
        )

    def ask(self, method: str, path: str, body: Any = None, *, node: str | None = None) -> falcon.testing.Result:
        """A request to the region; a body that is not bytes is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return self.request(method, f"/api/node/{node or self.node}/r/{path}", data)

    def post(self, spans: Any, *, node: str | None = None) -> None:
        reply = self.ask("POST", "roi", spans, node=node)
        assert reply.status_code == 200, reply.text

    def spans(self, *, node: str | None = None) -> Any:
        reply = self.ask("GET", "roi", node=node)
        assert reply.status_code == 200, reply.text
        return reply.json

    def info(self, *, node: str | None = None) -> Any:
        return self.ask("GET", "info", node=node).json

    def commit(self, node: str) -> None:
        assert self.request("POST", f"/api/node/{node}/commit", "{}").status_code == 200

    def child(self, node: str, branch: str = "") -> str:
        """A new open version on the same branch, or on a new one."""
        path, body = ("branch", {"branch": branch}) if branch else ("newversion", {})
        reply = self.request("POST", f"/api/node/{node}/{path}", json.dumps(body))
        assert reply.status_code == 200, reply.text
        return str(reply.json["child"])


MakeRegion = Callable[..., Region]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(str(tmp_path / "store"), durability="relaxed") as opened:
        yield opened


@pytest.fixture
def make_region(database: Database, tmp_path: Path) -> MakeRegion:
    """Makes regions: `make_region("16,16,16")`, each in a new repo."""

    def make(block_size: str = "32,32,32", **settings: Any) -> Region:
        config = load_config(None, {"data": str(tmp_path / "store"), **settings}, environ={"DVID_ADMIN_TOKEN": TOKEN})
        app = create_app(database, config)
        region = Region(database, app, "")
        admin = {"Authorization": f"Bearer {TOKEN}"}
        region.node = region.request("POST", "/api/repos", "{}", admin).json["root"]
        body = {"typename": "roi", "dataname": "r", "BlockSize": block_size}
        made = region.request("POST", f"/api/repo/{region.node}/instance", json.dumps(body))
        assert made.status_code == 200, made.text
        return region

    return make


@pytest.fixture
def region(make_region: MakeRegion) -> Region:
    return make_region()
