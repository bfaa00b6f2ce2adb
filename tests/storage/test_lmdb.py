"""The embedded engine: the promises of every store, and its own."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dvid.errors import BadRequest, ConfigError, DvidError, Forbidden, StoreFull, StoreUnusable
from dvid.storage import Store, Transaction, open_store
from dvid.storage.testing import StoreConformance, put_all, value_of
from dvid.storage.testing_client import COUNTER, in_threads, increment

MIB = 1 << 20


class TestDurable(StoreConformance):
    opener = "dvid.storage:open_store durability=durable"


class TestRelaxed(StoreConformance):
    opener = "dvid.storage:open_store durability=relaxed"


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "store")


def run_python(code: str, *arguments: str) -> str:
    """What a program prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- what is a store ----------------------------------------------------------------------------------------------


def test_a_directory_with_other_files_is_not_a_store(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(StoreUnusable, match="not a dvid store"):
        open_store(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["photo.jpg"]


def test_another_format_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "FORMAT").write_text("dvid store, engine lmdb, format 999\n")
    with pytest.raises(StoreUnusable, match=r"format 999.*format 1"):
        open_store(tmp_path)


def test_a_damaged_file_is_refused(path: str) -> None:
    open_store(path).close()
    Path(path, "data.mdb").write_bytes(os.urandom(100_000))
    with pytest.raises(StoreUnusable, match="cannot open"):
        open_store(path)


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnusable, match="file"):
        open_store(tmp_path / "file")


