"""A store with its repos: what the server, the command line and Python programs all work on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Literal, Self, TypeVar

from dvid.storage import open_store
from dvid.storage.protocol import Snapshot, Store, Transaction
from dvid.versions.catalogue import Catalogue, Directory
from dvid.versions.repos import sweep
from dvid.versions.view import Edit, View

T = TypeVar("T")


class Viewing:
    """A view for as long as it is open. It can be opened before it is entered, to look and then hand it on."""

    # Not @contextmanager: this takes half the time, on the way of every request.
    __slots__ = ("_catalogue", "_name", "_selector", "_snapshot", "_store", "_view")

    def __init__(self, store: Store, catalogue: Catalogue, selector: str, name: str) -> None:
        self._store, self._catalogue = store, catalogue
        self._selector, self._name = selector, name
        self._snapshot: AbstractContextManager[Snapshot] | None = None
        self._view: View | None = None

    def open(self) -> View:
        """The view; its snapshot stays open until `close`."""
        if self._view is None:
            self._snapshot = held = self._store.snapshot()
            snapshot = held.__enter__()
            try:
                directory = self._catalogue.at(snapshot)
                node = directory.node(snapshot, self._selector)
                instance = directory.instance(snapshot, node.record.repo, self._name)
                self._view = View(snapshot, directory, node, instance)
            except BaseException:
                self.close()
                raise
        return self._view

    def close(self) -> None:
        """Let go of the snapshot; of no effect the second time."""
        held, self._snapshot, self._view = self._snapshot, None, None
        if held is not None:
            held.__exit__(None, None, None)

    def __enter__(self) -> View:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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

    def view(self, selector: str, name: str) -> Viewing:
        """An instance at a node, to read: `with database.view(selector, name) as view`.

        Raises (as it is entered):
            UnknownNode: no node has that name.
            UnknownInstance: its repo has no such instance.
        """
        return Viewing(self.store, self._catalogue, selector, name)

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
