"""Whether the largest labels that are noted are those that there are; and noting the right ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from dvid.labels.numbering import correct_largest, correct_largest_of_all, largest_label, largest_of_all
from dvid.labels.tables import BODIES, INDEX, MAPPING, labels_of
from dvid.versions import layout
from dvid.versions.edit import Edit
from dvid.versions.view import View


@dataclass(frozen=True, slots=True)
class Largest:
    """The largest label of a version, or of all versions."""

    version: int | None
    """The version's number; None for all versions together."""
    noted: int | None
    """What is noted, or None if nothing is."""
    found: int | None
    """What there is, at this version and before it; None if there is no label."""


def written_labels(view: View) -> dict[int, int]:
    """The largest label that each version has written a row of: of a supervoxel or a body. Time follows the rows."""
    found: dict[int, int] = {}
    for table in (INDEX, BODIES, MAPPING):
        prefix = layout.table_prefix(view.instance.number, table)
        for keys in view.snapshot.key_batches(prefix, layout.after(prefix)):
            labels = labels_of(keys, len(prefix))
            ends = np.frombuffer(b"".join(key[-layout.VERSION_BYTES :] for key in keys), ">u4")
            kinds, places = np.unique(ends, return_inverse=True)
            largest = np.zeros(len(kinds), np.uint64)
            np.maximum.at(largest, places, labels)
            for kind, label in zip(kinds.tolist(), largest.tolist(), strict=True):
                version = layout.version_of(kind.to_bytes(4, "big"))
                found[version] = max(found.get(version, 0), label)
    return found


def compare_largest(view: View, versions: Iterable[int]) -> list[Largest]:
    """What is noted as the largest label, and what is: of each version, and in the end of all.

    Labels that were reserved and not used yet are not found.

    Args:
        view: the instance, at any version.
        versions: those to look at; parents before their children.
    """
    written = written_labels(view)
    compared = []
    for version in versions:
        at = view.version(version)
        found = max((label for other, label in written.items() if at.sees(other)), default=None)
        compared.append(Largest(version, largest_label(at), found))
    compared.append(Largest(None, largest_of_all(view) or None, max(written.values(), default=None)))
    return compared


def correct_version(edit: Edit, found: int) -> None:
    """Note the largest label of this version, where another one is noted."""
    if largest_label(edit) != found:
        correct_largest(edit, found)


def correct_all(edit: Edit, found: int) -> None:
    """Note the largest label of all versions."""
    correct_largest_of_all(edit, found)
