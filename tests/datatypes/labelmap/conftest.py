"""Segmentations, asked as clients ask them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from tests.datatypes.conftest import MakeInstance, VoxelInstance

from dvid.labels.accounts import account
from dvid.labels.index import Entries
from dvid.versions.edit import Edit

Zyx = tuple[int, int, int]


class Segmentation(VoxelInstance):
    """A labelmap."""

    def account(self, voxels: Mapping[int, Mapping[Zyx, int]], **where: str) -> int:
        """Enter voxels into the index without writing them: {supervoxel: {block: voxels more}}; the mutation."""
        rows = [(label, block, count) for label, blocks in voxels.items() for block, count in blocks.items()]
        entries = Entries(
            np.array([label for label, _, _ in rows], np.uint64),
            np.array([block for _, block, _ in rows], np.int64).reshape(-1, 3),
            np.array([count for _, _, count in rows], np.int64),
        )

        def enter(edit: Edit) -> int:
            mutation = edit.log("ingest", {})
            account(edit, entries, mutation)
            return mutation

        return self.database.edit(where.get("node", self.node), self.name, enter)

    def status(self, method: str, path: str, body: Any = None, **where: str) -> int:
        return int(self.ask(method, path, body, **where).status_code)

    def as_admin(self, path: str, body: Any = None) -> Any:
        """A POST with the admin token."""
        from tests.conftest import TOKEN

        headers = {"Authorization": f"Bearer {TOKEN}"}
        return self.request("POST", f"/api/node/{self.node}/{self.name}/{path}", body, headers)


MakeSegmentation = Callable[..., Segmentation]


@pytest.fixture(scope="module")
def make_segmentation(make_instance: MakeInstance) -> MakeSegmentation:
    """Makes segmentations named "seg": `make_segmentation(BlockSize="32,32,32")`, each in a new repo."""

    def make(**options: Any) -> Segmentation:
        return make_instance("labelmap", "seg", kind=Segmentation, **options)

    return make


@pytest.fixture
def segmentation(make_segmentation: MakeSegmentation) -> Segmentation:
    """Blocks of 32^3, and three supervoxels with an index: 10, 20 and 30."""
    made = make_segmentation(BlockSize="32,32,32")
    made.account(
        {
            10: {(0, 0, 0): 100, (0, 0, 1): 50},
            20: {(0, 0, 1): 7, (-1, 2, 3): 9},
            30: {(9, 9, 9): 1000},
        }
    )
    return made
