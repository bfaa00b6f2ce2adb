"""Label indices and mappings as protobuf messages: which blocks hold a body, and how many voxels of each supervoxel.

The messages, in proto3:

    message SVCount      { map<uint64, uint32> counts = 1; }
    message LabelIndex   { map<uint64, SVCount> blocks = 1; uint64 label = 2; uint64 last_mutid = 3;
                           string last_mod_time = 4; string last_mod_user = 5; string last_mod_app = 6; }
    message LabelIndices { repeated LabelIndex indices = 1; }
    message MappingOp    { uint64 mutid = 1; uint64 mapped = 2; repeated uint64 original = 3; }
    message MappingOps   { repeated MappingOp mappings = 1; }

The key of a block is its z, y and x in 21 bits each, x lowest: a sign and a magnitude. So a coordinate of a block is less than
2^20 in either direction.

`indices-compressed` streams, for each label, the size of what follows the label (uint64, little-endian), the label (uint64), and the
message as the reference server stores it: the byte 0x80 for LZ4, its plain size (uint32), and one raw LZ4 block. An index that there
is not has size 0 and no bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from dvid.codecs.compression import lz4_compress
from dvid.codecs.protobuf import varint
from dvid.errors import BadRequest, TooLarge
from dvid.kernels.protobuf import (
    BLOCK_LIMIT,
    PROBLEMS,
    read_indices,
    read_mappings,
    settle_indices,
)
from dvid.kernels.protobufwriting import write_indices

Buffer = bytes | bytearray | memoryview
Labels = NDArray[np.uint64]

_RECORD = struct.Struct("<QQ")
_STORED = struct.Struct("<BI")
_STORED_LZ4 = 0x80
_MOST_STORED = 2**32 - 1
# Real entries, blocks and indices take no less. Room that is not used is never touched, so it takes no memory.
_ENTRY_BYTES, _INDEX_BYTES = 6, 16
_TEXT_TAGS = (b"\x22", b"\x2a", b"\x32")


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who changed an index, when, and with what."""

    time: str = ""
    """RFC 3339."""
    user: str = ""
    app: str = ""


@dataclass(frozen=True, slots=True)
class LabelIndex:
    """The blocks of a body, with the voxels of each of its supervoxels in each."""

    label: int
    blocks_zyx: NDArray[np.int32]
    """(n, 3): the block of each entry, in blocks; sorted by z, y and x."""
    supervoxels: Labels
    """(n,): sorted in each block."""
    counts: NDArray[np.uint32]
    """(n,): voxels, never 0 in what was decoded."""
    last_mutid: int = 0
    stamp: Stamp = field(default_factory=Stamp)


