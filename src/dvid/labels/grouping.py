"""Merging, cleaving and renumbering bodies: supervoxels change bodies; no block and no index is touched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dvid.errors import BadRequest
from dvid.labels.bodies import body, members, put_body
from dvid.labels.index import sizes_of
from dvid.labels.mapping import put_mapping
from dvid.labels.numbering import LARGEST, new_labels, saw_label
from dvid.labels.tables import BODIES, MEMBERS, Labels, label_key, member_keys
from dvid.versions.view import Edit

_NONE = np.empty(0, np.uint64)


@dataclass(frozen=True, slots=True)
class Cleaved:
    """What a cleave has made."""

    label: int
    """The new body."""
    mutation: int


def _checked(label: int) -> int:
    if not 1 <= label <= LARGEST:
        raise BadRequest(f"a label from 1 to {LARGEST} was expected, not {label}")
    return label


def check_labels(labels: list[int], what: str) -> list[int]:
    """Labels from outside, if they are some, and different.

    Raises:
        BadRequest: a number is no label, or comes twice.
    """
    for label in labels:
        _checked(label)
    if len(set(labels)) != len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise BadRequest(f"{what}: the label {twice} comes twice")
    return labels


def join(edit: Edit, target: int, supervoxels: Labels) -> bool:
    """Make supervoxels members of a body, and map them to it; True if its own is one of them."""
    put_mapping(edit, supervoxels, target)
    for key in member_keys(target, supervoxels[supervoxels != target]):
        edit.put(MEMBERS, key, b"")
    return bool((supervoxels == target).any())


def leave(edit: Edit, source: int, supervoxels: Labels) -> None:
    """Remove supervoxels from the members of a body; what they are mapped to stays."""
    for key in member_keys(source, supervoxels[supervoxels != source]):
        edit.delete(MEMBERS, key)


def merge(edit: Edit, target: int, merged: list[int]) -> int:
    """Merge bodies into another; the mutation id.

    The time depends on the supervoxels of the bodies that are merged, not on those of the target.

    Raises:
        BadRequest: one of them does not exist, comes twice, or there is nothing to merge.
    """
    check_labels([target, *merged], "merge")
    if not merged:
        raise BadRequest("merge: at least two labels are needed, [target, label, ...]")
    into = body(edit, target)
    if into is None:
        raise BadRequest(f"merge: there is no body {target} to merge into")
    voxels, own, moved = int(into["voxels"]), bool(into["own"]), [_NONE]
    for label in merged:
        row = body(edit, label)
        if row is None:
            raise BadRequest(f"merge: there is no body {label} at this version")
        supervoxels = members(edit, label, bool(row["own"]))
        leave(edit, label, supervoxels)
        edit.delete(BODIES, label_key(label))
        voxels += int(row["voxels"])
        moved.append(supervoxels)
    own |= join(edit, target, np.concatenate(moved))
    mutation = edit.log("merge-complete", {"Target": target, "Labels": merged})
    put_body(edit, target, voxels, mutation, own=own)
    return mutation


def cleave(edit: Edit, label: int, supervoxels: list[int]) -> Cleaved:
    """Take supervoxels out of a body and make a body of them.

    Raises:
        BadRequest: there is no such body, one of the supervoxels is not in it, or nothing would be left of it.
    """
    check_labels(supervoxels, "cleave")
    if not supervoxels:
        raise BadRequest("cleave: a list of supervoxels was expected, not an empty one")
    row = body(edit, label)
    if row is None:
        raise BadRequest(f"cleave: there is no body {label} at this version")
    chosen = np.array(supervoxels, np.uint64)
    others = chosen[chosen != label]
    held = [payload for batch in edit.get_batches(MEMBERS, member_keys(label, others)) for payload in batch.formats]
    foreign = others[np.array(held, np.int64) == 0]
    own = bool(row["own"])
    if len(foreign) or (len(others) < len(chosen) and not own):
        wrong = int(foreign[0]) if len(foreign) else label
        raise BadRequest(f"cleave: the supervoxel {wrong} does not belong to body {label}")
    voxels = int(sizes_of(edit, chosen).sum())
    rest = int(row["voxels"]) - voxels
    if rest <= 0:
        raise BadRequest(f"cleave: these are all supervoxels of body {label}; nothing would be left of it")
    new = new_labels(edit)[0]
    leave(edit, label, chosen)
    join(edit, new, chosen)
    put_mapping(edit, np.array([new], np.uint64), 0)
    mutation = edit.log(
        "cleave-complete",
        {
            "OrigLabel": label,
            "CleavedLabel": new,
            "CleavedSupervoxels": supervoxels,
            "CleavedSize": voxels,
            "RemainSize": rest,
        },
    )
    put_body(edit, new, voxels, mutation, own=False)
    put_body(edit, label, rest, mutation, own=own and len(others) == len(chosen))
    return Cleaved(new, mutation)


def renumber(edit: Edit, label: int, new: int) -> int:
    """Give a body another number; the mutation id.

    Raises:
        BadRequest: there is no such body, or the new number is taken by a body or a supervoxel.
    """
    check_labels([label, new], "renumber")
    row = body(edit, label)
    if row is None:
        raise BadRequest(f"renumber: there is no body {label} at this version")
    supervoxels = members(edit, label, bool(row["own"]))
    if body(edit, new) is not None:
        raise BadRequest(f"renumber: there is a body {new} already")
    leave(edit, label, supervoxels)
    edit.delete(BODIES, label_key(label))
    own = join(edit, new, supervoxels)
    if not own:
        put_mapping(edit, np.array([new], np.uint64), 0)
    saw_label(edit, new)
    mutation = edit.log("renumber-complete", {"NewLabel": new, "OrigLabel": label})
    put_body(edit, new, int(row["voxels"]), mutation, own=own)
    return mutation
