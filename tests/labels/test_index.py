"""The index: where supervoxels are, however many are asked for at once."""

import numpy as np
import pytest
from tests.labels.segmentation import Segmentation

from dvid.labels.accounts import account
from dvid.labels.bodies import bodies, members_of
from dvid.labels.index import Entries, all_entries, entries_of, sizes_of
from dvid.labels.sizes import extent_of, supervoxel_sizes

LAST = 2**64 - 2


def entered(segmentation, supervoxels, blocks, voxels, node=""):
    entries = Entries(
        np.array(supervoxels, np.uint64), np.array(blocks, np.int64).reshape(-1, 3), np.array(voxels, np.int64)
    )

    def enter(edit):
        account(edit, entries, edit.log("ingest", {}))

    segmentation.edit(enter, node)


def counts(entries):
    rows = zip(entries.supervoxels.tolist(), entries.blocks_zyx.tolist(), entries.voxels.tolist(), strict=True)
    return [(supervoxel, tuple(block), voxels) for supervoxel, block, voxels in rows]


@pytest.fixture(scope="module")
def crowd(database):
    """Some thousand supervoxels with up to 40 blocks each, near and far apart; what is where."""
    rng = np.random.default_rng(1)
    far = rng.integers(1, LAST, 800, np.uint64)
    labels = np.unique(np.concatenate((np.arange(1, 1500, dtype=np.uint64), far, np.array([LAST], np.uint64))))
    owners = np.repeat(labels, rng.integers(1, 40, len(labels)))
    blocks = rng.integers(-20, 20, (len(owners), 3))
    voxels = rng.integers(1, 99, len(owners))
    made = Segmentation(database)
    entered(made, owners, blocks, voxels)
    held = {}
    for supervoxel, block, count in zip(owners.tolist(), map(tuple, blocks.tolist()), voxels.tolist(), strict=True):
        places = held.setdefault(supervoxel, {})
        places[block] = places.get(block, 0) + count
    return made, held


@pytest.mark.parametrize("many", [1, 5, 15, 16, 40, 300, 1500, 5000])
def test_the_entries_of_however_many_supervoxels_are_theirs(crowd, many):
    made, held = crowd
    rng = np.random.default_rng(many)
    asked = rng.choice(np.array([*held, 0, 7 * 10**9, 2**64 - 1], np.uint64), many)
    wanted = {(label, block, count) for label in set(asked.tolist()) for block, count in held.get(label, {}).items()}
    found = made.see(lambda view: counts(all_entries(view, asked)))
    assert len(found) == len(wanted)
    assert set(found) == wanted
    assert [label for label, _, _ in found] == sorted(label for label, _, _ in found)
    sizes = [sum(held.get(label, {}).values()) for label in asked.tolist()]
    assert made.see(lambda view: sizes_of(view, asked).tolist()) == sizes
    assert made.see(lambda view: supervoxel_sizes(view, asked).tolist()) == sizes


def test_the_last_supervoxels_of_a_long_list_are_found_where_others_lie_between(crowd):
    made, held = crowd
    labels = sorted(held)
    for asked in (labels[:20] + labels[-20:], labels[::50], labels[3:2000:3]):
        found = made.see(lambda view, asked=asked: all_entries(view, np.array(asked, np.uint64)))
        assert np.unique(found.supervoxels).tolist() == asked


def test_nothing_is_read_where_nothing_is_asked_for(crowd):
    made, _ = crowd
    nothing = np.empty(0, np.uint64)
    assert made.see(lambda view: list(entries_of(view, nothing))) == []
    assert made.see(lambda view: sizes_of(view, nothing).tolist()) == []
    assert made.see(lambda view: supervoxel_sizes(view, nothing).tolist()) == []
    assert made.see(lambda view: extent_of(view, nothing)) is None


def test_an_extent_is_that_of_all_blocks(crowd):
    made, held = crowd
    blocks = {block for places in held.values() for block in places}
    extent = made.see(lambda view: extent_of(view, np.array(list(held), np.uint64)))
    assert extent.voxels == sum(sum(places.values()) for places in held.values())
    assert extent.blocks == len(blocks)
    assert extent.first_zyx == tuple(np.array(list(blocks)).min(0))
    assert extent.last_zyx == tuple(np.array(list(blocks)).max(0))


def test_the_supervoxels_of_many_bodies_are_told_with_their_bodies(segmentation):
    segmentation.merge(3, 4, 5)
    cleaved = segmentation.cleave(3, 3).label
    labels = np.array([1, 3, 4, cleaved, 99], np.uint64)
    supervoxels, places = segmentation.see(lambda view: members_of(view, labels, bodies(view, labels)))
    assert sorted(zip(places.tolist(), supervoxels.tolist(), strict=True)) == [(0, 1), (1, 4), (1, 5), (3, 3)]
