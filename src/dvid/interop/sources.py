"""Opening a volume of any supported format."""

from __future__ import annotations

import glob
import os

from dvid.errors import BadRequest, NotFound
from dvid.interop.volumes import VolumeSource

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_KNOWN = "HDF5, Zarr, TIFF, PNG, JPEG or .npy"


def open_source(path: str, dataset: str | None = None, *, axes: str | None = None) -> VolumeSource:
    """Opens a volume; the format is told by content.

    Args:
        path: An HDF5, TIFF, PNG, JPEG or .npy file, a folder of slices, Zarr data or a Neuroglancer
            precomputed volume, or a pattern such as `em/*.png`.
        dataset: Of a file that holds several volumes, the one to read: a path in an HDF5 file or Zarr group, the key
            of a precomputed scale, or the number of a TIFF's series.
        axes: Letters z, y, x, c of the stored axes, where the file does not say and its shape does not tell.

    Raises:
        NotFound: If there is nothing at the path, or no such dataset.
        BadRequest: If it is of another format or damaged, or several datasets leave a choice; the message names them.
        TooLarge: If it consists of pieces too large to be read.
    """
    path = os.fspath(path)
    try:
        return _open(path, dataset, axes)
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror or error}") from None


def _open(path: str, dataset: str | None, axes: str | None) -> VolumeSource:
    if not os.path.exists(path):
        if not glob.has_magic(path):
            raise NotFound(f"{path} does not exist")
        _refuse_dataset(path, dataset, axes, "a pattern of slices")
        from dvid.interop.stacks import open_pattern

        return open_pattern(path)
    if os.path.isdir(path):
        return _open_folder(path, dataset, axes)
    if not os.path.isfile(path):
        raise BadRequest(f"{path} is neither a file nor a folder")
    return _open_file(path, dataset, axes)


def _open_folder(path: str, dataset: str | None, axes: str | None) -> VolumeSource:
    from dvid.interop import zarr

    if zarr.is_zarr(path):
        return zarr.ZarrSource(path, dataset, axes)
    from dvid.interop import precomputed

    if precomputed.is_precomputed(path):
        if axes is not None:
            raise BadRequest(f"{path} is a precomputed volume, whose axes are known: got {axes!r}")
        return precomputed.PrecomputedSource(path, dataset)
    if os.path.isfile(os.path.join(path, "attributes.json")):
        raise BadRequest(f"{path} is N5 data, which is not read: convert it to Zarr")
    if os.path.splitext(path)[1].lower() == ".zarr":
        raise BadRequest(f"{path} is not Zarr data: it has none of {', '.join(zarr.METADATA_FILES)}")
    _refuse_dataset(path, dataset, axes, "a folder of slices")
    from dvid.interop.stacks import open_folder

    return open_folder(path)


def _open_file(path: str, dataset: str | None, axes: str | None) -> VolumeSource:
    with open(path, "rb") as file:
        head = file.read(16)
    if is_hdf5(path):
        from dvid.interop.hdf5 import Hdf5Source

        return Hdf5Source(path, dataset, axes)
    if head.startswith(b"\x93NUMPY"):
        _refuse_dataset(path, dataset, None, "an .npy file")
        from dvid.interop.numpy_files import open_npy

        return open_npy(path, axes)
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        from dvid.interop.tiff import open_tiff

        return open_tiff(path, dataset, axes)
    if head.startswith((b"\x89PNG", b"\xff\xd8\xff")):
        _refuse_dataset(path, dataset, axes, "a single slice")
        from dvid.interop.stacks import StackSource

        return StackSource(path, [path])
    if head.startswith(b"PK"):
        raise BadRequest(f"{path} is a zip archive: unpack it first (of an .npz, save the array as .npy)")
    raise BadRequest(
        f"{path} is not a {_KNOWN} file: it starts with {head[:8]!r}" if head else f"{path} is an empty file"
    )


def is_hdf5(path: str) -> bool:
    """Whether a file is an HDF5 file."""
    # HDF5 file format specification, II.A: the signature is at 0, 512, 1024, 2048 and so on.
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        offset = 0
        while offset + 8 <= size and offset <= 1 << 30:
            file.seek(offset)
            if file.read(8) == _HDF5_MAGIC:
                return True
            offset = offset * 2 or 512
    return False


def _refuse_dataset(path: str, dataset: str | None, axes: str | None, what: str) -> None:
    if dataset is not None:
        raise BadRequest(f"{path} is {what}, in which no dataset can be chosen: got {dataset!r}")
    if axes is not None:
        raise BadRequest(f"{path} is {what}, whose axes are known: got {axes!r}")
