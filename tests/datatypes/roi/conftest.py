"""Regions, asked as clients ask them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.datatypes.conftest import Instance, MakeInstance


class Region(Instance):
    """A region."""

    def write(self, spans: Any, **where: str) -> None:
        self.post("roi", spans, **where)

    def spans(self, **where: str) -> Any:
        return self.get("roi", **where).json


MakeRegion = Callable[..., Region]


@pytest.fixture(scope="module")
def make_region(make_instance: MakeInstance) -> MakeRegion:
    """Makes regions named "r": `make_region("16,16,16")`, each in a new repo."""

    def make(block_size: str = "32,32,32", **options: Any) -> Region:
        return make_instance("roi", "r", kind=Region, BlockSize=block_size, **options)

    return make


@pytest.fixture
def region(make_region: MakeRegion) -> Region:
    return make_region()
