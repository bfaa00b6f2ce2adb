"""Volumes of labels that are merged and split, asked as clients ask them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.datatypes.conftest import MakeInstance, VoxelInstance

from dvid.codecs.sparsevols import decode_rles, encode_rles
from dvid.kernels.runs import ordered_runs

Points = NDArray[np.integer[Any]]
"""(n, 3): z, y, x."""


class Labels(VoxelInstance):
    """A labelarray."""

    def status(self, method: str, path: str, body: Any = None, **where: str) -> int:
        return int(self.ask(method, path, body, **where).status_code)

    def split(self, label: int, points_zyx: Points, query: str = "", **where: str) -> int:
        """Split voxels off; their new label."""
        return int(self.post(f"split/{label}{query}", sparse(points_zyx), **where).json["label"])

    def split_coarse(self, label: int, blocks_zyx: Points, query: str = "", **where: str) -> int:
        """Split off what lies in some blocks; its new label."""
        return int(self.post(f"split-coarse/{label}{query}", sparse(blocks_zyx), **where).json["label"])

    def points(self, label: int, what: str = "sparsevol", **where: str) -> Points:
        """Where a label is: voxels, or blocks."""
        return points_of(self.get(f"{what}/{label}", **where).content)

    def maxlabel(self, **where: str) -> int:
        return int(self.get("maxlabel", **where).json["maxlabel"])

    def stored(self) -> list[tuple[bytes, bytes]]:
        """All that is stored."""
        with self.database.store.snapshot() as snapshot:
            return [(bytes(key), bytes(value)) for key, value in snapshot.scan(b"\0", b"\xff" * 500)]


def sparse(points_zyx: Points) -> bytes:
    """Points as a sparse volume."""
    runs = np.ones((len(points_zyx), 4), np.int32)
    runs[:, :3] = points_zyx[:, ::-1]
    return encode_rles(ordered_runs(runs) if len(runs) else runs)


def points_of(data: bytes) -> Points:
    """The points of a sparse volume, in order of z, y, x."""
    found = [(z, y, x + i) for x, y, z, length in decode_rles(data).tolist() for i in range(length)]
    return np.array(sorted(found), np.int64).reshape(-1, 3)


MakeLabels = Callable[..., Labels]


@pytest.fixture(scope="module")
def make_labels(make_instance: MakeInstance) -> MakeLabels:
    """Makes labelarrays with blocks of 16^3, each in a new repo."""
    return lambda **settings: make_instance("labelarray", "seg", kind=Labels, **{"BlockSize": "16,16,16", **settings})


@pytest.fixture
def labels(make_labels: MakeLabels) -> Labels:
    """Labels 1 to 4, each a slab of 16 x 16 x 12 voxels along x: three blocks."""
    made = make_labels()
    made.write((0, 0, 0), np.broadcast_to(np.repeat(np.arange(1, 5, dtype=np.uint64), 12), (16, 16, 48)))
    return made
