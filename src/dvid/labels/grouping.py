"""Merging, cleaving and renumbering bodies: supervoxels change bodies; no block and no index is touched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dvid.errors import BadRequest
from dvid.labels.bodies import Bodies, bodies, body, members
from dvid.labels.index import sizes_of
from dvid.labels.mapping import body_of
from dvid.labels.moves import CLEAVE, MERGE, RENUMBER, Move, listing, net, regroup, use_up
from dvid.labels.numbering import LARGEST, new_labels, saw_label
from dvid.labels.tables import MEMBERS, Labels, label_key, member_keys
from dvid.versions.edit import Edit
from dvid.versions.view import View

_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Cleaved:
    """What a cleave has made."""

    label: int
    """The new body."""
    mutation: int


def merge(edit: Edit, target: int, merged: Sequence[int]) -> int:
    """Merge bodies into another; the mutation id.

    The time depends on the supervoxels of the bodies that are merged, not on those of the target.

    Raises:
        BadRequest: one of them does not exist, comes twice, or there is nothing to merge.
    """
    if not merged:
        raise BadRequest("merge: at least two labels are needed, [target, label, ...]")
    labels = [target, *merged]
    rows = bodies_to_merge(edit, labels)
    lists = [members(edit, label, bool(row["own"])) for label, row in zip(merged, rows[1:], strict=True)]
    sizes: list[int] = rows["voxels"][1:].tolist()
    event = {"Target": target, "Labels": list(merged), **listing(edit, merged, lists, sizes)}
    mutation = edit.log(MERGE, event)
    moves = [
        Move(label, target, supervoxels, size, ends=True, founds=False)
        for label, supervoxels, size in zip(merged, lists, sizes, strict=True)
    ]
    regroup(edit, moves, mutation)
    return mutation


def cleave(edit: Edit, label: int, supervoxels: Sequence[int]) -> Cleaved:
    """Take supervoxels out of a body and make a body of them.

    The time depends on these supervoxels, not on the others of the body.

    Raises:
        BadRequest: there is no such body, one of the supervoxels is not in it, or nothing would be left of it.
    """
    if not supervoxels:
        raise BadRequest("cleave: a list of supervoxels was expected, not an empty one")
    _check_range([label, *supervoxels], "cleave")
    row = body(edit, label)
    if row is None:
        raise BadRequest(f"cleave: there is no body {label} at this version")
    own = row.own
    for some in _parts(supervoxels):
        held = held_by(edit, label, own, some)
        if not held.all():
            raise BadRequest(f"cleave: the supervoxel {some[np.argmin(held)]} does not belong to body {label}")
    check_labels(supervoxels, "cleave")
    chosen = np.array(supervoxels, np.uint64)
    if not has_more_than(edit, label, own, len(chosen)):
        raise BadRequest(f"cleave: these are all supervoxels of body {label}; nothing would be left of it")
    voxels = int(sizes_of(edit, chosen).sum())
    rest = row.voxels - voxels
    if not voxels or rest <= 0:
        which = "left" if voxels else "cleaved"
        raise BadRequest(f"cleave: the supervoxels of body {label} that would be {which} have no voxels")
    new = new_labels(edit)[0]
    event = {
        "OrigLabel": label,
        "CleavedLabel": new,
        "CleavedSupervoxels": list(supervoxels),
        "CleavedSize": voxels,
        "RemainSize": rest,
    }
    mutation = edit.log(CLEAVE, event)
    moves = [Move(label, new, chosen, voxels, ends=False, founds=True)]
    regroup(edit, moves, mutation)
    use_up(edit, moves)
    return Cleaved(new, mutation)


def renumber(edit: Edit, pairs: Sequence[tuple[int, int]]) -> int:
    """Give bodies other numbers, one after another in one mutation; its id.

    Args:
        edit: the instance.
        pairs: (new, old) labels.

    Raises:
        BadRequest: there is no such body, or a new number is taken by a body or a supervoxel.
    """
    if not pairs:
        raise BadRequest("renumber: pairs of labels were expected, [new, old, ...], not an empty list")
    for pair in pairs:
        check_labels(pair, "renumber")
    moves = _planned(edit, pairs)
    events = [
        {
            "NewLabel": move.target,
            "OrigLabel": move.source,
            **listing(edit, [move.source], [move.supervoxels], [move.voxels]),
        }
        for move in moves
    ]
    mutation = edit.log(RENUMBER, *events)
    come_to = net(moves)
    regroup(edit, come_to, mutation)
    use_up(edit, come_to)
    saw_label(edit, max(move.target for move in moves))
    return mutation


def _planned(view: View, pairs: Sequence[tuple[int, int]]) -> list[Move]:
    """The moves of `renumber`; each sees what those before it have done."""
    moves: list[Move] = []
    named: dict[int, Move | None] = {}  # a label: the move that made a body of it; None once that has another number
    for new, old in pairs:
        if old in named:
            before = named[old]
            found = None if before is None else (before.supervoxels, before.voxels)
        else:
            row = body(view, old)
            found = None if row is None else (members(view, old, row.own), row.voxels)
        if found is None:
            raise BadRequest(f"renumber: there is no body {old} to renumber")
        if named[new] is not None if new in named else body(view, new) is not None:
            raise BadRequest(f"renumber: there is a body {new} already")
        supervoxels, voxels = found
        owner = body_of(view, new)
        is_supervoxel = owner not in (0, new) or (new in named and _had_own(view, new))
        if is_supervoxel and not (supervoxels == np.uint64(new)).any():
            raise BadRequest(f"renumber: {new} is the number of a supervoxel of another body")
        move = Move(old, new, supervoxels, voxels, ends=True, founds=True)
        moves.append(move)
        named[old], named[new] = None, move
    return moves


def _had_own(view: View, label: int) -> bool:
    row = body(view, label)
    return row is not None and row.own


# ---- questions ----------------------------------------------------------------------------------


def _parts(labels: Sequence[int]) -> Iterator[Labels]:
    """Labels, some at a time: others wait for a transaction, which is to end at the first that is wrong."""
    for first in range(0, len(labels), _AT_ONCE):
        yield np.array(labels[first : first + _AT_ONCE], np.uint64)


def bodies_to_merge(view: View, labels: Sequence[int], kind: str = "body") -> Bodies:
    """The rows of bodies that are to become one, the target among them.

    Args:
        view: the instance.
        labels: theirs.
        kind: what errors call them.

    Raises:
        BadRequest: a number is no label, one of them does not exist, or comes twice.
    """
    _check_range(labels, "merge")
    parts = []
    for some in _parts(labels):
        rows = bodies(view, some)
        absent = np.flatnonzero(rows["voxels"] == 0)
        if len(absent):
            raise BadRequest(f"merge: there is no {kind} {some[absent[0]]} at this version")
        parts.append(rows)
    check_labels(labels, "merge")
    return np.concatenate(parts)


def _check_range(labels: Sequence[int], what: str) -> None:
    least, largest = min(labels), max(labels)
    if least < 1 or largest > LARGEST:
        wrong = least if least < 1 else largest
        raise BadRequest(f"{what}: a label from 1 to {LARGEST} was expected, not {wrong}")


def check_labels(labels: Sequence[int], what: str) -> None:
    """Look at labels from outside.

    Raises:
        BadRequest: a number is no label, or comes twice.
    """
    _check_range(labels, what)
    given = np.sort(np.array(labels, np.uint64))
    twice = np.flatnonzero(given[1:] == given[:-1])
    if len(twice):
        raise BadRequest(f"{what}: the label {given[twice[0]]} comes twice")


def held_by(view: View, label: int, own: bool, supervoxels: Labels) -> NDArray[np.bool_]:
    """Which of some supervoxels belong to a body.

    Args:
        view: the instance.
        label: the body.
        own: whether its own supervoxel is one of its.
        supervoxels: (n,) uint64, those asked for.
    """
    batches = view.get_batches(MEMBERS, member_keys(label, supervoxels))
    held = np.array([form for batch in batches for form in batch.formats], np.int64) != 0
    return np.where(supervoxels == np.uint64(label), own, held)


def has_more_than(view: View, label: int, own: bool, count: int) -> bool:
    """Whether a body has more than so many supervoxels. The time depends on `count`, not on the body."""
    count -= own
    if count < 0:
        return True
    for keys in view.key_batches(MEMBERS, label_key(label), label_key(label + 1)):
        count -= len(keys)
        if count < 0:
            return True
    return False
