"""A volume of labels as an array-like object, with what can be done to its labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dvid.codecs.sparsevols import encode_srles
from dvid.datatypes.arrays import VoxelArray
from dvid.datatypes.labelmap.arguments import need_index
from dvid.datatypes.labelmap.volume import counted_bodies, label_list, write_box
from dvid.geometry import Box
from dvid.kernels.runs import ordered_runs
from dvid.labels import grouping, painting
from dvid.labels.numbering import largest_label, new_labels
from dvid.labels.reading import read_labels
from dvid.labels.sizes import body_sizes
from dvid.labels.sparse import seek, stream_runs
from dvid.labels.splits import Runs
from dvid.labels.tables import Labels
from dvid.versions.view import View


class LabelVolume(VoxelArray):
    """Labels at a node: `labels[z0:z1, y0:y1, x0:x1]` reads a box, assigning to it writes one.

    Indices are voxel coordinates, zyx; negative ones are what they say, not counted from the end. A slice without a bound
    begins or ends with what was written so far (`extents`). Voxels that nobody wrote are 0.
    """

    def read(self, box: Box) -> Labels:
        """The labels of a box: (z, y, x) uint64.

        Raises:
            CorruptValue: a stored block is damaged; the message names its key.
        """
        with self.view() as view:
            return read_labels(view, box)

    def write(self, box: Box, voxels: ArrayLike) -> int:
        """Write a box, of whole blocks or not, in one transaction; the mutation id.

        Raises:
            BadRequest: the box is empty, or the voxels have another shape, or are no labels.
            LockedNode: the node is committed.
        """
        return write_box(self, box, self._whole(box, voxels), bodies=True)

    def labels(self) -> tuple[Labels, NDArray[np.uint64]]:
        """All labels in order, and how many voxels each has."""
        with self._indexed() as view:
            return counted_bodies(view)

    def sizes(self, labels: ArrayLike) -> NDArray[np.uint64]:
        """The voxels of each label; 0 where there is none."""
        with self._indexed() as view:
            return body_sizes(view, label_list(labels))

    def runs(self, label: int) -> Iterator[Runs]:
        """Where a label is: (n, 4) int32 arrays of x, y, z and voxels along x.

        Raises:
            NotFound: there is no such label.
        """
        with self._indexed() as view:
            yield from stream_runs(view, seek(view, int(label)))

    @property
    def largest_label(self) -> int | None:
        """The largest label of this version, or None if there is none."""
        with self.view() as view:
            return largest_label(view)

    def merge(self, target: int, others: Iterable[int]) -> int:
        """Merge labels into another; the mutation id.

        Raises:
            BadRequest: one of them does not exist or comes twice.
        """
        merged = [int(label) for label in others]
        return self.edit(lambda edit: grouping.merge(edit, int(target), merged))

    def split(self, label: int, runs: ArrayLike, into: int = 0) -> int:
        """Give some voxels of a label another one; which.

        Args:
            label: which they have.
            runs: the voxels: (n, 4), x, y, z of a first voxel and voxels along x.
            into: the label that they get; 0 for a new one.

        Raises:
            BadRequest: they do not all have the label, or are all that do.
        """
        given, sent = _runs(runs)
        return self.edit(lambda edit: painting.split_off(edit, int(label), given, sent, int(into))).label

    def split_blocks(self, label: int, runs: ArrayLike, into: int = 0) -> int:
        """Give all voxels of a label in some blocks another one; which.

        Args:
            label: which they have.
            runs: the blocks: (n, 4), x, y, z of a first block, in blocks, and blocks along x.
            into: the label that they get; 0 for a new one.

        Raises:
            BadRequest: the label is not in all of these blocks, or in no others.
        """
        given, sent = _runs(runs)
        return self.edit(lambda edit: painting.split_off_blocks(edit, int(label), given, sent, int(into))).label

    def new_labels(self, count: int = 1) -> range:
        """Labels that are used for nothing else from now on."""
        return self.edit(lambda edit: new_labels(edit, count))

    @contextmanager
    def _indexed(self) -> Iterator[View]:
        with self.view() as view:
            need_index(view)
            yield view


def _runs(given: ArrayLike) -> tuple[Runs, bytes]:
    runs = ordered_runs(np.ascontiguousarray(given, np.int32).reshape(-1, 4))
    return runs, bytes(encode_srles(runs))
