"""What the tests of the conformance suite start from: opened stores, and other processes that use them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from dvid.storage.protocol import Entry, Snapshot, Store, Transaction
from dvid.storage.testing_client import opened

Pairs = list[tuple[bytes, bytes]]


def put_all(store: Store, entries: dict[bytes, bytes]) -> None:
    """Write entries in one transaction."""

    def operation(transaction: Transaction) -> None:
        for key, value in entries.items():
            transaction.put(key, value)

    store.transact(operation)


def pairs(entries: Iterator[Entry]) -> Pairs:
    """Entries as they can be kept and compared."""
    return [(entry.key, bytes(entry.value)) for entry in entries]


def pair(entry: Entry | None) -> tuple[bytes, bytes] | None:
    """One entry as it can be kept and compared."""
    return None if entry is None else (entry.key, bytes(entry.value))


def value_of(store: Store, key: bytes) -> bytes | None:
    """What a new snapshot finds under a key."""
    with store.snapshot() as snapshot:
        value = snapshot.get(key)
        return None if value is None else bytes(value)


class Refused(Exception):
    """Raised by operations that are to leave nothing behind."""


class StoreFixtures:
    """A subclass sets `opener`, and overrides the fixture `path` if the location of its store is not a directory."""

    opener: ClassVar[str]
    """How any process opens a store: `module:function option=text ...`; the location is the first argument."""

    def open(self, path: str) -> Store:
        """Open the store at a location."""
        return opened(self.opener, path)

    @pytest.fixture
    def path(self, tmp_path: Path) -> str:
        """The location of a store that does not exist yet."""
        return str(tmp_path / "store")

    @pytest.fixture
    def store(self, path: str) -> Iterator[Store]:
        """A new, empty store."""
        store = self.open(path)
        yield store
        store.close()

    @contextmanager
    def client(self, path: str, *program: object) -> Iterator[subprocess.Popen[str]]:
        """Another process with the store open, that runs a program of `testing_client` when it is sent a line."""
        command = [sys.executable, "-m", "dvid.storage.testing_client", self.opener, path, *map(str, program)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()

    @staticmethod
    def tell(process: subprocess.Popen[str]) -> None:
        """Send a client a line."""
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()

    @staticmethod
    def hear(process: subprocess.Popen[str]) -> str:
        """The next line of a client."""
        assert process.stdout is not None
        return process.stdout.readline().rstrip("\n")

    @staticmethod
    def whole_pairs(snapshot: Snapshot) -> int:
        """How many pairs a snapshot holds, each of which must be whole."""
        left = {entry.key[5:]: bytes(entry.value) for entry in snapshot.scan(b"left/", b"left0")}
        right = {entry.key[6:]: bytes(entry.value) for entry in snapshot.scan(b"right/", b"right0")}
        assert left == right
        assert all(value == name * 10 for name, value in left.items())
        return len(left)
