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

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from dvid.errors import Conflict, NotFound
from dvid.labels.bodies import Bodies, bodies
from dvid.labels.grouping import has_more_than, held_by
from dvid.labels.index import sizes_of
from dvid.labels.mapping import bodies_of
from dvid.labels.moves import CLEAVE, MERGE, RENUMBER, Move, moves_of, net, regroup
from dvid.labels.tables import Labels
from dvid.versions import layout
from dvid.versions.envelope import unseal
from dvid.versions.view import Edit, View

UNDO: Final = "undo-complete"
SPLIT: Final = "split-supervoxel-complete"
ACTIONS: Final = (MERGE, CLEAVE, RENUMBER, SPLIT)
"""What can be taken back."""

MOST_LATER: Final = 100_000
"""Later mutations of a version that are looked through for one that stands in the way."""


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


@dataclass(frozen=True, slots=True)
class Logged:
    """A mutation as the log tells of it."""

    mutation: int
    events: Sequence[Mapping[str, Any]]

    @property
    def action(self) -> str:
        """What it is, or takes back."""
        first = self.events[0]
        return str(first["UndoneAction"] if first["Action"] == UNDO else first["Action"])

    @property
    def forward(self) -> bool:
        """False if it has the opposite effect of its action."""
        first = self.events[0]
        return first["Action"] != UNDO or bool(first["Redo"])

    @property
    def original(self) -> int:
        """The mutation that it goes back to; itself if it is no undo."""
        first = self.events[0]
        return int(first["Original"] if first["Action"] == UNDO else self.mutation)

    def moves(self, view: View) -> list[Move]:
        """What it moved; nothing if it is a split."""
        if self.action not in (MERGE, CLEAVE, RENUMBER):
            return []
        moves = [move for event in self.events for move in moves_of(view, event, self.action)]
        return net(moves if self.forward else [move.reversed() for move in reversed(moves)])


# ---- taking back --------------------------------------------------------------------------------


def undo(edit: Edit, mutation: int) -> Undone:
    """Take a mutation back that was made at this version, as a mutation of its own.

    The time depends on what it changed, and on the later mutations of the version where there are some that concern it.

    Raises:
        NotFound: the instance has no such mutation.
        Conflict: it was made at another version, cannot be taken back, or was already; or a later one depends on it.
    """
    # These are imported where they are needed: labels.rejoining uses this module.
    from dvid.labels.rejoining import rejoin, split_again

    logged = logged_at(edit, mutation)
    if logged is None:
        raise _absent(edit, mutation)
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
    edit.set_number(_standing_name(logged.original), made << 1 | (not logged.forward))
    return Undone(made, mutation, logged.action, redo=not logged.forward)


def standing(view: View, original: int) -> tuple[int, bool]:
    """The last of a mutation, its undo, the undo of that and so on; and whether the mutation is in effect."""
    number = view.number(_standing_name(original))
    return (number >> 1, bool(number & 1)) if number else (original, True)


def _standing_name(original: int) -> str:
    return f"undo of {original}"


def log_undo(edit: Edit, logged: Logged, events: Sequence[Mapping[str, Any]]) -> int:
    """Log that a mutation is taken back, with what its events say of it by now; the mutation id."""
    told = {
        "Undone": logged.mutation,
        "UndoneAction": logged.action,
        "Redo": not logged.forward,
        "Original": logged.original,
    }
    common = ("Action", "UUID", "MutationID", "Timestamp", "User", "App")
    return edit.log(
        UNDO, *({**told, **{key: event[key] for key in event if key not in common + tuple(told)}} for event in events)
    )


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
    rows = dict(zip(labels, bodies(edit, np.array(labels, np.uint64)), strict=True))
    leaving: dict[int, list[Move]] = {}
    for move in moves:
        leaving.setdefault(move.source, []).append(move)
    checked = [
        move for source, out in leaving.items() for move in _checked_source(edit, logged, source, rows[source], out)
    ]
    for move in checked:
        _check_target(edit, logged, move, rows[move.target], leaving)
    return checked


