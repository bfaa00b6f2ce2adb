"""Arrays that know the names of their axes, for programs that run without vigra.

The names and the behaviour are those of ``vigra`` as far as volumes need them, so that

    try:
        import vigra
    except ImportError:
        import dvidclient.axistags as vigra

leaves the rest of a program as it is. Unlike vigra's, axis tags are never changed in place.
"""
# Names and capitals are vigra's, which is what makes this module a drop-in.
# ruff: noqa: N802

from __future__ import annotations

import enum
import json
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, SupportsIndex

import numpy as np

UNKNOWN = "?"


class AxisType(enum.IntFlag):
    """What an axis runs over; the values are vigra's."""

    Channels = 1
    Space = 2
    Angle = 4
    Time = 8
    Frequency = 16
    Edge = 32
    UnknownAxisType = 64


_TYPE_OF_KEY = {
    "c": AxisType.Channels,
    "x": AxisType.Space,
    "y": AxisType.Space,
    "z": AxisType.Space,
    "n": AxisType.Space,
    "e": AxisType.Edge,
    "t": AxisType.Time,
    UNKNOWN: AxisType.UnknownAxisType,
}


@dataclass(frozen=True, eq=False)
class AxisInfo:
    """One axis. As in vigra, axes are equal also where the resolution of one of them is not known.

    Attributes:
        key: its letter: ``c`` channel, ``x``, ``y``, ``z`` space, ``t`` time, ``?`` unknown.
        typeFlags: what it runs over.
        resolution: length of one step, 0 where it is not known.
        description: free text, such as the unit of the resolution.
    """

    key: str = UNKNOWN
    typeFlags: AxisType = AxisType.UnknownAxisType  # noqa: N815
    resolution: float = 0.0
    description: str = ""

    def isChannel(self) -> bool:
        """Whether this is a channel axis."""
        return bool(self.typeFlags & AxisType.Channels)

    def isSpatial(self) -> bool:
        """Whether this is an axis of space."""
        return bool(self.typeFlags & AxisType.Space)

    def isTemporal(self) -> bool:
        """Whether this is a time axis."""
        return bool(self.typeFlags & AxisType.Time)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AxisInfo):
            return NotImplemented
        known = self.resolution and other.resolution
        return (self.key, self.typeFlags) == (other.key, other.typeFlags) and (
            not known or self.resolution == other.resolution
        )

    def __hash__(self) -> int:
        return hash((self.key, self.typeFlags))

    def __str__(self) -> str:
        kind = "none" if self.typeFlags == AxisType.UnknownAxisType else self.typeFlags.name
        step = f", resolution={self.resolution:g}" if self.resolution else ""
        return f"AxisInfo: '{self.key}' (type: {kind}{step}) {self.description}".rstrip()


class AxisTags:
    """The axes of an array, in the order of its dimensions.

    Args:
        axes: letters (``"cxyz"``), ``AxisInfo`` objects, or other axis tags, vigra's included.

    Raises:
        ValueError: for an unknown letter or one that occurs twice.
    """

    def __init__(self, axes: Iterable[Any] = ()) -> None:
        self._infos = tuple(_info(axis) for axis in axes)
        known = [info.key for info in self._infos if info.key != UNKNOWN]
        if len(set(known)) != len(known):
            raise ValueError(f"axis keys must differ, got {''.join(known)!r}")

    def keys(self) -> list[str]:
        """The letters of the axes, in order."""
        return [info.key for info in self._infos]

    def values(self) -> list[AxisInfo]:
        """The axes, in order."""
        return list(self._infos)

    def index(self, key: str) -> int:
        """Position of the axis ``key``, or the number of axes where there is none (as in vigra)."""
        keys = self.keys()
        return keys.index(key) if key in keys else len(keys)

    @property
    def channelIndex(self) -> int:
        """Position of the channel axis, or the number of axes where there is none."""
        return self.index("c")

    def toJSON(self) -> str:
        """The axes as vigra writes them to files."""
        axes = [{**asdict(info), "typeFlags": int(info.typeFlags)} for info in self._infos]
        order = ("key", "typeFlags", "resolution", "description")
        return json.dumps({"axes": [{name: axis[name] for name in order} for axis in axes]}, indent=2)

    @classmethod
    def fromJSON(cls, text: str) -> AxisTags:
        """Reads what ``toJSON`` or vigra wrote."""
        return cls(
            AxisInfo(axis["key"], AxisType(axis["typeFlags"]), float(axis["resolution"]), axis["description"])
            for axis in json.loads(text)["axes"]
        )

    def __len__(self) -> int:
        return len(self._infos)

    def __getitem__(self, where: Any) -> Any:
        if isinstance(where, str):
            position = self.index(where)
            if position == len(self):
                raise KeyError(f"no axis {where!r} in {''.join(self.keys())!r}")
            return self._infos[position]
        return AxisTags(self._infos[where]) if isinstance(where, slice) else self._infos[where]

    def __iter__(self) -> Iterator[AxisInfo]:
        return iter(self._infos)

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __eq__(self, other: object) -> bool:
        return self._infos == other._infos if isinstance(other, AxisTags) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._infos)

    def __repr__(self) -> str:
        return " ".join(self.keys())

    def __str__(self) -> str:
        return "\n".join(str(info) for info in self._infos)


