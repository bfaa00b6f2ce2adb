"""Regions of interest: sets of blocks, kept as spans along x."""

from __future__ import annotations

from typing import Any

from dvid.datatypes.base import Datatype, Options
from dvid.datatypes.roi.operations import extended
from dvid.datatypes.roi.routes import DEFAULT_BLOCK_SIZE, ROUTES
from dvid.datatypes.voxels import GRID_ABOUT, block_size_setting


def _configure(options: Options) -> dict[str, Any]:
    return {"BlockSize": block_size_setting(options, DEFAULT_BLOCK_SIZE)}


DATATYPES = (
    Datatype(
        name="roi",
        about="A region of interest: any set of blocks of voxels, given as runs of blocks along x. Masks, point "
        "queries and the roi option of images tell what lies in it.",
        configure=_configure,
        settings_about={"BlockSize": f"{GRID_ABOUT['BlockSize']} {DEFAULT_BLOCK_SIZE} each if not given."},
        extended=extended,
        routes=ROUTES,
        version="0.1",
    ),
)
