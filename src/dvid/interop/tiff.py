"""TIFF: files of many pages as volumes, and single pages as slices, read strip by strip or tile by tile.

Voxel sizes are read from ImageJ's and OME's metadata, and from the JSON description of files written here. The other
files that an OME-TIFF may name are not followed.
"""

from __future__ import annotations

import io
import logging
import math
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import tifffile

from dvid.errors import BadRequest, Conflict
from dvid.interop.axes import MOST_CHANNELS
from dvid.interop.numpy_files import MappedSink, MappedSource, check_free_space
from dvid.interop.piece_cache import PieceCache
from dvid.interop.progress import ProgressJournal
from dvid.interop.tiff_metadata import check_pages, check_whole, describe_resolution, read_resolution
from dvid.interop.volumes import ShapeZYX, SinkPlan, VolumeSource, Voxels, check_dtype, check_piece, refuse_existing

# It reports damage to standard error as it goes on; here damage is an error.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

# What a damaged or unsupported file makes tifffile and its codecs raise.
_READ_ERRORS: tuple[type[Exception], ...] = (
    AssertionError,  # tifffile asserts what damaged files do not keep
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    struct.error,
    tifffile.TiffFileError,
)


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turns what a damaged file raises into a BadRequest that names it."""
    try:
        yield
    except _READ_ERRORS as error:
        raise BadRequest(f"{path} cannot be read as a TIFF file: {error}") from None


def open_file(path: str) -> tifffile.TiffFile:
    """Opens a TIFF file whose list of pages is whole."""
    with reading(path):
        check_pages(path)
        return tifffile.TiffFile(path, _multifile=False)


class PageReader:
    """Reads rectangles of one page, decoding no more of it than they touch.

    Args:
        page: A page or frame of an open file.
        name: Of the file, for messages.

    Attributes:
        shape_yx: Size in pixels.
        channels: Values per pixel.
        dtype: Of the pixels.
    """

    def __init__(self, page: Any, name: str) -> None:
        key = page.keyframe
        self.name = name
        self._key = key
        self._offsets, self._counts = page.dataoffsets, page.databytecounts
        self._tables = page.jpegtables if key.compression in (6, 7, 33007, 34892) else None
        planes, depth, height, width, samples = key.shaped
        if depth != 1:
            raise BadRequest(f"{name} has pages of depth {depth}: pages are planes")
        self.shape_yx = (int(height), int(width))
        self._planes, self._samples = int(planes), int(samples)
        self.channels = self._planes * self._samples
        self.dtype = check_dtype(np.dtype(key.dtype), name)
        if key.is_tiled:
            self._segment_yx = (int(key.tilelength), int(key.tilewidth))
        else:
            self._segment_yx = (min(int(key.rowsperstrip), self.shape_yx[0]), self.shape_yx[1])
        self._grid_yx = tuple(-(-n // m) for n, m in zip(self.shape_yx, self._segment_yx, strict=True))
        if len(self._offsets) != self._planes * math.prod(self._grid_yx):
            raise BadRequest(f"{name} is damaged: a page has {len(self._offsets)} strips or tiles, not {self._grid_yx}")
        check_piece((*self._segment_yx, self._samples), self.dtype, name)
        size = page.parent.filehandle.size
        if any(offset + count > size for offset, count in zip(self._offsets, self._counts, strict=True)):
            raise BadRequest(f"{name} is cut short: a page has data past its end")

    @property
    def segment_yx(self) -> tuple[int, int]:
        """Size of the strips or tiles."""
        return self._segment_yx

    def read(
        self, fetch: Callable[[int, int], bytes], start_yx: tuple[int, int], out: Voxels, cache: PieceCache
    ) -> None:
        """Reads a rectangle.

        Args:
            fetch: Reads bytes of the file, by offset and length.
            start_yx: First pixel.
            out: Filled with the rectangle; its shape (y, x, channels) says how large it is.
            cache: Keeps decoded strips and tiles.
        """
        height, width = out.shape[:2]
        tall, wide = self._segment_yx
        for plane in range(self._planes):
            into = out[..., plane : plane + 1] if self._planes > 1 else out
            for row in range(start_yx[0] // tall, (start_yx[0] + height - 1) // tall + 1):
                for column in range(start_yx[1] // wide, (start_yx[1] + width - 1) // wide + 1):
                    index = (plane * self._grid_yx[0] + row) * self._grid_yx[1] + column
                    segment = cache.get((self.name, self._offsets[index], index), partial(self._decode, fetch, index))
                    y, x = row * tall, column * wide
                    first_y, first_x = max(y, start_yx[0]), max(x, start_yx[1])
                    last_y, last_x = min(y + tall, start_yx[0] + height), min(x + wide, start_yx[1] + width)
                    into[first_y - start_yx[0] : last_y - start_yx[0], first_x - start_yx[1] : last_x - start_yx[1]] = (
                        segment[first_y - y : last_y - y, first_x - x : last_x - x]
                    )

    def _decode(self, fetch: Callable[[int, int], bytes], index: int) -> Voxels:
        count = self._counts[index]
        options = {"jpegtables": self._tables, "jpegheader": self._key.jpegheader} if self._tables is not None else {}
        with reading(self.name):
            data = fetch(self._offsets[index], count) if count else None
            segment, _, shape = self._key.decode(data, index, **options)
            if segment is None:
                return np.full(shape[1:], self._key.nodata, self.dtype)
            plane: Voxels = np.asarray(segment).reshape(shape)[0]
            return plane


class PagedTiffSource(VolumeSource):
    """A series of pages of one TIFF file that are compressed or scattered.

    Args:
        path: Of the file.
        file: The open file; closed with the source.
        series: Of the file.
        axes: One of the letters z, c, y, x or - (of length 1) for each axis of the series.
    """

    def __init__(self, path: str, file: tifffile.TiffFile, series: Any, axes: str) -> None:
        self.name = path
        self._path = path
        self._file: tifffile.TiffFile | None = file
        self._lock = threading.Lock()
        self._cache = PieceCache()
        pages = list(series.pages)
        if any(page is None for page in pages):
            raise BadRequest(f"{path} is one of several files: what the others hold is missing")
        self._pages = [PageReader(page, path) for page in pages]
        first = self._pages[0]
        order = "".join(
            name for name, letter in zip(axes, series.axes, strict=True) if letter not in "YXS" and name in "zc"
        )
        sizes = {name: int(size) for name, size in zip(axes, series.shape, strict=True)}
        depth, per_voxel = sizes.get("z", 1), sizes.get("c", 1)
        self._page_channels = first.channels > 1
        self._step_z, self._step_c = (per_voxel, 1) if order == "zc" else (1, depth)
        if order in ("z", ""):
            self._step_z, self._step_c = 1, 0
        if len(pages) != depth * (1 if self._page_channels else per_voxel):
            raise BadRequest(f"{path} is damaged: it has {len(pages)} pages for {depth} planes")
        self.shape_zyx = (depth, *first.shape_yx)
        self.channels = per_voxel
        self.dtype = first.dtype
        self.preferred_chunk_zyx = (1, *first.segment_yx)

    def _read(self, start_zyx: ShapeZYX, shape_zyx: ShapeZYX) -> Voxels:
        box = np.empty((*shape_zyx, self.channels), self.dtype)
        for z in range(shape_zyx[0]):
            for channel in range(1 if self._page_channels else self.channels):
                page = self._pages[(start_zyx[0] + z) * self._step_z + channel * self._step_c]
                out = box[z] if self._page_channels else box[z, ..., channel : channel + 1]
                page.read(self._fetch, start_zyx[1:], out, self._cache)
        return box if self.channels > 1 else box[..., 0]

    def _fetch(self, offset: int, count: int) -> bytes:
        with self._lock:
            if self._file is None:
                raise BadRequest(f"{self.name} is closed")
            self._file.filehandle.seek(offset)
            return bytes(self._file.filehandle.read(count))

    def _identity(self) -> object:
        stat = os.stat(self._path)
        return stat.st_size, stat.st_mtime_ns

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


def open_tiff(path: str, dataset: str | None = None, axes: str | None = None) -> VolumeSource:
    """Opens a TIFF file as a volume.

    Args:
        path: Of the file.
        dataset: Number of the series, where the file has several (pages of different kinds make different series).
        axes: z, c, y or x for each axis of the series, where the file does not say or says otherwise.

    Raises:
        BadRequest: If the file is damaged, or has several series and none is chosen.
    """
    file = open_file(path)
    try:
        with reading(path):
            check_whole(file, path)
            series = _choose_series(file, dataset, path)
            letters = _name_axes(series, axes, path)
            size, units = read_resolution(file)
            source: VolumeSource
            if series.dataoffset is not None:
                source = _map_series(path, file, series, letters)
                file.close()
            else:
                source = PagedTiffSource(path, file, series, letters)
            source.voxel_size_zyx, source.units = size, units
            return source
    except BaseException:
        file.close()
        raise


def make_tiff(path: str, plan: SinkPlan, journal: ProgressJournal, resume: bool) -> MappedSink:
    """Makes an uncompressed TIFF file of one page per plane, sparse until it is written, or goes on with one.

    Raises:
        Conflict: If the path is taken, or holds something else than what is gone on with.
    """
    if not resume:
        if os.path.lexists(path):
            raise refuse_existing(path)
        size = math.prod(plan.array_shape) * plan.dtype.itemsize
        check_free_space(path, size)
        array = tifffile.memmap(
            path,
            shape=plan.array_shape,
            dtype=plan.dtype,
            bigtiff=size > 2**31,
            photometric="rgb" if plan.channels in (3, 4) else "minisblack",
            planarconfig="contig" if plan.channels > 1 else None,
            metadata={"axes": "ZYXS" if plan.channels > 1 else "ZYX", **describe_resolution(plan)},
        )
        return MappedSink(path, plan, journal, array)
    try:
        array = tifffile.memmap(path, mode="r+")
    except _READ_ERRORS as error:
        raise Conflict(f"{path} cannot be gone on with: {error}") from None
    if array.size != math.prod(plan.array_shape) or array.dtype != plan.dtype:
        raise Conflict(f"{path} holds {array.dtype} {array.shape}, not {plan.dtype} {plan.array_shape}: it has changed")
    return MappedSink(path, plan, journal, array.reshape(plan.array_shape))


def _choose_series(file: tifffile.TiffFile, dataset: str | None, path: str) -> Any:
    series = file.series
    listed = ", ".join(f"{index}: {one.shape} {one.dtype}" for index, one in enumerate(series[:40]))
    if dataset is not None:
        if not dataset.isdecimal() or int(dataset) >= len(series):
            raise BadRequest(f"{path} has no series {dataset!r}: it holds {listed}")
        return series[int(dataset)]
    if len(series) != 1:
        raise BadRequest(f"{path} holds pages of different kinds, choose a series by its number: {listed or 'none'}")
    return series[0]


def _name_axes(series: Any, axes: str | None, path: str) -> str:
    """z, c, y, x, or - for an axis of length 1, for each axis of a series."""
    if axes is not None:
        places = zip(axes, series.axes, series.shape, strict=len(axes) == len(series.shape))
        fits = len(axes) == len(series.shape) and all(
            (letter in "yx" and letter == named.lower())
            or (named not in "YX" and (letter in "zc" or (letter, size) == ("-", 1)))
            for letter, named, size in places
        )
        if not fits or axes.count("z") > 1 or axes.count("c") > 1:
            raise BadRequest(
                f"{path} has the axes {series.axes} of {series.shape}: {axes!r} does not fit them "
                "(z or c for each before or after Y and X, - for one of length 1)"
            )
        return axes
    names = [
        "-" if size == 1 and letter not in "YX" else letter
        for letter, size in zip(series.axes, series.shape, strict=True)
    ]
    if "Z" not in names:
        # Stacks are often saved as a sequence, or as frames in time.
        for letter in ("I", "Q", "T"):
            if letter in names:
                names[names.index(letter)] = "Z"
                break
        else:
            # More channels than an image has colours are planes that nobody named.
            if "C" in names and series.shape[names.index("C")] > MOST_CHANNELS:
                names[names.index("C")] = "Z"
    found = "".join({"S": "c", "C": "c"}.get(name, name.lower()) for name in names)
    if not set(found) <= set("zcyx-") or any(found.count(letter) > 1 for letter in "zcyx"):
        raise BadRequest(f"{path} has axes {series.axes} of {series.shape}: a volume has one z, y, x and channel axis")
    return found


def _map_series(path: str, file: tifffile.TiffFile, series: Any, letters: str) -> MappedSource:
    dtype = np.dtype(series.dtype).newbyteorder(file.byteorder)
    shape = tuple(size for size, letter in zip(series.shape, letters, strict=True) if letter != "-")
    if series.dataoffset + math.prod(shape) * dtype.itemsize > os.path.getsize(path):
        raise BadRequest(f"{path} is cut short: {shape} {dtype} from byte {series.dataoffset} on reach past its end")
    array = np.memmap(path, dtype, "r", series.dataoffset, shape)
    return MappedSource(path, array, letters.replace("-", ""))


def encode_page(plane: Voxels, plan: SinkPlan) -> bytes:
    """Encodes a plane as a TIFF file, compressed with Deflate, which every reader knows."""
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        plane,
        photometric="rgb" if plan.channels in (3, 4) else "minisblack",
        planarconfig="contig" if plan.channels > 1 else None,
        compression="zlib",
        compressionargs={"level": 4},
        predictor=plane.dtype.kind in "ui" and plane.dtype.itemsize <= 4,
        rowsperstrip=max(1, (1 << 18) // max(1, plane[0].nbytes)),
        metadata={"axes": "YXS" if plan.channels > 1 else "YX", **describe_resolution(plan)},
    )
    return buffer.getvalue()