def _info(axis: Any) -> AxisInfo:
    if isinstance(axis, AxisInfo):
        return axis
    if isinstance(axis, str):
        if axis not in _TYPE_OF_KEY:
            raise ValueError(f"unknown axis {axis!r}, expected one of {' '.join(_TYPE_OF_KEY)}")
        return AxisInfo(axis, _TYPE_OF_KEY[axis])
    return AxisInfo(axis.key, AxisType(int(axis.typeFlags)), float(axis.resolution), axis.description)


def defaultAxistags(axes: str | int) -> AxisTags:
    """Axis tags from letters (``"cxyz"``), or from a number of dimensions (3: ``xyc``)."""
    return AxisTags(axes if isinstance(axes, str) else "xyzt"[: axes - 1] + "c")


class TaggedArray(np.ndarray[Any, np.dtype[Any]]):
    """A numpy array with ``axistags``.

    Slices, integers, ``...`` and ``newaxis`` keep the tags of the axes that are left, and so do transpositions and ``squeeze``.
    Where the axes of a result cannot be told (index arrays, ``reshape``, a reduction along an axis), they are ``?``.
    """

    _axistags: AxisTags

    def __new__(cls, array: Any, axistags: Any = None) -> TaggedArray:
        """A view of ``array`` (copied only where it is not an array yet) with these tags, one for each dimension."""
        view = np.asarray(array).view(cls)
        if axistags is not None:
            view.axistags = AxisTags(axistags)
        return view

    def __array_finalize__(self, origin: Any) -> None:
        tags = getattr(origin, "axistags", None)
        if not isinstance(tags, AxisTags) or len(tags) != self.ndim:
            tags = AxisTags(UNKNOWN * self.ndim)
        self._axistags = tags

    @property
    def axistags(self) -> AxisTags:
        """The axes, in the order of the dimensions."""
        # Assigning to .shape changes the dimensions of an array without telling its class.
        return self._axistags if len(self._axistags) == self.ndim else AxisTags(UNKNOWN * self.ndim)

    @axistags.setter
    def axistags(self, axistags: Any) -> None:
        tags = AxisTags(axistags)
        if len(tags) != self.ndim:
            raise RuntimeError(
                f"array.ndim must match len(axistags): {self.ndim} dimensions, axes {''.join(tags.keys())!r}"
            )
        self._axistags = tags

    @property
    def channelIndex(self) -> int:
        """Position of the channel axis, or ``ndim`` where there is none."""
        return self.axistags.channelIndex

    def withAxes(self, *axes: Any) -> TaggedArray:
        """A view with exactly these axes in this order: permuted, new ones of size 1 added, ones of size 1 dropped.

        Raises:
            RuntimeError: where an axis to be dropped has more than one element.
        """
        spec: Any = axes[0] if len(axes) == 1 else axes
        wanted = AxisTags(spec)
        have = self.axistags.keys()
        for key, size in zip(have, self.shape, strict=True):
            if key not in wanted and size != 1:
                raise RuntimeError(f"withAxes(): cannot drop axis {key!r} of size {size}, only axes of size 1")
        plain = np.asarray(self)[tuple(slice(None) if key in wanted else 0 for key in have)]
        kept = [key for key in have if key in wanted]
        plain = plain.transpose([kept.index(key) for key in wanted.keys() if key in kept])  # noqa: SIM118
        plain = plain[tuple(slice(None) if key in kept else None for key in wanted.keys())]  # noqa: SIM118
        own = {info.key: info for info in self.axistags}
        return TaggedArray(plain, [own.get(info.key, info) for info in wanted])

    def __getitem__(self, index: Any) -> Any:
        result = super().__getitem__(index)
        if isinstance(result, TaggedArray):
            result._axistags = AxisTags(_axes_left(index, self.axistags, result.ndim))
        return result

    def transpose(self, *axes: Any) -> TaggedArray:
        """As in numpy; the tags move with their axes."""
        result = np.asarray(self).transpose(*axes).view(TaggedArray)
        order: Sequence[int] | None = axes[0] if len(axes) == 1 and np.ndim(axes[0]) == 1 else axes or None
        if axes == (None,):
            order = None
        tags = self.axistags.values()
        result._axistags = AxisTags(reversed(tags) if order is None else [tags[axis] for axis in order])
        return result

    @property
    def T(self) -> TaggedArray:
        """The array with its axes in reverse order."""
        return self.transpose()

    def swapaxes(self, axis1: SupportsIndex, axis2: SupportsIndex, /) -> TaggedArray:
        """As in numpy; the tags move with their axes."""
        order = list(range(self.ndim))
        first, second = operator.index(axis1), operator.index(axis2)
        order[first], order[second] = order[second], order[first]
        return self.transpose(order)

    def squeeze(self, axis: Any = None) -> TaggedArray:
        """As in numpy; the tags of the axes that are left stay."""
        plain = np.asarray(self)
        dropped = (
            [at for at, size in enumerate(self.shape) if size == 1] if axis is None else np.atleast_1d(axis) % self.ndim
        )
        return TaggedArray(plain.squeeze(axis), [tag for at, tag in enumerate(self.axistags) if at not in dropped])

    def reshape(self, *shape: Any, **how: Any) -> TaggedArray:
        """As in numpy; the axes of a new shape are unknown."""
        result = np.asarray(self).reshape(*shape, **how).view(TaggedArray)
        if result.shape == self.shape:
            result._axistags = self.axistags
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        reduced: Any = super().__reduce__()
        rebuild, arguments, state = reduced
        return rebuild, arguments, (state, self.axistags)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state[0])
        self._axistags = state[1]

    def __repr__(self) -> str:
        return f"TaggedArray(shape={self.shape}, axistags={self.axistags!r}, dtype={self.dtype}, data=\n{np.asarray(self)})"


