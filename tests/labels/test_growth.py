"""Scales that are added, taken away and added again are never out of date.

`tests/labels/test_scales.py` does it in any order; these are the cases worth a name.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.labels.halving import half
from tests.labels.segmentation import BLOCK_ZYX, Segmentation

from dvid.background import work_off
from dvid.database import Database
from dvid.errors import Busy, UnknownInstance
from dvid.geometry import Box
from dvid.labels import growth
from dvid.labels.growth import keep_scales, last_before_growth
from dvid.labels.reading import read_labels
from dvid.labels.scales import behind, lowest
from dvid.labels.writing import from_voxels, write_blocks

EDGE = 64
WHOLE = Box((0, 0, 0), (EDGE,) * 3)


class Growing(Segmentation):
    """A segmentation with blocks of 16^3 voxels, 64 in all."""

    def put(self, box: Box, voxels: np.ndarray, node: str = "", scale: int = 0, *, downres: bool = True) -> None:
        blocks = from_voxels(box, np.ascontiguousarray(voxels), BLOCK_ZYX, list(box.blocks(BLOCK_ZYX)))
        self.edit(lambda edit: write_blocks(edit, blocks, scale, downres=downres), node)

    def waiting(self) -> int:
        return self.see(behind)

    def check(self, voxels: np.ndarray, node: str = "") -> None:
        """Whether all scales are what numpy makes of some voxels."""
        for scale in range(self.see(lowest) + 1):
            box = Box((0, 0, 0), voxels.shape)
            np.testing.assert_array_equal(
                self.see(lambda view, box=box, scale=scale: read_labels(view, box, scale, supervoxels=True), node),
                voxels,
            )
            voxels = half(voxels)


def random(seed: int, shape: tuple[int, int, int] = WHOLE.shape_zyx) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint64)


def finish(database: Database) -> None:
    while work_off(database):
        pass


def test_scales_that_were_hidden_while_blocks_were_written_are_those_of_the_new_blocks(database: Database) -> None:
    made = Growing(database, MaxDownresLevel=1)
    made.put(WHOLE, random(1))
    finish(database)
    made.lowest(0)
    made.put(WHOLE, random(2))
    made.lowest(2)
    made.check(random(2))
    finish(database)
    assert made.waiting() == 0
    made.check(random(2))


def test_added_scales_are_there_at_every_version(database: Database) -> None:
    made, part = Growing(database, MaxDownresLevel=0), Box((16, 0, 32), (32, 16, 64))
    made.put(WHOLE, random(1))
    made.commit()
    expected = {made.root: random(1)}
    for branch, seed in (("one", 2), ("other", 3)):
        node = made.child("", branch)
        made.put(part, random(seed, part.shape_zyx), node)
        expected[node] = random(1)
        expected[node][part.slices_in(WHOLE)] = random(seed, part.shape_zyx)
    made.commit(node)
    expected[made.child(node)] = expected[node]
    made.lowest(2)
    for _ in range(2):
        for node, voxels in expected.items():
            made.check(voxels, node)
        finish(database)
    assert made.waiting() == 0


def test_added_scales_are_made_of_blocks_that_clients_have_sent(database: Database) -> None:
    made = Growing(database, MaxDownresLevel=1)
    made.put(WHOLE, random(1), downres=False)
    own = random(2, (32, 32, 32))
    made.put(Box((0, 0, 0), own.shape), own, scale=1, downres=False)
    made.lowest(2)
    finish(database)
    box = Box((0, 0, 0), (16, 16, 16))
    found = made.see(lambda view: read_labels(view, box, 2, supervoxels=True))
    np.testing.assert_array_equal(found, half(own))


def test_blocks_that_wait_to_be_made_are_counted_in(database: Database) -> None:
    made = Growing(database, MaxDownresLevel=1)
    made.put(WHOLE, random(1))
    made.lowest(2)
    made.check(random(1))
    work_off(database, 1)
    made.lowest(3)
    finish(database)
    assert made.waiting() == 0
    made.check(random(1))


def test_many_blocks_are_gone_through_in_many_transactions_while_others_write(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "_AT_ONCE", 5)
    made, part, voxels = Growing(database, MaxDownresLevel=0), Box((0, 0, 0), (16, 16, 16)), random(1)
    made.put(WHOLE, voxels)
    made.lowest(2)
    rounds = 0
    while made.see(lambda view: last_before_growth(view.snapshot, view.instance)) is not None:
        with pytest.raises(Busy, match="scale 1"):
            made.check(voxels)
        with pytest.raises(Busy):  # what clients send may not come before it is known what is to be made
            made.put(part, random(2, part.shape_zyx), scale=1, downres=False)
        voxels[part.slices_in(WHOLE)] = random(rounds, part.shape_zyx)
        made.put(part, voxels[part.slices_in(WHOLE)])
        assert work_off(database, 1) == 1
        rounds += 1
    assert rounds >= 64 // 5
    made.check(voxels)
    finish(database)
    made.check(voxels)


def test_scales_that_are_added_while_others_are_begin_with_the_first_of_these(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "_AT_ONCE", 5)
    made = Growing(database, MaxDownresLevel=0)
    made.put(WHOLE, random(1))
    made.lowest(1)
    work_off(database, 1)
    made.lowest(3)
    made.lowest(2)
    finish(database)
    made.check(random(1))
    made.lowest(3)
    made.check(random(1))
    assert made.waiting() == 0


def test_a_growth_goes_on_when_the_store_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "_AT_ONCE", 5)
    with Database.open(str(tmp_path / "store"), durability="relaxed") as database:
        made = Growing(database, MaxDownresLevel=0)
        made.put(WHOLE, random(1))
        made.lowest(2)
        work_off(database, 1)
        root = made.root
    with Database.open(str(tmp_path / "store"), durability="relaxed") as database:
        made = Growing(database, root=root)
        with pytest.raises(Busy):
            made.check(random(1))
        finish(database)
        made.check(random(1))


def test_scales_are_added_where_the_data_have_a_store_of_their_own(two_stores: Database) -> None:
    made = Growing(two_stores, MaxDownresLevel=1)
    made.put(WHOLE, random(1))
    made.lowest(0)
    made.put(WHOLE, random(2))
    made.lowest(2)
    made.check(random(2))
    assert made.waiting() > 0
    finish(two_stores)
    made.check(random(2))
    made.name = "none"
    with pytest.raises(UnknownInstance):
        made.lowest(3)


def test_a_change_that_fails_between_two_stores_does_no_harm(two_stores: Database) -> None:
    made = Growing(two_stores, MaxDownresLevel=0)
    made.put(WHOLE, random(1))

    def fail(tx, instance):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        two_stores.configure(made.root, made.name, fail, partial(keep_scales, lowest=2))
    made.put(WHOLE, random(2))
    finish(two_stores)
    made.check(random(2))
    made.lowest(2)
    made.check(random(2))
