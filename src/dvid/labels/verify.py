"""Whether voxels, index, mapping, members and sizes of labels tell the same, at every version; and lower resolutions.

All rows are read once. What each version has changed, against its first parent, is summed up in two ways that must agree:

    voxels    the voxels of supervoxels in blocks: as the blocks have them, and as the index tells
    members   which supervoxel belongs to which body: as index and mapping tell, and as the bodies list them
    sizes     the voxels of bodies: as index and mapping tell, and as the rows of bodies say

If that is so at a version and at all those before it, what the version shows is right as a whole, however much of it
was written long before. The sums are of hashes, in buckets by label (`dvid.labels.sums`); where two do not agree, the labels of that bucket
are compared one by one (`dvid.labels.differences`). So time follows what was written, and memory does not follow it.

Lower resolutions are looked at in `dvid.labels.staleness`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dvid.errors import DvidError
from dvid.labels.changes import BLOCKS_APART, INDICES_APART, MAPPINGS_APART
from dvid.labels.differences import Differences, at_version
from dvid.labels.staleness import check_scales
from dvid.labels.strata import read_versions
from dvid.labels.sums import Kind, Sums
from dvid.labels.tables import BLOCKS, LIMITS, Labels
from dvid.labels.tallies import Stored
from dvid.storage.protocol import Snapshot
from dvid.versions import layout
from dvid.versions.catalogue import read_number
from dvid.versions.envelope import unseal
from dvid.versions.inventory import Problem
from dvid.versions.records import InstanceRecord, NodeRecord

_MOST_LISTED: Final = 100
"""Differences of one kind at one version that are listed one by one."""


def check(
    metadata: Snapshot, data: Snapshot, instance: InstanceRecord, nodes: Mapping[int, NodeRecord]
) -> Iterator[Problem]:
    """What does not fit together in the labels of an instance.

    Args:
        metadata: the store with the records of nodes.
        data: the store with the data of the instance.
        instance: which.
        nodes: all nodes, by their versions.
    """
    if instance.settings.get("IndexedLabels", True):
        yield from _check_index(stored_labels(metadata, data, instance, nodes))
    yield from check_scales(metadata, data, instance, nodes)


def _check_index(stored: Stored) -> Iterator[Problem]:
    if not len(stored.versions):
        return
    instance = stored.instance
    sums = Sums(stored)
    for place, flagged in sums.suspicious():
        if stored.is_contested(place):
            key = stored_key(instance, BLOCKS, int(stored.versions.numbers[place]))
            what = "the merged node inherits different values of some keys: its labels were not compared"
            yield Problem(key, what, instance.name, stored.versions.uuids[place], is_note=True)
            continue
        for found in at_version(stored, place, flagged):
            yield from _problems(stored, place, found)
    yield from _limits(stored, sums.highest)


def stored_labels(
    metadata: Snapshot, data: Snapshot, instance: InstanceRecord, nodes: Mapping[int, NodeRecord]
) -> Stored:
    """The data of an instance at all its versions."""
    own = {number: node for number, node in nodes.items() if node.repo == instance.repo}
    return Stored(data, instance, read_versions(metadata, data, instance, own))


def posted_apart(stored: Stored) -> set[Kind]:
    """What clients have sent in such a way that it need not agree: then it is not damage if it does not."""
    found: set[Kind] = set()
    kinds = {
        BLOCKS_APART: {Kind.VOXELS, Kind.SIZES},
        INDICES_APART: {Kind.VOXELS, Kind.MEMBERS, Kind.SIZES},
        MAPPINGS_APART: {Kind.MEMBERS, Kind.SIZES},
    }
    for name, concerned in kinds.items():
        if read_number(stored.snapshot, _number_key(stored.instance, name)):
            found |= concerned
    return found


def _number_key(instance: InstanceRecord, name: str) -> bytes:
    return layout.table_prefix(instance.number, layout.NUMBERS) + name.encode()


def _problems(stored: Stored, place: int, found: Differences) -> Iterator[Problem]:
    name, uuid, version = stored.instance.name, stored.versions.uuids[place], int(stored.versions.numbers[place])
    is_note = found.kind in posted_apart(stored)
    for key, what in found.described(_MOST_LISTED):
        yield Problem(stored_key(stored.instance, key, version), what, name, uuid, is_note)
    if len(found) > _MOST_LISTED:
        what = f"{found.kind}: {len(found) - _MOST_LISTED} more differences like these"
        yield Problem(layout.table_prefix(stored.instance.number, BLOCKS), what, name, uuid, is_note)


def stored_key(instance: InstanceRecord, key: bytes, version: int) -> bytes:
    """A key with its table, as it is stored for a version."""
    return layout.pack_u32(instance.number) + key + layout.inverted(version)


def largest_known(stored: Stored) -> tuple[NDArray[np.int64], Labels]:
    """The rows of LIMITS: places of versions, and their largest labels."""
    prefix = layout.table_prefix(stored.instance.number, LIMITS)
    places: list[int] = []
    limits: list[int] = []
    known = {number: place for place, number in enumerate(stored.versions.numbers.tolist())}
    for key, value in stored.snapshot.scan(prefix, layout.after(prefix)):
        try:
            payload = unseal(bytes(key), value).payload
            place = known.get(layout.version_of(key))
        except DvidError:  # told of where all values are looked at
            continue
        if len(payload) == 8 and place is not None:
            places.append(place)
            limits.append(int.from_bytes(payload, "little"))
    return np.array(places, np.int64), np.array(limits, np.uint64)


def too_low(stored: Stored, highest: Labels) -> Iterator[tuple[int, int, int]]:
    """Places of versions whose largest label is noted as a lower one: (place, noted, found)."""
    places, limits = largest_known(stored)
    for place, label in enumerate(highest.tolist()):
        noted = int(limits[stored.versions.sees[place, places]].max(initial=0))
        if label > noted:
            yield place, noted, label


def _limits(stored: Stored, highest: Labels) -> Iterator[Problem]:
    instance = stored.instance
    for place, noted, label in too_low(stored, highest):
        key = stored_key(instance, LIMITS + b"largest label", int(stored.versions.numbers[place]))
        what = f"the largest label is noted as {noted}, and there is the label {label}"
        yield Problem(key, what, instance.name, stored.versions.uuids[place])
    key = _number_key(instance, "largest label")
    noted, label = read_number(stored.snapshot, key) or 0, int(highest.max(initial=0))
    if label > noted:
        what = f"the largest label of all versions is noted as {noted}, and there is the label {label}"
        yield Problem(key, what, instance.name)
