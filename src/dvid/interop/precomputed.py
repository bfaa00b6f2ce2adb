"""Neuroglancer precomputed volumes in local folders.

A folder has a file `info` that describes the scales, and for each a folder of chunks, a file each. Chunks that are raw or
compressed segmentation are read and written here; sharded scales, where many chunks share a file, are read through
tensorstore, if it is installed. Source: https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/volume.md
"""

from __future__ import annotations

import gzip
import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dvid.codecs import segmentation
from dvid.errors import BadRequest, Conflict, NotFound
from dvid.interop.compressed_segmentation import decode
from dvid.interop.piece_cache import PieceCache
from dvid.interop.progress import ProgressJournal
from dvid.interop.resolution import NANOMETERS, parse_lengths
from dvid.interop.volumes import (
    ShapeZYX,
    SinkPlan,
    VolumeSink,
    VolumeSource,
    Voxels,
    check_dtype,
    check_piece,
    iter_boxes,
    refuse_existing,
)

INFO = "info"
KIND = "neuroglancer_multiscale_volume"
MAX_INFO_BYTES = 16 << 20
MAX_COORDINATE = 1 << 40

_RAW, _COMPRESSED = "raw", "compressed_segmentation"
_BLOCK_ZYX = (8, 8, 8)


def is_precomputed(path: str) -> bool:
    """Whether a folder is a precomputed volume, or that of one of its scales."""
    return _described(path) is not None or _described(os.path.dirname(os.path.abspath(path))) is not None


def _described(path: str) -> dict[str, Any] | None:
    """What the info of a volume says, or None where there is none."""
    file = os.path.join(path, INFO)
    if not os.path.isfile(file) or os.path.getsize(file) > MAX_INFO_BYTES:
        return None
    try:
        with open(file, "rb") as opened:
            info = json.loads(opened.read(MAX_INFO_BYTES))
    except (ValueError, OSError):
        return None
    # "@type" came later than the format.
    scales = isinstance(info, dict) and isinstance(info.get("scales"), list) and "data_type" in info
    return info if scales and info.get("@type", KIND) == KIND else None


@dataclass(frozen=True, slots=True)
class _Scale:
    """One resolution of a volume."""

    key: str
    shape_zyx: ShapeZYX
    offset_zyx: ShapeZYX
    chunk_zyx: ShapeZYX
    encoding: str
    block_zyx: ShapeZYX
    sharded: bool
    resolution_zyx: tuple[float, float, float] | None

    @classmethod
    def of(cls, scale: Any, path: str) -> _Scale:
        """Reads the description of a scale.

        Raises:
            BadRequest: If it is none.
        """
        try:
            key = str(scale["key"])
            resolution = parse_lengths(scale.get("resolution"), 3)
            made = cls(
                key,
                _zyx(scale["size"], 1),
                _zyx(scale.get("voxel_offset", [0, 0, 0]), -MAX_COORDINATE),
                _zyx(scale["chunk_sizes"][0], 1),
                str(scale["encoding"]),
                _zyx(scale.get("compressed_segmentation_block_size", [8, 8, 8]), 1),
                scale.get("sharding") is not None,
                None if resolution is None else (resolution[2], resolution[1], resolution[0]),
            )
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise BadRequest(f"{path} is damaged: its info describes a scale without {error}") from None
        if not key or os.path.isabs(key) or ".." in key.split("/"):
            raise BadRequest(f"{path} keeps a scale outside of its folder, at {key!r}: that is not read")
        return made


def _zyx(values: Any, least: int) -> ShapeZYX:
    x, y, z = (int(value) for value in values)
    if not all(least <= value <= MAX_COORDINATE for value in (x, y, z)):
        raise ValueError(f"three numbers from {least} on: {values}")
    return z, y, x


