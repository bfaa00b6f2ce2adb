"""Segmentations in a database, driven in process, for the tests of labels.

`Segmentation` is a labelmap instance in a repo of its own; `state` is all that can be seen of it at a version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from dvid.codecs.sparsevols import encode_srles
from dvid.database import Database
from dvid.geometry import Box
from dvid.kernels.runs import Runs, ordered_runs
from dvid.labels import grouping
from dvid.labels.accounts import account
from dvid.labels.bodies import all_bodies, members
from dvid.labels.growth import keep_scales
from dvid.labels.index import Entries, all_entries
from dvid.labels.mapping import all_mappings, bodies_of
from dvid.labels.numbering import largest_label
from dvid.labels.reading import read_labels
from dvid.labels.splits import Divided, SplitBody, split_body, split_supervoxel
from dvid.labels.tables import Labels
from dvid.labels.undo import Undone, undo
from dvid.labels.writing import from_voxels, from_wire, write_blocks
from dvid.versions import nodes, repos
from dvid.versions.edit import Edit
from dvid.versions.instances import change_instance
from dvid.versions.view import View

T = TypeVar("T")

Place = tuple[int, int, int]
"""A block, or a voxel: z, y, x."""

BLOCK_ZYX: Place = (16, 16, 16)


@dataclass(frozen=True)
class State:
    """What a version holds, as plain values."""

    sizes: dict[int, int]
    """Voxels of each body."""
    supervoxels: dict[int, set[int]]
    """Those of each body."""
    mapping: dict[int, int]
    """All rows of the mapping."""
    index: dict[int, dict[Place, int]]
    """Voxels of each supervoxel in each block."""
    largest: int | None


class Segmentation:
    """A labelmap instance in a repo of its own. Versions are named by their UUIDs; "" is the root."""

    def __init__(self, database: Database, name: str = "segmentation", *, root: str = "", **settings: Any) -> None:
        """`root` names the repo of an instance that is there already."""
        self.database, self.name = database, name
        self.root = root or database.transact(lambda tx, _: repos.create_repo(tx)).root_uuid
        if not root:
            given = {"typename": "labelmap", "dataname": name, "BlockSize": "16,16,16", **settings}
            database.create_instance(self.root, given)

    # ---- versions

    def commit(self, node: str = "") -> None:
        self.database.commit(node or self.root)

    def child(self, node: str = "", branch: str = "") -> str:
        def make(tx: Any, directory: Any) -> str:
            record = directory.node(tx, node or self.root).record
            made = nodes.branch(tx, record, name=branch) if branch else nodes.new_version(tx, record)
            return str(made.uuid)

        return self.database.transact(make)

    def lowest(self, number: int) -> None:
        """Let it have so many lower resolutions."""

        def change(tx: Any, instance: Any) -> None:
            change_instance(tx, instance, settings={**instance.settings, "MaxDownresLevel": number})

        self.database.configure(self.root, self.name, change, partial(keep_scales, lowest=number))

    # ---- changes

    def edit(self, operation: Callable[[Edit], T], node: str = "", user: str = "") -> T:
        return self.database.edit(node or self.root, self.name, operation, user=user)

    def account(self, changes: Entries, node: str = "") -> int:
        """Enter voxels that came or went."""

        def run(edit: Edit) -> int:
            mutation = edit.log("test-voxels", {})
            account(edit, changes, mutation)
            return mutation

        return self.edit(run, node)

    def ingest(self, sizes: Mapping[int, int], node: str = "") -> None:
        """Give supervoxels voxels, in a block of their own each; negative ones are taken away."""
        labels = np.array(list(sizes), np.uint64)
        low = (labels & np.uint64(1023)).astype(np.int64)
        blocks_zyx = np.stack((low >> 6, low >> 3 & 7, low & 7), 1)
        self.account(Entries(labels, blocks_zyx, np.array(list(sizes.values()), np.int64)), node)

    def write(self, voxels: Labels, start_zyx: Place = (0, 0, 0), node: str = "", *, as_blocks: bool = False) -> int:
        """Write the supervoxels of a box of whole blocks: as voxels, or as blocks that were encoded before."""
        box = Box.at(start_zyx, voxels.shape)  # type: ignore[arg-type]
        places = list(box.blocks(BLOCK_ZYX))
        blocks = from_voxels(box, np.ascontiguousarray(voxels), BLOCK_ZYX, places)
        if as_blocks:
            blocks = [from_wire(block.place_zyx, block.data, BLOCK_ZYX) for block in blocks]
        return self.edit(lambda edit: write_blocks(edit, blocks, downres=True), node)

    def split(
        self, supervoxel: int, points_zyx: NDArray[np.integer[Any]], node: str = "", user: str = "", **labels: int
    ) -> Divided:
        """Split the voxels at some points, (n, 3), off from a supervoxel."""
        runs, sent = runs_of(points_zyx)
        return self.edit(lambda edit: split_supervoxel(edit, supervoxel, runs, sent, **labels), node, user)

    def split_body(self, body: int, points_zyx: NDArray[np.integer[Any]], node: str = "", user: str = "") -> SplitBody:
        """Split the voxels at some points, (n, 3), off from a body."""
        runs, sent = runs_of(points_zyx)
        return self.edit(lambda edit: split_body(edit, body, runs, sent), node, user)

    def merge(self, target: int, *labels: int, node: str = "", user: str = "") -> int:
        return self.edit(lambda edit: grouping.merge(edit, target, labels), node, user)

    def cleave(self, label: int, *supervoxels: int, node: str = "", user: str = "") -> grouping.Cleaved:
        return self.edit(lambda edit: grouping.cleave(edit, label, supervoxels), node, user)

    def renumber(self, *pairs: tuple[int, int], node: str = "", user: str = "") -> int:
        return self.edit(lambda edit: grouping.renumber(edit, pairs), node, user)

    def undo(self, mutation: int, node: str = "", user: str = "") -> Undone:
        return self.edit(lambda edit: undo(edit, mutation), node, user)

    # ---- questions

    def see(self, question: Callable[[View], T], node: str = "") -> T:
        with self.database.view(node or self.root, self.name) as view:
            return question(view)

    def bodies_of(self, *supervoxels: int, node: str = "") -> list[int]:
        return self.see(lambda view: bodies_of(view, np.array(supervoxels, np.uint64)).tolist(), node)

    def voxels(self, shape_zyx: Place, start_zyx: Place = (0, 0, 0), node: str = "", *, bodies: bool = False) -> Labels:
        """The supervoxels, or the bodies, of a box."""
        box = Box.at(start_zyx, shape_zyx)
        return self.see(lambda view: read_labels(view, box, supervoxels=not bodies), node)

    def members(self, body: int, node: str = "") -> list[int]:
        return self.see(lambda view: members(view, body).tolist(), node)

    def sizes(self, node: str = "") -> dict[int, int]:
        return self.see(sizes_of_bodies, node)

    def state(self, node: str = "") -> State:
        return self.see(state, node)

    def events(self, node: str = "") -> list[dict[str, Any]]:
        return self.see(lambda view: [msgspec.json.decode(event) for event in view.events()], node)


def runs_of(points_zyx: NDArray[np.integer[Any]]) -> tuple[Runs, bytes]:
    """Points as runs, and these as they are sent."""
    runs = np.ones((len(points_zyx), 4), np.int32)
    runs[:, :3] = points_zyx[:, ::-1]
    runs = ordered_runs(runs)
    return runs, bytes(encode_srles(runs))


def sizes_of_bodies(view: View) -> dict[int, int]:
    """Voxels of each body."""
    return {
        label: int(row["voxels"])
        for labels, rows in all_bodies(view)
        for label, row in zip(labels.tolist(), rows, strict=True)
    }


def state(view: View) -> State:
    """Everything that a version holds."""
    sizes = sizes_of_bodies(view)
    supervoxels = {label: set(members(view, label).tolist()) for label in sizes}
    known = np.array(sorted(set().union(*supervoxels.values())), np.uint64)
    entries = all_entries(view, known)
    index: dict[int, dict[Place, int]] = {}
    columns = (entries.supervoxels.tolist(), entries.blocks_zyx.tolist(), entries.voxels.tolist())
    for supervoxel, (z, y, x), voxels in zip(*columns, strict=True):
        index.setdefault(supervoxel, {})[z, y, x] = voxels
    mapping: dict[int, int] = {}
    for keys, values in all_mappings(view):
        mapping.update(zip(keys.tolist(), values.tolist(), strict=True))
    return State(sizes, supervoxels, mapping, index, largest_label(view))
