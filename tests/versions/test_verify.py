"""Whatever is damaged in a store is found, and nothing else is complained of."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

import dvid
from dvid.background import sweep
from dvid.cli.verify import check_content
from dvid.database import Database
from dvid.datatypes.keyvalue import operations as keyvalue
from dvid.inprocess import Library
from dvid.versions import instances, layout, logs, nodes, repos
from dvid.versions import verify as verifying
from dvid.versions.envelope import Format, compress, seal, unseal
from dvid.versions.records import NodeRecord, decode, encode
from dvid.versions.verify import verify


@pytest.fixture
def database(tmp_path):
    """Two repos with branches, merges, tags, logs, deleted things, and data of several types."""
    with Database.open(str(tmp_path / "store"), durability="relaxed") as database:
        library = Library(database)
        repo = library.create_repo("fly", "with everything")
        root = repo["master"]
        gray = root.create("uint8blk", "gray", VoxelSize="4,4,40")
        gray[0:40, 0:40, 0:40] = np.random.default_rng(0).integers(0, 255, (40, 40, 40), np.uint8)
        root.create("uint8blk", "photo", Compression="jpeg")[0:32, 0:32, 0:32] = np.uint8(80)
        root.create("uint16blk", "shared", versioned="false")[0:32, 0:32, 0:32] = np.uint16(800)
        root.create("keyvalue", "notes")
        database.edit(root.uuid, "notes", lambda edit: keyvalue.put(edit, keyvalue.pack(edit.instance, [("a", b"1")])))
        database.edit(root.uuid, "notes", lambda edit: edit.put_blob(b"a blob"))
        root.create("uint8blk", "doomed")[0:32, 0:32, 0:32] = np.uint8(1)
        root.commit("first")
        root.tag("v1")
        left, right = root.new_version("left"), root.branch("right")
        left["gray"][3:5, 3:5, 3:5] = np.uint8(7)
        database.edit(left.uuid, "notes", lambda edit: keyvalue.delete(edit, "a"))
        right["shared"][5:6, 0:4, 0:4] = np.uint16(5)
        left.commit()
        right.commit()

        def more(transaction, directory):
            tips = [directory.node(transaction, uuid).record for uuid in (left.uuid, right.uuid)]
            logs.append_log(transaction, tips[0], ["a line"])
            repos.log_repo(transaction, directory.repo(transaction, tips[0].repo), ["a line"])
            nodes.merge(transaction, directory.lineages, tips)
            instances.delete_instance(transaction, directory.instance(transaction, tips[0].repo, "doomed"))

        database.transact(more)
        library.create_repo("second")["master"].create("uint8blk", "gray")[0:8, 0:8, 0:8] = np.uint8(3)
        third = library.create_repo("third")
        database.transact(
            lambda tx, directory: repos.delete_repo(
                tx, directory.repo(tx, directory.node(tx, third.uuid).record.repo), ""
            )
        )
        yield database


def problems(database):
    return list(verify(database.store, check_content))


def entries(database, start, stop=None):
    with database.store.snapshot() as snapshot:
        return [(bytes(key), bytes(value)) for key, value in snapshot.scan(start, stop or layout.after(start))]


def put(database, key, value):
    database.store.transact(lambda tx: tx.put(key, value))


def of_instance(database, name, table=layout.DATA):
    with database.read() as (snapshot, _):
        number = next(
            i.number
            for repo in repos.list_repos(snapshot)
            for i in instances.list_instances(snapshot, repo.number)
            if i.name == name
        )
    return entries(database, layout.table_prefix(number, table))


def test_a_store_with_everything_is_good(database):
    assert problems(database) == []
    while sweep(database):
        assert problems(database) == []
    assert problems(database) == []


def test_all_entries_are_read(database):
    read = []
    assert list(verify(database.store, check_content, read.append)) == []
    assert sum(read) == database.store.size().entries


STAMPS = (layout.STAMP, layout.REPO_STAMP)
UNSEALED = (*STAMPS, layout.CHILD, layout.DOOMED)


def test_a_flipped_bit_in_any_value_is_found(database):
    everything = [
        (key, value) for key, value in entries(database, b"\0", b"\xff" * 8) if not key.startswith(UNSEALED) and value
    ]
    doomed = {key[-4:] for key, _ in entries(database, layout.DOOMED)}
    random = np.random.default_rng(5)
    checked = 0
    for key, value in everything:
        if key[:4] in doomed:
            continue
        damaged = bytearray(value)
        damaged[random.integers(len(value))] ^= 1 << int(random.integers(8))
        put(database, key, damaged)
        assert key in {problem.key for problem in problems(database)}, key.hex()
        put(database, key, value)
        checked += 1
    assert checked > 40
    assert problems(database) == []


def test_the_instance_and_the_node_of_a_bad_value_are_named(database):
    key, value = of_instance(database, "photo")[0]
    put(database, key, value[:-1])
    (problem,) = problems(database)
    with database.read() as (snapshot, _):
        root = repos.list_repos(snapshot)[0].root_uuid
    assert (problem.key, problem.instance, problem.node) == (key, "photo", root)


# Values whose checksum is right, and whose content is not.


def resealed(key, payload, form=Format.RAW):
    return seal(key, payload, form)


@pytest.mark.parametrize(
    ("payload", "form"),
    [
        (b"short", Format.RAW),
        (bytes(32**3 + 1), Format.RAW),
        (compress(bytes(1000), Format.LZ4), Format.LZ4),
        (b"\xff\xff\xff\x7fnonsense", Format.LZ4),
        (b"nonsense", Format.JPEG),
        (b"nonsense", Format.GZIP),
        (b"nonsense", Format.SNAPPY),
        (b"not nothing", Format.TOMBSTONE),
    ],
)
def test_a_block_that_is_no_block_is_found(database, payload, form):
    key, value = of_instance(database, "gray")[0]
    put(database, key, seal(key, payload, form))
    (problem,) = problems(database)
    assert problem.key == key
    assert problem.instance == "gray"
    put(database, key, value)
    assert problems(database) == []


def test_keys_that_are_not_well_formed_are_found(database):
    key, _ = of_instance(database, "gray")[0]
    bad = [
        key[:-4],  # no version
        key[:5] + b"abc" + key[-4:],  # no block's coordinates
        key[:4] + b"\x07" + key[5:],  # no such table
        key[:4] + layout.EVENTS + b"12345",
        key[:-4] + layout.inverted(4000),  # no such version
        layout.pack_u32(4000) + key[4:],  # no such instance
        b"\0\0\1",
        layout.SYSTEM + b"?",
        layout.NODE + b"12",
    ]
    for one in bad:
        put(database, one, seal(one, b""))
    assert {problem.key for problem in problems(database)} == set(bad)


def test_events_properties_and_blobs_are_looked_into(database):
    for table, instance in ((layout.EVENTS, "gray"), (layout.PROPERTIES, "gray"), (layout.BLOBS, "notes")):
        key, value = of_instance(database, instance, table)[0]
        put(database, key, seal(key, b"\xc1 nonsense"))
        assert [problem.key for problem in problems(database)] == [key]
        put(database, key, value)


def test_data_of_another_repos_version_are_found(database):
    key, _ = of_instance(database, "shared")[0]
    with database.read() as (snapshot, _):
        second = repos.list_repos(snapshot)[1]
    moved = key[:-4] + layout.inverted(second.root_version)
    put(database, moved, seal(moved, bytes(2 * 32**3)))
    (problem,) = problems(database)
    assert "another repo" in problem.what


# Records that contradict each other.


@pytest.mark.parametrize(
    "table", [layout.REPO, layout.NODE, layout.UUID, layout.CHILD, layout.BRANCH, layout.INSTANCE, layout.NAME]
)
def test_each_record_that_is_missing_is_noticed(database, table):
    for key, value in entries(database, table):
        database.store.transact(lambda tx, key=key: tx.delete(key))
        assert problems(database), key.hex()
        put(database, key, value)
    assert problems(database) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"parents": (4000,)},
        {"parents": ()},
        {"version": 77},
        {"repo": 77},
        {"chain": 77},
        {"base": ((1, 4000),)},
        {"branch": "elsewhere"},
        {"uuid": "0" * 32},
    ],
)
def test_a_node_that_does_not_fit_is_found(database, changes):
    key, value = entries(database, layout.NODE)[2]
    record = decode(unseal(key, memoryview(value)).payload, NodeRecord)
    put(database, key, seal(key, encode(msgspec.structs.replace(record, **changes))))
    assert problems(database)
    put(database, key, value)
    assert problems(database) == []


def test_a_branch_that_goes_on_behind_its_leaf_is_found(database):
    with database.read() as (snapshot, _):
        repo = repos.list_repos(snapshot)[0]
    key = layout.BRANCH + layout.pack_u32(repo.number)
    put(database, key, seal(key, layout.pack_u64(repo.root_version)))
    assert [problem.key for problem in problems(database)] == [key]


def test_a_counter_that_lags_behind_is_found(database):
    for name in ("repo", "version", "instance"):
        key = layout.COUNTER + name.encode()
        (stored,) = (value for found, value in entries(database, layout.COUNTER) if found == key)
        put(database, key, seal(key, layout.pack_u64(1)))
        assert [problem.key for problem in problems(database)] == [key]
        put(database, key, stored)


def test_logs_of_what_is_gone_are_found(database):
    key = layout.NODE_LOG + layout.pack_u32(4000) + layout.pack_u32(0)
    put(database, key, seal(key, b"a line"))
    (problem,) = problems(database)
    assert "4000" in problem.what


def test_records_are_read_once_more_only_for_what_is_checked_as_a_whole(tmp_path, monkeypatch):
    with dvid.open(str(tmp_path)) as library:
        repo = library.create_repo("many")
        for number in range(20):
            repo["master"].create("keyvalue", f"kv{number}")
        read, read_inventory = [], verifying.read_inventory

        def counted(snapshot):
            library.create_repo("another")  # somebody changes the records all the time
            read.append(1)
            return read_inventory(snapshot)

        monkeypatch.setattr(verifying, "read_inventory", counted)
        assert list(verifying.verify(library.database.store, check_instance=lambda instance: None)) == []
        few = len(read)
        check = lambda *_: iter(())  # noqa: E731
        assert list(verifying.verify(library.database.store, check_instance=lambda instance: check)) == []
        assert len(read) - few == few + 20