VigraArray = TaggedArray


def _axes_left(index: Any, tags: AxisTags, ndim_left: int) -> list[AxisInfo]:
    """The axes of ``array[index]``, in order; all unknown where the index holds arrays."""
    unknown = _info(UNKNOWN)
    items = list(index) if isinstance(index, tuple) else [index]
    left: list[AxisInfo] = []
    axis = 0
    for item in items:
        if item is None:
            left.append(unknown)
        elif item is Ellipsis:
            taken = sum(1 for other in items if other is not None and other is not Ellipsis)
            left += tags[axis : len(tags) - taken + axis]
            axis = len(tags) - taken + axis
        elif isinstance(item, slice):
            left.append(tags[axis])
            axis += 1
        elif isinstance(item, (int, np.integer)) and not isinstance(item, bool):
            axis += 1
        else:
            return [unknown] * ndim_left
    return left + list(tags[axis:])


def taggedView(array: Any, axistags: Any = "", force: bool = False) -> TaggedArray:
    """A view of ``array`` with these axis tags.

    An array that has tags already is brought into the wanted order (``withAxes``), unless ``force`` replaces them.

    Raises:
        RuntimeError: where the number of axes is not that of the dimensions.
    """
    if getattr(array, "axistags", None) is not None and not force:
        tagged = TaggedArray(array, array.axistags)
        return tagged.withAxes(axistags) if axistags else tagged
    return TaggedArray(array, axistags or defaultAxistags(np.ndim(array)))