def _checked_source(edit: Edit, logged: Logged, source: int, row: Bodies, moves: list[Move]) -> list[Move]:
    """The moves out of a body, with the voxels of now."""
    if not row["voxels"]:
        raise refusal(
            edit, logged, f"there is no body {source} any more", lambda move: move.ends and move.source == source
        )
    own, supervoxels = bool(row["own"]), np.concatenate([move.supervoxels for move in moves])
    held = held_by(edit, source, own, supervoxels) & (bodies_of(edit, supervoxels) == np.uint64(source))
    if not held.all():
        raise gone(edit, logged, int(supervoxels[np.argmin(held)]), source)
    more = has_more_than(edit, source, own, len(supervoxels))
    if moves[0].ends:
        if more:
            why = f"body {source} has other supervoxels by now"
            raise refusal(edit, logged, why, lambda move: source in (move.source, move.target), row)
        return [Move(m.source, m.target, m.supervoxels, int(row["voxels"]), m.ends, m.founds) for m in moves]
    if not more:
        why = f"body {source} has no other supervoxels any more"
        raise refusal(edit, logged, why, lambda move: move.source == source, row)
    if int(row["mutation"]) != logged.mutation:  # else they have the voxels that the event tells
        sizes = [int(sizes_of(edit, move.supervoxels).sum()) for move in moves]
        moves = [
            Move(m.source, m.target, m.supervoxels, size, m.ends, m.founds)
            for m, size in zip(moves, sizes, strict=True)
        ]
    empty = next((move.target for move in moves if not move.voxels), None)
    if empty is not None or sum(move.voxels for move in moves) >= int(row["voxels"]):
        why = f"body {source if empty is None else empty} would have no voxels"
        raise refusal(edit, logged, why, lambda move: False, row)
    return moves


def _check_target(edit: Edit, logged: Logged, move: Move, row: Bodies, leaving: Mapping[int, list[Move]]) -> None:
    target = move.target
    if move.founds:
        if row["voxels"] and not (target in leaving and leaving[target][0].ends):
            why = f"there is a body {target} again"
            raise refusal(edit, logged, why, lambda later: later.founds and later.target == target, row)
        return

    def ended(later: Move) -> bool:
        return later.ends and later.source == target

    if not row["voxels"]:
        raise refusal(edit, logged, f"there is no body {target} any more", ended)
    if int(row["mutation"]) != logged.mutation and first_later(edit, logged, target, ended) is not None:
        raise refusal(edit, logged, f"body {target} is another one by now", ended)


# ---- what stands in the way ---------------------------------------------------------------------


def gone(view: View, logged: Logged, supervoxel: int, body: int) -> Conflict:
    """The error for a supervoxel that is not where it was put."""

    def moved(move: Move) -> bool:
        return move.source == body and (move.ends or bool((move.supervoxels == np.uint64(supervoxel)).any()))

    later = first_later(view, logged, supervoxel, moved) or first_later(view, logged, body, moved)
    now = int(bodies_of(view, np.array([supervoxel], np.uint64))[0])
    where = f"; it is mapped to {now}" if now not in (0, body) else ""
    return _conflict(logged, f"supervoxel {supervoxel} does not belong to body {body} any more{where}", later)


def refusal(view: View, logged: Logged, why: str, fits: Callable[[Move], bool], row: Bodies | None = None) -> Conflict:
    """The error for what cannot be taken back, with the later mutation that stands in the way.

    Args:
        view: the instance.
        logged: what is to be taken back.
        why: the reason.
        fits: tells of a move whether it is the reason.
        row: of the body concerned: names its last mutation where no move is the reason.
    """
    later = first_later(view, logged, None, fits)
    if later is None and row is not None and int(row["mutation"]) > logged.mutation:
        why += f"; mutation {int(row['mutation'])} was the last to change it"
    return _conflict(logged, why, later)


def _conflict(logged: Logged, why: str, later: Logged | None) -> Conflict:
    by = "" if later is None else f": the later mutation {later.mutation} ({later.events[0]['Action']}) did that"
    return Conflict(f"mutation {logged.mutation} cannot be taken back: {why}{by}")


