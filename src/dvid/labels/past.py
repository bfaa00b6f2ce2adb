"""What was done to supervoxels and bodies at this version and before: splits, and how large the mapping has become."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dvid.errors import CorruptValue
from dvid.labels.tables import MAPPING, SPLIT, SPLITS, labels_of
from dvid.versions import layout
from dvid.versions.envelope import HEADER_BYTES
from dvid.versions.view import View

_MAPPED_BYTES = 8


@dataclass(frozen=True, slots=True)
class MappingSize:
    """How large the mapping of an instance is, all versions together."""

    supervoxels: int
    """Supervoxels that were mapped to a body of another number, or unmapped, at some version."""
    bytes: int
    """Bytes of their rows in the store."""
    versions: int
    """Versions that changed the mapping."""
    last_version: int
    """The newest of them, or 0."""


def splits(view: View) -> list[tuple[str, list[list[int]]]]:
    """The supervoxels split at this version and before, by the version that split them, the newest first.

    Returns:
        For each version its UUID and, in the order of the mutations, (mutation, supervoxel, remainder, part split off).
    """
    found: dict[int, list[list[int]]] = {}
    for batch in view.batches(SPLITS):
        data = b"".join(batch.payloads)
        if len(data) != SPLIT.itemsize * len(batch.keys):
            raise CorruptValue(f"a row of the table of splits has another length than {SPLIT.itemsize} bytes")
        rows = np.frombuffer(data, SPLIT)
        numbers = [labels_of(batch.keys), rows["old"], rows["remain"], rows["split"]]
        for version, numbers_of_one in zip(rows["version"].tolist(), np.stack(numbers, 1).tolist(), strict=True):
            found.setdefault(version, []).append(numbers_of_one)
    return [(view.version(version).node.uuid, found[version]) for version in sorted(found, reverse=True)]


def mapping_size(view: View) -> MappingSize:
    """How large the mapping is. Time follows its rows, memory does not."""
    prefix = layout.table_prefix(view.instance.number, MAPPING)
    supervoxels = size = 0
    versions: set[int] = set()
    last = None
    for keys in view.snapshot.key_batches(prefix, layout.after(prefix)):
        found = labels_of(keys, len(prefix))
        supervoxels += 1 + int(np.count_nonzero(found[1:] != found[:-1])) - (int(found[0]) == last)
        last = int(found[-1])
        size += len(keys) * (len(keys[0]) + HEADER_BYTES + _MAPPED_BYTES)
        versions.update(map(layout.version_of, {key[-layout.VERSION_BYTES :] for key in keys}))
    return MappingSize(supervoxels, size, len(versions), max(versions, default=0))
