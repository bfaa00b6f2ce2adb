"""`dvid export`: write a volume in another format."""

from __future__ import annotations

import os
import shlex
import shutil
from typing import TYPE_CHECKING, Annotated

import typer

from dvid.cli.opening import open_target
from dvid.cli.options import (
    Data,
    First,
    Format,
    Output,
    Resume,
    Scale,
    Server,
    Size,
    Supervoxels,
    Workers,
    three_integers,
    three_positive,
)
from dvid.cli.target import OpenVolume
from dvid.errors import BadRequest, Conflict
from dvid.geometry import Box, Xyz, Zyx, reverse3

if TYPE_CHECKING:
    from dvid.interop import VolumeSink

CHUNK_ZYX = (64, 64, 64)


def export_volume(
    output: Output,
    name: Annotated[str, typer.Option(metavar="NAME", help="The instance to export.")],
    node: Annotated[str | None, typer.Option(metavar="UUID", help="The node to export.")] = None,
    repo: Annotated[
        str | None, typer.Option(metavar="UUID", help="Of a repo: export the leaf of its master branch.")
    ] = None,
    offset: First = None,
    size: Size = None,
    form: Format = None,
    chunk: Annotated[
        str | None,
        typer.Option(metavar="X,Y,Z", help="Chunks of HDF5, Zarr and precomputed; one number for a cube. Default: 64."),
    ] = None,
    scale: Scale = 0,
    supervoxels: Supervoxels = False,
    resume: Resume = None,
    workers: Workers = 2,
    server: Server = None,
    data: Data = None,
) -> None:
    """Export a volume, or a box of it. An export that was interrupted goes on with --resume.

    With --scale, --offset and --size count voxels of that resolution.
    """
    from dvid.cli.output import in_xyz, say
    from dvid.interop import create_sink

    if (node is None) == (repo is None):
        raise typer.BadParameter("one of --node and --repo says what to export")
    if (offset is None) != (size is None):
        raise typer.BadParameter("--offset and --size go together")
    chunk_zyx: Zyx = reverse3(three_positive(chunk, "--chunk")) if chunk is not None else CHUNK_ZYX
    start_xyz = three_integers(offset, "--offset") if offset is not None else None
    size_xyz = three_positive(size, "--size") if size is not None else None
    with open_target(server, data, read_only=True) as target:
        uuid = target.node(node if node is not None else f"{repo}:master")
        volume: OpenVolume = (
            target.labels(uuid, name).at(scale, supervoxels=supervoxels)
            if scale or supervoxels
            else target.volume(uuid, name)
        )
        region = _region(volume, start_xyz, size_xyz)
        again = ["dvid", "export", output, "--node", uuid, "--name", name]
        for option, value in (("--offset", offset), ("--size", size), ("--format", form), ("--chunk", chunk)):
            again += [option, value] if value is not None else []
        again += ["--scale", str(scale)] if scale else []
        again += ["--supervoxels"] if supervoxels else []
        command = f"{shlex.join(again)} {target.option} --resume"
        if resume is False:
            _remove_unfinished(output)
        sink = create_sink(
            output,
            shape_zyx=region.shape_zyx,
            dtype=volume.info.dtype,
            chunk_zyx=chunk_zyx,
            voxel_size_zyx=volume.info.voxel_size_zyx if volume.info.units else None,
            units=volume.info.units,
            channels=volume.info.channels,
            start_zyx=region.start_zyx,
            format=form,
            resume=bool(resume),
            work={
                "node": uuid,
                "instance": volume.info.data_uuid,
                "start_zyx": repr(region.start_zyx),
                **({"scale": scale, "supervoxels": int(supervoxels)} if volume.info.is_labels else {}),
            },
        )
        with sink:
            try:
                _copy_out(volume, region, sink, workers)
            except KeyboardInterrupt:
                say(f"interrupted. Go on with: {command}")
                raise
        say(f"exported {in_xyz(region)} (x, y, z) of {name!r} at node {uuid} to {output}")


def _region(volume: OpenVolume, start_xyz: Xyz | None, size_xyz: Xyz | None) -> Box:
    if start_xyz is not None and size_xyz is not None:
        return Box.at(reverse3(start_xyz), reverse3(size_xyz))
    if volume.info.extents is None:
        raise BadRequest(f"{volume.info.name!r} is empty: give --offset and --size to export it all the same")
    return volume.info.extents


def _copy_out(volume: OpenVolume, region: Box, sink: VolumeSink, workers: int) -> None:
    from dvid.cli.boxes import boxes_of, choose_step, work_through
    from dvid.cli.output import progress_bar

    voxel_bytes = volume.info.voxel_bytes
    # The parts of the output lie on a grid through its own first voxel.
    whole = Box.at((0, 0, 0), region.shape_zyx)
    step = choose_step(sink.part_zyx, volume.info.block_zyx, whole.shape_zyx, voxel_bytes)
    todo = [box for box in boxes_of(whole, sink.part_zyx, step) if not sink.is_completed(box.start_zyx, box.shape_zyx)]
    before = (whole.voxels - sum(box.voxels for box in todo)) * voxel_bytes

    def copy(box: Box) -> None:
        start = tuple(a + b for a, b in zip(box.start_zyx, region.start_zyx, strict=True))
        voxels = volume.read(Box.at((start[0], start[1], start[2]), box.shape_zyx))
        sink.write(box.start_zyx, voxels.astype(sink.plan.dtype, copy=False))

    with progress_bar(f"exporting {volume.info.name}", whole.voxels * voxel_bytes, before) as advance:
        work_through(todo, copy, lambda boxes: advance(sum(box.voxels for box in boxes) * voxel_bytes), workers)


def _remove_unfinished(output: str) -> None:
    """Remove the output of an export that was interrupted; what is finished stays."""
    from dvid.interop.precomputed import remove_precomputed
    from dvid.interop.sinks import progress_path
    from dvid.interop.stacks import KINDS, remove_slices
    from dvid.interop.zarr import remove_zarr

    folder, last = os.path.split(output.rstrip("/"))
    path = folder if last.startswith("*") else output.rstrip("/")
    progress = progress_path(path)
    if not os.path.exists(progress):
        return
    if os.path.isdir(path):
        remove_zarr(path)
        remove_precomputed(path)
        for kind in sorted(set(KINDS.values())):
            if os.path.isdir(path):
                remove_slices(path, kind)
        if os.path.isdir(path) and os.listdir(path):
            raise Conflict(f"{path} holds more than an unfinished export: remove it yourself")
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.isfile(path):
        os.unlink(path)
    os.unlink(progress)
