"""What a process remembers is never anything but what is stored."""

from __future__ import annotations

from pathlib import Path
from threading import Barrier, Thread

import numpy as np
import pytest
from tests.labels.segmentation import BLOCK_ZYX, Segmentation

from dvid.codecs.labelblocks import deflated_rest, encode, solid, trusted
from dvid.database import Database
from dvid.labels import memory
from dvid.labels.blocks import read_blocks
from dvid.labels.memory import BlockMemory, RestMemory
from dvid.labels.sizes import body_sizes

SHAPE = (16, 16, 32)


def halves(*labels: int) -> np.ndarray:
    return np.repeat(np.array(labels, np.uint64), 32 // len(labels))[None, None] * np.ones((16, 16, 1), np.uint64)


def bodies(segmentation: Segmentation, node: str = "") -> list[int]:
    return segmentation.voxels(SHAPE, node=node, bodies=True)[0, 0, ::8].tolist()


@pytest.fixture
def four(database: Database) -> Segmentation:
    made = Segmentation(database)
    made.write(halves(1, 2, 3, 4))
    return made


@pytest.fixture
def two_processes(tmp_path: Path):
    """The same segmentation in two databases that know nothing of each other."""
    path = str(tmp_path / "store")
    with Database.open(path, durability="relaxed") as one, Database.open(path, durability="relaxed") as two:
        made = Segmentation(one)
        made.write(halves(1, 2, 3, 4))
        yield made, Segmentation(two, root=made.root)


# ---- mapping and bodies -------------------------------------------------------------------------


def test_each_change_of_the_mapping_is_seen_at_once(four: Segmentation) -> None:
    assert bodies(four) == [1, 2, 3, 4]
    four.merge(1, 2)
    assert bodies(four) == [1, 1, 3, 4]
    mutation = four.merge(1, 3)
    assert bodies(four) == [1, 1, 1, 4]
    four.undo(mutation)
    assert bodies(four) == [1, 1, 3, 4]
    new = four.cleave(1, 2).label
    assert bodies(four) == [1, new, 3, 4]
    four.renumber((77, 3))
    assert bodies(four) == [1, new, 77, 4]
    four.write(halves(4, 4, 3, 1))
    assert bodies(four) == [4, 4, 77, 1]


def test_versions_are_not_taken_for_each_other(four: Segmentation) -> None:
    four.merge(1, 2)
    assert bodies(four) == [1, 1, 3, 4]
    four.commit()
    left, right = four.child("", "left"), four.child("", "right")
    assert bodies(four, left) == bodies(four, right) == [1, 1, 3, 4]
    four.merge(3, 4, node=left)
    four.merge(4, 3, node=right)
    for _ in range(2):
        assert bodies(four) == [1, 1, 3, 4]
        assert bodies(four, left) == [1, 1, 3, 3]
        assert bodies(four, right) == [1, 1, 4, 4]
        assert four.see(lambda view: body_sizes(view, np.array([3, 4], np.uint64)).tolist(), left) == [4096, 0]
        assert four.see(lambda view: body_sizes(view, np.array([3, 4], np.uint64)).tolist(), right) == [0, 4096]


def test_what_another_process_changes_is_seen(two_processes: tuple[Segmentation, Segmentation]) -> None:
    one, two = two_processes
    asked = np.array([1, 2, 3, 4, 5], np.uint64)
    for turn, (merged, sizes) in enumerate(
        [([1, 1, 3, 4], [4096, 0, 2048, 2048, 0]), ([1, 1, 1, 4], [6144, 0, 0, 2048, 0]), ([1] * 4, [8192, 0, 0, 0, 0])]
    ):
        writer, reader = (one, two) if turn % 2 else (two, one)
        bodies(reader)
        reader.see(lambda view: body_sizes(view, asked))
        writer.merge(1, 2 + turn)
        assert bodies(reader) == bodies(writer) == merged
        assert reader.see(lambda view: body_sizes(view, asked).tolist()) == sizes
    two.write(halves(7, 7, 8, 9))
    assert bodies(one) == [7, 7, 8, 9]


def test_an_old_snapshot_shows_what_it_showed(four: Segmentation) -> None:
    four.merge(1, 2)
    with four.database.view(four.root, four.name) as view:
        asked = np.array([1, 2, 3, 4], np.uint64)
        before = body_sizes(view, asked).tolist()
        four.merge(1, 3)
        assert bodies(four) == [1, 1, 1, 4]
        assert body_sizes(view, asked).tolist() == before == [4096, 0, 2048, 2048]
    assert four.sizes() == {1: 6144, 4: 2048}


def test_what_a_failed_transaction_saw_is_not_remembered(four: Segmentation) -> None:
    four.merge(1, 2)

    def fail(edit: object) -> None:
        from dvid.labels import grouping

        grouping.merge(edit, 1, [3])  # type: ignore[arg-type]
        assert body_sizes(edit, np.array([1], np.uint64)).tolist() == [6144]  # type: ignore[arg-type]
        raise KeyError

    with pytest.raises(KeyError):
        four.edit(fail)
    assert bodies(four) == [1, 1, 3, 4]
    assert four.see(lambda view: body_sizes(view, np.array([1], np.uint64)).tolist()) == [4096]


def test_an_instance_with_the_name_of_a_deleted_one_is_another(four: Segmentation) -> None:
    from dvid.versions.instances import delete_instance

    four.merge(1, 2)
    assert bodies(four) == [1, 1, 3, 4]

    def delete(tx, directory):
        node = directory.node(tx, four.root)
        delete_instance(tx, directory.instance(tx, node.record.repo, four.name))

    four.database.transact(delete)
    four.database.create_instance(four.root, {"typename": "labelmap", "dataname": four.name, "BlockSize": "16,16,16"})
    assert bodies(four) == [0, 0, 0, 0]
    four.write(halves(1, 2, 3, 4))
    four.merge(3, 4)
    assert bodies(four) == [1, 2, 3, 3]


def test_many_threads_read_what_was_written_last(four: Segmentation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_TABLES", 2)
    monkeypatch.setattr(memory, "_CAPACITY", 8)
    monkeypatch.setattr(memory, "blocks", BlockMemory(2000))
    nodes = [four.root]
    for name in ("a", "b", "c"):
        if name == "a":
            four.commit()
        nodes.append(four.child("", name))
    start, failed, stop = Barrier(5), [], []

    def read(number: int) -> None:
        try:
            start.wait()
            while not stop:
                for at, node in enumerate(nodes):
                    with four.database.view(node, four.name) as view:
                        sizes = body_sizes(view, np.arange(1, 7, dtype=np.uint64))
                    assert sizes.sum() == 8192, (at, sizes)
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    readers = [Thread(target=read, args=[number]) for number in range(4)]
    for reader in readers:
        reader.start()
    start.wait()
    try:
        for turn in range(20):
            node = nodes[1 + turn % 3]
            mutation = four.merge(1, 2 + turn % 3, node=node)
            assert 2 + turn % 3 not in bodies(four, node)
            four.undo(mutation, node=node)
            four.write(np.roll(halves(1, 2, 3, 4), 8 * (turn % 4), 2), node=node)
    finally:  # or they would read for ever, and keep the process from ending
        stop.append(True)
        for reader in readers:
            reader.join()
    assert failed == []


# ---- blocks -------------------------------------------------------------------------------------


def test_a_block_that_was_replaced_is_not_the_one_that_is_read(
    two_processes: tuple[Segmentation, Segmentation],
) -> None:
    one, two = two_processes
    for label in (5, 6, 5, 7):
        bodies(one), bodies(two)
        two.write(halves(label))
        assert bodies(one) == bodies(two) == [label] * 4
    one.write(halves(0))
    assert bodies(two) == [0] * 4


def test_the_blocks_used_last_are_kept_up_to_a_number_of_bytes() -> None:
    block = trusted(solid(7, BLOCK_ZYX))
    names = [(bytes([number]), b"") for number in range(4)]
    held = BlockMemory(3 * (len(block) + 512))
    for name in names[:3]:
        held.put(name, block)
    held.put(names[2], block)  # is there
    assert held.get(names[0]) is block
    held.put(names[3], block)
    assert [held.get(name) is not None for name in names] == [True, False, True, True]
    held.put((b"large", b""), np.zeros(4 * (len(block) + 512), np.uint8))
    assert [held.get(name) for name in [*names, (b"large", b"")]] == [None] * 5
    held.put(names[1], block)
    assert held.get(names[1]) is block


def test_a_block_that_is_remembered_is_read_once(four: Segmentation, monkeypatch: pytest.MonkeyPatch) -> None:
    from dvid.labels import blocks

    monkeypatch.setattr(memory, "blocks", BlockMemory(1 << 20))
    read, expanded = [], blocks.expanded
    monkeypatch.setattr(blocks, "expanded", lambda *arguments: (read.append(1), expanded(*arguments))[1])
    places = [(0, 0, 0), (0, 0, 1), (0, 0, 9)]
    first, second = (four.see(lambda view: read_blocks(view, 0, places)) for _ in range(2))
    assert len(read) == 2
    assert first[0] is second[0]
    assert first[2] is None


def test_the_rest_of_a_block_is_compressed_once_and_forgotten_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(memory, "deflated_rest", lambda block: (made.append(1), deflated_rest(block))[1])
    rests, labels = RestMemory(), np.arange(9, dtype=np.uint64)
    voxels = labels[np.random.default_rng(1).integers(0, 9, BLOCK_ZYX)]
    one, two = trusted(encode(voxels)), trusted(encode(voxels[::-1].copy()))
    for block in (one, two, one, two):
        assert rests.of(block) == deflated_rest(block)
    assert (len(made), len(rests)) == (2, 2)
    del block, one
    assert len(rests) == 1
    assert rests.of(two) == deflated_rest(two)
    assert len(made) == 2
