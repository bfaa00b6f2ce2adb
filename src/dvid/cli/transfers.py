"""`dvid fetch` and `dvid push-volume`: a volume named by one address, to a file and back, with the Python client."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

import typer

from dvid.cli.exporting import export_volume
from dvid.cli.importing import import_volume
from dvid.cli.options import Workers

_ADDRESS = re.compile(
    r"(?:dvid://)?(?P<server>(?:https?://)?[^/\s]+(?:/[^/\s]+)*?)(?:/api/node)?/(?P<node>[^/\s]+)/(?P<name>[^/\s]+)/?"
)
_FORM = "[http://]HOST[:PORT]/UUID/NAME"

Address = Annotated[
    str,
    typer.Argument(
        metavar="ADDRESS",
        help=f"Of a volume on a server: {_FORM}. UUID may be the beginning of one, or UUID:branch.",
    ),
]
Resume = Annotated[
    bool | None, typer.Option("--resume/--restart", help="Go on with an interrupted transfer, or begin anew.")
]


@dataclass(frozen=True, slots=True)
class _Place:
    server: str
    node: str
    name: str

    @classmethod
    def of(cls, address: str) -> _Place:
        """From the text of an address, also as Neuroglancer writes it (dvid://http://HOST/UUID/NAME).

        Raises:
            typer.BadParameter: it is none.
        """
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise typer.BadParameter(f"ADDRESS: {_FORM} was expected, not {address!r}")
        return cls(found["server"], found["node"], found["name"])


def fetch(
    address: Address,
    output: Annotated[
        str,
        typer.Argument(
            metavar="OUTPUT",
            help="A file .h5, .npy or .tif, a folder .zarr, slices: 'folder/*.png', or a folder with --format.",
        ),
    ],
    offset: Annotated[
        str | None, typer.Option(metavar="X,Y,Z", help="The first voxel. Default: all that was written.")
    ] = None,
    size: Annotated[str | None, typer.Option(metavar="X,Y,Z", help="Size in voxels; goes with --offset.")] = None,
    form: Annotated[
        str | None, typer.Option("--format", metavar="NAME", help="hdf5, zarr, npy, tiff, png, jpeg or precomputed.")
    ] = None,
    scale: Annotated[
        int,
        typer.Option(min=0, max=20, metavar="N", help="Of labels: a lower resolution, each half the one before it."),
    ] = 0,
    supervoxels: Annotated[
        bool, typer.Option("--supervoxels", help="Of labels: fetch supervoxels, not the bodies they belong to.")
    ] = False,
    resume: Resume = None,
    workers: Workers = 4,
) -> None:
    """Fetch a volume, or a box of it, from any server that speaks the DVID HTTP API. `dvid export` is the same for stores, too."""
    place = _Place.of(address)
    export_volume(
        output,
        name=place.name,
        node=place.node,
        offset=offset,
        size=size,
        form=form,
        scale=scale,
        supervoxels=supervoxels,
        resume=resume,
        workers=workers,
        server=place.server,
    )


def push_volume(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="An HDF5, TIFF, PNG, JPEG or .npy file, a folder of slices, of Zarr data or of a Neuroglancer precomputed "
            "volume, or a pattern like 'em/*.png'.",
        ),
    ],
    address: Address,
    offset: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,Z", help="Where the first voxel goes. Default: where a precomputed volume has it, else 0,0,0."
        ),
    ] = None,
    typename: Annotated[
        str | None,
        typer.Option(
            "--type", metavar="TYPE", help="Of a new volume, such as labelmap. Default: the one for the voxels."
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which dataset of a file or group that holds several.")
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(metavar="LETTERS", help="Axes of the stored array, like zyxc, if the file does not say."),
    ] = None,
    resume: Resume = None,
    workers: Workers = 4,
) -> None:
    """Write a file into a volume on any server that speaks the DVID HTTP API; the volume is made if it is not there.

    `dvid import` has more options, and works on stores, too.
    """
    place = _Place.of(address)
    import_volume(
        source,
        name=place.name,
        node=place.node,
        offset=offset,
        typename=typename,
        dataset=dataset,
        axes=axes,
        resume=resume,
        workers=workers,
        server=place.server,
    )
