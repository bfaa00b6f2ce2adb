"""A view of an instance at a node for as long as it is open, with the snapshots that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType

from dvid.storage.protocol import Snapshot, Store
from dvid.versions.catalogue import Catalogue, Directory, Node, read_instance
from dvid.versions.records import InstanceRecord
from dvid.versions.stores import Snapshots, absent, store_of
from dvid.versions.view import View


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
                if instance.store:
                    raise absent(instance)
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


class ViewingStores(Viewing):
    """A view of a database of several stores, for as long as it is open."""

    __slots__ = ("_others", "_stack")

    def __init__(
        self, store: Store, catalogue: Catalogue, selector: str, name: str, others: Mapping[str, Store]
    ) -> None:
        super().__init__(store, catalogue, selector, name)
        self._others = others
        self._stack: ExitStack | None = None

    def open(self) -> View:
        """The view; its snapshots stay open until `close`."""
        while self._view is None:
            self._stack = stack = ExitStack()
            try:
                self._view = self._agreed(stack)
            except BaseException:
                self.close()
                raise
            if self._view is None:
                stack.close()
        return self._view

    def _agreed(self, stack: ExitStack) -> View | None:
        """The view; None if node or instance have changed before both stores were seen.

        Data and metadata must belong together: data of before a commit would be taken for what is committed.
        """
        metadata = stack.enter_context(self._store.snapshot())
        directory, node, instance = self._find(metadata)
        own = None
        if instance.store:
            own = instance.store, stack.enter_context(store_of(self._others, instance).snapshot())
            metadata = stack.enter_context(self._store.snapshot())
            directory, now, same = self._find(metadata)
            if (same.number, now.record.version, now.record.locked) != (
                instance.number,
                node.record.version,
                node.record.locked,
            ):
                return None
            node, instance = now, same
        snapshots = Snapshots(metadata, self._others, stack, own=own, check=self._still_there)
        return View(metadata if own is None else own[1], directory, node, instance, snapshots)

    def _find(self, metadata: Snapshot) -> tuple[Directory, Node, InstanceRecord]:
        directory = self._catalogue.at(metadata)
        node = directory.node(metadata, self._selector)
        return directory, node, directory.instance(metadata, node.record.repo, self._name)

    def _still_there(self, instance: InstanceRecord) -> None:
        with self._store.snapshot() as snapshot:
            read_instance(snapshot, instance.number)

    def close(self) -> None:
        """Let go of the snapshots; of no effect the second time."""
        stack, self._stack, self._view = self._stack, None, None
        if stack is not None:
            stack.close()
