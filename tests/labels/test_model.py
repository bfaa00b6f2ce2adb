"""Whatever is done to a segmentation, at whichever version, it is what the model says."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.labels.editors import EDITORS, LAPS, SHAPE_ZYX
from tests.labels.model import (
    Answer,
    Cleave,
    Merge,
    Model,
    Operation,
    Refused,
    Renumber,
    Split,
    SplitBody,
    Undo,
    Write,
    assert_same,
    perform,
)
from tests.labels.segmentation import BLOCK_ZYX, Place, Segmentation

from dvid.database import Database
from dvid.errors import DvidError
from dvid.labels.numbering import largest_of_all

corners = st.tuples(*(st.integers(0, side - 1) for side in SHAPE_ZYX))


class Machine(RuleBasedStateMachine):
    """Does the same to a segmentation and to the model."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.segmentation = Segmentation(database)
        self.model = Model(SHAPE_ZYX, self.segmentation.root)
        self.open = [self.segmentation.root]
        self.parents: set[str] = set()
        """Versions that have a child."""
        self.touched: set[str] = {self.segmentation.root}

    # ---- helpers

    def do(self, node: str, operation: Operation) -> None:
        """Both do it, or both refuse."""
        self.touched.add(node)
        try:
            answer = perform(self.segmentation, operation, node)
        except DvidError as error:
            with pytest.raises(Refused) as refused:
                self.model.apply(node, operation, 0)
            assert isinstance(error, refused.value.error), error  # noqa: PT017 - which one it is depends on the other
            return
        assert self.model.apply(node, operation, answer.mutation) == answer.labels

    def node(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(self.open), label="node")

    def now_and_then(self, data: st.DataObject) -> bool:
        """True where something is to be tried that most likely cannot be."""
        return data.draw(st.integers(0, 9), label="now and then") == 7

    def labels_of(self, node: str) -> st.SearchStrategy[int]:
        """Labels that are, were, or could be something."""
        version = self.model.versions[node]
        known = {*version.counts(), *version.mapping, *version.bodies()}
        return st.sampled_from(sorted(known)) | st.integers(1, 12) if known else st.integers(1, 12)

    def bodies_of(self, node: str) -> st.SearchStrategy[int]:
        bodies = sorted(self.model.versions[node].bodies())
        return st.sampled_from(bodies) if bodies else st.integers(1, 12)

    # ---- what can be done

    @initialize(seed=st.integers(0, 100))
    def fill(self, seed: int) -> None:
        coarse = np.random.default_rng(seed).integers(0, 10, tuple(side // 8 for side in SHAPE_ZYX))
        voxels = coarse.repeat(8, 0).repeat(8, 1).repeat(8, 2).astype(np.uint64)
        self.do(self.segmentation.root, Write(voxels, (0, 0, 0)))

    @rule(data=st.data(), first=corners, last=corners, as_blocks=st.booleans())
    def write(self, data: st.DataObject, first: Place, last: Place, as_blocks: bool) -> None:
        node = self.node(data)
        label = data.draw(self.labels_of(node) | st.just(0), label="label")
        painted = self.model.versions[node].voxels.copy()
        low, high = np.minimum(first, last), np.maximum(first, last) + 1
        painted[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = label
        edges = np.array(BLOCK_ZYX)
        low, high = low // edges * edges, -(-high // edges) * edges
        whole = painted[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        self.do(node, Write(whole, tuple(low.tolist()), as_blocks))

    @rule(data=st.data())
    def repaint(self, data: st.DataObject) -> None:
        """All of a supervoxel becomes another, or nothing."""
        node = self.node(data)
        version = self.model.versions[node]
        old = data.draw(st.sampled_from(sorted(version.counts()) or [1]), label="old")
        new = data.draw(self.labels_of(node) | st.just(0), label="new")
        self.do(node, Write(np.where(version.voxels == old, np.uint64(new), version.voxels), (0, 0, 0)))

    @rule(data=st.data())
    def merge(self, data: st.DataObject) -> None:
        node = self.node(data)
        if self.now_and_then(data) or len(self.model.versions[node].bodies()) < 2:
            labels = st.lists(self.bodies_of(node) | self.labels_of(node), min_size=1, max_size=3)
        else:
            labels = st.lists(self.bodies_of(node), min_size=2, max_size=4, unique=True)
        target, *others = data.draw(labels, label="labels")
        self.do(node, Merge(target, tuple(others)))

    @rule(data=st.data())
    def cleave(self, data: st.DataObject) -> None:
        node = self.node(data)
        bodies = self.model.versions[node].bodies()
        several = sorted(body for body, supervoxels in bodies.items() if len(supervoxels) > 1)
        if not several:
            several = sorted(bodies)[:1] or [1]
            self.do(node, Merge(several[0], tuple(sorted(bodies)[1:3])))
        label = data.draw(st.sampled_from(several), label="body")
        if self.now_and_then(data):
            chosen = st.lists(self.labels_of(node), max_size=3)
        else:
            own = sorted(bodies.get(label, {label}))
            chosen = st.lists(st.sampled_from(own), min_size=1, max_size=max(1, len(own) - 1), unique=True)
        self.do(node, Cleave(label, tuple(data.draw(chosen, label="chosen"))))

    @rule(data=st.data())
    def renumber(self, data: st.DataObject) -> None:
        node = self.node(data)
        version, largest = self.model.versions[node], self.model.largest
        new = unused = st.integers(largest + 1, largest + 3)
        old = self.bodies_of(node)
        if self.now_and_then(data):
            new, old = unused | self.labels_of(node), old | unused
        elif freed := [label for label, body in version.mapping.items() if body == 0]:
            new |= st.sampled_from(freed)
        if members := [label for label, body in version.mapping.items() if body]:
            new |= st.sampled_from(members)
        pairs = st.lists(st.tuples(new, old), max_size=2)
        if data.draw(
            st.booleans(), label="on and on"
        ):  # another body gets the number that became free, or that one another
            first, last = data.draw(old, label="old"), data.draw(new, label="new")
            pairs = st.permutations([(last, first), (first, data.draw(old)), (largest + 4, last)])
        self.do(node, Renumber(tuple(data.draw(pairs, label="pairs"))))

    @rule(data=st.data(), shape_zyx=st.tuples(*[st.integers(1, 12)] * 3))
    def split(self, data: st.DataObject, shape_zyx: Place) -> None:
        node = self.node(data)
        version = self.model.versions[node]
        label = data.draw(st.sampled_from(sorted(version.counts()) or [1]), label="supervoxel")
        places = np.argwhere(version.voxels == label)
        first = places[data.draw(st.integers(0, max(0, len(places) - 1)), label="voxel")] if len(places) else (0, 0, 0)
        points = np.argwhere(np.ones(shape_zyx)) + first  # some may lie outside
        self.do(node, Split(label, points))

    @rule(data=st.data(), shape_zyx=st.tuples(*[st.integers(1, 12)] * 3), all_of=st.booleans())
    def split_body(self, data: st.DataObject, shape_zyx: Place, all_of: bool) -> None:
        node = self.node(data)
        bodies = self.model.versions[node].as_bodies()
        body = data.draw(self.bodies_of(node), label="body")
        places = np.argwhere(bodies == body)
        if len(places):
            places = places[data.draw(st.integers(0, len(places) - 1), label="voxel")] + np.argwhere(np.ones(shape_zyx))
        if not self.now_and_then(data):  # else what lies in the box may be of other bodies, or of none
            places = places[(places < SHAPE_ZYX).all(1)]
            places = places[bodies[tuple(places.T)] == body]
        if all_of and len(places):  # supervoxels as a whole
            supervoxels = self.model.versions[node].voxels
            first = tuple(places[0])
            places = np.argwhere(supervoxels == supervoxels[first]) if (places[0] < SHAPE_ZYX).all() else places
        self.do(node, SplitBody(body, places))

    @rule(data=st.data(), times=st.integers(1, 3))
    def undo(self, data: st.DataObject, times: int) -> None:
        for _ in range(times):
            node = self.node(data)
            done = self.model.versions[node].done
            if self.now_and_then(data):
                done = {key: one for version in self.model.versions.values() for key, one in version.done.items()}
            mutations = [key for key, one in done.items() if one.what]
            if mutations:
                back = data.draw(st.integers(0, 5), label="back")
                self.do(node, Undo(mutations[-1 - back % len(mutations)]))

    @precondition(lambda self: len(self.model.versions) < 6)
    @rule(data=st.data(), branch=st.booleans())
    def version(self, data: st.DataObject, branch: bool) -> None:
        node = data.draw(st.sampled_from(list(self.model.versions)), label="parent")
        if node in self.open:
            self.open.remove(node)
            self.segmentation.commit(node)
        name = f"branch{len(self.model.versions)}" if branch or node in self.parents else ""
        child = self.segmentation.child(node, name)
        self.model.branch(node, child)
        self.parents.add(node)
        self.open.append(child)
        self.touched.add(child)

    # ---- what is seen

    @invariant()
    def what_was_touched_is_as_it_should_be(self) -> None:
        for node in self.touched:
            assert_same(self.segmentation, self.model, node)
        self.touched.clear()
        assert self.segmentation.see(largest_of_all) == self.model.largest

    def teardown(self) -> None:
        for node in self.model.versions:
            assert_same(self.segmentation, self.model, node)


def test_a_segmentation_is_what_the_model_says(database: Database) -> None:
    run_state_machine_as_test(lambda: Machine(database), settings=settings(max_examples=15, stateful_step_count=40))


def test_what_four_processes_do_at_once_is_what_the_model_says(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    coarse = np.random.default_rng(5).integers(0, 40, tuple(side // 4 for side in SHAPE_ZYX))
    first = Write(coarse.repeat(4, 0).repeat(4, 1).repeat(4, 2).astype(np.uint64), (0, 0, 0))
    with Database.open(store, durability="relaxed") as database:
        segmentation = Segmentation(database)
        done = [(perform(segmentation, first, "").mutation, first, Answer(0))]
    editors = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.labels.editors", store, segmentation.root, str(number), "15"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        for number in range(EDITORS)
    ]
    try:
        for _ in range(LAPS):
            assert [editor.stdout.readline() for editor in editors if editor.stdout] == [b"ready\n"] * EDITORS
            for editor in editors:
                assert editor.stdin is not None
                editor.stdin.write(b"begin\n")
                editor.stdin.flush()
        with ThreadPoolExecutor(EDITORS) as pool:
            answers = list(pool.map(lambda editor: editor.communicate(timeout=120)[0], editors))
    finally:
        for editor in editors:
            editor.kill()
            editor.communicate()
    assert [editor.returncode for editor in editors] == [0] * EDITORS
    of_each = [pickle.loads(answer) for answer in answers]
    by_whom = {mutation: number for number, some in enumerate(of_each) for mutation, _, _ in some}
    turns = [by_whom[mutation] for mutation in sorted(by_whom)]
    assert sum(a != b for a, b in pairwise(turns)) > EDITORS  # else they worked one after another
    for some in of_each:
        done += some
    with Database.open(store, durability="relaxed") as database:
        segmentation = Segmentation(database, root=segmentation.root)
        child = segmentation.see(lambda view: view.node.uuid, f"{segmentation.root}:master")
        model = Model(SHAPE_ZYX, segmentation.root)
        at_root = {event["MutationID"] for event in segmentation.events()}
        for mutation, operation, answer in sorted(done, key=lambda one: one[0]):
            if mutation not in at_root and child not in model.versions:
                model.branch(segmentation.root, child)
            node = segmentation.root if mutation in at_root else child
            assert model.apply(node, operation, mutation) == answer.labels
        assert set(model.versions) == {segmentation.root, child}
        for node in model.versions:
            assert_same(segmentation, model, node)
