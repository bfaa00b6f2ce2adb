"""Questions about regions, answered as a plain set of blocks answers them."""

import json
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvid.datatypes.roi import operations as ops
from dvid.datatypes.roi.layers import decode_layer, encode_layer
from dvid.datatypes.roi.partitions import COVER, GRID, LEGACY, partition, partition_json
from dvid.errors import BadRequest, CorruptValue
from dvid.geometry import Box
from dvid.versions.envelope import Value, expand

# The store is emptied by each example: a region is replaced as a whole.
FRESH_EACH = settings(max_examples=60)

small = st.integers(-4, 4)
span_lists = st.lists(
    st.tuples(small, small, small, st.integers(0, 4)).map(lambda s: [*s[:3], s[2] + s[3]]), max_size=25
)
starts = st.tuples(*[st.integers(-60, 60)] * 3)
shapes = st.tuples(*[st.integers(1, 45)] * 3)


def blocks_of(spans):
    """The model: the set of (z, y, x)."""
    return {(z, y, x) for z, y, x0, x1 in spans for x in range(x0, x1 + 1)}


def stored(region, spans):
    """Make the region what the spans say."""
    packed = ops.packed_region(ops.checked_spans(np.array(spans, np.int32).reshape(-1, 4)))
    region.database.edit(region.node, "r", lambda edit: ops.replace_region(edit, *packed))


def view_of(region):
    return region.database.view(region.node, "r")


