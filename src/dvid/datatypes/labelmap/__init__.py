"""Segmentations: volumes of supervoxels, and bodies made of them that people merge, cleave and split."""

from dvid.datatypes.base import Datatype, Upkeep, Work
from dvid.datatypes.descriptions import DESCRIPTION_ROUTES
from dvid.datatypes.labelmap import (
    blocks,
    bodies,
    editing,
    history,
    indices,
    mappings,
    numbers,
    shapes,
    sparse,
    splitting,
    volumes,
)
from dvid.datatypes.labelmap.settings import ROUTES as SETTINGS_ROUTES
from dvid.datatypes.labelmap.settings import SETTINGS, configure, extended
from dvid.datatypes.labelmap.volume import Segmentation
from dvid.datatypes.voxels import extents_beside
from dvid.labels import scales
from dvid.labels.contents import check_value
from dvid.labels.repair import repair
from dvid.labels.verify import check

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
            *shapes.ROUTES,
            *splitting.ROUTES,
            *indices.ROUTES,
            *mappings.ROUTES,
            *history.ROUTES,
            *numbers.ROUTES,
            *SETTINGS_ROUTES,
            *DESCRIPTION_ROUTES,
        ),
        handle=Segmentation,
        work=Work(scales.compute, scales.store),
        upkeep=Upkeep(check_value, check, repair),
        compression="gzip",
        version="0.1",
    ),
)
