"""A body as it was before a mutation: what was done since then at the same version is taken back, in memory only."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from dvid.codecs.labelindex import LabelIndex, Stamp
from dvid.errors import NotFound
from dvid.labels.bodies import body, members
from dvid.labels.changes import Change, Changes
from dvid.labels.index import Entries, all_entries
from dvid.labels.indices import assembled, index_of
from dvid.labels.logged import ACTIONS, SPLIT, Logged
from dvid.versions.view import View


def index_before(view: View, label: int, mutation: int) -> LabelIndex:
    """The index of a body as it was before a mutation, which was done at this version or one before it.

    Raises:
        NotFound: there is no such mutation, there was no such body, or what was done since cannot be taken back.
    """
    view = _at_mutation(view, mutation)
    row = body(view, label)
    if row is not None and row.mutation < mutation:
        return index_of(view, label)
    since, before = _logged(view, mutation)
    own = row is not None and row.own
    past = _Past(label, set(members(view, label, own).tolist()))
    for logged in reversed(since):
        past.take_back(view, logged)
    entries = past.entries(view)
    if not len(entries):
        raise NotFound(f"there was no body {label} before mutation {mutation}")
    change = _last_change(view, label, before)
    return assembled(label, entries, change.mutation, change.stamp)


def _at_mutation(view: View, mutation: int) -> View:
    """The view of the version, this one or one before it, at which a mutation was done."""
    waiting, seen = [view.node.version], {view.node.version}
    while waiting:
        version = waiting.pop()
        if view.events_of(version, mutation):
            return view.version(version)
        for parent in view.version(version).node.parents:
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    raise NotFound(f"there is no mutation {mutation} of this instance at this version or one before it")


class _Past:
    """The supervoxels of one body, going back in time."""

    def __init__(self, label: int, supervoxels: set[int]) -> None:
        self._label = label
        self._supervoxels = supervoxels
        self._parts: dict[int, list[int]] = {}  # of supervoxels that were split since

    def take_back(self, view: View, logged: Logged) -> None:
        """Go back before a mutation.

        Raises:
            NotFound: the log does not tell what it has changed.
        """
        if logged.action == SPLIT:
            for event in logged.events:
                parts = [event["SplitSupervoxel"], event["RemainSupervoxel"]]
                if logged.forward:
                    self._unsplit(event["Supervoxel"], parts)
                elif self._supervoxels.intersection([event["Supervoxel"], *parts]):
                    raise self._lost(logged)
        elif logged.action in ACTIONS:
            for move in reversed(logged.moves(view)):
                if move.target == self._label:
                    self._supervoxels.difference_update(move.supervoxels.tolist())
                if move.source == self._label:
                    self._supervoxels.update(move.supervoxels.tolist())
        else:
            raise self._lost(logged)

    def _lost(self, logged: Logged) -> NotFound:
        what = f"{logged.events[0]['Action']} (mutation {logged.mutation})"
        return NotFound(f"body {self._label} as it was then is not kept: {what} may have changed it since")

    def _unsplit(self, supervoxel: int, parts: list[int]) -> None:
        self._parts[supervoxel] = parts
        if self._supervoxels.intersection(parts):
            self._supervoxels.difference_update(parts)
            self._supervoxels.add(supervoxel)

    def entries(self, view: View) -> Entries:
        """Where the supervoxels are; those split since are where their parts are."""
        found = []
        for supervoxel in sorted(self._supervoxels):
            leaves, waiting = [], [supervoxel]
            while waiting:
                one = waiting.pop()
                parts = self._parts.get(one)
                if parts is None:
                    leaves.append(one)
                else:
                    waiting += parts
            found.append(_as_one(supervoxel, all_entries(view, np.array(leaves, np.uint64))))
        return Entries.joined(found)


def _as_one(supervoxel: int, entries: Entries) -> Entries:
    """Entries of several supervoxels as those of one."""
    if not len(entries):
        return entries
    blocks, places = np.unique(entries.blocks_zyx, axis=0, return_inverse=True)
    voxels = np.zeros(len(blocks), np.int64)
    np.add.at(voxels, places.ravel(), entries.voxels)
    return Entries(np.full(len(blocks), supervoxel, np.uint64), blocks, voxels)


def _last_change(view: View, label: int, mutations: list[Logged]) -> Change:
    """The last change of a body among mutations of this version, or at its parents."""
    for logged in reversed(mutations):
        last = logged.events[-1]
        if logged.action not in ACTIONS:  # voxels, or an index, that may have been the body's
            return Change(logged.mutation, Stamp())
        named = {event["Body"] for event in logged.events if "Body" in event}
        named.update(label for move in logged.moves(view) for label in (move.source, move.target))
        if label in named:
            return Change(logged.mutation, Stamp(last["Timestamp"], last.get("User", ""), last.get("App", "")))
    for parent in view.node.parents:
        before = view.version(parent)
        if body(before, label) is not None:
            return Changes(before).last(label)
    return Change(0, Stamp())


def _logged(view: View, mutation: int) -> tuple[list[Logged], list[Logged]]:
    """The mutations of this version: those from one on, and those before it, each in their order."""
    groups: dict[int, list[dict[str, Any]]] = {}
    for line in view.events():
        event = msgspec.json.decode(line)
        groups.setdefault(event["MutationID"], []).append(event)
    since = [Logged(made, events) for made, events in groups.items() if made >= mutation]
    return since, [Logged(made, events) for made, events in groups.items() if made < mutation]
