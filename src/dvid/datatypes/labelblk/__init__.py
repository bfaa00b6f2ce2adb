"""Volumes of 64-bit labels without supervoxels: what is written is what is read.

A labelblk keeps its blocks, and always the index and sizes of its labels, too. A `labelvol` that is synced with it asks
for them, and changes them.
"""

from dvid.datatypes.base import Datatype
from dvid.datatypes.labelblk.routes import ROUTES
from dvid.datatypes.labelblk.settings import configure, extended
from dvid.datatypes.voxels import SETTINGS_ABOUT

DATATYPES = (
    Datatype(
        name="labelblk",
        about="A volume of 64-bit labels; labelvol instances synced with it tell where each is. labelmap succeeds both.",
        configure=configure,
        settings_about=SETTINGS_ABOUT,
        extended=extended,
        routes=ROUTES,
        version="0.1",
    ),
)
