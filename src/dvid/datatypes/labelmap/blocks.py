"""Requests for whole blocks of labels."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from dvid.codecs import labellz4
from dvid.codecs.compression import gzip_compress
from dvid.codecs.labelblocks import decode, labels_of
from dvid.datatypes.boxes import need_aligned, requested_box
from dvid.datatypes.imageblk.layout import layout_of
from dvid.datatypes.labelmap.arguments import SUPERVOXELS
from dvid.datatypes.labelmap.volumes import SCALE, check_scale
from dvid.datatypes.labelmap.writes import WHERE_TOLD, Draft
from dvid.errors import BadRequest
from dvid.geometry import MAX_COORDINATE, MIN_COORDINATE, BlockRange, Xyz, Zyx
from dvid.labels.blocks import block_shape, relabelled
from dvid.labels.mapping import bodies_of, is_identity
from dvid.labels.scales import Scales
from dvid.labels.tables import Labels
from dvid.routes import TEXT, Argument, Call, Reply, Route, choice, coordinates, flag, integers, xyz
from dvid.storage.protocol import Buffer
from dvid.versions.view import View

_HEADER = struct.Struct("<iiii")
_AT_ONCE = 64
_WHOLE_BLOCKS = 64
_MOST_BLOCKS = 1 << 20


def _recoded(block: Any, compression: str, labels: Any) -> Buffer:
    """An expanded block, with other labels where given, as the wire has it."""
    if compression == "blocks":
        return relabelled(block, labels)
    voxels = decode(block, labels)
    data = voxels.data.cast("B")
    if compression == "lz4":
        return labellz4.encode(data, voxels.shape)
    return gzip_compress(data) if compression == "gzip" else data


def _coded(
    view: View, scales: Scales, scale: int, places: list[Zyx], compression: str, *, supervoxels: bool
) -> Sequence[Buffer | None]:
    """Blocks as the wire has them: as they are stored where that is what was asked for."""
    identity = supervoxels or is_identity(view)
    if compression == "blocks" and identity:
        return scales.compressed(scale, places)
    blocks = scales.read(scale, places)
    there = [at for at, block in enumerate(blocks) if block is not None]
    lists = [labels_of(block) for block in blocks if block is not None]
    bodies: list[Labels] = lists
    if not identity and lists:
        ends = np.cumsum([len(labels) for labels in lists])
        bodies = np.split(bodies_of(view, np.concatenate(lists)), ends[:-1])
    found: list[Buffer | None] = [None] * len(places)
    same: list[int] = []
    for at, own, mapped in zip(there, lists, bodies, strict=True):
        if compression == "blocks" and np.array_equal(own, mapped):
            same.append(at)
        else:
            found[at] = _recoded(blocks[at], compression, mapped)
    for at, stored in zip(same, scales.compressed(scale, [places[at] for at in same]), strict=True):
        found[at] = stored
    return found


def _stream(
    view: View, groups: Iterable[list[Zyx]], scale: int, compression: str, supervoxels: bool
) -> Iterator[bytes]:
    scales = Scales(view)
    for places in groups:
        coded = _coded(view, scales, scale, places, compression, supervoxels=supervoxels)
        pieces: list[Buffer] = []
        for (z, y, x), data in zip(places, coded, strict=True):
            if data is not None:
                pieces += (_HEADER.pack(x, y, z, len(data)), data)
        if pieces:
            yield b"".join(pieces)


def _answer(
    call: Call, blocks: BlockRange | list[Zyx], scale: int, compression: str, supervoxels: bool, view: View
) -> Reply:
    def groups() -> Iterator[list[Zyx]]:
        if isinstance(blocks, BlockRange):
            return (list(part) for part in blocks.parts(_AT_ONCE))
        return (blocks[first : first + _AT_ONCE] for first in range(0, len(blocks), _AT_ONCE))

    if len(blocks) <= _WHOLE_BLOCKS:
        return Reply(b"".join(_stream(view, groups(), scale, compression, supervoxels)))

    def later() -> Iterator[bytes]:
        with call.view() as opened:
            yield from _stream(opened, groups(), scale, compression, supervoxels)

    return Reply(later())


def get_blocks(
    call: Call, size: tuple[int, ...], offset: Xyz, scale: int, compression: str, supervoxels: bool
) -> Reply:
    """Answer the blocks of a box."""
    box = requested_box(size, offset)
    with call.view() as view:
        check_scale(view, scale)
        layout_of(view.instance).check_size(box, 8 * call.limits.answer_bytes)
        shape = block_shape(view)
        need_aligned(box, shape)
        return _answer(call, box.blocks(shape), scale, compression, supervoxels, view)


def get_specificblocks(call: Call, blocks: tuple[int, ...], scale: int, compression: str, supervoxels: bool) -> Reply:
    """Answer single blocks."""
    if len(blocks) % 3 or len(blocks) // 3 > _MOST_BLOCKS:
        raise BadRequest(
            f"blocks: x,y,z for each of at most {_MOST_BLOCKS} blocks was expected, not {len(blocks)} numbers"
        )
    places = [(blocks[at + 2], blocks[at + 1], blocks[at]) for at in range(0, len(blocks), 3)]
    with call.view() as view:
        check_scale(view, scale)
        return _answer(call, places, scale, compression, supervoxels, view)


# ---- writing ------------------------------------------------------------------------------------


def _sent_blocks(body: bytes) -> Iterator[tuple[Zyx, memoryview]]:
    """The blocks of a stream: their coordinates and bytes."""
    view, at = memoryview(body), 0
    while at < len(view):
        if len(view) - at < _HEADER.size:
            raise BadRequest(f"the stream of blocks ends in the middle of a header, at byte {at} of {len(view)}")
        x, y, z, length = _HEADER.unpack_from(view, at)
        at += _HEADER.size
        if not 0 < length <= len(view) - at:
            raise BadRequest(
                f"the header of block {x, y, z} says {length} bytes; {len(view) - at} follow it in the request's body"
            )
        yield (z, y, x), view[at : at + length]
        at += length


def _check_place(place: Zyx, shape: Zyx) -> None:
    box = BlockRange(place, (place[0] + 1, place[1] + 1, place[2] + 1)).box(shape)
    if min(box.start_zyx) < MIN_COORDINATE or max(box.stop_zyx) > MAX_COORDINATE:
        raise BadRequest(f"block {place[::-1]} lies outside the 32-bit coordinates")


def _post(call: Call, scale: int, *, indexed: bool, downres: bool, grow: bool, bodies: bool = False) -> Reply:
    with call.view() as view:  # ends before the body arrives: clients may be slow
        check_scale(view, scale)
        draft, shape = Draft(view, bodies=bodies), block_shape(view)
    body = call.body()
    for place, data in _sent_blocks(body):
        _check_place(place, shape)
        draft.add_compressed(place, data, call.limits.decompressed_bytes)
    return draft.put(call, scale, indexed=indexed, downres=downres, grow=grow)


def post_blocks(
    call: Call, scale: int, downres: bool, compression: str, noindexing: bool, bodies: bool = False
) -> Reply:
    """Store blocks, and what hangs on them."""
    if downres and scale:
        raise BadRequest("downres: lower resolutions are made of blocks at scale 0 only")
    return _post(call, scale, indexed=not noindexing, downres=downres, grow=True, bodies=bodies)


def post_ingest(call: Call, scale: int) -> Reply:
    """Store blocks, and nothing else."""
    return _post(call, scale, indexed=False, downres=False, grow=False)


# ---- routes -------------------------------------------------------------------------------------

_SIZE = Argument("size", "Size in voxels, in whole blocks: x_y_z.", coordinates, example="64_64_64")
_OFFSET = Argument("offset", "The first voxel: x_y_z, in voxels of the scale.", xyz, example="0_0_0")


def _compression(default: str) -> Argument:
    return Argument(
        "compression",
        "blocks (the compressed layout, gzipped), or the block's uint64 labels as lz4, gzip or uncompressed; "
        f"default {default}.",
        choice("lz4", "gzip", "blocks", "uncompressed"),
        default=default,
    )


def _block_list(text: str) -> tuple[int, ...]:
    return integers(text, ",", "block coordinates") if text else ()


_BODY = (
    "For each block four int32, x, y, z of the block and a number of bytes, then so many bytes: the block in the "
    "compressed layout, gzipped."
)

ROUTES = (
    Route(
        "GET",
        "/blocks/{size}/{offset}",
        get_blocks,
        "Answer the blocks of a box that somebody wrote, each behind a header of four int32: block x, y, z and number of bytes.",
        arguments=(_SIZE, _OFFSET),
        options=(SCALE, _compression("lz4"), SUPERVOXELS),
        throttled=True,
        immutable=True,
    ),
    Route(
        "GET",
        "/specificblocks",
        get_specificblocks,
        "Answer single blocks, in the form of blocks.",
        options=(
            Argument("blocks", "Block coordinates x,y,z,x,y,z,...", _block_list, default=()),
            SCALE,
            _compression("blocks"),
            SUPERVOXELS,
        ),
        immutable=True,
    ),
    Route(
        "POST",
        "/blocks",
        post_blocks,
        f"Store blocks of supervoxels. Extents, the largest label, the index and the sizes of bodies follow. {WHERE_TOLD}",
        options=(
            SCALE,
            Argument("downres", "true: lower resolutions follow, too.", flag, default=False),
            Argument("compression", "blocks.", choice("", "blocks"), default=""),
            Argument(
                "noindexing", "true: the index is left as it is, to be sent with POST index.", flag, default=False
            ),
        ),
        body=_BODY,
        answers=TEXT,
        writes=True,
        throttled=True,
    ),
    Route(
        "POST",
        "/ingest-supervoxels",
        post_ingest,
        "Store blocks of supervoxels and nothing else: index, extents, largest label and lower resolutions are to be sent, too. "
        f"{WHERE_TOLD}",
        options=(SCALE,),
        body=_BODY,
        answers=TEXT,
        writes=True,
        throttled=True,
    ),
)
