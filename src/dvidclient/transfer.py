"""Boxes of voxels between a server and arrays: cut along blocks, several parts at a time, each straight into its place."""

from __future__ import annotations

import threading
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

import numpy as np

from dvidclient import wire
from dvidclient.boxes import XYZ, Box, split
from dvidclient.connection import Connection
from dvidclient.errors import BadArgument, ServerRefused
from dvidclient.progress import Meter, Progress

WORKERS = 4
# Large enough that the round trip does not show, small enough that a part fits a server's limits and memory.
MOST_PART_BYTES = 16 << 20
LEAST_PART_BYTES = 1 << 20
# Seconds after which Ctrl-C is noticed for sure: one in the moment before a wait without an end would be noticed at its end.
NOTICED = 0.5

AUTO, LZ4, NONE = "auto", "lz4", "none"
COMPRESSIONS = (AUTO, LZ4, NONE)

_write_locks: dict[tuple[str, str], threading.Lock] = {}
_without_lz4: set[tuple[str, str]] = set()
"""Servers and types of instance of which it is known that they take no lz4."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """The voxels of a data instance at a version. Safe to use from several threads; can be sent to other processes.

    Attributes:
        connection: to the server.
        path: of the instance's requests.
        named: what messages call it (``volume 'em' at node 'abc'``).
        typename: of the instance.
        dtype: of a voxel's channels.
        channels: of a voxel.
        block_size_xyz: of the blocks that the server stores.
        unaligned_writes: whether it takes writes of any box, and not only of whole blocks.
        workers: how many parts are read or written at a time.
        scale: which resolution is read; each has half of the one before it.
        supervoxels: read supervoxels, and not bodies.
        compression: of voxels on the wire: ``"lz4"``, ``"none"``, or ``"auto"``: lz4 for labels that do not stay on this machine.
    """

    connection: Connection
    path: str
    named: str
    typename: str
    dtype: np.dtype[Any]
    channels: int
    block_size_xyz: XYZ
    unaligned_writes: bool
    workers: int = WORKERS
    scale: int = 0
    supervoxels: bool = False
    compression: str = AUTO

    def __post_init__(self) -> None:
        checked_workers(self.workers)
        if self.compression not in COMPRESSIONS:
            raise BadArgument(f"compression: expected one of {', '.join(COMPRESSIONS)}, got {self.compression!r}")
        if self.compression == LZ4 and wire.lz4_block() is None:
            raise BadArgument("compression: lz4 needs the package lz4: pip install 'dvidclient[lz4]'")

    @property
    def is_labels(self) -> bool:
        """Whether the voxels are labels."""
        return self.typename.startswith("label")

    @property
    def lz4(self) -> bool:
        """Whether voxels are lz4 on the wire."""
        if self.compression != AUTO:
            return self.compression == LZ4
        # Labels shrink a lot, and images hardly; between programs of one machine, packing costs more time than it saves.
        return (
            self.is_labels
            and not self.connection.is_local
            and wire.lz4_block() is not None
            and (self.connection.base_url, self.typename) not in _without_lz4
        )

    @property
    def voxel_bytes(self) -> int:
        """Bytes of a voxel, all channels."""
        return self.channels * self.dtype.itemsize

    def empty(self, box: Box, channels: int) -> wire.Voxels:
        """A new array (z, y, x, c) for a box.

        Raises:
            BadArgument: there is no memory for it.
        """
        x, y, z = box.size_xyz
        try:
            return np.empty((z, y, x, channels), self.dtype)
        except (MemoryError, ValueError) as error:
            size = box.voxels * channels * self.dtype.itemsize
            raise BadArgument(f"{box} of {self.named} has {size} bytes, for which there is no memory") from error

    def read(
        self,
        box: Box,
        target_zyxc: wire.Voxels,
        *,
        first_channel: int = 0,
        steps_zyx: tuple[int, int, int] = (1, 1, 1),
        workers: int | None = None,
        progress: Progress = None,
    ) -> None:
        """Reads a box into an array (z, y, x, c) of any strides.

        Args:
            box: what to read.
            target_zyxc: takes the channels from ``first_channel`` on, as many as it has; of the type of the voxels.
            first_channel: the first channel that is wanted.
            steps_zyx: of each so many voxels the first is kept, from the first of the box on; the array has their number.
            workers: default: those of the transfer.
            progress: see ``dvidclient.progress``.

        Raises:
            ServerRefused, NoAnswer: name the part that could not be read.
        """
        meter = Meter(target_zyxc.nbytes, self._doing("reading", box), progress)

        def read_part(part: Box) -> None:
            picked = _picked(part, box, steps_zyx)
            if picked is None:
                return
            wanted, within_zyx = picked
            target = target_zyxc[within_zyx]
            if steps_zyx == (1, 1, 1):
                self._read_part(part, target, first_channel)
            else:
                whole = self.empty(wanted, target.shape[3])
                self._read_part(wanted, whole, first_channel)
                target[...] = whole[tuple(slice(None, None, step) for step in steps_zyx)]
            meter.add(target.nbytes)

        _run(read_part, self._parts(box, workers), self._threads(workers))

    def write(
        self,
        box: Box,
        source_zyxc: wire.Voxels,
        *,
        mutate: bool = True,
        workers: int | None = None,
        progress: Progress = None,
    ) -> None:
        """Writes a box from an array (z, y, x, c) of any strides, that holds all channels.

        A server that stores whole blocks only is sent the blocks around the box, with the voxels read from it first; a
        write of another program to the same blocks in between is lost then.

        Args:
            box: what to write.
            source_zyxc: the voxels; of a type that fits into theirs.
            mutate: False says that the box was never written before, which is quicker on some servers.
            workers: default: those of the transfer.
            progress: see ``dvidclient.progress``.

        Raises:
            BadArgument: what is read at a lower resolution cannot be written.
            ServerRefused, NoAnswer: name the part that could not be written; other parts may have been.
        """
        self.check_writeable()
        meter = Meter(box.voxels * self.voxel_bytes, self._doing("writing", box), progress)

        def write_part(part: Box) -> None:
            self._write_part(part, source_zyxc[part.within_zyx(box)], mutate)
            meter.add(part.voxels * self.voxel_bytes)

        parts, threads = self._parts(box, workers), self._threads(workers)
        if self.unaligned_writes or box == box.widened(self.block_size_xyz):
            _run(write_part, parts, threads)
        else:
            with _write_locks.setdefault((self.connection.base_url, self.path), threading.Lock()):
                _run(write_part, parts, threads)

    def check_writeable(self) -> None:
        """Raises ``BadArgument`` where it only reads."""
        if self.scale:
            raise BadArgument(
                f"{self.named} can be written at scale 0, and the others follow; this is scale {self.scale}"
            )

    def _threads(self, workers: int | None) -> int:
        return self.workers if workers is None else checked_workers(workers)

    def _parts(self, box: Box, workers: int | None) -> list[Box]:
        share = -(-box.voxels * self.voxel_bytes // self._threads(workers))
        part_bytes = min(MOST_PART_BYTES, max(LEAST_PART_BYTES, share))
        return split(box, self.block_size_xyz, max(1, part_bytes // self.voxel_bytes))

    def _doing(self, verb: str, box: Box) -> str:
        at_scale = f" at scale {self.scale}" if self.scale else ""
        return f"{verb} {box} of {self.named}{at_scale}"

    def _raw(self, box: Box, options: dict[str, str], packed: bool) -> str:
        size, start = ("_".join(str(n) for n in xyz) for xyz in (box.size_xyz, box.start_xyz))
        given = {**options, **({"compression": LZ4} if packed else {})}
        query = f"?{urllib.parse.urlencode(given)}" if given else ""
        return f"{self.path}/raw/0_1_2/{size}/{start}{query}"

    def _read_part(self, part: Box, target_zyxc: wire.Voxels, first_channel: int) -> None:
        options = {"supervoxels": "true"} if self.supervoxels else {}
        if self.scale:
            options["scale"] = str(self.scale)

        def ask(packed: bool) -> None:
            receive = wire.receive_lz4 if packed else wire.receive_voxels
            self.connection.request(
                "GET",
                self._raw(part, options, packed),
                what=self._doing("reading", part),
                receive=lambda response: receive(response, target_zyxc, first_channel, self.channels),
            )

        self._packed_or_plain(ask)

    def _write_part(self, part: Box, source_zyxc: wire.Voxels, mutate: bool) -> None:
        options = {"mutate": "true"} if mutate else {}
        wide = part.widened(self.block_size_xyz)
        sent = part
        voxels_zyxc = source_zyxc.astype(self.dtype, copy=False)
        if wide != part and self.unaligned_writes:
            options["unaligned"] = "true"
        elif wide != part:
            # What is written to a labelmap is supervoxels: bodies read around the box would overwrite theirs.
            stored = replace(self, supervoxels=True) if self.typename == "labelmap" else self
            blocks_zyxc = self.empty(wide, self.channels)
            stored._read_part(wide, blocks_zyxc, 0)
            blocks_zyxc[part.within_zyx(wide)] = voxels_zyxc
            sent, voxels_zyxc = wide, blocks_zyxc
        body = wire.wire_bytes(voxels_zyxc)

        def tell(packed: bool) -> None:
            voxels = wire.compressed(body) if packed else body
            self.connection.post_voxels(self._raw(sent, options, packed), voxels, self._doing("writing", part))

        self._packed_or_plain(tell)

    def _packed_or_plain(self, send: Callable[[bool], None]) -> None:
        """Sends with lz4 or without; without, too, where lz4 was nobody's wish and the server refuses it."""
        packed = self.lz4
        try:
            send(packed)
        except ServerRefused as refusal:
            if not packed or self.compression != AUTO or refusal.status != HTTPStatus.BAD_REQUEST:
                raise
            send(False)
            _without_lz4.add((self.connection.base_url, self.typename))


