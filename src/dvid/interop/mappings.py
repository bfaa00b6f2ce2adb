"""Agglomeration mappings: which body each supervoxel belongs to, from CSV, .npy and HDF5."""

from __future__ import annotations

import os
import re
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from dvid.errors import BadRequest, NotFound
from dvid.interop.hdf5 import find_dataset
from dvid.interop.sources import is_hdf5

Labels = npt.NDArray[np.uint64]

_SUPERVOXEL = ("supervoxel", "supervoxels", "supervoxel_id", "sv", "sv_id")
_BODY = ("body", "bodies", "body_id", "label", "label_id")
_NUMBER = re.compile(r"[-+]?\d[\d.eE+-]*")
_MAX_LINE = 1 << 16


def read_mapping(path: str, dataset: str | None = None) -> tuple[Labels, Labels]:
    """Reads a mapping.

    Args:
        path: Of a text file, with a row for each supervoxel: it and its body, with a comma, semicolon, tab or spaces between
            them; with or without a line of names, in whose order the columns are if it has "supervoxel" and "body". Or of an
            .npy or HDF5 file with an array of two columns, or of rows with two fields, in the same order.
        dataset: In an HDF5 file that holds several, the one to read.

    Returns:
        (n,) supervoxels and (n,) bodies.

    Raises:
        NotFound: If there is no such file or dataset.
        BadRequest: If it is something else.
    """
    if not os.path.isfile(path):
        raise NotFound(f"{path} is not a file")
    with open(path, "rb") as file:
        head = file.read(16)
    if is_hdf5(path):
        return _columns(_read_hdf5(path, dataset), path)
    if dataset is not None:
        raise BadRequest(f"{path} is not an HDF5 file: it has no dataset {dataset!r}")
    if head.startswith(b"\x93NUMPY"):
        try:
            return _columns(np.load(path, allow_pickle=False), path)
        except (ValueError, OSError, EOFError) as error:
            raise BadRequest(f"{path} cannot be read as an .npy file: {error}") from None
    return _read_text(path)


def _read_hdf5(path: str, dataset: str | None) -> npt.NDArray[Any]:
    try:
        with h5py.File(path, "r") as file:
            key = dataset.strip("/") if dataset else _choose(file, path)
            data = find_dataset(file, key, path)
            if data.ndim > 2 or data.size > 1 << 34:
                raise BadRequest(f"{path}:/{key} is no mapping: its shape is {data.shape}")
            found: npt.NDArray[Any] = data[...]
            return found
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise BadRequest(f"{path} is damaged: {error}") from None


def _choose(file: h5py.File, path: str) -> str:
    found: list[str] = []

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and (item.dtype.names or (item.ndim == 2 and item.shape[1] == 2)):
            found.append(name)

    file.visititems(note)
    if len(found) != 1:
        raise BadRequest(f"{path} holds {len(found)} tables of two columns: name one of {', '.join(found) or 'none'}")
    return found[0]


def _columns(array: npt.NDArray[Any], path: str) -> tuple[Labels, Labels]:
    names = array.dtype.names
    if names is not None and len(names) >= 2:
        first, second = _order(list(names))
        return _labels(array[names[first]], path), _labels(array[names[second]], path)
    if array.ndim != 2 or array.shape[1] != 2:
        raise BadRequest(f"{path} is no mapping: (n, 2) supervoxels and bodies were expected, not {array.shape}")
    return _labels(array[:, 0], path), _labels(array[:, 1], path)


def _labels(column: npt.NDArray[Any], path: str) -> Labels:
    if column.dtype.kind not in "iu" or (column.dtype.kind == "i" and column.size and int(column.min()) < 0):
        raise BadRequest(f"{path} is no mapping: labels are whole numbers from 0 to 2^64 - 1, not {column.dtype}")
    return column.reshape(-1).astype(np.uint64)


def _order(names: list[str]) -> tuple[int, int]:
    """Which columns hold the supervoxels and the bodies: the first two where the names do not tell."""
    lowered = [name.strip().strip('"').lower() for name in names]
    first = next((at for at, name in enumerate(lowered) if name in _SUPERVOXEL), None)
    second = next((at for at, name in enumerate(lowered) if name in _BODY), None)
    return (0, 1) if first is None or second is None else (first, second)


def _read_text(path: str) -> tuple[Labels, Labels]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            line = file.readline(_MAX_LINE)
    except UnicodeDecodeError:
        raise BadRequest(f"{path} is no mapping: neither text, nor .npy, nor HDF5") from None
    if not line:
        return np.empty(0, np.uint64), np.empty(0, np.uint64)
    separator = next((mark for mark in ",;" if mark in line), None)
    names = line.split(separator)
    titled = not any(_NUMBER.fullmatch(name.strip()) for name in names)
    if len(names) < 2:
        raise BadRequest(f"{path} is no mapping: its first line {line[:60]!r} has not two columns")
    columns = _order(names) if titled else (0, 1)
    try:
        table = np.loadtxt(
            path, np.uint64, delimiter=separator, skiprows=int(titled), usecols=columns, ndmin=2, encoding="utf-8-sig"
        )
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"{path} is no mapping of whole numbers: {error}") from None
    return table[:, 0].copy(), table[:, 1].copy()
