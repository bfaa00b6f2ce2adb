"""NanoVDB files, read by a walk down the tree that knows nothing of how they were written."""

import struct
import zlib
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvid.codecs.nanovdb import Leaves, OnIndexGrid, leaves_of_runs, values_at
from dvid.errors import BadRequest, TooLarge
from dvid.kernels.runs import ordered_runs

LOW, HIGH = -(2**31), 2**31 - 1
LIMIT = 10**6
UPPER, LOWER, LEAF = 270400, 33856, 96


def array(runs):
    return np.array(runs, np.int32).reshape(-1, 4)


def file_of(runs, name="label_1", size=(1, 1, 1)):
    grid = OnIndexGrid([leaves_of_runs(array(runs), LIMIT)], name, size)
    data = b"".join(grid.pieces())
    assert len(data) == grid.size
    return data


class Reader:
    """A file as NanoVDB.h and io/IO.h of version 32.8 lay it out; offsets are from the begin of the grid."""

    def __init__(self, data):
        magic, self.version, grids, codec = struct.unpack_from("<8sIHH", data)
        assert (magic, self.version >> 21, grids, codec) == (b"NanoVDB0", 32, 1, 0)
        self.meta = struct.unpack_from("<4Q2I6d6i3dI4I3I2HI", data, 16)
        name_bytes = self.meta[21]
        self.name = data[192 : 192 + name_bytes]
        self.grid = data[192 + name_bytes :]
        self.size, self.name_in_grid = self.at("<Q", 32)[0], self.grid[40:296]
        self.offsets, self.nodes = self.at("<4q", 672), self.at("<3I", 704)
        self.tiles, (self.tree_voxels,) = self.at("<3I", 716), self.at("<Q", 728)

    def at(self, form, offset):
        return struct.unpack_from(form, self.grid, offset)

    def box(self, offset):
        numbers = self.at("<6i", offset)
        return numbers[:3], numbers[3:]

    def bits(self, offset, count):
        mask = np.frombuffer(self.grid, np.uint8, count // 8, offset)
        return np.flatnonzero(np.unpackbits(mask, bitorder="little")).tolist()

    def children(self, node, side):
        """Place (x, y, z) and offset of each child of an internal node, in the order of the places."""
        count = side**3
        assert self.bits(node + 32, count) == []
        table = node + 32 + 2 * (count // 8) + 32
        return [
            ((n // side**2, n // side % side, n % side), node + self.at("<q", table + 8 * n)[0])
            for n in self.bits(node + 32 + count // 8, count)
        ]

    def walk(self):
        """Active voxels (x, y, z) with their values, checking on the way what holds for every node."""
        voxels, seen = {}, ([], [], [])
        root = 672 + self.offsets[3]
        boxes = []
        for i in range(self.at("<I", root + 24)[0]):
            key, child, state = self.at("<QqI", root + 96 + 32 * i)
            origin = [signed(key >> shift & 0x1FFFFF) for shift in (42, 21, 0)]
            assert state == 0
            upper = root + child
            seen[2].append(upper)
            inside = []
            for place, lower in self.children(upper, 32):
                seen[1].append(lower)
                below = []
                for inner, leaf in self.children(lower, 16):
                    seen[0].append(leaf)
                    corner = [o + 128 * p + 8 * q for o, p, q in zip(origin, place, inner, strict=True)]
                    below.append(self.leaf(leaf, corner, voxels))
                inside.append(around(below))
                assert self.box(lower) == inside[-1]
            boxes.append(around(inside))
            assert self.box(upper) == boxes[-1]
        assert self.box(root) == around(boxes)
        assert self.nodes == tuple(map(len, seen))
        for level, size in enumerate((LEAF, LOWER, UPPER)):
            start = 672 + self.offsets[level]
            assert seen[level] == [start + size * i for i in range(len(seen[level]))], "not breadth first"
        assert start % 32 == 0
        return voxels

    def leaf(self, leaf, corner, voxels):
        *low, dx, dy, dz, flags = self.at("<3i4B", leaf)
        words = self.at("<8Q", leaf + 16)
        first, prefix = self.at("<2Q", leaf + 80)
        found = []
        for bit in self.bits(leaf + 16, 512):
            word, rest = divmod(bit, 64)
            value = first + (words[word] & ((1 << rest) - 1)).bit_count()
            value += (prefix >> 9 * (word - 1) & 511) if word else 0
            voxel = tuple(c + p for c, p in zip(corner, (bit // 64, bit // 8 % 8, bit % 8), strict=True))
            voxels[voxel] = value
            found.append((voxel, voxel))
        box = tuple(low), (low[0] + dx, low[1] + dy, low[2] + dz)
        assert box == around(found)
        assert flags == 2
        return box


def signed(key):
    """The first coordinate of a root tile: 20 bits of a signed number of 32."""
    first = key << 12
    return first - 2**32 if first >= 2**31 else first


def around(boxes):
    lows, highs = zip(*boxes, strict=True)
    return tuple(map(min, *lows, lows[0])), tuple(map(max, *highs, highs[0]))


def voxels_of(runs):
    return {(x + i, y, z) for x, y, z, length in runs for i in range(length)}


near = st.integers(-20, 20)
far = st.sampled_from([LOW, -4097, -4096, -129, -128, 127, 128, 4095, 4096, HIGH - 40]) | st.integers(LOW, HIGH - 40)
some_runs = st.lists(st.tuples(near, near, near, st.integers(1, 40)), min_size=1, max_size=25)
far_runs = st.lists(st.tuples(far, far, far, st.integers(1, 40)), min_size=1, max_size=3)


@given(some_runs | far_runs)
def test_a_walk_down_the_tree_finds_the_voxels_numbered_from_one(runs):
    reader = Reader(file_of(runs))
    found = reader.walk()
    assert set(found) == voxels_of(runs)
    assert sorted(found.values()) == list(range(1, len(found) + 1))
    # Voxels have their numbers in the order of the walk.
    assert list(found.values()) == sorted(found.values())
    assert reader.tree_voxels == len(found)
    assert reader.at("<Q", 656) == (len(found) + 1,)


FACTORS_ZYX = (1, 1009, 100003)


@given(some_runs | far_runs)
def test_values_come_in_the_order_of_the_numbers(runs):
    grid = OnIndexGrid([leaves_of_runs(array(runs), LIMIT)], "label_1", (1, 1, 1))
    found = []
    for leaves in grid.cubes():
        origins_zyx = leaves.origins_xyz[:, ::-1].astype(np.int64)
        low, high = origins_zyx.min(0), origins_zyx.max(0) + 8
        assert (low >> 7 == high - 1 >> 7).all(), "not in one cube of 128 x 128 x 128"
        places = np.ogrid[tuple(map(slice, low, high))]
        values = sum(factor * place for factor, place in zip(FACTORS_ZYX, places, strict=True))
        found += values_at(leaves, tuple(low), values).tolist()
    numbers = Reader(file_of(runs)).walk()
    expected = {n: sum(f * at for f, at in zip(FACTORS_ZYX, xyz[::-1], strict=True)) for xyz, n in numbers.items()}
    assert found == [expected[number] for number in range(1, len(numbers) + 1)]


def test_the_grid_is_described_in_file_and_grid_alike():
    reader = Reader(file_of([(-3, 5, 9, 4), (100, -7, 9, 2)], "body 7", (8.0, 4.0, 40.0)))
    size, on_disk, key, voxels, kind, family = reader.meta[:6]
    assert size == on_disk == reader.size == len(reader.grid)
    assert (voxels, kind, family) == (6, 20, 8)
    assert reader.at("<2I", 632) == (8, 20)
    assert reader.name == b"body 7\0"
    assert reader.name_in_grid == b"body 7".ljust(256, b"\0")
    expected_key = 0
    for byte in b"body 7":
        expected_key = expected_key * 67 + byte
    assert key == expected_key
    world = (-24.0, -28.0, 360.0, 816.0, 24.0, 400.0)
    assert reader.meta[6:12] == reader.at("<6d", 560) == world
    assert reader.meta[12:18] == (-3, -7, 9, 101, 5, 9)
    assert reader.meta[18:21] == reader.at("<3d", 608) == (8.0, 4.0, 40.0)
    assert reader.meta[22:26] == (*reader.nodes, 1)
    assert reader.meta[26:] == (0, 0, 0, 0, 0, reader.version)
    magic, head, tail, version, flags, index, grids = reader.at("<8s6I", 0)
    assert (magic, tail, version, flags, index, grids) == (b"NanoVDB1", 2**32 - 1, reader.version, 2 | 32, 0, 1)
    assert head == zlib.crc32(reader.grid[16:736])
    assert reader.at("<q2I", 640) == (reader.size, 0, 0)
    assert reader.tiles == (0, 0, 0)


def test_the_map_scales_by_the_size_of_a_voxel():
    reader = Reader(file_of([(0, 0, 0, 1)], size=(8, 4, 40)))
    for form, offset in [("<22f", 296), ("<22d", 384)]:
        numbers = reader.at(form, offset)
        assert numbers[:9] == (8, 0, 0, 0, 4, 0, 0, 0, 40)
        assert numbers[9:18] == pytest.approx((1 / 8, 0, 0, 0, 1 / 4, 0, 0, 0, 1 / 40))
        assert numbers[18:] == (0, 0, 0, 1)


def test_keys_of_root_tiles_grow():
    corners = [(x, y, z, 1) for x, y, z in product((LOW, -1, 0, HIGH), repeat=3)]
    grid = OnIndexGrid([leaves_of_runs(array(corners), LIMIT)], "far", (1, 1, 1))
    head = next(grid.pieces())
    tiles = head[16 + 176 + 4 + 672 + 64 + 96 :]
    keys = [struct.unpack_from("<Q", tiles, 32 * i)[0] for i in range(64)]
    assert keys == sorted(set(keys))
    assert {tuple(signed(key >> shift & 0x1FFFFF) for shift in (42, 21, 0)) for key in keys} == set(
        product((LOW, -4096, 0, HIGH - 4095), repeat=3)
    )


def test_a_full_cube_of_three_leaves_each_way_is_found():
    runs = [(-12, y, z, 24) for z in range(-12, 12) for y in range(-12, 12)]
    found = Reader(file_of(runs)).walk()
    assert set(found) == voxels_of(runs)


@given(some_runs, st.randoms())
def test_parts_in_any_order_make_the_same_file(runs, random):
    whole = file_of(runs)
    pieces = [array([(x + i, y, z, 1)]) for x, y, z, length in runs for i in range(length)]
    random.shuffle(pieces)
    parts = [leaves_of_runs(piece, 1) for piece in pieces]
    assert b"".join(OnIndexGrid(parts, "label_1", (1, 1, 1)).pieces()) == whole


def test_many_runs_are_cut_in_parts():
    # More pieces than go at once, and one run that alone has more.
    runs = array([(0, y, z, 1) for z in range(1200) for y in range(1000)])
    leaves = leaves_of_runs(runs, 2 * 150 * 125)
    assert len(leaves.masks) >= 150 * 125
    assert OnIndexGrid([leaves], "plane", (1, 1, 1)).voxels == 1_200_000
    line = leaves_of_runs(array([[0, 0, 0, 8 * 2**21]]), 2**21)
    assert len(line.masks) == 2**21
    assert (line.masks == 1).all()


def test_more_leaves_than_the_limit_are_refused_before_they_take_memory():
    with pytest.raises(TooLarge, match="have 268435456 pieces"):
        leaves_of_runs(array([[LOW, 0, 0, HIGH]]), LIMIT)
    with pytest.raises(TooLarge, match="more than 2 cubes"):
        leaves_of_runs(array([[0, 0, 0, 17]]), 2)
    assert len(leaves_of_runs(array([[0, 0, 0, 16]]), 2).masks) == 2


def test_a_grid_takes_pieces_of_a_megabyte():
    runs = ordered_runs(array([(200 * i, 200 * (i % 7), 0, 3) for i in range(100)]))
    pieces = list(OnIndexGrid([leaves_of_runs(runs, LIMIT)], "sparse", (1, 1, 1)).pieces())
    assert max(map(len, pieces)) <= 2**20
    assert len(pieces) > 4


@pytest.mark.parametrize("name", ["x" * 256, "é" * 128, "a\0b"])
def test_a_name_that_has_no_place_is_refused(name):
    with pytest.raises(BadRequest, match="name of a grid"):
        file_of([(0, 0, 0, 1)], name)


@pytest.mark.parametrize("size", [(1, 1), (0, 1, 1), (1, -1, 1), (1, 1, float("nan")), (1, 1, float("inf"))])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(BadRequest, match="size of a voxel"):
        file_of([(0, 0, 0, 1)], size=size)


def test_no_voxels_make_no_grid():
    nothing = leaves_of_runs(array([]), 1)
    for parts in ([], [nothing], [nothing, nothing]):
        with pytest.raises(BadRequest, match="at least one voxel"):
            OnIndexGrid(parts, "none", (1, 1, 1))


def test_leaves_made_elsewhere_are_written():
    masks = np.zeros((2, 8), np.uint64)
    masks[:, 3] = 1 << 8 * 5 | 1 << 8 * 5 + 6
    leaves = Leaves(np.array([[8, 0, -8], [-8, 0, 0]], np.int32), masks)
    data = b"".join(OnIndexGrid([leaves], "two", (1, 1, 1)).pieces())
    assert Reader(data).walk() == {(11, 5, -8): 1, (11, 5, -2): 2, (-5, 5, 0): 3, (-5, 5, 6): 4}
