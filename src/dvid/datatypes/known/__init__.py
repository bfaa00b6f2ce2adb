"""Types whose instances can be made, described, tagged, synced and deleted, but whose data is not served yet."""

from dvid.datatypes.known import annotations, bodies, tiles, volumes

DATATYPES = (*volumes.DATATYPES, *bodies.DATATYPES, *annotations.DATATYPES, *tiles.DATATYPES)
