"""What a volume is: shape, type of voxel and axes, and the JSON that DVID servers describe it with.

The JSON (``application/vnd.dvid-nd-data+json``, ``GET /api/node/UUID/NAME/metadata``) lists the spatial axes X, Y, Z with
resolution, unit, size and offset, and one entry of ``Properties.Values`` for each channel.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dvidclient import schema, world
from dvidclient.arrays import axis_keys, native_axistags, resolutions_of
from dvidclient.errors import MetadataError

SPATIAL = "xyz"
MOST_CHANNELS = 65535
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
_COORDINATES = range(-(2**31), 2**31)


@dataclass(frozen=True, eq=False)
class MetaInfo:
    """Shape, type and axes of a volume.

    Args:
        shape: 2 to 4 sizes in the order of ``axistags``; 0 is allowed for spatial axes (nothing stored yet).
        dtype: integers or floats, anything ``numpy.dtype`` takes.
        axistags: ``vigra.AxisTags``, ``dvidclient.axistags.AxisTags`` or a string such as ``"cxyz"``: at most one channel
            axis ``c``, which comes first, and one to three of ``x``, ``y``, ``z`` in any order. Tags with a ``resolution`` and a
            unit of length as ``description`` say ``voxel_size`` and ``units``, too, where these are not given.
        offset: position of the first voxel, in the order of ``axistags`` (0 for the channel); default: all 0.
        voxel_size: size of a voxel along each spatial axis, in their order; None where it is not known.
        units: unit of ``voxel_size`` along each spatial axis, in their order; None where it is not known.

    Raises:
        MetadataError: names the field that is wrong.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axistags: Any
    offset: tuple[int, ...] | None = None
    voxel_size: tuple[float, ...] | None = None
    units: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        axes = _axes(self.axistags)
        shape = _whole_numbers(self.shape, "shape", len(axes), range(2**31))
        if axes[0] == "c" and not 1 <= shape[0] <= MOST_CHANNELS:
            raise MetadataError("shape[0]", f"1 to {MOST_CHANNELS} channels", shape[0])
        offset = (
            (0,) * len(axes) if self.offset is None else _whole_numbers(self.offset, "offset", len(axes), _COORDINATES)
        )
        if axes[0] == "c" and offset[0] != 0:
            raise MetadataError("offset[0]", "0, as channels have no offset", offset[0])
        spatial = len(axes.replace("c", ""))
        if self.voxel_size is not None and not (
            len(self.voxel_size) == spatial and all(_is_number(size) and size > 0 for size in self.voxel_size)
        ):
            raise MetadataError("voxel_size", f"{spatial} positive numbers", self.voxel_size)
        if self.units is not None and not (len(self.units) == spatial and all(isinstance(u, str) for u in self.units)):
            raise MetadataError("units", f"{spatial} strings", self.units)
        sizes = None if self.voxel_size is None else tuple(float(size) for size in self.voxel_size)
        units = None if self.units is None else tuple(self.units)
        own = axes.replace("c", "")
        found = resolutions_of(self.axistags)
        if sizes is None and units is None and all(axis in found for axis in own):
            sizes = tuple(found[axis][0] for axis in own)
            if all(world.is_unit(found[axis][1]) for axis in own):
                units = tuple(found[axis][1] for axis in own)
        known = {} if sizes is None else dict(zip(own, zip(sizes, units or [""] * len(own), strict=True), strict=True))
        for name, value in {
            "shape": shape,
            "dtype": _voxel_dtype(self.dtype, "dtype"),
            "axistags": native_axistags(axes, known),
            "offset": offset,
            "voxel_size": sizes,
            "units": units,
        }.items():
            object.__setattr__(self, name, value)

    @property
    def axes(self) -> str:
        """The letters of the axes, in order."""
        return axis_keys(self.axistags)

    @property
    def channels(self) -> int:
        """Number of channels; 1 where there is no channel axis."""
        return self.shape[0] if self.axes[0] == "c" else 1

    def along(self, axis: str) -> tuple[int, int]:
        """First position and size along the spatial axis ``axis``: 0 and 1 where the volume does not have it."""
        at = self.axes.find(axis)
        if at < 0 or self.offset is None:
            return (0, 1)
        return (self.offset[at], self.shape[at])

    def resolution(self, axis: str) -> tuple[float, str] | None:
        """Size of a voxel and its unit along ``axis``; None where it is not known."""
        at = self.axes.replace("c", "").find(axis)
        if at < 0 or self.voxel_size is None:
            return None
        return (self.voxel_size[at], "" if self.units is None else self.units[at])

    @classmethod
    def from_metadata(cls, document: bytes | str | Mapping[str, Any], axes: str = "cxyz") -> MetaInfo:
        """Reads the JSON metadata of a DVID server.

        Args:
            document: the JSON, or what it parses to.
            axes: the axes to describe the volume with; spatial axes that are left out are taken at position 0.

        Raises:
            MetadataError: names the field that is wrong.
        """
        axes = _axes(axes)
        parsed = _parsed(document)
        schema.check(parsed, cls.schema(), "", whole="metadata")
        values = parsed["Properties"]["Values"]
        dtypes = [np.dtype(value["DataType"]) for value in values]
        for at, dtype in enumerate(dtypes):
            if dtype != dtypes[0]:
                place = f"Properties.Values[{at}].DataType"
                raise MetadataError(place, f"the type of the first channel, {dtypes[0]}", str(dtype))
        if axes[0] != "c" and len(values) > 1:
            raise MetadataError("Properties.Values", f"one entry, as the axes {axes!r} have no channel", len(values))
        described = {axis["Label"].lower(): axis for axis in parsed["Axes"]}
        wanted = [described[axis] for axis in axes.replace("c", "")]
        sizes, offsets = ([int(axis[field]) for axis in wanted] for field in ("Size", "Offset"))
        channel = axes[0] == "c"
        return cls(
            (len(values), *sizes) if channel else tuple(sizes),
            dtypes[0],
            axes,
            offset=(0, *offsets) if channel else tuple(offsets),
            voxel_size=tuple(float(axis["Resolution"]) for axis in wanted),
            units=tuple(axis["Units"] for axis in wanted),
        )

    @classmethod
    def schema(cls) -> Mapping[str, Any]:
        """The JSON schema of the metadata, ``dvidclient/schemas/volume_metadata.schema.json``; what ``from_metadata`` checks with."""
        return schema.schema_named("volume_metadata")

    def to_metadata(self) -> dict[str, Any]:
        """The JSON metadata of a DVID server for this volume, as ``json.dumps`` takes it."""
        axes = []
        for axis in SPATIAL:
            offset, size = self.along(axis)
            step, unit = self.resolution(axis) or (1.0, "")
            axes.append({"Label": axis.upper(), "Resolution": step, "Units": unit, "Size": size, "Offset": offset})
        values = [
            {"DataType": self.dtype.name, "Label": self.dtype.name if self.channels == 1 else f"channel{channel}"}
            for channel in range(self.channels)
        ]
        return {"Axes": axes, "Properties": {"Values": values}}

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, MetaInfo) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values())

    def _values(self) -> tuple[Any, ...]:
        return (self.shape, self.dtype, self.axes, self.offset, self.voxel_size, self.units)


