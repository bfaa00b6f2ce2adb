"""Folders or globs of image files, one per plane: TIFF, PNG or JPEG."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import tempfile
from collections import Counter

import numpy as np

from dvid.errors import BadRequest, Conflict, NotFound
from dvid.interop import slices
from dvid.interop.piece_cache import PieceCache
from dvid.interop.progress import ProgressJournal
from dvid.interop.volumes import ShapeZYX, SinkPlan, VolumeSink, VolumeSource, Voxels

KINDS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".tif": "tiff", ".tiff": "tiff"}
"""Kind of image by extension."""

_EXTENSIONS = {"png": ".png", "jpeg": ".jpg", "tiff": ".tif"}

_DTYPES = {"png": ("uint8", "uint16"), "jpeg": ("uint8",)}
_CHANNELS = {"png": (1, 2, 3, 4), "jpeg": (1, 3), "tiff": (1, 2, 3, 4)}


class StackSource(VolumeSource):
    """A stack of slices, in the natural order of their names (slice 2 before slice 10).

    Args:
        name: The folder or pattern.
        paths: The files, in order.

    Raises:
        BadRequest: If a file is no image, or differs from the first one in size or type; the message names it.
    """

    def __init__(self, name: str, paths: list[str]) -> None:
        self.name = name
        self._paths = paths
        self._cache = PieceCache()
        self._header = header = slices.read_header(paths[0])
        for path in paths[1:]:
            other = slices.read_header(path)
            if other != header:
                raise BadRequest(f"{path} is {other}, where the first slice, {paths[0]}, is {header}")
        details = slices.read_details(paths[0], header)
        self.shape_zyx = (len(paths), *header.shape_yx)
        self.channels = header.channels
        self.dtype = header.dtype
        self.voxel_size_zyx, self.units = details.voxel_size_zyx, details.units
        self.preferred_chunk_zyx = (1, *details.piece_yx)

    def _read(self, start_zyx: ShapeZYX, shape_zyx: ShapeZYX) -> Voxels:
        box = np.empty((*shape_zyx, self.channels), self.dtype)
        for z in range(shape_zyx[0]):
            path = self._paths[start_zyx[0] + z]
            try:
                slices.read_rectangle(path, self._header, start_zyx[1:], box[z], self._cache)
            except OSError as error:
                raise NotFound(f"{path} cannot be read: {error.strerror or error}") from None
        return box if self.channels > 1 else box[..., 0]

    def _identity(self) -> object:
        digest = hashlib.sha256()
        for path in self._paths:
            stat = os.stat(path)
            digest.update(repr((path, stat.st_size, stat.st_mtime_ns)).encode())
        return digest.hexdigest()

    def close(self) -> None:
        """Lets go of decoded slices; the files are not kept open."""
        self._cache = PieceCache()


class StackSink(VolumeSink):
    """A folder of slices `z00000.png` and so on; each appears whole or not at all."""

    def __init__(self, folder: str, plan: SinkPlan, journal: ProgressJournal, kind: str) -> None:
        super().__init__(folder, plan, (1, plan.shape_zyx[1], plan.shape_zyx[2]), journal)
        self._kind = kind
        self._digits = max(5, len(str(plan.shape_zyx[0] - 1)))

    def path_of(self, z: int) -> str:
        """The file of a slice."""
        return os.path.join(self.name, f"z{z:0{self._digits}d}{_EXTENSIONS[self._kind]}")

    def _write(self, start_zyx: ShapeZYX, array: Voxels) -> None:
        for offset, plane in enumerate(array):
            data = slices.encode(self._kind, plane, self.plan)
            handle, temporary = tempfile.mkstemp(dir=self.name, prefix=".", suffix=".partial")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                    os.fchmod(file.fileno(), 0o644)
                os.replace(temporary, self.path_of(start_zyx[0] + offset))
            except BaseException:
                os.unlink(temporary)
                raise

    def _sync(self, boxes: list[tuple[ShapeZYX, ShapeZYX]]) -> None:
        folder = os.open(self.name, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _release(self) -> None:
        for name in os.listdir(self.name):
            if name.startswith(".") and name.endswith(".partial"):
                os.unlink(os.path.join(self.name, name))


def open_folder(path: str) -> StackSource:
    """Opens the images of a folder as a stack.

    Raises:
        BadRequest: If it holds images of several kinds.
        NotFound: If it holds none.
    """
    names = [name for name in os.listdir(path) if not name.startswith(".")]
    kinds = Counter(KINDS.get(os.path.splitext(name)[1].lower()) for name in names)
    others = kinds.pop(None, 0)
    if not kinds:
        seen = ", ".join(sorted(names)[:5])
        raise NotFound(
            f"{path} holds no TIFF, PNG or JPEG files"
            + (f", but {others} others ({seen})" if others else ": it is empty")
        )
    if len(kinds) > 1:
        counts = " and ".join(f"{count} {kind}" for kind, count in sorted((str(k), n) for k, n in kinds.items()))
        raise BadRequest(
            f"{path} holds {counts} files: choose some with a pattern, such as {os.path.join(path, '*.png')}"
        )
    images = [name for name in names if os.path.splitext(name)[1].lower() in KINDS]
    return StackSource(path, [os.path.join(path, name) for name in sorted(images, key=natural_key)])


def open_pattern(pattern: str) -> StackSource:
    """Opens the files that a pattern such as `slices/*.png` matches as a stack.

    Raises:
        NotFound: If it matches none.
    """
    return StackSource(pattern, find_files([pattern]))


def find_files(names: list[str]) -> list[str]:
    """The files that names and patterns stand for.

    Args:
        names: Of files, which are taken in the order given, and patterns, each of which stands for what it matches in natural
            order. What is there is a file, whatever signs are in its name.

    Raises:
        NotFound: If a file is not there, or a pattern matches none.
    """
    found: list[str] = []
    for name in names:
        if os.path.isfile(name):
            found.append(name)
        elif glob.has_magic(name):
            matched = sorted((path for path in glob.glob(name) if os.path.isfile(path)), key=natural_key)
            if not matched:
                raise NotFound(f"no file matches {name}")
            found += matched
        else:
            raise NotFound(f"{name} is not a file")
    return found


def make_stack(path: str, plan: SinkPlan, journal: ProgressJournal, resume: bool, kind: str) -> StackSink:
    """Makes a folder of slices, or goes on with one.

    Raises:
        BadRequest: If the kind of image cannot hold such voxels.
        Conflict: If the folder holds something already.
    """
    if resume and not os.path.isdir(path):
        raise Conflict(f"{path} cannot be gone on with: it is not there any more")
    if not resume and os.path.lexists(path) and (not os.path.isdir(path) or os.listdir(path)):
        raise Conflict(f"{path} is not an empty folder: choose another path, or resume the export that it comes from")
    os.makedirs(path, exist_ok=True)
    return StackSink(path, plan, journal, kind)


def check_kind(kind: str, plan: SinkPlan) -> None:
    """Refuses voxels that a kind of image cannot hold.

    Raises:
        BadRequest: If it cannot.
    """
    allowed = _DTYPES.get(kind)
    if allowed is not None and plan.dtype.name not in allowed:
        raise BadRequest(f"{kind} holds {' or '.join(allowed)}, not {plan.dtype}: choose tiff, hdf5, zarr or npy")
    if plan.channels not in _CHANNELS[kind]:
        raise BadRequest(f"{kind} holds {', '.join(map(str, _CHANNELS[kind]))} channels, not {plan.channels}")


def natural_key(path: str) -> list[tuple[int, str]]:
    """Sorts names as people do: numbers in them by value."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path)] + [(0, path)]


def remove_slices(path: str, kind: str) -> None:
    """Deletes the slices of an export that noted none of them yet."""
    if os.path.isdir(path):
        for name in os.listdir(path):
            if re.fullmatch(r"z\d{5,}\.\w+|\..*\.partial", name):
                os.unlink(os.path.join(path, name))
