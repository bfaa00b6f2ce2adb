"""Zarr arrays in local folders, versions 3 and 2, and the first scale of OME-Zarr images."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dvid.errors import BadRequest, Conflict, NotFound
from dvid.interop.axes import AxisLayout, layout_array, parse_axes
from dvid.interop.progress import ProgressJournal
from dvid.interop.resolution import NANOMETERS, Size, parse_lengths, to_nanometers
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

METADATA_FILES = ("zarr.json", ".zarray", ".zgroup")
MAX_METADATA_BYTES = 64 << 20

# What damaged metadata and chunks make zarr and its codecs raise.
_READ_ERRORS = (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, ArithmeticError, LookupError)


def is_zarr(path: str) -> bool:
    """Whether a folder is a Zarr array or group."""
    return any(os.path.isfile(os.path.join(path, name)) for name in METADATA_FILES)


class ZarrSource(VolumeSource):
    """An array of a Zarr store.

    Args:
        path: Folder of an array or group.
        dataset: Path of the array below it, or None if it is the array, holds one, or is an OME-Zarr image.
        axes: Of the array, a letter each, where its metadata do not say.

    Raises:
        NotFound: If the array is not there.
        BadRequest: If it is damaged or no volume.
    """

    def __init__(self, path: str, dataset: str | None = None, axes: str | None = None) -> None:
        import zarr

        root, inner = _find_root(path)
        key = "/".join(part for part in (inner, (dataset or "").strip("/")) if part)
        if any(part in (".", "..") for part in key.split("/")):
            raise BadRequest(f"{path} cannot hold the dataset {dataset!r}: its path has . or .. in it")
        group = _open(root, "")
        node = _open(root, key)
        images = _multiscales(group, key)
        if not isinstance(node, zarr.Array):
            key = _choose_array(path, node, key, images)
            node = _open(root, key)
            if not isinstance(node, zarr.Array):
                raise BadRequest(f"{path} is damaged: {key} is not an array")
        self.name = os.path.join(root, key) if key else root
        self._folder = self.name
        self._array: Any = node
        with _reading(self.name):
            self._describe(axes, images, group, key)

    def _describe(self, axes: str | None, images: list[dict[str, Any]], group: Any, key: str) -> None:
        array = self._array
        image, scale, units = _find_scale(images, group, key, array.ndim)
        named = axes or _named_axes(array, image)
        self.dtype = check_dtype(array.dtype, self.name)
        self._layout = layout_array(array.shape, named, self.name)
        self.shape_zyx = self._layout.shape_zyx
        self.channels = self._layout.channels
        check_piece(array.chunks, self.dtype, self.name)
        self.preferred_chunk_zyx = self._layout.pick_zyx(array.chunks)
        self.voxel_size_zyx, self.units = _read_resolution(array, self._layout, scale, units)

    def _read(self, start_zyx: ShapeZYX, shape_zyx: ShapeZYX) -> Voxels:
        if self._array is None:
            raise BadRequest(f"{self.name} is closed")
        with _reading(f"{self.name} at {start_zyx} (z, y, x)"):
            return self._layout.arrange(self._array[self._layout.select(start_zyx, shape_zyx)])

    def _identity(self) -> object:
        found = []
        for name in (*METADATA_FILES, ".zattrs"):
            path = os.path.join(self._folder, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    found.append((name, hashlib.sha256(file.read(MAX_METADATA_BYTES)).hexdigest()))
        return found

    def close(self) -> None:
        """Lets go of the array."""
        self._array = None


class ZarrSink(VolumeSink):
    """A Zarr v3 array of Zstandard-compressed chunks, each a file."""

    def __init__(self, path: str, plan: SinkPlan, journal: ProgressJournal, array: Any) -> None:
        super().__init__(path, plan, plan.chunk_zyx, journal)
        self._array = array

    def _write(self, start_zyx: ShapeZYX, array: Voxels) -> None:
        z, y, x = start_zyx
        self._array[z : z + array.shape[0], y : y + array.shape[1], x : x + array.shape[2]] = array

    def _sync(self, boxes: list[tuple[ShapeZYX, ShapeZYX]]) -> None:
        last = ["0"] if self.plan.channels > 1 else []
        folders = {self.name}
        for start, shape in boxes:
            for inner, _ in iter_boxes(shape, self.part_zyx):
                index = (str((a + b) // part) for a, b, part in zip(start, inner, self.part_zyx, strict=True))
                path = os.path.join(self.name, "c", *index, *last)
                # A chunk of zeros has no file.
                if _sync_file(path):
                    folders.add(os.path.dirname(path))
        for folder in folders:
            _sync_file(folder)

    def _release(self) -> None:
        self._array = None


def make_zarr(path: str, plan: SinkPlan, journal: ProgressJournal, resume: bool) -> ZarrSink:
    """Makes a Zarr v3 array in a folder of its own, or goes on with one.

    Raises:
        Conflict: If the path is taken, or holds something else than what is gone on with.
    """
    import zarr

    if resume:
        try:
            array = zarr.open_array(path, mode="r+", zarr_format=3)
        except _READ_ERRORS as error:
            raise Conflict(f"{path} cannot be gone on with: {error}") from None
        if array.shape != plan.array_shape or array.dtype != plan.dtype or array.chunks[:3] != plan.chunk_zyx:
            raise Conflict(
                f"{path} holds {array.dtype} {array.shape}, not {plan.dtype} {plan.array_shape}: it has changed"
            )
        return ZarrSink(path, plan, journal, array)
    if os.path.lexists(path) and (not os.path.isdir(path) or os.listdir(path)):
        raise refuse_existing(path)
    attributes: dict[str, Any] = {}
    if plan.voxel_size_zyx is not None:
        attributes["resolution"] = [*plan.voxel_size_zyx, *([1.0] if plan.channels > 1 else [])]
    if plan.units is not None:
        attributes["units"] = plan.units
    array = zarr.create_array(
        path,
        shape=plan.array_shape,
        dtype=plan.dtype,
        chunks=(*plan.chunk_zyx, plan.channels) if plan.channels > 1 else plan.chunk_zyx,
        compressors=zarr.codecs.ZstdCodec(level=3),
        fill_value=0,
        zarr_format=3,
        dimension_names=list(plan.axes),
        attributes=attributes,
    )
    return ZarrSink(path, plan, journal, array)


def remove_zarr(path: str) -> None:
    """Deletes what an export that wrote no part yet has left behind."""
    if os.path.isdir(path) and set(os.listdir(path)) <= {"zarr.json", "c"}:
        shutil.rmtree(path)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            # What zarr thinks of data types and codecs outside the specification is no concern of who reads them.
            warnings.simplefilter("ignore")
            yield
    except _READ_ERRORS as error:
        raise BadRequest(f"{name} cannot be read as Zarr: {error}") from None


def _find_root(path: str) -> tuple[str, str]:
    """The outermost group that a folder belongs to, and the folder's path in it: scales are described by their group."""
    root, inner = os.path.abspath(path), ""
    while True:
        parent, name = os.path.split(root)
        if parent == root or not is_zarr(parent):
            return root, inner
        root, inner = parent, f"{name}/{inner}" if inner else name


