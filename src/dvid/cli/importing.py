"""`dvid import`: bring a volume of another format into an instance."""

from __future__ import annotations

import os
import shlex
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from dvid.cli.destination import check_fits, check_new, make_volume, region_of, removed_if_empty, settings_for
from dvid.cli.import_journal import open_journal
from dvid.cli.opening import open_target
from dvid.cli.options import (
    Axes,
    Data,
    Dataset,
    NewType,
    Place,
    Resume,
    Server,
    Source,
    Workers,
    three_integers,
    three_positive,
)
from dvid.cli.target import OpenLabels, OpenVolume, Target
from dvid.errors import BadRequest
from dvid.geometry import Box, Xyz

if TYPE_CHECKING:
    from dvid.interop import ProgressJournal, VolumeSource
    from dvid.labels.tables import Labels

NOTE_SECONDS = 1.0
"""How often what is done is noted."""


def import_volume(
    source: Source,
    name: Annotated[str, typer.Option(metavar="NAME", help="The instance to write to; it is made if it is not there.")],
    node: Annotated[str | None, typer.Option(metavar="UUID", help="The node to write to.")] = None,
    repo: Annotated[
        str | None, typer.Option(metavar="UUID", help="Of a repo: write to the leaf of its master branch.")
    ] = None,
    new_repo: Annotated[str | None, typer.Option(metavar="ALIAS", help="Make a repo and write to its root.")] = None,
    offset: Place = None,
    typename: NewType = None,
    block_size: Annotated[
        str | None,
        typer.Option(metavar="X,Y,Z", help="Of a new instance; one number for a cube. Default: 32, of labels 64."),
    ] = None,
    scales: Annotated[
        int | None,
        typer.Option(
            min=0, max=20, metavar="N", help="Lower resolutions of a new labelmap. Default: until 512 voxels hold it."
        ),
    ] = None,
    mapping: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Of labels: merge supervoxels to bodies, by rows of supervoxel and body in a CSV, .npy or HDF5 file.",
        ),
    ] = None,
    mapping_dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which dataset of an HDF5 file has the mapping.")
    ] = None,
    dataset: Dataset = None,
    axes: Axes = None,
    resume: Resume = None,
    workers: Workers = 2,
    server: Server = None,
    data: Data = None,
) -> None:
    """Import a volume of images or labels. An import that was interrupted goes on with --resume.

    The voxels may go anywhere: where they fill a block in part, the rest of it stays as it is.
    The voxel size of the source becomes that of a new instance.

    Labels become supervoxels of a labelmap with --type labelmap, with --mapping, or if a precomputed volume says that it is
    a segmentation. A mapping is brought about by merges: index, bodies and history follow. Supervoxels that it does not
    name are bodies of their own. One that contradicts itself is refused before anything is made.

    Labels are from 0 to 2^64 - 2. Signed ones are looked at as they are read: where there is a negative one before anything
    was written, a new instance is removed again.
    """
    from dvid.cli.output import in_xyz, say
    from dvid.interop import open_source
    from dvid.interop.mappings import read_mapping

    if sum(given is not None for given in (node, repo, new_repo)) != 1:
        raise typer.BadParameter("one of --node, --repo and --new-repo says where the volume goes")
    if new_repo is not None and resume:
        raise typer.BadParameter("an import that is resumed has its repo: name the node with --node")
    start_xyz = three_integers(offset, "--offset") if offset is not None else None
    block_xyz = three_positive(block_size, "--block-size") if block_size is not None else None
    with open_source(source, dataset, axes=axes) as opened:
        # What the files alone tell is refused here, before a store, a repo or an instance is made.
        region = region_of(opened, start_xyz)
        table = read_mapping(mapping, mapping_dataset) if mapping is not None else None
        if table is not None:
            check_mapping(*table)
        mapped = table is not None
        settings = settings_for(opened, typename or ("labelmap" if mapped else None), block_xyz, scales)
        if new_repo is not None:
            check_new(opened, name, settings, region, mapped=mapped)
        with open_target(server, data, create=new_repo is not None) as target, ExitStack() as undo:
            if new_repo is not None:
                uuid = target.make_repo(new_repo, f"Imported from {os.path.basename(os.path.abspath(source))}", "")
                say(f"made the repo {new_repo!r}: {uuid}")
            else:
                uuid = target.node(node if node is not None else f"{repo}:master")
            if not target.has_instance(uuid, name):
                check_new(opened, name, settings, region, mapped=mapped)
                make_volume(target, uuid, name, settings)
                undo.enter_context(removed_if_empty(target, uuid, name))
            volume = target.volume(uuid, name)
            check_fits(opened, volume, region, mapped=mapped)
            again = ["dvid", "import", source, "--node", uuid, "--name", name]
            for option, value in (
                ("--offset", offset),
                ("--dataset", dataset),
                ("--axes", axes),
                ("--mapping", mapping),
                ("--mapping-dataset", mapping_dataset),
            ):
                again += [option, value] if value is not None else []
            command = f"{shlex.join(map(str, again))} {target.option} --resume"
            with open_journal(opened, dataset, uuid, volume, region, resume, command) as journal:
                try:
                    copy_into(opened, volume, region, workers, journal)
                    if table is not None:
                        agglomerate(target.labels(uuid, name), *table)
                except KeyboardInterrupt:
                    say(f"interrupted. Go on with: {command}")
                    raise
                except Exception:
                    if journal.finished:
                        say(f"failed. Go on with (--restart in place of --resume if the source changes): {command}")
                    else:
                        journal.remove()
                    raise
                journal.remove()
            say(f"imported {in_xyz(region)} (x, y, z) into {name!r} at node {uuid}")