def model_mask(blocks, box, edges):
    """Each voxel of the box looked up in the set."""
    axes = [np.arange(a, b) // edge for a, b, edge in zip(box.start_zyx, box.stop_zyx, edges, strict=True)]
    looked_up = {point: point in blocks for point in product(*(np.unique(axis).tolist() for axis in axes))}
    firsts = [np.unique(axis) for axis in axes]
    coarse = np.array([looked_up[p] for p in product(*(f.tolist() for f in firsts))], bool)
    coarse = coarse.reshape([len(f) for f in firsts])
    return coarse[np.ix_(*(np.searchsorted(f, axis) for f, axis in zip(firsts, axes, strict=True)))]


@pytest.fixture
def odd(make_region):
    """A region whose blocks have 5 x 7 x 9 voxels (z, y, x)."""
    return make_region("9,7,5")


@FRESH_EACH
@given(spans=span_lists)
def test_spans_are_the_set_that_was_stored(odd, spans):
    stored(odd, spans)
    with view_of(odd) as view:
        found = [span for layer in ops.read_spans(view) for span in layer.tolist()]
        z_range = ops.z_range(view)
    blocks = blocks_of(spans)
    assert blocks_of(found) == blocks
    assert found == sorted(found)
    assert sum(x1 - x0 + 1 for _, _, x0, x1 in found) == len(blocks)
    zs = [z for z, _, _ in blocks]
    assert z_range == ((min(zs), max(zs)) if zs else None)


@FRESH_EACH
@given(spans=span_lists, start=starts, shape=shapes)
def test_masks_are_those_of_the_set(odd, spans, start, shape):
    stored(odd, spans)
    box, edges = Box.at(start, shape), (5, 7, 9)
    expected = model_mask(blocks_of(spans), box, edges)
    with view_of(odd) as view:
        voxels = ops.voxel_mask(view, box)
        pieces = b"".join(ops.stream_voxel_mask(view, box))
        blocks, where = ops.block_mask(view, box)
    np.testing.assert_array_equal(voxels, expected)
    assert pieces == expected.tobytes()
    assert where == box.blocks(edges)
    np.testing.assert_array_equal(blocks.ravel(), [block in blocks_of(spans) for block in where])


@FRESH_EACH
@given(spans=span_lists, start=starts, shape=shapes, grid=st.tuples(*[st.integers(1, 25)] * 3))
def test_blocks_of_another_grid_touch_the_region_where_one_of_their_voxels_does(odd, spans, start, shape, grid):
    stored(odd, spans)
    box = Box.at(start, shape)
    with view_of(odd) as view:
        touched, where = ops.touched_blocks(view, box, grid)
        expected = [
            bool(ops.voxel_mask(view, Box.at(tuple(np.multiply(b, grid).tolist()), grid)).any())
            for b in list(where)[:50]
        ]
    assert where == box.blocks(grid)
    assert touched.shape == where.shape_zyx
    assert touched.ravel()[:50].tolist() == expected


@FRESH_EACH
@given(spans=span_lists, points=st.lists(st.tuples(*[st.integers(-60, 60)] * 3), max_size=40))
def test_points_are_inside_where_their_block_is(odd, spans, points):
    stored(odd, spans)
    with view_of(odd) as view:
        inside = ops.points_inside(view, np.array(points, np.int32).reshape(-1, 3))
    blocks = blocks_of(spans)
    assert inside.tolist() == [(z // 5, y // 7, x // 9) in blocks for x, y, z in points]


def test_a_box_query_reads_the_layers_it_needs_only(odd):
    """Other layers may even be damaged."""
    stored(odd, [[z, 0, 0, 0] for z in range(100)])

    def damage(edit):
        for z in range(100):
            if z not in (50, 51):
                edit.put(b"\x10", (z + 2**31).to_bytes(4, "big"), b"no spans")

    odd.database.edit(odd.node, "r", damage)
    with view_of(odd) as view:
        assert ops.voxel_mask(view, Box((250, 0, 0), (260, 7, 9))).all()
        assert ops.points_inside(view, np.array([[0, 0, 255]], np.int32)).all()
        with pytest.raises(CorruptValue):
            ops.voxel_mask(view, Box((250, 0, 0), (261, 7, 9)))


def test_another_type_of_data_is_not_a_region(odd):
    made = odd.request("POST", f"/api/repo/{odd.node}/instance", '{"typename": "keyvalue", "dataname": "kv"}')
    assert made.status_code == 200
    with view_of(odd) as view, pytest.raises(BadRequest, match="keyvalue"):
        ops.voxel_mask(view.sibling("kv"), Box((0, 0, 0), (1, 1, 1)))


@given(st.lists(st.tuples(*[st.integers(-(2**31), 2**31 - 1)] * 3).map(lambda s: [s[0], *sorted(s[1:])])))
def test_a_layer_is_stored_as_it_is(spans):
    layer = np.array(sorted(spans), np.int32).reshape(-1, 3)
    payload, form = encode_layer(layer)
    np.testing.assert_array_equal(decode_layer(expand(Value(form, memoryview(payload)))), layer)


def test_regular_layers_are_stored_in_little_space():
    layer = np.array([[y, 3, 40] for y in range(1000)], np.int32)
    assert len(encode_layer(layer)[0]) < 200


# ---- partitions ---------------------------------------------------------------------------------


def cut(region, spans, batch, style):
    stored(region, spans)
    with view_of(region) as view:
        return partition(view, batch, style)


def boxes_of(parts):
    return [
        set(product(*(range(a, b + 1) for a, b in zip(first, last, strict=True))))
        for first, last in zip(parts.first_zyx.tolist(), parts.last_zyx.tolist(), strict=True)
    ]


def thin_layers_only(spans, batch):
    """True if no hole of the region is as thick as a batch in z."""
    zs = sorted({span[0] for span in spans})
    return all(b - a <= batch for a, b in pairwise(zs))


@FRESH_EACH
@given(spans=span_lists, batch=st.integers(1, 6))
def test_covering_boxes_hold_each_block_once_and_are_as_tight_as_can_be(odd, spans, batch):
    parts = cut(odd, spans, batch, COVER)
    blocks, boxes = blocks_of(spans), boxes_of(parts)
    inside = [box & blocks for box in boxes]
    assert sum(map(len, inside)) == len(blocks)
    assert set().union(*inside) == blocks
    assert parts.active.tolist() == [len(found) for found in inside]
    assert parts.total.tolist() == [len(box) for box in boxes]
    assert parts.considered == sum(map(len, boxes))
    for first, last, found in zip(parts.first_zyx, parts.last_zyx, inside, strict=True):
        assert (last - first < batch).all()
        assert first.tolist() == np.min(list(found), axis=0).tolist()
        assert last.tolist() == np.max(list(found), axis=0).tolist()


@FRESH_EACH
@given(spans=span_lists, batch=st.integers(1, 6))
def test_the_cubes_of_a_plain_partition_hold_each_block_once(odd, spans, batch):
    parts = cut(odd, spans, batch, GRID)
    blocks, boxes = blocks_of(spans), boxes_of(parts)
    assert parts.active.sum() == len(blocks)
    assert (parts.active > 0).all()
    assert (parts.last_zyx - parts.first_zyx == batch - 1).all()
    assert parts.considered >= parts.total.sum()
    if thin_layers_only(spans, batch):
        assert parts.active.tolist() == [len(box & blocks) for box in boxes]
        assert set().union(*boxes) >= blocks


@FRESH_EACH
@given(spans=span_lists, batch=st.integers(1, 6))
def test_the_sums_of_a_partition_as_the_reference_makes_it_are_right(odd, spans, batch):
    parts = cut(odd, spans, batch, LEGACY)
    blocks = blocks_of(spans)
    assert parts.active.sum() == len(blocks)
    assert parts.considered == parts.total.sum()
    if blocks:
        assert parts.region == (tuple(np.min(list(blocks), axis=0)), tuple(np.max(list(blocks), axis=0)))


def test_a_hole_at_the_very_beginning_makes_a_box_of_its_own(odd):
    """The reference server fails there: it has no box yet that could end at the hole."""
    parts = cut(odd, [[0, 0, 0, 0], [0, 0, 2, 2]], 3, LEGACY)
    assert parts.first_zyx.tolist() == [[0, 0, 0]]
    assert parts.active.tolist() == [2]


def test_a_partition_of_many_boxes_is_one_json_text_in_pieces(odd):
    stored(odd, [[z, y, 0, 4] for z in range(40) for y in range(40)])
    with view_of(odd) as view:
        parts = partition(view, 1, GRID)
        pieces = list(partition_json(view, parts))
    assert len(pieces) > 2
    found = json.loads(b"".join(pieces))
    assert found["NumSubvolumes"] == len(found["Subvolumes"]) == found["NumActiveBlocks"] == 8000
    assert found["Subvolumes"][-1] == {
        "MinPoint": [36, 273, 195],
        "MaxPoint": [44, 279, 199],
        "MinChunk": [4, 39, 39],
        "MaxChunk": [4, 39, 39],
        "TotalBlocks": 1,
        "ActiveBlocks": 1,
    }
