"""Whether single rows of labels are what they should be."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from dvid.codecs.labelblocks import checked, inflate
from dvid.errors import CorruptValue
from dvid.labels.tables import (
    BLOCKS,
    BODIES,
    BODY,
    ENTRY,
    INDEX,
    LIMITS,
    MAPPING,
    MEMBERS,
    REGION,
    REMOVED,
    SPLIT,
    SPLITS,
    label_of,
)
from dvid.storage.protocol import Buffer
from dvid.versions.envelope import Format, Value
from dvid.versions.records import InstanceRecord


def check_value(instance: InstanceRecord, table: bytes, key: bytes, value: Value) -> None:
    """Check one row.

    Raises:
        DvidError: it is not what its table holds.
    """
    if table not in _ROWS:
        raise CorruptValue(f"labels have no table {table.hex()}")
    name, key_bytes, check = _ROWS[table]
    if len(key) != key_bytes:
        raise CorruptValue(f"the key of a row of {name} has {len(key)} bytes, not {key_bytes}")
    wanted = Format.GZIP if table == BLOCKS else Format.RAW
    if value.format != wanted:
        raise CorruptValue(f"a row of {name} has the format {value.format}, not {wanted.name}")
    check(instance, key, value.payload)


def _check_block(instance: InstanceRecord, _: bytes, payload: Buffer) -> None:
    x, y, z = instance.settings["BlockSize"]
    checked(inflate(payload, (z, y, x)), (z, y, x))


def _check_index(_: InstanceRecord, __: bytes, payload: Buffer) -> None:
    if not len(payload) or len(payload) % ENTRY.itemsize:
        raise CorruptValue(f"a row of the index has {len(payload)} bytes: it is no whole number of entries, or empty")
    entries = np.frombuffer(payload, ENTRY)
    blocks = entries["block"].astype(np.int64)
    if blocks[-1] >= REGION**3 or (np.diff(blocks) <= 0).any() or not entries["voxels"].all():
        raise CorruptValue("the entries of a row of the index are not in order, or one has no voxels")


def _check_body(_: InstanceRecord, __: bytes, payload: Buffer) -> None:
    _expect(payload, BODY.itemsize, "the table of bodies")
    row = np.frombuffer(payload, BODY)[0]
    if not row["voxels"] or row["own"] > 1:
        raise CorruptValue(f"the row of a body tells of {row['voxels']} voxels, and {row['own']} own supervoxels")


def _check_member(_: InstanceRecord, key: bytes, payload: Buffer) -> None:
    _expect(payload, 0, "the members of bodies")
    if label_of(key) == label_of(key, 8):
        raise CorruptValue(f"body {label_of(key)} lists its own supervoxel among the others")


def _check_mapping(_: InstanceRecord, __: bytes, payload: Buffer) -> None:
    _expect(payload, 8, "the mapping")


def _check_split(_: InstanceRecord, __: bytes, payload: Buffer) -> None:
    _expect(payload, SPLIT.itemsize, "the splits")


def _check_limit(_: InstanceRecord, key: bytes, payload: Buffer) -> None:
    _expect(payload, 8, "the limits")
    if key != b"largest label":
        raise CorruptValue(f"there is no limit named {key!r}")


def _check_removed(_: InstanceRecord, __: bytes, payload: Buffer) -> None:
    _expect(payload, 0, "what sparse volumes leave out")


def _expect(payload: Buffer, size: int, name: str) -> None:
    if len(payload) != size:
        raise CorruptValue(f"a row of {name} has {len(payload)} bytes, not {size}")


_ROWS: Mapping[bytes, tuple[str, int, Callable[[InstanceRecord, bytes, Buffer], None]]] = {
    BLOCKS: ("the blocks", 13, _check_block),
    INDEX: ("the index", 20, _check_index),
    BODIES: ("the table of bodies", 8, _check_body),
    MEMBERS: ("the members of bodies", 16, _check_member),
    MAPPING: ("the mapping", 8, _check_mapping),
    SPLITS: ("the splits", 12, _check_split),
    LIMITS: ("the limits", 13, _check_limit),
    REMOVED: ("what sparse volumes leave out", 20, _check_removed),
}
