"""What reads and changes cost, counted in accesses to the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from dvid.background import sweep
from dvid.database import Database
from dvid.versions import instances, layout, nodes
from dvid.versions.layout import DATA
from dvid.versions.view import View


class Counted:
    """A snapshot or transaction that counts what is asked of it: calls, and entries that scans step over."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.counts: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)

        def counted(*args: Any, **options: Any) -> Any:
            self.counts[name] += 1
            result = found(*args, **options)
            if name in ("scan", "batches", "key_batches"):
                return self._stepped(name, result)
            if name in ("seek_many", "seek_batch"):
                self.counts["seek"] += len(result)
            return result

        return counted

    def _stepped(self, name: str, entries: Any) -> Any:
        for entry in entries:
            self.counts["entries"] += 1 if name == "scan" else len(entry[0] if name == "batches" else entry)
            yield entry


def cost(database: Database, uuid: str, read: Callable[[View], object]) -> Counter[str]:
    """What a read asks of the store, after it was made once."""
    for _ in range(2):
        with database.read() as (snapshot, directory):
            counted = Counted(snapshot)
            node = directory.node(snapshot, uuid)
            read(View(counted, directory, node, directory.instance(snapshot, node.record.repo, "kv")))  # type: ignore[arg-type]
    return counted.counts


KEYS = [b"%03d" % i for i in range(50)]
READS: dict[str, Callable[[View], object]] = {
    "get": lambda view: view.get(DATA, KEYS[7]),
    "get_many": lambda view: view.get_many(DATA, KEYS),
    "get_batches": lambda view: list(view.get_batches(DATA, KEYS)),
    "absent": lambda view: view.get(DATA, b"absent"),
}


@pytest.mark.parametrize("read", READS)
def test_a_read_costs_as_much_behind_a_thousand_versions_as_behind_one(repo, read: str) -> None:
    """Keys that were written once, long ago."""
    repo.database.edit(repo.root, "kv", lambda edit: [edit.put(DATA, key, b"value") for key in KEYS])
    near = repo.chain(repo.root, 1)
    expected = cost(repo.database, near, READS[read])
    far = repo.chain(near, 999)
    assert cost(repo.database, far, READS[read]) == expected
    assert expected["seek"] in (1, len(KEYS))
    assert expected["scan"] == expected["get"] == 0


@pytest.mark.parametrize("read", READS)
def test_a_read_costs_as_much_where_each_of_a_thousand_versions_wrote_the_key(repo, read: str) -> None:
    uuids = [repo.root]
    for i in range(1000):
        repo.database.edit(uuids[-1], "kv", lambda edit, i=i: [edit.put(DATA, key, b"%d" % i) for key in KEYS[5:9]])
        uuids.append(repo.chain(uuids[-1], 1))
    costs = [cost(repo.database, uuid, READS[read]) for uuid in (uuids[1], uuids[500], uuids[-2], uuids[-1])]
    assert costs == [costs[0]] * 4


def test_a_read_behind_a_merge_costs_one_seek(repo) -> None:
    """The merge's own past is looked through only for values from before it."""
    repo.commit(repo.root)
    one, other = repo.branch(repo.root, "one"), repo.branch(repo.root, "other")
    repo.commit(one), repo.commit(other)
    uuid = repo.merge(one, other)
    for i in range(300):
        repo.put(uuid, b"key", b"%d" % i)
        uuid = repo.chain(uuid, 1)
    counts = cost(repo.database, uuid, lambda view: view.get(DATA, b"key"))
    assert (counts["seek"], counts["scan"]) == (1, 0)


@pytest.mark.parametrize("reading", ["scan", "keys", "batches"])
def test_a_scan_does_not_step_over_all_versions_of_all_keys(repo, reading: str) -> None:
    uuid = repo.root
    for i in range(200):
        repo.database.edit(uuid, "kv", lambda edit, i=i: [edit.put(DATA, key, b"%d" % i) for key in KEYS])
        uuid = repo.chain(uuid, 1)
    for at in (repo.root, uuid):
        counts = cost(repo.database, at, lambda view: list(getattr(view, reading)(DATA)))
        assert counts["entries"] < 200 * len(KEYS) / 4, "most of the ten thousand entries must be passed over"
        assert counts["scan"] <= 2 * len(KEYS) + 2


def test_a_version_costs_as_much_behind_two_thousand_versions_as_behind_ten(repo) -> None:
    def newversion_and_commit(uuid: str) -> tuple[str, Counter[str]]:
        counts: Counter[str] = Counter()

        def run(transaction: Any, directory: Any) -> str:
            counted = Counted(transaction)
            nodes.commit(counted, directory.node(counted, uuid).record)  # type: ignore[arg-type]
            parent = directory.version(counted, directory.node(counted, uuid).record.version).record
            child = nodes.new_version(counted, parent)  # type: ignore[arg-type]
            counts.update(counted.counts)
            return child.uuid

        return repo.database.transact(run), counts

    leaf, _ = newversion_and_commit(repo.chain(repo.root, 10))
    leaf, few = newversion_and_commit(leaf)
    leaf, many = newversion_and_commit(repo.chain(leaf, 2000))
    assert many == few
    assert few["put"] < 15


def test_deleted_data_is_removed_a_bounded_number_of_entries_at_a_time(repo) -> None:
    repo.database.edit(repo.root, "kv", lambda edit: [edit.put(DATA, b"%05d" % i, b"") for i in range(12_000)])
    repo.make("other")
    repo.put(repo.root, b"kept", b"kept", name="other")
    repo.database.transact(
        lambda tx, directory: instances.delete_instance(tx, directory.instance(tx, repo.number, "kv"))
    )
    removed = []
    while count := sweep(repo.database):
        removed.append(count)
    assert removed == [5000, 5000, 2001]
    assert repo.get(repo.root, b"kept", name="other") == b"kept"
    with repo.database.read() as (snapshot, _):
        assert not list(snapshot.scan(layout.DOOMED, layout.after(layout.DOOMED)))
