"""The version graph laid out: a row for each version, the newest on top, and a lane for each line of descent.

The lanes are those of ``git log --graph``: going down, a lane waits for the parent of what it came from; branches that
begin at the same version meet there.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Version(Protocol):
    """What is laid out."""

    @property
    def uuid(self) -> str:
        """Names it."""

    @property
    def version(self) -> int:
        """The later it was made, the higher."""

    @property
    def branch(self) -> str:
        """The name of its branch."""

    @property
    def parents(self) -> tuple[str, ...]:
        """The UUIDs of the versions it builds on."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A line from a version down to one of its parents.

    It leaves the child's lane right below the child, goes down in ``lane``, and enters the parent's lane right above it.
    """

    child_row: int
    child_lane: int
    lane: int
    parent_row: int
    parent_lane: int


@dataclass(frozen=True, slots=True)
class GraphLayout:
    """Where everything is drawn."""

    uuids: tuple[str, ...]
    """The version of each row, children above their parents."""
    lanes: tuple[int, ...]
    """The lane of the version of each row."""
    edges: tuple[Edge, ...]
    lane_count: int
    _numbers: NDArray[np.int64] = field(repr=False, compare=False)
    """(5, edges): the fields of all edges."""

    def edges_at(self, row: int, last_lane: int | None = None) -> list[Edge]:
        """The edges that touch a row.

        Args:
            row: of a version.
            last_lane: leaves out what is right of this lane in this row.
        """
        child_row, child_lane, lane, parent_row, parent_lane = self._numbers
        hit = (child_row <= row) & (parent_row >= row)
        if last_lane is not None:
            leftmost = np.where(row <= child_row + 1, np.minimum(lane, child_lane), lane)
            leftmost = np.where(row >= parent_row - 1, np.minimum(leftmost, parent_lane), leftmost)
            hit &= leftmost <= last_lane
        return [self.edges[at] for at in np.flatnonzero(hit)]


@dataclass(slots=True)
class _Lane:
    """Which version a lane waits for, and the edges that come down it to there."""

    waits_for: str
    branch: str
    incoming: list[tuple[int, int]] = field(default_factory=list)
    """Row and lane of the children that the edges come from."""


class _Lanes:
    """The lanes of a row. Found by what they wait for: there may be thousands."""

    def __init__(self) -> None:
        self.count = 0
        self._taken: dict[int, _Lane] = {}
        self._free: list[int] = []
        self._waiting: dict[str, list[int]] = {}

    def free(self) -> int:
        """Takes the first lane that waits for nothing; a new one where there is none."""
        if self._free:
            return heapq.heappop(self._free)
        self.count += 1
        return self.count - 1

    def wait(self, at: int, lane: _Lane) -> None:
        """From here on a lane that was free waits."""
        self._taken[at] = lane
        self._waiting.setdefault(lane.waits_for, []).append(at)

    def leave(self, at: int) -> None:
        """Nothing comes down this lane any more."""
        heapq.heappush(self._free, at)

    def first_waiting(self, uuid: str) -> _Lane | None:
        """The first lane that waits for a version."""
        found = self._waiting.get(uuid)
        return self._taken[min(found)] if found else None

    def end(self, uuid: str) -> dict[int, _Lane]:
        """The lanes that wait for a version, from left to right; they wait no longer."""
        return {at: self._taken.pop(at) for at in sorted(self._waiting.pop(uuid, ()))}


def lay_out(versions: Iterable[Version]) -> GraphLayout:
    """Gives each version a row and a lane, and the edges their ways.

    Args:
        versions: in any order. Parents that are not among them are left out, as are edges that would close a circle.
    """
    ordered = _children_first(list(versions))
    row_of = {version.uuid: row for row, version in enumerate(ordered)}
    lanes = _Lanes()
    placed: list[int] = []
    edges: list[Edge] = []
    if ordered:
        # The main line keeps the first lane, also where the newest version is on another branch.
        main = min(ordered, key=lambda version: version.version).branch
        head = next(version for version in ordered if version.branch == main)
        lanes.wait(lanes.free(), _Lane(head.uuid, main))
    for row, version in enumerate(ordered):
        waiting = lanes.end(version.uuid)
        own = next((at for at, lane in waiting.items() if lane.branch == version.branch), next(iter(waiting), None))
        at = lanes.free() if own is None else own
        for other, lane in waiting.items():
            edges.extend(Edge(child_row, child_lane, other, row, at) for child_row, child_lane in lane.incoming)
            if other != at:
                lanes.leave(other)
        placed.append(at)
        parents = [parent for parent in dict.fromkeys(version.parents) if row_of.get(parent, -1) > row]
        if not parents:
            lanes.leave(at)
        for number, parent in enumerate(parents):
            if number == 0:
                lanes.wait(at, _Lane(parent, version.branch, [(row, at)]))
                continue
            joined = lanes.first_waiting(parent)
            if joined is None:
                joined = _Lane(parent, ordered[row_of[parent]].branch)
                lanes.wait(lanes.free(), joined)
            joined.incoming.append((row, at))
    edges.sort(key=lambda edge: (edge.child_row, edge.parent_row))
    numbers = [(edge.child_row, edge.child_lane, edge.lane, edge.parent_row, edge.parent_lane) for edge in edges]
    return GraphLayout(
        tuple(version.uuid for version in ordered),
        tuple(placed),
        tuple(edges),
        lanes.count,
        np.array(numbers, np.int64).reshape(-1, 5).T,
    )


def _children_first(versions: Sequence[Version]) -> list[Version]:
    """All children before their parents, and otherwise the newest first."""
    by_uuid = {version.uuid: version for version in versions}
    children_left = dict.fromkeys(by_uuid, 0)
    for version in by_uuid.values():
        for parent in set(version.parents) & by_uuid.keys():
            children_left[parent] += 1
    ready = [(-version.version, uuid) for uuid, version in by_uuid.items() if not children_left[uuid]]
    heapq.heapify(ready)
    ordered: dict[str, Version] = {}
    while ready:
        _, uuid = heapq.heappop(ready)
        ordered[uuid] = by_uuid[uuid]
        for parent in set(by_uuid[uuid].parents) & by_uuid.keys():
            children_left[parent] -= 1
            if not children_left[parent]:
                heapq.heappush(ready, (-by_uuid[parent].version, parent))
    # Only a server that is out of its mind describes circles; they are shown all the same.
    rest = sorted(by_uuid.keys() - ordered.keys(), key=lambda uuid: (-by_uuid[uuid].version, uuid))
    return [*ordered.values(), *(by_uuid[uuid] for uuid in rest)]
