"""Whatever is written, merged and split, labels are what an array says."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.datatypes.labelarray.conftest import Labels, MakeLabels, sparse

from dvid.cli.verify import check_content, check_instance
from dvid.database import Database
from dvid.versions.verify import verify

SHAPE = (16, 32, 32)
BLOCK = 16
known = st.integers(1, 9)


@dataclass(frozen=True)
class Step:
    what: str
    first: int
    second: int
    seed: int
    as_blocks: bool


steps = st.builds(
    Step,
    st.sampled_from(["write", "merge", "split", "coarse", "version"]),
    known,
    known,
    st.integers(0, 99),
    st.booleans(),
)


def scattered(seed: int, shape_zyx: tuple[int, ...]) -> np.ndarray:
    """Labels 0 to 9 in lumps of 4 voxels along each side."""
    lumps = np.random.default_rng(seed).integers(0, 10, [edge // 4 for edge in shape_zyx])
    return lumps.repeat(4, 0).repeat(4, 1).repeat(4, 2).astype(np.uint64)


def write(labels: Labels, model: np.ndarray, step: Step, node: str) -> None:
    y, x = (16 * (step.seed >> bit & 1) for bit in (0, 1))
    box = scattered(step.seed, (16, 16, 16))
    model[:, y : y + 16, x : x + 16] = box
    labels.write((0, y, x), box, node=node)
    if step.as_blocks:  # with whatever stands in for labels in them
        sent = labels.get(f"blocks/16_16_16/{x}_{y}_0?compression=blocks", node=node).content
        labels.post("blocks?downres=true", sent, node=node)


def do(labels: Labels, model: np.ndarray, step: Step, node: str) -> None:
    first, second, mine = step.first, step.second, model == step.first
    if step.what == "write":
        write(labels, model, step, node)
    elif step.what == "merge":
        possible = first != second and mine.any() and (model == second).any()
        assert labels.status("POST", "merge", [first, second], node=node) == (200 if possible else 400)
        if possible:
            model[model == second] = first
    else:
        wanted = f"?splitlabel={second}" if step.as_blocks else ""
        if step.what == "split":
            part = mine & (scattered(step.seed, SHAPE) < 4)
            where = np.argwhere(part)
            path = f"split/{first}{wanted}"
        else:
            blocks = {(z // BLOCK, y // BLOCK, x // BLOCK) for z, y, x in np.argwhere(mine).tolist()}
            chosen = sorted(blocks)[: 1 + step.seed % 3]
            part = np.zeros(SHAPE, bool)
            for z, y, x in chosen:
                part[tuple(slice(BLOCK * edge, BLOCK * edge + BLOCK) for edge in (z, y, x))] = True
            part &= mine
            where = np.array(chosen, np.int64).reshape(-1, 3)
            path = f"split-coarse/{first}{wanted}"
        possible = bool(part.any()) and bool((mine & ~part).any()) and not (wanted and first == second)
        reply = labels.ask("POST", path, sparse(where), node=node)
        assert reply.status_code == (200 if possible else 400), reply.text
        if possible:
            new = reply.json["label"]
            assert new == second if wanted else new > 9
            model[part] = new


def check(labels: Labels, model: np.ndarray, node: str) -> None:
    np.testing.assert_array_equal(labels.read((0, 0, 0), SHAPE, node=node), model)
    there = [label for label in np.unique(model).tolist() if label]
    for label in there:
        np.testing.assert_array_equal(labels.points(label, node=node), np.argwhere(model == label))
    for label in set(range(1, 10)).difference(there):
        assert labels.status("GET", f"sparsevol-size/{label}", node=node) == 404
    largest = labels.ask("GET", "maxlabel", node=node)
    if there:
        assert largest.json["maxlabel"] >= max(there)
    end = 2**64 - 2
    coarse = labels.get(f"sparsevols-coarse/1/{end}", node=node).content
    listed = []
    at = 0
    while at < len(coarse):
        listed.append(int.from_bytes(coarse[at : at + 8], "little"))
        at += 12 + 16 * int.from_bytes(coarse[at + 8 : at + 12], "little")
    assert listed == there


def run(labels: Labels, some: Iterable[Step]) -> None:
    """Do it to a labelarray and to an array, at one version after another, and compare all versions."""
    model, node = np.zeros(SHAPE, np.uint64), labels.node
    write(labels, model, Step("write", 1, 2, 3, False), node)
    before: list[tuple[str, np.ndarray]] = []
    for step in some:
        if step.what == "version":
            before.append((node, model.copy()))
            labels.commit(node)
            node = labels.child(node)
        else:
            do(labels, model, step, node)
    for version, expected in [*before, (node, model)]:
        check(labels, expected, version)


@settings(max_examples=25)
@given(st.lists(steps, min_size=1, max_size=12))
def test_labels_are_what_was_written_merged_and_split(make_labels: MakeLabels, some: list[Step]) -> None:
    run(make_labels(), some)


def test_voxels_index_mapping_and_sizes_agree_whatever_was_done(make_labels: MakeLabels, database: Database) -> None:
    chance = random.Random(5)
    kinds = ["write", "merge", "merge", "split", "coarse", "version"]
    some = [
        Step(
            chance.choice(kinds),
            chance.randint(1, 9),
            chance.randint(1, 9),
            chance.randint(0, 99),
            chance.random() < 0.5,
        )
        for _ in range(60)
    ]
    run(make_labels(MaxDownresLevel="1"), some)
    assert list(verify(database.store, check_content, check_instance=check_instance)) == []
