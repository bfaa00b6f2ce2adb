"""Promises about a database of several stores."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.waiting import eventually

from dvid.background import sweep
from dvid.config import Config, load_config
from dvid.database import Database
from dvid.datatypes.base import describe
from dvid.datatypes.imageblk.volume import Volume
from dvid.datatypes.roi.operations import packed_region, replace_region
from dvid.errors import BadRequest, ConfigError, LockedNode, StoreAbsent, StoreUnusable, UnknownInstance
from dvid.geometry import Box
from dvid.http import documents
from dvid.storage import open_store
from dvid.versions import instances, repos
from dvid.versions.layout import EVENTS, pack_u32, table_prefix
from dvid.versions.resolve import resolve
from dvid.versions.verify import verify

DATA = b"\x10"
ROOT = "0123456789abcdef0123456789abcdef"
NAMES = ("notes", "plain", "gray")
STORE_OF = {"notes": "notes", "plain": "", "gray": "images", "region": ""}


def instance(database: Database, name: str, selector: str = ROOT):
    with database.read() as (snapshot, directory):
        return directory.instance(snapshot, directory.node(snapshot, selector).record.repo, name)


def events(database: Database, name: str, selector: str = ROOT) -> list[dict]:
    with database.view(selector, name) as view:
        return [json.loads(event) for event in view.events()]


def keys_in(store, number: int) -> int:
    with store.snapshot() as snapshot:
        return sum(1 for _ in snapshot.scan(pack_u32(number), pack_u32(number + 1)))


def infos(database: Database) -> dict:
    with database.read_all() as (snapshots, directory):
        return json.loads(documents.all_repos(snapshots, directory))[ROOT]["DataInstances"]


def problems(database: Database) -> list:
    return list(verify(database.store, others=database.others))


def test_instances_are_kept_where_the_configuration_says(database, repo):
    for name, store in STORE_OF.items():
        assert instance(database, name).store == store
        repo.put(ROOT, name, b"key", name.encode())
        number = instance(database, name).number
        holding = {"": database.store, **database.others}
        assert {at for at, one in holding.items() if keys_in(one, number)} == {store}
        assert repo.get(ROOT, name, b"key") == name.encode()
    assert problems(database) == []


def test_versions_are_read_alike_in_every_store(repo):
    nodes = [ROOT]
    for step in range(4):
        for name in NAMES:
            repo.put(nodes[-1], name, b"each", b"%d" % step)
            repo.put(nodes[-1], name, b"only %d" % step, b"")
        repo.database.commit(nodes[-1])
        nodes.append(repo.child(nodes[-1]))
    side = repo.branch(nodes[1], "side")
    for name in NAMES:
        repo.put(side, name, b"each", b"side")
        repo.database.edit(nodes[-1], name, lambda edit: edit.delete(DATA, b"each"))
        assert [repo.get(node, name, b"each") for node in nodes] == [b"0", b"1", b"2", b"3", None]
        assert repo.get(side, name, b"each") == b"side"
        with repo.database.view(side, name) as view:
            assert list(view.keys(DATA)) == [b"each", b"only 0", b"only 1"]
        with repo.database.view(nodes[-1], name) as view:
            assert list(view.keys(DATA)) == [b"only %d" % step for step in range(4)]
            assert [key for key, _ in view.scan(DATA)] == list(view.keys(DATA))
            assert view.at(nodes[0]).get(DATA, b"each").payload == b"0"
    assert problems(repo.database) == []


def test_a_committed_node_refuses_writes_in_every_store_and_admins_change_its_epoch(repo):
    repo.database.commit(ROOT)
    for name in NAMES:
        with pytest.raises(LockedNode):
            repo.put(ROOT, name, b"key", b"")
        repo.put(ROOT, name, b"key", b"by an admin", unlocked=True)
        with repo.database.view(ROOT, name) as view:
            assert view.epoch() == 1
    assert problems(repo.database) == []


def test_a_commit_waits_for_a_writer_that_has_seen_the_node_open(repo, opened):
    second = opened()
    inside, go_on = threading.Event(), threading.Event()

    def slow(edit):
        inside.set()
        assert go_on.wait(60)
        edit.put(DATA, b"key", b"in time")

    for name, others in (("notes", ("gray", "plain")), ("gray", ("notes", "plain"))):
        node = ROOT if name == "notes" else repo.child(ROOT)
        inside.clear()
        go_on.clear()
        writer = threading.Thread(target=repo.database.edit, args=(node, name, slow))
        writer.start()
        assert inside.wait(60)
        committer = threading.Thread(target=second.commit, args=(node,))
        committer.start()
        committer.join(0.3)
        assert committer.is_alive()
        assert not repo.node(node).locked
        assert repo.get(node, others[1], b"key") is None  # reads go on
        go_on.set()
        committer.join(60)
        writer.join(60)
        assert repo.node(node).locked
        assert repo.get(node, name, b"key") == b"in time"
        with pytest.raises(LockedNode):
            repo.put(node, others[0], b"key", b"late")


def test_commits_and_writes_of_all_stores_never_wait_in_a_circle(repo, opened):
    second, nodes = opened(), [ROOT]
    stop = threading.Event()
    taken: dict[str, set[tuple[str, str, bytes]]] = {name: set() for name in NAMES}
    errors: list[BaseException] = []

    def work(thread: int) -> None:
        name, database, count = NAMES[thread % 3], (repo.database, second)[thread % 2], 0
        try:
            while not stop.is_set():
                count += 1
                node, key = nodes[-1], b"%d.%d" % (thread, count)
                try:
                    database.edit(node, name, lambda edit, key=key: edit.put(DATA, key, b""))
                except LockedNode:
                    continue
                taken[name].add((node, name, key))
        except BaseException as error:  # noqa: BLE001 - told by the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(6)]
    for thread in threads:
        thread.start()
    eventually(lambda: errors or all(taken.values()))
    kept: dict[tuple[str, str], set[bytes]] = {}
    for step in range(40):
        database = (repo.database, second)[step % 2]
        database.commit(nodes[-1])
        for name in NAMES:
            kept[nodes[-1], name] = own_keys(database, nodes[-1], name)
        nodes.append(repo.child(nodes[-1]))
    stop.set()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert errors == []
    for (node, name), keys in kept.items():
        assert keys == own_keys(repo.database, node, name) == {key for at, _, key in taken[name] if at == node}


def own_keys(database: Database, node: str, name: str) -> set[bytes]:
    """The keys that were written at a node itself."""
    with database.view(node, name) as view:
        keys = set(view.keys(DATA))
        parents = view.node.parents
        return keys - set(view.version(parents[0]).keys(DATA)) if parents else keys


def test_a_failed_edit_leaves_nothing(repo):
    def fail(edit):
        edit.put(DATA, b"key", b"")
        edit.log("never", {})
        raise BadRequest("no")

    for name in NAMES:
        with pytest.raises(BadRequest):
            repo.database.edit(ROOT, name, fail)
        assert repo.get(ROOT, name, b"key") is None
        assert events(repo.database, name) == []


def test_mutation_ids_are_never_given_out_twice(repo, opened):
    second = opened()
    ids: list[int] = []

    def work(thread: int) -> None:
        for _ in range(20):
            database = (repo.database, second)[thread % 2]
            ids.append(database.edit(ROOT, NAMES[thread % 3], lambda edit: edit.log("change", {})))

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == len(ids) == 120
    logged = [event["MutationID"] for name in NAMES for event in events(repo.database, name)]
    assert sorted(logged) == sorted(ids)


def test_several_entries_of_one_operation_are_all_kept_in_their_order(repo):
    def change(edit):
        for number in range(5):
            edit.log("step", {"Number": number}, {"Number": number + 0.5})

    for name in NAMES:
        repo.database.edit(ROOT, name, change)
        repo.database.edit(ROOT, name, lambda edit: edit.log("later", {"Number": 9}))
        found = [event["Number"] for event in events(repo.database, name)]
        assert found == [n / 2 for n in range(10)] + [9]
    with repo.database.others["notes"].snapshot() as snapshot:
        number = instance(repo.database, "notes").number
        prefix = table_prefix(number, EVENTS)
        assert sum(1 for _ in snapshot.scan(prefix, table_prefix(number, b"\x02"))) == 6
    assert problems(repo.database) == []


def test_siblings_are_read_from_whatever_store_they_are_in(repo):
    for name in NAMES:
        repo.put(ROOT, name, b"who", name.encode())
    for name in NAMES:
        with repo.database.view(ROOT, name) as view:
            for other in NAMES:
                sibling = view.sibling(other)
                assert bytes(sibling.get(DATA, b"who").payload) == other.encode()
                assert bytes(sibling.sibling(name).get(DATA, b"who").payload) == name.encode()
        seen = repo.database.edit(
            ROOT, name, lambda edit: {one: bytes(edit.sibling(one).get(DATA, b"who").payload) for one in NAMES}
        )
        assert seen == {one: one.encode() for one in NAMES}


def test_a_sibling_that_was_deleted_meanwhile_is_not_read_as_empty(repo):
    repo.put(ROOT, "notes", b"who", b"notes")
    with repo.database.view(ROOT, "plain") as view:
        repo.database.transact(lambda tx, _: instances.delete_instance(tx, instance(repo.database, "notes")))
        while sweep(repo.database):
            pass
        with pytest.raises(UnknownInstance):
            view.sibling("notes")


def test_an_image_is_masked_with_a_region_of_another_store(repo):
    from dvid.datatypes.imageblk import operations, reading

    read_masked = getattr(operations, "read_masked", None) or reading.read_masked
    volume = Volume(repo.database, ROOT, "gray")
    volume.write(Box((0, 0, 0), (64, 64, 64)), np.full((64, 64, 64), 7, np.uint8))
    spans = np.array([[0, 0, 0, 0]], np.int32)
    repo.database.edit(ROOT, "region", lambda edit: replace_region(edit, *packed_region(spans)))
    with repo.database.view(ROOT, "gray") as view:
        voxels = read_masked(view, Box((0, 0, 0), (64, 64, 64)), "region", 0)
    assert int(np.count_nonzero(voxels)) == 32**3


def test_infos_show_new_extents_at_once_in_every_process(repo, opened):
    second = opened()
    for size in (64, 128):
        assert infos(second)["gray"]["Extended"]["MaxPoint"] == (None if size == 64 else [63] * 3)
        Volume(repo.database, ROOT, "gray").write(Box((0, 0, 0), (size,) * 3), np.ones((size,) * 3, np.uint8))
        for database in (repo.database, second):
            assert infos(database)["gray"]["Extended"]["MaxPoint"] == [size - 1] * 3
    assert infos(second)["gray"]["Base"]["KVStore"] == "lmdb, store images"
    assert infos(second)["plain"]["Base"]["KVStore"] == "lmdb"


def test_deleting_an_instance_frees_the_store_that_holds_it(repo):
    database = repo.database
    for name in NAMES:
        for number in range(100):
            repo.put(ROOT, name, b"%d" % number, b"x" * 10_000)
    numbers = {name: instance(database, name).number for name in NAMES}
    used = database.others["notes"].size().used
    database.transact(lambda tx, _: instances.delete_instance(tx, instance(database, "notes")))
    assert keys_in(database.others["notes"], numbers["notes"]) > 0
    assert problems(database) == []
    while sweep(database):
        pass
    assert keys_in(database.others["notes"], numbers["notes"]) == 0
    assert database.others["notes"].size().used < used / 10
    assert keys_in(database.others["images"], numbers["gray"]) > 0
    assert keys_in(database.store, numbers["plain"]) > 0
    with database.store.snapshot() as snapshot:
        assert list(instances.doomed(snapshot)) == []
    database.transact(lambda tx, directory: repos.delete_repo(tx, directory.repo(tx, repo.node(ROOT).repo), ""))
    while sweep(database):
        pass
    assert keys_in(database.others["images"], numbers["gray"]) == 0
    assert keys_in(database.store, numbers["plain"]) == 0
    assert problems(database) == []


def test_the_name_of_a_deleted_instance_may_move_to_another_store(repo):
    repo.put(ROOT, "notes", b"old", b"old")
    repo.database.transact(lambda tx, _: instances.delete_instance(tx, instance(repo.database, "notes")))
    made = repo.database.create_instance(ROOT, {"typename": "uint8blk", "dataname": "notes"})
    assert made.store == "notes"  # the table with the name goes before the one with the type
    repo.database.transact(lambda tx, _: instances.rename_instance(tx, instance(repo.database, "notes"), "away"))
    made = repo.database.create_instance(ROOT, {"typename": "keyvalue", "dataname": "copy"})
    repo.database.transact(lambda tx, _: instances.rename_instance(tx, instance(repo.database, "copy"), "notes"))
    repo.put(ROOT, "notes", b"new", b"new")
    assert keys_in(repo.database.store, made.number) > 0
    assert repo.get(ROOT, "notes", b"old") is None


def test_conflicts_across_stores_are_not_resolved_by_a_merge(repo):
    repo.database.commit(ROOT)
    sides = [repo.branch(ROOT, name) for name in ("one", "two")]
    for side in sides:
        repo.put(side, "plain", b"key", side.encode())
        repo.put(side, "notes", b"key", side.encode())
        repo.database.commit(side)

    def merge(*names: str) -> str:
        return repo.database.transact(
            lambda tx, directory: resolve(
                tx,
                directory,
                [directory.node(tx, side).record for side in sides],
                [instance(repo.database, name) for name in names],
            )
        ).uuid

    with pytest.raises(BadRequest, match=r"conflicts of 'notes' cannot be resolved"):
        merge("plain", "notes")
    merged = merge("plain")
    assert repo.get(merged, "plain", b"key") == sides[0].encode()
    with pytest.raises(BadRequest, match="inherits different values"):
        repo.get(merged, "notes", b"key")
    repo.put(merged, "notes", b"key", b"decided")
    assert repo.get(merged, "notes", b"key") == b"decided"


# ---- which stores belong together ----------------------------------------------------------------


def without(config: Config, *names: str) -> Config:
    stores = tuple(store for store in config.stores if store.name not in names)
    backends = tuple(backend for backend in config.backends if backend.store not in names)
    return replace(config, stores=stores, backends=backends)


def test_an_instance_whose_store_is_not_declared_says_so_and_the_rest_goes_on(config, repo):
    for name in NAMES:
        repo.put(ROOT, name, b"key", name.encode())
    repo.database.close()
    for missing in (("images",), ("images", "notes")):
        with Database.from_config(without(config, *missing)) as less:
            for operation in (lambda: less.view(ROOT, "gray").open(), lambda: less.edit(ROOT, "gray", lambda _: None)):
                with pytest.raises(StoreAbsent, match=r"'gray' is in the store 'images'.*\[store.images\]"):
                    operation()
            with less.view(ROOT, "plain") as view:
                assert bytes(view.get(DATA, b"key").payload) == b"plain"
                with pytest.raises(StoreAbsent):
                    view.sibling("gray")
            assert infos(less)["gray"]["Extended"] == {}
            with pytest.raises(StoreAbsent):  # somebody may be writing to it
                less.commit(ROOT)
            found = [problem.what for problem in verify(less.store, others=less.others)]
            assert any("'images', which was not read" in what for what in found)
            less.transact(lambda tx, directory: instances.delete_instance(tx, instance(less, "gray")))
            assert sweep(less) == 0  # waits for its store
            less.create_instance(ROOT, {"typename": "uint8blk", "dataname": "gray"})
            less.transact(lambda tx, directory: instances.change_instance(tx, instance(less, "gray"), store="images"))
    with Database.from_config(config) as whole:
        assert sweep(whole) > 0


def test_data_stays_where_it_is_when_the_configuration_changes(config, repo, tmp_path):
    repo.put(ROOT, "notes", b"key", b"value")
    repo.database.close()
    changed = tuple(replace(backend, store="main") for backend in config.backends)
    with Database.from_config(replace(config, backends=changed)) as moved:
        with moved.view(ROOT, "notes") as view:
            assert view.instance.store == "notes"
            assert bytes(view.get(DATA, b"key").payload) == b"value"
        made = moved.create_instance(ROOT, {"typename": "uint8blk", "dataname": "later"})
        assert made.store == ""


def test_a_store_of_other_repos_is_refused(config, repo, tmp_path):
    repo.database.close()
    for name in ("images", "notes"):
        with pytest.raises(StoreUnusable, match=f"the store {name!r} of a database whose repos are kept in another"):
            Database.open(str(tmp_path / name))
    shutil.rmtree(tmp_path / "main")
    with pytest.raises(StoreUnusable, match="belongs to another database"):
        Database.from_config(config)


def test_a_store_with_repos_is_no_store_for_data_only(config, tmp_path):
    with Database.open(str(tmp_path / "images"), durability="relaxed") as database:
        database.transact(lambda tx, _: repos.create_repo(tx))
    with pytest.raises(StoreUnusable, match="'images' holds repos of its own"):
        Database.from_config(config)


def test_exchanged_folders_are_refused(config, repo, tmp_path):
    repo.database.close()
    paths = {"main": "main", "images": "notes", "notes": "images"}
    stores = tuple(replace(store, path=str(tmp_path / paths[store.name])) for store in config.stores)
    with pytest.raises(StoreUnusable, match="'images' is known to its database as 'notes'"):
        Database.from_config(replace(config, stores=stores))


def test_metadata_older_than_the_data_are_refused(config, repo, tmp_path):
    repo.database.store.backup(str(tmp_path / "older"))
    repo.database.create_instance(ROOT, {"typename": "uint8blk", "dataname": "new"})
    repo.put(ROOT, "new", b"key", b"value")
    repo.database.close()
    stores = tuple(replace(s, path=str(tmp_path / "older")) if s.name == "main" else s for s in config.stores)
    with pytest.raises(StoreUnusable, match="'images' holds data of instance number 5, and the metadata knows of 4"):
        Database.from_config(replace(config, stores=stores))


def test_metadata_must_not_be_less_durable_than_data(config):
    stores = tuple(replace(s, durability="durable") if s.name == "notes" else s for s in config.stores)
    with pytest.raises(
        ConfigError, match=r"store.main.durability = 'relaxed': expected 'durable', since store 'notes'"
    ):
        Database.from_config(replace(config, stores=stores))


def test_copies_of_all_stores_are_the_database(config, repo, tmp_path):
    for name in NAMES:
        repo.put(ROOT, name, b"key", name.encode())
    for name, store in {**repo.database.others, "main": repo.database.store}.items():
        store.backup(str(tmp_path / "copy" / name))
    repo.database.close()
    stores = tuple(replace(store, path=str(tmp_path / "copy" / store.name)) for store in config.stores)
    with Database.from_config(replace(config, stores=stores), read_only=True) as copy:
        for name in NAMES:
            with copy.view(ROOT, name) as view:
                assert bytes(view.get(DATA, b"key").payload) == name.encode()
        assert problems(copy) == []


def test_a_data_uuid_in_the_configuration_is_told_to_do_nothing(tmp_path):
    path = tmp_path / "dvid.toml"
    path.write_text(f'[store.a]\npath = "a"\n[backend."{ROOT}"]\nstore = "a"\n')
    config = load_config(str(path), environ={})
    assert [line for line in config.warnings if f"backend.{ROOT}: no effect" in line]


def test_damage_in_another_store_is_found(database, repo):
    repo.put(ROOT, "notes", b"key", b"value")
    number = instance(database, "notes").number
    full = table_prefix(number, DATA) + b"key" + b"\xff\xff\xff\xfe"
    database.others["notes"].transact(lambda tx: tx.put(full, bytes(tx.get(full))[:-1] + b"?"))
    stray = pack_u32(instance(database, "gray").number) + DATA + b"key" + b"\xff\xff\xff\xfe"
    database.others["notes"].transact(lambda tx: tx.put(stray, b""))
    assert {problem.key for problem in problems(database)} == {full, stray}


def test_one_store_alone_is_seen_through_one_snapshot(tmp_path: Path):
    store = open_store(str(tmp_path / "store"), durability="relaxed")
    counted = Counting(store)
    with Database(counted) as database:
        database.transact(lambda tx, _: repos.create_repo(tx, root=ROOT))
        database.create_instance(ROOT, {"typename": "keyvalue", "dataname": "kv"})
        counted.snapshots = counted.transactions = 0
        with database.view(ROOT, "kv") as view:
            describe(view)
        assert (counted.snapshots, counted.transactions) == (1, 0)
        database.edit(ROOT, "kv", lambda edit: edit.log("change", {}))
        assert (counted.snapshots, counted.transactions) == (1, 1)


class Counting:
    """A store that counts what is begun."""

    def __init__(self, store) -> None:
        self._store = store
        self.snapshots = self.transactions = 0

    def snapshot(self):
        self.snapshots += 1
        return self._store.snapshot()

    def transact(self, operation: Callable):
        self.transactions += 1
        return self._store.transact(operation)

    def close(self) -> None:
        self._store.close()
