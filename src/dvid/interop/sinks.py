"""Making a volume of any supported format, or going on with one after an interruption."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dvid.errors import BadRequest, Conflict, NotFound
from dvid.interop.progress import ProgressJournal
from dvid.interop.volumes import (
    MAX_VOXELS_PER_AXIS,
    ShapeZYX,
    SinkPlan,
    SizeZYX,
    VolumeSink,
    check_dtype,
    check_piece,
    refuse_existing,
)

FORMATS = ("hdf5", "zarr", "npy", "tiff", "png", "jpeg", "precomputed")

_BY_EXTENSION = {
    ".h5": "hdf5", ".hdf5": "hdf5", ".hdf": "hdf5", ".zarr": "zarr", ".npy": "npy",
    ".tif": "tiff", ".tiff": "tiff", ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg",
}  # fmt: skip

MAX_PARTS = 1 << 28


def create_sink(
    path: str,
    *,
    shape_zyx: ShapeZYX,
    dtype: npt.DTypeLike,
    chunk_zyx: ShapeZYX,
    voxel_size_zyx: SizeZYX | None = None,
    units: str | None = None,
    channels: int = 1,
    start_zyx: ShapeZYX = (0, 0, 0),
    format: str | None = None,  # noqa: A002 (the word users know)
    resume: bool = False,
    work: Mapping[str, str | int | float | None] | None = None,
) -> VolumeSink:
    """Makes a volume to write to.

    Args:
        path: A file `.h5`, `.npy`, `.tif`; a folder `.zarr`; a folder with `format`, which may be `precomputed`; or slices: a folder
            with `format`, or `folder/*.png`.
        shape_zyx: Size in voxels.
        dtype: Of the voxels.
        chunk_zyx: Chunks to store, and the least that is written at once; of a folder of slices, each slice is.
        voxel_size_zyx: Edge lengths of a voxel in `units`.
        units: Of the voxel size, such as "nanometers".
        channels: Values per voxel.
        start_zyx: Coordinates of the first voxel, for formats that keep them.
        format: One of `FORMATS`, where the extension does not tell.
        resume: Go on with an interrupted export if there is one; its progress file tells what is completed.
        work: What is exported, such as its node and instance; an export of something else is not gone on with.

    Raises:
        BadRequest: If the format is unknown or cannot hold such voxels.
        NotFound: If the folder to make the output in does not exist.
        Conflict: If there is something at the path already, or what is there is of another export.
    """
    kind, target = _choose_format(os.fspath(path), format)
    plan = _plan(target, shape_zyx, dtype, chunk_zyx, voxel_size_zyx, units, channels, start_zyx)
    folder = os.path.dirname(os.path.abspath(target))
    if not os.path.isdir(folder):
        raise NotFound(f"{folder} does not exist: make it before exporting to it")
    is_stack = _is_stack(kind, target)
    if is_stack:
        from dvid.interop.stacks import check_kind

        check_kind(kind, plan)
    fingerprint = {
        "format": f"{kind} slices" if is_stack else kind,
        "shape_zyx": repr(plan.shape_zyx),
        "dtype": plan.dtype.str,
        "chunk_zyx": repr(plan.chunk_zyx),
        "channels": plan.channels,
        **(work or {}),
    }
    journal = _open_journal(target, fingerprint, resume)
    try:
        going_on = bool(journal.finished)
        if not going_on and resume:
            _remove_beginnings(kind, target, is_stack)
        return _make(kind, target, plan, journal, going_on, is_stack)
    except BaseException:
        # A journal that says nothing is of no use to a later run.
        if journal.finished:
            journal.close()
        else:
            journal.remove()
        raise


def progress_path(path: str) -> str:
    """The progress file of an output."""
    return path.rstrip("/") + ".progress"


def _choose_format(path: str, named: str | None) -> tuple[str, str]:
    """The format and the path without a pattern."""
    if named is not None and named not in FORMATS:
        raise BadRequest(f"{named!r} is not a format: choose one of {', '.join(FORMATS)}")
    extension = os.path.splitext(path)[1].lower()
    kind = named or _BY_EXTENSION.get(extension)
    if kind is None:
        raise BadRequest(f"{path} does not tell a format by its extension: choose one of {', '.join(FORMATS)}")
    folder, name = os.path.split(path.rstrip("/"))
    if name.startswith("*") and _BY_EXTENSION.get(extension) in ("png", "jpeg", "tiff"):
        if kind != _BY_EXTENSION[extension] or not folder:
            raise BadRequest(f"{path} is no place for {kind}: name a folder, as in slices/*{extension or '.png'}")
        return kind, folder
    if kind in ("png", "jpeg") and extension:
        raise BadRequest(
            f"{path} is one image: a volume is a folder of them, as in {os.path.splitext(path)[0]}/*{extension}"
        )
    return kind, path.rstrip("/")


def _is_stack(kind: str, path: str) -> bool:
    return kind in ("png", "jpeg") or (kind == "tiff" and os.path.splitext(path)[1].lower() not in (".tif", ".tiff"))


def _plan(
    path: str,
    shape_zyx: ShapeZYX,
    dtype: npt.DTypeLike,
    chunk_zyx: ShapeZYX,
    voxel_size_zyx: SizeZYX | None,
    units: str | None,
    channels: int,
    start_zyx: ShapeZYX,
) -> SinkPlan:
    shape, chunk = tuple(int(n) for n in shape_zyx), tuple(int(n) for n in chunk_zyx)
    if len(shape) != 3 or len(chunk) != 3 or min(*shape, *chunk) < 1 or max(shape) > MAX_VOXELS_PER_AXIS:
        raise BadRequest(
            f"{path} cannot have the size {shape} in chunks of {chunk} (z, y, x): three positive numbers each"
        )
    if channels < 1 or channels > 1 << 16:
        raise BadRequest(f"{path} cannot have {channels} channels")
    kind: np.dtype[Any] = np.dtype(dtype)
    if check_dtype(kind, path) != kind:
        raise BadRequest(f"{path} takes voxels in native byte order that are numbers, not {kind}")
    # No larger than the volume: HDF5 refuses such chunks, and nothing is gained by them.
    chunk_z, chunk_y, chunk_x = (min(a, b) for a, b in zip(chunk, shape, strict=True))
    check_piece((chunk_z, chunk_y, chunk_x, channels), kind, path)
    if math.prod(-(-a // b) for a, b in zip(shape, (chunk_z, chunk_y, chunk_x), strict=True)) > MAX_PARTS:
        raise BadRequest(f"{path} would have more than {MAX_PARTS} chunks of {chunk}: choose larger ones")
    chunks = (chunk_z, chunk_y, chunk_x)
    return SinkPlan((shape[0], shape[1], shape[2]), kind, chunks, voxel_size_zyx, units, channels, start_zyx)


def _open_journal(path: str, fingerprint: Mapping[str, str | int | float | None], resume: bool) -> ProgressJournal:
    progress = progress_path(path)
    there = os.path.exists(progress)
    empty = os.path.isdir(path) and not os.listdir(path)
    taken = os.path.lexists(path) and not empty
    if there and not resume:
        raise Conflict(f"{path} is an unfinished export: resume it, or remove it and {progress}")
    if taken and not there:
        raise refuse_existing(path)
    return ProgressJournal(progress, fingerprint)


def _remove_beginnings(kind: str, path: str, is_stack: bool) -> None:
    """Removes the output of an export that ended before it noted its first part: it may be half made."""
    if kind == "zarr":
        from dvid.interop.zarr import remove_zarr

        remove_zarr(path)
    elif kind == "precomputed":
        from dvid.interop.precomputed import remove_precomputed

        remove_precomputed(path)
    elif is_stack:
        from dvid.interop.stacks import remove_slices

        remove_slices(path, kind)
    elif os.path.isfile(path):
        os.unlink(path)


def _make(kind: str, path: str, plan: SinkPlan, journal: ProgressJournal, resume: bool, is_stack: bool) -> VolumeSink:
    if is_stack:
        from dvid.interop.stacks import make_stack

        return make_stack(path, plan, journal, resume, kind)
    if kind == "hdf5":
        from dvid.interop.hdf5 import make_hdf5

        return make_hdf5(path, plan, journal, resume)
    if kind == "zarr":
        from dvid.interop.zarr import make_zarr

        return make_zarr(path, plan, journal, resume)
    if kind == "precomputed":
        from dvid.interop.precomputed import make_precomputed

        return make_precomputed(path, plan, journal, resume)
    if kind == "npy":
        from dvid.interop.numpy_files import make_npy

        return make_npy(path, plan, journal, resume)
    from dvid.interop.tiff import make_tiff

    return make_tiff(path, plan, journal, resume)
