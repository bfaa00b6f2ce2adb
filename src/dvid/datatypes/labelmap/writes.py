"""Blocks of labels on their way into the store: made ready before the transaction begins, so that it is short."""

from __future__ import annotations

from collections.abc import Sequence

from dvid.datatypes.voxels import grow_extents
from dvid.errors import BadRequest, Conflict, TooLarge
from dvid.geometry import BlockRange, Box, Zyx
from dvid.kernels.protobuf import BLOCK_LIMIT
from dvid.labels.blocks import block_shape
from dvid.labels.painting import as_supervoxels
from dvid.labels.tables import BLOCKS, Labels
from dvid.labels.writing import NewBlock, extents_of_blocks, from_voxels, from_wire, write_blocks
from dvid.routes import TEXT, Call, Reply
from dvid.storage.protocol import Buffer
from dvid.versions.edit import Edit
from dvid.versions.records import InstanceRecord
from dvid.versions.view import View

WHERE_TOLD = (
    "Coordinates of blocks must be less than 2^20 either way, unless the instance was made with IndexedLabels=false."
)
"""What `check_blocks` asks for, in help texts."""

_BLOCK_BYTES = 4 << 10
_LABEL_BYTES = 64
"""Memory that a block takes until it is stored, beside its gzipped bytes, and each label of it."""


def check_blocks(instance: InstanceRecord, blocks: BlockRange) -> None:
    """Refuse blocks that are to be stored, but for which a label index has no key.

    Only a labelmap answers indices. One of a body with such a block could not be answered, nor others asked for with it.

    Raises:
        BadRequest: a coordinate of one of them is 2^20 or more, or -2^20 or less.
    """
    if instance.typename == "labelmap" and instance.settings["IndexedLabels"]:
        check_keys(blocks)


def check_keys(blocks: BlockRange) -> None:
    """Refuse blocks for which a label index has no key, as that of a labelmap is asked for.

    Raises:
        BadRequest: a coordinate of one of them is 2^20 or more, or -2^20 or less.
    """
    last = tuple(stop - 1 for stop in blocks.stop_zyx)
    for z, y, x in (blocks.start_zyx, last):
        if max(abs(z), abs(y), abs(x)) >= BLOCK_LIMIT:
            raise BadRequest(
                f"block {x},{y},{z} (x, y, z) has no key in a label index: coordinates of blocks must be less than "
                f"{BLOCK_LIMIT} (2^20) and more than -{BLOCK_LIMIT}, unless a labelmap was made with IndexedLabels=false"
            )


class Draft:
    """Blocks that are to be stored at the node of a view."""

    def __init__(self, view: View, box: Box | None = None, *, bodies: bool = False) -> None:
        """Begin with no blocks.

        Args:
            view: the instance.
            box: what the extents are to hold; None for the blocks that are added.
            bodies: what is added are labels of bodies, not of supervoxels.

        Raises:
            BadRequest: the box has blocks that cannot be stored.
        """
        self._where = view.key(BLOCKS, b"")  # names the instance and the version
        self._shape = block_shape(view)
        self._instance = view.instance
        self._indexed = bool(view.instance.settings["IndexedLabels"])
        self._box = box
        self._bodies = bodies
        self._blocks: list[NewBlock] = []
        self._room = 0
        if box is not None:
            check_blocks(view.instance, box.blocks(self._shape))

    def add_voxels(self, box: Box, labels: Labels, places: Sequence[Zyx]) -> None:
        """Add some blocks of a box of supervoxels."""
        self._blocks += from_voxels(box, labels, self._shape, places)

    def add_compressed(self, place: Zyx, data: Buffer, limit: int) -> None:
        """Add a block in the compressed layout, gzipped.

        Raises:
            BadRequest: it is none, or cannot be stored there.
            TooLarge: the blocks so far take more memory than `limit` bytes: those of one label are tiny on the wire.
        """
        z, y, x = place
        check_blocks(self._instance, BlockRange(place, (z + 1, y + 1, x + 1)))
        block = from_wire(place, data, self._shape)
        self._room += _BLOCK_BYTES + _LABEL_BYTES * len(block.supervoxels)
        if self._room > limit:
            raise TooLarge(
                f"{len(self._blocks)} blocks take {limit} bytes of memory, the most that one request may take "
                "(limits.decompressedBytes): send fewer at a time"
            )
        self._blocks.append(block)

    def put(
        self, call: Call, scale: int = 0, *, indexed: bool = True, downres: bool = False, grow: bool = True
    ) -> Reply:
        """Store the blocks in one transaction.

        Raises:
            Conflict: the node asked for is another by now: a branch has got a new leaf.
        """

        def write(edit: Edit) -> Reply:
            if edit.key(BLOCKS, b"") != self._where:
                raise Conflict("the branch has moved to another node while the request came in: send it again")
            if self._blocks:
                blocks = as_supervoxels(edit, self._blocks) if self._bodies else self._blocks
                write_blocks(edit, blocks, scale, indexed=indexed and self._indexed, downres=downres)
                if grow and scale == 0:
                    places = [block.place_zyx for block in self._blocks]
                    grow_extents(edit, self._box or extents_of_blocks(places, self._shape))
            return Reply(b"", TEXT)

        return call.edit(write)
