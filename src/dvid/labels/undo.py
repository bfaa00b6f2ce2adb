"""Taking mutations back: merges, cleaves, renumberings, and splits of supervoxels.

A mutation is taken back by moving its supervoxels back to the bodies they came from. That is possible as long as they are
all where the mutation put them, and nothing else depends on it:

    merge       the supervoxels are in the target, which has others, too; no body has the number of one that was merged
    cleave      the new body has these supervoxels and no others; the one they came from was neither merged nor renumbered
    renumber    the body has the supervoxels that it had; no body has its old number
    split       the two parts have their voxels still, and belong to one body; no supervoxel has the old number

What else has happened to these bodies does not matter: others may have been merged into the target of a merge, say.

Taking back is a mutation of its own, "undo-complete", with the events of what was taken back, and these members:

    Undone          id of the mutation that was taken back
    UndoneAction    "merge-complete", "cleave-complete", ...: what the other members tell of
    Redo            true where an undo was taken back: then that is done once more; false where it was taken back
    Original        id of the mutation that this all goes back to

Mutations are taken back at the version they were made at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dvid.errors import Conflict
from dvid.labels.bodies import Body, bodies
from dvid.labels.grouping import has_more_than, held_by
from dvid.labels.index import sizes_of
from dvid.labels.logged import (
    ACTIONS,
    SPLIT,
    Logged,
    absent,
    first_later,
    gone,
    log_undo,
    logged_at,
    refusal,
    set_standing,
    standing,
)
from dvid.labels.mapping import bodies_of
from dvid.labels.moves import CLEAVE, Move, moves_of, regroup
from dvid.labels.rejoining import rejoin, split_again
from dvid.versions.edit import Edit
from dvid.versions.view import View


@dataclass(frozen=True, slots=True)
class Undone:
    """What was taken back."""

    mutation: int
    """The id of the undo itself."""
    undone: int
    action: str
    """What the mutation is, or the one that this all goes back to."""
    redo: bool
    """True if it was itself an undo: its own is in effect once more."""


# ---- taking back --------------------------------------------------------------------------------


def undo(edit: Edit, mutation: int) -> Undone:
    """Take a mutation back that was made at this version, as a mutation of its own.

    The time depends on what it changed, and on the later mutations of the version where there are some that concern it.

    Raises:
        NotFound: the instance has no such mutation.
        Conflict: it was made at another version, cannot be taken back, or was already; or a later one depends on it.
    """
    logged = logged_at(edit, mutation)
    if logged is None:
        raise absent(edit, mutation)
    if logged.action not in ACTIONS:
        kinds = ", ".join(ACTIONS)
        raise Conflict(
            f"mutation {mutation} is of the kind {logged.action}, which cannot be taken back; these can: {kinds}"
        )
    last, in_effect = standing(edit, logged.original)
    if not in_effect if mutation == logged.original else mutation != last:
        raise Conflict(
            f"mutation {mutation} was taken back already; the last one to do so, or to undo that, was {last}"
        )
    if logged.action == SPLIT:
        made = rejoin(edit, logged) if logged.forward else split_again(edit, logged)
    else:
        made = _move_back(edit, logged)
    set_standing(edit, logged.original, made, in_effect=not logged.forward)
    return Undone(made, mutation, logged.action, redo=not logged.forward)


def _move_back(edit: Edit, logged: Logged) -> int:
    moves = _checked(edit, logged, [move.reversed() for move in reversed(logged.moves(edit))])
    sizes = {int(move.supervoxels[0]): move.voxels for move in moves}
    mutation = log_undo(edit, logged, [_with_sizes(edit, event, logged.action, sizes) for event in logged.events])
    regroup(edit, moves, mutation)
    return mutation


def _with_sizes(view: View, event: Mapping[str, Any], action: str, sizes: Mapping[int, int]) -> dict[str, Any]:
    """An event with the sizes of now."""
    moves = moves_of(view, event, action)
    found = [sizes.get(int(move.supervoxels[0]), move.voxels) for move in moves]
    if action == CLEAVE:
        return {**{key: event[key] for key in event if key != "RemainSize"}, "CleavedSize": found[0]}
    return {**event, "Sizes": found}


def _checked(edit: Edit, logged: Logged, moves: list[Move]) -> list[Move]:
    """Moves back, with the voxels of now, if they can be made.

    Raises:
        Conflict: they cannot.
    """
    labels = sorted({label for move in moves for label in (move.source, move.target)})
    rows = dict(zip(labels, map(Body._make, bodies(edit, np.array(labels, np.uint64)).tolist()), strict=True))
    leaving: dict[int, list[Move]] = {}
    for move in moves:
        leaving.setdefault(move.source, []).append(move)
    checked = [
        move for source, out in leaving.items() for move in _checked_source(edit, logged, source, rows[source], out)
    ]
    for move in checked:
        _check_target(edit, logged, move, rows[move.target], leaving)
    return checked


def _checked_source(edit: Edit, logged: Logged, source: int, row: Body, moves: list[Move]) -> list[Move]:
    """The moves out of a body, with the voxels of now."""
    if not row.voxels:
        why = f"there is no body {source} any more"
        raise refusal(edit, logged, why, source, lambda move: move.ends and move.source == source)
    own, supervoxels = row.own, np.concatenate([move.supervoxels for move in moves])
    held = held_by(edit, source, own, supervoxels) & (bodies_of(edit, supervoxels) == np.uint64(source))
    if not held.all():
        raise gone(edit, logged, int(supervoxels[np.argmin(held)]), source)
    more = has_more_than(edit, source, own, len(supervoxels))
    if moves[0].ends:
        if more:
            why = f"body {source} has other supervoxels by now"
            raise refusal(edit, logged, why, source, lambda move: move.target == source, row)
        return [replace(move, voxels=row.voxels) for move in moves]
    if not more:
        why = f"body {source} has no other supervoxels any more"
        raise refusal(edit, logged, why, source, lambda move: move.source == source, row)
    if row.mutation != logged.mutation:  # else they have the voxels that the event tells
        moves = [replace(move, voxels=int(sizes_of(edit, move.supervoxels).sum())) for move in moves]
    empty = next((move.target for move in moves if not move.voxels), None)
    if empty is not None or sum(move.voxels for move in moves) >= row.voxels:
        why = f"body {source if empty is None else empty} would have no voxels"
        raise refusal(edit, logged, why, source, row=row)
    return moves


def _check_target(edit: Edit, logged: Logged, move: Move, row: Body, leaving: Mapping[int, list[Move]]) -> None:
    target = move.target
    if move.founds:
        if row.voxels and not (target in leaving and leaving[target][0].ends):
            why = f"there is a body {target} again"
            raise refusal(edit, logged, why, target, lambda later: later.founds and later.target == target, row)
        return

    def ended(later: Move) -> bool:
        return later.ends and later.source == target

    if not row.voxels:
        raise refusal(edit, logged, f"there is no body {target} any more", target, ended)
    if row.mutation != logged.mutation:  # else it is the body that it was
        later = first_later(edit, logged, target, ended, complete=True, splits=False)
        if later is not None:
            raise refusal(edit, logged, f"body {target} is another one by now", target, ended)
