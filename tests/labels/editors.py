"""A process that edits a segmentation while others do: `python -m tests.labels.editors STORE ROOT NUMBER COUNT`.

LAPS times it says "ready", waits for a line, and tries COUNT operations at the head of the master branch. Then it writes what was
done, as a pickled list of (mutation id, operation, answer). Editor 0 commits the version half way, and makes a new one.
"""

from __future__ import annotations

import pickle
import random
import sys

import numpy as np
from tests.labels.model import Answer, Cleave, Merge, Operation, Renumber, Split, SplitBody, Undo, Write, perform
from tests.labels.segmentation import BLOCK_ZYX, Place, Segmentation

from dvid.database import Database
from dvid.errors import DvidError
from dvid.labels.numbering import largest_of_all

EDITORS = 4
LAPS = 4
"""All wait for each other before each, or on a busy machine they might work one after another."""
SHAPE_ZYX: Place = (16, 32, 32)
"""A block for each editor."""

SHARED = (1, 2, 3)
"""Bodies that all of them merge into and cleave from."""


class Editor:
    """Chooses operations by what it sees, which may be out of date when they are done."""

    def __init__(self, segmentation: Segmentation, number: int) -> None:
        self.segmentation, self.number = segmentation, number
        self.random = random.Random(number)
        self.head = f"{segmentation.root}:master"
        self.done: list[tuple[int, Operation, Answer]] = []

    def edit(self, count: int) -> None:
        for _ in range(count):
            operation = self.chosen()
            try:
                answer = perform(self.segmentation, operation, self.head)
            except DvidError:
                continue
            self.done.append((answer.mutation, operation, answer))

    def end_version(self) -> None:
        self.segmentation.commit(self.head)
        self.segmentation.child(self.segmentation.root)

    def chosen(self) -> Operation:
        kind = self.random.choices(("merge", "cleave", "renumber", "split", "undo", "write"), (35, 25, 8, 10, 14, 8))[0]
        found = self.segmentation.state(self.head)
        own = [body for body in found.sizes if body % EDITORS == self.number] or list(found.sizes)
        shared = [body for body in SHARED if body in found.sizes] or own
        if kind == "undo" and self.done:
            return Undo(self.random.choice(self.done[-4:])[0])
        if kind == "cleave":
            body = self.random.choice(shared)
            supervoxels = sorted(found.supervoxels[body])
            return Cleave(
                body, tuple(self.random.sample(supervoxels, min(len(supervoxels), self.random.randint(1, 3))))
            )
        if kind == "renumber":
            new = self.segmentation.see(largest_of_all, self.head) + self.random.randint(1, 30)
            return Renumber(((new, self.random.choice(own)),))
        z, y, x = (0, self.number // 2 * BLOCK_ZYX[1], self.number % 2 * BLOCK_ZYX[2])
        voxels = self.segmentation.voxels(BLOCK_ZYX, (z, y, x), self.head)
        if kind == "split":
            label = self.random.choice([label for label in np.unique(voxels).tolist() if label] or [1])
            points = np.argwhere(voxels == label) + np.array((z, y, x))
            points = points[: self.random.randint(1, max(1, len(points) - 1))]
            (body,) = self.segmentation.bodies_of(label, node=self.head)
            return Split(label, points) if self.random.random() < 0.6 else SplitBody(body, points)
        if kind == "write":
            low, side = self.random.randint(0, 12), self.random.randint(1, 8)
            voxels[:, low : low + side, low : low + side] = self.random.choice([0, *own, *SHARED])
            return Write(voxels, (z, y, x), self.random.random() < 0.5)
        return Merge(
            self.random.choice(shared), tuple(self.random.sample(own, min(len(own), self.random.randint(1, 2))))
        )


def main(store: str, root: str, number: int, count: int) -> None:
    with Database.open(store, durability="relaxed") as database:
        editor = Editor(Segmentation(database, root=root), number)
        editor.chosen()  # kernels are loaded, files opened
        for lap in range(LAPS):
            sys.stdout.buffer.write(b"ready\n")
            sys.stdout.buffer.flush()
            sys.stdin.readline()
            if number == 0 and lap == LAPS // 2:
                editor.end_version()
            editor.edit(count)
        pickle.dump(editor.done, sys.stdout.buffer)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
