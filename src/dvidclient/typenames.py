"""The types of data instance that hold voxels, by the names that DVID servers give them."""

from __future__ import annotations

VOXEL_TYPES = ("uint8", "uint16", "uint32", "uint64", "float32")
"""The types of voxel that there are instances of any number of channels for."""

VOXELS_OF: dict[str, tuple[str, int]] = {
    **{f"{dtype}blk": (dtype, 1) for dtype in VOXEL_TYPES},
    "rgba8blk": ("uint8", 4),
    "labelblk": ("uint64", 1),
    "labelarray": ("uint64", 1),
    "labelmap": ("uint64", 1),
}
"""Type of one channel and number of channels, where an instance does not tell another one."""

EARLY_NAMES = {"grayscale8": "uint8blk", "labels32": "uint32blk", "labels64": "labelblk", "rgba8": "rgba8blk"}
"""What the servers of 2013 called the types."""


def image_type(dtype: str, channels: int) -> str | None:
    """The type of instance for images of voxels, or None where DVID has none for their type."""
    if dtype not in VOXEL_TYPES:
        return None
    return "rgba8blk" if (dtype, channels) == VOXELS_OF["rgba8blk"] else f"{dtype}blk"


def has_any_channels(typename: str) -> bool:
    """Whether instances of a type have as many channels as they are made with."""
    return typename in {f"{dtype}blk" for dtype in VOXEL_TYPES}
