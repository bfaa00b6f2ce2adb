"""Volumes of labels: labelblk and labelarray."""

from __future__ import annotations

from typing import Any

from dvidclient import answers, arguments
from dvidclient.arguments import UInt64s
from dvidclient.data.calls import ask, change, numbers_for
from dvidclient.data.sparsevols import SparseLabels
from dvidclient.data.volume import Volume
from dvidclient.sparse import SparseVolume


class Labels(Volume):
    """A volume of labels: a labelblk. What knows where they are is a labelvol that is synced with it."""

    def label_at(self, point_zyx: Any, *, scale: int | None = None, supervoxels: bool | None = None) -> int:
        """The label of a voxel; arguments as of ``labels_at``."""
        point = arguments.point_zyx(point_zyx)
        return int(self.labels_at([point], scale=scale, supervoxels=supervoxels)[0])

    def labels_at(self, points_zyx: Any, *, scale: int | None = None, supervoxels: bool | None = None) -> UInt64s:
        """The labels of voxels.

        Args:
            points_zyx: integers of the shape (n, 3): z, y, x of each.
            scale: of the points; 0 is full resolution. If not given, that of the volume.
            supervoxels: their supervoxels, not their bodies; for labelmaps only. If not given, as the volume is read.

        Returns:
            uint64 (n), 0 where there is nothing.
        """
        points = arguments.points_zyx(points_zyx)
        what = f"reading the labels of {len(points)} voxels of {self}"
        return numbers_for(self, "labels", what, arguments.points_xyz(points), self._read_as(scale, supervoxels))

    def _read_as(self, scale: int | None, supervoxels: bool | None) -> dict[str, Any]:
        """Options of a request: where they are not given, those of the volume."""
        return {
            "scale": self.scale if scale is None else scale,
            "supervoxels": self._options.get("supervoxels") if supervoxels is None else supervoxels,
        }


class UndoableLabels(SparseLabels):
    """Labels whose changes can be taken back, where the server can do that."""

    def undo(self, mutation: int | None = None) -> dict[str, Any]:
        """Takes a mutation of this version back. That is a mutation of its own, which can be taken back, too.

        Args:
            mutation: its number; if not given, the last one of the user who asks that is not taken back yet.

        Returns:
            What the server says: ``MutationID`` of the undo, ``Undone``, the mutation that it took back, and ``UndoneAction``, what
            that was.

        Raises:
            ServerRefused: it cannot be taken back, as the message says (409); or the server has no undo (400).
        """
        document = {} if mutation is None else {"MutationID": int(mutation)}
        what = f"taking back {'the last mutation' if mutation is None else f'mutation {mutation}'} of {self}"
        return change(self, "undo", what, answers.fields, document=document)


class LabelArray(Labels, UndoableLabels):
    """A volume of labels that can be merged and split: a labelarray."""

    def sparsevol_size(self, label: int) -> dict[str, Any]:
        """In how many blocks a label is (``numblocks``), and the box around them as the server tells it (``minvoxel``, ``maxvoxel``: x, y, z)."""
        label = arguments.label(label)
        return ask(self, f"sparsevol-size/{label}", f"asking for the size of label {label} of {self}", answers.fields)

    def split_coarse(self, label: int, blocks: SparseVolume, *, new_label: int | None = None) -> int:
        """Makes a label of all voxels that another one has in some blocks; arguments as of ``split``, and as ``coarse`` returns them."""
        return self._split("split-coarse", label, blocks, new_label)


class LabelVol(SparseLabels):
    """Where the labels of a labelblk are that it is synced with: a labelvol."""

    def split_coarse(self, label: int, blocks: SparseVolume, *, new_label: int | None = None) -> int:
        """Makes a label of all voxels that another one has in some blocks; arguments as of ``split``, and as ``coarse`` returns them."""
        return self._split("split-coarse", label, blocks, new_label)

    def resync(self, label: int, blocks: SparseVolume | None = None) -> None:
        """Lets the server compare what it knows of a label with the voxels of the labelblk, and put it right.

        Args:
            label: whose.
            blocks: in which, beside those where it is known to be.
        """
        label = arguments.label(label)
        body = b"" if blocks is None else blocks.to_wire()
        change(self, f"resync/{label}", f"resyncing label {label} of {self}", answers.nothing, body=body)
