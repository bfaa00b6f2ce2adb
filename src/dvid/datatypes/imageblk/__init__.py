"""Images: volumes of numbers, stored in blocks."""

from dvid.datatypes.base import Datatype
from dvid.datatypes.imageblk.operations import extended
from dvid.datatypes.imageblk.routes import ROUTES
from dvid.datatypes.imageblk.settings import MAX_CHANNELS, TYPES, configurer
from dvid.datatypes.imageblk.volume import Volume
from dvid.datatypes.voxels import SETTINGS_ABOUT, extents_beside

_SETTINGS = {
    **SETTINGS_ABOUT,
    "Channels": f"Number of channels of a voxel, 1 to {MAX_CHANNELS} (default: 4 for rgba8blk, else 1)",
}

DATATYPES = tuple(
    Datatype(
        name=name,
        about=f"A volume of {values[0]['DataType']} voxels"
        + (f" with {len(values)} channels" if len(values) > 1 else "")
        + ", stored in blocks, with slices, boxes and block streams to read.",
        configure=configurer(values),
        settings_about=_SETTINGS,
        extended=extended,
        beside=extents_beside,
        routes=ROUTES,
        handle=Volume,
    )
    for name, values in TYPES.items()
)
