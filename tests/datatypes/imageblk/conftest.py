"""An image in a repo of its own, and the application that serves it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import falcon.testing
import numpy as np
import pytest

from dvid.config import load_config
from dvid.database import Database
from dvid.http.app import create_app

TOKEN = "token-for-tests"


class Image:
    """An image instance named "image" in a repo of its own, asked as clients ask it."""

    def __init__(self, database: Database, app: Any, typename: str, **settings: Any) -> None:
        self.database, self.app = database, app
        admin = {"Authorization": f"Bearer {TOKEN}"}
        self.node = self.request("POST", "/api/repos", "{}", admin).json["root"]
        self.make(typename, "image", **settings)
        values = self.get("info").json["Extended"]["Values"]
        self.channels = len(values)
        self.dtype = np.dtype(values[0]["DataType"])

    def make(self, typename: str, name: str, **settings: Any) -> None:
        """Another instance in the repo."""
        body = {"typename": typename, "dataname": name, **settings}
        made = self.request("POST", f"/api/repo/{self.node}/instance", json.dumps(body))
        assert made.status_code == 200, made.text

    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None
    ) -> falcon.testing.Result:
        path, _, query = path.partition("?")
        return falcon.testing.simulate_request(
            self.app, method, path, query_string=query, body=body, headers=headers, host="localhost"
        )

    def ask(
        self, method: str, path: str, body: bytes | str | None = None, *, node: str = "", name: str = "image"
    ) -> falcon.testing.Result:
        return self.request(method, f"/api/node/{node or self.node}/{name}/{path}", body)

    def get(self, path: str, **where: str) -> falcon.testing.Result:
        """An answer that must be there."""
        found = self.ask("GET", path, **where)
        assert found.status_code == 200, found.text
        return found

    def post(self, path: str, body: bytes | str, **where: str) -> None:
        """A request that must be taken."""
        found = self.ask("POST", path, body, **where)
        assert found.status_code == 200, found.text

    def shape(self, shape_zyx: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of an array of voxels."""
        return shape_zyx if self.channels == 1 else (*shape_zyx, self.channels)

    def read(self, start_zyx: tuple[int, ...], shape_zyx: tuple[int, ...], **where: str) -> np.ndarray:
        data = self.get(box_path("raw/0_1_2", start_zyx, shape_zyx), **where).content
        return np.frombuffer(data, self.dtype).reshape(self.shape(shape_zyx))

    def write(self, start_zyx: tuple[int, ...], voxels: np.ndarray, query: str = "", **where: str) -> None:
        path = box_path("raw/0_1_2", start_zyx, voxels.shape[:3]) + query
        self.post(path, np.ascontiguousarray(voxels, self.dtype).tobytes(), **where)

    def random(self, shape_zyx: tuple[int, ...], seed: int = 0, highest: int = 250) -> np.ndarray:
        """Random voxels."""
        values = np.random.default_rng(seed).integers(0, highest, self.shape(shape_zyx))
        return values.astype(self.dtype)

    def commit(self, node: str) -> None:
        assert self.request("POST", f"/api/node/{node}/commit", "{}").status_code == 200

    def child(self, node: str, branch: str = "") -> str:
        """A new open version on the same branch, or on a new one."""
        path, body = ("branch", {"branch": branch}) if branch else ("newversion", {})
        reply = self.request("POST", f"/api/node/{node}/{path}", json.dumps(body))
        assert reply.status_code == 200, reply.text
        return str(reply.json["child"])


def box_path(what: str, start_zyx: tuple[int, ...], shape_zyx: tuple[int, ...]) -> str:
    """The path of a box, as the wire has it: x first."""
    size, offset = ("_".join(map(str, numbers[::-1])) for numbers in (shape_zyx, start_zyx))
    return f"{what}/{size}/{offset}"


MakeImage = Callable[..., Image]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with Database.open(str(tmp_path_factory.mktemp("images") / "store"), durability="relaxed") as opened:
        yield opened


@pytest.fixture(scope="module")
def make_image(database: Database, tmp_path_factory: pytest.TempPathFactory) -> MakeImage:
    """Makes images: `make_image("uint8blk", BlockSize="16,16,16")`, each in a new repo."""
    folder = str(tmp_path_factory.mktemp("data"))

    def make(typename: str = "uint8blk", *, limits: dict[str, Any] | None = None, **settings: Any) -> Image:
        config = load_config(None, {"data": folder, **(limits or {})}, environ={"DVID_ADMIN_TOKEN": TOKEN})
        return Image(database, create_app(database, config), typename, **settings)

    return make


@pytest.fixture
def image(make_image: MakeImage) -> Image:
    return make_image(BlockSize="16,16,16")
