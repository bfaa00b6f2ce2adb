"""Promises about snapshots and transactions, of threads and of processes."""

# ruff: noqa: D102 - the name of a test is its promise
# mypy: disable-error-code="comparison-overlap"
# (a memoryview equals bytes of the same content)

from __future__ import annotations

import threading

import pytest

from dvid.storage.protocol import Store, Transaction
from dvid.storage.testing.fixtures import Refused, StoreFixtures, pair, pairs, put_all, value_of
from dvid.storage.testing_client import COUNTER, in_threads, increment, nest


class IsolationConformance(StoreFixtures):
    """Transactions are whole, and take place one after the other."""

    def test_a_snapshot_does_not_see_later_commits_and_a_later_one_does(self, store: Store) -> None:
        put_all(store, {b"a": b"old", b"b": b"old"})
        with store.snapshot() as before:
            put_all(store, {b"a": b"new", b"c": b"new"})
            store.transact(lambda t: t.delete(b"b"))
            assert pairs(before.scan(b"", b"z")) == [(b"a", b"old"), (b"b", b"old")]
            with store.snapshot() as after:
                assert pairs(after.scan(b"", b"z")) == [(b"a", b"new"), (b"c", b"new")]
            assert before.get(b"c") is None
            assert pair(before.seek(b"b0", 1)) is None
            assert before.get(b"a") == b"old"

    def test_a_commit_is_seen_by_other_processes_when_it_has_returned(self, store: Store, path: str) -> None:
        with self.client(path, "get", "key") as process:
            store.transact(lambda t: t.put(b"key", b"from here"))
            self.tell(process)
            assert self.hear(process) == "from here"

    def test_a_snapshot_does_not_see_the_commits_of_other_processes(self, store: Store, path: str) -> None:
        put_all(store, {b"key": b"old"})
        with self.client(path, "put", "key", "new") as process, store.snapshot() as before:
            self.tell(process)
            assert process.wait() == 0
            assert before.get(b"key") == b"old"
            assert value_of(store, b"key") == b"new"

    def test_a_transaction_reads_its_own_writes(self, store: Store) -> None:
        put_all(store, {b"a": b"1", b"b": b"1", b"c": b"1"})

        def operation(transaction: Transaction) -> None:
            transaction.put(b"b", b"2")
            transaction.delete(b"a")
            transaction.put(b"d", b"2")
            assert transaction.get(b"a") is None
            assert transaction.get(b"b") == b"2"
            assert pair(transaction.seek(b"a", 1)) == (b"b", b"2")
            assert pairs(transaction.scan(b"a", b"z")) == [(b"b", b"2"), (b"c", b"1"), (b"d", b"2")]
            assert pairs(transaction.scan(b"a", b"z", reverse=True))[0] == (b"d", b"2")
            assert transaction.delete_range(b"b", b"d") == 2
            assert [pair(entry) for entry in transaction.seek_many([b"a", b"d"], 1)] == [(b"d", b"2")] * 2

        store.transact(operation)
        with store.snapshot() as snapshot:
            assert pairs(snapshot.scan(b"", b"z")) == [(b"d", b"2")]

    @pytest.mark.parametrize("reverse", [False, True])
    def test_a_transaction_may_write_while_it_scans(self, store: Store, reverse: bool) -> None:
        keys = [b"%04d" % number for number in range(1000)]
        put_all(store, dict.fromkeys(keys, b"x" * 50))

        def operation(transaction: Transaction) -> list[bytes]:
            seen = []
            for entry in transaction.scan(b"0", b"9", reverse=reverse):
                seen.append(entry.key)
                transaction.put(entry.key, b"y" * 500)
                if int(entry.key) % 3 == 0:
                    transaction.delete(entry.key)
            return seen

        assert store.transact(operation) == (keys[::-1] if reverse else keys)
        with store.snapshot() as snapshot:
            expected = [(key, b"y" * 500) for key in keys if int(key) % 3]
            assert pairs(snapshot.scan(b"0", b"9")) == expected

    def test_an_operation_that_raises_leaves_nothing(self, store: Store) -> None:
        put_all(store, {b"kept": b"1", b"gone": b"1"})

        def operation(transaction: Transaction) -> None:
            transaction.put(b"kept", b"2")
            transaction.put(b"more", b"x" * 100_000)
            transaction.delete(b"gone")
            raise Refused

        with pytest.raises(Refused):
            store.transact(operation)
        with store.snapshot() as snapshot:
            assert pairs(snapshot.scan(b"", b"z")) == [(b"gone", b"1"), (b"kept", b"1")]

    def test_increments_of_threads_and_processes_are_not_lost(self, store: Store, path: str) -> None:
        with self.client(path, "count", 3, 100) as one, self.client(path, "count", 3, 100) as two:
            self.tell(one)
            self.tell(two)

            def work(_: int) -> None:
                for _ in range(100):
                    store.transact(increment)

            in_threads(3, work)
            assert (one.wait(), two.wait()) == (0, 0)
        assert value_of(store, COUNTER) == b"900"

    def test_each_of_many_operations_gets_its_own_result_or_error(self, store: Store) -> None:
        outcomes: dict[int, object] = {}
        barrier = threading.Barrier(16)

        def work(thread: int) -> None:
            for number in range(thread, 320, 16):

                def operation(transaction: Transaction, number: int = number) -> int:
                    transaction.put(b"%04d" % number, b"%d" % number)
                    if number % 3 == 0:
                        raise Refused(number)
                    increment(transaction)
                    return number

                barrier.wait()
                try:
                    outcomes[number] = store.transact(operation)
                except Refused as error:
                    outcomes[number] = error

        in_threads(16, work)
        for number in range(320):
            if number % 3 == 0:
                error = outcomes[number]
                assert isinstance(error, Refused)
                assert error.args == (number,)
            else:
                assert outcomes[number] == number
        kept = [number for number in range(320) if number % 3]
        with store.snapshot() as snapshot:
            assert [entry.key for entry in snapshot.scan(b"0", b"1")] == [b"%04d" % number for number in kept]
            assert snapshot.get(COUNTER) == b"%d" % len(kept)

    def test_nobody_writes_while_writers_are_excluded(self, store: Store, path: str) -> None:
        with self.client(path, "count", 2, 150) as one, self.client(path, "count", 2, 150) as two:
            self.tell(one)
            self.tell(two)

            def look() -> bytes | None:
                before = value_of(store, COUNTER)
                for _ in range(20):
                    assert value_of(store, COUNTER) == before
                return before

            def work(thread: int) -> None:
                for _ in range(50):
                    if thread == 0:
                        mine = store.transact(increment)
                        assert int(store.exclude(look) or b"0") >= mine
                    else:
                        store.transact(increment)

            in_threads(4, work)
            assert (one.wait(), two.wait()) == (0, 0)
        assert value_of(store, COUNTER) == b"800"

    def test_what_excludes_writers_gives_its_result_or_error_in_its_own_thread(self, store: Store) -> None:
        def refuse() -> None:
            raise Refused

        def work(thread: int) -> None:
            for number in range(50):
                if thread % 2:
                    assert store.exclude(threading.get_ident) == threading.get_ident()
                    with pytest.raises(Refused):
                        store.exclude(refuse)
                else:
                    store.transact(lambda t, key=b"%d.%d" % (thread, number): t.put(key, b""))  # type: ignore[misc]

        in_threads(6, work)
        with store.snapshot() as snapshot:
            assert len(pairs(snapshot.scan(b"", b"z"))) == 150

    def test_stores_that_are_excluded_in_one_order_never_wait_for_each_other(self, store: Store, path: str) -> None:
        inner = self.open(path + ".inner")
        try:
            with self.client(path, "nest", path + ".inner", 3, 40) as process:
                self.tell(process)
                nest(store, inner, 3, 40)
                assert process.wait() == 0
            assert value_of(store, COUNTER) == value_of(inner, COUNTER) == b"480"
        finally:
            inner.close()

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
    def test_an_interrupted_operation_leaves_no_other_waiting(self, store: Store, kind: type[BaseException]) -> None:
        barrier = threading.Barrier(8)
        raised: list[BaseException] = []

        def interrupted(transaction: Transaction) -> None:
            increment(transaction)
            raise kind

        def work(thread: int) -> None:
            for _ in range(20):
                barrier.wait()
                if thread == 0:
                    with pytest.raises(kind) as info:
                        store.transact(interrupted)
                    raised.append(info.value)
                else:
                    store.transact(increment)

        in_threads(8, work)
        assert len(raised) == 20
        assert value_of(store, COUNTER) == b"140"

    def test_readers_see_whole_transactions_while_others_write(self, store: Store, path: str) -> None:
        with self.client(path, "write", 2, "one") as one, self.client(path, "write", 2, "two") as two:
            for process in (one, two):
                self.tell(process)
                self.hear(process)
            done = threading.Event()
            threading.Timer(1.0, done.set).start()

            def work(_: int) -> None:
                most = 0
                while not done.is_set():
                    with store.snapshot() as snapshot:
                        seen = self.whole_pairs(snapshot)
                    assert seen >= most
                    most = seen
                assert most > 0

            in_threads(3, work)