def first_later(view: View, logged: Logged, label: int | None, fits: Callable[[Move], bool]) -> Logged | None:
    """The first later mutation in effect one of whose moves fits, or that splits `label`; or None.

    Raises:
        Conflict: there are too many to look through.
    """
    digits = b"" if label is None else str(label).encode()
    for number, (mutation, lines) in enumerate(_later(view, logged.mutation)):
        if number == MOST_LATER:
            raise _conflict(logged, f"more than {MOST_LATER} mutations have been made at this version since", None)
        if digits not in lines and b'Ref"' not in lines:
            continue
        found = Logged(mutation, [msgspec.json.decode(line) for line in lines.splitlines()])
        if not _counts(view, found, logged.mutation):
            continue
        if found.action == SPLIT and label is not None and label == found.events[0].get("Supervoxel"):
            return found
        if any(fits(move) for move in found.moves(view)):
            return found
    return None


def _counts(view: View, found: Logged, since: int) -> bool:
    """False for mutations that were taken back, and for what took others back that came after `since`."""
    if found.action not in ACTIONS:
        return False
    last, in_effect = standing(view, found.original)
    return in_effect if found.mutation == found.original else found.mutation == last and found.original < since


# ---- the log ------------------------------------------------------------------------------------


def _events_prefix(view: View, version: int) -> bytes:
    return layout.table_prefix(view.instance.number, layout.EVENTS) + layout.pack_u32(version)


def _later(view: View, mutation: int) -> Iterator[tuple[int, bytes]]:
    """The later mutations of this version: ids, and their events as lines of JSON."""
    prefix = _events_prefix(view, view.node.version)
    for key, stored in view.snapshot.scan(prefix + layout.pack_u64(mutation + 1), layout.after(prefix)):
        yield layout.unpack_u64(key[len(prefix) : len(prefix) + 8]), bytes(unseal(key, stored).payload)


class _Made(msgspec.Struct):
    """What `latest` looks at."""

    MutationID: int
    User: str = ""


_made = msgspec.json.Decoder(_Made).decode
_HEADS = tuple(b'{"Action":"' + action.encode() + b'"' for action in ACTIONS)


def latest(view: View, user: str, after: int = 0) -> int | None:
    """The latest mutation at this version that a user made and that can be taken back, or None.

    Those that were taken back, and undos, are passed over: asked for again and again, it goes back in time.

    Args:
        view: the instance.
        user: who made it; empty for those that nobody put a name to.
        after: look at later mutations than this one alone.
    """
    prefix = _events_prefix(view, view.node.version)
    start = prefix + layout.pack_u64(after + 1)
    for key, stored in view.snapshot.scan(start, layout.after(prefix), reverse=True):
        lines = bytes(unseal(key, stored).payload)
        if lines.startswith(_HEADS):
            made = _made(lines.split(b"\n", 1)[0])
            if made.User == user and standing(view, made.MutationID)[1]:
                return made.MutationID
    return None


def logged_at(view: View, mutation: int) -> Logged | None:
    """A mutation of this very version, or None."""
    events = view.events_of(view.node.version, mutation)
    return Logged(mutation, events) if events else None


def _absent(view: View, mutation: int) -> Conflict | NotFound:
    """The error for a mutation that this version has not."""
    table = layout.table_prefix(view.instance.number, layout.EVENTS)
    version = 0
    while True:
        found = next(iter(view.snapshot.scan(table + layout.pack_u32(version), layout.after(table))), None)
        if found is None:
            return NotFound(f"instance {view.instance.name!r} has no mutation {mutation}")
        version = layout.unpack_u32(found.key[len(table) : len(table) + 4])
        if view.events_of(version, mutation):
            uuid = view.version(version).node.uuid
            return Conflict(f"mutation {mutation} was made at another version, {uuid}: it can be taken back there only")
        version += 1


def supervoxels_of(*labels: int) -> Labels:
    """Labels as an array."""
    return np.array(labels, np.uint64)
