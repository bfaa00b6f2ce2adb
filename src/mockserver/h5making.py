"""Makes files to be served, and adds to them: versions, and volumes from arrays."""

from __future__ import annotations

import json
import math
import os
import uuid as uuids
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from dvidclient.axistags import AxisTags
from dvidclient.errors import MetadataError
from dvidclient.volume_metainfo import MetaInfo
from mockserver.h5datafile import DataFile, open_locked
from mockserver.h5errors import FileUnusable, NotThere, Refused
from mockserver.h5instances import natural_type, told_of
from mockserver.h5tree import ALL_NODES, DATASETS, Node, add_node, add_repo, checked_name
from mockserver.h5volume import INSTANCE, SLAB_BYTES, Volume, create_volume


class H5MockServerDataFile:
    """A file to be served, to be made or added to: a context manager. What a call added is in the file when it returns.

    Args:
        path: made where it does not exist.

    Raises:
        FileUnusable: on entering, where the file is in use, or no file of this kind.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._data: DataFile | None = None
        self._descriptor = -1
        self._named: dict[str, str] = {}

    def __enter__(self) -> H5MockServerDataFile:
        if not self.path.exists():
            _make(self.path)
        self._descriptor = open_locked(self.path)
        try:
            self._data = DataFile(self.path, self._descriptor)
        except BaseException as error:
            os.close(self._descriptor)
            if not isinstance(error, (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError)):
                raise
            raise FileUnusable(f"{self.path} is corrupt: {' '.join(str(error).split())}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened().close()
        self._data = None
        self._named = {}
        os.close(self._descriptor)

    def add_node(self, dataset: str, uuid: str, parent: str | None = None) -> None:
        """Adds a version. One that the dataset has already is left as it is, so that a program may be run again.

        Args:
            dataset: name of a dataset; made where there is none.
            uuid: of the version: any text without ``/`` and ``:``.
            parent: UUID of the version before; default: the last one added to the dataset, which takes no more changes then.

        Raises:
            ValueError: the UUID cannot be one, or is that of a version of another dataset, or with another parent.
        """
        data = self._opened()
        with data.writing(f"adding node {uuid!r}", versions=True) as file:
            repo = data.tree.repos.get(dataset)
            parents: list[str] = []
            if repo is None:
                if f"{DATASETS}/{checked_name(dataset, 'dataset')}" not in file:
                    add_repo(file, dataset)
            else:
                parents = [repo.nodes[-1].uuid if parent is None else data.tree.find(parent).uuid]
            if parent is not None and (repo is None or data.tree.nodes[parents[0]].repo != dataset):
                raise NotThere(f"dataset {dataset!r} has no node {parent!r}")
            known = data.tree.nodes.get(uuid)
            if known is None:
                add_node(file, Node(uuid, dataset, parents))
            elif known.repo != dataset:
                raise Refused(f"there is a node {uuid!r} already, of the dataset {known.repo!r}, not of {dataset!r}")
            elif parent is not None and parents != known.parents:
                have = " and ".join(map(repr, known.parents)) or "none"
                raise Refused(f"there is a node {uuid!r} already, its parent is {have}, not {parents[0]!r}")
        self._named[dataset] = uuid

    def add_volume(
        self,
        dataset: str,
        name: str,
        tagged_view: Any,
        *,
        uuid: str | None = None,
        compression: str | None = None,
        replace: bool = False,
    ) -> None:
        """Adds a volume. One that is there already with the same voxels, axes and sizes of a voxel is left as it is.

        Args:
            dataset: name of a dataset that has a version.
            name: name of the volume.
            tagged_view: array with axis tags: a ``vigra.VigraArray`` or a ``dvidclient.axistags.TaggedArray``, of any order of
                x, y, z and c. The file keeps the order. ``resolution`` and ``description`` of its axes, where all have a
                resolution, become size and unit of a voxel.
            uuid: the version that gets it; default: the one that ``add_node`` was last called with, or else the last one of the
                dataset. Later versions show it, too.
            compression: ``"gzip"``, ``"lzf"`` or None.
            replace: drop a volume of the name that is there and differs; the tags stay.

        Raises:
            ValueError: there is no such dataset, or other data of the name, or the array cannot be a volume.
        """
        data = self._opened()
        if getattr(tagged_view, "axistags", None) is None:
            raise Refused(f"expected an array with axis tags (vigra.taggedView), got {type(tagged_view).__name__}")
        tags = AxisTags(tagged_view.axistags)
        plain = np.asarray(tagged_view)
        info = _metainfo(plain, tags)
        with data.writing(f"adding volume {name!r}") as file:
            if dataset not in data.tree.repos:
                raise NotThere(f"there is no dataset {dataset!r} with a node: add_node comes first")
            last = self._named.get(dataset, data.tree.repos[dataset].nodes[-1].uuid)
            node = data.tree.find(last if uuid is None else uuid)
            group = file[node.path]
            if node.repo != dataset:
                raise Refused(f"node {node.uuid!r} is of the dataset {node.repo!r}, not of {dataset!r}")
            told = {"Tags": {}, "DataUUID": uuids.uuid4().hex}
            if checked_name(name, "name") in group:
                if _holds(group[name], info, tags, plain):
                    return
                has = f"node {node.uuid!r} has data named {name!r} already"
                if not replace or not isinstance(group[name], h5py.Dataset):
                    raise Refused(
                        f"{has}, which differ: take another name or version, or drop a volume by replace=True"
                    )
                data.check_open(node)
                told = told_of(group[name])
                del group[name]
            stored = create_volume(group, name, info, axistags=tags, compression=compression).dataset
            stored.attrs[INSTANCE] = json.dumps({**told, "TypeName": natural_type(info)})
            for part in _parts(stored):
                stored[part] = plain[part]

    def _opened(self) -> DataFile:
        if self._data is None:
            raise ValueError(f"{self.path} is not open: use 'with H5MockServerDataFile(...) as server_datafile'")
        return self._data


def _make(path: Path) -> None:
    """An empty file of this kind; whole, or not there."""
    fresh = path.with_name(f"{path.name}.{uuids.uuid4().hex[:8]}.new")
    try:
        with h5py.File(fresh, "w") as file:
            file.create_group(DATASETS, track_order=True)
            file.create_group(ALL_NODES)
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass  # another program has made it meanwhile
        except OSError:
            fresh.rename(path)  # where the file system has no links
    except OSError as error:
        raise FileUnusable(f"{path} cannot be made: {' '.join(str(error).split())}") from error
    finally:
        fresh.unlink(missing_ok=True)


def _holds(thing: h5py.Dataset | h5py.Group, info: MetaInfo, tags: AxisTags, array: np.ndarray[Any, Any]) -> bool:
    """Whether what is in a file is this volume, with the same voxels; a size of them counts where it is given."""
    if not isinstance(thing, h5py.Dataset):
        return False
    volume = Volume(thing)
    have = volume.metainfo
    if (have.shape, have.dtype, have.offset, volume.axistags.keys()) != (
        info.shape,
        info.dtype,
        info.offset,
        tags.keys(),
    ):
        return False
    if info.voxel_size is not None and (have.voxel_size, have.units) != (info.voxel_size, info.units):
        return False
    nan = array.dtype.kind == "f"
    return all(np.array_equal(thing[part], array[part], equal_nan=nan) for part in _parts(thing))


def _parts(stored: h5py.Dataset) -> Iterator[slice]:
    """Along the first axis of a dataset: some MiB of it at a time, whole chunks."""
    edge = stored.chunks[0] if stored.chunks else 1
    bytes_of_one = math.prod(stored.shape[1:]) * stored.dtype.itemsize
    step = max(1, SLAB_BYTES // max(1, bytes_of_one) // edge) * edge
    return (slice(at, at + step) for at in range(0, stored.shape[0], step))


def _metainfo(array: np.ndarray[Any, Any], tags: AxisTags) -> MetaInfo:
    """What an array with axis tags is as a volume.

    Raises:
        Refused: it cannot be one.
    """
    keys = tags.keys()
    if not set(keys) <= set("xyzc") or not set(keys) & set("xyz"):
        raise Refused(f"expected the axes x, y, z and c in any order, got {''.join(keys)!r}")
    size = dict(zip(keys, array.shape, strict=True))
    steps = [tags[axis].resolution for axis in "xyz" if axis in keys]
    known = all(step > 0 for step in steps)
    at = {axis: tags[axis] for axis in "xyz" if axis in keys}
    filled = [at.get(axis) for axis in "xyz"]
    try:
        return MetaInfo(
            (size.get("c", 1), *(size.get(axis, 1) for axis in "xyz")),
            array.dtype,
            "cxyz",
            voxel_size=tuple(steps[0] if info is None else info.resolution for info in filled) if known else None,
            units=tuple("" if info is None else info.description for info in filled) if known else None,
        )
    except MetadataError as error:
        raise Refused(str(error)) from error
