"""Volumes of labels, asked as clients ask them."""

from __future__ import annotations

import numpy as np
import pytest
from tests.datatypes.conftest import MakeInstance, VoxelInstance

Zyx = tuple[int, int, int]


class Labels(VoxelInstance):
    """A labelblk."""

    def labels(self, points_xyz: list[list[int]], method: str = "POST", query: str = "") -> list[int]:
        reply = self.ask(method, f"labels{query}", points_xyz)
        assert reply.status_code == 200, reply.text
        return list(reply.json)

    def status(self, method: str, path: str, body: object = None, **where: str) -> int:
        return int(self.ask(method, path, body, **where).status_code)


@pytest.fixture
def volume(make_instance: MakeInstance) -> Labels:
    """A labelblk with blocks of 16^3."""
    return make_instance("labelblk", "seg", kind=Labels, BlockSize="16,16,16")


def stripes(shape_zyx: Zyx, *labels: int) -> np.ndarray:
    """Voxels with these labels, side by side along x in equal parts."""
    row = np.repeat(np.array(labels, np.uint64), shape_zyx[2] // len(labels))
    return np.broadcast_to(row, shape_zyx).copy()
