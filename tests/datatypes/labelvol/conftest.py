"""A labelvol and the labelblk that it is synced with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from tests.datatypes.conftest import MakeInstance
from tests.datatypes.labelblk.conftest import Labels

from dvid.codecs.sparsevols import decode_rles, encode_rles

Xyz = tuple[int, int, int]


class Pair(Labels):
    """A labelblk "seg", and "bodies", a labelvol."""

    def bodies(self, method: str, path: str, body: Any = None, **where: str) -> Any:
        return self.ask(method, path, body, name="bodies", **where)

    def voxels_of(self, label: int, query: str = "", **where: str) -> set[Xyz]:
        """The voxels of a label, x, y, z; none where it has no sparse volume."""
        reply = self.bodies("GET", f"sparsevol/{label}{query}", **where)
        assert reply.status_code in (200, 404), reply.text
        return points(reply.content) if reply.status_code == 200 else set()

    def blocks_of(self, label: int, **where: str) -> set[Xyz]:
        reply = self.bodies("GET", f"sparsevol-coarse/{label}", **where)
        return points(reply.content) if reply.status_code == 200 else set()

    def edit(self, path: str, body: Any, **where: str) -> Any:
        """An edit that must be taken; its answer."""
        reply = self.bodies("POST", path, body, **where)
        assert reply.status_code == 200, reply.text
        return reply.json


def points(volume: bytes) -> set[Xyz]:
    """The points of a sparse volume."""
    return {(x + i, y, z) for x, y, z, length in decode_rles(volume).tolist() for i in range(length)}


def volume_of(places: Iterable[Xyz]) -> bytes:
    """A sparse volume with a run for each point."""
    return encode_rles(np.array([(*place, 1) for place in sorted(places)], np.int32).reshape(-1, 4))


@pytest.fixture
def pair(make_instance: MakeInstance) -> Pair:
    """A pair with blocks of 8^3, synced both ways as clients do it."""
    made = make_instance("labelblk", "seg", kind=Pair, BlockSize="8,8,8")
    made.make("labelvol", "bodies", BlockSize="8,8,8")
    made.post("sync", {"sync": "bodies"})
    made.post("sync", {"sync": "seg"}, name="bodies")
    return made
