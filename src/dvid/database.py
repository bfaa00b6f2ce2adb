"""A store with its repos: what the server, the command line and Python programs all work on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Literal, Self, TypeVar

from dvid.storage import open_store
from dvid.storage.protocol import Snapshot, Store, Transaction
from dvid.versions.catalogue import Catalogue, Directory
from dvid.versions.repos import sweep
from dvid.versions.view import Edit, View

T = TypeVar("T")


class Database:
    """An open store, with its metadata at hand. Safe for use by many threads."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._catalogue = Catalogue()

    @classmethod
    def open(
        cls,
        path: str,
        *,
        durability: Literal["durable", "relaxed"] = "durable",
        read_only: bool = False,
        max_size: int | None = None,
    ) -> Self:
        """Open the store in a directory; an empty or absent directory becomes a new store.

        Raises:
            StoreUnusable: the directory holds something else, or cannot be used.
        """
        return cls(open_store(path, durability=durability, read_only=read_only, max_size=max_size))

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def read(self) -> Iterator[tuple[Snapshot, Directory]]:
        """One state of the store and its directory."""
        with self.store.snapshot() as snapshot:
            yield snapshot, self._catalogue.at(snapshot)

    def transact(self, operation: Callable[[Transaction, Directory], T]) -> T:
        """Run an operation in a transaction; the directory is that of the state before it.

        See `dvid.storage.protocol.Store.transact` for what an operation may do.
        """
        return self.store.transact(lambda transaction: operation(transaction, self._catalogue.within(transaction)))

    @contextmanager
    def view(self, selector: str, name: str) -> Iterator[View]:
        """An instance at a node, to read.

        Raises:
            UnknownNode: no node has that name.
            UnknownInstance: its repo has no such instance.
        """
        with self.store.snapshot() as snapshot:
            directory = self._catalogue.at(snapshot)
            node = directory.node(snapshot, selector)
            yield View(snapshot, directory, node, directory.instance(snapshot, node.record.repo, name))

    def edit(
        self,
        selector: str,
        name: str,
        operation: Callable[[Edit], T],
        *,
        user: str = "",
        app: str = "",
        unlocked: bool = False,
    ) -> T:
        """Run an operation on an instance at a node, in one transaction.

        Args:
            selector: names the node, as in `Directory.node`.
            name: of the instance.
            operation: what to do.
            user: who does it, for the mutation log.
            app: with which program, for the mutation log.
            unlocked: write to the node even if it is committed.

        Raises:
            UnknownNode: no node has that name.
            UnknownInstance: its repo has no such instance.
            LockedNode: the node is committed.
        """

        def run(transaction: Transaction) -> T:
            directory = self._catalogue.within(transaction)
            node = directory.node(transaction, selector)
            instance = directory.instance(transaction, node.record.repo, name)
            return operation(Edit(transaction, directory, node, instance, user=user, app=app, unlocked=unlocked))

        return self.store.transact(run)

    def sweep(self) -> int:
        """Remove some of the data of deleted instances; how many entries. 0: nothing is left to remove."""
        return self.store.transact(sweep)