def test_an_empty_directory_is_not_a_store_to_read(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="read-only"):
        open_store(tmp_path, read_only=True)
    with pytest.raises(StoreUnusable):
        open_store(tmp_path / "missing", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_processes_that_make_the_same_store_at_one_time_agree(path: str) -> None:
    code = "import sys; from dvid.storage import open_store; from dvid.storage.testing_client import increment\n"
    code += "store = open_store(sys.argv[1]); [store.transact(increment) for _ in range(20)]; store.close()"
    processes = [subprocess.Popen([sys.executable, "-c", code, path]) for _ in range(6)]
    assert [process.wait() for process in processes] == [0] * 6
    store = open_store(path)
    assert value_of(store, COUNTER) == b"120"
    store.close()


def test_a_bad_durability_is_named(path: str) -> None:
    with pytest.raises(ConfigError, match="'fast'"):
        open_store(path, durability="fast")  # type: ignore[arg-type]


# --- several users, processes, forks ------------------------------------------------------------------------------


def test_a_store_may_be_opened_twice_in_one_process(path: str, tmp_path: Path) -> None:
    one = open_store(path)
    (tmp_path / "link").symlink_to(path)
    two = open_store(tmp_path / "link")
    put_all(one, {b"a": b"1"})
    one.close()
    assert value_of(two, b"a") == b"1"
    with pytest.raises(StoreUnusable, match="closed"):
        one.snapshot()
    two.close()
    open_store(path).close()


def test_a_store_is_not_opened_twice_with_different_settings(path: str) -> None:
    store = open_store(path)
    with pytest.raises(StoreUnusable, match="relaxed"):
        open_store(path, durability="relaxed")
    store.close()
    open_store(path, durability="relaxed").close()


def test_a_read_only_store_refuses_writes(path: str) -> None:
    store = open_store(path)
    put_all(store, {b"a": b"1"})
    store.close()
    reader = open_store(path, read_only=True)
    with pytest.raises(Forbidden, match="read-only"):
        put_all(reader, {b"a": b"2"})
    assert value_of(reader, b"a") == b"1"
    reader.close()


def test_a_snapshot_outlives_the_closing_of_its_store(path: str) -> None:
    store = open_store(path)
    put_all(store, {b"a": b"x" * 100_000})
    with store.snapshot() as snapshot:
        store.close()
        with pytest.raises(StoreUnusable, match="being closed"):
            open_store(path)
        value = snapshot.get(b"a")
        assert value is not None
        assert bytes(value) == b"x" * 100_000
    open_store(path).close()


def test_a_snapshot_that_has_ended_says_so(path: str) -> None:
    store = open_store(path)
    with store.snapshot() as snapshot:
        pass
    for use in (lambda: snapshot.get(b"a"), lambda: snapshot.seek(b"a", 1), lambda: list(snapshot.scan(b"a", b"b"))):
        with pytest.raises(DvidError):
            use()
    kept: list[Transaction] = []
    store.transact(kept.append)
    with pytest.raises(StoreUnusable, match="ended"):
        kept[0].put(b"a", b"1")
    with pytest.raises(StoreUnusable, match="ended"):
        kept[0].seek(b"a", 1)
    store.close()


FORK = """
import os, sys, threading
from dvid.errors import StoreUnusable
from dvid.storage import open_store
store = open_store(sys.argv[1])
store.transact(lambda t: t.put(b"a", b"parent"))
held = store.snapshot().__enter__()
child = os.fork()
if child == 0:
    for use in (lambda: store.snapshot().__enter__(), lambda: store.transact(lambda t: None), store.size, store.sync,
                lambda: open_store(sys.argv[1])):
        try:
            use()
        except StoreUnusable as error:
            assert "fork" in str(error), error
        else:
            os._exit(1)
    other = open_store(sys.argv[1] + "2")
    other.transact(lambda t: t.put(b"a", b"child"))
    other.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert held.get(b"a") == b"parent"
store.transact(lambda t: t.put(b"a", b"parent again"))
store.close()
"""


def test_a_forked_child_is_refused_and_the_parent_goes_on(path: str) -> None:
    run_python(FORK, path)


def test_a_store_opens_in_little_address_space(path: str) -> None:
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
    code += "from dvid.storage import open_store; store = open_store(sys.argv[1])\n"
    code += "store.transact(lambda t: t.put(b'a', b'1')); print(store.size().entries); store.close()"
    assert run_python(code, path) == "1\n"


def test_a_dead_reader_is_forgotten(path: str) -> None:
    store = open_store(path)
    suite = TestDurable()
    with suite.client(path, "hold") as process:
        suite.tell(process)
        assert suite.hear(process) == "holding"
        process.kill()
        process.wait()
    store.close()
    # What the dead process was reading is used again: the file does not grow with each commit.
    store = open_store(path)
    for _ in range(30):
        put_all(store, {b"a": random.Random(0).randbytes(MIB)})
    assert store.size().file < 8 * MIB
    store.close()


# --- group commit -------------------------------------------------------------------------------------------------


def test_operations_that_wait_share_a_commit(path: str) -> None:
    store = open_store(path)
    inside, go_on = threading.Event(), threading.Event()

    def slow(transaction: Transaction) -> None:
        inside.set()
        go_on.wait()
        increment(transaction)

    def commits() -> int:
        return int(store._environment.env.info()["last_txnid"])  # type: ignore[attr-defined]

    before = commits()
    first = threading.Thread(target=store.transact, args=(slow,))
    first.start()
    inside.wait()
    others = [threading.Thread(target=store.transact, args=(increment,)) for _ in range(30)]
    for thread in others:
        thread.start()
    go_on.set()
    for thread in (first, *others):
        thread.join()
    assert value_of(store, COUNTER) == b"31"
    assert commits() - before < 31
    store.close()


def test_a_transaction_inside_a_transaction_is_refused(path: str) -> None:
    store = open_store(path)
    with pytest.raises(RuntimeError, match="inside a transaction"):
        store.transact(lambda _: store.transact(increment))
    store.transact(increment)
    assert value_of(store, COUNTER) == b"1"
    store.close()


def test_ctrl_c_in_the_thread_that_commits_loses_no_write_of_others(path: str) -> None:
    store = open_store(path)
    started, stop = threading.Event(), threading.Event()
    done = [0] * 4

    def work(thread: int) -> None:
        while not stop.is_set():
            store.transact(increment)
            done[thread] += 1
            started.set()

    workers = threading.Thread(target=in_threads, args=(4, work))
    workers.start()
    started.wait()
    interrupted = mine = 0
    pending = False
    for _ in range(50):
        timer = threading.Timer(0.003, signal.raise_signal, (signal.SIGINT,))
        try:
            timer.start()
            while True:
                pending = True
                store.transact(increment)
                mine, pending = mine + 1, False
        except KeyboardInterrupt:
            interrupted += 1
        timer.join()
        # Whether the interrupted one was written is not known here: look.
        if pending:
            mine += 1
    stop.set()
    workers.join()
    count = int(value_of(store, COUNTER) or b"0")
    assert interrupted == 50
    assert sum(done) + mine - 50 <= count <= sum(done) + mine
    store.close()


def test_closing_while_others_write_leaves_nobody_waiting(path: str) -> None:
    for _ in range(5):
        store = open_store(path)
        done: list[int] = []
        refused: list[int] = []

        def work(thread: int, store: Store = store, done: list[int] = done, refused: list[int] = refused) -> None:
            for _ in range(100_000):
                try:
                    store.transact(increment)
                except StoreUnusable:
                    refused.append(thread)
                    return
                done.append(thread)

        before = int(value_of(store, COUNTER) or b"0")
        workers = threading.Thread(target=in_threads, args=(8, work))
        workers.start()
        while len(done) < 20:
            workers.join(0.001)
        store.close()
        workers.join()
        assert sorted(refused) == list(range(8))
        store = open_store(path)
        assert int(value_of(store, COUNTER) or b"0") == before + len(done)
        store.close()


# --- full ---------------------------------------------------------------------------------------------------------


def fill(store: Store, size: int = 50_000) -> tuple[int, StoreFull]:
    """Write until the store is full: how many values it took, and what it said then."""
    for number in range(100_000):
        try:
            put_all(store, {b"fill/%06d" % number: b"%06d" % number + bytes(size)})
        except StoreFull as error:
            return number, error
    raise AssertionError("the store never became full")


def check_filled(store: Store, count: int, size: int = 50_000) -> None:
    with store.snapshot() as snapshot:
        entries = list(snapshot.scan(b"fill/", b"fill0"))
        assert [entry.key for entry in entries] == [b"fill/%06d" % number for number in range(count)]
        assert all(entry.value[:6] == entry.key[5:] and len(entry.value) == size + 6 for entry in entries)


def test_a_store_at_its_limit_refuses_writes_and_takes_deletions(path: str) -> None:
    limit = 20 * MIB
    store = open_store(path, max_size=limit)
    count, error = fill(store)
    assert "max_size" in str(error)
    assert str(limit) in str(error)
    assert error.status == 507
    assert limit * 0.9 < store.size().used <= limit
    check_filled(store, count)
    with pytest.raises(StoreFull, match="max_size"):
        put_all(store, {b"one": bytes(100 * MIB)})
    for round_ in range(3):
        # Entry by entry, so that each deletion is a commit of its own in the full store.
        for number in range(count):
            assert store.transact(lambda t, n=number: t.delete(b"fill/%06d" % n))  # type: ignore[misc]
        assert store.size().entries == 0
        again, _ = fill(store)
        assert again == count, round_
        check_filled(store, count)
    assert store.size().file <= limit + max(4 * MIB, limit // 16)
    store.close()


def test_of_a_group_only_what_does_not_fit_is_refused(path: str) -> None:
    store = open_store(path, max_size=20 * MIB)
    put_all(store, {b"ballast": bytes(10 * MIB)})
    barrier = threading.Barrier(8)
    refused: list[int] = []

    def work(thread: int) -> None:
        for number in range(10):
            barrier.wait()
            try:
                size = 15 * MIB if thread % 2 else 1000
                store.transact(lambda t: t.put(b"%d.%d" % (thread, number), bytes(size)))  # noqa: B023
            except StoreFull:
                refused.append(thread)

    in_threads(8, work)
    assert sorted(refused) == sorted([1, 3, 5, 7] * 10)
    assert store.size().entries == 41
    store.close()


def test_a_reservation_that_is_too_small_is_a_full_store(path: str) -> None:
    store = open_store(path, map_size=4 * MIB)
    count, error = fill(store)
    assert "address space" in str(error)
    check_filled(store, count)
    store.close()
    # With more address space it goes on.
    store = open_store(path)
    put_all(store, {b"more": bytes(8 * MIB)})
    check_filled(store, count)
    store.close()


@pytest.fixture
def small_disk() -> Iterator[str]:
    """A file system of 24 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    directory = tempfile.mkdtemp(prefix="dvid-small-disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", directory], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        os.rmdir(directory)
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    yield directory
    subprocess.run(["umount", "--lazy", directory], check=True)
    os.rmdir(directory)


@pytest.mark.parametrize("durability", ["durable", "relaxed"])
def test_a_full_disk_refuses_writes_until_there_is_room(small_disk: str, durability: str) -> None:
    ballast = Path(small_disk, "ballast")
    store = open_store(Path(small_disk, "store"), durability=durability)  # type: ignore[arg-type]
    ballast.write_bytes(bytes(8 * MIB))
    count, error = fill(store)
    assert count > 100
    assert "disk" in str(error)
    assert error.status == 507
    check_filled(store, count)
    # Several threads at a full disk: each is told.
    refused: list[int] = []

    def work(thread: int) -> None:
        try:
            store.transact(lambda t: t.put(b"thread%d" % thread, bytes(4 * MIB)))
        except StoreFull:
            refused.append(thread)

    in_threads(6, work)
    assert sorted(refused) == list(range(6))
    check_filled(store, count)
    with pytest.raises(StoreFull, match="disk"):
        store.backup(os.path.join(small_disk, "copy"))
    assert sorted(os.listdir(small_disk)) == ["ballast", "store"]
    ballast.unlink()
    put_all(store, {b"after": bytes(4 * MIB)})
    check_filled(store, count)
    store.close()
    store = open_store(Path(small_disk, "store"))
    check_filled(store, count)
    assert value_of(store, b"after") == bytes(4 * MIB)
    store.close()


def test_no_room_for_a_new_store_is_said(small_disk: str) -> None:
    Path(small_disk, "ballast").write_bytes(bytes(24 * MIB))
    with pytest.raises(DvidError, match="No space left"):
        open_store(Path(small_disk, "store"))


# --- memory -------------------------------------------------------------------------------------------------------


def test_a_transaction_larger_than_its_page_list_is_kept(path: str) -> None:
    # LMDB lists at most 131,071 changed pages in memory, and writes the others early.
    store = open_store(path, durability="relaxed")
    entries = {b"%08d" % number: bytes([number % 256]) * 3000 for number in range(150_000)}
    put_all(store, entries)
    with store.snapshot() as snapshot:
        assert all(entry.value == entries[entry.key] for entry in snapshot.scan(b"0", b"9"))
    assert store.size().entries == len(entries)
    store.close()


def test_the_reserved_address_space_takes_no_memory(path: str) -> None:
    # The peak that getrusage(2) tells is handed on by the process that starts another.
    code = "import pathlib, sys; from dvid.storage import open_store\n"
    code += "status = pathlib.Path('/proc/self/status')\n"
    code += "peak = lambda: int(status.read_text().partition('VmHWM:')[2].split()[0])\n"
    code += "before = peak(); store = open_store(sys.argv[1])\n"
    code += "store.transact(lambda t: t.put(b'a', b'1'))\n"
    code += "print(peak() - before); store.close()"
    assert int(run_python(code, path)) < 16 * 1024  # in KiB
    assert sum(entry.stat().st_blocks * 512 for entry in Path(path).iterdir()) < MIB


def test_a_backup_of_a_missing_parent_of_no_permission_is_refused(path: str, tmp_path: Path) -> None:
    store = open_store(path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadRequest, match="backup"):
        store.backup(str(tmp_path / "file" / "copy"))
    store.close()