def _open(root: str, key: str) -> Any:
    import zarr

    folder = os.path.join(root, key) if key else root
    if not os.path.isdir(folder) or not is_zarr(folder):
        here = ", ".join(sorted(os.listdir(root))[:40]) if os.path.isdir(root) else "nothing"
        raise NotFound(f"{root} has no Zarr array {key}: it holds {here}")
    for name in METADATA_FILES:
        file = os.path.join(folder, name)
        if os.path.isfile(file) and os.path.getsize(file) > MAX_METADATA_BYTES:
            raise BadRequest(f"{file} is no Zarr metadata: it has {os.path.getsize(file)} bytes")
    version = 3 if os.path.isfile(os.path.join(folder, "zarr.json")) else 2
    with _reading(folder):
        if version == 2 and os.path.isfile(os.path.join(folder, ".zarray")):
            _refuse_objects(os.path.join(folder, ".zarray"))
        options: dict[str, Any] = {"mode": "r", "zarr_format": version}
        try:
            return zarr.open_array(folder, **options)
        except (zarr.errors.NodeTypeValidationError, FileNotFoundError):
            return zarr.open_group(folder, use_consolidated=False, **options)


def _refuse_objects(file: str) -> None:
    # Elements of dtype object are pickles: their codec would run what they say.
    with open(file, "rb") as opened:
        about = json.loads(opened.read(MAX_METADATA_BYTES))
    filters = about.get("filters") or []
    if "O" in str(about.get("dtype")) or any("pickle" in str(one) for one in filters):
        raise ValueError("its elements are Python objects, which are not loaded")


