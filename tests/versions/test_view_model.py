"""Reads at every version against a model that keeps each version's own writes in a dict."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from dvid.database import Database
from dvid.errors import LockedNode, MergeConflict
from dvid.storage.protocol import Snapshot
from dvid.versions import instances, layout, nodes, repos
from dvid.versions.edit import Edit
from dvid.versions.layout import DATA
from dvid.versions.view import View

KEYS = [layout.text_key(text) for text in ("", "a", "a\0", "ab", "é")]
SOME_KEYS = st.sampled_from(KEYS)


@dataclass
class Model:
    """A node: its strict ancestors, and what was written at it (None: deleted)."""

    ancestors: set[str]
    branch: str
    writes: dict[bytes, bytes | None] = field(default_factory=dict)
    locked: bool = False
    has_next: bool = False


class Versions(RuleBasedStateMachine):
    """Random histories."""

    known = Bundle("known")

    @initialize(target=known, versioned=st.sampled_from([True, True, True, False]))
    def start(self, versioned: bool) -> str:
        self.folder = tempfile.TemporaryDirectory()
        self.database = Database.open(self.folder.name, durability="relaxed")
        self.versioned = versioned
        self.count = 0
        repo = self.database.transact(lambda tx, _: repos.create_repo(tx))
        self.root = repo.root_uuid
        for name, kind in (("kv", versioned), ("other", True)):
            self.database.transact(
                lambda tx, directory, name=name, kind=kind: instances.create_instance(
                    tx, directory.node(tx, self.root).record, name=name, typename="t", settings={}, versioned=kind
                )
            )
        # A neighbour on each side of the keys in the store: scans must stay inside.
        self.database.edit(self.root, "other", lambda edit: edit.put(DATA, b"outside", b"outside"))
        self.model = {self.root: Model(set(), "")}
        return self.root

    def teardown(self) -> None:
        if hasattr(self, "database"):
            for uuid in self.model:
                self.check(uuid)
            self.database.close()
            self.folder.cleanup()

    # ---- what the model says ----

    def place(self, uuid: str) -> Model:
        return self.model[uuid if self.versioned else self.root]

    def heirs(self, uuid: str, key: bytes) -> list[bytes | None]:
        place = uuid if self.versioned else self.root
        writers = [n for n in self.model[place].ancestors | {place} if key in self.model[n].writes]
        return [self.model[n].writes[key] for n in writers if not any(n in self.model[m].ancestors for m in writers)]

    def expected(self, uuid: str) -> dict[bytes, list[bytes | None]]:
        found = {key: self.heirs(uuid, key) for key in KEYS}
        return {key: heirs for key, heirs in found.items() if any(value is not None for value in heirs)}

    # ---- changes ----

    def open_nodes(self) -> list[str]:
        return [uuid for uuid, node in self.model.items() if not node.locked or not self.versioned]

    @precondition(lambda self: self.open_nodes())
    @rule(pick=st.integers(0, 100), values=st.dictionaries(SOME_KEYS, st.binary(max_size=2), min_size=1, max_size=4))
    def put(self, pick: int, values: dict[bytes, bytes]) -> None:
        uuid = self.open_nodes()[pick % len(self.open_nodes())]

        def put_all(edit: Edit) -> None:
            for key, value in values.items():
                edit.put(DATA, key, value)

        self.database.edit(uuid, "kv", put_all)
        self.place(uuid).writes.update(values)

    @rule(uuid=known)
    def put_to_a_committed_node(self, uuid: str) -> None:
        if self.model[uuid].locked and self.versioned:
            with pytest.raises(LockedNode):
                self.database.edit(uuid, "kv", lambda edit: edit.put(DATA, KEYS[0], b"refused"))

    @precondition(lambda self: self.open_nodes())
    @rule(pick=st.integers(0, 100), keys=st.lists(SOME_KEYS, min_size=1, max_size=3))
    def delete(self, pick: int, keys: list[bytes]) -> None:
        uuid = self.open_nodes()[pick % len(self.open_nodes())]
        place = self.place(uuid)
        for key in keys:
            had = any(value is not None for value in self.heirs(uuid, key))
            assert self.database.edit(uuid, "kv", lambda edit, key=key: edit.delete(DATA, key)) == had
            place.writes.pop(key, None)
            if any(value is not None for value in self.heirs(uuid, key)):
                place.writes[key] = None

    def lock(self, uuid: str) -> None:
        if not self.model[uuid].locked:
            self.database.transact(lambda tx, directory: nodes.commit(tx, directory.node(tx, uuid).record))
            self.model[uuid].locked = True

    @rule(target=known, uuid=known)
    def child(self, uuid: str) -> str:
        self.lock(uuid)
        parent = self.model[uuid]
        if parent.has_next:
            return uuid
        parent.has_next = True
        made = self.database.transact(lambda tx, directory: nodes.new_version(tx, directory.node(tx, uuid).record))
        self.model[made.uuid] = Model(parent.ancestors | {uuid}, parent.branch)
        return made.uuid

    @rule(target=known, uuid=known)
    def branch(self, uuid: str) -> str:
        self.lock(uuid)
        self.count += 1
        name = f"b{self.count}"
        made = self.database.transact(
            lambda tx, directory: nodes.branch(tx, directory.node(tx, uuid).record, name=name)
        )
        self.model[made.uuid] = Model(self.model[uuid].ancestors | {uuid}, name)
        return made.uuid

    @rule(target=known, uuids=st.lists(known, min_size=2, max_size=3, unique=True))
    def merge(self, uuids: list[str]) -> str:
        for uuid in uuids:
            self.lock(uuid)
            self.model[uuid].has_next |= self.model[uuid].branch == ""
        made = self.database.transact(
            lambda tx, directory: nodes.merge(tx, directory.lineages, [directory.node(tx, u).record for u in uuids])
        )
        self.model[made.uuid] = Model(set(uuids).union(*(self.model[u].ancestors for u in uuids)), "")
        return made.uuid

    # ---- reads ----

    @rule(uuid=known)
    def check(self, uuid: str) -> None:
        with self.database.view(uuid, "kv") as view:
            self.compare(view, uuid)

    @rule(uuid=known)
    def check_inside_a_transaction(self, uuid: str) -> None:
        self.database.edit(uuid, "kv", lambda edit: self.compare(edit, uuid), unlocked=True)

    @rule(uuid=known, other=known)
    def check_from_another_node(self, uuid: str, other: str) -> None:
        with self.database.view(uuid, "kv") as view:
            self.compare(view.at(other), other)
            self.compare(view.version(view.at(other).node.version), other)
            assert view.sibling("other").get(DATA, b"outside") is not None

    @rule(uuid=known, start=SOME_KEYS, stop=SOME_KEYS)
    def check_a_range(self, uuid: str, start: bytes, stop: bytes) -> None:
        expected = {key: heirs for key, heirs in self.expected(uuid).items() if start <= key < stop}
        with self.database.view(uuid, "kv") as view:
            assert list(view.keys(DATA, start, stop)) == sorted(expected)
            if all(len(heirs) == 1 for heirs in expected.values()):
                assert [key for key, _ in view.scan(DATA, start, stop)] == sorted(expected)
                assert [key for batch in view.batches(DATA, start, stop) for key in batch.keys] == sorted(expected)

    def compare(self, view: View, uuid: str) -> None:
        expected = self.expected(uuid)
        conflicts = {key for key in KEYS if len(self.heirs(uuid, key)) > 1}
        undecided = conflicts & expected.keys()
        for key in KEYS:
            held = [bytes(value.payload) for value in view.heirs(DATA, key)]
            assert sorted(held) == sorted(value for value in expected.get(key, []) if value is not None)
            if key in undecided:
                with pytest.raises(MergeConflict):
                    view.get(DATA, key)
            else:
                value = view.get(DATA, key)
                assert (None if value is None else [bytes(value.payload)]) == expected.get(key)
        decided = [key for key in KEYS if key not in undecided]
        values = view.get_many(DATA, decided)
        assert [None if value is None else [bytes(value.payload)] for value in values] == [
            expected.get(key) for key in decided
        ]
        assert list(view.keys(DATA)) == sorted(expected)
        assert {conflict.key for conflict in view.conflicts()} == conflicts
        if undecided:
            with pytest.raises(MergeConflict):
                list(view.scan(DATA))
            with pytest.raises(MergeConflict):
                list(view.batches(DATA))
        else:
            pairs = [(key, heirs[0]) for key, heirs in sorted(expected.items())]
            assert [(key, bytes(value.payload)) for key, value in view.scan(DATA)] == pairs
            batches = list(view.batches(DATA))
            assert [pair for b in batches for pair in zip(b.keys, b.payloads, strict=True)] == pairs


def test_every_version_reads_what_was_written_at_it_and_at_its_ancestors() -> None:
    run_state_machine_as_test(
        Versions,
        settings=settings(max_examples=100, stateful_step_count=40, suppress_health_check=list(HealthCheck)),
    )


def test_long_histories_read_as_short_ones(repo) -> None:
    """Many versions of the same keys: scans take to seeking, and must give the same."""
    uuid, written, uuids = repo.root, {}, []
    for i in range(120):
        for k in range(0, 30, 1 + i % 7):
            written[b"key%02d" % k] = b"%d" % i
            repo.put(uuid, b"key%02d" % k, b"%d" % i)
        if i % 10 == 3:
            repo.delete(uuid, b"key00")
            written.pop(b"key00", None)
        uuids.append((uuid, dict(written)))
        uuid = repo.chain(uuid, 1)
    for uuid, expected in uuids[::7]:
        with repo.database.view(uuid, "kv") as view:
            _same(view, expected)
            low = {key: value for key, value in expected.items() if b"key1" <= key < b"key20"}
            assert list(view.keys(DATA, b"key1", b"key20")) == sorted(low)
            assert [key for b in view.batches(DATA, b"key1", b"key20") for key in b.keys] == sorted(low)


def test_large_batches_read_as_single_keys(repo) -> None:
    """More entries than a batch holds, of two versions that alternate, with a tombstone here and there."""
    keys = [b"%05d" % i for i in range(3000)]

    def fill(edit, chosen, text):
        for key in chosen:
            edit.put(DATA, key, text + key)

    repo.database.edit(repo.root, "kv", lambda edit: fill(edit, keys, b"old"))
    leaf = repo.chain(repo.root, 1)
    repo.database.edit(leaf, "kv", lambda edit: fill(edit, keys[::3], b"new"))
    for state in ("without tombstones", "with them"):
        expected = {key: (b"new" if i % 3 == 0 else b"old") + key for i, key in enumerate(keys)}
        if state == "with them":
            for key in keys[::100]:
                assert repo.delete(leaf, key)
                del expected[key]
        for uuid, content in ((leaf, expected), (repo.root, {key: b"old" + key for key in keys})):
            with repo.database.view(uuid, "kv") as view:
                _same(view, content)


def _same(view: View, expected: dict[bytes, bytes]) -> None:
    assert list(view.keys(DATA)) == sorted(expected)
    assert {key: bytes(value.payload) for key, value in view.scan(DATA)} == expected
    assert {k: p for b in view.batches(DATA) for k, p in zip(b.keys, b.payloads, strict=True)} == expected
    values = view.get_many(DATA, list(expected))
    assert [bytes(value.payload) for value in values if value] == list(expected.values())


def test_batches_are_read_even_where_a_commit_comes_between(repo) -> None:
    """The engine's faster path needs a second look at the very same state, which is gone after a commit."""
    repo.put(repo.root, b"a", b"1")
    with repo.database.view(repo.root, "kv") as view:
        repo.put(repo.root, b"a", b"2")
        repo.put(repo.root, b"b", b"2")
        _same(view, {b"a": b"1"})
    snapshot: Snapshot
    with repo.database.store.snapshot() as snapshot:
        assert isinstance(next(iter(snapshot.batches(b"\0", b"\1"))), tuple)


def test_a_key_deleted_on_one_branch_and_changed_on_another_is_in_conflict_and_listed(repo) -> None:
    for key in (b"a", b"b", b"c"):
        repo.put(repo.root, key, b"base")
    repo.commit(repo.root)
    one, other = repo.branch(repo.root, "one"), repo.branch(repo.root, "other")
    repo.put(one, b"a", b"changed")
    assert repo.delete(other, b"a")
    for uuid in (one, other):
        assert repo.delete(uuid, b"b")
        repo.commit(uuid)
    merged = repo.merge(one, other)
    with repo.database.view(merged, "kv") as view:
        assert list(view.keys(DATA)) == [b"a", b"c"]
        assert [bytes(value.payload) for value in view.heirs(DATA, b"a")] == [b"changed"]
    with pytest.raises(MergeConflict):
        repo.get(merged, b"a")
    assert repo.get(merged, b"b") is None
    assert repo.delete(merged, b"a")
    assert repo.get(merged, b"a") is None
