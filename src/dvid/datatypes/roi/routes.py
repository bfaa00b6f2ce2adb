"""The requests that a region of interest takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from dvid.datatypes.base import Options, describe
from dvid.datatypes.roi import operations as ops
from dvid.datatypes.roi.partitions import COVER, GRID, LEGACY, MAX_BATCH, partition, partition_json
from dvid.datatypes.streams import streamed
from dvid.datatypes.voxels import block_size_setting, block_zyx
from dvid.errors import BadRequest, Conflict, TooLarge
from dvid.geometry import Box, Xyz, Zyx, reverse3
from dvid.kernels.spans import parse_rows
from dvid.routes import JSON, OCTETS, TEXT, Argument, Call, Reply, Route, choice, flag, integer, json_reply, xyz
from dvid.storage.protocol import Transaction
from dvid.versions import instances, layout
from dvid.versions.edit import Edit
from dvid.versions.records import InstanceRecord
from dvid.versions.view import View

DEFAULT_BLOCK_SIZE = 32
MAX_LIST_BYTES = 64 << 20
"""Lists of spans and points are read whole; this is the longest one taken."""

_MAX_SETTINGS_BYTES = 1 << 16
_PIECE_BYTES = 1 << 18
_AT_ONCE = 1 << 16

_json = msgspec.json.Encoder()


# ---- helpers ------------------------------------------------------------------------------------


def _list_of(call: Call, width: int, what: str) -> NDArray[np.int32]:
    """The body, a JSON list of lists of whole numbers, as (n, width) int32."""
    text = call.body(MAX_LIST_BYTES)
    rows, wrong = parse_rows(text, width)
    if wrong >= 0:
        found = text[wrong : wrong + 30].decode(errors="replace")
        raise BadRequest(
            f"a JSON list of {what}, each of {width} whole 32-bit numbers, was expected; "
            f"number {len(rows)} is not one: {f'byte {wrong} begins {found!r}' if found else 'the text ends'}"
        )
    return rows


def _in_larger_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        if len(gathered) >= _PIECE_BYTES:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


# ---- the region ---------------------------------------------------------------------------------


def get_roi(call: Call) -> Reply:
    """Answer all spans."""
    return streamed(call, lambda view: _in_larger_pieces(_spans_json(view)), JSON)


def _spans_json(view: View) -> Iterator[bytes]:
    separator = b"["
    for spans in ops.read_spans(view):
        for start in range(0, len(spans), _AT_ONCE):
            yield separator + _json.encode(spans[start : start + _AT_ONCE].tolist())[1:-1]
            separator = b","
    yield b"]" if separator == b"," else b"[]"


def post_roi(call: Call) -> Reply:
    """Replace the region."""
    spans = ops.checked_spans(_list_of(call, 4, "spans [z, y, x0, x1]"))
    packed, z_range, count = ops.packed_region(spans)

    def replace(edit: Edit) -> Reply:
        ops.replace_region(edit, packed, z_range, count)
        return Reply(b"", TEXT)

    return call.edit(replace)


def delete_roi(call: Call) -> Reply:
    """Empty the region."""

    def clear(edit: Edit) -> Reply:
        ops.clear_region(edit)
        return Reply(b"", TEXT)

    return call.edit(clear)


def post_info(call: Call) -> Reply:
    """Change settings, and answer the info."""
    given = _settings(call.body(_MAX_SETTINGS_BYTES))
    if not given:
        with call.view() as view:
            return json_reply(describe(view))
    options = Options(given)
    edges = block_size_setting(options, DEFAULT_BLOCK_SIZE)
    options.finish()

    def change(transaction: Transaction, instance: InstanceRecord) -> Reply:
        _set_block_size(transaction, instance, edges)
        with call.view() as view:  # shows what is committed: the instance as it was before this
            info = describe(view)
        info["Extended"]["BlockSize"] = edges
        return json_reply(info)

    return call.configure(change)


def _settings(body: bytes) -> dict[str, Any]:
    try:
        given = msgspec.json.decode(body) if body.strip() else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the settings are not JSON: {error}") from None
    if not isinstance(given, dict):
        raise BadRequest('settings are a JSON object, like {"BlockSize": "64,64,64"}')
    return given


def _set_block_size(transaction: Transaction, instance: InstanceRecord, edges: list[int]) -> None:
    if edges == instance.settings["BlockSize"]:
        return
    prefix = layout.table_prefix(instance.number, layout.DATA)
    if next(iter(transaction.scan(prefix, layout.after(prefix))), None) is not None:
        raise Conflict("BlockSize cannot change any more: a version of this region has spans, which count its blocks")
    instances.change_instance(transaction, instance, settings={**instance.settings, "BlockSize": edges})


# ---- questions ----------------------------------------------------------------------------------


def get_mask(call: Call, shape: str, size: Xyz, offset: Xyz, exact: bool) -> Reply:
    """Answer which voxels of a box belong to the region."""
    box = Box.at(reverse3(offset), reverse3(size))
    if min(size) < 1:
        raise BadRequest(f"sizes must be at least 1; the box has the size (x, y, z) {size}")
    if box.voxels > call.limits.answer_bytes:
        raise TooLarge(f"the mask has {box.voxels} bytes, the limit is {call.limits.answer_bytes} (limits.answerBytes)")

    def pieces(view: View) -> Iterator[bytes]:
        return ops.stream_voxel_mask(view, box, None if exact else _first_block(view, box))

    return streamed(call, pieces, OCTETS, box.voxels)


def _first_block(view: View, box: Box) -> Zyx:
    """The first block the reference server looks at: it rounds towards zero, and so passes over one where z, y, x < 0."""
    grid = block_zyx(view.instance)
    z, y, x = (a // b if a >= 0 else -(-a // b) for a, b in zip(box.start_zyx, grid, strict=True))
    return z, y, x


def post_ptquery(call: Call) -> Reply:
    """Answer which points belong to the region."""
    points = _list_of(call, 3, "points [x, y, z]")
    with call.view() as view:
        inside = ops.points_inside(view, points)
    return Reply(_flags_json(inside), JSON)


def _flags_json(flags: NDArray[np.bool_]) -> Iterator[bytes]:
    separator = b"["
    for start in range(0, len(flags), _AT_ONCE):
        yield separator + _json.encode(flags[start : start + _AT_ONCE].tolist())[1:-1]
        separator = b","
    yield b"]" if separator == b"," else b"[]"


_STYLES = {"": GRID, "cover": COVER, "true": LEGACY}


def get_partition(call: Call, batchsize: int, optimized: str) -> Reply:
    """Answer boxes that cover the region."""
    with call.view() as view:
        return Reply(partition_json(view, partition(view, batchsize, _STYLES[optimized])), JSON)


def _optimized(text: str) -> str:
    if text.lower() == "cover":
        return "cover"
    return "true" if flag(text) else ""


ROUTES = (
    Route(
        "GET",
        "/roi",
        get_roi,
        "Answer the region as a JSON list of spans [z, y, x0, x1]: the blocks (x0, y, z) to (x1, y, z), both included, "
        "in order of z, y and x.",
        answers=JSON,
        immutable=True,
    ),
    Route(
        "POST",
        "/roi",
        post_roi,
        "Replace the region, at this version, by the spans in the body. Their order does not matter; spans that "
        "overlap are made one.",
        body=f"A JSON list of spans [z, y, x0, x1] in blocks, of at most {MAX_LIST_BYTES >> 20} MiB.",
        answers=TEXT,
        writes=True,
    ),
    Route("DELETE", "/roi", delete_roi, "Empty the region at this version.", answers=TEXT, writes=True),
    Route(
        "POST",
        "/info",
        post_info,
        "Change the BlockSize, which is possible as long as no version has spans, and answer the info.",
        body='A JSON object like {"BlockSize": "64,64,64"}, or nothing.',
        answers=JSON,
        writes=True,
        of_node=False,
    ),
    Route(
        "GET",
        "/mask/{shape}[/{size}[/{offset}]]",
        get_mask,
        "Answer which voxels of a box belong to the region: a byte for each, 1 inside and 0 outside, x fastest, then "
        "y, then z.",
        arguments=(
            Argument("shape", "The axes of the box: 0_1_2.", choice("0_1_2"), example="0_1_2"),
            Argument("size", "Voxels along x, y and z.", xyz, example="512_512_256"),
            Argument("offset", "First voxel: x, y and z.", xyz, example="100_200_300"),
        ),
        options=(
            Argument(
                "exact",
                "true: the mask is right for every box. Without it, as on the reference server, spans are missing where "
                "the offset is negative and inside a block: those that end in this first block.",
                flag,
                default=False,
            ),
        ),
        answers=OCTETS,
        immutable=True,
    ),
    Route(
        "POST",
        "/ptquery",
        post_ptquery,
        "Answer which points belong to the region: a JSON list of true and false, in the order of the points.",
        body=f"A JSON list of points [x, y, z] in voxels, of at most {MAX_LIST_BYTES >> 20} MiB.",
        answers=JSON,
    ),
    Route(
        "GET",
        "/partition",
        get_partition,
        "Answer boxes that cover the region, to share out work on it: their corners in voxels (MinPoint, MaxPoint) and "
        "in blocks (MinChunk, MaxChunk), and how many blocks they and the region in them have.",
        options=(
            Argument("batchsize", "Blocks along the edge of a box.", integer(1, MAX_BATCH), default=8, example="8"),
            Argument(
                "optimized",
                "Without it, all boxes are cubes of batchsize blocks, centred on the region slab by slab and row by row, as "
                "the reference server makes them; behind a hole of the region that is batchsize thick in z they are too "
                "low. "
                "cover: boxes are shrunk to the blocks in them, none is larger than batchsize along an axis, and each "
                "block of the region is in exactly one. true or on: the boxes that the reference server makes; they "
                "end at holes of the region, where one box may take the last corner of its neighbour, so that corners "
                "cannot be relied on; only the sums of blocks can.",
                _optimized,
                default="",
            ),
        ),
        answers=JSON,
        immutable=True,
    ),
)
