"""A store for the tests of labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.labels.segmentation import Segmentation

from dvid.database import Database


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A store for all tests of a module; each segmentation has a repo of its own in it."""
    with Database.open(str(tmp_path_factory.mktemp("labels") / "store"), durability="relaxed") as opened:
        yield opened


@pytest.fixture
def segmentation(database: Database) -> Segmentation:
    """Supervoxels 1 to 9, with 10 to 90 voxels, each a body."""
    made = Segmentation(database)
    made.ingest({label: 10 * label for label in range(1, 10)})
    return made


@pytest.fixture
def make_segmentation(database: Database) -> Callable[..., Segmentation]:
    """Makes empty segmentations."""
    return lambda **settings: Segmentation(database, **settings)
