"""Reading and writing through LMDB transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, NoReturn

import lmdb

from dvid.errors import StoreFull, StoreUnusable
from dvid.storage.batches import grouped, grouped_keys, seek_copies
from dvid.storage.lmdb_environment import MIBIBYTE, Environment, explain
from dvid.storage.protocol import Buffer, Entry

_new_entry: Final = tuple.__new__  # half the time of Entry(...), in the loop that every image read runs


class _Reads:
    """What snapshots and transactions share: reads through one LMDB transaction and one cursor that is used again."""

    __slots__ = ("_cursor", "_environment", "_get", "_txn")

    _environment: Environment
    _txn: Any
    _get: Any
    _cursor: Any

    def get(self, key: bytes) -> memoryview | None:
        """The value stored under `key`, or None."""
        try:
            value: memoryview | None = self._get(key)
        except lmdb.Error as error:
            raise explain(error, self._environment, key) from error
        return value

    def seek(self, start: bytes, tail: int) -> Entry | None:
        """The first entry at or after `start` among the keys that begin with `start[:-tail]`, or None."""
        cursor = self._cursor
        try:
            if cursor is None:
                cursor = self._cursor = self._txn.cursor()
            if cursor.set_range(start):
                key, value = cursor.item()
                key = bytes(key)
                if key.startswith(start[:-tail]):
                    return _new_entry(Entry, (key, value))
        except lmdb.Error as error:
            raise explain(error, self._environment) from error
        return None

    def seek_many(self, starts: Iterable[bytes], tail: int) -> list[Entry | None]:
        """`seek` for each of `starts`, in their order."""
        cut = -tail
        entry, new = Entry, _new_entry
        found: list[Entry | None] = []
        append = found.append
        try:
            cursor = self._cursor
            if cursor is None:
                cursor = self._cursor = self._txn.cursor()
            set_range, item = cursor.set_range, cursor.item
            for start in starts:
                if set_range(start):
                    key, value = item()
                    key = bytes(key)
                    append(new(entry, (key, value)) if key.startswith(start[:cut]) else None)
                else:
                    append(None)
        except lmdb.Error as error:
            raise explain(error, self._environment) from error
        return found

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[Entry]:
        """The entries with start <= key < stop in the order of their keys, or backwards."""
        if start >= stop:
            return
        entry, new = Entry, _new_entry
        try:
            # A cursor of its own: the caller may seek while it iterates.
            cursor = self._txn.cursor()
            if reverse:
                if not (cursor.prev() if cursor.set_range(stop) else cursor.last()):
                    return
                for found, value in cursor.iterprev():
                    key = bytes(found)
                    if key < start:
                        return
                    yield new(entry, (key, value))
            elif cursor.set_range(start):
                for found, value in cursor.iternext():
                    key = bytes(found)
                    if key >= stop:
                        return
                    yield new(entry, (key, value))
        except lmdb.Error as error:
            raise explain(error, self._environment) from error

    def batches(self, start: bytes, stop: bytes) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """What `scan` gives, many at a time, with copies of the values."""
        return grouped(((key, bytes(value)) for key, value in self.scan(start, stop)), stop)

    def seek_batch(self, starts: Sequence[bytes], tail: int) -> list[tuple[bytes, bytes] | None]:
        """`seek` for the first of `starts`, with copies of the values."""
        cursor = self._cursor
        if cursor is None:
            cursor = self._cursor = self._txn.cursor()
        try:
            return seek_copies(cursor, starts, tail)
        except lmdb.Error as error:
            raise explain(error, self._environment) from error

    def key_batches(self, start: bytes, stop: bytes) -> Iterator[list[bytes]]:
        """The keys alone of what `scan` gives, many at a time."""
        return grouped_keys((key for key, _ in self.scan(start, stop)), stop)


class LmdbSnapshot(_Reads):
    """Reads from one consistent state, between `with` and its end. Not to be used by two threads at one time."""

    __slots__ = ("_copying",)

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._copying: Any = None
        """An LMDB transaction on the same state that gives bytes in place of views: several times faster to scan."""

    def __enter__(self) -> LmdbSnapshot:
        environment = self._environment
        # First of all, so that a close that comes now leaves the files mapped.
        environment.live.add(id(self))
        try:
            try:
                self._txn = txn = environment.begin(None, None, False, True)
            except lmdb.ReadersFullError:
                environment.clear_stale_readers()
                self._txn = txn = environment.begin(None, None, False, True)
        except BaseException as error:
            self._leave()
            if isinstance(error, lmdb.Error):
                raise explain(error, environment) from error
            raise
        self._get = txn.get
        self._cursor = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._txn.abort()
        if self._copying is not None:
            self._copying.abort()
            self._copying = None
        self._leave()

    def batches(self, start: bytes, stop: bytes) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """What `scan` gives, many at a time, with copies of the values."""
        if not self._begin_copying():
            yield from super().batches(start, stop)
        elif start < stop:
            try:
                cursor = self._copying.cursor()
                if cursor.set_range(start):
                    yield from grouped(cursor.iternext(), stop)
            except lmdb.Error as error:
                raise explain(error, self._environment) from error

    def key_batches(self, start: bytes, stop: bytes) -> Iterator[list[bytes]]:
        """The keys alone of what `scan` gives, many at a time."""
        if not self._begin_copying():
            yield from super().key_batches(start, stop)
        elif start < stop:
            try:
                cursor = self._copying.cursor()
                if cursor.set_range(start):
                    yield from grouped_keys(cursor.iternext(values=False), stop)
            except lmdb.Error as error:
                raise explain(error, self._environment) from error

    def seek_batch(self, starts: Sequence[bytes], tail: int) -> list[tuple[bytes, bytes] | None]:
        """`seek` for the first of `starts`, with copies of the values."""
        if not self._begin_copying():
            return super().seek_batch(starts, tail)
        try:
            return seek_copies(self._copying.cursor(), starts, tail)
        except lmdb.Error as error:
            raise explain(error, self._environment) from error

    def _begin_copying(self) -> bool:
        """Whether there is a second transaction on the state of the first: not if a commit came between the two."""
        if self._copying is None:
            try:
                txn = self._environment.begin(None, None, False, False)
            except lmdb.Error:
                return False
            if txn.id() != self._txn.id():
                txn.abort()
                return False
            self._copying = txn
        return True

    def _leave(self) -> None:
        environment = self._environment
        environment.live.discard(id(self))
        if environment.closed:
            environment.finish()


class LmdbTransaction(_Reads):
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
