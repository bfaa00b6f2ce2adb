"""Reading through LMDB: what snapshots and transactions share, and snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final

import lmdb

from dvid.storage.batches import grouped, grouped_keys, seek_copies
from dvid.storage.lmdb_environment import Environment, explain
from dvid.storage.protocol import Entry

_new_entry: Final = tuple.__new__  # half the time of Entry(...), in the loop that every image read runs


class LmdbReads:
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

    def get_small(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Copies of the values of those of the keys that are there, all at once."""
        return {key: bytes(value) for key in keys if (value := self.get(key)) is not None}

    def key_batches(self, start: bytes, stop: bytes) -> Iterator[list[bytes]]:
        """The keys alone of what `scan` gives, many at a time."""
        return grouped_keys((key for key, _ in self.scan(start, stop)), stop)


class LmdbSnapshot(LmdbReads):
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

    def get_small(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Copies of the values of those of the keys that are there, all at once."""
        if not self._begin_copying():
            return super().get_small(keys)
        try:
            return dict(self._copying.cursor().getmulti(keys))
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
