"""A segmentation as an array-like object, with its bodies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dvid.codecs.sparsevols import encode_srles
from dvid.datatypes.arrays import VoxelArray
from dvid.datatypes.handles import Source
from dvid.datatypes.labelmap.arguments import need_index
from dvid.datatypes.labelmap.volumes import check_scale
from dvid.datatypes.labelmap.writes import check_blocks
from dvid.datatypes.voxels import grow_extents
from dvid.errors import BadRequest, Conflict
from dvid.geometry import Box, Zyx
from dvid.kernels.runs import ordered_runs
from dvid.labels import agglomeration, grouping, splits
from dvid.labels.blocks import block_shape
from dvid.labels.bodies import all_bodies, existing, members
from dvid.labels.grouping import Cleaved
from dvid.labels.logged import latest
from dvid.labels.mapping import verified_bodies_of
from dvid.labels.numbering import largest_label, new_labels
from dvid.labels.painting import as_supervoxels
from dvid.labels.reading import labels_at, read_labels
from dvid.labels.sizes import body_sizes, supervoxel_sizes
from dvid.labels.sparse import seek, stream_runs
from dvid.labels.splits import Divided, Runs
from dvid.labels.tables import Labels
from dvid.labels.undo import Undone, undo
from dvid.labels.writing import NewBlock, from_voxels, write_blocks
from dvid.versions.edit import Edit
from dvid.versions.view import View


class Segmentation(VoxelArray):
    """A segmentation at a node: `labels[z0:z1, y0:y1, x0:x1]` reads the bodies of a box.

    Assigning to a box writes supervoxels, and lower resolutions, index and bodies follow. Indices are voxel coordinates, zyx;
    negative ones are what they say, not counted from the end. A slice without a bound begins or ends with what was written so
    far (`extents`). Voxels that nobody wrote are 0.

    Args:
        source: where instances are read and written.
        selector: names the node.
        name: of the instance.
        scale: the resolution that is read: 0 for the full one, each further one has half of it.
        supervoxels: read supervoxels, not the bodies they belong to.
    """

    def __init__(self, source: Source, selector: str, name: str, *, scale: int = 0, supervoxels: bool = False) -> None:
        super().__init__(source, selector, name)
        self._scale = scale
        self._supervoxels = supervoxels

    # ---- voxels -------------------------------------------------------------------------------

    def at_scale(self, scale: int) -> Segmentation:
        """The same at another resolution, to read; coordinates are those of its voxels.

        Raises:
            BadRequest: the instance does not have this scale.
        """
        with self.view() as view:
            check_scale(view, scale)
        return Segmentation(self._source, self._selector, self.name, scale=scale, supervoxels=self._supervoxels)

    @property
    def supervoxels(self) -> Segmentation:
        """The same, reading supervoxels in place of bodies."""
        return Segmentation(self._source, self._selector, self.name, scale=self._scale, supervoxels=True)

    @property
    def extents(self) -> Box | None:
        """The box of what was written so far, in voxels of the scale, or None."""
        full = super().extents
        if full is None or not self._scale:
            return full
        z0, y0, x0 = (edge >> self._scale for edge in full.start_zyx)
        z1, y1, x1 = (-(-edge >> self._scale) for edge in full.stop_zyx)
        return Box((z0, y0, x0), (z1, y1, x1))

    def read(self, box: Box) -> Labels:
        """The labels of a box: (z, y, x) uint64.

        Raises:
            CorruptValue: a stored block is damaged; the message names its key.
        """
        with self.view() as view:
            return read_labels(view, box, self._scale, supervoxels=self._supervoxels)

    def write(self, box: Box, voxels: ArrayLike) -> int:
        """Write the supervoxels of a box, of whole blocks or not, in one transaction; the mutation id.

        Args:
            box: where, at full resolution.
            voxels: an array of the box's shape, or what numpy can broadcast to it.

        Raises:
            BadRequest: the box is empty, or the voxels have another shape, or are no labels, or this is a lower resolution.
            LockedNode: the node is committed.
        """
        if self._scale:
            raise BadRequest(f"lower resolutions follow the full one: scale {self._scale} is not written")
        labels: Labels = self._whole(box, voxels)
        return write_box(self, box, labels)

    def labels_at(self, points_zyx: ArrayLike) -> Labels:
        """The label of each point: (n,) uint64 for (n, 3) whole numbers z, y, x; 0 where nothing was written."""
        points = np.asarray(points_zyx)
        if points.ndim != 2 or points.shape[1] != 3 or points.dtype.kind not in "iu":
            raise BadRequest(
                f"points as (n, 3) whole numbers were expected, not {points.dtype} of shape {points.shape}"
            )
        with self.view() as view:
            return labels_at(view, points.astype(np.int64), self._scale, supervoxels=self._supervoxels)

    def body_at(self, z: int, y: int, x: int) -> int:
        """The body at a voxel, or 0."""
        with self.view() as view:
            return int(labels_at(view, np.array([[z, y, x]]), self._scale)[0])

    def supervoxel_at(self, z: int, y: int, x: int) -> int:
        """The supervoxel at a voxel, or 0."""
        with self.view() as view:
            return int(labels_at(view, np.array([[z, y, x]]), self._scale, supervoxels=True)[0])

    # ---- bodies -------------------------------------------------------------------------------

    def bodies(self) -> tuple[Labels, NDArray[np.uint64]]:
        """All bodies in order, and how many voxels each has."""
        with self._indexed() as view:
            return counted_bodies(view)

    def sizes(self, labels: ArrayLike) -> NDArray[np.uint64]:
        """The voxels of each body, or of each supervoxel where these are read; 0 where there is none."""
        asked = label_list(labels)
        with self._indexed() as view:
            return (supervoxel_sizes if self._supervoxels else body_sizes)(view, asked)

    def members(self, body: int) -> Labels:
        """The supervoxels of a body, in order.

        Raises:
            NotFound: there is no such body.
        """
        with self._indexed() as view:
            return members(view, body, existing(view, body).own)

    def bodies_of(self, supervoxels: ArrayLike) -> Labels:
        """The body of each supervoxel; 0 where there is no such supervoxel."""
        with self._indexed() as view:
            return verified_bodies_of(view, label_list(supervoxels))

    def runs(self, label: int) -> Iterator[Runs]:
        """Where a body is, or a supervoxel where these are read: (n, 4) int32 arrays of x, y, z and voxels along x.

        Raises:
            NotFound: there is none.
        """
        with self._indexed() as view:
            yield from stream_runs(view, seek(view, label, self._scale, supervoxel=self._supervoxels))

    @property
    def largest_label(self) -> int | None:
        """The largest label of this version, or None if there is none."""
        with self.view() as view:
            return largest_label(view)

    # ---- editing ------------------------------------------------------------------------------

    def merge(self, target: int, others: Iterable[int]) -> int:
        """Merge bodies into another; the mutation id.

        Raises:
            BadRequest: one of them does not exist or comes twice.
        """
        merged = [int(label) for label in others]
        return self.edit(lambda edit: grouping.merge(edit, int(target), merged))

    def cleave(self, body: int, supervoxels: Iterable[int]) -> Cleaved:
        """Take supervoxels out of a body and make a new body of them.

        Raises:
            BadRequest: one of them is not in it, or nothing would be left of it.
        """
        chosen = [int(label) for label in supervoxels]
        return self.edit(lambda edit: grouping.cleave(edit, int(body), chosen))

    def renumber(self, numbers: Mapping[int, int]) -> int:
        """Give bodies other numbers, from old ones to new ones; the mutation id.

        Raises:
            BadRequest: there is no such body, or a new number is taken.
        """
        pairs = [(int(new), int(old)) for old, new in numbers.items()]
        return self.edit(lambda edit: grouping.renumber(edit, pairs))

    def split_supervoxel(self, supervoxel: int, runs: ArrayLike) -> Divided:
        """Split a supervoxel in two, both of which stay in its body.

        Args:
            supervoxel: which.
            runs: what is split off: (n, 4), x, y, z of a first voxel and voxels along x.

        Raises:
            BadRequest: there is no such supervoxel, or it has no voxel, or no other, in the runs.
        """
        given = ordered_runs(np.ascontiguousarray(runs, np.int32).reshape(-1, 4))
        sent = bytes(encode_srles(given))
        return self.edit(lambda edit: splits.split_supervoxel(edit, int(supervoxel), given, sent))

    def apply_mapping(self, supervoxels: ArrayLike, bodies: ArrayLike) -> int:
        """Merge bodies so that each supervoxel belongs to the body beside it, in several transactions; how many bodies changed.

        Supervoxels that there are not are left out. Where it was interrupted, it goes on when it is called again.

        Raises:
            BadRequest: the mapping contradicts itself.
            Conflict: it contradicts what was merged before.
        """
        with self._indexed() as view:
            todo = agglomeration.plan_here(view, label_list(supervoxels), label_list(bodies))
        for part in todo.batches():
            self.edit(partial(agglomeration.apply, todo=todo, part=part))
        return len(todo)

    def undo(self, mutation: int | None = None) -> Undone:
        """Take a merge, cleave, renumbering or split back; by default the latest that Python programs made at this version.

        Raises:
            Conflict: there is none, or a later mutation depends on it.
            NotFound: the instance has no such mutation.
        """

        def take_back(edit: Edit) -> Undone:
            found = latest(edit, "") if mutation is None else mutation
            if found is None:
                raise Conflict("undo: this version has no mutation to take back")
            return undo(edit, found)

        return self.edit(take_back)

    def new_labels(self, count: int = 1) -> range:
        """Labels that are used for nothing else from now on."""
        return self.edit(lambda edit: new_labels(edit, count))

    @contextmanager
    def _indexed(self) -> Iterator[View]:
        with self.view() as view:
            need_index(view)
            yield view


def counted_bodies(view: View) -> tuple[Labels, NDArray[np.uint64]]:
    """All bodies in order, and how many voxels each has."""
    found = [(labels, rows["voxels"].astype(np.uint64)) for labels, rows in all_bodies(view)]
    labels, sizes = zip(*found, strict=True) if found else ([np.empty(0, np.uint64)], [np.empty(0, np.uint64)])
    return np.concatenate(labels), np.concatenate(sizes)


def write_box(volume: VoxelArray, box: Box, labels: Labels, *, bodies: bool = False) -> int:
    """Write a box, of whole blocks or not, in one transaction; the mutation id.

    Args:
        volume: the instance at a node.
        box: where, at full resolution.
        labels: (z, y, x) uint64, of the box's shape.
        bodies: they are those of bodies, not of supervoxels.

    Raises:
        BadRequest: some blocks of the box cannot be stored.
    """
    with volume.view() as view:
        shape, indexed = block_shape(view), bool(view.instance.settings["IndexedLabels"])
        check_blocks(view.instance, box.blocks(shape))
    places = list(box.blocks(shape))
    whole = [place for place in places if box.contains(_block(place, shape))]
    cut = [place for place in places if not box.contains(_block(place, shape))]
    made = from_voxels(box, labels, shape, whole) if whole else []

    def store(edit: Edit) -> int:
        rest = [_patched(edit, place, shape, box, labels, supervoxels=not bodies) for place in cut]
        blocks = [*made, *rest]
        mutation = write_blocks(edit, as_supervoxels(edit, blocks) if bodies else blocks, indexed=indexed, downres=True)
        grow_extents(edit, box)
        return mutation

    return volume.edit(store)


def label_list(given: ArrayLike) -> Labels:
    """Labels as an array.

    Raises:
        BadRequest: they are something else.
    """
    array = np.asarray(given)
    if not array.size:
        return np.empty(0, np.uint64)
    if array.dtype.kind not in "iu" or (array.dtype.kind == "i" and int(array.min()) < 0):
        raise BadRequest(f"labels are whole numbers from 0 to 2^64 - 1, not {array.dtype} like {array.reshape(-1)[0]}")
    return array.reshape(-1).astype(np.uint64)


def _block(place: Zyx, shape: Zyx) -> Box:
    z, y, x = (a * b for a, b in zip(place, shape, strict=True))
    return Box.at((z, y, x), shape)


def _patched(edit: Edit, place: Zyx, shape: Zyx, box: Box, labels: Labels, *, supervoxels: bool) -> NewBlock:
    """A block that a box covers in part, as it is to be."""
    around = _block(place, shape)
    old = read_labels(edit, around, supervoxels=supervoxels)
    shared = around & box
    old[shared.slices_in(around)] = labels[shared.slices_in(box)]
    return from_voxels(around, old, shape, [place])[0]
