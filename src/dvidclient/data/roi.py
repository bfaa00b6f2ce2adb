"""Regions of interest: sets of blocks."""

from __future__ import annotations

import math
from typing import Any

import numpy
import numpy.typing
import urllib3

from dvidclient import answers, arguments
from dvidclient.arguments import BoxZYX
from dvidclient.data.calls import BATCH, ask, change
from dvidclient.data.instance import Instance
from dvidclient.errors import BadArgument
from dvidclient.runs import MOST_VOXELS
from dvidclient.sparse import SparseVolume

Bools = numpy.typing.NDArray[numpy.bool_]


class Roi(Instance):
    """A region of interest at a version: a set of blocks, which are ``block_shape`` voxels large, from voxel 0, 0, 0 on."""

    @property
    def block_shape(self) -> tuple[int, int, int]:
        """Voxels of a block along z, y and x."""
        x, y, z = (int(edge) for edge in self.settings["BlockSize"])
        return (z, y, x)

    @property
    def blocks(self) -> SparseVolume:
        """The blocks of the region, as runs of blocks: its coordinates are those of blocks."""
        return ask(self, "roi", f"reading {self}", _blocks)

    def write(self, blocks: SparseVolume) -> None:
        """Replaces the region, at this version.

        Args:
            blocks: its blocks, in coordinates of blocks.
        """
        change(self, "roi", f"writing {self}", answers.nothing, document=blocks.spans_zyxx.tolist())

    def write_voxels(self, voxels: SparseVolume) -> None:
        """Replaces the region, at this version, by all blocks that hold some of the voxels."""
        self.write(voxels.in_blocks(self.block_shape))

    def write_mask(self, mask_zyx: Any, offset_zyx: Any = (0, 0, 0)) -> None:
        """Replaces the region, at this version, by all blocks in which a mask of voxels (z, y, x) is not 0 everywhere.

        Args:
            mask_zyx: the mask.
            offset_zyx: where its first voxel lies.
        """
        self.write_voxels(SparseVolume.from_mask(mask_zyx, offset_zyx))

    def clear(self) -> None:
        """Empties the region, at this version."""
        change(self, "roi", f"emptying {self}", answers.nothing, method="DELETE")

    def mask(self, box_zyx: BoxZYX) -> Bools:
        """Which voxels of a box belong to the region: a bool array (z, y, x).

        Args:
            box_zyx: slices along z, y and x, with starts and stops.

        Raises:
            BadArgument: the box has more than 2^31 voxels.
        """
        box = arguments.box_zyx(box_zyx)
        if math.prod(arguments.shape_of(box)) > MOST_VOXELS:
            raise BadArgument(f"box_zyx: expected at most {MOST_VOXELS} voxels, got {box_zyx}")
        # From the blocks, as the masks that some servers make leave blocks out at negative positions.
        around = arguments.blocks_of(box, self.block_shape)
        found = self.blocks.to_mask(around)
        for axis, (part, of_blocks, edge) in enumerate(zip(box, around, self.block_shape, strict=True)):
            found = numpy.take(found, numpy.arange(part.start, part.stop) // edge - of_blocks.start, axis)
        return found

    def contains(self, points_zyx: Any) -> Bools:
        """Which points belong to the region, as the server says.

        Args:
            points_zyx: integers of the shape (n, 3): z, y, x of voxels.

        Returns:
            bool (n), in their order.
        """
        points = arguments.points_xyz(arguments.points_zyx(points_zyx))
        what = f"asking which of {len(points)} points belong to {self}"
        parts = [numpy.empty(0, bool)]
        for start in range(0, len(points), BATCH):
            wanted = points[start : start + BATCH].tolist()
            found = ask(self, "ptquery", what, answers.truths(len(wanted)), method="POST", document=wanted)
            parts.append(found)
        return numpy.concatenate(parts)

    def partition(self, batchsize: int = 8) -> list[BoxZYX]:
        """Boxes of voxels that cover the region, to share out work on it: slices along z, y and x.

        Args:
            batchsize: blocks along each edge of a box.
        """
        query = {"batchsize": int(batchsize)}
        return ask(self, "partition", f"asking for parts of {self}", _boxes, query=query)


def _blocks(response: urllib3.BaseHTTPResponse) -> SparseVolume:
    try:
        return SparseVolume.from_spans(answers.entries(response))
    except (BadArgument, ValueError) as error:
        raise answers.Broken(f"expected a list of z, y, first x, last x: {error}") from None


def _boxes(response: urllib3.BaseHTTPResponse) -> list[BoxZYX]:
    parts = answers.fields(response).get("Subvolumes") or []
    try:
        first_xyz = numpy.array([part["MinPoint"] for part in parts], numpy.int64).reshape(-1, 3)
        last_xyz = numpy.array([part["MaxPoint"] for part in parts], numpy.int64).reshape(-1, 3)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise answers.Broken(f"expected boxes with MinPoint and MaxPoint, x, y, z each: {error}") from None
    starts, stops = first_xyz[:, ::-1].tolist(), (last_xyz[:, ::-1] + 1).tolist()
    return [tuple(map(slice, start, stop)) for start, stop in zip(starts, stops, strict=True)]  # type: ignore[misc]  # three each
