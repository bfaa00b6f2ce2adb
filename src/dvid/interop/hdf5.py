"""HDF5 files. Only what lies inside a file is read: links to other files and data stored outside are refused.

Attributes that are understood: `axes`, vigra's `axistags` and dimension labels for the order of axes; `resolution` and
`offset` (nanometres, in the array's order of axes, as in the CREMI challenge; `units` may say otherwise),
`voxel_size_nm`, and `element_size_um` (z, y, x, as ilastik and Fiji write it).
"""

from __future__ import annotations

import os
import threading
from typing import Any

import h5py
import numpy as np

from dvid.errors import BadRequest, Conflict, NotFound
from dvid.interop.axes import AxisLayout, layout_array, parse_axes
from dvid.interop.progress import ProgressJournal
from dvid.interop.resolution import NANOMETERS, Size, parse_lengths, parse_numbers, to_nanometers
from dvid.interop.volumes import (
    ShapeZYX,
    SinkPlan,
    VolumeSink,
    VolumeSource,
    Voxels,
    check_dtype,
    check_piece,
    refuse_existing,
)

DATASET = "volume"
"""Name of the dataset that exports are written to."""

CHUNK_CACHE_BYTES = 32 << 20
MAX_LISTED = 1000
MAX_SOFT_LINKS = 16

# HDF5 is one library-wide lock in h5py, and a dataset must not be closed under a read.
_READ_ERRORS = (OSError, RuntimeError, ValueError, KeyError, TypeError)


class Hdf5Source(VolumeSource):
    """A dataset of an HDF5 file.

    Args:
        path: Of the file.
        dataset: Path of the dataset in the file, or None if it has only one volume.
        axes: Of the dataset, a letter each, where its attributes do not say.

    Raises:
        NotFound: If the dataset is not in the file.
        BadRequest: If the file is damaged or leads outside itself, or the dataset is not a volume.
    """

    def __init__(self, path: str, dataset: str | None = None, axes: str | None = None) -> None:
        try:
            self._file = h5py.File(path, "r", rdcc_nbytes=CHUNK_CACHE_BYTES, locking="best-effort")
        except (OSError, RuntimeError, ValueError) as error:
            raise BadRequest(f"{path} cannot be read as an HDF5 file: {error}") from None
        self._path = path
        self._lock = threading.Lock()
        try:
            key = dataset.strip("/") if dataset else _choose_dataset(self._file, path)
            self.name = f"{path}:/{key}"
            self._data = find_dataset(self._file, key, path)
            _refuse_outside(self._data, self.name)
            self._describe(axes)
        except _READ_ERRORS as error:
            self.close()
            raise BadRequest(f"{path} is damaged: {error}") from None
        except BaseException:
            self.close()
            raise

    def _describe(self, axes: str | None) -> None:
        data = self._data
        self._layout = layout_array(data.shape, axes or _named_axes(data), self.name)
        self.shape_zyx = self._layout.shape_zyx
        self.channels = self._layout.channels
        self.dtype = check_dtype(data.dtype, self.name)
        chunk = data.chunks or (1, *data.shape[1:])
        check_piece(chunk if data.chunks else (1,), data.dtype, self.name)
        if data.chunks:
            self.preferred_chunk_zyx = self._layout.pick_zyx(chunk)
        else:
            self.preferred_chunk_zyx = (1, self.shape_zyx[1], self.shape_zyx[2])
        self.voxel_size_zyx, self.units, self.offset_zyx = _read_resolution(data, self._layout)

    def _read(self, start_zyx: ShapeZYX, shape_zyx: ShapeZYX) -> Voxels:
        with self._lock:
            if not self._file:
                raise BadRequest(f"{self.name} is closed")
            try:
                box = self._data[self._layout.select(start_zyx, shape_zyx)]
            except (OSError, RuntimeError) as error:
                raise BadRequest(f"{self.name} is damaged at {start_zyx} (z, y, x): {error}") from None
        return self._layout.arrange(box)

    def _identity(self) -> object:
        stat = os.stat(self._path)
        return stat.st_size, stat.st_mtime_ns

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._file.close()


