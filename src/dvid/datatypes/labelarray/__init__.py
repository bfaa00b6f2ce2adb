"""Volumes of labels that people merge and split: like labelmap, without supervoxels to be seen."""

from dvid.datatypes.base import Datatype, Upkeep, Work
from dvid.datatypes.descriptions import DESCRIPTION_ROUTES
from dvid.datatypes.labelarray import labels, shared
from dvid.datatypes.labelarray.settings import ROUTES as SETTINGS_ROUTES
from dvid.datatypes.labelarray.settings import SETTINGS, configure, extended
from dvid.datatypes.labelarray.volume import LabelVolume
from dvid.datatypes.voxels import extents_beside
from dvid.labels import scales
from dvid.labels.contents import check_value
from dvid.labels.repair import repair
from dvid.labels.verify import check

DATATYPES = (
    Datatype(
        name="labelarray",
        about="A volume of 64-bit labels, that can be merged and split. labelmap succeeds it.",
        configure=configure,
        settings_about=SETTINGS,
        extended=extended,
        beside=extents_beside,
        routes=(*shared.ROUTES, *labels.ROUTES, *SETTINGS_ROUTES, *DESCRIPTION_ROUTES),
        handle=LabelVolume,
        work=Work(scales.compute, scales.store),
        upkeep=Upkeep(check_value, check, repair),
        compression="gzip",
        version="0.1",
    ),
)