def checked_workers(workers: int) -> int:
    """How many parts at a time.

    Raises:
        BadArgument: it is no positive integer.
    """
    if not isinstance(workers, int) or workers < 1:
        raise BadArgument(f"workers: expected an integer of at least 1, got {workers!r}")
    return workers


def _picked(part: Box, box: Box, steps_zyx: tuple[int, int, int]) -> tuple[Box, tuple[slice, slice, slice]] | None:
    """What of a part is kept, from the first to the last voxel, and where it goes; None where nothing is."""
    starts, stops, places = [], [], []
    for axis, step in zip((0, 1, 2), reversed(steps_zyx), strict=True):
        origin = box.start_xyz[axis]
        first = -(-(part.start_xyz[axis] - origin) // step)
        last = (part.stop_xyz[axis] - 1 - origin) // step
        if last < first:
            return None
        starts.append(origin + first * step)
        stops.append(origin + last * step + 1)
        places.append(slice(first, last + 1))
    (x0, y0, z0), (x1, y1, z1), (x, y, z) = starts, stops, places
    return Box((x0, y0, z0), (x1, y1, z1)), (z, y, x)


def _run(work: Callable[[Box], None], parts: Sequence[Box], threads: int) -> None:
    """Does all parts, and stops with the first error, when those that were begun have ended; the others are left.

    An interruption (Ctrl-C) is not kept waiting for the parts that were begun, which may have to wait for a server for minutes.
    """
    if len(parts) == 1 or threads == 1:
        for part in parts:
            work(part)
        return
    left = iter(parts)
    taking = threading.Lock()
    stopped = threading.Event()
    errors: list[BaseException] = []

    def do_parts() -> None:
        while not stopped.is_set():
            with taking:
                part = next(left, None)
            if part is None:
                return
            try:
                work(part)
            except BaseException as error:  # noqa: BLE001 - whoever waits raises it
                errors.append(error)
                stopped.set()

    # Daemons, so that a program that was interrupted does not wait for them when it ends.
    crew = [
        threading.Thread(target=do_parts, name=f"dvidclient_{at}", daemon=True)
        for at in range(min(threads, len(parts)))
    ]
    try:
        for thread in crew:
            thread.start()
        for thread in crew:
            while thread.is_alive():
                thread.join(NOTICED)
        if errors:
            raise errors[0]
    finally:
        stopped.set()
        errors.clear()  # an error holds this frame, and the frame the error
