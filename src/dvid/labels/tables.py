"""The tables in which labels are kept, and their keys and rows.

    BLOCKS    scale (1 byte), block               the block, in the compressed layout of the API, gzipped as on the wire
    INDEX     supervoxel, region                  in which blocks of the region it lies, with how many voxels
    BODIES    body                                its voxels, its last mutation, and whether it holds its own supervoxel
    MEMBERS   body, supervoxel                    nothing: a supervoxel of the body, other than its own
    MAPPING   supervoxel                          its body, where that has another number; 0: it is no supervoxel
    SPLITS    mutation, number                    a supervoxel that was split, and the two it was split into
    LIMITS    name                                the largest label of the version
    REMOVED   label, block                        nothing: the label's sparse volume leaves the block out

The supervoxel whose number is that of its body is the body's own: most supervoxels, never merged with any other, have
a row in INDEX and one in BODIES, and no more. Numbers of bodies and supervoxels come from one sequence.

Merging and cleaving change MEMBERS, MAPPING and BODIES; they touch neither BLOCKS nor INDEX.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dvid.geometry import Zyx
from dvid.versions import layout

Labels = NDArray[np.uint64]

BLOCKS: Final = layout.DATA
INDEX: Final = b"\x11"
BODIES: Final = b"\x12"
MEMBERS: Final = b"\x13"
MAPPING: Final = b"\x14"
SPLITS: Final = b"\x15"
LIMITS: Final = b"\x16"
REMOVED: Final = b"\x17"

MAPPINGS: Final = "mappings"
"""Number of the instance (see `View.number`) that changes with every change of MAPPING; 0 as long as that is empty."""

BODY_ROWS: Final = "bodies"
"""The same for BODIES."""

SCALES: Final = "scales"
"""Number of the instance: the lowest resolution that there ever was to be, where this was changed; see `dvid.labels.growth`."""

REGION: Final = 8
"""Blocks of a region along each axis: 512 in all, so that most supervoxels have one row in INDEX."""

ENTRY: Final = np.dtype([("block", "<u2"), ("voxels", "<u4")])
"""A block of a region, z * 64 + y * 8 + x, and the voxels that a supervoxel has in it: one entry of a row of INDEX."""

BODY: Final = np.dtype([("voxels", "<u8"), ("mutation", "<u8"), ("own", "u1")])
"""A row of BODIES."""

SPLIT: Final = np.dtype([("old", "<u8"), ("remain", "<u8"), ("split", "<u8"), ("version", "<u4")])
"""A row of SPLITS; `version` is the version at which it was split."""

_label = struct.Struct(">Q")
label_key = _label.pack

_LAST: Final = 2**64 - 1


def label_range(first: int, last: int | None = None) -> tuple[bytes, bytes | None]:
    """The keys of the labels `first` to `last`, both included, as (start, stop) of a scan; of `first` alone without `last`.

    No key begins beyond the largest label, so that `stop` is None there: to the end of the table.
    """
    last = first if last is None else last
    return label_key(first), label_key(last + 1) if last < _LAST else None


def label_of(key: bytes | memoryview, at: int = 0) -> int:
    """The label that begins at a byte of a key."""
    return int(_label.unpack_from(key, at)[0])


def label_keys(labels: Labels) -> list[bytes]:
    """The key of each label: 8 bytes that sort as the labels do."""
    data = labels.astype(">u8").tobytes()
    return [data[at : at + 8] for at in range(0, len(data), 8)]


def labels_of(keys: list[bytes], at: int = 0) -> Labels:
    """The label that begins at a byte of each key; the keys are equally long."""
    if not keys:
        return np.empty(0, np.uint64)
    rows = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), -1)
    return rows[:, at : at + 8].copy().view(">u8")[:, 0].astype(np.uint64)


def block_key(scale: int, block_zyx: Zyx) -> bytes:
    """The key of a block at a scale."""
    return bytes((scale,)) + layout.block_key(block_zyx)


def pair_keys(labels: Labels, points_zyx: NDArray[np.integer[Any]]) -> list[bytes]:
    """The keys of labels with a region each: (n,) uint64 and (n, 3)."""
    rows = np.empty((len(labels), 5), ">u4")
    rows[:, 0] = labels >> np.uint64(32)
    rows[:, 1] = labels & np.uint64(0xFFFFFFFF)
    rows[:, 2:] = points_zyx.astype(np.int64) + 2**31
    data = rows.tobytes()
    return [data[at : at + 20] for at in range(0, len(data), 20)]


def member_keys(body: int, supervoxels: Labels) -> list[bytes]:
    """The keys of a body's supervoxels in MEMBERS."""
    head = label_key(body)
    return [head + key for key in label_keys(supervoxels)]
