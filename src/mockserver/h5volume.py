"""A volume in an HDF5 file: its attributes, and boxes of its voxels.

The dataset keeps the axes in the order that its ``axistags`` say; here voxels are arrays (z, y, x, c), as on the wire.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import h5py
import numpy as np

from dvidclient.axistags import AxisTags
from dvidclient.boxes import XYZ, Box
from dvidclient.errors import MetadataError
from dvidclient.volume_metainfo import MetaInfo
from mockserver.h5errors import Refused

AXISTAGS, METADATA, INSTANCE = "axistags", "dvid_metadata", "dvid_instance"
COORDINATES = range(-(2**31), 2**31)
# Attributes of HDF5 files are at most 64 kB, and the metadata describe each channel.
MOST_CHANNELS = 1000
MOST_BYTES = 2**62
SLAB_BYTES = 16 << 20
"""What an answer or a change has in memory at a time."""
PIECE_BYTES = 2 << 20
"""What is read before others may."""
# Axes of a dataset without axis tags, by its number of dimensions.
GUESSES = {2: ("yx", "xy"), 3: ("zyx", "xyz", "yxc", "cxy"), 4: ("zyxc", "cxyz", "czyx", "xyzc")}


class Volume:
    """A volume.

    Args:
        dataset: where its voxels are.

    Attributes:
        dataset: where its voxels are.
        axistags: the axes of the dataset, in its order.
        axes: their letters.
        metainfo: what it is, with the axes ``cxyz``.
        notes: what had to be guessed, in words.

    Raises:
        Refused: the dataset cannot be served as a volume, and why.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset = dataset
        self.notes: list[str] = []
        if dataset.dtype.kind not in "uif" or dataset.dtype.itemsize > 8:
            raise Refused(f"its voxels are {dataset.dtype}, not integers or floating-point numbers of at most 64 bits")
        document = self._document()
        self.axistags = self._axistags(document)
        self.axes = "".join(self.axistags.keys())
        self.metainfo = self._metainfo(document)

    @property
    def box(self) -> Box:
        """The extents."""
        along = [self.metainfo.along(axis) for axis in "xyz"]
        start, size = (tuple(values) for values in zip(*along, strict=True))
        return Box(start, tuple(at + n for at, n in zip(start, size, strict=True)))

    @property
    def voxel_bytes(self) -> int:
        """Bytes of one voxel, all channels."""
        return self.metainfo.channels * self.metainfo.dtype.itemsize

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever written, and no extents were given."""
        return 0 in self.dataset.shape

    @property
    def background(self) -> int | float:
        """Value of voxels that were never written."""
        value = self.dataset.fillvalue.item()
        return value if math.isfinite(value) else 0

    def slabs(self, box: Box) -> Iterator[Box]:
        """The box in parts of some MiB that follow each other on the wire."""
        x, y, _ = box.size_xyz
        row = x * self.voxel_bytes
        rows = max(1, min(y, SLAB_BYTES // row))
        planes = max(1, SLAB_BYTES // (row * y)) if rows == y else 1
        return self._parts(box, (x, rows, planes))

    def pieces(self, box: Box) -> Iterator[Box]:
        """The box in parts of some MiB, in any order, none of which needs a chunk of another as far as that can be."""
        size = box.size_xyz
        steps = [min(n, self._chunk(axis)) for axis, n in zip("xyz", size, strict=True)]
        for at, step in enumerate(steps):
            room = PIECE_BYTES // (math.prod(steps) * self.voxel_bytes)
            steps[at] = min(size[at], step * max(1, room))
        return self._parts(box, (steps[0], steps[1], steps[2]))

    def _parts(self, box: Box, most_xyz: XYZ) -> Iterator[Box]:
        """The box in parts of at most this size, plane by plane; cut between chunks along axes where chunks are not larger."""
        cuts = []
        for axis, most in zip("xyz", most_xyz, strict=True):
            start, stop = box.start_xyz["xyz".index(axis)], box.stop_xyz["xyz".index(axis)]
            chunk = self._chunk(axis)
            step = most - most % chunk or most
            past = (start - self.metainfo.along(axis)[0]) % chunk if step >= chunk else 0
            inner = range(start - past + step, stop, step) if stop - start > most else ()
            cuts.append(list(itertools.pairwise([start, *inner, stop])))
        for (z0, z1), (y0, y1), (x0, x1) in itertools.product(*cuts[::-1]):
            yield Box((x0, y0, z0), (x1, y1, z1))

    def _chunk(self, axis: str) -> int:
        """Voxels along an axis that are stored together: 1 where they lie side by side."""
        chunks = self.dataset.chunks
        return chunks[self.axes.index(axis)] if chunks and axis in self.axes else 1

    def read(self, box: Box) -> np.ndarray[Any, Any]:
        """The voxels (z, y, x, c) of a box, little-endian; background where it lies outside of the extents."""
        dtype = self.metainfo.dtype.newbyteorder("<")
        inside = self._inside(box)
        if inside == box:
            return np.ascontiguousarray(self._stored(box), dtype)
        x, y, z = box.size_xyz
        voxels_zyxc = np.full((z, y, x, self.metainfo.channels), self.dataset.fillvalue, dtype)
        if inside is not None:
            voxels_zyxc[inside.within_zyx(box)] = self._stored(inside)
        return voxels_zyxc

    def write(self, box: Box, voxels_zyxc: np.ndarray[Any, Any]) -> None:
        """Stores voxels (z, y, x, c) in a box that lies inside the extents."""
        order = ["zyxc".index(axis) for axis in self.axes if axis in "zyxc"]
        left = [axis for axis in "zyxc" if axis not in self.axes]
        plain = voxels_zyxc.transpose(order + ["zyxc".index(axis) for axis in left])
        self.dataset[self._selection(box)] = plain.reshape(plain.shape[: len(order)])

    def set_extents(self, wanted: Box) -> Volume:
        """Makes room for a box beside what is there; the volume anew, as it may have got another dataset.

        Raises:
            Refused: the extents cannot be so large.
        """
        have = self.box
        lows, highs = wanted.start_xyz, wanted.stop_xyz
        if not self.is_empty:
            lows = tuple(map(min, have.start_xyz, lows))  # type: ignore[assignment]
            highs = tuple(map(max, have.stop_xyz, highs))  # type: ignore[assignment]
        if (lows, highs) == (have.start_xyz, have.stop_xyz):
            return self
        grown = Box(lows, highs)
        if any(low not in COORDINATES or high - 1 not in COORDINATES for low, high in zip(lows, highs, strict=True)):
            raise Refused(f"the volume would reach over {grown}, positions are from -2^31 to 2^31 - 1")
        if math.prod(grown.size_xyz) * self.voxel_bytes > MOST_BYTES:
            raise Refused(f"the volume would reach over {grown}: that is too large for an HDF5 file")
        size = dict(zip("xyz", grown.size_xyz, strict=True))
        flat = all(size[axis] == 1 for axis in "xyz" if axis not in self.axes)
        info = replace(self.metainfo, shape=(self.metainfo.channels, *grown.size_xyz), offset=(0, *grown.start_xyz))
        may_grow = self.dataset.maxshape.count(None) == self.dataset.ndim
        if flat and may_grow and (self.is_empty or lows == have.start_xyz):
            self.dataset.resize([size.get(axis, old) for axis, old in zip(self.axes, self.dataset.shape, strict=True)])
            self.dataset.attrs[METADATA] = json.dumps(info.to_metadata())
            return Volume(self.dataset)
        return self._moved(info)

    def set_voxel_size(self, size_xyz: tuple[float, ...]) -> None:
        """Says how large a voxel is; its units stay."""
        self.dataset.attrs[METADATA] = json.dumps(replace(self.metainfo, voxel_size=size_xyz).to_metadata())

    def _moved(self, info: MetaInfo) -> Volume:
        """The volume in a new dataset with other extents, under the old name."""
        group, name = self.dataset.parent, self.dataset.name.rpartition("/")[2]
        old = self.dataset
        attributes = {key: old.attrs[key] for key in old.attrs if key not in (AXISTAGS, METADATA)}
        tags = (
            self.axistags
            if all(size == 1 or axis in self.axes for axis, size in zip("xyz", info.shape[1:], strict=True))
            else None
        )
        made = create_volume(
            group, f"{name}~", info, axistags=tags, background=old.fillvalue, compression=old.compression
        )
        for key, value in attributes.items():
            made.dataset.attrs[key] = value
        for part in self._stored_boxes():
            for slab in self.slabs(part):
                made.write(slab, self._stored(slab))
        del group[name]
        group.move(f"{name}~", name)
        return Volume(group[name])

    def _stored_boxes(self) -> Iterator[Box]:
        """Boxes that hold all that was ever written."""
        if self.is_empty or not self.dataset.id.get_storage_size():
            return
        if self.dataset.chunks is None:
            yield self.box
            return
        offsets: list[tuple[int, ...]] = []
        self.dataset.id.chunk_iter(lambda chunk: offsets.append(chunk.chunk_offset))
        for offset in offsets:
            at = dict(zip(self.axes, offset, strict=True))
            long = dict(zip(self.axes, self.dataset.chunks, strict=True))
            start = [low + at.get(axis, 0) for axis, low in zip("xyz", self.box.start_xyz, strict=True)]
            stop = [
                min(high, low + long.get(axis, 1))
                for axis, low, high in zip("xyz", start, self.box.stop_xyz, strict=True)
            ]
            if all(low < high for low, high in zip(start, stop, strict=True)):
                yield Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))

    def _inside(self, box: Box) -> Box | None:
        have = self.box
        start = tuple(map(max, box.start_xyz, have.start_xyz))
        stop = tuple(map(min, box.stop_xyz, have.stop_xyz))
        if any(low >= high for low, high in zip(start, stop, strict=True)):
            return None
        return Box(start, stop)  # type: ignore[arg-type]

    def _selection(self, box: Box) -> tuple[Any, ...]:
        of = {
            axis: slice(low - have, high - have)
            for axis, low, high, have in zip("xyz", box.start_xyz, box.stop_xyz, self.box.start_xyz, strict=True)
        }
        return tuple(of[axis] if axis in of else slice(None) if axis == "c" else 0 for axis in self.axes)

    def _stored(self, box: Box) -> np.ndarray[Any, Any]:
        """A view (z, y, x, c) of the voxels of a box inside the extents."""
        stored = self.dataset[self._selection(box)]
        letters = [axis for axis in self.axes if axis in "zyxc"]
        ordered = stored.transpose([letters.index(axis) for axis in "zyxc" if axis in letters])
        view: np.ndarray[Any, Any] = ordered[tuple(slice(None) if axis in letters else None for axis in "zyxc")]
        return view

    def _document(self) -> Mapping[str, Any] | None:
        """What ``dvid_metadata`` holds, where it holds something that fits."""
        if METADATA not in self.dataset.attrs:
            return None
        try:
            document: dict[str, Any] = json.loads(text_of(self.dataset.attrs[METADATA]))
            MetaInfo.from_metadata(document)
        except (ValueError, TypeError, RecursionError, OSError, MetadataError) as error:
            self.notes.append(f"its {METADATA} is not used: {' '.join(str(error).split())}")
            return None
        return document

    def _axistags(self, document: Mapping[str, Any] | None) -> AxisTags:
        shape = self.dataset.shape
        tags: AxisTags | None = None
        if AXISTAGS in self.dataset.attrs:
            try:
                tags = AxisTags.fromJSON(text_of(self.dataset.attrs[AXISTAGS]))
            except (ValueError, TypeError, KeyError, RecursionError, OSError, AttributeError) as error:
                self.notes.append(f"its {AXISTAGS} is not used: {' '.join(str(error).split())}")
        tags = tags or AxisTags(self._guess(document))
        keys = "".join(tags.keys())
        if len(keys) != len(shape):
            raise Refused(f"it has {len(shape)} dimensions, but the axes {keys!r}")
        strange = [key for key, size in zip(keys, shape, strict=True) if key not in "xyzc" and size != 1]
        if strange:
            raise Refused(f"it has more than one position along {strange[0]!r}, only x, y, z and c can be served")
        known = [key for key in keys if key in "xyzc"]
        if len(set(known)) != len(known) or not set(known) & set("xyz"):
            raise Refused(f"its axes are {keys!r}, expected x, y, z and c, each at most once")
        return tags

    def _guess(self, document: Mapping[str, Any] | None) -> str:
        shape = self.dataset.shape
        if len(shape) not in GUESSES:
            raise Refused(f"it has {len(shape)} dimensions and no axis tags, expected 2 to 4")
        found = GUESSES[len(shape)][0]
        if document is not None:
            info = MetaInfo.from_metadata(document)
            size = {"c": info.channels, **{axis: info.along(axis)[1] for axis in "xyz"}}
            fitting = [keys for keys in GUESSES[len(shape)] if shape == tuple(size[key] for key in keys)]
            found = fitting[0] if fitting else found
        self.notes.append(f"it has no axis tags: its axes are taken to be {found!r}")
        return found

    def _metainfo(self, document: Mapping[str, Any] | None) -> MetaInfo:
        size = dict(zip(self.axes, self.dataset.shape, strict=True))
        shape = (size.get("c", 1), *(size.get(axis, 1) for axis in "xyz"))
        if not 1 <= shape[0] <= MOST_CHANNELS:
            raise Refused(f"it has {shape[0]} channels, expected 1 to {MOST_CHANNELS}")
        told = None if document is None else MetaInfo.from_metadata(document)
        try:
            if told is None:
                return MetaInfo(shape, self.dataset.dtype, "cxyz")
            return MetaInfo(shape, self.dataset.dtype, "cxyz", told.offset, told.voxel_size, told.units)
        except MetadataError as error:
            raise Refused(str(error)) from error


def create_volume(
    group: h5py.Group,
    name: str,
    metainfo: MetaInfo,
    *,
    axistags: Any = None,
    background: Any = 0,
    compression: str | None = None,
) -> Volume:
    """A new volume of background voxels.

    Args:
        group: the group of a node.
        name: name of the volume.
        metainfo: with the axes ``cxyz``.
        axistags: the axes of the dataset; default: z, y, x and, where there is more than one channel, c.
        background: value of voxels that were never written.
        compression: ``gzip``, ``lzf`` or None.
    """
    tags = AxisTags(axistags if axistags is not None else "zyxc" if metainfo.channels > 1 else "zyx")
    size = {"c": metainfo.channels, **{axis: metainfo.along(axis)[1] for axis in "xyz"}}
    keys = tags.keys()
    # Some 32 KiB to 512 KiB: few enough for large volumes, small enough to be read for a slice.
    edge = 64 if metainfo.channels * metainfo.dtype.itemsize <= 2 else 32
    dataset = group.create_dataset(
        name,
        shape=[size.get(key, 1) for key in keys],
        dtype=metainfo.dtype,
        maxshape=[None] * len(keys),
        chunks=tuple(size["c"] if key == "c" else edge if key in size else 1 for key in keys),
        fillvalue=background,
        compression=compression,
        compression_opts=1 if compression == "gzip" else None,
    )
    dataset.attrs[AXISTAGS] = tags.toJSON()
    dataset.attrs[METADATA] = json.dumps(metainfo.to_metadata())
    return Volume(dataset)


def text_of(value: Any) -> str:
    """A string attribute, of whatever kind of HDF5 string."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        return value.decode()
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {type(value).__name__}")
    return value
