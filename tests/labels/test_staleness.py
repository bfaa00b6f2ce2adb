"""`dvid verify` finds blocks of lower resolutions that are out of date, and complains of nothing else; repair makes them again."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from tests.labels.halving import half
from tests.labels.segmentation import BLOCK_ZYX, Segmentation

from dvid.background import work_off
from dvid.cli.verify import _edit, _sources, check_content, check_instance
from dvid.database import Database
from dvid.geometry import Box, Zyx
from dvid.labels import growth, staleness
from dvid.labels.reading import read_labels
from dvid.labels.repair import repair
from dvid.labels.tables import BLOCKS, block_key
from dvid.labels.writing import from_voxels, write_blocks
from dvid.versions import nodes
from dvid.versions.envelope import Format
from dvid.versions.inventory import Problem
from dvid.versions.verify import Mended, verify

WHOLE = Box((0, 0, 0), (64, 64, 64))
PART = Box((0, 0, 32), (16, 16, 64))


@pytest.fixture
def database(tmp_path):
    with Database.open(str(tmp_path / "store"), durability="relaxed") as opened:
        yield opened


class Scaled(Segmentation):
    """A segmentation of 64 blocks with two lower resolutions; all are made."""

    def __init__(self, database: Database, **settings) -> None:
        super().__init__(database, **{"MaxDownresLevel": 2, **settings})
        self.put(WHOLE, 1)
        self.finish()

    def put(self, box: Box, seed: int, node: str = "", scale: int = 0, *, downres: bool = True) -> np.ndarray:
        voxels = np.random.default_rng(seed).integers(1, 5, box.shape_zyx).astype(np.uint64)
        blocks = from_voxels(box, voxels, BLOCK_ZYX, list(box.blocks(BLOCK_ZYX)))
        indexed = bool(self.see(lambda view: view.instance.settings["IndexedLabels"]))
        self.edit(lambda edit: write_blocks(edit, blocks, scale, downres=downres, indexed=indexed), node)
        return voxels

    def finish(self) -> None:
        while work_off(self.database):
            pass

    def spoil(self, scale: int, place: Zyx, node: str = "") -> None:
        """Store a block that is of nothing below it."""
        box = Box.at(tuple(16 * edge for edge in place), BLOCK_ZYX)
        (block,) = from_voxels(box, np.full(BLOCK_ZYX, 9, np.uint64), BLOCK_ZYX, [place])
        self._change(node, lambda edit: edit.put(BLOCKS, block_key(scale, place), block.data, Format.GZIP))

    def lose(self, scale: int, place: Zyx, node: str = "") -> None:
        self._change(node, lambda edit: edit.delete(BLOCKS, block_key(scale, place)))

    def _change(self, node: str, operation) -> None:
        self.database.edit(node or self.root, self.name, operation, unlocked=True)

    def wrong(self, *, notes: bool = False) -> list[Problem]:
        problems = verify(self.database.store, check_content, None, self.database.others, check_instance)
        return [problem for problem in problems if notes or not problem.is_note]

    def mend(self) -> list[Mended]:
        sources = partial(_sources, self.database, self.root, self.name)
        return list(repair(sources, partial(_edit, self.database, self.name)))

    def read(self, scale: int, node: str = "") -> np.ndarray:
        box = Box((0, 0, 0), tuple(64 >> scale for _ in range(3)))
        return self.see(lambda view: read_labels(view, box, scale, supervoxels=True), node)

    def check(self, node: str = "") -> None:
        voxels = self.read(0, node)
        for scale in (1, 2):
            voxels = half(voxels)
            np.testing.assert_array_equal(self.read(scale, node), voxels)


def test_scales_of_many_versions_are_nothing_to_complain_of(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Scaled(database, MaxDownresLevel=0, IndexedLabels=False)  # an index would be in conflict
    made.commit()
    branches = [made.child("", "one"), made.child("", "other")]
    made.put(PART, 2, branches[0])
    made.put(Box((0, 0, 0), BLOCK_ZYX), 3, branches[1])
    for node in branches:
        made.commit(node)

    def merge(tx, directory):
        return nodes.merge(tx, directory.lineages, [directory.node(tx, node).record for node in branches]).uuid

    merged = database.transact(merge)
    assert made.wrong() == []
    monkeypatch.setattr(growth, "_AT_ONCE", 20)
    made.lowest(2)
    for most in (1, 1, 1, 1, 1, 1, 3, 100, 100):  # growing, and while blocks wait to be made
        assert made.wrong() == []
        work_off(database, most)
    made.finish()
    assert made.wrong() == []
    made.check(branches[0])
    made.lowest(0)
    made.put(Box((16, 16, 16), (32, 32, 32)), 4, merged)
    for _ in range(2):  # kept up though they are hidden
        assert made.wrong() == []
        made.finish()
    assert made.mend() == []


@pytest.mark.parametrize("indexed", [True, False])
def test_a_block_that_is_out_of_date_is_found_and_mended_with_what_was_made_of_it(
    database: Database, indexed: bool
) -> None:
    made = Scaled(database, IndexedLabels=indexed)
    made.commit()
    child = made.child()
    made.put(PART, 2, child)
    made.finish()
    made.spoil(1, (0, 1, 1))
    made.spoil(1, (0, 0, 1), child)
    made.spoil(2, (0, 0, 0), child)
    told = [(problem.node, problem.what) for problem in made.wrong()]
    assert set(told) == {
        (made.root, "block 1,1,0 of scale 1 is not what is made of scale 0"),
        (made.root, "block 0,0,0 of scale 2 is not what is made of scale 1"),
        (child, "block 1,0,0 of scale 1 is not what is made of scale 0"),
        (child, "block 0,0,0 of scale 2 is not what is made of scale 1"),
    }
    done = made.mend()
    assert [(mended.node, mended.what, mended.count) for mended in done] == [
        (made.root, "scale 1", 1),
        (child, "scale 1", 1),
        (child, "scale 2", 1),  # that of the root is right again
    ]
    assert made.wrong() == made.mend() == []
    made.check()
    made.check(child)


def test_a_block_that_is_missing_is_found_and_mended(database: Database) -> None:
    made = Scaled(database)
    made.lose(2, (0, 0, 0))
    assert [problem.what for problem in made.wrong()] == ["block 0,0,0 of scale 2 is not what is made of scale 1"]
    assert [(mended.what, mended.count) for mended in made.mend()] == [("scale 2", 1)]
    made.check()


def test_many_blocks_are_summed_up(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staleness, "_MOST_LISTED", 3)
    monkeypatch.setattr(staleness, "_AT_ONCE", 3)
    made = Scaled(database)
    for z, y, x in np.ndindex(2, 2, 2):
        made.lose(1, (z, y, x))
    *told, more = [problem.what for problem in made.wrong()]
    assert told == [f"block {x},{y},0 of scale 1 is not what is made of scale 0" for x, y in ((0, 0), (1, 0), (0, 1))]
    assert more == "scale 1: 5 more blocks are not what is made of scale 0"
    assert [(mended.what, mended.count) for mended in made.mend()] == [("scale 1", 8)]
    made.check()


@pytest.mark.parametrize("scale", [0, 1])
def test_what_clients_have_sent_themselves_is_theirs(database: Database, scale: int) -> None:
    made = Scaled(database)
    sent = made.put(Box((0, 0, 0), BLOCK_ZYX), 5, scale=scale, downres=False)
    assert made.wrong() == []
    (note,) = made.wrong(notes=True)
    assert "clients have sent blocks of lower resolutions" in note.what
    assert made.mend() == []
    np.testing.assert_array_equal(made.read(scale)[:16, :16, :16], sent)


def test_a_block_that_cannot_be_read_keeps_nothing_else_from_being_mended(database: Database) -> None:
    made = Scaled(database)
    made._change("", lambda edit: edit.put(BLOCKS, block_key(0, (0, 0, 0)), b"no block", Format.GZIP))
    made.spoil(1, (1, 1, 1))
    assert "block 1,1,1 of scale 1 is not what is made of scale 0" in [problem.what for problem in made.wrong()]
    assert ("scale 1", 1) in [(mended.what, mended.count) for mended in made.mend()]
    assert made.read(1)[16:, 16:, 16:].max() < 9


def test_scales_are_looked_at_where_the_data_have_a_store_of_their_own(two_stores: Database) -> None:
    made = Scaled(two_stores)
    assert made.wrong() == []
    made.spoil(1, (0, 1, 1))
    assert len(made.wrong()) == 2
    made.mend()
    assert made.wrong() == []
    made.check()
