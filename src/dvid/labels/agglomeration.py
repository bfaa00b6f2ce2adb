"""Agglomerations: tables that say which body each supervoxel is to belong to, brought about by merging bodies.

What has to be done is found from where the supervoxels are now. So a table whose application was interrupted is applied
once more, and what is done already is not done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dvid.errors import BadRequest, Conflict
from dvid.labels.grouping import merge, renumber
from dvid.labels.mapping import verified_bodies_of
from dvid.labels.numbering import LARGEST
from dvid.labels.sizes import body_sizes
from dvid.labels.tables import Labels
from dvid.versions.edit import Edit
from dvid.versions.view import View

BATCH = 2000
"""About this many bodies are merged in one transaction."""

Lookup = Callable[[Labels], Labels]
"""Tells a number for each of some labels, which come in order and each once."""


@dataclass(frozen=True, slots=True)
class Regrouping:
    """Merges of bodies, and new names for what comes out of them."""

    targets: Labels
    """(n,) the bodies into which others are merged."""
    names: Labels
    """(n,) the numbers that these have in the end."""
    merged: Labels
    """(m,) the bodies that are merged, those of the first target first."""
    starts: NDArray[np.int64]
    """(n + 1,) where those of each target begin."""
    absent: int
    """How many supervoxels of the table there are not."""

    def __len__(self) -> int:
        return len(self.targets)

    def groups(self, part: slice) -> Iterator[tuple[int, list[int]]]:
        """Each target of a part with the bodies that are merged into it, where there are any."""
        for at in range(part.start, part.stop):
            merged = self.merged[self.starts[at] : self.starts[at + 1]].tolist()
            if merged:
                yield int(self.targets[at]), merged

    def renumbered(self, part: slice) -> list[tuple[int, int]]:
        """The targets of a part that get another number: pairs of the new one and the old one."""
        pairs = zip(self.names[part].tolist(), self.targets[part].tolist(), strict=True)
        return [(name, target) for name, target in pairs if name != target]

    def batches(self, most: int = BATCH) -> Iterator[slice]:
        """Parts of some `most` bodies each, of whole targets."""
        # A target counts, too, so that a part is short where nothing is merged and all is renumbered.
        ends = self.starts[1:] + np.arange(1, len(self) + 1)
        first, done = 0, 0
        while first < len(self):
            last = max(first + 1, int(np.searchsorted(ends, done + most, "right")))
            yield slice(first, last)
            first, done = last, int(ends[last - 1])


def plan(supervoxels: Labels, bodies: Labels, owners: Lookup, sizes: Lookup) -> Regrouping:
    """What has to be done that each supervoxel belongs to the body beside it.

    Supervoxels that there are not are left out; bodies that the table does not name stay as they are.

    Args:
        supervoxels: (n,) uint64. Rows of supervoxel 0 are left out.
        bodies: (n,) uint64.
        owners: tells the bodies of supervoxels; 0 where there is none.
        sizes: tells the voxels of bodies; 0 where there is none.

    Raises:
        BadRequest: the table is none: it contradicts itself, or has numbers that are no labels.
        Conflict: it contradicts what was merged or renumbered before.
    """
    supervoxels, bodies = _checked(supervoxels, bodies)
    found = owners(supervoxels)
    there = found != 0
    pairs = np.unique(np.stack((bodies[there], found[there]), 1), axis=0)
    wanted, sources = pairs[:, 0], pairs[:, 1]
    _check_apart(wanted, sources)
    names, firsts = np.unique(wanted, return_index=True)
    bounds = np.append(firsts, len(wanted))
    exists = sizes(names) != 0
    _check_free(names, exists, owners(names), wanted, sources)
    targets = np.where(exists, names, sources[firsts])  # the smallest of them where none has the name yet
    is_merged = sources != np.repeat(targets, np.diff(bounds))
    counts = np.concatenate(([0], np.cumsum(is_merged)))[bounds]
    busy = (np.diff(counts) > 0) | (targets != names)
    merged = sources[is_merged]
    starts = np.concatenate(([0], np.cumsum(np.diff(counts)[busy]))).astype(np.int64)
    return Regrouping(targets[busy], names[busy], merged, starts, int(np.count_nonzero(~there)))


def plan_here(view: View, supervoxels: Labels, bodies: Labels) -> Regrouping:
    """`plan`, for the instance and version of a view."""
    return plan(supervoxels, bodies, lambda some: verified_bodies_of(view, some), lambda some: body_sizes(view, some))


def apply(edit: Edit, todo: Regrouping, part: slice) -> None:
    """Do a part of what was planned.

    Raises:
        BadRequest: somebody has merged or renumbered these bodies meanwhile.
    """
    for target, merged in todo.groups(part):
        merge(edit, target, merged)
    pairs = todo.renumbered(part)
    if pairs:
        renumber(edit, pairs)


# ---- what cannot be -----------------------------------------------------------------------------


def _checked(supervoxels: Labels, bodies: Labels) -> tuple[Labels, Labels]:
    """The rows in the order of their supervoxels, each once."""
    rows = np.stack((supervoxels, bodies), 1)
    rows = np.unique(rows[supervoxels != 0], axis=0)
    wrong = rows[(rows[:, 1] == 0) | (rows > LARGEST).any(1)]
    if len(wrong):
        raise BadRequest(f"the mapping maps {wrong[0, 0]} to {wrong[0, 1]}: labels are from 1 to {LARGEST}")
    twice = np.flatnonzero(rows[1:, 0] == rows[:-1, 0])
    if len(twice):
        label, one, other = rows[twice[0], 0], rows[twice[0], 1], rows[twice[0] + 1, 1]
        raise BadRequest(f"the mapping maps supervoxel {label} to two bodies, {one} and {other}")
    order, names = rows[:, 0].copy(), rows[:, 1].copy()
    if len(rows):
        place = np.minimum(np.searchsorted(order, names), len(order) - 1)
        crossed = np.flatnonzero((order[place] == names) & (names[place] != names))
        if len(crossed):
            label, name = order[crossed[0]], names[crossed[0]]
            raise BadRequest(
                f"the mapping maps {label} to body {name}, but {name} is a supervoxel of body {names[place[crossed[0]]]}: "
                "a body that has the number of a supervoxel has it as its own"
            )
    return order, names


def _check_apart(wanted: Labels, sources: Labels) -> None:
    order = np.argsort(sources, kind="stable")
    same = np.flatnonzero(sources[order][1:] == sources[order][:-1])
    if len(same):
        one, other = order[same[0]], order[same[0] + 1]
        raise Conflict(
            f"body {sources[one]} has supervoxels of the bodies {wanted[one]} and {wanted[other]} of the mapping: "
            "it was made by other merges, and has to be cleaved first"
        )


def _check_free(names: Labels, exists: NDArray[np.bool_], owner: Labels, wanted: Labels, sources: Labels) -> None:
    """Whether the bodies can have the numbers that they are to have."""
    order = np.argsort(sources)
    place = np.minimum(np.searchsorted(sources, names, sorter=order), max(len(sources) - 1, 0))
    found = order[place] if len(order) else place
    leaves = np.flatnonzero(exists & (sources[found] == names) & (wanted[found] != names))
    if len(leaves):
        name = names[leaves[0]]
        raise Conflict(
            f"body {name} holds supervoxels that are to be in body {wanted[found[leaves[0]]]}, and others are to be in {name}: "
            "it was made by other merges, and has to be cleaved first"
        )
    held = np.flatnonzero((owner != 0) & (owner != names))
    if len(held):
        # That body is to have this number itself, or holds the number for another one.
        place = np.searchsorted(sources, owner[held], sorter=order).clip(max=len(sources) - 1)
        at = order[place]
        wrong = held[(sources[at] != owner[held]) | (wanted[at] != names[held])]
        if len(wrong):
            raise Conflict(
                f"the mapping has a body {names[wrong[0]]}, but that is a supervoxel of body {owner[wrong[0]]} at this version"
            )
