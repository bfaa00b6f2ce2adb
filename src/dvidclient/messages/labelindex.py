"""The index of a body: which blocks hold it, and how many voxels of each supervoxel.

The message, in proto3:

    message SVCount    { map<uint64, uint32> counts = 1; uint64 surface_mutid = 2; }
    message LabelIndex { map<uint64, SVCount> blocks = 1; uint64 label = 2; uint64 last_mutid = 3;
                         string last_mod_time = 4; string last_mod_user = 5; string last_mod_app = 6; }

The key of a block is its z, y and x in 21 bits each, x lowest: a sign and a magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy
import numpy.typing

from dvidclient.arguments import Int32s, UInt64s
from dvidclient.messages import protobuf

_BITS = 21
_SIGN = 1 << (_BITS - 1)
# The tags of the numbers around what is wanted: of a block its key, the length of its counts; of a count its length, the
# supervoxel, and the voxels; behind the counts may be a mutation.
_BLOCK = (1 << 3, None, 2 << 3 | 2, None)
_COUNT = (1 << 3 | 2, None, 1 << 3, None, 2 << 3, None)
_MUTATION = (2 << 3, None)


@dataclass(frozen=True, slots=True, eq=False)
class BodyIndex:
    """Where a body is: for each of its supervoxels, and each block that holds some of it, a row; sorted by block, then supervoxel."""

    body: int
    """The body."""
    blocks_zyx: Int32s
    """The block of each row, in coordinates of blocks (n, 3)."""
    supervoxels: UInt64s
    """The supervoxel of each row (n)."""
    voxels: UInt64s
    """How many voxels of the supervoxel are in the block (n)."""
    mutation: int
    """Number of the mutation that last changed the body; 0 where there was none."""
    time: str
    """When, as the server writes times."""
    user: str
    """Who changed it."""
    app: str
    """With which program."""

    @classmethod
    def from_wire(cls, message: bytes) -> BodyIndex:
        """Of a message LabelIndex.

        Raises:
            ValueError: it is none.
        """
        blocks: list[memoryview] = []
        numbers = {2: 0, 3: 0}
        texts = {4: "", 5: "", 6: ""}
        for field, value in protobuf.fields(memoryview(message)):
            if isinstance(value, int):
                numbers[field] = value
            elif field == 1:
                blocks.append(value)
            elif field in texts:
                texts[field] = str(value, "utf-8")
        keys, supervoxels, voxels = _rows(blocks)
        blocks_zyx = _blocks_zyx(keys)
        order = numpy.lexsort((supervoxels, blocks_zyx[:, 2], blocks_zyx[:, 1], blocks_zyx[:, 0]))
        return cls(
            numbers[2], blocks_zyx[order], supervoxels[order], voxels[order], numbers[3], texts[4], texts[5], texts[6]
        )

    def __repr__(self) -> str:
        return (
            f"<BodyIndex: body {self.body}, {int(self.voxels.sum())} voxels of {len(numpy.unique(self.supervoxels))} "
            f"supervoxels in {len(numpy.unique(self.blocks_zyx, axis=0))} blocks>"
        )


def _rows(blocks: list[memoryview]) -> tuple[UInt64s, UInt64s, UInt64s]:
    """Keys, supervoxels and voxels of all counts of some entries of ``blocks``. All that these hold are numbers."""
    values, starts = protobuf.numbers(b"".join(blocks))
    offsets = numpy.cumsum([0, *map(len, blocks)])
    first = numpy.searchsorted(starts, offsets)
    inner = first[:-1]
    if not numpy.array_equal(starts[inner], offsets[:-1]):
        raise ValueError("a block of the index is cut off")
    of_counts = numpy.diff(first) - len(_BLOCK)
    behind = of_counts % len(_COUNT)
    if (of_counts < 0).any() or not numpy.isin(behind, (0, len(_MUTATION))).all():
        raise ValueError("a block of the index has other numbers than a key and counts")
    heads = inner[:, None] + numpy.arange(len(_BLOCK))
    tails = (first[1:] - behind)[behind > 0, None] + numpy.arange(len(_MUTATION))
    rest = numpy.ones(len(values), bool)
    rest[heads] = rest[tails] = False
    head, counts = values[heads], values[rest].reshape(-1, len(_COUNT))
    _check_tags(head, _BLOCK)
    _check_tags(counts, _COUNT)
    _check_tags(values[tails], _MUTATION)
    keys = numpy.repeat(head[:, 1], of_counts // len(_COUNT))
    return keys, counts[:, 3], counts[:, 5]


def _check_tags(rows: UInt64s, tags: tuple[int | None, ...]) -> None:
    for column, tag in enumerate(tags):
        if tag is not None and (rows[:, column] != tag).any():
            raise ValueError(f"a block of the index has another field than {tag >> 3} there")


def _blocks_zyx(keys: UInt64s) -> Int32s:
    shifts = numpy.array([2 * _BITS, _BITS, 0], numpy.uint64)
    parts = ((keys[:, None] >> shifts) & numpy.uint64((1 << _BITS) - 1)).astype(numpy.int64)
    found: Int32s = numpy.where(parts & _SIGN, -(parts & (_SIGN - 1)), parts).astype(numpy.int32)
    return found
