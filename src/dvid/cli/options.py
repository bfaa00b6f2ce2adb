"""Options and arguments that several commands take, and how their texts are read."""

from __future__ import annotations

from typing import Annotated

import typer

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="The server to ask. Default: the variable DVID_SERVER, else http://127.0.0.1:8000.",
    ),
]
Data = Annotated[
    str | None,
    typer.Option("--data", metavar="DIR", help="Work on the store in this folder itself instead of asking a server."),
]
StoreFolder = Annotated[
    str | None,
    typer.Option("--data", metavar="DIR", help="The folder of the store. Default: the one that 'dvid serve' uses."),
]
Settings = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help="The settings of the server, where it has more than one store."),
]
Passcode = Annotated[str, typer.Option(metavar="TEXT", help="The passcode that guards the repo, if it has one.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask whether you mean it.")]
Workers = Annotated[int, typer.Option(min=1, max=64, metavar="N", help="How many boxes to work on at the same time.")]
Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="An HDF5, TIFF, PNG, JPEG or .npy file, a folder of slices, of Zarr data or of a Neuroglancer precomputed "
        "volume, or a pattern like 'em/*.png'.",
    ),
]
Output = Annotated[
    str,
    typer.Argument(
        metavar="OUTPUT",
        help="A file .h5, .npy or .tif, a folder .zarr, slices: 'folder/*.png', or a folder with --format.",
    ),
]
Place = Annotated[
    str | None,
    typer.Option(
        metavar="X,Y,Z", help="Where the first voxel goes. Default: where a precomputed volume has it, else 0,0,0."
    ),
]
First = Annotated[str | None, typer.Option(metavar="X,Y,Z", help="The first voxel. Default: all that was written.")]
Size = Annotated[str | None, typer.Option(metavar="X,Y,Z", help="Size in voxels; goes with --offset.")]
Format = Annotated[
    str | None, typer.Option("--format", metavar="NAME", help="hdf5, zarr, npy, tiff, png, jpeg or precomputed.")
]
Scale = Annotated[
    int, typer.Option(min=0, max=20, metavar="N", help="Of labels: a lower resolution, each half the one before it.")
]
Supervoxels = Annotated[
    bool, typer.Option("--supervoxels", help="Of labels: supervoxels, not the bodies they belong to.")
]
NewType = Annotated[
    str | None,
    typer.Option(
        "--type", metavar="TYPE", help="Of a new instance, such as labelmap. Default: the one for the voxels."
    ),
]
Dataset = Annotated[
    str | None, typer.Option(metavar="NAME", help="Which dataset of a file or group that holds several.")
]
Axes = Annotated[
    str | None, typer.Option(metavar="LETTERS", help="Axes of the stored array, like zyxc, if the file does not say.")
]
Resume = Annotated[
    bool | None, typer.Option("--resume/--restart", help="Go on where it was interrupted, or begin anew.")
]
NewOptions = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Settings, such as BlockSize=64,64,64 VoxelSize=8,8,8 versioned=false; 'GET /api/help/TYPE' of a server "
        "lists those of a type.",
    ),
]


def three_integers(text: str, name: str) -> tuple[int, int, int]:
    """Numbers from "x,y,z".

    Raises:
        typer.BadParameter: the text is something else.
    """
    try:
        x, y, z = (int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{name}: three whole numbers x,y,z were expected, not {text!r}") from None
    return x, y, z


def three_positive(text: str, name: str) -> tuple[int, int, int]:
    """Numbers above 0 from "x,y,z", or from one number for all three."""
    found = three_integers(text if "," in text else ",".join([text] * 3), name)
    if min(found) < 1:
        raise typer.BadParameter(f"{name}: numbers above 0 were expected, not {text!r}")
    return found


def key_values(pairs: list[str] | None) -> dict[str, str]:
    """Settings from "key=value" texts.

    Raises:
        typer.BadParameter: one of them is something else, or two have one key.
    """
    found: dict[str, str] = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"KEY=VALUE was expected, not {pair!r}")
        if key in found:
            raise typer.BadParameter(f"{key} is given twice")
        found[key] = value
    return found


def make_sure(question: str, yes: bool) -> None:
    """Ask before something is removed for good.

    Raises:
        typer.BadParameter: nobody is there to be asked, and --yes is not given.
        typer.Abort: the answer is no.
    """
    import sys

    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("this removes data for good: add --yes")
    typer.confirm(question, abort=True, err=True)
