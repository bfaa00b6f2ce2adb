"""Lower resolutions are what numpy makes of the voxels, at every version, whether or not they are made yet."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from threading import Barrier, Thread

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.labels.halving import EDGE, Pyramid, half
from tests.labels.segmentation import Segmentation

from dvid.background import work_off
from dvid.database import Database
from dvid.errors import Busy
from dvid.geometry import Box
from dvid.labels import growth
from dvid.labels.growth import keep_scales, last_before_growth
from dvid.labels.reading import read_labels
from dvid.labels.scales import behind
from dvid.labels.writing import from_voxels, write_blocks
from dvid.versions import nodes
from dvid.versions.instances import change_instance

WORLD = Box((-32, -32, -64), (32, 32, 64))
LOWEST = 2
SHAPE = (EDGE,) * 3


class Scaled(Segmentation):
    """A segmentation with lower resolutions."""

    def __init__(self, database, lowest=LOWEST, **more):
        super().__init__(database, MaxDownresLevel=lowest, **more)

    def put(self, box, voxels, scale=0, node="", *, downres=True, indexed=True):
        blocks = from_voxels(box, np.ascontiguousarray(voxels), SHAPE, list(box.blocks(SHAPE)))
        self.edit(lambda edit: write_blocks(edit, blocks, scale, downres=downres, indexed=indexed), node)

    def read(self, box, scale=0, node=""):
        return self.see(lambda view: read_labels(view, box, scale, supervoxels=True), node)

    def lowest(self, number):
        """Change the number of lower resolutions."""

        def change(tx, instance):
            change_instance(tx, instance, settings={**instance.settings, "MaxDownresLevel": number})

        self.database.configure(self.root, self.name, change, partial(keep_scales, lowest=number))

    def waiting(self):
        return self.see(behind)


def finish(database):
    while work_off(database):
        pass


def random(box, seed, kinds=6):
    """Labels of pieces of 3 voxels and less: halving them has many ties."""
    rng = np.random.default_rng(seed)
    pool = np.array([0, 1, 2, 3, 2**63 + 1, 2**64 - 2], np.uint64)[:kinds]
    return rng.choice(pool, box.shape_zyx)


# ---- whatever is done ---------------------------------------------------------------------------


class Machine(RuleBasedStateMachine):
    """Writes, works off, makes versions, and changes the number of scales, in any order."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database, self.made = database, Scaled(database)
        self.lowest = self.kept = LOWEST
        self.open = [self.made.root]
        self.models = {self.made.root: Pyramid(WORLD, LOWEST)}

    @initialize(seed=st.integers(0, 9), lowest=st.integers(0, 2))
    def fill(self, seed: int, lowest: int) -> None:
        self.made = Scaled(self.database, lowest)
        self.lowest = self.kept = lowest
        self.open = [self.made.root]
        self.models = {self.made.root: Pyramid(WORLD, LOWEST)}
        self.put(self.made.root, Box((-32, -16, -32), (0, 16, 16)), seed, 0)

    def put(self, node: str, box: Box, seed: int, scale: int) -> None:
        voxels = random(box, seed)
        if scale:  # nothing where the model has no room
            inside = np.zeros(box.shape_zyx, bool)
            inside[(box & self.models[node].box(scale)).slices_in(box)] = True
            voxels *= inside
        self.made.put(box, voxels, scale, node, downres=not scale)
        self.models[node].put(box, voxels, scale, follow=not scale)

    @rule(data=st.data(), seed=st.integers(0, 99), z=st.integers(-2, 1), y=st.integers(-2, 1), x=st.integers(-4, 3))
    def write(self, data: st.DataObject, seed: int, z: int, y: int, x: int) -> None:
        sides = data.draw(st.tuples(st.integers(1, 2 - z), st.integers(1, 2 - y), st.integers(1, min(3, 4 - x))))
        box = Box.at((z * EDGE, y * EDGE, x * EDGE), tuple(side * EDGE for side in sides))
        self.put(data.draw(st.sampled_from(self.open)), box, seed, 0)

    @rule(data=st.data(), seed=st.integers(0, 99), z=st.integers(-1, 0), y=st.integers(-1, 0), x=st.integers(-2, 1))
    def clients_send_their_own(self, data: st.DataObject, seed: int, z: int, y: int, x: int) -> None:
        if not self.lowest or self.growing() is not None:
            return
        scale = data.draw(st.integers(1, self.lowest))
        x = x if scale == 1 else x >> 1
        box = Box.at((z * EDGE, y * EDGE, x * EDGE), SHAPE)
        self.put(data.draw(st.sampled_from(self.open)), box, seed, scale)

    @rule(number=st.integers(0, LOWEST))
    def change_the_number_of_scales(self, number: int) -> None:
        self.made.lowest(number)
        for model in self.models.values() if number > self.kept else ():
            model.remake(self.kept + 1)
        self.lowest, self.kept = number, max(self.kept, number)

    def growing(self) -> int | None:
        return self.made.see(lambda view: last_before_growth(view.snapshot, view.instance))

    @rule(most=st.integers(1, 5))
    def work_off_some(self, most: int) -> None:
        work_off(self.database, most)

    @precondition(lambda self: len(self.models) < 5)
    @rule(data=st.data())
    def version(self, data: st.DataObject) -> None:
        node = data.draw(st.sampled_from(list(self.models)))
        if node in self.open:
            self.open.remove(node)
            self.made.commit(node)
        child = self.made.child(node, f"branch{len(self.models)}")
        self.open.append(child)
        self.models[child] = self.models[node].copy()

    @invariant()
    def nobody_sees_an_old_one(self) -> None:
        last = self.growing()
        for node, model in self.models.items():
            for scale in range(self.lowest + 1):
                if last is not None and scale > last:
                    with pytest.raises(Busy):
                        self.made.read(model.box(scale), scale, node)
                    continue
                found = self.made.read(model.box(scale), scale, node)
                np.testing.assert_array_equal(found, model.scales[scale], f"scale {scale}")

    def teardown(self) -> None:
        finish(self.database)
        assert self.made.waiting() == 0
        self.nobody_sees_an_old_one()


