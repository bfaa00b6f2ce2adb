"""A volume of images as an array-like object."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dvid.datatypes.arrays import VoxelArray
from dvid.datatypes.imageblk.reading import read_box
from dvid.datatypes.imageblk.writing import Draft, merge_box, planes_of
from dvid.geometry import Box


class Volume(VoxelArray):
    """A volume at a node: `volume[z0:z1, y0:y1, x0:x1]` reads a box, assigning to it writes one.

    Indices are voxel coordinates, zyx; negative ones are what they say, not counted from the end. A slice without a
    bound begins or ends with what was written so far (`extents`). Voxels that nobody wrote are 0.
    """

    def read(self, box: Box) -> NDArray[Any]:
        """The voxels of a box: (z, y, x), or (z, y, x, channel).

        Raises:
            CorruptValue: a stored block is damaged; the message names its key.
        """
        with self.view() as view:
            return read_box(view, box)

    def write(self, box: Box, voxels: ArrayLike) -> int:
        """Write the voxels of a box, of whole blocks or not, in one transaction; the mutation id.

        Args:
            box: where.
            voxels: an array of the box's shape, or what numpy can broadcast to it.

        Raises:
            BadRequest: the box is empty, or the voxels have another shape, or numbers that the volume's type has not.
            LockedNode: the node is committed.
        """
        layout = self._voxels
        data = self._whole(box, voxels).reshape(-1).view(np.uint8)
        if not box.is_aligned(layout.block_zyx):
            return self.edit(lambda edit: merge_box(edit, box, data, mutate=True))
        with self.view() as view:
            draft = Draft(view, box)
        draft.seal(planes_of(layout, box, data))
        mutation = self.edit(lambda edit: draft.store(edit, mutate=True))
        draft.clear()
        return mutation
