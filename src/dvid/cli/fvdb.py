"""`dvid node UUID NAME fvdb`: a body as a grid of its voxels, and what an image has there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from dvid.cli.labels import INSTANCE, File, write_new
from dvid.cli.opening import open_target
from dvid.cli.options import Data, Server
from dvid.cli.target import OpenLabels, OpenVolume
from dvid.errors import BadRequest, Conflict
from dvid.geometry import Box

if TYPE_CHECKING:
    from dvid.codecs.nanovdb import OnIndexGrid

MOST_LEAVES = 1 << 26
"""Cubes of 8 x 8 x 8 voxels of an exported body, at 76 bytes each."""

_KEY = "grayscale"


def fvdb(
    context: typer.Context,
    label: Annotated[int, typer.Argument(metavar="LABEL", help="The body.")],
    file: File,
    grayscale: Annotated[
        str | None,
        typer.Argument(
            metavar="[grayscale=IMAGE]",
            help="A uint8blk volume of the same repo, whose values go to a second file: that of FILE without its ending, "
            "with -IMAGE.bin.",
        ),
    ] = None,
    server: Server = None,
    data: Data = None,
) -> None:
    """Write the voxels of a body of NAME to a NanoVDB file, an OnIndex grid, which fVDB and others load.

    The values of an image are bytes, one for each voxel of the body, in the order in which the grid numbers them: first that of
    voxel 1. Where the image was not written they are 0.
    """
    from dvid.cli.output import say

    image = _image_name(grayscale)
    beside = None if image is None else f"{os.path.splitext(file)[0]}-{image}.bin"
    for path in (file, beside):
        if path is not None and os.path.lexists(path):
            raise Conflict(f"{path} exists already: choose another path, or remove it")
    with open_target(server, data, read_only=True) as target:
        uuid = target.node(context.obj)
        gray = None if image is None else target.volume(uuid, image)
        if gray is not None and (gray.info.dtype.name != "uint8" or gray.info.channels != 1):
            raise BadRequest(
                f"{image!r} holds {gray.info.channels} channel(s) of {gray.info.dtype}; an image of uint8 was expected"
            )
        grid = _grid_of(target.labels(uuid, context.meta[INSTANCE]), label)
        write_new(file, ((piece, 0) for piece in grid.pieces()))
        if gray is not None and beside is not None:
            try:
                write_new(beside, _values(grid, gray))
            except BaseException:
                os.unlink(file)
                raise
    say(f"wrote {grid.voxels} voxels of body {label} to {file}" + (f", their values to {beside}" if beside else ""))


def _image_name(text: str | None) -> str | None:
    if text is None:
        return None
    key, _, name = text.partition("=")
    if key != _KEY or not name:
        raise typer.BadParameter(f"{_KEY}=IMAGE was expected, not {text!r}")
    return name


def _grid_of(labels: OpenLabels, label: int) -> OnIndexGrid:
    from dvid.codecs.nanovdb import OnIndexGrid, leaves_of_runs

    parts, left = [], MOST_LEAVES
    for runs in labels.runs(label):
        parts.append(leaves_of_runs(runs, left))
        left -= len(parts[-1].masks)
    return OnIndexGrid(parts, f"label_{label}", labels.info.voxel_size_zyx[::-1])


def _values(grid: OnIndexGrid, gray: OpenVolume) -> Iterator[tuple[memoryview, int]]:
    """The values of an image at the voxels of a grid, and how many, cube by cube."""
    from dvid.cli.output import progress_bar
    from dvid.codecs.nanovdb import values_at
    from dvid.kernels.nanovdb import LEAF_SIDE

    with progress_bar(f"reading {gray.info.name}", grid.voxels) as advance:
        for leaves in grid.cubes():
            low_xyz, last_xyz = leaves.origins_xyz.min(0).tolist(), leaves.origins_xyz.max(0).tolist()
            shape = [last - low + LEAF_SIDE for low, last in zip(low_xyz, last_xyz, strict=True)]
            box = Box.at((low_xyz[2], low_xyz[1], low_xyz[0]), (shape[2], shape[1], shape[0]))
            found = values_at(leaves, box.start_zyx, gray.read(box))
            yield found.data, len(found)
            advance(len(found))
