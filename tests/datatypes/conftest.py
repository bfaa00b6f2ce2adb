"""Data instances as clients see them, for the tests of all datatypes.

`make_instance` gives an instance in a repo of its own, and the application that serves it, without a server process.
A datatype whose tests ask for more has a subclass of `Instance` or `VoxelInstance` in its own conftest, and fixtures
named after it:

    @pytest.fixture
    def region(make_instance: MakeInstance) -> Region:
        return make_instance("roi", kind=Region, BlockSize="32,32,32")
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeVar

import falcon.testing
import numpy as np
import pytest
from tests.conftest import TOKEN

from dvid.config import load_config
from dvid.database import Database
from dvid.http.app import create_app


class Instance:
    """A data instance in a repo of its own, asked as clients ask it.

    Bodies of requests are sent as they are if they are bytes or text, and as JSON if they are anything else but None.
    """

    def __init__(self, database: Database, app: Any, typename: str, name: str, **settings: Any) -> None:
        self.database, self.app, self.name = database, app, name
        admin = {"Authorization": f"Bearer {TOKEN}"}
        self.node: str = self.request("POST", "/api/repos", "{}", admin).json["root"]
        """The root of the repo: what requests go to that name no other node."""
        self.make(typename, name, **settings)

    def make(self, typename: str, name: str, **settings: Any) -> None:
        """Another instance in the repo."""
        body = {"typename": typename, "dataname": name, **settings}
        made = self.request("POST", f"/api/repo/{self.node}/instance", body)
        assert made.status_code == 200, made.text

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> falcon.testing.Result:
        """Any request to the server."""
        path, _, query = path.partition("?")
        data = body if body is None or isinstance(body, bytes | str) else json.dumps(body)
        return falcon.testing.simulate_request(
            self.app, method, path, query_string=query, body=data, headers=headers, host="localhost"
        )

    def ask(self, method: str, path: str, body: Any = None, *, node: str = "", name: str = "") -> falcon.testing.Result:
        """A request to the instance, or to another one of its repo."""
        return self.request(method, f"/api/node/{node or self.node}/{name or self.name}/{path}", body)

    def get(self, path: str, **where: str) -> falcon.testing.Result:
        """An answer that must be there."""
        found = self.ask("GET", path, **where)
        assert found.status_code == 200, found.text
        return found

    def post(self, path: str, body: Any, **where: str) -> falcon.testing.Result:
        """A request that must be taken."""
        found = self.ask("POST", path, body, **where)
        assert found.status_code == 200, found.text
        return found

    def info(self, **where: str) -> Any:
        return self.get("info", **where).json

    def commit(self, node: str) -> None:
        assert self.request("POST", f"/api/node/{node}/commit", "{}").status_code == 200

    def child(self, node: str, branch: str = "") -> str:
        """A new open version on the same branch, or on a new one."""
        path, body = ("branch", {"branch": branch}) if branch else ("newversion", {})
        reply = self.request("POST", f"/api/node/{node}/{path}", body)
        assert reply.status_code == 200, reply.text
        return str(reply.json["child"])


class VoxelInstance(Instance):
    """An instance whose voxels are read and written by `raw`."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        values = self.info()["Extended"]["Values"]
        self.channels = len(values)
        self.dtype = np.dtype(values[0]["DataType"])

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


def box_path(what: str, start_zyx: tuple[int, ...], shape_zyx: tuple[int, ...]) -> str:
    """The path of a box, as the wire has it: x first."""
    size, offset = ("_".join(map(str, numbers[::-1])) for numbers in (shape_zyx, start_zyx))
    return f"{what}/{size}/{offset}"


Kind = TypeVar("Kind", bound=Instance)


class MakeInstance(Protocol):
    """What the fixture `make_instance` gives."""

    def __call__(
        self,
        typename: str,
        name: str = "data",
        *,
        kind: type[Kind] = ...,
        limits: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Kind: ...


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A store for all tests of a module; each instance of `make_instance` has a repo of its own in it."""
    with Database.open(str(tmp_path_factory.mktemp("database") / "store"), durability="relaxed") as opened:
        yield opened


@pytest.fixture(scope="module")
def make_instance(database: Database, tmp_path_factory: pytest.TempPathFactory) -> MakeInstance:
    """Makes instances, each in a new repo: `make_instance("keyvalue")`.

    `make_instance("uint8blk", "grayscale", kind=VoxelInstance, limits={"limits.bodyBytes": 5000}, BlockSize="16,16,16")`
    names it, chooses its class, and the settings of the server and of the instance.
    """
    folder = str(tmp_path_factory.mktemp("data"))

    def make(
        typename: str,
        name: str = "data",
        *,
        kind: type[Any] = Instance,
        limits: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Any:
        config = load_config(None, {"data": folder, **(limits or {})}, environ={"DVID_ADMIN_TOKEN": TOKEN})
        return kind(database, create_app(database, config), typename, name, **settings)

    return make
