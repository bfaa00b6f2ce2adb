"""Blocks of supervoxels as they are stored: gzipped, in the compressed layout of the API (see dvid.codecs.labelblocks)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dvid.codecs.labelblocks import Block, deflate_relabelled, inflate, labels_of, trusted
from dvid.errors import CorruptValue, DvidError
from dvid.geometry import Box, Zyx
from dvid.kernels.buffers import addresses
from dvid.kernels.labelblocks import decode_blocks
from dvid.labels import memory
from dvid.labels.mapping import bodies_of, is_identity
from dvid.labels.tables import BLOCKS, Labels, block_key
from dvid.versions.envelope import HEADER_BYTES, Format, Value, unseal
from dvid.versions.view import View

_NO_LABELS = np.empty(0, np.uint64)


def block_shape(view: View) -> Zyx:
    """Voxels of a block along z, y and x, at every scale."""
    x, y, z = view.instance.settings["BlockSize"]
    return z, y, x


def stored_blocks(view: View, scale: int, places: Iterable[Zyx]) -> list[memoryview | None]:
    """The gzipped blocks at some places, in their order; None where there is none. Valid as long as the view is open.

    At lower resolutions these may be out of date: see `dvid.labels.scales`.
    """
    found = view.get_many(BLOCKS, [block_key(scale, place) for place in places])
    return [None if value is None else _gzipped(value) for value in found]


def expanded(view: View, stored: memoryview | bytes) -> Block:
    """A stored block without gzip.

    Raises:
        CorruptValue: it cannot be decompressed.
    """
    try:
        return trusted(inflate(stored, block_shape(view)))
    except DvidError as error:
        raise CorruptValue(f"a stored block of labels cannot be decompressed: {error}") from error


def read_blocks(view: View, scale: int, places: Iterable[Zyx]) -> list[Block | None]:
    """The blocks at some places without gzip, in their order; None where there is none.

    At lower resolutions these may be out of date: see `dvid.labels.scales`.
    """
    return [
        None if stored is None else _remembered(view, key, stored)
        for key, stored in zip(*view.stored(BLOCKS, [block_key(scale, place) for place in places]), strict=True)
    ]


def _remembered(view: View, key: bytes, stored: memoryview) -> Block | None:
    if stored[0] == Format.TOMBSTONE:
        unseal(key, stored)
        return None
    name = key, bytes(stored[:HEADER_BYTES])
    block = memory.blocks.get(name)
    if block is None:
        block = expanded(view, _gzipped(unseal(key, stored)))
        memory.blocks.put(name, block)
    return block


def relabelled(block: Block, labels: Labels) -> bytes:
    """A block with another label list, gzipped. What does not change with the labels is compressed once for a block that is remembered.

    Args:
        block: as it was read.
        labels: (n,) uint64, in the order of the block's list.
    """
    return deflate_relabelled(block, labels, memory.rests.of(block))


def _gzipped(value: Value) -> memoryview:
    if value.format != Format.GZIP:
        raise CorruptValue(f"a block of labels is stored in the format {value.format}, not gzipped")
    return value.payload


@dataclass(frozen=True, slots=True)
class OpenBlocks:
    """Some blocks, ready to be decoded; None where there is none."""

    places_zyx: Sequence[Zyx]
    blocks: Sequence[Block | None]

    def labels(self) -> list[Labels]:
        """The label list of each block; empty where there is none."""
        return [_NO_LABELS if block is None else labels_of(block) for block in self.blocks]

    def as_bodies(self, view: View) -> tuple[Labels, NDArray[np.int64]] | None:
        """The label lists with bodies for supervoxels, and where each begins; None where they are the same."""
        if is_identity(view):
            return None
        lists = self.labels()
        starts = np.zeros(len(lists) + 1, np.int64)
        np.cumsum([len(labels) for labels in lists], out=starts[1:])
        return bodies_of(view, np.concatenate([_NO_LABELS, *lists])), starts

    def decode(
        self, into: int, box: Box, block_zyx: Zyx, lists: tuple[Labels, NDArray[np.int64]] | None = None
    ) -> None:
        """Write the voxels that lie in a box.

        Args:
            into: the address of the box: uint64 voxels, C-contiguous.
            box: in voxels of the blocks' scale. What no block covers is left as it is.
            block_zyx: voxels of a block.
            lists: label lists to use in place of the blocks' own, one behind the other, and where each begins.
        """
        places = np.array(self.places_zyx, np.int64).reshape(-1, 3)
        origins = places * block_zyx - np.array(box.start_zyx)
        found = addresses([None if block is None else block.data for block in self.blocks])
        labels, starts = (None, None) if lists is None else lists
        decode_blocks(found, origins, block_zyx, into, box.shape_zyx, labels, starts)
