"""Volumes of 64-bit labels without supervoxels: what is written is what is read.

A labelblk keeps its blocks, and always the index and sizes of its labels, too. A `labelvol` that is synced with it asks
for them, and changes them.
"""

from dvid.datatypes.base import Datatype, Upkeep
from dvid.datatypes.labelblk.routes import ROUTES
from dvid.datatypes.labelblk.settings import configure, extended
from dvid.datatypes.voxels import SETTINGS_ABOUT
from dvid.labels.contents import check_value
from dvid.labels.repair import repair
from dvid.labels.verify import check

DATATYPES = (
    Datatype(
        name="labelblk",
        about="A volume of 64-bit labels; labelvol instances synced with it tell where each is. labelmap succeeds both.",
        configure=configure,
        settings_about=SETTINGS_ABOUT,
        extended=extended,
        routes=ROUTES,
        upkeep=Upkeep(check_value, check, repair),
        version="0.1",
    ),
)