def _axes(axistags: Any) -> str:
    try:
        axes = axis_keys(axistags)
    except TypeError as error:
        raise MetadataError("axistags", "axis tags or a string of axes such as 'cxyz'", axistags) from error
    spatial = axes.removeprefix("c")
    if not (2 <= len(axes) <= 4 and 1 <= len(spatial) == len(set(spatial)) and set(spatial) <= set(SPATIAL)):
        raise MetadataError(
            "axistags", "2 to 4 axes: the channel c first (or none), then x, y, z, each at most once", axes
        )
    return axes


def _whole_numbers(values: Sequence[Any], field: str, count: int, allowed: range) -> tuple[int, ...]:
    expected = f"{count} integers, one for each axis"
    try:
        given = tuple(values)
    except TypeError as error:
        raise MetadataError(field, expected, values) from error
    if len(given) != count:
        raise MetadataError(field, expected, given)
    for at, value in enumerate(given):
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or int(value) not in allowed:
            raise MetadataError(f"{field}[{at}]", f"an integer from {allowed.start} to {allowed.stop - 1}", value)
    return tuple(int(value) for value in given)


def _voxel_dtype(value: Any, field: str) -> np.dtype[Any]:
    expected = f"one of the types {', '.join(DTYPES)}"
    try:
        dtype: np.dtype[Any] = np.dtype(value).newbyteorder("=")
    except TypeError as error:
        raise MetadataError(field, expected, value) from error
    if dtype.name not in DTYPES:
        raise MetadataError(field, expected, value)
    return dtype


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and math.isfinite(value)


def _parsed(document: bytes | str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(document, Mapping):
        return document
    try:
        parsed = json.loads(document)
    except ValueError as error:
        raise MetadataError("metadata", "JSON", document[:200]) from error
    if not isinstance(parsed, Mapping):
        raise MetadataError("metadata", "a JSON object", parsed)
    return parsed
