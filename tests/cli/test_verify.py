"""`dvid verify` by its words: what it prints, and its exit code."""

from __future__ import annotations

import threading
from functools import partial

import numpy as np
import pytest

import dvid as library
from dvid.config import load_config
from dvid.database import Database
from dvid.geometry import Box
from dvid.inprocess import Library
from dvid.labels.bodies import put_body
from dvid.labels.writing import from_voxels, write_blocks
from dvid.storage import open_store
from dvid.versions import layout


@pytest.fixture
def filled(on_store):
    """A store with a volume; its node."""
    np.save(on_store.folder / "in.npy", np.random.default_rng(1).integers(0, 255, (64, 64, 64), np.uint8))
    node = on_store.uuid("repos", "new", "fly")
    on_store("import", "in.npy", "--node", node, "--name", "gray")
    return node


def test_a_good_store_is_good(on_store, filled):
    out, told = on_store.both("verify")
    assert out == ""
    assert "all are good" in told


def test_a_flipped_bit_is_found_and_its_key_instance_and_node_are_named(on_store, filled):
    store = open_store(on_store.folder / "store")

    def damage(transaction):
        entries = list(transaction.scan(layout.pack_u32(1) + layout.DATA, layout.pack_u32(2)))
        key, value = bytes(entries[3].key), bytearray(entries[3].value)
        value[len(value) // 2] ^= 16
        transaction.put(key, value)
        return key

    key = store.transact(damage)
    store.close()
    out, told = on_store.both("verify", code=1)
    assert out.count("\n") == 1
    assert f"key {key.hex()}, instance 'gray', node {filled}: " in out
    assert "checksum" in out
    assert "1 problems" in told


def test_a_store_is_read_while_it_is_written(on_store, filled):
    stop = threading.Event()

    def write():
        with library.open(str(on_store.folder / "store")) as store:
            number = 0
            while not stop.is_set():
                number += 1
                repo = store.create_repo(f"repo {number}")
                volume = repo["master"].create("uint8blk", "gray")
                volume[0:40, 0:40, 0:40] = np.uint8(number % 250)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(2):
            on_store("verify")
    finally:
        stop.set()
        writer.join()


CONFIG = """
[store.main]
engine = "lmdb"
path = "main"

[store.voxels]
engine = "lmdb"
path = "voxels"

[backend.default]
store = "main"

[backend.uint8blk]
store = "voxels"
"""


def test_all_stores_of_a_configuration_are_backed_up_restored_and_read(plain):
    (plain.folder / "dvid.toml").write_text(CONFIG)
    plain.environment["DVID_SERVER_WORKERS"] = "1"
    with Database.from_config(load_config(str(plain.folder / "dvid.toml"))) as database:
        node = Library(database).create_repo("fly")["master"]
        node.create("uint8blk", "gray")[0:50, 0:50, 0:50] = np.uint8(3)
        assert database.others["voxels"].size().entries > 8
    plain("verify", "--config", "dvid.toml")
    assert "gray" in plain.both("verify", "--data", "main", code=1)[0]
    plain("backup", "backup", "--config", "dvid.toml")
    for name in ("main", "voxels"):
        (plain.folder / name).rename(plain.folder / f"old-{name}")
        plain("restore", f"backup/{name}", name)
    _, told = plain.both("verify", "--config", "dvid.toml")
    assert "all are good" in told
    with Database.from_config(load_config(str(plain.folder / "dvid.toml"))) as database:
        assert (Library(database)["fly"]["master"]["gray"][0:50, 0:50, 0:50] == 3).all()
    assert "backup" in plain.fails("backup", "backup", "--config", "dvid.toml", code=2)


def test_what_is_no_store_is_exit_code_2(plain):
    assert "nowhere" in plain.fails("verify", "--data", "nowhere", code=2)


@pytest.mark.parametrize("where", [("--data", "store"), ("--config", "dvid.toml")], ids=["one store", "two stores"])
def test_labels_that_do_not_agree_are_listed_and_mended(plain, where):
    (plain.folder / "dvid.toml").write_text(CONFIG.replace("uint8blk", "labelmap"))
    path = str(plain.folder / where[1])
    with Database.from_config(
        load_config(path) if path.endswith(".toml") else load_config(None, {"data": path})
    ) as database:
        store = Library(database)
        node = store.create_repo("fly")["master"]
        node.create("labelmap", "segmentation", BlockSize="16,16,16")
        box = Box((0, 0, 0), (16, 16, 16))
        (block,) = from_voxels(box, np.full((16, 16, 16), 7, np.uint64), (16, 16, 16), [(0, 0, 0)])
        database.edit(node.uuid, "segmentation", lambda edit: write_blocks(edit, [block]))
        node.commit()
        damage = partial(put_body, label=7, voxels=4000, mutation=1, own=True)
        database.edit(node.uuid, "segmentation", damage, unlocked=True)
    out, _ = plain.both("verify", *where, code=1)
    what = "body 7 has 4096 voxels, and its row tells of 4000"
    assert (out.count("\n"), what in out, node.uuid in out, "'segmentation'" in out) == (1, True, True, True)
    out, told = plain.both("verify", *where, "--repair")
    assert what in out
    assert f"instance 'segmentation', node {node.uuid}, sizes: 1 mended" in told
    assert plain("verify", *where) == ""
