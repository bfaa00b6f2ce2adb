"""What segmentations should do, said with dictionaries, sets and arrays: a model to compare them with.

An operation is a plain value, and `Model.apply` gives what it answers or raises `Refused`. The rules are those of the API and
of `dvid.labels.undo`; nothing here knows tables or events.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.labels.segmentation import BLOCK_ZYX, Place, Segmentation, State

from dvid.errors import BadRequest, Conflict

Voxels = NDArray[np.uint64]


class Refused(Exception):
    """The operation cannot be; `conflict` if that is because of what was done before."""

    def __init__(self, why: str, *, conflict: bool = False) -> None:
        super().__init__(why)
        self.error = Conflict if conflict else BadRequest


# ---- operations ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Write:
    """Supervoxels of a box of whole blocks."""

    voxels: Voxels
    start_zyx: Place
    as_blocks: bool = False


@dataclass(frozen=True)
class Merge:
    target: int
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Cleave:
    label: int
    supervoxels: tuple[int, ...]


@dataclass(frozen=True)
class Renumber:
    pairs: tuple[tuple[int, int], ...]
    """(new, old)."""


@dataclass(frozen=True)
class Split:
    supervoxel: int
    points_zyx: NDArray[np.integer[Any]]
    """(n, 3)."""


@dataclass(frozen=True)
class SplitBody:
    body: int
    points_zyx: NDArray[np.integer[Any]]
    """(n, 3)."""


@dataclass(frozen=True)
class Undo:
    mutation: int


Operation = Write | Merge | Cleave | Renumber | Split | SplitBody | Undo


@dataclass(frozen=True)
class Answer:
    """What an operation answers."""

    mutation: int
    labels: tuple[int, ...] = ()
    """The new ones."""


def perform(segmentation: Segmentation, operation: Operation, node: str) -> Answer:
    """Do it for real."""
    match operation:
        case Write(voxels, start_zyx, as_blocks):
            return Answer(segmentation.write(voxels, start_zyx, node, as_blocks=as_blocks))
        case Merge(target, labels):
            return Answer(segmentation.merge(target, *labels, node=node))
        case Cleave(label, supervoxels):
            cleaved = segmentation.cleave(label, *supervoxels, node=node)
            return Answer(cleaved.mutation, (cleaved.label,))
        case Renumber(pairs):
            return Answer(segmentation.renumber(*pairs, node=node))
        case Split(supervoxel, points_zyx):
            made = segmentation.split(supervoxel, points_zyx, node)
            return Answer(made.mutation, (made.parts.split, made.parts.remain))
        case SplitBody(body, points_zyx):
            cut_off = segmentation.split_body(body, points_zyx, node)
            return Answer(cut_off.mutation, (cut_off.label,))
        case Undo(mutation):
            return Answer(segmentation.undo(mutation, node).mutation)


# ---- the model ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Moved:
    """Supervoxels that went from one body to another."""

    source: int
    target: int
    supervoxels: frozenset[int]
    ends: bool
    founds: bool

    def back(self) -> Moved:
        return Moved(self.target, self.source, self.supervoxels, self.founds, self.ends)


@dataclass(frozen=True)
class Divided:
    """A supervoxel that became two."""

    supervoxel: int
    split: int
    remain: int
    points_zyx: NDArray[np.integer[Any]]
    sizes: tuple[int, int]


@dataclass(frozen=True)
class Done:
    """A mutation of a version. `forward` is false for those that took another back."""

    mutation: int
    original: int
    forward: bool
    what: tuple[Moved, ...] | Divided | None
    """None if it cannot be taken back."""


@dataclass
class Version:
    """What one version holds."""

    voxels: Voxels
    """Supervoxels."""
    mapping: dict[int, int] = field(default_factory=dict)
    largest: int | None = None
    done: dict[int, Done] = field(default_factory=dict)

    def child(self) -> Version:
        return Version(self.voxels.copy(), dict(self.mapping), self.largest)

    def body(self, supervoxel: int) -> int:
        return self.mapping.get(supervoxel, supervoxel)

    def map(self, supervoxels: Iterable[int], body: int) -> None:
        for supervoxel in supervoxels:
            if supervoxel == body:
                self.mapping.pop(supervoxel, None)
            else:
                self.mapping[supervoxel] = body

    def counts(self) -> dict[int, int]:
        """Voxels of each supervoxel."""
        labels, counts = np.unique(self.voxels, return_counts=True)
        return {label: count for label, count in zip(labels.tolist(), counts.tolist(), strict=True) if label}

    def bodies(self) -> dict[int, set[int]]:
        """Supervoxels of each body."""
        found: dict[int, set[int]] = {}
        for supervoxel in self.counts():
            found.setdefault(self.body(supervoxel), set()).add(supervoxel)
        return found

    def as_bodies(self) -> Voxels:
        """Bodies of all voxels."""
        labels, places = np.unique(self.voxels, return_inverse=True)
        mapped = np.array([self.body(label) if label else 0 for label in labels.tolist()], np.uint64)
        return mapped[places].reshape(self.voxels.shape)

    def state(self) -> State:
        counts, bodies = self.counts(), self.bodies()
        index: dict[int, dict[Place, int]] = {}
        for place in np.ndindex(*(side // edge for side, edge in zip(self.voxels.shape, BLOCK_ZYX, strict=True))):
            inside = tuple(slice(at * edge, (at + 1) * edge) for at, edge in zip(place, BLOCK_ZYX, strict=True))
            labels, voxels = np.unique(self.voxels[inside], return_counts=True)
            for label, count in zip(labels.tolist(), voxels.tolist(), strict=True):
                if label:
                    index.setdefault(label, {})[place] = count  # type: ignore[index]
        sizes = {body: sum(counts[one] for one in supervoxels) for body, supervoxels in bodies.items()}
        return State(sizes, bodies, dict(self.mapping), index, self.largest)


class Model:
    """A segmentation of a few blocks at all its versions."""

    def __init__(self, shape_zyx: Place, root: str = "") -> None:
        self.versions = {root: Version(np.zeros(shape_zyx, np.uint64))}
        self.largest = 0
        self.standing: dict[int, tuple[int, bool]] = {}
        """Of mutations that were taken back: the last of the chain, and whether they are in effect."""

    def branch(self, node: str, child: str) -> None:
        self.versions[child] = self.versions[node].child()

    def apply(self, node: str, operation: Operation, mutation: int) -> tuple[int, ...]:
        """Do it; the new labels. The mutation id is the one that the segmentation gave.

        Raises:
            Refused: it cannot be; nothing has changed.
        """
        version, labels = self.versions[node], ()
        what: tuple[Moved, ...] | Divided | None = None
        match operation:
            case Write():
                self._write(version, operation)
            case Merge():
                what = self._merge(version, operation)
            case Cleave():
                what = self._cleave(version, operation)
                labels = (what[0].target,)
            case Renumber():
                what = self._renumber(version, operation)
            case Split():
                what = self._split(version, operation)
                labels = what.split, what.remain
            case SplitBody():
                labels = (self._split_body(version, operation),)
            case Undo():
                self._undo(version, operation.mutation, mutation)
                return ()
        version.done[mutation] = Done(mutation, mutation, forward=True, what=what)
        return labels

    def _saw(self, version: Version, label: int) -> None:
        version.largest = max(version.largest or 0, label)
        self.largest = max(self.largest, label)

    def _new(self, version: Version) -> int:
        self._saw(version, self.largest + 1)
        return self.largest

    def _write(self, version: Version, write: Write) -> None:
        inside = tuple(slice(a, a + n) for a, n in zip(write.start_zyx, write.voxels.shape, strict=True))
        version.voxels[inside] = write.voxels
        labels = [label for label in np.unique(write.voxels).tolist() if label]
        for label in labels:
            if version.mapping.get(label) == 0:  # it is a supervoxel once more
                del version.mapping[label]
            self._saw(version, label)

    def _merge(self, version: Version, merge: Merge) -> tuple[Moved, ...]:
        bodies = version.bodies()
        labels = [merge.target, *merge.labels]
        if len(set(labels)) < len(labels) or not merge.labels or not bodies.keys() >= set(labels):
            raise Refused("merge")
        moves = tuple(
            Moved(label, merge.target, frozenset(bodies[label]), ends=True, founds=False) for label in merge.labels
        )
        self._move(version, moves)
        return moves

    def _cleave(self, version: Version, cleave: Cleave) -> tuple[Moved, ...]:
        supervoxels, chosen = version.bodies().get(cleave.label, set()), set(cleave.supervoxels)
        if len(chosen) < len(cleave.supervoxels) or not chosen or not chosen < supervoxels:
            raise Refused("cleave")
        new = self._new(version)
        moves = (Moved(cleave.label, new, frozenset(chosen), ends=False, founds=True),)
        self._move(version, moves)
        version.mapping[new] = 0
        return moves

    def _renumber(self, version: Version, renumber: Renumber) -> tuple[Moved, ...]:
        bodies, mapping = version.bodies(), dict(version.mapping)
        came_from = {body: body for body in bodies}  # of the bodies there are by now
        if not renumber.pairs:
            raise Refused("nothing to renumber")
        for new, old in renumber.pairs:
            if new == old or old not in came_from or new in came_from:
                raise Refused("no such body, or one too many")
            supervoxels = bodies[came_from[old]]
            is_supervoxel = mapping.get(new, new) not in (0, new) or (new in bodies and new in bodies[new])
            if is_supervoxel and new not in supervoxels:
                raise Refused("the number of a supervoxel")
            came_from[new] = came_from.pop(old)
        moves = tuple(
            Moved(first, last, frozenset(bodies[first]), ends=True, founds=True)
            for last, first in came_from.items()
            if first != last
        )
        self._move(version, moves)
        for move in moves:
            if move.target not in move.supervoxels:
                version.mapping[move.target] = 0
        self._saw(version, max(new for new, _ in renumber.pairs))
        return moves

    def _move(self, version: Version, moves: tuple[Moved, ...]) -> None:
        for move in moves:
            version.map(move.supervoxels, move.target)

    def _split(self, version: Version, split: Split) -> Divided:
        sizes = self._sizes_of_parts(version, split.supervoxel, split.points_zyx)
        if not all(sizes):
            raise Refused("a part without voxels")
        parts = self._new(version), self._new(version)
        made = Divided(split.supervoxel, *parts, split.points_zyx, sizes)
        self._divide(version, made)
        return made

    def _sizes_of_parts(self, version: Version, supervoxel: int, points_zyx: NDArray[Any]) -> tuple[int, int]:
        within = (points_zyx < version.voxels.shape).all(1)
        points = points_zyx[within]
        inside = int((version.voxels[tuple(points.T)] == supervoxel).sum())
        return inside, version.counts().get(supervoxel, 0) - inside

    def _divide(self, version: Version, divided: Divided) -> None:
        owner = version.body(divided.supervoxel)
        old = version.voxels == divided.supervoxel
        inside = np.zeros(version.voxels.shape, bool)
        inside[tuple(divided.points_zyx[(divided.points_zyx < inside.shape).all(1)].T)] = True
        version.voxels[old & inside] = divided.split
        version.voxels[old & ~inside] = divided.remain
        version.map((divided.split, divided.remain), owner)
        version.mapping[divided.supervoxel] = 0

    def _split_body(self, version: Version, split: SplitBody) -> int:
        counts, shape = version.counts(), version.voxels.shape
        points = np.unique(split.points_zyx, axis=0)
        inside: dict[int, int] = {}
        if (points < shape).all():
            labels, voxels = np.unique(version.voxels[tuple(points.T)], return_counts=True)
            inside = dict(zip(labels.tolist(), voxels.tolist(), strict=True))
        whole = sum(counts[one] for one in version.bodies().get(split.body, ()))
        if not inside or not inside.keys() <= version.bodies().get(split.body, set()) or len(points) >= whole:
            raise Refused("no part of the body")
        label = self._new(version)
        moved = {one for one, voxels in inside.items() if voxels == counts[one]}
        for one in sorted(inside.keys() - moved):
            parts = self._new(version), self._new(version)
            self._divide(version, Divided(one, *parts, points, (0, 0)))
            moved.add(parts[0])
        version.map(moved, label)
        version.mapping[label] = 0
        return label

    # ---- undo

    def _undo(self, version: Version, mutation: int, made: int) -> None:
        done = version.done.get(mutation)
        if done is None or done.what is None:
            raise Refused("nothing that can be taken back here", conflict=True)
        last, in_effect = self.standing.get(done.original, (done.original, True))
        if not (in_effect if done.original == mutation else last == mutation):
            raise Refused("taken back already", conflict=True)
        if isinstance(done.what, Divided):
            what: tuple[Moved, ...] | Divided = done.what
            (self._rejoin if done.forward else self._divide_again)(version, done.what)
        else:
            what = tuple(move.back() for move in done.what)
            self._check_back(version, done, what)
            self._move(version, what)
        version.done[made] = Done(made, done.original, not done.forward, what)
        self.standing[done.original] = made, not done.forward

    def _check_back(self, version: Version, done: Done, moves: tuple[Moved, ...]) -> None:
        bodies = version.bodies()
        leaving = {move.source for move in moves if move.ends}
        for move in moves:
            held = bodies.get(move.source, set())
            out = set().union(*(other.supervoxels for other in moves if other.source == move.source))
            if not (out == held if move.ends else out < held):
                raise Refused("its supervoxels are elsewhere, or there are no others, or too many", conflict=True)
            if move.founds:
                if move.target in bodies and move.target not in leaving:
                    raise Refused("the body is there again", conflict=True)
            elif move.target not in bodies or self._was_replaced(version, done, move.target):
                raise Refused("the body is not there, or another one", conflict=True)

    def _was_replaced(self, version: Version, since: Done, body: int) -> bool:
        for later in version.done.values():
            if later.mutation <= since.mutation or not isinstance(later.what, tuple):
                continue
            last, in_effect = self.standing.get(later.original, (later.original, True))
            if later.original == later.mutation:
                counts = in_effect
            else:
                counts = later.mutation == last and later.original < since.mutation
            if counts and any(move.ends and move.source == body for move in later.what):
                return True
        return False

    def _rejoin(self, version: Version, divided: Divided) -> None:
        counts, parts = version.counts(), (divided.split, divided.remain)
        if tuple(counts.get(part, 0) for part in parts) != divided.sizes:
            raise Refused("a part has other voxels", conflict=True)
        owners = {version.body(part) for part in parts}
        if len(owners) > 1:
            raise Refused("two bodies", conflict=True)
        old = divided.supervoxel
        if old in counts or version.body(old) not in (0, old):
            raise Refused("the number is a supervoxel's", conflict=True)
        version.voxels[np.isin(version.voxels, parts)] = old
        version.map((old,), owners.pop())
        version.map(parts, 0)

    def _divide_again(self, version: Version, divided: Divided) -> None:
        counts, bodies = version.counts(), version.bodies()
        if divided.supervoxel not in counts:
            raise Refused("the supervoxel is gone", conflict=True)
        for part in (divided.split, divided.remain):
            if part in counts or part in bodies or version.body(part) not in (0, part):
                raise Refused("a label is in use", conflict=True)
        if self._sizes_of_parts(version, divided.supervoxel, divided.points_zyx) != divided.sizes:
            raise Refused("other voxels", conflict=True)
        self._divide(version, divided)


def assert_same(segmentation: Segmentation, model: Model, node: str) -> None:
    """All that can be seen of a version is what the model says."""
    version = model.versions[node]
    found, wanted = segmentation.state(node), version.state()
    assert found == wanted
    shape: Place = version.voxels.shape  # type: ignore[assignment]
    assert np.array_equal(segmentation.voxels(shape, node=node), version.voxels)
    assert np.array_equal(segmentation.voxels(shape, node=node, bodies=True), version.as_bodies())
