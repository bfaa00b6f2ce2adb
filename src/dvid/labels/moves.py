"""Moves of supervoxels between bodies: what merges, cleaves and renumberings are made of, and how events tell of them.

An event of the mutation log names the bodies as the reference server does. What it takes to move the supervoxels back is
in two more members:

    Sizes           voxels of each body that was merged, or of the one that got another number
    Supervoxels     for each of these bodies, the list of its supervoxels; it is left out where each had its own only
    SupervoxelsRef  in place of Supervoxels where there are many: the blob (GET .../blobstore/<reference>) of as many little-endian
                    u64 as there are bodies, how many supervoxels each had, and then all supervoxels, body by body

A cleave has its supervoxels in CleavedSupervoxels, and their voxels in CleavedSize.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np

from dvid.errors import Conflict, CorruptValue
from dvid.labels.bodies import bodies, put_bodies
from dvid.labels.mapping import put_mapping
from dvid.labels.tables import MEMBERS, Labels, member_keys
from dvid.versions.edit import Edit
from dvid.versions.view import View

MERGE, CLEAVE, RENUMBER = "merge-complete", "cleave-complete", "renumber-complete"

_MOST_IN_EVENT = 1000


@dataclass(frozen=True, slots=True)
class Move:
    """Supervoxels that go from one body to another."""

    source: int
    target: int
    supervoxels: Labels
    """(n,) uint64."""
    voxels: int
    """How many they have together."""
    ends: bool
    """These are all supervoxels of the source: it ceases to be."""
    founds: bool
    """There was no body of the target's number before."""

    def reversed(self) -> Move:
        """The move that takes this one back."""
        return Move(self.target, self.source, self.supervoxels, self.voxels, ends=self.founds, founds=self.ends)


def net(moves: Sequence[Move]) -> list[Move]:
    """What moves that are made one after another come to: moves to be made at once.

    Only renumberings follow each other: of two of the same supervoxels, the later one goes on where the earlier one ended.
    """
    if not all(move.ends and move.founds for move in moves):
        return list(moves)
    made: dict[int, Move] = {}
    for move in moves:
        made[move.target] = replace(made.pop(move.source, move), target=move.target)
    return [move for move in made.values() if move.source != move.target]


# ---- moving -------------------------------------------------------------------------------------


def regroup(edit: Edit, moves: Sequence[Move], mutation: int) -> None:
    """Make moves, all at once; nothing is checked.

    The time depends on the supervoxels that move, not on the bodies that they leave or join.
    """
    labels = np.array(sorted({label for move in moves for label in (move.source, move.target)}), np.uint64)
    rows = bodies(edit, labels)
    place = {label: at for at, label in enumerate(labels.tolist())}
    for move in moves:
        _leave(edit, move.source, move.supervoxels)
        row = rows[place[move.source]]
        row["voxels"] = 0 if move.ends else int(row["voxels"]) - move.voxels
        row["own"] &= not (move.supervoxels == np.uint64(move.source)).any()
    for target, group in groupby(moves, key=lambda move: move.target):
        together = list(group)
        row = rows[place[target]]
        row["voxels"] = int(row["voxels"]) + sum(move.voxels for move in together)
        if _join(edit, target, np.concatenate([move.supervoxels for move in together])):
            row["own"] = True
    rows["mutation"] = mutation
    put_bodies(edit, labels, rows)


def use_up(edit: Edit, moves: Sequence[Move]) -> None:
    """Tell of new bodies that their numbers are those of no supervoxels, where they are not."""
    numbers = [move.target for move in moves if not (move.supervoxels == np.uint64(move.target)).any()]
    put_mapping(edit, np.array(numbers, np.uint64), 0)


def _join(edit: Edit, target: int, supervoxels: Labels) -> bool:
    put_mapping(edit, supervoxels, target)
    for key in member_keys(target, supervoxels[supervoxels != np.uint64(target)]):
        edit.put(MEMBERS, key, b"")
    return bool((supervoxels == np.uint64(target)).any())


def _leave(edit: Edit, source: int, supervoxels: Labels) -> None:
    for key in member_keys(source, supervoxels[supervoxels != np.uint64(source)]):
        edit.delete(MEMBERS, key)


# ---- events -------------------------------------------------------------------------------------


def listing(edit: Edit, labels: Sequence[int], supervoxels: Sequence[Labels], sizes: Sequence[int]) -> dict[str, Any]:
    """The members of an event that say what bodies were made of."""
    told: dict[str, Any] = {"Sizes": list(sizes)}
    counts = [len(part) for part in supervoxels]
    together = np.concatenate(supervoxels)
    if max(counts) == 1 and bool((together == np.array(labels, np.uint64)).all()):
        return told
    if len(together) <= _MOST_IN_EVENT:
        return {**told, "Supervoxels": [part.tolist() for part in supervoxels]}
    blob = np.concatenate((np.array(counts, "<u8"), together.astype("<u8"))).tobytes()
    return {**told, "SupervoxelsRef": edit.put_blob(blob)}


def _listed(view: View, event: Mapping[str, Any], labels: Sequence[int]) -> list[Labels]:
    if "SupervoxelsRef" in event:
        blob = view.blob(event["SupervoxelsRef"])
        if blob is None:
            raise Conflict(f"the list of supervoxels of mutation {event['MutationID']} is no longer in the blob store")
        numbers = np.frombuffer(blob, "<u8").astype(np.uint64)
        counts, together = numbers[: len(labels)].astype(np.int64), numbers[len(labels) :]
        if int(counts.sum()) != len(together):
            raise CorruptValue(f"the list of supervoxels of mutation {event['MutationID']} is cut short")
        return np.split(together, np.cumsum(counts)[:-1])
    lists = event.get("Supervoxels", [[label] for label in labels])
    return [np.array(part, np.uint64) for part in lists]


def moves_of(view: View, event: Mapping[str, Any], kind: str) -> list[Move]:
    """The moves that an event of one of these kinds tells of.

    Raises:
        Conflict: the list of supervoxels is no longer there.
        CorruptValue: the event does not tell.
    """
    try:
        if kind == CLEAVE:
            chosen = np.array(event["CleavedSupervoxels"], np.uint64)
            size = event["CleavedSize"]
            return [Move(event["OrigLabel"], event["CleavedLabel"], chosen, size, ends=False, founds=True)]
        founds = kind == RENUMBER
        target = event["NewLabel"] if founds else event["Target"]
        labels = [event["OrigLabel"]] if founds else event["Labels"]
        lists, sizes = _listed(view, event, labels), event["Sizes"]
        return [
            Move(label, target, part, size, ends=True, founds=founds)
            for label, part, size in zip(labels, lists, sizes, strict=True)
        ]
    except (KeyError, ValueError, TypeError) as error:
        raise CorruptValue(f"an event of mutation {event.get('MutationID')} does not tell what it moved") from error
