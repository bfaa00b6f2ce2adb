"""A segmentation on a running server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import urlencode

import numpy as np

from dvid.cli.target import VolumeInfo
from dvid.codecs import labellz4
from dvid.codecs.compression import lz4_decompress
from dvid.codecs.labelindex import LabelIndices, decode_label_indices
from dvid.geometry import Box, reverse3
from dvid.kernels.runs import Runs
from dvid.labels import agglomeration
from dvid.labels.agglomeration import Regrouping
from dvid.labels.tables import Labels
from dvidclient.connection import Connection
from dvidclient.wire import largest_lz4

_ASKED_AT_ONCE = 100_000
_INDICES_AT_ONCE = 1000
_MOST_IN_INDICES = 1 << 28
_PAIR_BYTES = 16
_REQUESTS_AT_ONCE = 4


class ServerLabels:
    """A segmentation on a server.

    Args:
        connection: to the server.
        admin: to the server, with the rights of an admin, if there are any.
        path: of the instance at a node: "/api/node/UUID/NAME".
        info: what the server says of it.
        scale: the resolution that is read.
        supervoxels: read supervoxels, not bodies.
    """

    def __init__(
        self,
        connection: Connection,
        admin: Connection,
        path: str,
        info: VolumeInfo,
        *,
        scale: int = 0,
        supervoxels: bool = False,
    ) -> None:
        self.info = info
        self._connection, self._admin = connection, admin
        self._path = path
        self._scale, self._supervoxels = scale, supervoxels

    # ---- voxels -------------------------------------------------------------------------------

    def read(self, box: Box) -> Labels:
        """The labels of a box: (z, y, x) uint64."""
        return self._read(box, self._scale, self._supervoxels)

    def _read(self, box: Box, scale: int, supervoxels: bool) -> Labels:
        query = {"scale": scale, "supervoxels": str(supervoxels).lower()}
        most = largest_lz4(box.voxels * 8)
        packed = self._connection.get_bytes(self._box_path(box, query), f"reading {self.info.name!r}", most=most)
        data = lz4_decompress(packed, box.voxels * 8)
        return np.frombuffer(data, "<u8").astype(np.uint64, copy=False).reshape(box.shape_zyx)

    def write(self, box: Box, voxels: Labels) -> None:
        """Write the supervoxels of a box, all or nothing.

        A server takes whole blocks. What is around the box in those that it cuts is read, and written again.
        """
        whole = box.blocks(self.info.block_zyx).box(self.info.block_zyx)
        if whole != box:
            around = self._read(whole, 0, True).copy()
            around[box.slices_in(whole)] = voxels
            voxels = around
        body = labellz4.encode(np.ascontiguousarray(voxels, "<u8").data.cast("B"), voxels.shape)
        self._connection.post_voxels(self._box_path(whole, {}), body, f"writing to {self.info.name!r}")

    def _box_path(self, box: Box, query: Mapping[str, Any]) -> str:
        size, start = ("_".join(map(str, reverse3(point))) for point in (box.shape_zyx, box.start_zyx))
        return f"{self._path}/raw/0_1_2/{size}/{start}?{urlencode({**query, 'compression': 'lz4'})}"

    def at(self, scale: int, *, supervoxels: bool) -> ServerLabels:
        """The same at a resolution, giving bodies or supervoxels."""
        info = self.info.at_scale(scale)
        return ServerLabels(self._connection, self._admin, self._path, info, scale=scale, supervoxels=supervoxels)

    def wrote(self, box: Box) -> None:
        """Bring the extents, which have grown by whole blocks, back to what was written, if nobody else has changed them."""
        before, block = self.info.extents, self.info.block_zyx
        exact = box if before is None else before | box
        grown = box.blocks(block).box(block)
        grown = grown if before is None else before | grown
        now = VolumeInfo.of(self._ask("GET", "info")).extents
        if now == grown != exact:
            low, high = reverse3(exact.start_zyx), [edge - 1 for edge in reverse3(exact.stop_zyx)]
            self._ask("POST", "extents", {"MinPoint": low, "MaxPoint": high})

    # ---- bodies -------------------------------------------------------------------------------

    def merge(self, target: int, others: Sequence[int]) -> None:
        """Merge bodies into another."""
        self._ask("POST", "merge", [target, *others])

    def plan(self, supervoxels: Labels, bodies: Labels) -> Regrouping:
        """What has to be done that each supervoxel belongs to the body beside it."""
        return agglomeration.plan(
            supervoxels, bodies, partial(self._numbers, "mapping"), partial(self._numbers, "sizes")
        )

    def _numbers(self, what: str, labels: Labels) -> Labels:
        """A number for each label."""
        parts = [
            np.array(self._ask("GET", what, labels[first : first + _ASKED_AT_ONCE].tolist()), np.uint64)
            for first in range(0, len(labels), _ASKED_AT_ONCE)
        ]
        return np.concatenate([np.empty(0, np.uint64), *parts])

    def regroup(self, todo: Regrouping, part: slice) -> None:
        """Do a part of it: a request for each merge, several at a time."""
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
            for _ in pool.map(lambda group: self.merge(*group), todo.groups(part)):
                pass
        pairs = todo.renumbered(part)
        if pairs:
            self._ask("POST", "renumber", [label for pair in pairs for label in pair])

    def runs(self, body: int) -> Iterator[Runs]:
        """Where a body is: one (n, 4) int32 array of x, y, z and voxels along x."""
        yield np.frombuffer(self._receive(f"sparsevol/{body}?format=srles"), "<i4").reshape(-1, 4)

    def indices(self) -> Iterator[LabelIndices]:
        """The indices of all bodies. If the node is open, changes that are made meanwhile may show in part."""
        start = 0
        while True:
            data = self._receive(f"listlabels?start={start}&number={_INDICES_AT_ONCE}")
            labels = np.frombuffer(data, "<u8")
            if not len(labels):
                return
            found = decode_label_indices(self._receive("indices", labels.tolist()), _MOST_IN_INDICES)
            yield found
            if len(labels) < _INDICES_AT_ONCE:
                return
            start = int(labels[-1]) + 1

    def mappings(self) -> Iterator[tuple[Labels, Labels]]:
        """All supervoxels that belong to bodies of other numbers, and these."""
        pairs = np.frombuffer(self._receive("mappings?format=binary"), "<u8").reshape(-1, 2)
        yield pairs[:, 0], pairs[:, 1]

    def set_next_label(self, start: int, ceiling: int | None) -> None:
        """Let new labels count up from behind a label."""
        query = "" if ceiling is None else f"?ceiling={ceiling}"
        self._ask("POST", f"set-nextlabel/{start}{query}", admin=True)

    # ---- requests -----------------------------------------------------------------------------

    def _ask(self, method: str, rest: str, document: object = None, *, admin: bool = False) -> Any:
        """The JSON that the server answers; of a change what it says, if anything."""
        connection, path = self._admin if admin else self._connection, f"{self._path}/{rest}"
        what = f"{rest.partition('?')[0].partition('/')[0]} of {self.info.name!r}"
        if method == "GET":
            return connection.ask(path, what, document=document)
        return connection.tell(path, what, document=document, method=method)

    def _receive(self, rest: str, document: object = None) -> bytes:
        what = f"{rest.partition('?')[0]} of {self.info.name!r}"
        return self._connection.get_bytes(f"{self._path}/{rest}", what, document=document)
