"""Images, asked as clients ask them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.datatypes.conftest import MakeInstance, VoxelInstance

MakeImage = Callable[..., VoxelInstance]


@pytest.fixture(scope="module")
def make_image(make_instance: MakeInstance) -> MakeImage:
    """Makes images named "image": `make_image("uint8blk", BlockSize="16,16,16")`, each in a new repo."""

    def make(typename: str = "uint8blk", **options: Any) -> VoxelInstance:
        return make_instance(typename, "image", kind=VoxelInstance, **options)

    return make


@pytest.fixture
def image(make_image: MakeImage) -> VoxelInstance:
    return make_image(BlockSize="16,16,16")
