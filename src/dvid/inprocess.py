"""The service in a Python program, without a server: `dvid.open("DIR")`.

with dvid.open("my-data") as database:
    repo = database.create_repo("fly brain")
    repo["master"].create("uint8blk", "gray")
    repo["master"]["gray"][0:64, 0:64, 0:64] = array
    repo["master"].commit()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar

from dvid.database import Database
from dvid.datatypes.base import datatype
from dvid.errors import NotFound, UnknownNode
from dvid.storage.protocol import Transaction
from dvid.versions import instances, nodes, repos
from dvid.versions.records import NodeRecord, RepoRecord

T = TypeVar("T")


class Library:
    """The repos of a store, by alias, by UUID, or by the beginning of one."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store."""
        self.database.close()

    def __iter__(self) -> Iterator[Repo]:
        with self.database.read() as (snapshot, _):
            records = repos.list_repos(snapshot)
        return (Repo(self.database, record) for record in records)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> Repo:
        """The repo with that alias or UUID.

        Raises:
            NotFound: there is none, or there are several.
        """
        named = [repo for repo in self if repo.alias == name]
        if len(named) > 1:
            raise NotFound(f"{len(named)} repos have the alias {name!r}: use a UUID")
        if named:
            return named[0]
        try:
            with self.database.read() as (snapshot, directory):
                number = directory.node(snapshot, name).record.repo
                return Repo(self.database, directory.repo(snapshot, number))
        except UnknownNode as error:
            raise NotFound(f"no repo has the alias {name!r}, and {error}") from None

    def create_repo(self, alias: str = "", description: str = "") -> Repo:
        """Make a repo with one open node."""
        record = self.database.transact(lambda tx, _: repos.create_repo(tx, alias=alias, description=description))
        return Repo(self.database, record)

    def __repr__(self) -> str:
        return f"<Library of {len(self)} repos>"


class Repo:
    """A repo: its nodes, by UUID, tag, branch name ("master") or any selector of the HTTP API."""

    def __init__(self, database: Database, record: RepoRecord) -> None:
        self._database = database
        self.alias = record.alias
        self.description = record.description
        self.uuid = record.root_uuid
        """UUID of the root node."""

    def __getitem__(self, selector: str) -> Node:
        """The node of that name; a branch name gives the branch's leaf.

        Raises:
            UnknownNode: the repo has none.
        """
        with self._database.read() as (snapshot, directory):
            number = directory.node(snapshot, self.uuid).record.repo
            try:
                found = directory.node(snapshot, f"{self.uuid}:{selector}")
            except UnknownNode:
                found = directory.node(snapshot, selector)
                if found.record.repo != number:
                    raise UnknownNode(f"{selector!r} is a node of another repo") from None
        return Node(self._database, found.record.uuid)

    @property
    def nodes(self) -> list[Node]:
        """All nodes, from the root down."""
        with self._database.read() as (snapshot, directory):
            record = directory.repo(snapshot, directory.node(snapshot, self.uuid).record.repo)
            return [Node(self._database, node.uuid) for node in nodes.list_nodes(snapshot, record)]

    def __repr__(self) -> str:
        return f"<Repo {self.alias!r} {self.uuid}>"


class Node:
    """A version of a repo's data: its instances, by name."""

    def __init__(self, database: Database, uuid: str) -> None:
        self._database = database
        self.uuid = uuid

    @property
    def _record(self) -> NodeRecord:
        with self._database.read() as (snapshot, directory):
            return directory.node(snapshot, self.uuid).record

    @property
    def locked(self) -> bool:
        """True if it is committed."""
        return self._record.locked

    @property
    def note(self) -> str:
        """What is said of it."""
        return self._record.note

    def __getitem__(self, name: str) -> Any:
        """The instance of that name: a `Volume`, a mapping of keys, ... as its type has it.

        Raises:
            UnknownInstance: the repo has none.
        """
        with self._database.view(self.uuid, name) as view:
            kind = datatype(view.instance.typename)
        return kind.handle(self._database, self.uuid, name)

    def __iter__(self) -> Iterator[str]:
        with self._database.read() as (snapshot, directory):
            names = [
                i.name for i in instances.list_instances(snapshot, directory.node(snapshot, self.uuid).record.repo)
            ]
        return iter(names)

    def create(self, typename: str, name: str, **settings: Any) -> Any:
        """Make a data instance; settings as in the HTTP API, like BlockSize="64,64,64"."""
        self._database.create_instance(self.uuid, {**settings, "typename": typename, "dataname": name})
        return self[name]

    def commit(self, note: str = "") -> None:
        """Lock the node."""
        self._database.commit(self.uuid, note=note)

    def new_version(self, note: str = "") -> Node:
        """Make an open child on the same branch."""
        return Node(self._database, self._run(lambda tx, node: nodes.new_version(tx, node, note=note)).uuid)

    def branch(self, name: str, note: str = "") -> Node:
        """Make an open child on a new branch."""
        return Node(self._database, self._run(lambda tx, node: nodes.branch(tx, node, name=name, note=note)).uuid)

    def tag(self, name: str) -> Node:
        """Give the committed node a name: that of a committed child with the same data, whose UUID the name is."""
        return Node(self._database, self._run(lambda tx, node: nodes.tag(tx, node, name=name)).uuid)

    def _run(self, operation: Callable[[Transaction, NodeRecord], T]) -> T:
        return self._database.transact(lambda tx, directory: operation(tx, directory.node(tx, self.uuid).record))

    def __repr__(self) -> str:
        return f"<Node {self.uuid}{' (committed)' if self.locked else ''}>"


def open_library(
    path: str, *, durability: Literal["durable", "relaxed"] = "durable", read_only: bool = False
) -> Library:
    """Open the store in a directory; an empty or absent directory becomes a new store.

    A server may have the same store open at the same time.

    Raises:
        StoreUnusable: the directory holds something else, or cannot be used.
    """
    return Library(Database.open(path, durability=durability, read_only=read_only))
