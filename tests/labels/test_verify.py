"""`dvid verify` finds whatever does not agree in labels, at any version, and complains of nothing else; repair mends it."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.labels.segmentation import BLOCK_ZYX, Segmentation

from dvid.cli.verify import _edit, _sources, check_content, check_instance
from dvid.codecs.labelblocks import deflate
from dvid.database import Database
from dvid.errors import BadRequest, Conflict, DvidError
from dvid.geometry import Box
from dvid.labels import differences
from dvid.labels.mapping import put_mapping
from dvid.labels.repair import repair
from dvid.labels.tables import (
    BLOCKS,
    BODIES,
    BODY,
    ENTRY,
    INDEX,
    LIMITS,
    MAPPING,
    MEMBERS,
    SPLITS,
    block_key,
    label_key,
    member_keys,
)
from dvid.labels.writing import from_voxels, write_blocks
from dvid.versions import layout, nodes
from dvid.versions.envelope import Format, seal
from dvid.versions.verify import verify


@pytest.fixture
def database(tmp_path):
    with Database.open(str(tmp_path / "store"), durability="relaxed") as opened:
        yield opened


def found(database, *, notes=False):
    """What `dvid verify` finds."""
    problems = verify(database.store, check_content, check_instance=check_instance)
    return [problem for problem in problems if notes or not problem.is_note]


def mend(segmentation):
    edit = partial(_edit, segmentation.database, segmentation.name)
    sources = partial(_sources, segmentation.database, segmentation.root, segmentation.name)
    return list(repair(sources, edit))


def voxels(seed, labels=12, shape=(32, 32, 32)):
    coarse = np.random.default_rng(seed).integers(1, labels + 1, [edge // 4 for edge in shape], dtype=np.uint64)
    return coarse.repeat(4, 0).repeat(4, 1).repeat(4, 2)


def history(database, seed=0):
    """A segmentation with every kind of edit, over versions and branches; the versions by name."""
    made = Segmentation(database, MaxDownresLevel=1)
    made.write(voxels(seed))
    made.merge(1, 2, 3)
    made.commit()
    one = made.child()
    made.write(voxels(seed + 1)[:16], (16, 0, 0), one)
    cleaved = made.cleave(1, 2, node=one)
    made.merge(4, 5, node=one)
    made.commit(one)
    left, right = made.child(one), made.child(one, "right")
    made.renumber((1000, 6), node=left)
    points = np.argwhere(made.voxels((32, 32, 32), node=left) == 7)[::2]
    divided = made.split(7, points, left)
    undone = made.merge(8, 9, 10, node=right)
    made.undo(undone, right)
    made.merge(cleaved.label, 4, node=right)
    made.commit(left)
    return made, {"root": made.root, "one": one, "left": left, "right": right, "last": made.child(left)}, divided


def put(segmentation, node, table, key, payload, form=Format.RAW):
    """Store a row, whatever that damages."""
    segmentation.database.edit(node, segmentation.name, lambda edit: edit.put(table, key, payload, form), unlocked=True)


def delete(segmentation, node, table, key):
    segmentation.database.edit(node, segmentation.name, lambda edit: edit.delete(table, key), unlocked=True)


def rows(segmentation, node, table):
    return segmentation.see(lambda view: [(key, bytes(value.payload)) for key, value in view.scan(table)], node)


# ---- nothing is wrong


def test_every_kind_of_edit_leaves_labels_that_agree_at_every_version(database):
    made, _, _ = history(database)
    assert found(database, notes=True) == []
    assert mend(made) == []


operations = st.lists(
    st.tuples(
        st.sampled_from(
            ["write", "merge", "cleave", "renumber", "split", "split body", "undo", "version", "branch", "back"]
        ),
        st.integers(0, 10**6),
    ),
    min_size=5,
    max_size=25,
)


@settings(max_examples=15)
@given(operations=operations)
def test_whatever_is_done_to_labels_verify_has_nothing_to_complain_of(database, operations):
    made = Segmentation(database)
    made.write(voxels(1, 8, (16, 16, 32)))
    node, all_nodes, mutations = made.root, [made.root], []
    for action, number in operations:
        random = np.random.default_rng(number)
        try:
            if action == "back":
                node = all_nodes[number % len(all_nodes)]
            elif action in ("version", "branch"):
                with database.view(node, made.name) as view:
                    locked = view.node.locked
                if not locked:
                    made.commit(node)
                node = made.child(node, f"branch{len(all_nodes)}" if action == "branch" else "")
                all_nodes.append(node)
                continue
            labels = sorted(made.sizes(node))
            chosen = random.permutation(labels).tolist()
            if action == "write":
                made.write(voxels(number, 10, (16, 16, 16)), (0, 0, 16 * (number % 3)), node)
            elif action == "merge" and len(chosen) > 2:
                mutations.append(made.merge(*chosen[:3], node=node))
            elif action == "cleave" and len(members := made.members(chosen[0], node)) > 1:
                mutations.append(made.cleave(chosen[0], *members[:-1], node=node).mutation)
            elif action == "renumber":
                mutations.append(made.renumber((number + 100, chosen[0]), node=node))
            elif action == "split":
                held = made.voxels((16, 16, 32), node=node)
                supervoxel = int(held.flat[number % held.size])
                mutations.append(made.split(supervoxel, np.argwhere(held == supervoxel)[::3], node).mutation)
            elif action == "split body":
                shown = made.voxels((16, 16, 32), node=node, bodies=True)
                body = int(shown.flat[number % shown.size])
                mutations.append(made.split_body(body, np.argwhere(shown == body)[number % 3 :: 3], node).mutation)
            elif action == "undo" and mutations:
                made.undo(mutations[-1 - number % len(mutations)], node)
        except (BadRequest, Conflict):
            pass
        except DvidError as error:
            if "committed" not in str(error):
                raise
    assert [problem for problem in found(database) if problem.instance] == []


def merged_from(database, *tips):
    def merge(tx, directory):
        return nodes.merge(tx, directory.lineages, [directory.node(tx, tip).record for tip in tips]).uuid

    return database.transact(merge)


def test_a_merged_node_that_inherits_different_values_is_noted_and_no_damage(database):
    made = Segmentation(database)
    made.write(voxels(3))
    made.commit()
    left, right = made.child(), made.child(branch="right")
    made.merge(1, 2, node=left)
    made.merge(1, 3, node=right)
    made.commit(left)
    made.commit(right)
    merged = merged_from(database, left, right)
    (note,) = found(database, notes=True)
    assert (note.node, note.is_note) == (merged, True)
    assert "different values" in note.what
    (refused,) = mend(made)
    assert (refused.node, refused.count) == (merged, 0)


def test_a_merged_node_whose_parents_changed_different_labels_agrees(database):
    made = Segmentation(database)
    made.write(voxels(3))
    made.commit()
    left, right = made.child(), made.child(branch="right")
    made.merge(1, 2, node=left)
    made.merge(3, 4, node=right)
    made.commit(left)
    made.commit(right)
    merged = merged_from(database, left, right)
    assert {*made.members(1, merged), *made.members(3, merged)} == {1, 2, 3, 4}
    assert found(database, notes=True) == []
    put(made, merged, BODIES, label_key(5), np.array((77, 1, 1), BODY).tobytes())
    (problem,) = found(database)
    assert (problem.node, "77" in problem.what) == (merged, True)


def test_an_instance_without_index_is_not_compared(database):
    made = Segmentation(database, IndexedLabels="false")
    put(made, made.root, BODIES, label_key(5), np.array((77, 1, 1), BODY).tobytes())
    assert found(database, notes=True) == []


def test_blocks_that_came_without_index_are_noted_and_no_damage(database):
    made = Segmentation(database)
    made.write(voxels(1))
    blocks = from_voxels(Box((0, 0, 64), (16, 16, 80)), voxels(2, 5, (16, 16, 16)), BLOCK_ZYX, [(0, 0, 4)])
    made.edit(lambda edit: write_blocks(edit, blocks, indexed=False))
    assert found(database) == []
    noted = [problem.what for problem in found(database, notes=True)]
    assert len(noted) == 5
    assert all("in block 4,0,0, and the index tells of 0" in what for what in noted)
    mend(made)
    assert found(database, notes=True) == []
    assert made.sizes()[1] == (made.voxels((32, 32, 80)) == 1).sum()


@settings(max_examples=15)
@given(written=st.lists(st.tuples(st.integers(0, 1000), st.booleans()), min_size=1, max_size=6))
def test_blocks_may_be_written_over_those_that_came_without_index(database, written):
    made = Segmentation(database)
    box, places = Box((0, 0, 0), (16, 16, 32)), [(0, 0, 0), (0, 0, 1)]
    for seed, indexed in [*written, (1, True)]:
        blocks = from_voxels(box, voxels(seed, 5, (16, 16, 32)), BLOCK_ZYX, places)
        made.edit(lambda edit, blocks=blocks, indexed=indexed: write_blocks(edit, blocks, indexed=indexed))
    labels, counts = np.unique(voxels(1, 5, (16, 16, 32)), return_counts=True)
    sizes = made.sizes()
    assert {label: sizes[label] for label in labels.tolist()} == dict(
        zip(labels.tolist(), counts.tolist(), strict=True)
    )
    left = set(sizes) - set(labels.tolist())  # what was overwritten without index is known to it still
    assert len(found(database, notes=True)) == sum(
        len(made.state().index[supervoxel]) for body in left for supervoxel in made.members(body)
    ) + len(left)


# ---- each kind of damage, at each version


def damages(made, node):
    """Each way to damage a version: a name, and what does it; and what a problem says then."""
    sizes = made.sizes(node)
    supervoxel = next(s for s in sizes if made.members(s, node) == [s])
    index = [(key, payload) for key, payload in rows(made, node, INDEX) if key[:8] == label_key(supervoxel)]
    key, payload = index[0]
    entries = np.frombuffer(payload, ENTRY).copy()
    entries["voxels"][0] += 5
    other = max(sizes)
    member_key, _ = rows(made, node, MEMBERS)[0]
    member, body = int.from_bytes(member_key[8:], "big"), int.from_bytes(member_key[:8], "big")
    row = np.array((sizes[body] + 9, 1, made.see(lambda view: body in made.members(body, node), node)), BODY)
    own = np.array((sizes[supervoxel], 1, 0), BODY)
    alien = member_keys(other, np.array([supervoxel], np.uint64))[0]
    place = np.frombuffer(rows(made, node, BLOCKS)[0][0][1:], ">u4").astype(np.int64) - 2**31
    where = f"block {','.join(map(str, place[::-1]))}"
    first = (entries["block"][0], f"supervoxel {supervoxel} has {entries['voxels'][0] - 5} voxels in block")
    return {
        "an entry of the index is larger": (lambda: put(made, node, INDEX, key, entries.tobytes()), first[1]),
        "a row of the index is lost": (lambda: delete(made, node, INDEX, key), "the index tells of 0"),
        "a block is lost": (lambda: delete(made, node, BLOCKS, block_key(0, tuple(place.tolist()))), where),
        "a body has another size": (
            lambda: put(made, node, BODIES, label_key(body), row.tobytes()),
            f"body {body} has {sizes[body]} voxels, and its row tells of {sizes[body] + 9}",
        ),
        "a body is lost": (
            lambda: delete(made, node, BODIES, label_key(body)),
            f"body {body} has {sizes[body]} voxels",
        ),
        "a body lacks its own supervoxel": (
            lambda: put(made, node, BODIES, label_key(supervoxel), own.tobytes()),
            f"supervoxel {supervoxel} is mapped to body {supervoxel}, which does not have it",
        ),
        "a member is lost": (
            lambda: delete(made, node, MEMBERS, member_key),
            f"supervoxel {member} is mapped to body {body}, which does not have it",
        ),
        "a supervoxel is a member of two bodies": (
            lambda: put(made, node, MEMBERS, alien, b""),
            f"supervoxel {supervoxel} is a member of body {other}",
        ),
        "a supervoxel is mapped to nothing": (
            lambda: put(made, node, MAPPING, label_key(supervoxel), bytes(8)),
            f"supervoxel {supervoxel} has voxels, and is mapped to 0",
        ),
    }


KINDS = [
    "an entry of the index is larger",
    "a row of the index is lost",
    "a block is lost",
    "a body has another size",
    "a body is lost",
    "a body lacks its own supervoxel",
    "a member is lost",
    "a supervoxel is a member of two bodies",
    "a supervoxel is mapped to nothing",
]


@pytest.mark.parametrize("where", ["root", "one", "left", "last"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_damage_is_found_where_it_is_and_mended(database, kind, where):
    made, named, _ = history(database)
    before = {name: made.voxels((32, 32, 32), node=node) for name, node in named.items()}
    damage, words = damages(made, named[where])[kind]
    damage()
    problems = found(database)
    assert any(words in problem.what for problem in problems), [problem.what for problem in problems]
    assert {problem.instance for problem in problems} == {made.name}
    assert named[where] in {problem.node for problem in problems}
    earlier = list(named)[: list(named).index(where)]
    assert not {named[name] for name in earlier} & {problem.node for problem in problems}
    assert all(layout.unpack_u32(problem.key[:4]) for problem in problems)
    assert mend(made)
    assert found(database) == []
    if kind != "a block is lost":
        for name, node in named.items():
            assert (made.voxels((32, 32, 32), node=node) == before[name]).all()


def test_a_largest_label_that_is_forgotten_is_found_and_mended(database):
    made, _, _ = history(database)
    put(made, made.root, LIMITS, b"largest label", (3).to_bytes(8, "little"))
    (problem,) = found(database)
    assert problem.node == made.root
    assert "noted as 3, and there is the label 12" in problem.what
    assert mend(made)
    assert found(database) == []


def test_what_is_mended_is_what_was_there(database):
    made, named, _ = history(database)
    before = {name: made.state(node) for name, node in named.items()}
    ways = damages(made, named["one"])
    for kind in (
        "a row of the index is lost",
        "a body has another size",
        "a member is lost",
        "a supervoxel is a member of two bodies",
    ):
        ways[kind][0]()
    assert found(database)
    assert mend(made)
    assert {name: made.state(node) for name, node in named.items()} == before


@pytest.mark.parametrize("table", [INDEX, BODIES, MEMBERS])
def test_rows_of_which_a_bit_was_flipped_are_mended(database, table):
    made, named, _ = history(database)
    before = {name: made.state(node) for name, node in named.items()}

    def flip(transaction):
        with database.view(made.root, made.name) as view:
            prefix = layout.table_prefix(view.instance.number, table)
        entries = transaction.scan(prefix, layout.after(prefix))
        key, value = next(entry for entry in entries if entry.value[0] != Format.TOMBSTONE)
        key, damaged = bytes(key), bytearray(value)
        damaged[3] ^= 1
        transaction.put(key, damaged)

    database.store.transact(flip)
    assert any("checksum" in problem.what for problem in found(database))
    assert mend(made)
    assert found(database) == []
    assert {name: made.state(node) for name, node in named.items()} == before


def test_a_block_that_cannot_be_read_is_found_and_its_index_is_kept(database):
    made, named, _ = history(database)
    key, payload = rows(made, named["last"], BLOCKS)[0]
    index = rows(made, named["last"], INDEX)
    put(made, named["last"], BLOCKS, key, payload[:-20], Format.GZIP)
    (problem,) = found(database)
    assert problem.node == named["last"]
    assert mend(made) == []
    assert rows(made, named["last"], INDEX) == index


def test_everything_is_made_anew_from_voxels_and_mapping(database):
    made, named, _ = history(database)
    before = {name: made.state(node) for name, node in named.items()}

    def wipe(transaction):
        with database.view(made.root, made.name) as view:
            number = view.instance.number
        for table in (INDEX, BODIES, MEMBERS):
            prefix = layout.table_prefix(number, table)
            transaction.delete_range(prefix, layout.after(prefix))

    database.store.transact(wipe)
    assert found(database)
    assert mend(made)
    assert found(database) == []
    assert {name: made.state(node) for name, node in named.items()} == before


def test_many_differences_are_compared_a_part_at_a_time(database, monkeypatch):
    made = Segmentation(database)
    made.write(voxels(5, 300))
    expected = made.state()
    monkeypatch.setattr(differences, "_MOST_HELD", 40)

    def wipe(transaction):
        with database.view(made.root, made.name) as view:
            prefix = layout.table_prefix(view.instance.number, INDEX)
        transaction.delete_range(prefix, layout.after(prefix))

    database.store.transact(wipe)
    assert len(found(database)) > 300
    mend(made)
    assert found(database) == []
    assert made.state() == expected


def test_posted_mappings_that_differ_from_members_are_noted(database):
    made = Segmentation(database)
    made.write(voxels(1))

    def post(edit):
        edit.set_number("posted mappings", 1)
        put_mapping(edit, np.array([2], np.uint64), 1)

    made.edit(post)
    assert found(database) == []
    assert any("supervoxel 2 is mapped to body 1" in problem.what for problem in found(database, notes=True))


@pytest.mark.parametrize(
    ("table", "key", "payload"),
    [
        (BLOCKS, bytes(12), b""),
        (BLOCKS, block_key(0, (5, 5, 5)), deflate(bytes(16))),
        (INDEX, bytes(19), bytes(6)),
        (INDEX, label_key(3) + bytes(12), b"no entry"),
        (INDEX, label_key(3) + bytes(12), bytes(6)),
        (BODIES, label_key(3), b"short"),
        (BODIES, label_key(3), np.array((0, 1, 1), BODY).tobytes()),
        (MEMBERS, label_key(3) * 2, b""),
        (MEMBERS, label_key(1) + label_key(2), b"something"),
        (MAPPING, label_key(99), b"short"),
        (SPLITS, bytes(12), b"short"),
        (LIMITS, b"smallest labe", bytes(8)),
        (b"\x7f", b"1234", b""),
    ],
)
def test_rows_that_are_none_are_found(database, table, key, payload):
    made = Segmentation(database)
    made.write(voxels(1))
    put(made, made.root, table, key, payload, Format.GZIP if table == BLOCKS else Format.RAW)
    problems = found(database)
    assert problems
    assert {problem.node for problem in problems} == {made.root}
    assert layout.pack_u32(layout.unpack_u32(problems[0].key[:4])) + table + key in {
        problem.key[:-4] for problem in problems
    }


# ---- numbers and waiting work


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (layout.WORK + layout.pack_u32(4000) + b"\1" + bytes(12), "version 4000, which does not exist"),
        (layout.WORK + layout.pack_u32(1), "lacks what to do"),
        (layout.NUMBERS, "without a name"),
    ],
)
def test_numbers_and_waiting_work_that_cannot_be_are_found(database, key, words):
    made = Segmentation(database)
    with database.view(made.root, made.name) as view:
        full = layout.pack_u32(view.instance.number) + key
    database.store.transact(lambda tx: tx.put(full, seal(full, layout.pack_u64(7))))
    (problem,) = found(database)
    assert words in problem.what
