"""The extents of volumes: they grow with what is written, in each version by itself."""

import pytest

from dvid.database import Database
from dvid.datatypes.base import Options, new_instance
from dvid.datatypes.voxels import block_size_setting, extents_of, grow_extents, set_extents, voxel_extended
from dvid.errors import BadRequest
from dvid.geometry import Box
from dvid.versions import nodes, repos


@pytest.fixture
def database(tmp_path):
    with Database.open(str(tmp_path / "store"), durability="relaxed") as opened:
        yield opened


class Volume:
    """A label volume with blocks of 32 x 16 x 64 voxels (z, y, x)."""

    def __init__(self, database, **settings):
        self.database = database
        self.root = database.transact(lambda tx, _: repos.create_repo(tx)).root_uuid
        given = {"typename": "labelblk", "dataname": "v", "BlockSize": "64,16,32", **settings}
        database.transact(lambda tx, directory: new_instance(tx, directory.node(tx, self.root).record, given))

    def grow(self, box, node=None):
        self.database.edit(node or self.root, "v", lambda edit: grow_extents(edit, box))

    def extents(self, node=None):
        with self.database.view(node or self.root, "v") as view:
            return extents_of(view)

    def child(self, node, branch):
        return self.database.transact(
            lambda tx, directory: nodes.branch(tx, directory.node(tx, node).record, name=branch)
        ).uuid

    def commit(self, *uuids):
        for uuid in uuids:
            self.database.transact(lambda tx, directory, uuid=uuid: nodes.commit(tx, directory.node(tx, uuid).record))

    def generation(self):
        """The stamp that says whether infos may have changed."""
        with self.database.store.snapshot() as snapshot:
            return bytes(snapshot.get(b"\0\0\0\0A"))


def test_extents_grow_to_the_smallest_box_around_all(database):
    volume = Volume(database)
    assert volume.extents() is None
    volume.grow(Box((0, 0, 0), (1, 2, 3)))
    volume.grow(Box((-5, 1, 1), (0, 9, 2)))
    assert volume.extents() == Box((-5, 0, 0), (1, 9, 3))


def test_an_empty_box_does_not_grow_them(database):
    volume = Volume(database)
    volume.grow(Box((5, 5, 5), (5, 9, 9)))
    assert volume.extents() is None


def test_growing_by_what_is_inside_writes_nothing(database):
    volume = Volume(database)
    volume.grow(Box((0, 0, 0), (10, 10, 10)))
    before = volume.generation()
    volume.grow(Box((1, 1, 1), (10, 10, 10)))
    assert volume.generation() == before
    volume.grow(Box((1, 1, 1), (10, 10, 11)))
    assert volume.generation() != before


def test_they_begin_with_what_was_known_beforehand(database):
    volume = Volume(database, MinPoint="1,2,3", MaxPoint="4,5,6")
    assert volume.extents() == Box((3, 2, 1), (7, 6, 5))
    volume.grow(Box((0, 4, 4), (1, 5, 5)))
    assert volume.extents() == Box((0, 2, 1), (7, 6, 5))


def test_they_can_be_set_smaller(database):
    volume = Volume(database)
    volume.grow(Box((0, 0, 0), (10, 10, 10)))
    database.edit(volume.root, "v", lambda edit: set_extents(edit, Box((1, 1, 1), (2, 2, 2))))
    assert volume.extents() == Box((1, 1, 1), (2, 2, 2))


def test_each_branch_has_its_own_and_a_merge_holds_both(database):
    volume = Volume(database)
    volume.grow(Box((0, 0, 0), (1, 1, 1)))
    volume.commit(volume.root)
    one, two = volume.child(volume.root, "one"), volume.child(volume.root, "two")
    volume.grow(Box((0, 0, 0), (5, 1, 1)), one)
    volume.grow(Box((0, -7, 0), (1, 1, 1)), two)
    assert volume.extents(one) == Box((0, 0, 0), (5, 1, 1))
    assert volume.extents(two) == Box((0, -7, 0), (1, 1, 1))
    volume.commit(one, two)
    merged = database.transact(
        lambda tx, directory: nodes.merge(tx, directory.lineages, [directory.node(tx, n).record for n in (one, two)])
    ).uuid
    assert volume.extents(merged) == Box((0, -7, 0), (5, 1, 1))
    volume.grow(Box((0, 0, 0), (1, 1, 9)), merged)
    assert volume.extents(merged) == Box((0, -7, 0), (5, 1, 9))


def test_infos_show_the_last_voxel_and_block_not_those_behind(database):
    volume = Volume(database)
    volume.grow(Box((-1, 0, 63), (32, 16, 65)))
    with database.view(volume.root, "v") as view:
        info = voxel_extended(view)
    assert (info["MinPoint"], info["MaxPoint"]) == ([63, 0, -1], [64, 15, 31])
    assert (info["MinIndex"], info["MaxIndex"]) == ([0, 0, -1], [1, 0, 0])


def test_blocks_of_more_than_64_mebibytes_are_refused():
    assert block_size_setting(Options({"BlockSize": "256,256,128"}), 32, 8) == [256, 256, 128]
    with pytest.raises(BadRequest, match="bytes"):
        block_size_setting(Options({"BlockSize": "256,256,129"}), 32, 8)
