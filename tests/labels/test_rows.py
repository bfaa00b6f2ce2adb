"""Rows of many labels at once: of bodies and of the mapping, however they lie in the store."""

import numpy as np
import pytest
from tests.labels.segmentation import Segmentation

from dvid.errors import CorruptValue
from dvid.labels.bodies import bodies
from dvid.labels.mapping import bodies_of, put_mappings, verified_bodies_of
from dvid.labels.rows import rows_of
from dvid.labels.tables import BODIES, label_key

MANY = 3000


@pytest.fixture(scope="module")
def versions(database):
    """Bodies 1 to 3000 at the root; at its child some are larger, some merged, some new. Both, and what each holds."""
    made = Segmentation(database)
    made.ingest({label: label for label in range(1, MANY + 1)})
    sizes = {label: label for label in range(1, MANY + 1)}
    made.commit()
    child = made.child()
    more = dict.fromkeys(range(500, 2500), 7) | {9000 + label: 3 for label in range(40)}
    made.ingest(more, child)
    made.merge(1, *range(2000, 2200), node=child)
    later = {label: sizes.get(label, 0) + more.get(label, 0) for label in sizes | more}
    later[1] += sum(later.pop(label) for label in range(2000, 2200))
    return made, {made.root: sizes, child: later}


@pytest.mark.parametrize("many", [1, 3, 150, 250, 900, 3000, 20_000])
def test_the_rows_of_bodies_are_those_of_the_version(versions, many):
    made, held = versions
    for node, sizes in held.items():
        asked = np.random.default_rng(many).integers(0, 2 * MANY, many).astype(np.uint64)
        found = made.see(lambda view, asked=asked: bodies(view, asked), node)
        assert found["voxels"].tolist() == [sizes.get(label, 0) for label in asked.tolist()]


@pytest.mark.parametrize(
    "asked", [range(1, 3001), range(2400, 9100), [*range(1, 300), *range(10**9, 10**9 + 300)], [2**64 - 1] * 300]
)
def test_rows_that_lie_together_or_far_apart_are_found(versions, asked):
    made, held = versions
    for node, sizes in held.items():
        found = made.see(lambda view: bodies(view, np.array(asked, np.uint64)), node)
        assert found["voxels"].tolist() == [sizes.get(label, 0) for label in asked]


def test_the_mapping_of_many_supervoxels_is_that_of_the_version(versions):
    made, (root, child) = versions[0], versions[1]
    asked = np.random.default_rng(0).permutation(np.arange(1, 4000)).astype(np.uint64)
    assert made.see(lambda view: bodies_of(view, asked), root).tolist() == asked.tolist()
    expected = [1 if 2000 <= label < 2200 else label for label in asked.tolist()]
    assert made.see(lambda view: bodies_of(view, asked), child).tolist() == expected
    verified = made.see(lambda view: verified_bodies_of(view, asked), child).tolist()
    assert verified == [0 if label > 3000 else body for label, body in zip(asked.tolist(), expected, strict=True)]


def test_a_mapping_of_most_supervoxels_is_told_of_all(database):
    made = Segmentation(database)
    supervoxels = np.arange(1, 5001, dtype=np.uint64)
    made.edit(lambda edit: put_mappings(edit, supervoxels, supervoxels[::-1]))
    for step in (1, 3, 20):
        asked = supervoxels[::step]
        assert made.see(lambda view, asked=asked: bodies_of(view, asked)).tolist() == (5001 - asked).tolist()


def test_a_row_of_another_size_is_an_error(database):
    made = Segmentation(database)
    made.ingest(dict.fromkeys(range(1, 400), 1))
    made.edit(lambda edit: edit.put(BODIES, label_key(77), b"short"))
    for asked in (np.arange(70, 80), np.arange(1, 400)):
        with pytest.raises(CorruptValue, match="length"):
            made.see(lambda view, asked=asked: rows_of(view, BODIES, asked.astype(np.uint64), 17))
