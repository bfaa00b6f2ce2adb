"""A store with its repos: what the server, the command line and Python programs all work on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

from dvid.config import Config
from dvid.datatypes.base import new_instance
from dvid.errors import ConfigError
from dvid.storage import open_store
from dvid.storage.protocol import Snapshot, Store, Transaction
from dvid.versions import instances, layout, nodes
from dvid.versions.catalogue import Catalogue, Directory, Node
from dvid.versions.edit import Edit, next_mutation
from dvid.versions.records import InstanceRecord
from dvid.versions.stores import Choice, Snapshots, absent, check_metadata, join, store_of
from dvid.versions.viewing import Viewing, ViewingStores

T = TypeVar("T")


def _result(_: Transaction, result: T) -> T:
    return result


class _Elsewhere(Exception):
    """The instance's data is in another store than was thought: the one named."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
        self.store = store


class Database:
    """Open stores, with their metadata at hand. Safe for use by many threads.

    Args:
        store: holds repos, nodes and instances, and the data of all instances that have no other store.
        others: more stores for data, by name.
        choose: names the store of a new instance; without it, that is `store`.
        read_only: nothing can be written to the stores.

    Raises:
        StoreUnusable: the stores do not belong together.
    """

    def __init__(
        self,
        store: Store,
        others: Mapping[str, Store] | None = None,
        choose: Choice | None = None,
        *,
        read_only: bool = False,
    ) -> None:
        self.store = store
        self.others = dict(sorted((others or {}).items()))
        self._choose = choose
        self._catalogue = Catalogue()
        check_metadata(store)
        if self.others:
            join(store, self.others, read_only=read_only)

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
        with ExitStack() as stack:
            store = open_store(path, durability=durability, read_only=read_only, max_size=max_size)
            stack.callback(store.close)
            database = cls(store, read_only=read_only)
            stack.pop_all()
        return database

    @classmethod
    def from_config(cls, config: Config, *, read_only: bool | None = None) -> Self:
        """Open the stores of a configuration; `read_only` goes before what it says.

        Raises:
            StoreUnusable: one cannot be used, or they do not belong together.
            ConfigError: data would outlive a power cut that its repo does not.
        """
        metadata = config.metadata_store
        read_only = config.server.read_only if read_only is None else read_only

        def choose(**instance: Any) -> str:
            name = config.store_of(**instance).name
            return "" if name == metadata.name else name

        with ExitStack() as stack:
            opened: dict[str, Store] = {}
            for store in config.stores:
                if store.durability == "durable" and metadata.durability != "durable":
                    raise ConfigError(
                        f"store.{metadata.name}.durability = {metadata.durability!r}: expected 'durable', since "
                        f"store {store.name!r} is: data would be kept whose repos and versions are lost"
                    )
                opened[store.name] = open_store(
                    store.path,
                    durability=store.durability,  # type: ignore[arg-type]  # the configuration allows these two
                    max_size=store.max_size,
                    read_only=read_only,
                )
                stack.callback(opened[store.name].close)
            main = opened.pop(metadata.name)
            database = cls(main, opened, choose if opened else None, read_only=read_only)
            stack.pop_all()
        return database

    def close(self) -> None:
        """Let go of the stores."""
        with ExitStack() as stack:
            for store in self.stores:
                stack.callback(store.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def read(self) -> Iterator[tuple[Snapshot, Directory]]:
        """One state of the metadata, and its directory."""
        with self.store.snapshot() as snapshot:
            yield snapshot, self._catalogue.at(snapshot)

    @contextmanager
    def read_all(self) -> Iterator[tuple[Snapshots, Directory]]:
        """One state of each store, and the directory. The data may be younger than the metadata."""
        with ExitStack() as stack:
            snapshot = stack.enter_context(self.store.snapshot())
            yield Snapshots(snapshot, self.others, stack), self._catalogue.at(snapshot)

    def transact(self, operation: Callable[[Transaction, Directory], T]) -> T:
        """Run an operation on the metadata in a transaction; the directory is that of the state before it.

        See `dvid.storage.protocol.Store.transact` for what an operation may do.
        """
        return self.store.transact(lambda transaction: operation(transaction, self._catalogue.within(transaction)))

    def view(self, selector: str, name: str) -> Viewing:
        """An instance at a node, to read: `with database.view(selector, name) as view`.

        Raises (as it is entered):
            UnknownNode: no node has that name.
            UnknownInstance: its repo has no such instance.
        """
        if self.others:
            return ViewingStores(self.store, self._catalogue, selector, name, self.others)
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
            StoreAbsent: the instance's data is in a store that is not open.
        """
        begin = partial(Edit, user=user, app=app, unlocked=unlocked)

        def run(transaction: Transaction) -> T:
            directory = self._catalogue.within(transaction)
            node = directory.node(transaction, selector)
            instance = directory.instance(transaction, node.record.repo, name)
            if not self.others:
                if instance.store:
                    raise absent(instance)
                return operation(begin(transaction, directory, node, instance))
            if instance.store:
                raise _Elsewhere(instance.store)
            with ExitStack() as stack:
                snapshots = Snapshots(transaction, self.others, stack)
                return operation(begin(transaction, directory, node, instance, snapshots=snapshots))

        if not self.others:
            return self.store.transact(run)
        with self.read() as (snapshot, directory):
            place = directory.instance(snapshot, directory.node(snapshot, selector).record.repo, name).store
        while True:  # until the instance stays where it was found: another may have been given its name
            try:
                if place:
                    return self._edit_elsewhere(place, selector, name, begin, operation)
                return self.store.transact(run)
            except _Elsewhere as found:
                place = found.store

    def _edit_elsewhere(
        self, place: str, selector: str, name: str, begin: Callable[..., Edit], operation: Callable[[Edit], T]
    ) -> T:
        """Run an operation on an instance whose data is in another store.

        Its transaction is of that store. The lock of the node is looked at inside it, in metadata of the moment:
        `commit` waits until it has ended.
        """

        def found(metadata: Snapshot, directory: Directory) -> tuple[Node, InstanceRecord]:
            node = directory.node(metadata, selector)
            instance = directory.instance(metadata, node.record.repo, name)
            if instance.store != place:
                raise _Elsewhere(instance.store)
            return node, instance

        def reserve(transaction: Transaction) -> tuple[int, int]:
            repo = found(transaction, self._catalogue.within(transaction))[1].repo
            return repo, next_mutation(transaction, repo)

        def run(transaction: Transaction) -> T:
            with ExitStack() as stack:
                metadata = stack.enter_context(self.store.snapshot())
                directory = self._catalogue.at(metadata)
                node, instance = found(metadata, directory)
                if instance.repo != repo:  # the selector names a node of another repo by now
                    raise _Elsewhere(place)
                snapshots = Snapshots(metadata, self.others, stack, own=(place, transaction))
                return operation(begin(transaction, directory, node, instance, snapshots=snapshots, mutation=mutation))

        with self.read() as (snapshot, directory):
            store = store_of(self.others, found(snapshot, directory)[1])
        repo, mutation = self.store.transact(reserve)
        return store.transact(run)

    def configure(
        self,
        selector: str,
        name: str,
        operation: Callable[[Transaction, InstanceRecord], T],
        before: Callable[[Transaction, InstanceRecord, int], None] | None = None,
    ) -> T:
        """Run an operation on the record of an instance, in one transaction of the metadata.

        Args:
            selector: names a node of its repo, as in `Directory.node`.
            name: of the instance.
            operation: what to do with the record.
            before: run first, on the instance's data, with its record and the root version of its repo. Where the data are in
                another store, in a transaction that ends before the other begins: it must do no harm alone.

        Raises:
            UnknownNode: no node has that name.
            UnknownInstance: its repo has no such instance.
            StoreAbsent: the instance's data is in a store that is not open.
        """

        def found(metadata: Snapshot, directory: Directory) -> tuple[InstanceRecord, int]:
            repo = directory.node(metadata, selector).record.repo
            return directory.instance(metadata, repo, name), directory.repo(metadata, repo).root_version

        def elsewhere(transaction: Transaction) -> int:
            with self.read() as metadata:  # of the moment: the instance may have been deleted
                instance, root = found(*metadata)
                if before is None or instance.store != place:
                    return 0
                before(transaction, instance, root)
                return instance.number

        def run(transaction: Transaction, directory: Directory) -> T:
            instance, root = found(transaction, directory)
            if before is not None and instance.number != prepared:
                if instance.store:
                    raise _Elsewhere(instance.store)
                before(transaction, instance, root)
            return operation(transaction, instance)

        place, prepared = "", 0
        while True:  # until the instance is the one that was found: another may have been given its name
            try:
                if place:
                    with self.read() as metadata:
                        store = store_of(self.others, found(*metadata)[0])
                    prepared = store.transact(elsewhere)
                return self.transact(run)
            except _Elsewhere as now:
                place = now.store

    @overload
    def create_instance(self, selector: str, given: Mapping[str, Any]) -> InstanceRecord: ...
    @overload
    def create_instance(
        self, selector: str, given: Mapping[str, Any], *, then: Callable[[Transaction, InstanceRecord], T]
    ) -> T: ...
    def create_instance(
        self, selector: str, given: Mapping[str, Any], *, then: Callable[[Transaction, InstanceRecord], Any] = _result
    ) -> Any:
        """Make a data instance on an open node, in the store that the configuration chooses; its record.

        Args:
            selector: names the node.
            given: as `dvid.datatypes.base.new_instance` takes it.
            then: ends the transaction: what it makes of the record is the result.

        Raises:
            BadRequest: something is missing, unknown or not what it should be.
            LockedNode: the node is committed.
        """

        def run(transaction: Transaction, directory: Directory) -> Any:
            node = directory.node(transaction, selector).record
            return then(transaction, new_instance(transaction, node, given, self._choose))

        return self.transact(run)

    @overload
    def commit(self, selector: str, *, note: str = "", log: Sequence[str] = ()) -> str: ...
    @overload
    def commit(
        self, selector: str, *, note: str = "", log: Sequence[str] = (), then: Callable[[Transaction, str], T]
    ) -> T: ...
    def commit(
        self,
        selector: str,
        *,
        note: str = "",
        log: Sequence[str] = (),
        then: Callable[[Transaction, str], Any] = _result,
    ) -> Any:
        """Lock a node: it can be read and built upon, and not changed any more; its UUID.

        Args:
            selector: names the node.
            note: about it; empty: the one it has stays.
            log: lines to append to its log.
            then: ends the transaction: what it makes of the UUID is the result.

        Raises:
            LockedNode: it is locked already.
            StoreAbsent: the repo has data in a store that is not open, where somebody may be writing to the node.
        """

        def run(transaction: Transaction) -> Any:
            node = self._catalogue.within(transaction).node(transaction, selector).record
            if transaction.get(layout.IDENTITY) is not None:  # there have been other stores
                for instance in instances.list_instances(transaction, node.repo):
                    if instance.store and instance.store not in self.others:  # its writers would not be kept out
                        raise absent(instance)
            nodes.commit(transaction, node, note=note, log=log)
            return then(transaction, node.uuid)

        return self._without_writers(partial(self.store.transact, run))

    def _without_writers(self, operation: Callable[[], T]) -> T:
        """Run an operation while nobody writes to the other stores: they are taken in the order of their names."""
        for name in reversed(self.others):
            operation = partial(self.others[name].exclude, operation)
        return operation()

    @property
    def stores(self) -> tuple[Store, ...]:
        """All that are open, the one that holds the metadata first."""
        return (self.store, *self.others.values())
