"""What instances have that know where each label is: its sparse volume, and changes of labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy
import numpy.typing

from dvidclient import answers, arguments
from dvidclient.arguments import BoxZYX
from dvidclient.connection import quoted
from dvidclient.data.calls import MISSING, ask, change
from dvidclient.data.instance import Instance
from dvidclient.errors import ServerRefused
from dvidclient.sparse import SparseVolume


class SparseLabels(Instance):
    """Labels of which the server knows the voxels. Of a labelmap, these are bodies.

    Label 0 is the background, and has no sparse volume. Only a labelmap takes ``supervoxels=True``, which says that the label is
    that of a supervoxel; only a labelmap and a labelarray take a ``scale``.
    """

    # ---- where a label is -----------------------------------------------------------------------

    def sparsevol(
        self, label: int, *, scale: int | None = None, bounds_zyx: BoxZYX | None = None, supervoxels: bool | None = None
    ) -> SparseVolume:
        """The voxels of a label.

        Args:
            label: whose.
            scale: 0 is full resolution, each further one has half of it. If not given, that of the volume.
            bounds_zyx: slices along z, y and x, which may be open: only what lies within. In voxels of the scale.
            supervoxels: the label is that of a supervoxel. If not given, as the volume is read.

        Returns:
            The voxels, in coordinates of the scale; with bounds, none where the label has none within them.

        Raises:
            ServerRefused: there is no such label (404).
        """
        label = arguments.label(label)
        what = f"reading the sparse volume of label {label} of {self}"
        query = self._read_as(scale, supervoxels)
        return self._within(f"sparsevol/{label}", what, bounds_zyx, query)

    def sparsevol_at(
        self,
        point_zyx: Any,
        *,
        scale: int | None = None,
        bounds_zyx: BoxZYX | None = None,
        supervoxels: bool | None = None,
    ) -> SparseVolume:
        """The voxels of the label that a voxel has; arguments and errors as of ``sparsevol``."""
        what = f"reading the sparse volume of the label at z, y, x {point_zyx} of {self}"
        query = self._read_as(scale, supervoxels)
        return self._within(f"sparsevol-by-point/{arguments.path_xyz(point_zyx)}", what, bounds_zyx, query)

    def coarse(self, label: int, *, bounds_zyx: BoxZYX | None = None, supervoxels: bool | None = None) -> SparseVolume:
        """The blocks that a label has voxels in: the coordinates are those of blocks, of full resolution.

        Args:
            label: whose.
            bounds_zyx: slices along z, y and x, in voxels: only blocks that reach into them.
            supervoxels: the label is that of a supervoxel.
        """
        label = arguments.label(label)
        what = f"reading the blocks of label {label} of {self}"
        found = self._sparse(f"sparsevol-coarse/{label}", what, bounds_zyx, self._read_as(0, supervoxels))
        if bounds_zyx is None:
            return found
        # Some servers heed the bounds of z only.
        return found.within(arguments.blocks_of(arguments.closed(bounds_zyx), self.settings["BlockSize"][::-1]))

    def mask(
        self, label: int, *, scale: int | None = None, bounds_zyx: BoxZYX | None = None, supervoxels: bool | None = None
    ) -> tuple[BoxZYX, numpy.typing.NDArray[numpy.bool_]]:
        """The voxels of a label as an array; arguments and errors as of ``sparsevol``.

        Returns:
            The smallest box that holds them, as slices along z, y and x, and which voxels of it are of the label: a bool array
            (z, y, x). So ``volume[box][mask]`` are the voxels of another volume there.

        Raises:
            BadArgument: the box has more than 2^31 voxels.
        """
        found = self.sparsevol(label, scale=scale, bounds_zyx=bounds_zyx, supervoxels=supervoxels)
        return found.extents_zyx, found.to_mask()

    def exists(self, label: int, *, bounds_zyx: BoxZYX | None = None, supervoxels: bool | None = None) -> bool:
        """Whether a label has voxels; with bounds, whether it has some in the blocks that reach into them."""
        label = arguments.label(label)
        try:
            if bounds_zyx is not None:
                # HEAD is not asked with bounds: some servers answer it by the blocks that lie outside of them.
                return bool(self.coarse(label, bounds_zyx=bounds_zyx, supervoxels=supervoxels))
            what = f"asking whether label {label} of {self} exists"
            query = self._read_as(0, supervoxels)
            return ask(self, f"sparsevol/{label}", what, answers.status, method="HEAD", query=query) == 200
        except ServerRefused as refused:
            if refused.status != MISSING:
                raise
            return False

    # ---- numbers --------------------------------------------------------------------------------

    @property
    def maxlabel(self) -> int:
        """The largest label that this version or one before it holds or has given out."""
        return ask(self, "maxlabel", f"asking for the largest label of {self}", answers.number("maxlabel"))

    @property
    def nextlabel(self) -> int:
        """The label that will be given out next."""
        return ask(self, "nextlabel", f"asking for the next label of {self}", answers.number("nextlabel"))

    def new_labels(self, count: int = 1) -> range:
        """Labels that are used for nothing else from now on."""
        return self._reserved("nextlabel", count, {"needed": count})

    # ---- changes --------------------------------------------------------------------------------

    def merge(self, target: int, *others: Any) -> int | None:
        """Merges labels into another one, which keeps its number.

        Args:
            target: the label that they get.
            others: the labels, one by one, or a list or array of them.

        Returns:
            The number of the mutation; None where the server does not tell it.
        """
        listed = others[0] if len(others) == 1 and not isinstance(others[0], (int, numpy.integer)) else others
        wanted = [arguments.label(target, "target"), *arguments.labels(listed, "others").tolist()]
        what = f"merging {len(wanted) - 1} labels into label {target} of {self}"
        return change(self, "merge", what, answers.mutation, document=wanted)

    def split(self, label: int, voxels: SparseVolume, *, new_label: int | None = None) -> int:
        """Makes a label of some of the voxels of another one. Servers may refuse it for labelmaps, unless set up for it.

        Args:
            label: whose voxels.
            voxels: which; all of them must be of the label, and some of it must be left.
            new_label: the label that they get, one that is new to the server if not given. Not for labelmaps.

        Returns:
            The label that they got.
        """
        return self._split("split", label, voxels, new_label)

    def _split(self, kind: str, label: int, voxels: SparseVolume, new_label: int | None) -> int:
        label = arguments.label(label)
        query = {"splitlabel": None if new_label is None else arguments.label(new_label, "new_label")}
        what = f"splitting {voxels} off label {label} of {self}"
        return change(self, f"{kind}/{label}", what, answers.number("label"), body=voxels.to_wire(), query=query)

    # ---- what was done --------------------------------------------------------------------------

    def mutations(self) -> list[dict[str, Any]]:
        """What was changed at this version, the oldest first, as the server tells it."""
        return ask(self, "mutations", f"reading the mutations of {self}", answers.entries)

    def mutations_between(self, begin: str, end: str) -> list[dict[str, Any]]:
        """What was changed at the versions from one to one of its descendants, both included, as the server tells it.

        Args:
            begin: UUID of the ancestor.
            end: UUID of the descendant.
        """
        path = f"mutations-range/{quoted(begin, 'begin')}/{quoted(end, 'end')}"
        return ask(self, path, f"reading the mutations of {self}", answers.entries)

    def _read_as(self, scale: int | None, supervoxels: bool | None) -> dict[str, Any]:
        """Options of a request."""
        return {"scale": scale, "supervoxels": supervoxels}

    # ---- requests -------------------------------------------------------------------------------

    def _within(self, path: str, what: str, bounds_zyx: BoxZYX | None, query: Mapping[str, Any]) -> SparseVolume:
        found = self._sparse(path, what, bounds_zyx, query)
        # Some servers let runs reach out of the bounds.
        return found if bounds_zyx is None else found.within(arguments.closed(bounds_zyx))

    def _sparse(self, path: str, what: str, bounds_zyx: BoxZYX | None, query: Mapping[str, Any]) -> SparseVolume:
        try:
            return ask(self, path, what, answers.sparse_volume, query={**arguments.bounds_query(bounds_zyx), **query})
        except ServerRefused as refused:
            # Where servers answer that there is nothing within the bounds, some do it with this status.
            if bounds_zyx is None or refused.status != MISSING:
                raise
            return SparseVolume.from_coordinates([])

    def _reserved(self, path: str, count: int, document: Any) -> range:
        what = f"reserving {count} labels of {self}"
        start, end = change(self, path, what, answers.numbers("start", "end"), document=document)
        return range(start, end + 1)
