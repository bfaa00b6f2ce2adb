"""What an engine must offer: an ordered, transactional map from bytes to bytes.

Nothing else of an engine shows. Keys are at most `MAX_KEY` bytes long and not empty; values may be empty and as large
as memory allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, TypeVar

MAX_KEY = 511
"""Longest key in bytes (the limit of LMDB, the embedded engine)."""

T = TypeVar("T")
Buffer = bytes | bytearray | memoryview


class Entry(NamedTuple):
    """One stored pair. The value is a view into the store: it is valid only as long as the snapshot it came from."""

    key: bytes
    value: memoryview


class Snapshot(Protocol):
    """Reads from one consistent state of the store. Not shared between threads."""

    def get(self, key: bytes) -> memoryview | None:
        """The value stored under `key`, or None."""
        ...

    def seek(self, start: bytes, tail: int) -> Entry | None:
        """The first entry at or after `start` among the keys that begin with `start[:-tail]`, or None.

        `tail` is at least 1: how many bytes at the end of `start` the key found may differ in, or be longer or shorter by.
        """
        ...

    def seek_many(self, starts: Iterable[bytes], tail: int) -> list[Entry | None]:
        """`seek` for each of `starts`, in their order."""
        ...

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[Entry]:
        """The entries with start <= key < stop in the order of their keys, or backwards."""
        ...

    def batches(self, start: bytes, stop: bytes) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """What `scan` gives, many at a time: keys, and copies of their values. Fastest where values are small.

        A batch holds about 256 KiB, or one larger value.
        """
        ...

    def seek_batch(self, starts: Sequence[bytes], tail: int) -> list[tuple[bytes, bytes] | None]:
        """`seek` for the first of `starts`, with copies of the values: fastest where they are small.

        At least one, if there is one, and then as many as hold about 256 KiB together.
        """
        ...

    def get_small(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Copies of the values of those of the keys that are there, all at once: fastest, for values known to be small."""
        ...

    def key_batches(self, start: bytes, stop: bytes) -> Iterator[list[bytes]]:
        """The keys alone of what `scan` gives, many at a time. The values are not read from the disk."""
        ...


class Transaction(Snapshot, Protocol):
    """Reads and writes that take effect together or not at all. Reads see the transaction's own writes.

    Values read stay valid until the next write of the same transaction.
    """

    def put(self, key: bytes, value: Buffer) -> None:
        """Store `value` under `key`, in place of what was there."""
        ...

    def delete(self, key: bytes) -> bool:
        """Remove `key`; True if it was there."""
        ...

    def delete_range(self, start: bytes, stop: bytes, limit: int | None = None) -> int:
        """Remove the entries with start <= key < stop, at most `limit` of them; how many were removed."""
        ...


class StoreSize(NamedTuple):
    """How much room a store takes, in bytes."""

    used: int
    """Bytes of the pages in use."""
    file: int
    """Bytes of the store's files on disk."""
    entries: int
    """Number of entries."""


class Store(Protocol):
    """An open store. Safe for use by many threads; several processes may open the same store."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """A consistent state to read from, until the context ends."""
        ...

    def transact(self, operation: Callable[[Transaction], T]) -> T:
        """Run `operation` in a serializable transaction, commit it, and give its result.

        When this returns, the writes are durable (as the store's durability setting says) and visible to every later
        snapshot of every process. When `operation` raises, nothing is written. `operation` may be called more than
        once (each time on a fresh state) and may run in another thread: it must not have effects outside the
        transaction.

        Raises:
            StoreFull: the disk or the store is full; nothing was written.
        """
        ...

    def exclude(self, operation: Callable[[], T]) -> T:
        """Run `operation` while no other process or thread is writing to this store, and give its result.

        What was written before is committed when it begins, and writers wait until it has ended. It runs in the
        thread that calls, once, and may use other stores, but not write to this one. So that two such calls never
        wait for each other, all that nest them must do it in one order of the stores.
        """
        ...

    def size(self) -> StoreSize:
        """How much room the store takes."""
        ...

    def sync(self) -> None:
        """Force everything committed so far to disk."""
        ...

    def backup(self, directory: str) -> None:
        """Write a compact, consistent copy of the store into an empty directory, while reads and writes go on."""
        ...

    def close(self) -> None:
        """Finish what is under way and let go of the files."""
        ...
