"""Requests for the shapes of labels: as a grid for programs that work on them, and how near they come to each other."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from dvid.codecs.nanovdb import MAX_NAME_BYTES, Leaves, OnIndexGrid, leaves_of_runs
from dvid.datatypes.labelmap.arguments import LABEL, SUPERVOXELS, need_index
from dvid.datatypes.labelmap.arguments import label as parse_label
from dvid.datatypes.labelmap.volumes import SCALE, check_scale
from dvid.errors import BadRequest, NotFound, TooLarge
from dvid.labels.proximity import Near, stream_proximity
from dvid.labels.sparse import seek, stream_runs
from dvid.routes import JSON, OCTETS, Argument, Call, Reply, Route
from dvid.versions.view import View

MOST_LABELS = 100
"""Labels that one `proximity` compares, the target included."""

MOST_LEAVES = 1 << 21
"""Cubes of 8 x 8 x 8 voxels in one grid: they are put in order in memory, with up to 640 bytes each."""

_LEAF_BYTES = 96
_encode = msgspec.json.Encoder().encode


# ---- fvdb ---------------------------------------------------------------------------------------


def get_fvdb(call: Call, label: int, supervoxels: bool, scale: int, name: str) -> Reply:
    """Answer where a label is, as a NanoVDB file."""
    with call.view() as view:
        need_index(view)
        check_scale(view, scale)
        parts = _leaves(view, label, scale, call.limits.answer_bytes, supervoxel=supervoxels)
        size_xyz = [float(edge) * (1 << scale) for edge in view.instance.settings["VoxelSize"]]
    grid = OnIndexGrid(parts, name or f"label_{label}", size_xyz)
    headers = {"Content-Disposition": f'attachment; filename="label_{label}.nvdb"'}
    return Reply(grid.pieces(), OCTETS, headers=headers, length=grid.size)


def _leaves(view: View, label: int, scale: int, most_bytes: int, *, supervoxel: bool) -> list[Leaves]:
    most = min(most_bytes // _LEAF_BYTES, MOST_LEAVES)
    parts, left = [], most
    for runs in stream_runs(view, seek(view, label, scale, supervoxel=supervoxel)):
        try:
            part = leaves_of_runs(runs, left)
        except TooLarge:
            raise TooLarge(
                f"the voxels of label {label} are in more than {most} cubes of 8 x 8 x 8, the most that one grid may have "
                "(limits.answerBytes has a part in it): ask for a lower resolution (scale)"
            ) from None
        left -= len(part.masks)
        parts.append(part)
    if not parts:
        raise NotFound(f"label {label} has no voxels at scale {scale}")
    return parts


def _name(text: str) -> str:
    encoded = text.encode()
    if len(encoded) > MAX_NAME_BYTES or b"\0" in encoded:
        raise BadRequest(f"at most {MAX_NAME_BYTES} bytes, none of them 0, were expected, not {text[:40]!r}")
    return text


# ---- proximity ----------------------------------------------------------------------------------


def get_proximity(call: Call, labels: list[int], other: int | None, scale: int, supervoxels: bool) -> Reply:
    """Answer how near labels come to the first of them, in each block."""
    target, *others = [*labels, *([] if other is None else [other])]
    if not others or len(others) >= MOST_LABELS:
        raise BadRequest(f"labels: 2 to {MOST_LABELS} labels were expected, not {len(others) + 1}")
    if len({target, *others}) <= len(others):
        raise BadRequest("labels: different labels were expected, and one comes twice")
    return Reply(_proximity(call, target, others, scale, supervoxels), JSON)


def _proximity(call: Call, target: int, others: list[int], scale: int, supervoxels: bool) -> Iterator[bytes]:
    with call.view() as view:
        need_index(view)
        check_scale(view, scale)
        separator = b"["
        for some in stream_proximity(view, target, others, scale, supervoxels=supervoxels):
            if some:
                yield separator + _encode([_told(near, named=len(others) > 1) for near in some])[1:-1]
                separator = b","
            else:
                yield b""  # so that the time that a request may take is looked at
        yield b"]" if separator == b"," else b"[]"


def _told(near: Near, *, named: bool) -> dict[str, object]:
    label = {"Label": near.label} if named else {}
    return {"Block": near.block_zyx[::-1], **label, "Distance": near.distance}


def _labels(text: str) -> list[int]:
    if text.count(",") >= MOST_LABELS:
        raise BadRequest(f"at most {MOST_LABELS} labels were expected, not {text.count(',') + 1}")
    return [parse_label(part) for part in text.split(",")]


# ---- routes -------------------------------------------------------------------------------------

ROUTES = (
    Route(
        "GET",
        "/fvdb/{label}",
        get_fvdb,
        "Answer where a body is, as a NanoVDB file (.nvdb) for fVDB and other programs: an OnIndex grid, which numbers its "
        "active voxels from 1 and has no values. Voxels have the size that the instance says, times two for each scale. 404 if "
        "there is no such body, or it has no voxels at the scale. "
        f"413 if its voxels are in more than {MOST_LEAVES:,} cubes of 8 x 8 x 8.",
        arguments=(LABEL,),
        options=(
            SUPERVOXELS,
            SCALE,
            Argument(
                "name",
                f"Name of the grid, of at most {MAX_NAME_BYTES} bytes; label_ and the label if not given.",
                _name,
                default="",
            ),
        ),
        immutable=True,
        throttled=True,
    ),
    Route(
        "GET",
        "/proximity/{labels}[/{other}]",
        get_proximity,
        "Answer how near bodies come to the first of them, in each block that both are in: the least Euclidean distance "
        'between voxels of the one and the other in that block, in voxels. A JSON list like [{"Block": [1, 2, 3], "Label": 7, '
        '"Distance": 2.5}]: blocks in order of z, y, x, and in each the labels as they were given; without Label if only two '
        "bodies were given. Two that touch across a face of blocks only are not near there. 404 if one of the bodies does not "
        "exist.",
        arguments=(
            Argument(
                "labels",
                f"The body from which distances are measured, and up to {MOST_LABELS - 1} others, with commas between.",
                _labels,
                example="12,34,56",
            ),
            Argument("other", "One more of the others.", parse_label, default=None, example="78"),
        ),
        options=(SCALE, SUPERVOXELS),
        answers=JSON,
        immutable=True,
        throttled=True,
    ),
)