def new_volume(
    target: Target, uuid: str, name: str, source: VolumeSource, typename: str | None = None, workers: int = 2
) -> None:
    """Make an instance for a source and write all of it there, from voxel 0,0,0 on."""
    region, settings = region_of(source, (0, 0, 0)), settings_for(source, typename)
    check_new(source, name, settings, region)
    make_volume(target, uuid, name, settings)
    copy_into(source, target.volume(uuid, name), region, workers)


def check_mapping(supervoxels: Labels, bodies: Labels) -> None:
    """Refuse a mapping that no segmentation could have.

    Raises:
        BadRequest: it has a supervoxel in two bodies, a body with the number of a supervoxel of another one, or numbers that
            are no labels.
    """
    import numpy as np

    from dvid.labels.agglomeration import plan

    plan(supervoxels, bodies, np.zeros_like, np.zeros_like)  # for a segmentation without any supervoxel


def agglomerate(labels: OpenLabels, supervoxels: Labels, bodies: Labels) -> None:
    """Merge bodies so that each supervoxel belongs to the body beside it. What is done already is not done again."""
    from dvid.cli.output import progress_bar, say

    todo = labels.plan(supervoxels, bodies)
    if todo.absent:
        say(f"{todo.absent} supervoxels of the mapping are not in {labels.info.name!r}: they are left out")
    with progress_bar("merging", len(todo), unit="bodies") as advance:
        for part in todo.batches():
            labels.regroup(todo, part)
            advance(part.stop - part.start)
    say(f"merged supervoxels to {len(todo)} bodies by the mapping")


def load_slices(target: Target, uuid: str, name: str, offset_xyz: Xyz, names: list[str], workers: int) -> None:
    """Write slices, one file for each z, into an instance that is there. Names may be patterns."""
    from dvid.cli.output import in_xyz, say
    from dvid.interop.stacks import StackSource, find_files

    files = find_files(names)
    with StackSource(f"the {len(files)} slices from {files[0]}", files) as source:
        region = region_of(source, offset_xyz)
        volume = target.volume(uuid, name)
        check_fits(source, volume, region)
        copy_into(source, volume, region, workers)
    say(f"loaded {in_xyz(region)} (x, y, z) into {name!r} at node {uuid}")


def copy_into(
    source: VolumeSource, volume: OpenVolume, region: Box, workers: int, journal: ProgressJournal | None = None
) -> None:
    """Write a source into a region of a volume, but for the boxes that a journal has already."""
    import time

    from dvid.cli.boxes import boxes_of, choose_step, work_through
    from dvid.cli.output import progress_bar

    info = volume.info
    step = choose_step(info.block_zyx, source.preferred_chunk_zyx, region.shape_zyx, info.voxel_bytes)
    finished = set() if journal is None else journal.finished
    before = sum(Box.at(*box).voxels for box in finished) * info.voxel_bytes
    pending: list[Any] = []
    noted = float("-inf")  # the first box is noted at once

    def copy(box: Box) -> None:
        start = tuple(a - b for a, b in zip(box.start_zyx, region.start_zyx, strict=True))
        voxels = source.read((start[0], start[1], start[2]), box.shape_zyx)
        if info.is_labels and voxels.dtype.kind == "i" and int(voxels.min()) < 0:
            raise BadRequest(f"{source.name} has the label {voxels.min()}: labels are numbers from 0 on")
        volume.write(box, voxels.astype(info.dtype, copy=False))

    def note() -> None:
        nonlocal noted
        if journal is not None and pending:
            journal.record_many(pending)
            pending.clear()
        noted = time.monotonic()

    with progress_bar(
        f"importing {os.path.basename(source.name)}", region.voxels * info.voxel_bytes, before
    ) as advance:

        def done(boxes: list[Box]) -> None:
            pending.extend((box.start_zyx, box.shape_zyx) for box in boxes)
            advance(sum(box.voxels for box in boxes) * info.voxel_bytes)
            if time.monotonic() - noted > NOTE_SECONDS:
                note()

        todo = (box for box in boxes_of(region, info.block_zyx, step) if (box.start_zyx, box.shape_zyx) not in finished)
        try:
            work_through(todo, copy, done, workers)
        finally:
            note()
        if info.is_labels:
            cast("OpenLabels", volume).wrote(region)