@pytest.mark.parametrize("at_once", [3, 5000])
def test_lower_resolutions_are_what_the_model_says(
    database: Database, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(growth, "_AT_ONCE", at_once)
    run_state_machine_as_test(
        lambda: Machine(database), settings=settings(max_examples=8, stateful_step_count=14, phases=[Phase.generate])
    )


# ---- one thing at a time ------------------------------------------------------------------------


def test_of_equally_frequent_labels_the_lowest_is_taken_and_0_only_alone() -> None:
    eights = np.array(
        [[0, 0, 0, 0, 0, 0, 0, 9], [5, 5, 5, 3, 3, 3, 0, 0], [0] * 8, [7, 7, 7, 7, 1, 1, 1, 9]], np.uint64
    )
    volume = eights.reshape(4, 2, 2, 2).transpose(1, 2, 0, 3).reshape(2, 2, 8)
    assert half(volume).tolist() == [[[9, 3, 0, 7]]]


def test_blocks_of_lower_resolutions_lie_at_negative_coordinates_too(database: Database) -> None:
    made = Scaled(database, lowest=5)
    box = Box((-48, -16, -80), (-32, 0, -64))
    made.put(box, np.full(box.shape_zyx, 7, np.uint64))
    for _ in range(2):
        for scale in range(6):
            around = Box.at(tuple((edge >> scale) - 3 for edge in box.start_zyx), (25, 25, 25))
            expected = np.zeros(around.shape_zyx, np.uint64)
            side = max(1, EDGE >> scale)
            expected[3 : 3 + side, 3 : 3 + side, 3 : 3 + side] = 7
            np.testing.assert_array_equal(made.read(around, scale), expected)
        finish(database)


def test_what_waits_is_still_there_when_the_store_is_opened_again(tmp_path: Path) -> None:
    model = Pyramid(WORLD, LOWEST)
    box = Box((-32, 0, 0), (0, 16, 48))
    with Database.open(str(tmp_path / "store")) as database:
        made = Scaled(database)
        made.put(box, random(box, 1))
        model.put(box, random(box, 1))
        waiting = made.waiting()
        assert waiting > 0
        work_off(database, 1)
    with Database.open(str(tmp_path / "store")) as database:
        again = Scaled.__new__(Scaled)
        again.database, again.name, again.root = database, made.name, made.root
        assert again.waiting() == waiting - 1
        finish(database)
        assert again.waiting() == 0
        for scale in range(LOWEST + 1):
            np.testing.assert_array_equal(again.read(model.box(scale), scale), model.scales[scale])


def test_several_may_work_at_once_while_others_write(tmp_path: Path) -> None:
    with (
        Database.open(str(tmp_path / "store"), durability="relaxed") as one,
        Database.open(str(tmp_path / "store"), durability="relaxed") as two,
    ):
        made, model = Scaled(one), Pyramid(WORLD, LOWEST)
        start, stop, failed = Barrier(4), [], []

        def work(database: Database) -> None:
            try:
                start.wait()
                while not stop:
                    work_off(database, 3)
            except BaseException as error:  # noqa: BLE001 - told below
                failed.append(error)

        workers = [Thread(target=work, args=[database]) for database in (one, one, two)]
        for worker in workers:
            worker.start()
        start.wait()
        try:
            for seed in range(12):
                box = Box.at((-32 + 16 * (seed % 3), -16, -64 + 16 * (seed % 5)), (32, 16, 48))
                made.put(box, random(box, seed))
                model.put(box, random(box, seed))
                read = model.box(2)
                np.testing.assert_array_equal(made.read(read, 2), model.scales[2])
        finally:  # or they would work for ever, in stores that are closed
            stop.append(True)
            for worker in workers:
                worker.join()
        assert failed == []
        finish(two)
        assert made.waiting() == 0
        for scale in range(LOWEST + 1):
            np.testing.assert_array_equal(made.read(model.box(scale), scale), model.scales[scale])


@pytest.mark.parametrize("first", [True, False])
def test_merged_branches_have_the_lower_resolutions_of_both(database: Database, first: bool) -> None:
    made, model = Scaled(database), Pyramid(WORLD, LOWEST)
    whole, one, other = Box((-16, -16, -32), (16, 16, 32)), Box((0, 0, 0), SHAPE), Box((0, 0, 16), (16, 16, 32))
    made.put(whole, random(whole, 1), indexed=False)
    model.put(whole, random(whole, 1))
    made.commit()
    branches = [made.child("", "one"), made.child("", "other")]
    for node, box, seed in zip(branches, (one, other), (2, 3), strict=True):
        made.put(box, random(box, seed), node=node, indexed=False)
        model.put(box, random(box, seed))
        if first:
            finish(database)
        made.commit(node)

    def merge(tx, directory):
        return nodes.merge(tx, directory.lineages, [directory.node(tx, node).record for node in branches]).uuid

    merged = database.transact(merge)
    for _ in range(2):
        for scale in range(LOWEST + 1):
            np.testing.assert_array_equal(made.read(model.box(scale), scale, merged), model.scales[scale])
        finish(database)
    made.put(one, random(one, 4), node=merged, indexed=False)
    model.put(one, random(one, 4))
    finish(database)
    for scale in range(LOWEST + 1):
        np.testing.assert_array_equal(made.read(model.box(scale), scale, merged), model.scales[scale])


def test_an_unversioned_segmentation_has_one_state_at_all_nodes(database: Database) -> None:
    made, model = Scaled(database, versioned="false"), Pyramid(WORLD, LOWEST)
    box = Box((0, 0, 0), (16, 32, 32))
    made.put(box, random(box, 1))
    made.commit()
    child = made.child()
    made.put(box, random(box, 2), node=child)
    model.put(box, random(box, 2))
    for _ in range(2):
        for node in (made.root, child):
            for scale in range(LOWEST + 1):
                np.testing.assert_array_equal(made.read(model.box(scale), scale, node), model.scales[scale])
        finish(database)


def test_what_waits_is_done_right_though_there_are_to_be_no_scales_any_longer(database: Database) -> None:
    made, model = Scaled(database), Pyramid(WORLD, LOWEST)
    box = Box((0, 0, 0), (16, 32, 32))
    made.put(box, random(box, 1))
    model.put(box, random(box, 1))
    made.lowest(0)
    finish(database)
    made.lowest(LOWEST)
    for scale in range(LOWEST + 1):
        np.testing.assert_array_equal(made.read(model.box(scale), scale), model.scales[scale])
