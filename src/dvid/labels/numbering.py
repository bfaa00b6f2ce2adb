"""New labels, and the largest ones.

Labels given out count up from the largest one of the instance, at whatever version it is, or from where an admin has
set the counter. So a label is never given out twice, on whatever branch. A counter that was set behind labels in use
steps over them.
"""

from __future__ import annotations

from typing import Final

from dvid.errors import BadRequest, Conflict, CorruptValue
from dvid.labels.tables import BODIES, INDEX, LIMITS, MAPPING, label_key, label_of
from dvid.versions import layout
from dvid.versions.edit import Edit
from dvid.versions.view import View

LARGEST: Final = 2**64 - 2
"""The largest label there can be: 2^64 - 1 stands for none, as in the reference server."""

MAX_SETTABLE: Final = 2**48
"""The largest `maxlabel` that can be set by hand, as in the reference server."""

_MOST_SKIPPED = 10_000
"""Labels in use that are stepped over at a time; each takes some microseconds."""

_LARGEST = b"largest label"
_OF_ALL, _NEXT, _CEILING = "largest label", "next label", "label ceiling"


def largest_label(view: View) -> int | None:
    """The largest label that this version or one before it holds or has given out, or None if there is none."""
    values = view.heirs(LIMITS, _LARGEST)
    if any(len(value.payload) != 8 for value in values):
        raise CorruptValue("the row of the largest label has another length than 8 bytes")
    return max((int.from_bytes(value.payload, "little") for value in values), default=None)


def largest_of_all(view: View) -> int:
    """The largest label of the instance at any version, or 0."""
    return view.number(_OF_ALL)


def next_start(view: View) -> int:
    """Where an admin has set the counter of new labels; 0 where nobody has."""
    return view.number(_NEXT)


def next_label(view: View) -> int:
    """The label that would be given out next.

    Raises:
        Conflict: the counter was set where too many are in use.
    """
    return _unused(view, (view.number(_NEXT) or view.number(_OF_ALL)) + 1, 1)


def saw_label(edit: Edit, label: int) -> None:
    """Tell that this version holds a label."""
    if label > (largest_label(edit) or 0):
        edit.put(LIMITS, _LARGEST, label.to_bytes(8, "little"))
    if label > edit.number(_OF_ALL):
        edit.set_number(_OF_ALL, label)


def correct_largest(edit: Edit, label: int) -> None:
    """Replace what this version says is its largest label."""
    edit.put(LIMITS, _LARGEST, label.to_bytes(8, "little"))


def correct_largest_of_all(edit: Edit, label: int) -> None:
    """Replace what the instance says is its largest label at any version."""
    edit.set_number(_OF_ALL, label)


def new_labels(edit: Edit, count: int = 1) -> range:
    """Labels that no version has used, nor ever will for anything else.

    Raises:
        BadRequest: there are none left below the ceiling that was set, or below 2^64 - 1.
        Conflict: the counter was set where too many are in use.
    """
    start = edit.number(_NEXT)
    first = _unused(edit, (start or edit.number(_OF_ALL)) + 1, count)
    last = first + count - 1
    ceiling = edit.number(_CEILING)
    if start and ceiling and last > ceiling:
        raise BadRequest(
            f"{count} new labels from {first} on would exceed the ceiling {ceiling} (POST .../set-nextlabel)"
        )
    if last > LARGEST:
        raise BadRequest(f"{count} new labels from {first} on would exceed {LARGEST}, the largest label there can be")
    if start:
        edit.set_number(_NEXT, last)
    saw_label(edit, last)
    return range(first, last + 1)


def _unused(view: View, first: int, count: int) -> int:
    """The first label from `first` on that, with those behind it, is not in use at any version."""
    begin, largest = first, view.number(_OF_ALL)
    for _ in range(_MOST_SKIPPED):
        used = _first_used(view, first) if first <= largest else None
        if used is None or used >= first + count:
            return first
        first = used + 1
    raise Conflict(
        f"labels from {begin} to {first - 1} are in use, where the counter of new ones was set (POST .../set-nextlabel): "
        f"set it to {largest}, behind all labels there are"
    )


def _first_used(view: View, label: int) -> int | None:
    """The first number from `label` on that is, or was at any version, that of a body or supervoxel."""
    found, key = [], label_key(label)
    for table in (BODIES, MAPPING, INDEX):
        prefix = layout.table_prefix(view.instance.number, table)
        entry = view.snapshot.seek(prefix + key, len(key))
        if entry is not None:
            found.append(label_of(entry.key, len(prefix)))
    return min(found, default=None)


def set_next_start(edit: Edit, start: int, ceiling: int | None) -> None:
    """Let new labels count up from behind `start`.

    Args:
        edit: the instance.
        start: the label before the next one, at least 1.
        ceiling: the last label that may be given out; 0 for none, None to leave it as it is.

    Raises:
        BadRequest: the ceiling lies below the start.
    """
    if not 1 <= start <= LARGEST:
        raise BadRequest(f"a label from 1 to {LARGEST} was expected, not {start}")
    if ceiling and ceiling < start:
        raise BadRequest(f"the ceiling {ceiling} lies below {start}, where new labels are to start")
    edit.set_number(_NEXT, start)
    if ceiling is not None:
        edit.set_number(_CEILING, ceiling)


def known_largest(view: View) -> int:
    """The largest label of this version.

    Raises:
        BadRequest: there is none (400, as in the reference server).
    """
    largest = largest_label(view)
    if largest is None:
        raise BadRequest("there is no largest label: no label was stored at this version or before it")
    return largest
