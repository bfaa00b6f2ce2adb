"""A segmentation in a store that a command has opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from dvid.background import work_off
from dvid.cli.target import VolumeInfo
from dvid.codecs.labelblocks import labels_of
from dvid.codecs.labelindex import LabelIndices
from dvid.database import Database
from dvid.datatypes.labelmap.arguments import need_index
from dvid.datatypes.labelmap.volume import Segmentation
from dvid.geometry import Box, Zyx
from dvid.interop.shards import ShardBlock
from dvid.kernels.runs import Runs
from dvid.labels import agglomeration
from dvid.labels.agglomeration import Regrouping
from dvid.labels.bodies import all_bodies
from dvid.labels.indices import indices_of
from dvid.labels.mapping import all_mappings, bodies_of
from dvid.labels.numbering import set_next_start
from dvid.labels.scales import Scales
from dvid.labels.tables import Labels
from dvid.versions.edit import Edit

_WORK_AT_ONCE = 64


class StoreLabels:
    """A segmentation of a store."""

    def __init__(
        self, database: Database, uuid: str, info: VolumeInfo, segmentation: Segmentation | None = None
    ) -> None:
        self.info = info
        self._database = database
        self._segmentation = segmentation or Segmentation(database, uuid, info.name)
        self._uuid = uuid

    def read(self, box: Box) -> Labels:
        """The labels of a box: (z, y, x) uint64."""
        return self._segmentation.read(box)

    def write(self, box: Box, voxels: Labels) -> None:
        """Write the supervoxels of a box, all or nothing."""
        self._segmentation.write(box, voxels)

    def at(self, scale: int, *, supervoxels: bool) -> StoreLabels:
        """The same at a resolution, giving bodies or supervoxels."""
        found = Segmentation(self._database, self._uuid, self.info.name, scale=scale, supervoxels=supervoxels)
        return StoreLabels(self._database, self._uuid, self.info.at_scale(scale), found)

    def wrote(self, box: Box) -> None:
        """The extents are right already; lower resolutions are made, where no server may be there to do it."""
        while work_off(self._database, _WORK_AT_ONCE):
            pass

    def merge(self, target: int, others: Sequence[int]) -> None:
        """Merge bodies into another."""
        self._segmentation.merge(target, others)

    def plan(self, supervoxels: Labels, bodies: Labels) -> Regrouping:
        """What has to be done that each supervoxel belongs to the body beside it."""
        with self._segmentation.view() as view:
            need_index(view)
            return agglomeration.plan_here(view, supervoxels, bodies)

    def regroup(self, todo: Regrouping, part: slice) -> None:
        """Do a part of it, in one transaction."""
        self._segmentation.edit(partial(agglomeration.apply, todo=todo, part=part))

    def runs(self, body: int) -> Iterator[Runs]:
        """Where a body is: (n, 4) int32 arrays of x, y, z and voxels along x."""
        return self._segmentation.runs(body)

    def indices(self) -> Iterator[LabelIndices]:
        """The indices of all bodies, as they were at one moment."""
        with self._segmentation.view() as view:
            need_index(view)
            for labels, _ in all_bodies(view):
                yield from indices_of(view, labels)

    def mappings(self) -> Iterator[tuple[Labels, Labels]]:
        """All supervoxels that belong to bodies of other numbers, and these, as they were at one moment."""
        with self._segmentation.view() as view:
            yield from all_mappings(view)

    def blocks(self, scale: int, places_zyx: Sequence[Zyx]) -> Iterator[ShardBlock]:
        """The blocks at some places of a resolution that hold anything but label 0."""
        with self._segmentation.view() as view:
            scales = Scales(view)
            for first in range(0, len(places_zyx), _WORK_AT_ONCE):
                some = places_zyx[first : first + _WORK_AT_ONCE]
                for place, block in zip(some, scales.read(scale, some), strict=True):
                    if block is None:
                        continue
                    supervoxels = labels_of(block)
                    bodies = bodies_of(view, supervoxels)
                    if bodies.any():
                        yield ShardBlock(place, supervoxels, bodies, block.data)

    def set_next_label(self, start: int, ceiling: int | None) -> None:
        """Let new labels count up from behind a label."""

        def change(edit: Edit) -> None:
            need_index(edit)
            set_next_start(edit, start, ceiling)

        self._segmentation.edit(change)
