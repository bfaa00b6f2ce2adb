"""Any sequence of writes, merges, splits and deletions, at any version, leaves what a plain array would hold."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from tests.datatypes.conftest import MakeInstance
from tests.datatypes.labelvol.conftest import Pair, volume_of

from dvid.cli.verify import check_content, check_instance
from dvid.database import Database
from dvid.labels.bodies import all_bodies
from dvid.labels.index import all_entries
from dvid.versions.verify import verify

SHAPE = (8, 16, 24)
LABELS = st.integers(1, 6)


def places(of: np.ndarray) -> set[tuple[int, int, int]]:
    return {(x, y, z) for z, y, x in np.argwhere(of).tolist()}


def check(pair: Pair, node: str, voxels: np.ndarray) -> None:
    """Voxels, index, sizes and sparse volumes are those of an array."""
    assert np.array_equal(pair.read((0, 0, 0), SHAPE, node=node), voxels)
    labels, counts = np.unique(voxels[voxels != 0], return_counts=True)
    with pair.database.view(node, "seg") as view:
        rows = [
            (label, row) for some, found in all_bodies(view) for label, row in zip(some.tolist(), found, strict=True)
        ]
        assert [label for label, _ in rows] == labels.tolist()
        assert [int(row["voxels"]) for _, row in rows] == counts.tolist()
        entries = all_entries(view, np.arange(1, 1000, dtype=np.uint64)).by_block()
        expected = [
            (label, [z, y, x], count)
            for z, y, x in np.ndindex(1, 2, 3)
            for label, count in zip(
                *np.unique(voxels[8 * z : 8 * z + 8, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8], return_counts=True),
                strict=True,
            )
            if label
        ]
        held = zip(entries.supervoxels.tolist(), entries.blocks_zyx.tolist(), entries.voxels.tolist(), strict=True)
        assert [(int(label), at, int(count)) for label, at, count in expected] == list(held)


class Editing(RuleBasedStateMachine):
    make: MakeInstance

    def __init__(self) -> None:
        super().__init__()
        self.pair = self.make("labelblk", "seg", kind=Pair, BlockSize="8,8,8")
        self.pair.make("labelvol", "bodies", BlockSize="8,8,8")
        self.pair.post("sync", {"sync": "seg"}, name="bodies")
        self.node = self.pair.node
        self.past: list[tuple[str, np.ndarray]] = []
        self.voxels = np.zeros(SHAPE, np.uint64)
        self.left_out: set[tuple[int, int, int]] = set()  # label, column and row of blocks

    def labels(self) -> list[int]:
        return np.unique(self.voxels[self.voxels != 0]).tolist()

    @rule(seed=st.integers(0, 99), column=st.integers(0, 2), highest=LABELS)
    def write(self, seed: int, column: int, highest: int) -> None:
        part = self.pair.random((8, 16, 8), seed, highest + 1)
        self.pair.write((0, 0, 8 * column), part, node=self.node)
        self.voxels[:, :, 8 * column : 8 * column + 8] = part

    @rule(data=st.data())
    def merge(self, data: st.DataObject) -> None:
        labels = data.draw(st.lists(LABELS, min_size=2, max_size=4, unique=True))
        taken = set(labels) <= set(self.labels())
        reply = self.pair.bodies("POST", "merge", labels, node=self.node)
        assert reply.status_code == (200 if taken else 400)
        if taken:
            self.voxels[np.isin(self.voxels, labels[1:])] = labels[0]
            self.left_out = {block for block in self.left_out if block[0] not in labels[1:]}

    @rule(label=LABELS, other=st.none() | LABELS, seed=st.integers(0, 99), share=st.sampled_from([0.01, 0.5, 1]))
    def split(self, label: int, other: int | None, seed: int, share: float) -> None:
        mask = (np.random.default_rng(seed).random(SHAPE) < share) & (self.voxels == label)
        query = "" if other is None else f"?splitlabel={other}"
        reply = self.pair.bodies("POST", f"split/{label}{query}", volume_of(places(mask)), node=self.node)
        taken = bool(mask.any()) and other != label and not mask[self.voxels == label].all()
        assert reply.status_code == (200 if taken else 400)
        if taken:
            self.voxels[mask] = reply.json["label"]

    @rule(label=LABELS, column=st.integers(0, 2))
    def split_coarse(self, label: int, column: int) -> None:
        part = self.voxels[:, :8, 8 * column : 8 * column + 8]
        reply = self.pair.bodies("POST", f"split-coarse/{label}", volume_of({(column, 0, 0)}), node=self.node)
        inside = np.count_nonzero(part == label)
        taken = 0 < inside < np.count_nonzero(self.voxels == label)
        assert reply.status_code == (200 if taken else 400)
        if taken:
            part[part == label] = reply.json["label"]

    @rule(start=st.integers(-1, 3), count=st.integers(1, 3), row=st.integers(0, 1))
    def delete(self, start: int, count: int, row: int) -> None:
        assert self.pair.status("DELETE", f"blocks/{start}_{row}_0/{count}", node=self.node) == 200
        self.voxels[:, 8 * row : 8 * row + 8, max(0, 8 * start) : max(0, 8 * (start + count))] = 0

    @rule(label=LABELS, column=st.integers(0, 2))
    def leave_out(self, label: int, column: int) -> None:
        path = f"area/{label}/8_16_8/{8 * column}_0_0"
        assert self.pair.bodies("DELETE", path, node=self.node).status_code == 200
        for row in range(2):
            if (self.voxels[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] == label).any():
                self.left_out.add((label, column, row))

    @rule(label=LABELS)
    def resync(self, label: int) -> None:
        answer = self.pair.edit(f"resync/{label}", b"", node=self.node)
        left_out = {block for block in self.left_out if block[0] == label}
        assert (answer["Mended"], answer["Restored"]) == (0, len(left_out))
        self.left_out -= left_out

    @rule()
    def commit(self) -> None:
        self.past.append((self.node, self.voxels.copy()))
        self.pair.commit(self.node)
        self.node = self.pair.child(self.node)

    @invariant()
    def holds(self) -> None:
        check(self.pair, self.node, self.voxels)

    def teardown(self) -> None:
        for label in self.labels():
            shown = self.voxels == label
            for _, column, row in (block for block in self.left_out if block[0] == label):
                shown[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = False
            assert self.pair.voxels_of(label, node=self.node) == places(shown)
        for node, voxels in self.past:
            check(self.pair, node, voxels)


def test_labelvol_and_labelblk_never_drift_apart(database: Database, make_instance: MakeInstance) -> None:
    machine = type("Machine", (Editing,), {"make": staticmethod(make_instance)})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=25, stateful_step_count=12, suppress_health_check=list(HealthCheck)),
    )
    assert list(verify(database.store, check_content, check_instance=check_instance)) == []
