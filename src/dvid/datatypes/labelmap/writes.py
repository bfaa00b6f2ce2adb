"""Blocks of labels on their way into the store: made ready before the transaction begins, so that it is short."""

from __future__ import annotations

from collections.abc import Sequence

from dvid.datatypes.voxels import grow_extents
from dvid.errors import Conflict, TooLarge
from dvid.geometry import Box, Zyx
from dvid.labels.blocks import block_shape
from dvid.labels.painting import as_supervoxels
from dvid.labels.tables import BLOCKS, Labels
from dvid.labels.writing import NewBlock, extents_of_blocks, from_voxels, from_wire, write_blocks
from dvid.routes import TEXT, Call, Reply
from dvid.storage.protocol import Buffer
from dvid.versions.edit import Edit
from dvid.versions.view import View

_BLOCK_BYTES = 4 << 10
_LABEL_BYTES = 64
"""Memory that a block takes until it is stored, beside its gzipped bytes, and each label of it."""


class Draft:
    """Blocks that are to be stored at the node of a view."""

    def __init__(self, view: View, box: Box | None = None, *, bodies: bool = False) -> None:
        """Begin with no blocks.

        Args:
            view: the instance.
            box: what the extents are to hold; None for the blocks that are added.
            bodies: what is added are labels of bodies, not of supervoxels.
        """
        self._where = view.key(BLOCKS, b"")  # names the instance and the version
        self._shape = block_shape(view)
        self._indexed = bool(view.instance.settings["IndexedLabels"])
        self._box = box
        self._bodies = bodies
        self._blocks: list[NewBlock] = []
        self._room = 0

    def add_voxels(self, box: Box, labels: Labels, places: Sequence[Zyx]) -> None:
        """Add some blocks of a box of supervoxels."""
        self._blocks += from_voxels(box, labels, self._shape, places)

    def add_compressed(self, place: Zyx, data: Buffer, limit: int) -> None:
        """Add a block in the compressed layout, gzipped.

        Raises:
            BadRequest: it is none.
            TooLarge: the blocks so far take more memory than `limit` bytes: those of one label are tiny on the wire.
        """
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
