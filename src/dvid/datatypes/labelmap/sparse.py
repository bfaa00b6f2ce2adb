"""Requests for sparse volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from dvid.codecs.compression import gzip_compress, lz4_compress
from dvid.codecs.sparsevols import encode_labelled_rles, encode_rles, encode_srles, rles_header
from dvid.datatypes.labelmap import faults
from dvid.datatypes.labelmap.arguments import LABEL, SUPERVOXELS, label, need_index, need_supervoxel
from dvid.datatypes.labelmap.volumes import SCALE, check_scale
from dvid.datatypes.streams import streamed
from dvid.errors import BadRequest, NotFound
from dvid.geometry import MAX_COORDINATE, MIN_COORDINATE, Box, Xyz
from dvid.labels.blocks import block_shape
from dvid.labels.bodies import all_bodies
from dvid.labels.reading import labels_at
from dvid.labels.sparse import Runs, Sought, coarse_runs, seek, stream_binary_blocks, stream_runs
from dvid.routes import Argument, Call, Reply, Route, choice, flag, integer, xyz
from dvid.versions.view import View

Needed = Literal["nothing", "block", "voxel"]
"""What a label has to have within bounds, or else the answer is 404: the types of labels differ in it."""

_KEPT_RUNS = 4 << 20  # of a sparse volume whose header needs their number: more are found twice


def _box(bounds: dict[str, int | None]) -> Box | None:
    """The box that the options give; None if they give none."""
    if all(edge is None for edge in bounds.values()):
        return None
    low = [MIN_COORDINATE if (edge := bounds[f"min{axis}"]) is None else edge for axis in "zyx"]
    high = [MAX_COORDINATE if (edge := bounds[f"max{axis}"]) is None else edge + 1 for axis in "zyx"]
    return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def _sought(view: View, wanted: int, scale: int, supervoxels: bool, box: Box | None) -> Sought:
    check_scale(view, scale)
    need_index(view)
    if supervoxels:
        need_supervoxel(view, wanted)
    return seek(view, wanted, scale, supervoxel=supervoxels).within(box, block_shape(view))


def get_sparsevol(
    call: Call,
    label: int,
    format: str,  # noqa: A002 - named as in the query
    compression: str,
    scale: int,
    supervoxels: bool,
    exact: bool,
    needed: Needed = "block",
    **bounds: int | None,
) -> Reply:
    """Answer where a label is, unless it has not what is needed within the bounds."""
    return _sparsevol(call, lambda view: label, format, compression, scale, supervoxels, exact, needed, _box(bounds))


def get_sparsevol_by_point(
    call: Call,
    coord: Xyz,
    format: str,  # noqa: A002 - named as in the query
    compression: str,
    scale: int,
    supervoxels: bool,
    exact: bool,
    needed: Needed = "block",
    **bounds: int | None,
) -> Reply:
    """Answer where the label of a voxel is, unless it has not what is needed within the bounds."""

    def at_point(view: View) -> int:
        (found,) = labels_at(view, np.array([coord[::-1]]), supervoxels=supervoxels).tolist()
        if not found:
            raise BadRequest(f"there is no label at voxel {coord}: its label is 0")
        return int(found)

    return _sparsevol(call, at_point, format, compression, scale, supervoxels, exact, needed, _box(bounds))


def _sparsevol(
    call: Call,
    which: Callable[[View], int],
    form: str,
    compression: str,
    scale: int,
    supervoxels: bool,
    exact: bool,
    needed: Needed,
    box: Box | None,
) -> Reply:
    if compression and form != "rles":
        raise BadRequest("compression is for the format rles")
    cut = box if exact else None

    def sought(view: View) -> Sought:
        found = _sought(view, which(view), scale, supervoxels, box)
        _check_there(needed == "nothing" or len(found.blocks_zyx))
        return found

    def runs(view: View) -> Iterator[Runs]:
        find = faults.stream_runs if faults.are_wanted(call, view) else stream_runs
        return find(view, sought(view), cut)

    if form == "srles":
        reply = streamed(call, lambda view: map(encode_srles, runs(view)))
        _check_there(needed != "voxel" or reply.body != b"")
        return reply
    if form == "blocks":
        return streamed(call, lambda view: stream_binary_blocks(view, sought(view)))
    with call.view() as view:
        kept = _kept(runs(view))
    if kept is not None:
        _check_there(needed != "voxel" or len(kept))
        data = encode_rles(kept)
        if compression:
            return Reply(lz4_compress(data) if compression == "lz4" else gzip_compress(data))
        return Reply(data)
    if compression:
        raise BadRequest(
            f"the sparse volume has more than {_KEPT_RUNS} runs: too many to be compressed as one; ask for format=srles"
        )

    def all_runs(view: View) -> Iterator[bytes | memoryview]:
        yield rles_header(sum(map(len, runs(view))))  # of the same state as the runs
        yield from map(encode_srles, runs(view))

    return streamed(call, all_runs)


def _check_there(there: bool | int) -> None:
    if not there:
        raise NotFound("there are no voxels of this label within the bounds")


def _kept(parts: Iterator[Runs]) -> Runs | None:
    """All runs, or None where they are too many to be kept."""
    kept = [np.empty((0, 4), np.int32)]
    count = 0
    for part in parts:
        count += len(part)
        if count > _KEPT_RUNS:
            return None
        kept.append(part)
    return np.concatenate(kept)


def head_sparsevol(call: Call, label: int, supervoxels: bool, scale: int, **bounds: Any) -> Reply:
    """Answer whether a label is anywhere within bounds."""
    box = _box({name: bounds[name] for name in bounds if name[:3] in ("min", "max")})
    with call.view() as view:
        if supervoxels:
            need_supervoxel(view, label)
        try:
            if box is not None and faults.are_wanted(call, view):
                there = faults.is_outside(view, label, box, supervoxel=supervoxels)
            else:
                there = len(_sought(view, label, scale, supervoxels, box).blocks_zyx) > 0
        except NotFound:
            there = False
    return Reply(status=200 if there else 204)


def get_coarse(call: Call, label: int, supervoxels: bool, needed: Needed = "nothing", **bounds: int | None) -> Reply:
    """Answer in which blocks a label is, unless it has none within the bounds and needs one."""
    with call.view() as view:
        sought = _sought(view, label, 0, supervoxels, _box(bounds))
    _check_there(needed == "nothing" or len(sought.blocks_zyx))
    return Reply(encode_rles(coarse_runs(sought)))


def get_coarse_range(call: Call, start: int, end: int) -> Reply:
    """Answer in which blocks each label of a range is."""
    if end < start:
        raise BadRequest(f"the last label {end} lies before the first one {start}")

    def volumes(view: View) -> Iterator[bytes]:
        need_index(view)
        for labels, _ in all_bodies(view, start, end):
            for found in labels.tolist():
                yield encode_labelled_rles(found, coarse_runs(seek(view, found)))

    return streamed(call, volumes)


# ---- routes -------------------------------------------------------------------------------------


def _bounds(what: str) -> tuple[Argument, ...]:
    edge = integer(MIN_COORDINATE, MAX_COORDINATE - 1)
    return tuple(
        Argument(
            f"{side}{axis}",
            f"{'First' if side == 'min' else 'Last'} {axis} of the {what} to answer.",
            edge,
            schema={"type": "integer"},
            default=None,
        )
        for axis in "xyz"
        for side in ("min", "max")
    )


_SPARSE = (
    Argument(
        "format",
        "rles: 12 bytes (0, 3, 0, 0, uint32 0, uint32 number of runs), then the runs; srles: the runs; blocks: masks of blocks.",
        choice("rles", "srles", "blocks"),
        default="rles",
    ),
    Argument("compression", "lz4 or gzip, of rles.", choice("", "lz4", "gzip"), default=""),
    SCALE,
    SUPERVOXELS,
    Argument("exact", "false: runs may reach out of the bounds, within blocks.", flag, default=True),
    *_bounds("voxels, at the scale,"),
)

ROUTES = (
    Route(
        "GET",
        "/sparsevol/{label}",
        get_sparsevol,
        "Answer where a body is: runs of voxels, each four int32: x, y, z of its first voxel, and its voxels along x. "
        "404 if none of its blocks lies within the bounds; 400 if what is asked for as a supervoxel is none any longer.",
        arguments=(LABEL,),
        options=_SPARSE,
        immutable=True,
    ),
    Route(
        "HEAD",
        "/sparsevol/{label}",
        head_sparsevol,
        "200 if a body is anywhere within bounds, which count as whole blocks; else 204; 400 if what is asked for as a supervoxel "
        "is none any longer.",
        arguments=(LABEL,),
        options=_SPARSE,
    ),
    Route(
        "GET",
        "/sparsevol-by-point/{coord}",
        get_sparsevol_by_point,
        "Answer where the body of a voxel is, as sparsevol does.",
        arguments=(Argument("coord", "The voxel: x_y_z.", xyz, example="10_20_30"),),
        options=_SPARSE,
        immutable=True,
    ),
    Route(
        "GET",
        "/sparsevol-coarse/{label}",
        get_coarse,
        "Answer in which blocks a body is: rles, with blocks for voxels.",
        arguments=(LABEL,),
        options=(SUPERVOXELS, *_bounds("voxels")),
        immutable=True,
    ),
    Route(
        "GET",
        "/sparsevols-coarse/{start}/{end}",
        get_coarse_range,
        "Answer in which blocks each body of a range of labels is: uint64 label, int32 number of runs, and the runs.",
        arguments=(
            Argument("start", "The first label.", label, example="1"),
            Argument("end", "The last label.", label, example="1000"),
        ),
    ),
)
