"""Requests that ask which bodies there are, how large they are, and of which supervoxels they are made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from dvid.datatypes.labelmap.arguments import (
    HASH,
    LABEL,
    SUPERVOXELS,
    checked_body,
    label_array,
    listed,
    need_index,
    need_supervoxel,
)
from dvid.errors import BadRequest, NotFound
from dvid.geometry import Xyz, Zyx
from dvid.labels.bodies import all_bodies, existing, members
from dvid.labels.changes import Changes
from dvid.labels.sizes import Extent, body_sizes, extent_of, supervoxel_sizes
from dvid.labels.tables import BODIES, Labels, label_key
from dvid.routes import JSON, OCTETS, TEXT, Argument, Call, Reply, Route, flag, integer, text_reply
from dvid.versions.view import View

MOST_LISTED = 10_000_000
"""Labels that one `listlabels` answers, as in the reference server."""

_encode = msgspec.json.Encoder().encode


def get_supervoxels(call: Call, label: int) -> Reply:
    """Answer the supervoxels of a body."""
    with call.view() as view:
        return Reply(_numbers(_members(view, label)), JSON)


def _members(view: View, label: int) -> Labels:
    need_index(view)
    row = existing(view, label)
    return members(view, label, row.own)


def _numbers(values: NDArray[Any]) -> bytes:
    return _encode(values.tolist())


def get_size(call: Call, label: int, supervoxels: bool) -> Reply:
    """Answer the voxels of a body or supervoxel."""
    with call.view() as view:
        need_index(view)
        if supervoxels:
            need_supervoxel(view, label)
            voxels = int(supervoxel_sizes(view, label_array([label]))[0])
        else:
            voxels = existing(view, label).voxels
        if not voxels:
            raise NotFound(f"there is no {'supervoxel' if supervoxels else 'body'} {label} at this version")
        return Reply(f'{{"voxels": {voxels}}}'.encode(), JSON)


def get_sizes(call: Call, supervoxels: bool, hash: str) -> Reply:  # noqa: A002 - the option's name
    """Answer the voxels of many bodies or supervoxels."""
    asked = label_array(listed(checked_body(call, hash)))
    with call.view() as view:
        need_index(view)
        return Reply(_numbers((supervoxel_sizes if supervoxels else body_sizes)(view, asked)), JSON)


def get_supervoxel_sizes(call: Call, label: int) -> Reply:
    """Answer the supervoxels of a body and their sizes."""
    with call.view() as view:
        found = _members(view, label)
        sizes = supervoxel_sizes(view, found)
    return Reply(b'{"supervoxels": %b, "sizes": %b}' % (_numbers(found), _numbers(sizes)), JSON)


def get_sparsevol_size(call: Call, label: int, supervoxels: bool) -> Reply:
    """Answer how large a body is and where it lies."""
    with call.view() as view:
        extent, first, last = extent_of_label(view, label, supervoxel=supervoxels)
    text = (
        f'{{"voxels": {extent.voxels}, "numblocks": {extent.blocks}, '
        f'"minvoxel": {list(first)}, "maxvoxel": {list(last)}}}'
    )
    return Reply(text.encode(), JSON)


def extent_of_label(view: View, label: int, *, supervoxel: bool = False) -> tuple[Extent, Xyz, Xyz]:
    """How far a body or supervoxel reaches, with the first and the last voxel of its blocks.

    Raises:
        NotFound: there is none.
        BadRequest: it is no supervoxel any longer.
    """
    need_index(view)
    if supervoxel:
        need_supervoxel(view, label)
    extent = extent_of(view, label_array([label]) if supervoxel else _members(view, label))
    if extent is None:
        raise NotFound(f"there is no {'supervoxel' if supervoxel else 'body'} {label} at this version")
    first, last = _corners(extent, view.instance.settings["BlockSize"])
    return extent, first, last


def _corners(extent: Extent, edges_xyz: list[int]) -> tuple[Xyz, Xyz]:
    """The first and the last voxel of the blocks."""

    def voxel(block_zyx: Zyx, beyond: int) -> Xyz:
        x, y, z = ((b + beyond) * edge - beyond for b, edge in zip(reversed(block_zyx), edges_xyz, strict=True))
        return x, y, z

    return voxel(extent.first_zyx, 0), voxel(extent.last_zyx, 1)


def get_lastmod(call: Call, label: int) -> Reply:
    """Answer who last changed a body."""
    with call.view() as view:
        need_index(view)
        change = Changes(view).last(label)
    user, app, time = (_encode(text).decode() for text in (change.stamp.user, change.stamp.app, change.stamp.time))
    text = f'{{"mutation id": {change.mutation}, "last mod user": {user}, "last mod app": {app}, "last mod time": {time} }}'
    return Reply(text.encode(), JSON)


def get_index_version(call: Call, label: int) -> Reply:
    """Answer the version at which a body was last changed."""
    with call.view() as view:
        need_index(view)
        version = view.written_at(BODIES, label_key(label))
        if version is None:
            raise NotFound(f"there is no body {label} at this version")
        return text_reply(view.version(version).node.uuid)


# ---- all bodies ---------------------------------------------------------------------------------


def get_existing_labels(call: Call) -> Reply:
    """Answer all bodies as JSON."""
    return Reply(_all_labels(call), JSON)


def _all_labels(call: Call) -> Iterator[bytes]:
    with call.view() as view:
        need_index(view)
        separator = b"["
        for labels, _ in all_bodies(view):
            yield separator + _numbers(labels)[1:-1]
            separator = b","
        yield b"]" if separator == b"," else b"[]"


def get_listlabels(call: Call, start: int, number: int, sizes: bool) -> Reply:
    """Answer bodies in the order of their labels, as binary numbers."""
    return Reply(_list(call, start, min(number, MOST_LISTED), sizes), OCTETS)


def _list(call: Call, start: int, number: int, sizes: bool) -> Iterator[bytes]:
    with call.view() as view:
        need_index(view)
        for labels, rows in all_bodies(view, start):
            if number <= 0:
                return
            labels, rows = labels[:number], rows[:number]
            number -= len(labels)
            columns = (labels, rows["voxels"]) if sizes else (labels,)
            yield np.stack(columns, 1).astype("<u8").tobytes()


def _start(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) < 2**64:
        return int(text)
    raise BadRequest(f"a label from 0 to 2^64 - 1 was expected, not {text[:40]!r}")


_BODY = Argument("label", "A body.", LABEL.parse, example="12345")

ROUTES = (
    Route(
        "GET",
        "/supervoxels/{label}",
        get_supervoxels,
        "Answer the supervoxels of a body as a JSON list. 404 if there is no such body.",
        arguments=(_BODY,),
        answers=JSON,
        immutable=True,
    ),
    Route(
        "GET",
        "/size/{label}",
        get_size,
        'Answer how many voxels a body has: {"voxels": 2314}. 404 if there is no such body; 400 if what is asked for '
        "as a supervoxel is none any longer.",
        arguments=(LABEL,),
        options=(SUPERVOXELS,),
        answers=JSON,
        immutable=True,
    ),
    Route(
        "GET",
        "/sizes",
        get_sizes,
        "Answer how many voxels each of many bodies has, as a JSON list in the order of the labels; 0 for what does not "
        "exist.",
        options=(SUPERVOXELS, HASH),
        body="A JSON list of labels, like [1, 2, 3].",
        answers=JSON,
    ),
    Route(
        "GET",
        "/supervoxel-sizes/{label}",
        get_supervoxel_sizes,
        "Answer the supervoxels of a body and how many voxels each has, in two lists of the same order: "
        '{"supervoxels": [1, 2], "sizes": [100, 200]}. 404 if there is no such body.',
        arguments=(_BODY,),
        answers=JSON,
        immutable=True,
    ),
    Route(
        "GET",
        "/sparsevol-size/{label}",
        get_sparsevol_size,
        "Answer how many voxels a body has, how many blocks hold them, and the first and the last voxel of the box around "
        'these blocks: {"voxels": 231387, "numblocks": 1081, "minvoxel": [x, y, z], "maxvoxel": [x, y, z]}. 404 if there '
        "is no such body; 400 if what is asked for as a supervoxel is none any longer.",
        arguments=(LABEL,),
        options=(SUPERVOXELS,),
        answers=JSON,
        immutable=True,
    ),
    Route(
        "GET",
        "/lastmod/{label}",
        get_lastmod,
        "Answer which mutation last changed a body, and by whom: "
        '{"mutation id": 2314, "last mod user": "", "last mod app": "", "last mod time": "" }. The texts are empty where '
        "voxels were written and nothing else was done. 404 if there is no such body.",
        arguments=(_BODY,),
        answers=JSON,
    ),
    Route(
        "GET",
        "/index-version/{label}",
        get_index_version,
        "Answer the UUID of the version at which a body was last changed. 404 if there is no such body.",
        arguments=(_BODY,),
        answers=TEXT,
    ),
    Route(
        "GET",
        "/existing-labels",
        get_existing_labels,
        "Answer all bodies as a JSON list.",
        answers=JSON,
        immutable=True,
    ),
    Route(
        "GET",
        "/listlabels",
        get_listlabels,
        f"Answer bodies in the order of their labels, at most {MOST_LISTED:,}: little-endian uint64 numbers one behind "
        "the other. To go on, ask with the last label + 1 as the start.",
        options=(
            Argument("start", "The smallest label to answer.", _start, schema={"type": "integer"}, default=0),
            Argument(
                "number",
                "How many labels at most.",
                integer(0, 2**63 - 1),
                schema={"type": "integer"},
                default=MOST_LISTED,
            ),
            Argument(
                "sizes",
                "true: each label is followed by the number of its voxels.",
                flag,
                schema={"type": "boolean"},
                default=False,
            ),
        ),
        answers=OCTETS,
        immutable=True,
    ),
)
