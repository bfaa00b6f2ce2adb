"""NanoVDB files of active voxels: an OnIndex grid, which has no values but numbers its active voxels from 1.

The layout is that of NanoVDB 32.8 (https://github.com/AcademySoftwareFoundation/openvdb, NanoVDB.h and io/IO.h): a segment of one
uncompressed grid. All is little-endian, and each part begins at a multiple of 32 bytes from the grid's begin:

    file header 16, metadata 176, name with a zero byte | grid 672, tree 64, root 96, root tiles of 32 each,
    upper nodes (32^3 lower ones), lower nodes (16^3 leaves), leaves (8^3 voxels)

Nodes of a kind stand in the order in which a walk down the tree finds them. In a node, the place of a child is x * n * n + y * n + z.
A child is named by its distance in bytes from its parent. Root tiles are sorted by their keys: x, y, z / 4096 as unsigned numbers of
21 bits, x highest.

The reference server's export differs in ways that keep NanoVDB from reading it, or from finding the right voxels: places of children
have x and z exchanged, root tiles have the layout of a key of three coordinates, voxels are numbered from 0 (which is the
background), the number of values lacks the background, bits of children are also set in the value masks, and the checksum is 0.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvid.errors import BadRequest, TooLarge
from dvid.geometry import Zyx
from dvid.kernels.nanovdb import LEAF_SIDE, Masks, leaf_masks
from dvid.kernels.runs import Runs, cut_runs

MAX_NAME_BYTES = 255

# Files of NanoVDB itself begin with NanoVDB2 since 32.7; all versions read this one, and clients of DVID look for it.
_MAGIC_GRID, _MAGIC_FILE = b"NanoVDB1", b"NanoVDB0"
_VERSION = 32 << 21 | 8 << 10
_ON_INDEX, _INDEX_GRID = 20, 8
_HAS_BBOX, _BREADTH_FIRST = 2, 32
_NODE_HAS_VOXELS = 2
# Only grid and tree are covered: the checksum of the nodes stands before them, so it would keep them from being streamed.
_NO_CHECKSUM = 2**32 - 1
_CHECKED_FROM = 16

_META = np.dtype(
    [
        *((name, "<u8") for name in ("grid_size", "file_size", "name_key", "voxels")),
        *((name, "<u4") for name in ("grid_type", "grid_class")),
        *(("world_bbox", "<f8", (2, 3)), ("index_bbox", "<i4", (2, 3)), ("voxel_size", "<f8", 3), ("name_size", "<u4")),
        *(("nodes", "<u4", 4), ("tiles", "<u4", 3), ("codec", "<u2"), ("blind", "<u2"), ("version", "<u4")),
    ]
)
_GRID = np.dtype(
    [
        *(("magic", "S8"), ("head_checksum", "<u4"), ("node_checksum", "<u4"), ("version", "<u4"), ("flags", "<u4")),
        *(("index", "<u4"), ("grids", "<u4"), ("size", "<u8"), ("name", "S256")),
        *(("scale_f", "<f4", 9), ("inverse_f", "<f4", 9), ("shift_f", "<f4", 3), ("taper_f", "<f4")),
        *(("scale", "<f8", 9), ("inverse", "<f8", 9), ("shift", "<f8", 3), ("taper", "<f8")),
        *(("world_bbox", "<f8", (2, 3)), ("voxel_size", "<f8", 3), ("grid_class", "<u4"), ("grid_type", "<u4")),
        *(("blind_offset", "<i8"), ("blind", "<u4"), ("unused", "<u4"), ("values", "<u8"), ("padding", "<u8")),
    ]
)
_TREE = np.dtype([("offsets", "<i8", 4), ("nodes", "<u4", 3), ("tiles", "<u4", 3), ("voxels", "<u8")])
_ROOT = np.dtype(
    [("bbox", "<i4", (2, 3)), ("tiles", "<u4"), ("padding", "<u4"), ("values", "<u8", 5), ("rest", "<u8", 3)]
)
_TILE = np.dtype([("key", "<u8"), ("child", "<i8"), ("state", "<u4"), ("padding", "<u4"), ("value", "<u8")])
_LEAF = np.dtype(
    [
        *(("start", "<i4", 3), ("extent", "u1", 3), ("flags", "u1")),
        *(("mask", "<u8", LEAF_SIDE), ("offset", "<u8"), ("prefix", "<u8")),
    ]
)


def _node(children: int) -> np.dtype[np.void]:
    return np.dtype(
        [
            *(("bbox", "<i4", (2, 3)), ("flags", "<u8"), ("value_mask", "u1", children // 8)),
            *(("child_mask", "u1", children // 8), ("stats", "<u8", 4), ("table", "<i8", children)),
        ]
    )


_FILE_HEADER_BYTES = 16
_LOWER_BITS, _UPPER_BITS = 4, 5
_LEAF_BITS = 3
_LOWER, _UPPER = _node(1 << 3 * _LOWER_BITS), _node(1 << 3 * _UPPER_BITS)
_ROOT_SHIFT = _LEAF_BITS + _LOWER_BITS + _UPPER_BITS
_KEY_BITS = 21

_PIECES_AT_ONCE = 2**20
_PIECE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Leaves:
    """Cubes of 8 x 8 x 8 voxels that hold active voxels."""

    origins_xyz: NDArray[np.int32]
    """(n, 3): the first voxel of each; multiples of 8."""
    masks: Masks
    """(n, 8): the bit of a voxel is x * 64 + y * 8 + z."""


def values_at(leaves: Leaves, start_zyx: Zyx, array_zyx: NDArray[Any]) -> NDArray[Any]:
    """What an array has at the active voxels of leaves, in the order in which a grid numbers them.

    Args:
        leaves: in the order of a grid.
        start_zyx: the first voxel of the array; multiples of 8, like its shape.
        array_zyx: a box around the leaves.
    """
    cut = array_zyx.reshape([n for edge in array_zyx.shape for n in (edge // LEAF_SIDE, LEAF_SIDE)])
    z, y, x = ((leaves.origins_xyz[:, ::-1] - np.array(start_zyx)) // LEAF_SIDE).T
    of_leaves_xyz = cut[z, :, y, :, x].transpose(0, 3, 2, 1)
    bits = np.unpackbits(leaves.masks.astype("<u8", copy=False).view(np.uint8), axis=1, bitorder="little")
    found: NDArray[Any] = of_leaves_xyz.reshape(-1, LEAF_SIDE**3)[bits.astype(np.bool_)]
    return found


def leaves_of_runs(runs: Runs, limit: int) -> Leaves:
    """The leaves of runs of voxels. Takes 76 bytes for each leaf, and some 100 MB while it works.

    Args:
        runs: (n, 4) int32: x, y, z, length; each with at least one voxel, in any order. For a small result, those of a
            leaf near each other.
        limit: the most leaves.

    Returns:
        The leaves, sorted by z, y and x as long as they are of one part of the runs; a leaf may come several times.

    Raises:
        TooLarge: there are more than `limit`.
    """
    side = (LEAF_SIDE,) * 3
    first = runs[:, 0].astype(np.int64)
    ends = np.cumsum(((first + runs[:, 3] - 1) >> _LEAF_BITS) - (first >> _LEAF_BITS) + 1)
    parts, leaves, begin = [], 0, 0
    while begin < len(runs):
        before = int(ends[begin - 1]) if begin else 0
        end = max(int(np.searchsorted(ends, before + _PIECES_AT_ONCE, side="right")), begin + 1)
        # Only a single run can have more pieces than go at once; each is then a leaf.
        blocks_zyx, bounds, pieces = cut_runs(runs[begin:end], side, max(_PIECES_AT_ONCE, limit))
        leaves += len(blocks_zyx)
        if leaves > limit:
            raise TooLarge(f"the voxels are in more than {limit} cubes of {LEAF_SIDE} x {LEAF_SIDE} x {LEAF_SIDE}")
        parts.append(Leaves(np.ascontiguousarray(blocks_zyx[:, ::-1]) * LEAF_SIDE, leaf_masks(bounds, pieces)))
        begin = end
    return _joined(parts)


def _joined(parts: Sequence[Leaves]) -> Leaves:
    if len(parts) == 1:
        return parts[0]
    return Leaves(
        np.concatenate([np.empty((0, 3), np.int32), *(part.origins_xyz for part in parts)]),
        np.concatenate([np.empty((0, LEAF_SIDE), np.uint64), *(part.masks for part in parts)]),
    )


class OnIndexGrid:
    """A file of one OnIndex grid, whose nodes are made while it is sent: 33 KB for each cube of 128 x 128 x 128 voxels."""

    def __init__(self, parts: Sequence[Leaves], name: str, voxel_size_xyz: Sequence[float]) -> None:
        """Put the leaves in order.

        Args:
            parts: the leaves, in any order; equal ones are joined.
            name: of the grid; at most 255 bytes of UTF-8.
            voxel_size_xyz: size of a voxel in world units.

        Raises:
            BadRequest: no leaves, a name that is too long or has a zero byte, a size that is not positive.
        """
        encoded = name.encode()
        if len(encoded) > MAX_NAME_BYTES or b"\0" in encoded:
            raise BadRequest(
                f"the name of a grid has at most {MAX_NAME_BYTES} bytes, none of them 0, not {name[:300]!r}"
            )
        size = np.array(voxel_size_xyz, np.float64)
        if size.shape != (3,) or not (np.isfinite(size) & (size > 0)).all():
            raise BadRequest(f"the size of a voxel is three positive numbers, not {voxel_size_xyz}")
        self._name = encoded
        self._voxel_size = size
        self._arrange(_joined(parts))
        if not len(self._leaves):
            raise BadRequest("a grid needs at least one voxel")
        self.voxels = int(self._leaf_voxels.sum())
        """Number of active voxels."""
        self._upper_start = _GRID.itemsize + _TREE.itemsize + _ROOT.itemsize + len(self._upper_first) * _TILE.itemsize
        self._lower_start = self._upper_start + len(self._upper_first) * _UPPER.itemsize
        self._leaf_start = self._lower_start + len(self._lower_first) * _LOWER.itemsize
        self._grid_size = self._leaf_start + len(self._leaves) * _LEAF.itemsize
        self.size = _FILE_HEADER_BYTES + _META.itemsize + len(encoded) + 1 + self._grid_size
        """Bytes of the file."""

    def _arrange(self, leaves: Leaves) -> None:
        """Sort leaves as a walk down the tree finds them, and find the nodes above them."""
        unsigned = leaves.origins_xyz.astype(np.int64) & (2**32 - 1)
        keys = _packed(unsigned >> _ROOT_SHIFT, _KEY_BITS)
        lower_bits = _LEAF_BITS + _LOWER_BITS
        upper_places = _packed(unsigned >> lower_bits & ((1 << _UPPER_BITS) - 1), _UPPER_BITS)
        lower_places = _packed(unsigned >> _LEAF_BITS & ((1 << _LOWER_BITS) - 1), _LOWER_BITS)
        root_keys, tiles = np.unique(keys, return_inverse=True)
        walk = (tiles << 3 * _UPPER_BITS | upper_places) << 3 * _LOWER_BITS | lower_places
        order = np.argsort(walk, kind="stable")
        walk = walk[order]
        first = _starts(walk)
        walk = walk[first]
        masks = np.bitwise_or.reduceat(leaves.masks[order], first) if len(first) else leaves.masks
        origins = leaves.origins_xyz[order[first]]

        self._root_keys = root_keys
        self._lower_places = walk & ((1 << 3 * _LOWER_BITS) - 1)
        lowers = walk >> 3 * _LOWER_BITS
        self._lower_first = _starts(lowers)
        lowers = lowers[self._lower_first]
        self._upper_places = lowers & ((1 << 3 * _UPPER_BITS) - 1)
        self._upper_first = _starts(lowers >> 3 * _UPPER_BITS)
        self._leaf_voxels = np.bitwise_count(masks).sum(axis=1, dtype=np.uint64)
        self._leaves = _leaf_records(origins, masks, self._leaf_voxels)
        # The boxes are bounds of active voxels, the last included.
        starts = self._leaves["start"]
        stops = starts + self._leaves["extent"]
        self._lower_boxes = _boxes(starts, stops, self._lower_first)
        self._upper_boxes = _boxes(self._lower_boxes[:, 0], self._lower_boxes[:, 1], self._upper_first)

    def pieces(self) -> Iterator[bytes | memoryview]:
        """The bytes of the file, in pieces of about a megabyte."""
        yield self._head()
        leaves, lowers, uppers = len(self._leaves), len(self._lower_first), len(self._upper_first)
        children = self._lower_start, _LOWER.itemsize
        yield from _nodes(
            _UPPER,
            self._upper_start,
            children,
            (self._upper_first, self._upper_places),
            self._upper_boxes,
            (uppers, lowers),
        )
        children = self._leaf_start, _LEAF.itemsize
        yield from _nodes(
            _LOWER,
            self._lower_start,
            children,
            (self._lower_first, self._lower_places),
            self._lower_boxes,
            (lowers, leaves),
        )
        step = _PIECE_BYTES // _LEAF.itemsize
        for begin in range(0, leaves, step):
            yield self._leaves[begin : begin + step].view(np.uint8).data

    def cubes(self) -> Iterator[Leaves]:
        """The leaves of each cube of 128 x 128 x 128 voxels, in the order in which their voxels are numbered."""
        stops = np.append(self._lower_first[1:], len(self._leaves))
        for begin, end in zip(self._lower_first, stops, strict=True):
            some = self._leaves[begin:end]
            yield Leaves(some["start"] & -LEAF_SIDE, np.ascontiguousarray(some["mask"]))

    def _head(self) -> bytes:
        """All that stands before the nodes."""
        leaves, lowers, uppers = len(self._leaves), len(self._lower_first), len(self._upper_first)
        box = _boxes(self._upper_boxes[:, 0], self._upper_boxes[:, 1], np.zeros(1, np.intp))[0]
        world = (box + np.array([[0.0], [1.0]])) * self._voxel_size

        root = np.zeros((), _ROOT)
        root["bbox"], root["tiles"] = box, uppers
        tiles = np.zeros(uppers, _TILE)
        tiles["key"] = self._root_keys
        root_start = _GRID.itemsize + _TREE.itemsize
        tiles["child"] = self._upper_start - root_start + np.arange(uppers) * _UPPER.itemsize

        tree = np.zeros((), _TREE)
        starts = np.array([self._leaf_start, self._lower_start, self._upper_start, root_start])
        tree["offsets"], tree["nodes"], tree["voxels"] = starts - _GRID.itemsize, (leaves, lowers, uppers), self.voxels

        grid = np.zeros((), _GRID)
        grid["magic"], grid["version"], grid["flags"] = _MAGIC_GRID, _VERSION, _HAS_BBOX | _BREADTH_FIRST
        grid["grids"], grid["size"], grid["name"] = 1, self._grid_size, self._name
        for suffix in ("_f", ""):
            grid["scale" + suffix] = np.diag(self._voxel_size).reshape(-1)
            grid["inverse" + suffix] = np.diag(1 / self._voxel_size).reshape(-1)
            grid["taper" + suffix] = 1
        grid["world_bbox"], grid["voxel_size"] = world, self._voxel_size
        grid["grid_class"], grid["grid_type"] = _INDEX_GRID, _ON_INDEX
        # Value 0 is the background.
        grid["blind_offset"], grid["values"] = self._grid_size, self.voxels + 1
        checked = grid.tobytes()[_CHECKED_FROM:] + tree.tobytes()
        grid["head_checksum"], grid["node_checksum"] = zlib.crc32(checked), _NO_CHECKSUM

        meta = np.zeros((), _META)
        meta["grid_size"] = meta["file_size"] = self._grid_size
        meta["name_key"], meta["voxels"] = _name_key(self._name), self.voxels
        meta["grid_type"], meta["grid_class"] = _ON_INDEX, _INDEX_GRID
        meta["world_bbox"], meta["index_bbox"], meta["voxel_size"] = world, box, self._voxel_size
        meta["name_size"], meta["nodes"], meta["version"] = len(self._name) + 1, (leaves, lowers, uppers, 1), _VERSION
        header = _MAGIC_FILE + np.array([_VERSION], "<u4").tobytes() + np.array([1, 0], "<u2").tobytes()
        parts = (
            header,
            meta.tobytes(),
            self._name,
            b"\0",
            grid.tobytes(),
            tree.tobytes(),
            root.tobytes(),
            tiles.tobytes(),
        )
        return b"".join(parts)


def _packed(xyz: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Three numbers of so many bits as one, x highest."""
    packed: NDArray[np.int64] = (xyz[:, 0] << bits | xyz[:, 1]) << bits | xyz[:, 2]
    return packed


