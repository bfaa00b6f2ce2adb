"""What can be asked of an image instance besides its voxels: masks of regions, descriptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvid.datatypes.imageblk.layout import layout_of
from dvid.datatypes.imageblk.reading import read_box
from dvid.datatypes.roi.operations import touched_blocks, voxel_mask
from dvid.datatypes.voxels import block_zyx, voxel_extended
from dvid.errors import BadRequest
from dvid.geometry import Box, Zyx
from dvid.versions.view import View

# ---- regions of interest ------------------------------------------------------------------------


def check_region(view: View, roi: str, attenuation: int = 0) -> None:
    """Refuse what cannot be a mask, or cannot be attenuated by one.

    Raises:
        UnknownInstance: there is no instance of that name.
        BadRequest: it is not a region, or attenuation is asked of voxels of more than one byte.
    """
    voxel_mask(view.sibling(roi), Box((0, 0, 0), (0, 0, 0)))
    if attenuation and layout_of(view.instance).itemsize != 1:
        raise BadRequest("attenuation works for voxels of 8 bits only")


def read_masked(view: View, box: Box, roi: str, attenuation: int = 0) -> NDArray[np.uint8]:
    """The bytes of a box, (z, y, x, itemsize), with what lies outside a region made dark: see `darken`."""
    data = np.ascontiguousarray(read_box(view, box)).view(np.uint8).reshape(*box.shape_zyx, -1)
    darken(view, box, data, roi, attenuation)
    return data


def darken(view: View, box: Box, data: NDArray[np.uint8], roi: str, attenuation: int = 0) -> None:
    """Make what lies outside a region dark.

    Args:
        view: the image.
        box: where.
        data: the bytes of its voxels, (z, y, x, itemsize); changed.
        roi: name of the region's instance.
        attenuation: outside, values are divided by 2 to this power; 0 makes them zero.
    """
    inside = voxel_mask(view.sibling(roi), box).view(np.uint8)
    if attenuation:
        np.right_shift(data[..., 0], (1 - inside) * np.uint8(attenuation), out=data[..., 0])
    else:
        np.multiply(data, inside[..., None], out=data)


def blocks_inside(view: View, roi: str, box: Box) -> Callable[[Zyx], bool]:
    """Which blocks of the image touch a region: a test of the coordinates of blocks that touch the box.

    The region's blocks may have another size than the image's.
    """
    mask, blocks = touched_blocks(view.sibling(roi), box, block_zyx(view.instance))
    z0, y0, x0 = blocks.start_zyx
    return lambda block: bool(mask[block[0] - z0, block[1] - y0, block[2] - x0])


# ---- descriptions -------------------------------------------------------------------------------


def extended(view: View) -> dict[str, Any]:
    """The "Extended" part of an instance's info; the last entry tells clients that POST raw takes unaligned=true."""
    return {**voxel_extended(view), "UnalignedWrites": True}
