"""Promises about keys, values and their order."""

# ruff: noqa: D102 - the name of a test is its promise
# mypy: disable-error-code="comparison-overlap"
# (a memoryview equals bytes of the same content)

from __future__ import annotations

import random
import tempfile
from bisect import bisect_left
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from dvid.errors import BadRequest
from dvid.storage.protocol import MAX_KEY, Snapshot, Store, Transaction
from dvid.storage.testing.fixtures import Refused, StoreFixtures, pair, pairs, put_all, value_of


def batched(snapshot: Snapshot, start: bytes, stop: bytes) -> list[tuple[bytes, bytes]]:
    """What the batches of a range hold, if their keys are those of its key batches."""
    found = [pair for keys, values in snapshot.batches(start, stop) for pair in zip(keys, values, strict=True)]
    assert [key for keys in snapshot.key_batches(start, stop) for key in keys] == [key for key, _ in found]
    return found


class OrderConformance(StoreFixtures):
    """A store is a sorted map from bytes to bytes."""

    def test_a_value_is_read_as_it_was_written(self, store: Store) -> None:
        put_all(store, {b"a": b"1", b"b": b"", b"a" * MAX_KEY: b"\x00\xff", b"\xff" * MAX_KEY: b"last"})
        assert value_of(store, b"a") == b"1"
        assert value_of(store, b"b") == b""
        assert value_of(store, b"a" * MAX_KEY) == b"\x00\xff"
        assert value_of(store, b"\xff" * MAX_KEY) == b"last"
        assert value_of(store, b"c") is None

    def test_values_may_be_bytearrays_and_views(self, store: Store) -> None:
        store.transact(lambda t: t.put(b"a", bytearray(b"array")))
        store.transact(lambda t: t.put(b"v", memoryview(b"a view of it")[2:6]))
        assert (value_of(store, b"a"), value_of(store, b"v")) == (b"array", b"view")

    def test_a_value_of_more_than_100_megabytes_is_kept(self, store: Store) -> None:
        value = random.Random(1).randbytes(1 << 20) * 101 + b"end"
        store.transact(lambda t: t.put(b"large", value))
        with store.snapshot() as snapshot:
            assert snapshot.get(b"large") == value

    @pytest.mark.parametrize("key", [b"", b"k" * (MAX_KEY + 1), b"k" * 5000])
    def test_a_key_of_a_bad_length_is_refused_by_its_length(self, store: Store, key: bytes) -> None:
        with pytest.raises(BadRequest, match=f"{len(key)} bytes"):
            store.transact(lambda t: t.put(key, b"value"))

    def test_a_put_replaces_and_a_delete_says_whether_it_was_there(self, store: Store) -> None:
        put_all(store, {b"a": b"1"})
        put_all(store, {b"a": b"2"})
        assert value_of(store, b"a") == b"2"
        assert store.transact(lambda t: (t.delete(b"a"), t.delete(b"a"))) == (True, False)
        assert value_of(store, b"a") is None

    def test_a_scan_gives_keys_in_the_order_of_their_bytes(self, store: Store) -> None:
        keys = [b"a", b"\x00", b"b", b"a\x00", b"a\x00\x00", b"\xff", b"\x7f", b"\x80", b"ab", b"B"]
        put_all(store, {key: b"v" + key for key in keys})
        expected = [(key, b"v" + key) for key in sorted(keys)]
        end = b"\xff" * (MAX_KEY + 1)
        with store.snapshot() as snapshot:
            assert pairs(snapshot.scan(b"", end)) == expected
            assert pairs(snapshot.scan(b"", end, reverse=True)) == expected[::-1]

    def test_a_scan_takes_its_start_and_not_its_stop(self, store: Store) -> None:
        put_all(store, {b"%d" % digit: b"" for digit in range(10)})
        with store.snapshot() as snapshot:

            def keys(start: bytes, stop: bytes, *, reverse: bool = False) -> bytes:
                return b"".join(entry.key for entry in snapshot.scan(start, stop, reverse=reverse))

            assert keys(b"3", b"6") == b"345"
            assert keys(b"3", b"6", reverse=True) == b"543"
            assert keys(b"25", b"55") == b"345"
            assert keys(b"25", b"55", reverse=True) == b"543"
            assert keys(b"7", b"x", reverse=True) == b"987"
            assert keys(b"6", b"6") == keys(b"6", b"3") == keys(b"6", b"3", reverse=True) == b""
            assert keys(b"x", b"y") == keys(b"x", b"y", reverse=True) == b""
            assert keys(b"", b"0") == keys(b"", b"0", reverse=True) == b""

    def test_a_scan_may_be_left_early_and_seeks_do_not_disturb_it(self, store: Store) -> None:
        put_all(store, {b"%03d" % number: b"" for number in range(100)})
        with store.snapshot() as snapshot:
            scan = snapshot.scan(b"000", b"999")
            assert [next(scan).key for _ in range(3)] == [b"000", b"001", b"002"]
            assert snapshot.seek(b"050", 1) == (b"050", b"")
            assert next(snapshot.scan(b"000", b"999", reverse=True)).key == b"099"
            assert next(scan).key == b"003"
        assert value_of(store, b"050") == b""

    def test_nothing_is_found_in_an_empty_store(self, store: Store) -> None:
        with store.snapshot() as snapshot:
            assert snapshot.get(b"a") is None
            assert snapshot.seek(b"abc", 2) is None
            assert snapshot.seek_many([b"abc", b"b"], 1) == [None, None]
            assert list(snapshot.scan(b"", b"\xff")) == list(snapshot.scan(b"", b"\xff", reverse=True)) == []

    def test_a_seek_finds_the_first_entry_at_or_after_its_start_with_the_same_head(self, store: Store) -> None:
        put_all(store, {b"key1/020": b"a", b"key1/040": b"b", b"key3/001": b"c"})
        cases = {
            b"key1/000": (b"key1/020", b"a"),
            b"key1/020": (b"key1/020", b"a"),
            b"key1/021": (b"key1/040", b"b"),
            b"key1/041": None,
            b"key2/000": None,
            b"key3/000": (b"key3/001", b"c"),
            b"key3/002": None,
            b"key0/999": None,
            b"key9/000": None,
        }
        with store.snapshot() as snapshot:
            assert {start: pair(snapshot.seek(start, 3)) for start in cases} == cases
            assert [pair(entry) for entry in snapshot.seek_many(cases, 3)] == list(cases.values())
            assert snapshot.seek_many([], 3) == []
            # A longer tail is a shorter head.
            assert pair(snapshot.seek(b"key2/000", 5)) == (b"key3/001", b"c")

    def test_values_sought_together_stay_valid_together(self, store: Store) -> None:
        keys = [b"%04d" % number for number in range(2000)]
        put_all(store, {key: key * 300 for key in keys})
        with store.snapshot() as snapshot:
            found = snapshot.seek_many(keys[::-1], 1)
            assert [pair(entry) for entry in found] == [(key, key * 300) for key in keys[::-1]]

    @pytest.mark.parametrize("size", [10, 3000, 300_000])
    def test_batches_hold_together_what_a_scan_gives(self, store: Store, size: int) -> None:
        keys = [b"%05d" % number for number in range(3000 if size < 300_000 else 6)]
        put_all(store, {key: key * (size // 5) for key in keys})
        with store.snapshot() as snapshot:
            for start, stop in ((b"", b"x"), (keys[1], keys[-2]), (keys[1], keys[2]), (keys[1], keys[1]), (b"x", b"y")):
                assert batched(snapshot, start, stop) == pairs(snapshot.scan(start, stop))
            for _, values in snapshot.batches(b"", b"x"):
                assert sum(map(len, values[:-1])) < 1 << 18
            found, left = [], keys[::-1]
            while left:
                batch = snapshot.seek_batch(left, 1)
                assert batch
                assert sum(len(entry[1]) for entry in batch[:-1] if entry) < 1 << 18
                found += batch
                left = left[len(batch) :]
            assert found == [(key, key * (size // 5)) for key in keys[::-1]]

    def test_batches_show_the_state_of_their_snapshot_whatever_is_written_meanwhile(self, store: Store) -> None:
        put_all(store, {b"a0": b"1", b"c0": b"1"})
        with store.snapshot() as before:
            put_all(store, {b"a0": b"2", b"b0": b"2"})
            assert batched(before, b"", b"x") == [(b"a0", b"1"), (b"c0", b"1")]
            assert before.seek_batch([b"a0", b"b0", b"c0"], 1) == [(b"a0", b"1"), None, (b"c0", b"1")]
            with store.snapshot() as snapshot:
                batches, keys = snapshot.batches(b"a0", b"x"), snapshot.key_batches(b"a0", b"x")
                put_all(store, {b"a0": b"3"})
                assert next(batches) == ([b"a0", b"b0", b"c0"], [b"2", b"2", b"1"])
                put_all(store, {b"a0": b"4"})
                assert next(keys) == [b"a0", b"b0", b"c0"]

    def test_delete_range_removes_at_most_its_limit_from_the_start(self, store: Store) -> None:
        put_all(store, {b"%d" % digit: b"" for digit in range(10)})

        def left() -> bytes:
            with store.snapshot() as snapshot:
                return b"".join(entry.key for entry in snapshot.scan(b"0", b"x"))

        assert store.transact(lambda t: t.delete_range(b"2", b"8", 3)) == 3
        assert left() == b"0156789"
        assert store.transact(lambda t: t.delete_range(b"2", b"8", 0)) == 0
        assert store.transact(lambda t: t.delete_range(b"2", b"8")) == 3
        assert left() == b"0189"
        assert store.transact(lambda t: t.delete_range(b"2", b"8")) == 0
        assert store.transact(lambda t: t.delete_range(b"8", b"2")) == 0
        assert store.transact(lambda t: t.delete_range(b"8", b"x", 100)) == 2
        assert left() == b"01"

    def test_a_store_behaves_like_a_sorted_dict(self, tmp_path: Path) -> None:
        suite = self
        key = st.binary(min_size=1, max_size=3) | st.sampled_from([b"a", b"b", b"a\x00", b"\xff" * MAX_KEY])
        bound = st.binary(max_size=3) | st.just(b"\xff" * (MAX_KEY + 1))
        value = st.binary(max_size=4) | st.sampled_from([b"x" * 3000, b"y" * 9000])

        class Machine(RuleBasedStateMachine):
            def __init__(self) -> None:
                super().__init__()
                self.path = tempfile.mkdtemp(dir=tmp_path)
                self.store = suite.open(self.path)
                self.model: dict[bytes, bytes] = {}

            def teardown(self) -> None:
                self.store.close()

            @rule(entries=st.dictionaries(key, value, max_size=6), removed=st.sets(key, max_size=3))
            def write(self, entries: dict[bytes, bytes], removed: set[bytes]) -> None:
                def operation(transaction: Transaction) -> list[bool]:
                    for name, content in entries.items():
                        transaction.put(name, content)
                    was_there = [transaction.delete(name) for name in removed]
                    for name in entries.keys() - removed:
                        assert transaction.get(name) == entries[name]
                    return was_there

                was_there = self.store.transact(operation)
                self.model.update(entries)
                assert was_there == [self.model.pop(name, None) is not None for name in removed]

            @rule(start=bound, stop=bound, limit=st.none() | st.integers(0, 3))
            def delete_range(self, start: bytes, stop: bytes, limit: int | None) -> None:
                gone = sorted(name for name in self.model if start <= name < stop)[:limit]
                assert self.store.transact(lambda t: t.delete_range(start, stop, limit)) == len(gone)
                for name in gone:
                    del self.model[name]

            @rule(entries=st.dictionaries(key, value, max_size=3))
            def fail(self, entries: dict[bytes, bytes]) -> None:
                def operation(transaction: Transaction) -> None:
                    for name, content in entries.items():
                        transaction.put(name, content)
                    transaction.delete_range(b"", b"\xff")
                    raise Refused

                with pytest.raises(Refused):
                    self.store.transact(operation)

            @rule(start=bound, stop=bound, reverse=st.booleans())
            def scan(self, start: bytes, stop: bytes, reverse: bool) -> None:
                expected = sorted((n, v) for n, v in self.model.items() if start <= n < stop)
                if reverse:
                    expected.reverse()
                with self.store.snapshot() as snapshot:
                    assert pairs(snapshot.scan(start, stop, reverse=reverse)) == expected
                    assert batched(snapshot, start, stop) == sorted(expected)
                assert self.store.transact(lambda t: batched(t, start, stop)) == sorted(expected)

            @rule(starts=st.lists(key, max_size=5), tail=st.integers(1, 4))
            def seek(self, starts: list[bytes], tail: int) -> None:
                names = sorted(self.model)
                expected: list[tuple[bytes, bytes] | None] = []
                for start in starts:
                    at = bisect_left(names, start)
                    hit = at < len(names) and names[at].startswith(start[:-tail])
                    expected.append((names[at], self.model[names[at]]) if hit else None)
                with self.store.snapshot() as snapshot:
                    assert [pair(entry) for entry in snapshot.seek_many(starts, tail)] == expected
                    assert [pair(snapshot.seek(start, tail)) for start in starts] == expected
                    assert snapshot.seek_batch(starts, tail) == expected
                assert self.store.transact(lambda t: t.seek_batch(starts, tail)) == expected

            @rule(keys=st.lists(key, max_size=5))
            def get_small(self, keys: list[bytes]) -> None:
                expected = {name: self.model[name] for name in keys if name in self.model}
                with self.store.snapshot() as snapshot:
                    assert snapshot.get_small(keys) == expected
                assert self.store.transact(lambda t: t.get_small(keys)) == expected

            @rule()
            def reopen(self) -> None:
                self.store.close()
                self.store = suite.open(self.path)

            @invariant()
            def holds_the_model(self) -> None:
                with self.store.snapshot() as snapshot:
                    assert pairs(snapshot.scan(b"", b"\xff" * (MAX_KEY + 1))) == sorted(self.model.items())

        quick = settings(
            max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        )
        run_state_machine_as_test(Machine, settings=quick)
