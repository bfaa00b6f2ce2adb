"""Work that waits in the background, in a database of several stores and instances."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.labels.halving import half

from dvid.background import work_off
from dvid.database import Database
from dvid.errors import CorruptValue
from dvid.geometry import Box
from dvid.labels.reading import read_labels
from dvid.labels.scales import behind
from dvid.labels.tables import BLOCKS, block_key
from dvid.labels.writing import from_voxels, write_blocks
from dvid.versions import instances, repos, work
from dvid.versions.envelope import Format

SHAPE = (16, 16, 16)
BOX = Box((0, 0, 0), (32, 32, 32))


class Labels:
    """A segmentation with one lower resolution in a repo of its own."""

    def __init__(self, database: Database, seed: int = 0) -> None:
        self.database = database
        self.root = database.transact(lambda tx, _: repos.create_repo(tx)).root_uuid
        given = {"typename": "labelmap", "dataname": "seg", "BlockSize": "16,16,16", "MaxDownresLevel": 1}
        self.instance = database.create_instance(self.root, given)
        self.voxels = np.random.default_rng(seed).integers(0, 5, BOX.shape_zyx).astype(np.uint64)
        blocks = from_voxels(BOX, self.voxels, SHAPE, list(BOX.blocks(SHAPE)))
        database.edit(self.root, "seg", lambda edit: write_blocks(edit, blocks, downres=True))

    def check(self, *, waiting: int) -> None:
        with self.database.view(self.root, "seg") as view:
            assert behind(view) == waiting
            found = read_labels(view, Box((0, 0, 0), SHAPE), 1)
        np.testing.assert_array_equal(found, half(self.voxels))

    def spoil(self) -> None:
        """A block that no reader can read."""
        self.database.edit(
            self.root, "seg", lambda edit: edit.put(BLOCKS, block_key(0, (1, 1, 1)), b"not gzip", Format.GZIP)
        )


def busy(database: Database) -> list[int]:
    return [number for store in (database.store, *database.others.values()) for number in _busy_in(store)]


def _busy_in(store) -> list[int]:
    with store.snapshot() as snapshot:
        return work.busy_instances(snapshot)


@pytest.fixture
def one_store(tmp_path: Path):
    with Database.open(str(tmp_path / "store"), durability="relaxed") as database:
        yield database


def finish(database: Database, most: int = 16) -> int:
    rounds = 0
    while work_off(database, most):
        rounds += 1
        assert rounds < 100
    return rounds


def test_the_data_of_an_instance_may_be_in_another_store(two_stores: Database) -> None:
    labels = Labels(two_stores)
    assert labels.instance.store == "labels"
    labels.check(waiting=1)
    assert busy(two_stores) == [labels.instance.number]
    finish(two_stores)
    labels.check(waiting=0)
    assert busy(two_stores) == []
    assert work_off(two_stores) == 0


def test_all_instances_get_their_turn(one_store: Database) -> None:
    several = [Labels(one_store, seed) for seed in range(3)]
    assert work_off(one_store, 1) == 3
    for labels in several:
        labels.check(waiting=0)


def test_work_at_a_committed_node_is_done(one_store: Database) -> None:
    labels = Labels(one_store)
    one_store.commit(labels.root)
    finish(one_store)
    labels.check(waiting=0)


@pytest.mark.parametrize("make", ["two_stores", "one_store"])
def test_what_waits_for_a_deleted_instance_waits_no_longer(make: str, request: pytest.FixtureRequest) -> None:
    database: Database = request.getfixturevalue(make)
    gone, stays = Labels(database, 1), Labels(database, 2)
    database.transact(lambda tx, _: instances.delete_instance(tx, gone.instance))
    finish(database)
    assert busy(database) == []
    stays.check(waiting=0)


def test_an_instance_whose_work_fails_does_not_hold_up_the_others(one_store: Database) -> None:
    first, damaged, last = (Labels(one_store, seed) for seed in range(3))
    damaged.spoil()
    with pytest.raises(CorruptValue, match="cannot be decompressed"):
        finish(one_store)
    first.check(waiting=0)
    last.check(waiting=0)
    with one_store.view(damaged.root, "seg") as view:
        assert behind(view) == 1


def test_work_that_was_asked_for_anew_while_it_was_done_is_done_again(
    one_store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = Labels(one_store)
    edit: Callable[..., object] = one_store.edit

    def slow(*arguments: object, **options: object) -> object:
        monkeypatch.undo()
        labels.voxels = labels.voxels + np.uint64(3)
        blocks = from_voxels(BOX, labels.voxels, SHAPE, list(BOX.blocks(SHAPE)))
        one_store.edit(labels.root, "seg", lambda again: write_blocks(again, blocks, downres=True))
        return edit(*arguments, **options)

    monkeypatch.setattr(one_store, "edit", slow)
    work_off(one_store)
    labels.check(waiting=1)
    finish(one_store)
    labels.check(waiting=0)