class Hdf5Sink(VolumeSink):
    """A dataset of an HDF5 file that is made with room for every chunk.

    Chunks are neither compressed nor allocated while writing: nothing of the file's structure changes, so that a process
    that ends in the middle leaves a file that can be opened and gone on with.
    """

    def __init__(self, path: str, plan: SinkPlan, journal: ProgressJournal, file: h5py.File) -> None:
        super().__init__(path, plan, plan.chunk_zyx, journal)
        self._file = file
        self._data = file[DATASET]

    def _write(self, start_zyx: ShapeZYX, array: Voxels) -> None:
        z, y, x = start_zyx
        self._data[z : z + array.shape[0], y : y + array.shape[1], x : x + array.shape[2]] = array

    def _sync(self, boxes: list[tuple[ShapeZYX, ShapeZYX]]) -> None:
        self._file.flush()
        os.fsync(self._file.id.get_vfd_handle())

    def _release(self) -> None:
        self._file.close()


def make_hdf5(path: str, plan: SinkPlan, journal: ProgressJournal, resume: bool) -> Hdf5Sink:
    """Makes an HDF5 file with the dataset `volume`, or goes on with one.

    Raises:
        Conflict: If the path is taken, or holds something else than what is gone on with.
    """
    if resume:
        try:
            file = h5py.File(path, "r+")
            data = file[DATASET]
            same = data.shape == plan.array_shape and data.dtype == plan.dtype
        except _READ_ERRORS as error:
            raise Conflict(f"{path} cannot be gone on with: {error}") from None
        if not same:
            file.close()
            raise Conflict(f"{path} has no {plan.dtype} dataset {DATASET} of {plan.array_shape}: it has changed")
        return Hdf5Sink(path, plan, journal, file)
    if os.path.lexists(path):
        raise refuse_existing(path)
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    chunk = (*plan.chunk_zyx, plan.channels) if plan.channels > 1 else plan.chunk_zyx
    creation.set_chunk(chunk)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    # Room without zeros written to it: a sparse file until it is filled.
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    with h5py.File(path, "x") as file:
        space = h5py.h5s.create_simple(plan.array_shape)
        kind = h5py.h5t.py_create(plan.dtype, logical=True)
        data = h5py.Dataset(h5py.h5d.create(file.id, DATASET.encode(), kind, space, creation))
        data.attrs["axes"] = plan.axes
        if plan.voxel_size_zyx is not None:
            last = (1.0,) if plan.channels > 1 else ()
            data.attrs["resolution"] = np.array((*plan.voxel_size_zyx, *last))
        if plan.units is not None:
            data.attrs["units"] = plan.units
    return Hdf5Sink(path, plan, journal, h5py.File(path, "r+"))


def _choose_dataset(file: h5py.File, path: str) -> str:
    """The one volume of a file: its only dataset, or the only one of three or more axes."""
    found: dict[str, h5py.Dataset] = {}

    def note(name: str, item: object) -> bool | None:
        if isinstance(item, h5py.Dataset):
            found[name] = item
        return True if len(found) >= MAX_LISTED else None

    # Follows hard links only: what it finds is in the file.
    file.visititems(note)
    if len(found) == 1:
        return next(iter(found))
    volumes = [name for name, data in found.items() if data.ndim >= 3]
    if len(volumes) == 1:
        return volumes[0]
    if not found:
        raise BadRequest(f"{path} holds no dataset")
    listed = ", ".join(f"{name} {data.shape} {data.dtype}" for name, data in list(found.items())[:40])
    more = f" and {len(found) - 40} more" if len(found) > 40 else ""
    raise BadRequest(f"{path} holds several datasets, choose one of: {listed}{more}")


