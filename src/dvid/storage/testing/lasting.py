"""Promises about what remains: after closing, after kill -9, in a backup."""

# ruff: noqa: D102 - the name of a test is its promise
# mypy: disable-error-code="comparison-overlap"
# (a memoryview equals bytes of the same content)

from __future__ import annotations

import os
import random
import time
from functools import partial
from pathlib import Path

import pytest

from dvid.errors import BadRequest, DvidError
from dvid.storage.protocol import Store
from dvid.storage.testing.fixtures import StoreFixtures, pairs, put_all, value_of
from dvid.storage.testing_client import COUNTER, increment


class LastingConformance(StoreFixtures):
    """What was answered stays."""

    def test_what_was_written_is_there_after_reopening(self, path: str) -> None:
        store = self.open(path)
        put_all(store, {b"%05d" % number: b"v" * (number % 5000) for number in range(2000)})
        store.close()
        store.close()
        again = self.open(path)
        with again.snapshot() as snapshot:
            assert pairs(snapshot.scan(b"0", b"9")) == [(b"%05d" % n, b"v" * (n % 5000)) for n in range(2000)]
        again.close()

    def test_a_closed_store_says_so(self, path: str) -> None:
        store = self.open(path)
        store.close()
        for use in (store.snapshot, partial(store.transact, increment), store.size, store.sync):
            with pytest.raises(DvidError, match="closed"):
                use()

    @pytest.mark.slow
    def test_kill_loses_no_answered_write_and_leaves_no_half_one(self, path: str) -> None:
        chance = random.Random(7)
        answered: set[str] = set()
        for round_ in range(10):
            with (
                self.client(path, "write", 4, f"one{round_}") as one,
                self.client(path, "write", 4, f"x{round_}") as two,
            ):
                for process in (one, two):
                    self.tell(process)
                answered.add(self.hear(one))
                time.sleep(chance.uniform(0.0, 0.15))
                # One dies while the other writes on, then the other.
                for process in (one, two):
                    process.kill()
                    assert process.stdout is not None
                    # The last line may have been cut short.
                    answered.update(process.stdout.read().split("\n")[:-1])
            store = self.open(path)
            store.transact(increment)
            with store.snapshot() as snapshot:
                self.whole_pairs(snapshot)
                kept = {entry.key[5:].decode() for entry in snapshot.scan(b"left/", b"left0")}
            store.close()
            assert answered <= kept
        assert len(answered) > 100

    def test_a_writer_killed_inside_its_transaction_does_not_block_others(self, store: Store, path: str) -> None:
        with self.client(path, "hang") as process:
            self.tell(process)
            assert self.hear(process) == "inside"
            process.kill()
            process.wait()
        put_all(store, {b"a": b"1"})
        assert value_of(store, b"a") == b"1"
        assert value_of(store, b"unfinished") is None

    def test_a_backup_under_load_is_one_state_of_the_store(self, store: Store, path: str, tmp_path: Path) -> None:
        copy = str(tmp_path / "deep" / "copy")
        put_all(store, {b"ballast%d" % number: os.urandom(100_000) for number in range(100)})
        with self.client(path, "write", 2, "tag") as process:
            self.tell(process)
            first = self.hear(process)
            least = value_of(store, b"left/" + first.encode())
            store.backup(copy)
        backup = self.open(copy)
        with backup.snapshot() as snapshot:
            assert self.whole_pairs(snapshot) > 0
            assert snapshot.get(b"left/" + first.encode()) == least
            assert len(list(snapshot.scan(b"ballast", b"ballasu"))) == 100
        # It is a store like any other.
        backup.transact(increment)
        backup.close()
        assert value_of(store, COUNTER) is None

    def test_a_backup_does_not_overwrite_anything(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "taken").mkdir()
        (tmp_path / "taken" / "file").write_text("precious")
        with pytest.raises(BadRequest, match="empty directory"):
            store.backup(str(tmp_path / "taken"))
        assert [entry.name for entry in (tmp_path / "taken").iterdir()] == ["file"]
        (tmp_path / "empty").mkdir()
        store.backup(str(tmp_path / "empty"))

    def test_size_counts_entries_and_grows_with_them(self, store: Store) -> None:
        assert store.size().entries == 0
        put_all(store, {b"%d" % number: b"x" * 1000 for number in range(1000)})
        size = store.size()
        assert size.entries == 1000
        assert size.used >= 1_000_000
        assert size.file >= size.used
        store.sync()
