"""Writing through LMDB transactions, of which a group of operations shares one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import lmdb

from dvid.errors import StoreFull, StoreUnusable
from dvid.storage.lmdb_environment import MIBIBYTE, Environment, explain
from dvid.storage.lmdb_snapshot import LmdbReads
from dvid.storage.protocol import Buffer, Entry


class LmdbTransaction(LmdbReads):
    """Reads and writes of one operation; what it writes is kept in memory until the commit.

    A value that was read is valid until the next write, and no longer than the operation.
    """

    __slots__ = ("_put", "changes", "room", "written")

    def __init__(self, environment: Environment, txn: Any, room: int) -> None:
        """Wrap an LMDB write transaction that may put at most `room` bytes."""
        self._environment = environment
        self._txn = txn
        self._get = txn.get
        self._put = txn.put
        self._cursor = None
        self.room = room
        self.written = 0
        self.changes = 0

    def put(self, key: bytes, value: Buffer) -> None:
        """Store `value` under `key`, in place of what was there."""
        self.changes += 1
        self.written += value.nbytes if isinstance(value, memoryview) else len(value)
        if self.written > self.room:
            raise limit_reached(self._environment)
        try:
            self._put(key, value)
        except lmdb.Error as error:
            raise explain(error, self._environment, key) from error

    def delete(self, key: bytes) -> bool:
        """Remove `key`; True if it was there."""
        self.changes += 1
        try:
            return bool(self._txn.delete(key))
        except lmdb.Error as error:
            raise explain(error, self._environment, key) from error

    def delete_range(self, start: bytes, stop: bytes, limit: int | None = None) -> int:
        """Remove the entries with start <= key < stop, at most `limit` of them; how many were removed."""
        self.changes += 1
        deleted = 0
        try:
            cursor = self._txn.cursor()
            more = cursor.set_range(start)
            while more and bytes(cursor.key()) < stop and deleted != limit:
                cursor.delete()
                deleted += 1
                more = bool(cursor.key())
        except lmdb.Error as error:
            raise explain(error, self._environment) from error
        return deleted

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[Entry]:
        """The entries with start <= key < stop; what is written meanwhile is seen where the scan has not been yet."""
        while True:
            changes = self.changes
            for entry in super().scan(start, stop, reverse=reverse):
                yield entry
                if self.changes != changes:
                    break
            else:
                return
            # The tree has changed under the cursor: go on behind the last key.
            if reverse:
                stop = entry.key
            else:
                start = entry.key + b"\0"

    def end(self) -> None:
        """Make this object unusable: its LMDB transaction goes on without it, or is over."""
        self._txn = _Ended()
        self._cursor = None
        self._get = self._put = _ended


def _ended(*_: object) -> NoReturn:
    raise StoreUnusable("the transaction has ended")


class _Ended:
    """Stands for the LMDB transaction when it is over."""

    def __getattr__(self, name: str) -> NoReturn:
        _ended()


class LmdbBatch:
    """One LMDB write transaction for the operations of a group; each but the first in a child transaction."""

    __slots__ = ("_begin", "_changed", "_environment", "_limit", "_txn", "written")

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._begin = environment.begin
        self._limit = environment.settings.max_size
        self.written = 0
        self._changed = False
        self._txn: Any = self._begin_top()

    def run(self, operation: Callable[[LmdbTransaction], Any]) -> Any:
        """Run one operation, all or nothing."""
        # Alone in the transaction, it needs no child of it to be taken back.
        first = not self._changed
        if self._txn is None:
            self._txn = self._begin_top()
        txn = self._txn if first else self._begin_child()
        transaction = LmdbTransaction(self._environment, txn, self._room(txn))
        try:
            result = operation(transaction)
            if self._limit is not None and transaction.written and live_bytes(txn) > self._limit:
                raise limit_reached(self._environment)
            if not first:
                try:
                    txn.commit()
                except lmdb.Error as error:
                    raise explain(error, self._environment) from error
        except BaseException:
            if not first:
                txn.abort()
            elif transaction.changes:
                txn.abort()
                self._txn = None
            raise
        finally:
            transaction.end()
        if transaction.changes:
            self._changed = True
            self.written += transaction.written
        return result

    def commit(self) -> None:
        """Commit what ran; raises StoreFull if it does not fit."""
        if not self._changed:
            self.abort()
            return
        environment = self._environment
        # Before, as an interrupt may come right after; and after, as a sync may run meanwhile.
        environment.dirty = environment.settings.relaxed
        try:
            self._txn.commit()
        except lmdb.Error as error:
            raise explain(error, environment) from error
        environment.dirty = environment.settings.relaxed

    def abort(self) -> None:
        """Drop what ran; nothing after a commit."""
        if self._txn is not None:
            self._txn.abort()

    def is_open(self) -> bool:
        """Whether it was neither committed nor aborted."""
        if self._txn is None:
            return True
        try:
            self._txn.id()
        except lmdb.Error:
            return False
        return True

    def _begin_top(self) -> Any:
        try:
            return self._begin(None, None, True, True)
        except lmdb.Error as error:
            raise explain(error, self._environment) from error

    def _begin_child(self) -> Any:
        try:
            return self._begin(None, self._txn, True, True)
        except lmdb.Error as error:
            raise explain(error, self._environment) from error

    def _room(self, txn: Any) -> int:
        """Bytes one operation may put: what is free below the limit, and the reserve for what it replaces."""
        if self._limit is None:
            return 1 << 62
        return max(0, self._limit + reserve(self._limit) - live_bytes(txn))


def reserve(max_size: int) -> int:
    """Bytes that the files may take beyond `max_size`: copies of the pages being changed, by deletions above all."""
    return max(4 * MIBIBYTE, max_size // 16)


def live_bytes(stat_of: Any) -> int:
    """Bytes of the pages that hold data, as an LMDB transaction or environment sees them."""
    stat = stat_of.stat()
    return int(stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]))


def limit_reached(environment: Environment) -> StoreFull:
    """The error for a write beyond the setting `max_size`."""
    return StoreFull(
        f"the store {environment.path} has reached its limit, max_size = {environment.settings.max_size} bytes: "
        "nothing was written, reads and deletions go on; delete something or raise max_size"
    )
