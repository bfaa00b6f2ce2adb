"""Mutations of bodies as the log tells of them, and whether later ones stand in the way of taking them back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from dvid.errors import Conflict, NotFound
from dvid.labels.bodies import Body
from dvid.labels.mapping import bodies_of
from dvid.labels.moves import CLEAVE, MERGE, RENUMBER, Move, moves_of, net
from dvid.versions import layout
from dvid.versions.edit import Edit
from dvid.versions.envelope import unseal
from dvid.versions.view import View

UNDO: Final = "undo-complete"
SPLIT: Final = "split-supervoxel-complete"
SPLIT_BODY: Final = "split-complete"
ACTIONS: Final = (MERGE, CLEAVE, RENUMBER, SPLIT)
"""What can be taken back."""

MOST_LATER: Final = 100_000
"""Later mutations of a version that are looked through for one that stands in the way."""


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


def standing(view: View, original: int) -> tuple[int, bool]:
    """The last of a mutation, its undo, the undo of that and so on; and whether the mutation is in effect."""
    number = view.number(_standing_name(original))
    return (number >> 1, bool(number & 1)) if number else (original, True)


def set_standing(edit: Edit, original: int, last: int, *, in_effect: bool) -> None:
    """Note what `standing` tells."""
    edit.set_number(_standing_name(original), last << 1 | in_effect)


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
_REFERENCE = b'"SupervoxelsRef"'
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


def absent(view: View, mutation: int) -> Conflict | NotFound:
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


# ---- what stands in the way ---------------------------------------------------------------------


def gone(view: View, logged: Logged, supervoxel: int, body: int) -> Conflict:
    """The error for a supervoxel that is not where it was put."""

    def moved(move: Move) -> bool:
        return move.source == body and (move.ends or bool((move.supervoxels == np.uint64(supervoxel)).any()))

    later = first_later(view, logged, supervoxel, moved) or first_later(view, logged, body, moved)
    now = int(bodies_of(view, np.array([supervoxel], np.uint64))[0])
    where = f"; it is mapped to {now}" if now not in (0, body) else ""
    return _conflict(logged, f"supervoxel {supervoxel} does not belong to body {body} any more{where}", later)


def refusal(
    view: View,
    logged: Logged,
    why: str,
    label: int,
    fits: Callable[[Move], bool] | None = None,
    row: Body | None = None,
) -> Conflict:
    """The error for what cannot be taken back, with the later mutation that stands in the way.

    Args:
        view: the instance.
        logged: what is to be taken back.
        why: the reason.
        label: the body or supervoxel concerned.
        fits: tells of a move whether it is the reason.
        row: of the body concerned: names its last mutation where no move is the reason.
    """
    later = None if fits is None else first_later(view, logged, label, fits)
    if later is None and row is not None and row.mutation > logged.mutation:
        why += f"; mutation {row.mutation} was the last to change the body"
    return _conflict(logged, why, later)


def _conflict(logged: Logged, why: str, later: Logged | None) -> Conflict:
    by = "" if later is None else f"; mutation {later.mutation} ({later.events[0]['Action']}) did that"
    return Conflict(f"mutation {logged.mutation} cannot be taken back: {why}{by}")


def first_later(
    view: View, logged: Logged, label: int, fits: Callable[[Move], bool], *, complete: bool = False, splits: bool = True
) -> Logged | None:
    """The first later mutation in effect that concerns a label: it splits it, or one of its moves fits; or None.

    Args:
        view: the instance.
        logged: later than this one.
        label: a body or supervoxel that the mutation names.
        fits: tells of a move whether it is one.
        complete: refuse to look through `MOST_LATER` alone, where there are more.
        splits: False where the label is that of a body: splits of the supervoxel of that number don't concern it.

    Raises:
        Conflict: there are too many to look through.
    """
    digits = str(label).encode()
    for number, (mutation, lines) in enumerate(_later(view, logged.mutation)):
        if number == MOST_LATER:
            if complete:
                raise _conflict(logged, f"more than {MOST_LATER} mutations were made at this version since", None)
            break
        if digits not in lines and _REFERENCE not in lines:
            continue
        found = Logged(mutation, [msgspec.json.decode(line) for line in lines.splitlines()])
        if not _counts(view, found, logged.mutation):
            continue
        if splits and _splits(found, label):
            return found
        if any(fits(move) for move in found.moves(view)):
            return found
    return None


def _splits(found: Logged, supervoxel: int) -> bool:
    """True if a mutation splits a supervoxel, by itself or with its body."""
    event = found.events[0]
    return event.get("Supervoxel") == supervoxel or str(supervoxel) in event.get("SVSplits", ())


def _counts(view: View, found: Logged, since: int) -> bool:
    """False for mutations that were taken back, and for what took others back that came after `since`."""
    if found.action not in (*ACTIONS, SPLIT_BODY):
        return False
    last, in_effect = standing(view, found.original)
    return in_effect if found.mutation == found.original else found.mutation == last and found.original < since
