"""`dvid sample`: write a made-up volume to try things with."""

from __future__ import annotations

from typing import Annotated

import typer

from dvid.cli.options import three_positive


def sample(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A file .h5, .npy or .tif, a folder .zarr, or 'folder/*.png'.")
    ],
    size: Annotated[str, typer.Option(metavar="N or X,Y,Z", help="Size in voxels; one number for a cube.")] = "256",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Another number gives another piece of brain.")] = 0,
    segmentation: Annotated[
        str | None, typer.Option(metavar="PATH", help="Write the neurites' labels there too (uint64).")
    ] = None,
    mapping: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="Cut the neurites into supervoxels, and write to this CSV file what they belong to."
        ),
    ] = None,
) -> None:
    """Write a made-up electron-microscopy volume: neurites, membranes, organelles, texture.

    The same size and seed give the same voxels.
    """
    from dvid.cli.output import progress_bar, say
    from dvid.interop.sample import write_sample

    x, y, z = three_positive(size, "--size")
    if mapping is not None and segmentation is None:
        raise typer.BadParameter("--mapping goes with --segmentation: it tells what its supervoxels belong to")
    drawn = 0
    with progress_bar("drawing", z, unit="planes") as advance:

        def progress(planes: int) -> None:
            nonlocal drawn
            advance(planes - drawn)
            drawn = planes

        write_sample(path, (z, y, x), seed, segmentation_path=segmentation, mapping_path=mapping, progress=progress)
    say(f"wrote {x} x {y} x {z} voxels (x, y, z) to {path}")
