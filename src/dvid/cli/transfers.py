"""`dvid fetch` and `dvid push-volume`: a volume named by one address, to a file and back, with the Python client."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

import typer

from dvid.cli.exporting import export_volume
from dvid.cli.importing import import_volume
from dvid.cli.options import (
    Axes,
    Dataset,
    First,
    Format,
    NewType,
    Output,
    Place,
    Resume,
    Scale,
    Size,
    Source,
    Supervoxels,
    Workers,
)

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


@dataclass(frozen=True, slots=True)
class _Volume:
    """Which volume on which server."""

    server: str
    node: str
    name: str

    @classmethod
    def of(cls, address: str) -> _Volume:
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
    output: Output,
    offset: First = None,
    size: Size = None,
    form: Format = None,
    scale: Scale = 0,
    supervoxels: Supervoxels = False,
    resume: Resume = None,
    workers: Workers = 4,
) -> None:
    """Fetch a volume, or a box of it, from any server that speaks the DVID HTTP API. `dvid export` is the same for stores, too."""
    volume = _Volume.of(address)
    export_volume(
        output,
        name=volume.name,
        node=volume.node,
        offset=offset,
        size=size,
        form=form,
        scale=scale,
        supervoxels=supervoxels,
        resume=resume,
        workers=workers,
        server=volume.server,
    )


def push_volume(
    source: Source,
    address: Address,
    offset: Place = None,
    typename: NewType = None,
    dataset: Dataset = None,
    axes: Axes = None,
    resume: Resume = None,
    workers: Workers = 4,
) -> None:
    """Write a file into a volume on any server that speaks the DVID HTTP API; the volume is made if it is not there.

    `dvid import` has more options, and works on stores, too.
    """
    volume = _Volume.of(address)
    import_volume(
        source,
        name=volume.name,
        node=volume.node,
        offset=offset,
        typename=typename,
        dataset=dataset,
        axes=axes,
        resume=resume,
        workers=workers,
        server=volume.server,
    )