def _starts(ordered: NDArray[np.int64]) -> NDArray[np.intp]:
    """Where groups of equal numbers begin."""
    if not len(ordered):
        return np.empty(0, np.intp)
    return np.concatenate(([0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1))


def _boxes(starts: NDArray[np.int32], stops: NDArray[np.int32], first: NDArray[np.intp]) -> NDArray[np.int32]:
    """The box around the boxes of each group: (n, 2, 3)."""
    if not len(first):
        return np.empty((0, 2, 3), np.int32)
    return np.stack((np.minimum.reduceat(starts, first), np.maximum.reduceat(stops, first)), axis=1)


def _leaf_records(origins_xyz: NDArray[np.int32], masks: Masks, voxels: NDArray[np.uint64]) -> NDArray[np.void]:
    leaves = np.zeros(len(masks), _LEAF)
    # Which x, y and z have voxels: words, then the bytes and bits of what all words have together.
    together = np.bitwise_or.reduce(masks, axis=1).astype("<u8").reshape(-1, 1).view(np.uint8)
    bits = np.unpackbits(np.bitwise_or.reduce(together, axis=1).reshape(-1, 1), axis=1, bitorder="little")
    for axis, used in enumerate((masks != 0, together != 0, bits != 0)):
        low, high = used.argmax(axis=1), LEAF_SIDE - 1 - used[:, ::-1].argmax(axis=1)
        leaves["start"][:, axis] = origins_xyz[:, axis] + low
        leaves["extent"][:, axis] = high - low
    leaves["flags"], leaves["mask"] = _NODE_HAS_VOXELS, masks
    leaves["offset"] = 1 + np.cumsum(voxels) - voxels
    below = np.cumsum(np.bitwise_count(masks), axis=1, dtype=np.uint64)
    for word in range(LEAF_SIDE - 1):
        leaves["prefix"] |= below[:, word] << np.uint64(9 * word)
    return leaves


def _nodes(
    kind: np.dtype[np.void],
    start: int,
    children: tuple[int, int],
    held: tuple[NDArray[np.intp], NDArray[np.int64]],
    boxes: NDArray[np.int32],
    counts: tuple[int, int],
) -> Iterator[memoryview]:
    """The internal nodes of one level.

    Args:
        kind: their layout.
        start: where the first of them begins in the grid.
        children: where the first child begins, and the size of one.
        held: the first child of each node, and the place of each child in its node.
        boxes: of each node.
        counts: of the nodes, and of all children.
    """
    first, places = held
    child_start, child_size = children
    stops = np.append(first[1:], counts[1])
    step = max(_PIECE_BYTES // kind.itemsize, 1)
    for begin in range(0, counts[0], step):
        end = min(begin + step, counts[0])
        nodes = np.zeros(end - begin, kind)
        nodes["bbox"], nodes["flags"] = boxes[begin:end], _NODE_HAS_VOXELS
        own = np.arange(first[begin], stops[end - 1])
        node = np.repeat(np.arange(end - begin), stops[begin:end] - first[begin:end])
        place = places[own]
        nodes["table"][node, place] = child_start + own * child_size - (start + (begin + node) * kind.itemsize)
        here = np.zeros(nodes["table"].shape, np.bool_)
        here[node, place] = True
        nodes["child_mask"] = np.packbits(here, axis=1, bitorder="little")
        yield nodes.view(np.uint8).data


def _name_key(name: bytes) -> int:
    """The hash by which NanoVDB looks for a name: `stringHash` of io/IO.h."""
    key = 0
    for byte in name:
        key = (key * 67 + byte + (key >> 56)) & (2**64 - 1)
    return key
