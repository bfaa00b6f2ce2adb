"""Sparse volumes of the labels of a labelblk, and their merges and splits. See `dvid.datatypes.labelvol.partner`."""

from typing import Any

from dvid.datatypes.base import Datatype, Options
from dvid.datatypes.labelblk.settings import check_block_size, setting_routes
from dvid.datatypes.labelvol.partner import partner_names
from dvid.datatypes.labelvol.routes import ROUTES
from dvid.datatypes.voxels import GRID_ABOUT, grid_settings
from dvid.errors import StoreAbsent
from dvid.labels.numbering import largest_label
from dvid.versions.view import View


def configure(options: Options) -> dict[str, Any]:
    """The settings of a new instance."""
    settings = grid_settings(options, block_size=32)
    check_block_size(settings)
    return settings


def extended(view: View) -> dict[str, Any]:
    """The "Extended" part of an instance's info."""
    return {**{name: view.instance.settings[name] for name in GRID_ABOUT}, "MaxLabel": _largest(view)}


def _largest(view: View) -> dict[str, int]:
    try:
        names = partner_names(view)
        largest = largest_label(view.sibling(names[0])) if len(names) == 1 else None
    except StoreAbsent:
        largest = None
    return {} if largest is None else {str(view.node.version): largest}


DATATYPES = (
    Datatype(
        name="labelvol",
        about="Sparse volumes of the labels of a labelblk that it is synced with; labels can be merged and split here.",
        configure=configure,
        settings_about=GRID_ABOUT,
        extended=extended,
        routes=(*ROUTES, *setting_routes(configure, ("VoxelSize", "VoxelUnits"))),
        version="0.1",
    ),
)