@dataclass(frozen=True, slots=True)
class LabelIndices:
    """The indices of many bodies, in arrays: no object for each."""

    labels: Labels
    """(m,)"""
    bounds: NDArray[np.int64]
    """(m + 1,): index i has the entries bounds[i] to bounds[i + 1] - 1."""
    blocks_zyx: NDArray[np.int32]
    """(n, 3): as in `LabelIndex`."""
    supervoxels: Labels
    """(n,)"""
    counts: NDArray[np.uint32]
    """(n,)"""
    last_mutids: Labels
    """(m,)"""
    stamps: Sequence[Stamp]
    """m of them."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> LabelIndex:
        entries = slice(int(self.bounds[i]), int(self.bounds[i + 1]))
        return LabelIndex(
            int(self.labels[i]),
            self.blocks_zyx[entries],
            self.supervoxels[entries],
            self.counts[entries],
            int(self.last_mutids[i]),
            self.stamps[i],
        )


@dataclass(frozen=True, slots=True)
class Mappings:
    """What supervoxels are mapped to."""

    mutids: Labels
    """(m,): the mutation of each operation."""
    mapped: Labels
    """(m,): the body that each maps to."""
    bounds: NDArray[np.int64]
    """(m + 1,): operation i maps originals[bounds[i]:bounds[i + 1]]."""
    originals: Labels
    """(n,): supervoxels, in the order given."""


# ---- writing ------------------------------------------------------------------------------------


def encode_label_index(index: LabelIndex) -> bytes:
    """Encode a LabelIndex message.

    Raises:
        BadRequest: a block has a coordinate that has no place in a key.
    """
    one = LabelIndices(
        np.array([index.label], np.uint64),
        np.array([0, len(index.counts)], np.int64),
        index.blocks_zyx,
        index.supervoxels,
        index.counts,
        np.array([index.last_mutid], np.uint64),
        [index.stamp],
    )
    return _write(one, framed=False)[0].tobytes()


def encode_label_indices(indices: LabelIndices) -> bytes:
    """Encode a LabelIndices message. Such messages may be joined: of two, one behind the other, it is the message of both.

    Raises:
        BadRequest: a block has a coordinate that has no place in a key.
    """
    return _write(indices, framed=True)[0].tobytes()


def compressed_records(indices: LabelIndices) -> Iterator[bytes]:
    """The records of `indices-compressed`, one for each index; an index without entries is one that there is not.

    Raises:
        BadRequest: a block has a coordinate that has no place in a key.
        TooLarge: an index takes 4 GiB or more.
    """
    data, places = _write(indices, framed=False)
    for label, entries, (begin, end) in zip(
        indices.labels.tolist(), np.diff(indices.bounds).tolist(), places.tolist(), strict=True
    ):
        if not entries:
            yield _RECORD.pack(0, label)
            continue
        if end - begin > _MOST_STORED:
            raise TooLarge(f"the index of label {label} takes {end - begin} bytes, at most {_MOST_STORED} can be sent")
        packed = lz4_compress(data[begin:end].data)
        stored = _STORED.pack(_STORED_LZ4, end - begin)
        yield b"".join((_RECORD.pack(len(stored) + len(packed), label), stored, packed))


def _write(indices: LabelIndices, framed: bool) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    entries, bounds = len(indices.counts), np.ascontiguousarray(indices.bounds, np.int64)
    if (
        indices.blocks_zyx.shape != (entries, 3)
        or indices.supervoxels.shape != (entries,)
        or not len(indices.labels) == len(indices.last_mutids) == len(indices.stamps) == len(bounds) - 1
        or bounds[0]
        or bounds[-1] != entries
        or (bounds[1:] < bounds[:-1]).any()
    ):
        raise BadRequest(
            f"{len(indices.labels)} label indices with bounds of {len(bounds)}, {len(indices.blocks_zyx)} blocks, "
            f"{len(indices.supervoxels)} supervoxels and {entries} counts do not belong together"
        )
    made: dict[Stamp, bytes] = {}
    tails = [made.get(stamp) or made.setdefault(stamp, _tail(stamp)) for stamp in indices.stamps]
    written = write_indices(
        np.ascontiguousarray(indices.labels, np.uint64),
        np.ascontiguousarray(indices.last_mutids, np.uint64),
        bounds,
        np.ascontiguousarray(indices.blocks_zyx, np.int32),
        np.ascontiguousarray(indices.supervoxels, np.uint64),
        np.ascontiguousarray(indices.counts, np.uint32),
        (np.frombuffer(b"".join(tails), np.uint8), np.array([0, *accumulate(map(len, tails))], np.int64)),
        framed,
    )
    if isinstance(written, int):
        z, y, x = map(int, indices.blocks_zyx[written])
        raise BadRequest(
            f"block {x},{y},{z} has no key in a label index: its coordinates must be less than {BLOCK_LIMIT}"
        )
    return written


def _tail(stamp: Stamp) -> bytes:
    """The texts as fields, those that are empty left out."""
    tail = b""
    for tag, text in zip(_TEXT_TAGS, (stamp.time, stamp.user, stamp.app), strict=True):
        encoded = text.encode()
        if encoded:
            tail += tag + varint(len(encoded)) + encoded
    return tail


# ---- reading ------------------------------------------------------------------------------------


def decode_label_index(data: Buffer, limit: int) -> LabelIndex:
    """Decode a LabelIndex message. Fields it does not know are skipped, entries that count 0 voxels left out.

    Args:
        data: the message.
        limit: the most blocks, and the most entries, that are read; each takes some 40 bytes.

    Raises:
        BadRequest: truncated, or not such a message; the error says what is wrong at which byte.
        TooLarge: it has more than `limit` blocks or entries.
    """
    return _read(data, False, limit, "LabelIndex")[0]


def decode_label_indices(data: Buffer, limit: int) -> LabelIndices:
    """Decode a LabelIndices message. Fields it does not know are skipped, entries that count 0 voxels left out.

    Args:
        data: the message.
        limit: the most indices, blocks, and entries, that are read; each takes some 40 bytes, an index some 100.

    Raises:
        BadRequest: truncated, or not such a message; the error says what is wrong at which byte.
        TooLarge: it has more than `limit` indices, blocks or entries.
    """
    return _read(data, True, limit, "LabelIndices")


def _read(data: Buffer, framed: bool, limit: int, name: str) -> LabelIndices:
    view = np.frombuffer(data, np.uint8)
    rooms = (len(view) // _INDEX_BYTES + 1 if framed else 1, len(view) // _ENTRY_BYTES, len(view) // _ENTRY_BYTES)
    (*found, wrong, at), read = read_indices(view, framed, *rooms)
    _complain(wrong, at, len(view), name)
    if max(found) > limit:
        raise TooLarge(
            f"a {name} message has {found[0]} indices with {found[1]} blocks and {found[2]} counts; at most {limit} are read"
        )
    if any(number > room for number, room in zip(found, rooms, strict=True)):
        _, read = read_indices(view, framed, *found)
    labels, mutids, texts, bounds, blocks_zyx, supervoxels, counts = settle_indices(read, *found)
    made: dict[bytes, str] = {b"": ""}
    stamps = []
    for label, places in zip(labels.tolist(), texts.tolist(), strict=True):
        parts = []
        for begin, end in zip(places[::2], places[1::2], strict=True):
            encoded = bytes(data[begin:end])
            if encoded not in made:
                made[encoded] = _text(encoded, label)
            parts.append(made[encoded])
        stamps.append(Stamp(*parts))
    return LabelIndices(labels, bounds, blocks_zyx, supervoxels, counts, mutids, stamps)


def _text(encoded: bytes, label: int) -> str:
    try:
        return encoded.decode()
    except UnicodeDecodeError:
        raise BadRequest(f"the index of label {label} has text that is not UTF-8: {encoded[:40]!r}") from None


def decode_mappings(data: Buffer, limit: int) -> Mappings:
    """Decode a MappingOps message. Fields it does not know are skipped.

    Args:
        data: the message.
        limit: the most operations, and the most supervoxels, that are read; each takes up to 24 bytes.

    Raises:
        BadRequest: truncated, or not such a message; the error says what is wrong at which byte.
        TooLarge: it has more than `limit` operations or supervoxels.
    """
    view = np.frombuffer(data, np.uint8)
    (operations, originals, wrong, at), _ = read_mappings(view, 0, 0)
    _complain(wrong, at, len(view), "MappingOps")
    if max(operations, originals) > limit:
        raise TooLarge(
            f"a MappingOps message has {operations} operations for {originals} supervoxels; at most {limit} are read"
        )
    return Mappings(*read_mappings(view, operations, originals)[1])


def _complain(wrong: int, at: int, size: int, name: str) -> None:
    if wrong:
        raise BadRequest(f"{size} bytes are not a protobuf {name} message: at byte {at}, {PROBLEMS[wrong]}")
