"""Backups of a store that is being written to, and what is restored from them."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import requests

import dvid as library


def tree(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_a_backup_under_write_load_is_one_moment_of_the_store(on_server):
    url = on_server.target[1]
    node = on_server.uuid("repos", "new", "fly")
    on_server("repo", node, "new", "uint8blk", "gray", "BlockSize=32,32,32")
    on_server("repo", node, "new", "keyvalue", "counts")
    stop, written = threading.Event(), [0]

    def write():
        # The volume and the key change in turns: in one moment they differ by one at most.
        with requests.Session() as session:
            while not stop.is_set():
                number = written[0] + 1
                body = np.full((64, 64, 64), number % 251, np.uint8).tobytes()
                answer = session.post(f"{url}api/node/{node}/gray/raw/0_1_2/64_64_64/0_0_0?mutate=true", data=body)
                assert answer.ok, answer.text
                answer = session.post(f"{url}api/node/{node}/counts/key/count", data=str(number))
                assert answer.ok, answer.text
                written[0] = number

    writer = threading.Thread(target=write)
    writer.start()
    try:
        beside = on_server.on()
        for number in range(3):
            before = written[0]
            beside("backup", f"backup{number}", "--data", "store")
            after = written[0] + 1
            beside("restore", f"backup{number}", f"restored{number}")
            beside("verify", "--data", f"restored{number}")
            with library.open(str(on_server.folder / f"restored{number}"), read_only=True) as store:
                here = store["fly"]["master"]
                with here["counts"].view() as view:
                    stored = next(view.scan(b"\x10"), None)
                count = int(bytes(stored[1].payload)) if stored is not None else 0
                values = np.unique(here["gray"][0:64, 0:64, 0:64])
            assert before <= count <= after
            assert len(values) == 1
            assert values[0] in (count % 251, (count + 1) % 251)
    finally:
        stop.set()
        writer.join()
    assert written[0] > 3


def test_nothing_is_overwritten(on_store):
    on_store("repos", "new", "fly")
    plain = on_store.on()
    plain("backup", "backup", "--data", "store")
    before = tree(on_store.folder / "backup")
    assert "backup" in plain.fails("backup", "backup", "--data", "store", code=2)
    assert tree(on_store.folder / "backup") == before
    other = on_store.folder / "other"
    other.mkdir()
    (other / "letter.txt").write_text("dear reader")
    assert "other" in plain.fails("restore", "backup", "other", code=2)
    assert tree(other) == {"letter.txt": b"dear reader"}
    plain("restore", "backup", "again")
    assert "again" in plain.fails("restore", "backup", "again", code=2)


def test_only_a_backup_is_restored(plain):
    folder = plain.folder / "papers"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear reader")
    assert "not a dvid store" in plain.fails("restore", "papers", "store", code=2)
    assert not (plain.folder / "store").exists()
    plain("repos", "new", "fly", "--data", "old")
    marker = next(path for path in (plain.folder / "old").iterdir() if path.read_bytes().startswith(b"dvid"))
    marker.write_text("dvid store 99\n")
    assert "99" in plain.fails("restore", "old", "store", code=2)
    assert "nowhere" in plain.fails("restore", "nowhere", "store", code=2)
    assert not (plain.folder / "store").exists()


def test_a_restored_store_holds_the_same(on_store):
    np.save(on_store.folder / "in.npy", np.arange(50 * 60 * 70, dtype=np.uint32).reshape(50, 60, 70))
    node = on_store.uuid("repos", "new", "fly")
    on_store("import", "in.npy", "--node", node, "--name", "numbers")
    plain = on_store.on()
    plain("backup", "backup", "--data", "store")
    plain("restore", "backup", "again")
    restored = plain.on("--data", "again")
    assert restored("info", "--json") == on_store("info", "--json")
    restored("export", "out.npy", "--node", node, "--name", "numbers")
    assert (on_store.folder / "out.npy").read_bytes() == (on_store.folder / "in.npy").read_bytes()
