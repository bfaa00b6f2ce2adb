"""The embedded engine: LMDB, a memory-mapped B+ tree that several processes read without locks and without copies.

There is one writer at a time; the writers of one process share commits (`group_commit`), those of several take turns.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from typing import TypeVar

import lmdb

from dvid.errors import BadRequest, Forbidden, StoreUnusable
from dvid.storage.lmdb_environment import (
    DATA_FILE,
    Environment,
    Settings,
    acquire,
    explain,
    release,
    sync_directory,
    write_marker,
)
from dvid.storage.lmdb_snapshot import LmdbSnapshot
from dvid.storage.lmdb_transaction import LmdbBatch, LmdbTransaction, live_bytes
from dvid.storage.protocol import StoreSize

T = TypeVar("T")


class LmdbStore:
    """A store in one directory of a local disk. Safe for many threads; several processes may open it at one time."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        relaxed: bool = False,
        read_only: bool = False,
        max_size: int | None = None,
        map_size: int | None = None,
    ) -> None:
        """Open the store in the directory `path`; an empty or missing directory is made a store.

        Args:
            path: a directory on a local disk (LMDB does not work on network file systems).
            relaxed: commits are not synced one by one, but all together every second.
            read_only: refuse writes; the directory must be a store already.
            max_size: most bytes the data may take: writes beyond it are refused. None: what the disk holds.
            map_size: bytes of address space to reserve. None: more than the disk can hold.

        Raises:
            StoreUnusable: the directory is not a store of this format, or cannot be read or written.
        """
        self._environment = acquire(os.fspath(path), Settings(relaxed, read_only, max_size, map_size), LmdbBatch)
        self._is_open = True

    def snapshot(self) -> LmdbSnapshot:
        """A consistent state to read from, until the context ends; its values are valid no longer than that."""
        if not self._is_open:
            raise StoreUnusable("the store is closed")
        return LmdbSnapshot(self._environment)

    def transact(self, operation: Callable[[LmdbTransaction], T]) -> T:
        """Run `operation` in a serializable transaction, commit it, and give its result.

        Raises:
            StoreFull: the disk is full or the limit is reached; nothing was written.
            Forbidden: the store was opened read-only.
        """
        return self._writable_environment().writer.submit(operation)

    def exclude(self, operation: Callable[[], T]) -> T:
        """Run `operation` while no other process or thread is writing to this store, and give its result.

        Raises:
            Forbidden: the store was opened read-only.
        """
        return self._writable_environment().writer.submit(lambda _: operation(), alone=True)

    def size(self) -> StoreSize:
        """How much room the store takes."""
        environment = self._open_environment()
        try:
            used, entries = live_bytes(environment.env), environment.env.stat()["entries"]
        except lmdb.Error as error:
            raise explain(error, environment) from error
        return StoreSize(used, os.stat(os.path.join(environment.path, DATA_FILE)).st_size, entries)

    def sync(self) -> None:
        """Force everything committed so far to disk; after a commit of a durable store there is nothing to do."""
        self._open_environment().sync()

    def backup(self, directory: str) -> None:
        """Write a compact, consistent copy of the store into an empty or missing directory.

        Reads and writes go on meanwhile, but the pages that they free are not used again before the copy is complete.
        The copy appears under its name when it is complete and on disk.

        Raises:
            BadRequest: the directory is not empty, or cannot be written.
            StoreFull: the disk of the copy is full.
        """
        environment = self._open_environment()
        target = os.path.realpath(directory)
        parent, name = os.path.split(target)
        if os.path.lexists(target) and (not os.path.isdir(target) or os.listdir(target)):
            raise BadRequest(f"a backup goes into an empty directory: {directory} is not one")
        temporary = ""
        try:
            os.makedirs(parent, exist_ok=True)
            temporary = tempfile.mkdtemp(prefix=f".{name}.", dir=parent)
            with self.snapshot():  # keeps the files mapped if the store is closed meanwhile
                environment.env.copy(temporary, compact=True)
            with open(os.path.join(temporary, DATA_FILE), "rb") as data:
                os.fsync(data.fileno())
            write_marker(temporary)
            os.chmod(temporary, 0o755)
            os.rename(temporary, target)
            temporary = ""
            sync_directory(parent)
        except lmdb.Error as error:
            raise explain(error, environment, directory=directory) from error
        except OSError as error:
            raise BadRequest(f"cannot write a backup into {directory}: {error.strerror}") from error
        finally:
            if temporary:
                shutil.rmtree(temporary, ignore_errors=True)

    def close(self) -> None:
        """Finish what is under way and let go of the files; of no effect the second time."""
        if self._is_open:
            self._is_open = False
            release(self._environment)

    def _writable_environment(self) -> Environment:
        environment = self._open_environment()
        if environment.settings.read_only:
            raise Forbidden(f"the store {environment.path} was opened read-only")
        return environment

    def _open_environment(self) -> Environment:
        if not self._is_open:
            raise StoreUnusable("the store is closed")
        return self._environment
