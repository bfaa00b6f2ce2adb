"""Databases of three stores: "main" with the repos, "images" for uint8blk, "notes" for one instance of a fixed repo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dvid.config import Config, load_config
from dvid.database import Database
from dvid.versions import nodes, repos
from dvid.versions.records import NodeRecord

ROOT = "0123456789abcdef0123456789abcdef"
DATA = b"\x10"


def write_config(folder: Path, *, durability: str = "relaxed", extra: str = "") -> Path:
    """A configuration file of three stores in a folder."""
    stores = "".join(
        f'[store.{name}]\npath = "{name}"\ndurability = "{durability}"\n' for name in ("main", "images", "notes")
    )
    path = folder / "dvid.toml"
    path.write_text(
        f"""{stores}
[backend.default]
store = "main"
[backend.uint8blk]
store = "images"
[backend."notes:{ROOT}"]
store = "notes"
{extra}"""
    )
    return path


class Repo:
    """The repo of the fixed root, with an instance in each store."""

    def __init__(self, database: Database) -> None:
        self.database = database
        database.transact(lambda tx, _: repos.create_repo(tx, root=ROOT))
        for typename, name in (("keyvalue", "notes"), ("keyvalue", "plain"), ("uint8blk", "gray"), ("roi", "region")):
            database.create_instance(ROOT, {"typename": typename, "dataname": name})

    def node(self, selector: str) -> NodeRecord:
        with self.database.read() as (snapshot, directory):
            return directory.node(snapshot, selector).record

    def child(self, uuid: str) -> str:
        return self.database.transact(lambda tx, directory: nodes.new_version(tx, directory.node(tx, uuid).record)).uuid

    def branch(self, uuid: str, name: str) -> str:
        return self.database.transact(
            lambda tx, directory: nodes.branch(tx, directory.node(tx, uuid).record, name=name)
        ).uuid

    def put(self, uuid: str, name: str, key: bytes, value: bytes, *, unlocked: bool = False) -> None:
        self.database.edit(uuid, name, lambda edit: edit.put(DATA, key, value), unlocked=unlocked)

    def get(self, uuid: str, name: str, key: bytes) -> bytes | None:
        with self.database.view(uuid, name) as view:
            value = view.get(DATA, key)
            return None if value is None else bytes(value.payload)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(str(write_config(tmp_path)), environ={})


@pytest.fixture
def opened(config: Config) -> Iterator[Callable[[], Database]]:
    """Opens the database of the configuration, as often as it is called."""
    databases: list[Database] = []

    def open_one() -> Database:
        databases.append(Database.from_config(config))
        return databases[-1]

    yield open_one
    for database in databases:
        database.close()


@pytest.fixture
def database(opened: Callable[[], Database]) -> Database:
    return opened()


@pytest.fixture
def repo(database: Database) -> Repo:
    return Repo(database)
