"""Stores and repos for the tests of versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dvid.database import Database
from dvid.versions import instances, nodes, repos
from dvid.versions.records import InstanceRecord, NodeRecord


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(str(tmp_path / "store"), durability="relaxed") as opened:
        yield opened


class Repo:
    """One repo of a database, with an instance "kv", and short names for what tests do with it."""

    def __init__(self, database: Database, *, versioned: bool = True) -> None:
        self.database = database
        record = database.transact(lambda tx, _: repos.create_repo(tx))
        self.root = record.root_uuid
        self.number = record.number
        self.make("kv", versioned=versioned)

    def make(self, name: str, *, versioned: bool = True) -> InstanceRecord:
        return self.database.transact(
            lambda tx, directory: instances.create_instance(
                tx,
                directory.node(tx, self.root).record,
                name=name,
                typename="keyvalue",
                settings={},
                versioned=versioned,
            )
        )

    def node(self, selector: str) -> NodeRecord:
        with self.database.read() as (snapshot, directory):
            return directory.node(snapshot, selector).record

    def commit(self, uuid: str) -> None:
        self.database.transact(lambda tx, directory: nodes.commit(tx, directory.node(tx, uuid).record))

    def child(self, uuid: str) -> str:
        return self.database.transact(lambda tx, directory: nodes.new_version(tx, directory.node(tx, uuid).record)).uuid

    def branch(self, uuid: str, name: str) -> str:
        return self.database.transact(
            lambda tx, directory: nodes.branch(tx, directory.node(tx, uuid).record, name=name)
        ).uuid

    def merge(self, *uuids: str) -> str:
        return self.database.transact(
            lambda tx, directory: nodes.merge(
                tx, directory.lineages, [directory.node(tx, uuid).record for uuid in uuids]
            )
        ).uuid

    def put(self, uuid: str, key: bytes, value: bytes, *, name: str = "kv", unlocked: bool = False) -> None:
        self.database.edit(uuid, name, lambda edit: edit.put(b"\x10", key, value), unlocked=unlocked)

    def delete(self, uuid: str, key: bytes) -> bool:
        return self.database.edit(uuid, "kv", lambda edit: edit.delete(b"\x10", key))

    def get(self, uuid: str, key: bytes, *, name: str = "kv") -> bytes | None:
        with self.database.view(uuid, name) as view:
            value = view.get(b"\x10", key)
            return None if value is None else bytes(value.payload)

    def chain(self, uuid: str, length: int) -> str:
        """Commit a node and make a chain of so many versions behind it; the open leaf."""
        for _ in range(length):
            self.commit(uuid)
            uuid = self.child(uuid)
        return uuid


@pytest.fixture
def make_repo(database: Database) -> Callable[..., Repo]:
    return lambda **options: Repo(database, **options)


@pytest.fixture
def repo(database: Database) -> Repo:
    return Repo(database)