def _multiscales(group: Any, key: str) -> list[dict[str, Any]]:
    """The images that a group, or the group of an array at `key`, describes; each with `prefix`, its group's path."""
    import zarr

    found: list[dict[str, Any]] = []
    parts = key.split("/") if key else []
    node = group
    for depth in range(len(parts) + 1):
        if not isinstance(node, zarr.Group):
            break
        attributes = dict(node.attrs)
        ome = attributes.get("ome")
        listed = (ome if isinstance(ome, dict) else attributes).get("multiscales")
        images = listed if isinstance(listed, list) else []
        found += [
            {**image, "prefix": "/".join(parts[:depth])}
            for image in images
            if isinstance(image, dict) and isinstance(image.get("datasets"), list)
        ]
        if depth < len(parts):
            with _reading(f"{group.store_path} {key}"):
                node = node.get(parts[depth])
    return found


def _choose_array(path: str, group: Any, key: str, images: list[dict[str, Any]]) -> str:
    here = [image for image in images if image["prefix"] == key]
    prefix = f"{key}/" if key else ""
    if here:
        first = here[0]["datasets"][0] if here[0]["datasets"] else None
        if not isinstance(first, dict) or not isinstance(first.get("path"), str) or ".." in first["path"].split("/"):
            raise BadRequest(f"{path} is damaged: its multiscales name no dataset")
        return prefix + str(first["path"]).strip("/")
    with _reading(path):
        arrays = dict(group.arrays())
        groups = [name for name, _ in group.groups()]
    if len(arrays) == 1:
        return prefix + str(next(iter(arrays)))
    listed = ", ".join(f"{name} {array.shape} {array.dtype}" for name, array in list(arrays.items())[:40])
    if not arrays and not groups:
        raise BadRequest(f"{path} is a Zarr group that holds no array")
    inside = f"the groups {', '.join(groups[:40])}" if groups else ""
    raise BadRequest(
        f"{path} holds several arrays or groups, choose one of: {'; '.join(filter(None, (listed, inside)))}"
    )


def _find_scale(
    images: list[dict[str, Any]], group: Any, key: str, dimensions: int
) -> tuple[dict[str, Any] | None, tuple[float, ...] | None, list[object] | None]:
    """The OME-Zarr image that an array is a scale of, its scale per axis, and the axes' units."""
    for image in images:
        prefix = f"{image['prefix']}/" if image["prefix"] else ""
        for dataset in image["datasets"]:
            if not isinstance(dataset, dict) or prefix + str(dataset.get("path", "")).strip("/") != key:
                continue
            scale: tuple[float, ...] | None = None
            for transform in [*_list(image, "coordinateTransformations"), *_list(dataset, "coordinateTransformations")]:
                lengths = parse_lengths(transform.get("scale"), dimensions) if isinstance(transform, dict) else None
                if lengths is not None:
                    scale = lengths if scale is None else tuple(a * b for a, b in zip(scale, lengths, strict=True))
            axes = _list(image, "axes")
            units = [axis.get("unit") if isinstance(axis, dict) else None for axis in axes]
            return image, scale, units if len(units) == dimensions else None
    return None, None, None


def _list(of: dict[str, Any], key: str) -> list[Any]:
    value = of.get(key)
    return value if isinstance(value, list) else []


def _named_axes(array: Any, image: dict[str, Any] | None) -> str | None:
    attributes = dict(array.attrs)
    candidates = [
        image.get("axes") if image else None,
        getattr(array.metadata, "dimension_names", None),
        attributes.get("_ARRAY_DIMENSIONS"),
        attributes.get("axes"),
    ]
    return next((axes for axes in (parse_axes(one, array.ndim) for one in candidates) if axes is not None), None)


def _read_resolution(
    array: Any, layout: AxisLayout, scale: tuple[float, ...] | None, units: list[object] | None
) -> tuple[Size | None, str | None]:
    if scale is not None:
        return to_nanometers(layout.pick_zyx(scale, 1.0), layout.pick_zyx(units or [None] * len(scale), None))
    attributes = dict(array.attrs)
    lengths = parse_lengths(attributes.get("resolution"), array.ndim)
    if lengths is None:
        return None, None
    return to_nanometers(layout.pick_zyx(lengths, 1.0), [attributes.get("units", NANOMETERS)] * 3)


def _sync_file(path: str) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return True