def find_dataset(file: h5py.File, key: str, path: str) -> h5py.Dataset:
    """Walks to a dataset link by link, so that no link leads out of the file.

    Raises:
        NotFound: If it is not in the file.
        BadRequest: If what is there is no dataset, or a link leads out.
    """
    group: Any = file
    rest = _split(key)
    soft_links = 0
    while rest:
        part = rest.pop(0)
        if not isinstance(group, h5py.Group):
            raise NotFound(f"{path} has no dataset {key}: {group.name} is a dataset, not a group")
        if not group.id.links.exists(part.encode()):
            here = ", ".join(list(group.keys())[:40])
            raise NotFound(f"{path} has no dataset {key}: {group.name} holds {here or 'nothing'}")
        link = group.get(part, getlink=True)
        if isinstance(link, h5py.SoftLink):
            soft_links += 1
            if soft_links > MAX_SOFT_LINKS:
                raise BadRequest(f"{path}:/{key} leads through more than {MAX_SOFT_LINKS} soft links")
            rest[:0] = _split(link.path)
            group = file if link.path.startswith("/") else group
        elif isinstance(link, h5py.HardLink):
            group = group[part]
        else:
            raise BadRequest(f"{path}:/{key} leads to another file through the link {part}: that is not followed")
    if not isinstance(group, h5py.Dataset):
        names = ", ".join(list(group.keys())[:40]) if isinstance(group, h5py.Group) else ""
        raise BadRequest(f"{path}:/{key} is not a dataset; it holds {names or 'nothing'}")
    return group


def _split(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _refuse_outside(data: h5py.Dataset, name: str) -> None:
    if data.is_virtual:
        raise BadRequest(f"{name} is a virtual dataset, whose data may lie in other files: that is not read")
    if data.external:
        raise BadRequest(f"{name} keeps its data in other files ({data.external[0][0]}): that is not read")
    if data.shape is None:
        raise BadRequest(f"{name} has no elements")
    filters = data.id.get_create_plist()
    for index in range(filters.get_nfilters()):
        code, _, _, label = filters.get_filter(index)
        if not h5py.h5z.filter_avail(code):
            raise BadRequest(
                f"{name} is compressed with the filter {code} ({label.decode(errors='replace')}), which is not installed"
            )


def _attributes(data: h5py.Dataset) -> dict[str, Any]:
    found = {}
    for key in ("axes", "axistags", "resolution", "voxel_size_nm", "element_size_um", "offset", "units"):
        try:
            if key in data.attrs:
                found[key] = data.attrs[key]
        except _READ_ERRORS:
            continue
    return found


def _named_axes(data: h5py.Dataset) -> str | None:
    attributes = _attributes(data)
    for key in ("axes", "axistags"):
        axes = parse_axes(attributes.get(key), data.ndim)
        if axes is not None:
            return axes
    return parse_axes([dimension.label for dimension in data.dims], data.ndim)


def _read_resolution(data: h5py.Dataset, layout: AxisLayout) -> tuple[Size | None, str | None, Size | None]:
    """Voxel size, its unit, and the position of the first voxel in that unit."""
    attributes = _attributes(data)
    spatial = sum(letter in "zyx" for letter in layout.axes)

    def in_zyx(values: tuple[float, ...] | None, missing: float) -> Size | None:
        return None if values is None else layout.pick_zyx(values, missing)

    for key, unit in (("resolution", attributes.get("units", NANOMETERS)), ("voxel_size_nm", "nm")):
        lengths = parse_lengths(attributes.get(key), data.ndim) or parse_lengths(attributes.get(key), spatial)
        if lengths is None:
            continue
        if len(lengths) != data.ndim:
            order = iter(lengths)
            lengths = tuple(next(order) if letter in "zyx" else 1.0 for letter in layout.axes)
        size = in_zyx(lengths, 1.0)
        offset = in_zyx(parse_numbers(attributes.get("offset"), data.ndim), 0.0)
        if size is None:
            continue
        size, units = to_nanometers(size, [unit] * 3)
        if offset is not None:
            offset = to_nanometers(offset, [unit] * 3)[0]
        return size, units, offset
    lengths = parse_lengths(attributes.get("element_size_um"), 3)
    if lengths is not None:
        size, units = to_nanometers((lengths[0], lengths[1], lengths[2]), ["um"] * 3)
        return size, units, None
    return None, None, None
