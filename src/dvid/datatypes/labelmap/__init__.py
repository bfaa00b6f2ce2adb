"""Segmentations: volumes of supervoxels, and bodies made of them that people merge, cleave and split."""

from dvid.datatypes.base import Datatype
from dvid.datatypes.descriptions import DESCRIPTION_ROUTES
from dvid.datatypes.labelmap import (
    blocks,
    bodies,
    editing,
    history,
    indices,
    mappings,
    numbers,
    sparse,
    splitting,
    volumes,
)
from dvid.datatypes.labelmap.settings import SETTINGS, configure, extended
from dvid.datatypes.voxels import extents_beside

DATATYPES = (
    Datatype(
        name="labelmap",
        about="A volume of 64-bit supervoxels with bodies made of them, that can be merged, cleaved and split.",
        configure=configure,
        settings_about=SETTINGS,
        extended=extended,
        beside=extents_beside,
        routes=(
            *volumes.ROUTES,
            *blocks.ROUTES,
            *bodies.ROUTES,
            *editing.ROUTES,
            *sparse.ROUTES,
            *splitting.ROUTES,
            *indices.ROUTES,
            *mappings.ROUTES,
            *history.ROUTES,
            *numbers.ROUTES,
            *DESCRIPTION_ROUTES,
        ),
        compression="gzip",
        version="0.1",
    ),
)