class PrecomputedSource(VolumeSource):
    """A scale of a precomputed volume.

    Chunks that there are no files of are 0.

    Args:
        path: Of the volume, or of the folder of one of its scales.
        key: Of the scale; None for the first one, which has the full resolution.

    Raises:
        NotFound: If there is no such scale.
        BadRequest: If it is damaged, or of an encoding that is not read.
    """

    def __init__(self, path: str, key: str | None = None) -> None:
        root = os.path.abspath(path)
        info = _described(root)
        if info is None and key is None:
            root, key = os.path.split(root)
            info = _described(root)
        if info is None:
            raise BadRequest(f"{path} is no precomputed volume: it has no file info of one")
        scales = [_Scale.of(scale, path) for scale in info["scales"]]
        keys = ", ".join(scale.key for scale in scales)
        chosen = [scale for scale in scales if key is None or scale.key == key]
        if not chosen:
            raise NotFound(f"{path} has no scale {key!r}: its scales are {keys or 'none'}")
        self._scale, self._folder = chosen[0], root
        self.name = os.path.join(root, self._scale.key)
        try:
            self.dtype = check_dtype(np.dtype(str(info["data_type"])), path)
            self.channels = int(info.get("num_channels", 1))
        except (TypeError, ValueError):
            raise BadRequest(f"{path} is damaged: voxels of type {info['data_type']!r}") from None
        if not 1 <= self.channels <= 1 << 16:
            raise BadRequest(f"{path} is damaged: {self.channels} channels")
        self.is_segmentation = info.get("type") == "segmentation"
        self.shape_zyx, self.origin_zyx = self._scale.shape_zyx, self._scale.offset_zyx
        self.preferred_chunk_zyx = self._scale.chunk_zyx
        self.voxel_size_zyx = self._scale.resolution_zyx
        if self.voxel_size_zyx is not None:
            self.units = NANOMETERS
            z, y, x = (a * b for a, b in zip(self.voxel_size_zyx, self.origin_zyx, strict=True))
            self.offset_zyx = (z, y, x)
        check_piece((self.channels, *self._scale.chunk_zyx), self.dtype, self.name)
        check_piece(self._scale.block_zyx, self.dtype, self.name)
        self._pieces = PieceCache()
        self._closed = False
        self._sharded = _open_sharded(root, self._scale.key, path) if self._scale.sharded else None
        if not self._sharded:
            self._check_encoding(path)

    def _check_encoding(self, path: str) -> None:
        encoding = self._scale.encoding
        if encoding == _COMPRESSED and self.dtype.name not in ("uint32", "uint64"):
            raise BadRequest(
                f"{path} is damaged: compressed segmentation has labels of 32 or 64 bits, not {self.dtype}"
            )
        if encoding not in (_RAW, _COMPRESSED):
            raise BadRequest(f"{path} has chunks encoded as {encoding!r}; {_RAW} and {_COMPRESSED} are read")

    def _read(self, start_zyx: ShapeZYX, shape_zyx: ShapeZYX) -> Voxels:
        if self._closed:
            raise BadRequest(f"{self.name} is closed")
        if self._sharded is not None:
            box_zyxc = self._sharded(start_zyx, shape_zyx)
        else:
            box_zyxc = np.zeros((*shape_zyx, self.channels), self.dtype)
            chunk = self._scale.chunk_zyx
            first = tuple(at // edge for at, edge in zip(start_zyx, chunk, strict=True))
            stop = [a + n for a, n in zip(start_zyx, shape_zyx, strict=True)]
            grid = [-(-end // edge) - begin for end, edge, begin in zip(stop, chunk, first, strict=True)]
            for place in np.ndindex(*grid):
                low = tuple((a + b) * edge for a, b, edge in zip(first, place, chunk, strict=True))
                self._copy((low[0], low[1], low[2]), start_zyx, box_zyxc)
        return box_zyxc if self.channels > 1 else box_zyxc[..., 0]

    def _copy(self, low: ShapeZYX, start: ShapeZYX, box_zyxc: Voxels) -> None:
        """Copies what a box shares with the chunk that begins at `low`."""
        sizes = zip(self._scale.chunk_zyx, self.shape_zyx, low, strict=True)
        size_z, size_y, size_x = (min(edge, whole - at) for edge, whole, at in sizes)
        size = (size_z, size_y, size_x)
        piece = self._pieces.get(low, lambda: self._chunk(low, size))
        if not piece.size:
            return
        here, there = [], []
        for at, edge, begin, length in zip(low, size, start, box_zyxc.shape, strict=False):
            a, b = max(at, begin), min(at + edge, begin + length)
            here.append(slice(a - begin, b - begin))
            there.append(slice(a - at, b - at))
        box_zyxc[tuple(here)] = piece[:, *there].transpose(1, 2, 3, 0)

    def _chunk(self, low: ShapeZYX, size: ShapeZYX) -> Voxels:
        """A chunk: (channel, z, y, x); empty where there is no file."""
        scale = self._scale
        path = os.path.join(self.name, _file_name(low, size, scale.offset_zyx))
        # A table of as many labels as there are voxels, as many places in it, and blocks that reach beyond the chunk.
        padded = math.prod(-(-n // edge) * edge for n, edge in zip(size, scale.block_zyx, strict=True))
        data = _stored(path, self.channels * 20 * padded + 4096)
        if data is None:
            return np.empty(0, self.dtype)
        if scale.encoding == _COMPRESSED:
            try:
                return decode(data, size, self.channels, self.dtype, scale.block_zyx)
            except BadRequest as error:
                raise BadRequest(f"{path} is damaged: {error}") from None
        expected = self.channels * math.prod(size) * self.dtype.itemsize
        if len(data) != expected:
            raise BadRequest(f"{path} is damaged: it has {len(data)} bytes, not {expected}")
        return np.frombuffer(data, self.dtype.newbyteorder("<")).reshape(self.channels, *size)

    def _identity(self) -> object:
        stat = os.stat(os.path.join(self._folder, INFO))
        return self._scale.key, stat.st_size, stat.st_mtime_ns

    def close(self) -> None:
        """Lets go of what is kept of it."""
        self._closed = True
        self._pieces = PieceCache()
        self._sharded = None


def _file_name(low: ShapeZYX, size: ShapeZYX, offset: ShapeZYX) -> str:
    spans = [f"{a + o}-{a + n + o}" for a, n, o in zip(low, size, offset, strict=True)]
    return "_".join(reversed(spans))


def _stored(path: str, most: int) -> bytes | None:
    """The bytes of a chunk, or None where it has no file. Some programs gzip chunks and add .gz to their names."""
    try:
        if os.path.isfile(path):
            with open(path, "rb") as file:
                data = file.read(most + 1)
        elif os.path.isfile(f"{path}.gz"):
            with gzip.open(f"{path}.gz") as packed:
                data = packed.read(most + 1)
        elif os.path.isfile(f"{path}.br"):
            raise BadRequest(f"{path}.br is compressed with Brotli, which is not read")
        else:
            return None
    except (OSError, EOFError) as error:
        raise BadRequest(f"{path} cannot be read: {error}") from None
    if len(data) > most:
        raise BadRequest(f"{path} is damaged: it has more than the {most} bytes that such a chunk can have")
    return data


def _open_sharded(root: str, key: str, path: str) -> Callable[[ShapeZYX, ShapeZYX], Voxels]:
    try:
        import tensorstore
    except ImportError:
        raise BadRequest(
            f"{path} is sharded, and that is read through tensorstore, which is not installed: "
            "python3 -m pip install 'dvid[sharded]'"
        ) from None
    with open(os.path.join(root, INFO), "rb") as file:
        keys = [scale["key"] for scale in json.loads(file.read(MAX_INFO_BYTES))["scales"]]
    try:
        array = tensorstore.open(
            {
                "driver": "neuroglancer_precomputed",
                "kvstore": {"driver": "file", "path": root + "/"},
                "scale_index": keys.index(key),
            },
            read=True,
        ).result()
    except ValueError as error:
        raise BadRequest(f"{path} cannot be read: {error}") from None
    origin = array.domain.origin

    def read(start_zyx: ShapeZYX, shape_zyx: ShapeZYX) -> Voxels:
        spans = [slice(a + o, a + n + o) for a, n, o in zip(start_zyx[::-1], shape_zyx[::-1], origin[:3], strict=True)]
        try:
            box_xyzc = array[tuple(spans)].read().result()
        except ValueError as error:
            raise BadRequest(f"{path} is damaged at {start_zyx} (z, y, x): {error}") from None
        return np.asarray(box_xyzc).transpose(2, 1, 0, 3)

    return read


class PrecomputedSink(VolumeSink):
    """A precomputed volume of one scale, each chunk a file: labels as compressed segmentation, others raw."""

    def __init__(self, path: str, plan: SinkPlan, journal: ProgressJournal, scale: _Scale) -> None:
        super().__init__(path, plan, plan.chunk_zyx, journal)
        self._scale = scale
        self._folder = os.path.join(path, scale.key)

    def _write(self, start_zyx: ShapeZYX, array: Voxels) -> None:
        for low, size in iter_boxes(array.shape[:3], self.part_zyx):
            z, y, x = low
            chunk = array[z : z + size[0], y : y + size[1], x : x + size[2]]
            at = tuple(a + b for a, b in zip(start_zyx, low, strict=True))
            path = os.path.join(self._folder, _file_name((at[0], at[1], at[2]), size, self._scale.offset_zyx))
            with open(path, "wb") as file:
                file.write(self._encoded(chunk))

    def _encoded(self, chunk: Voxels) -> bytes | memoryview:
        if self._scale.encoding == _COMPRESSED:
            beyond = [(0, -edge % block) for edge, block in zip(chunk.shape, _BLOCK_ZYX, strict=True)]
            return segmentation.encode(np.pad(chunk, beyond, "edge"))
        if self.plan.channels > 1:
            chunk = chunk.transpose(3, 0, 1, 2)
        return np.ascontiguousarray(chunk, self.plan.dtype.newbyteorder("<")).tobytes()

    def _sync(self, boxes: list[tuple[ShapeZYX, ShapeZYX]]) -> None:
        for start, shape in boxes:
            for low, size in iter_boxes(shape, self.part_zyx):
                at = tuple(a + b for a, b in zip(start, low, strict=True))
                _sync_path(os.path.join(self._folder, _file_name((at[0], at[1], at[2]), size, self._scale.offset_zyx)))
        _sync_path(self._folder)

    def _release(self) -> None:
        """Nothing is held."""


def make_precomputed(path: str, plan: SinkPlan, journal: ProgressJournal, resume: bool) -> PrecomputedSink:
    """Makes a precomputed volume in a folder of its own, or goes on with one.

    Raises:
        Conflict: If the path is taken, or holds something else than what is gone on with.
    """
    labels = plan.dtype.name == "uint64" and plan.channels == 1
    size = plan.voxel_size_zyx or (1.0, 1.0, 1.0)
    scale = {
        "key": "_".join(f"{edge:g}" for edge in reversed(size)),
        "size": list(reversed(plan.shape_zyx)),
        "voxel_offset": list(reversed(plan.start_zyx)),
        "chunk_sizes": [list(reversed(plan.chunk_zyx))],
        "resolution": list(reversed(size)),
        "encoding": _COMPRESSED if labels else _RAW,
        **({"compressed_segmentation_block_size": list(_BLOCK_ZYX)} if labels else {}),
    }
    info = {
        "@type": KIND,
        "type": "segmentation" if labels else "image",
        "data_type": plan.dtype.name,
        "num_channels": plan.channels,
        "scales": [scale],
    }
    if resume:
        if _described(path) != info:
            raise Conflict(f"{path} cannot be gone on with: its file info has changed")
        return PrecomputedSink(path, plan, journal, _Scale.of(scale, path))
    if os.path.lexists(path) and (not os.path.isdir(path) or os.listdir(path)):
        raise refuse_existing(path)
    os.makedirs(os.path.join(path, str(scale["key"])))
    with open(os.path.join(path, INFO), "w") as file:
        json.dump(info, file)
    _sync_path(os.path.join(path, INFO))
    return PrecomputedSink(path, plan, journal, _Scale.of(scale, path))


def remove_precomputed(path: str) -> None:
    """Deletes what an export that noted no part yet has left behind."""
    info = _described(path) if os.path.isdir(path) else None
    if info is not None and set(os.listdir(path)) <= {INFO, *(str(scale.get("key")) for scale in info["scales"])}:
        shutil.rmtree(path)


def _sync_path(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
