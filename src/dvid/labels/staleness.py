"""Whether lower resolutions are what is made of those before them, at every version; and making them so.

Each stored block below which a version has written something is made again and compared, so time follows what was
written. Where clients have sent blocks of lower resolutions, or blocks without asking for lower resolutions, nobody knows what
these should be: then nothing is compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import groupby
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dvid.codecs.labelblocks import Block
from dvid.errors import CorruptValue, MergeConflict
from dvid.geometry import Box, Zyx
from dvid.labels.blocks import OpenBlocks, block_shape, read_blocks
from dvid.labels.changes import SCALES_APART
from dvid.labels.growth import last_before_growth, last_kept
from dvid.labels.scales import Scales, asked_at, make_again
from dvid.labels.tables import BLOCKS, block_key
from dvid.storage.protocol import Snapshot
from dvid.versions import layout
from dvid.versions.catalogue import Catalogue
from dvid.versions.edit import Edit
from dvid.versions.inventory import Problem
from dvid.versions.records import InstanceRecord, NodeRecord
from dvid.versions.stores import Snapshots
from dvid.versions.verify import Editing, Mended, Sources
from dvid.versions.view import View

_MOST_LISTED: Final = 100
"""Blocks of one scale that are listed one by one."""

_AT_ONCE: Final = 64
"""Blocks that one transaction mends."""


class Stale(NamedTuple):
    """A block that is not what it should be."""

    version: int
    scale: int
    place_zyx: Zyx


def check_scales(
    metadata: Snapshot, data: Snapshot, instance: InstanceRecord, nodes: Mapping[int, NodeRecord]
) -> Iterator[Problem]:
    """What is out of date of the lower resolutions of an instance: arguments as those of `dvid.labels.verify.check`."""
    with ExitStack() as stack:
        views = _Views(metadata, data, instance, nodes, stack)
        if not views.scales:
            return
        prefix = layout.table_prefix(instance.number, BLOCKS)
        if views.are_apart:
            what = "clients have sent blocks of lower resolutions, or blocks without them: they were not compared"
            yield Problem(prefix, what, instance.name, is_note=True)
            return
        for scale in views.scales:
            more = 0
            for count, (version, _, (z, y, x)) in enumerate(views.stale(scale)):
                more = max(0, count + 1 - _MOST_LISTED)
                if not more:
                    key = prefix + block_key(scale, (z, y, x)) + layout.inverted(version)
                    what = f"block {x},{y},{z} of scale {scale} is not what is made of scale {scale - 1}"
                    yield Problem(key, what, instance.name, nodes[version].uuid)
            if more:
                what = f"scale {scale}: {more} more blocks are not what is made of scale {scale - 1}"
                yield Problem(prefix + bytes((scale,)), what, instance.name)


def repair_scales(sources: Sources, edit: Editing) -> Iterator[Mended]:
    """Make what is out of date of an instance's lower resolutions again, the highest of them first; what was done."""
    done = 0
    while True:
        with ExitStack() as stack:
            metadata, data, instance, nodes = stack.enter_context(sources())
            views = _Views(metadata, data, instance, nodes, stack)
            scale = next((scale for scale in views.scales if scale > done), None)
            if scale is None or views.are_apart:
                return
            wrong = sorted(views.stale(scale))
            uuids = {stale.version: nodes[stale.version].uuid for stale in wrong}
        for version, some in groupby(wrong, lambda stale: stale.version):
            places = [stale.place_zyx for stale in some]
            count = sum(
                edit(uuids[version], partial(_make_again, scale, places[first : first + _AT_ONCE]))
                for first in range(0, len(places), _AT_ONCE)
            )
            yield Mended(uuids[version], f"scale {scale}", count)
        done = scale


def _make_again(scale: int, places: Sequence[Zyx], edit: Edit) -> int:
    scales = Scales(edit, asked_at(edit))
    stale = [place for place in places if _is_stale(edit, scales, scale, place)]
    make_again(edit, scales, scale, stale)
    return len(stale)


class _Views:
    """An instance at all its versions."""

    def __init__(
        self,
        metadata: Snapshot,
        data: Snapshot,
        instance: InstanceRecord,
        nodes: Mapping[int, NodeRecord],
        stack: ExitStack,
    ) -> None:
        own = (instance.store, data) if instance.store else None
        directory = Catalogue().at(metadata)
        root = directory.version(metadata, directory.repo(metadata, instance.repo).root_version)
        snapshots = Snapshots(metadata, {}, stack, own=own)
        self._root = View(data, directory, root, instance, snapshots)
        self._nodes = nodes
        last = last_before_growth(data, instance)
        self.scales = range(1, 1 + (last_kept(self._root) if last is None else last))
        """Those lower resolutions of which it is known which blocks there are to be."""
        self.are_apart = bool(self._root.number(SCALES_APART))

    def stale(self, scale: int) -> Iterator[Stale]:
        """The blocks of a scale that are not what is made of the scale before."""
        for rows in self._written(scale):
            for version, some in groupby(rows.tolist(), lambda row: row[0]):
                node = self._nodes.get(version)
                if node is None or node.repo != self._root.instance.repo:  # told of where all keys are looked at
                    continue
                view = self._root.version(version)
                scales = Scales(view, asked_at(view))
                for _, z, y, x in some:
                    if _is_stale(view, scales, scale, (z, y, x)):
                        yield Stale(version, scale, (z, y, x))

    def _written(self, scale: int) -> Iterator[NDArray[np.int64]]:
        """Which blocks depend on what each version has written at the scale before: (n, 4) version, z, y, x."""
        snapshot, instance = self._root.snapshot, self._root.instance
        prefix = layout.table_prefix(instance.number, BLOCKS) + bytes((scale - 1,))
        length = len(prefix) + 12 + layout.VERSION_BYTES
        held = np.empty((0, 4), np.int64)
        for keys in snapshot.key_batches(prefix, layout.after(prefix)):
            whole = b"".join(key[len(prefix) :] for key in keys if len(key) == length)
            numbers = np.frombuffer(whole, ">u4").reshape(-1, 4).astype(np.int64)
            rows = np.column_stack((layout.NEWEST - numbers[:, 3], (numbers[:, :3] - 2**31) >> 1))
            held = np.unique(np.concatenate((held, rows)), axis=0)
            last = held[:, 1] == held[:, 1].max(initial=-(2**31))
            if not last.all():
                yield held[~last]
                held = held[last]
        yield held


def _is_stale(view: View, scales: Scales, scale: int, place: Zyx) -> bool:
    """Whether a stored block is another one than is made; False where one is made anyway, or where that cannot be told."""
    try:
        if scales.is_asked(scale, place):
            return False
        made = scales.made(scale, place)
        (stored,) = read_blocks(view, scale, [place])
        return not _are_equal(view, made, stored)
    except (MergeConflict, CorruptValue):
        return False


def _are_equal(view: View, one: Block | None, other: Block | None) -> bool:
    if one is not None and other is not None and np.array_equal(one, other):
        return True
    return np.array_equal(_voxels(view, one), _voxels(view, other))


def _voxels(view: View, block: Block | None) -> NDArray[np.uint64]:
    shape = block_shape(view)
    voxels = np.zeros(shape, np.uint64)
    if block is not None:
        OpenBlocks([(0, 0, 0)], [block]).decode(voxels.ctypes.data, Box((0, 0, 0), shape), shape)
    return voxels
