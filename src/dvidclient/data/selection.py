"""What brackets pick of a volume: ``vol[z0:z1, y0:y1, x0:x1]``, in voxel positions."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dvidclient.boxes import Box
from dvidclient.errors import BadArgument

POSITIONS = range(-(2**31), 2**31)
Extents = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Picked:
    """What is picked along one axis: positions, and whether the axis is dropped as an integer drops it."""

    positions: range
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """Voxels on a grid.

    Attributes:
        axes: of the volume, ``zyx`` or ``zyxc``.
        picked: along each of them.
    """

    axes: str
    picked: tuple[Picked, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array that is picked."""
        return tuple(len(picked.positions) for picked in self.picked if not picked.dropped)

    @property
    def is_empty(self) -> bool:
        """Whether it has no voxel."""
        return not all(len(picked.positions) for picked in self.picked)

    @property
    def box(self) -> Box:
        """From the first to the last of its voxels."""
        z, y, x = (picked.positions for picked in self.picked[:3])
        return Box((x[0], y[0], z[0]), (x[-1] + 1, y[-1] + 1, z[-1] + 1))

    @property
    def steps_zyx(self) -> tuple[int, int, int]:
        """From one voxel to the next."""
        z, y, x = (picked.positions.step for picked in self.picked[:3])
        return (z, y, x)

    @property
    def channels(self) -> range:
        """The channels."""
        return self.picked[3].positions if len(self.picked) == 4 else range(1)

    @property
    def within_zyxc(self) -> tuple[slice | int, ...]:
        """What brings the voxels (z, y, x, c) into the form that is picked."""
        dropped = [picked.dropped for picked in self.picked] + [True] * (4 - len(self.picked))
        return tuple(0 if drop else slice(None) for drop in dropped)

    @property
    def within_picked(self) -> tuple[slice | None, ...]:
        """What brings an array of the form that is picked to (z, y, x, c)."""
        dropped = [picked.dropped for picked in self.picked] + [True] * (4 - len(self.picked))
        return tuple(None if drop else slice(None) for drop in dropped)


def selection(key: Any, axes: str, channels: int, extents: Callable[[], Extents]) -> Selection:
    """Reads what stands in brackets.

    Args:
        key: integers, slices and at most one ``...``; positions of voxels, so that negative ones are positions, too.
        axes: of the volume, ``zyx`` or ``zyxc``.
        channels: how many the volume has.
        extents: tells from where to where the volume goes; called only where a slice leaves that open.

    Raises:
        BadArgument: names the axis.
    """
    items = list(key) if isinstance(key, tuple) else [key]
    dots = [at for at, item in enumerate(items) if item is Ellipsis]
    if len(dots) > 1:
        raise BadArgument("expected '...' once at most")
    if len(items) - len(dots) > len(axes):
        raise BadArgument(f"expected at most {len(axes)} indices, one for each of the axes {axes!r}, got {len(items)}")
    at = dots[0] if dots else len(items)
    items[at : at + 1] = [slice(None)] * (len(axes) - len(items) + len(dots))
    return Selection(
        axes, tuple(_picked(item, axis, channels, extents) for item, axis in zip(items, axes, strict=True))
    )


def _picked(item: Any, axis: str, channels: int, extents: Callable[[], Extents]) -> Picked:
    allowed = range(channels) if axis == "c" else POSITIONS
    if not isinstance(item, slice):
        position = _integer(item, axis)
        if position not in allowed:
            raise BadArgument(f"{axis}: expected {_among(axis, channels)}, got {position}")
        return Picked(range(position, position + 1), dropped=True)
    start, stop = (None if end is None else _integer(end, axis) for end in (item.start, item.stop))
    step = 1 if item.step is None else _integer(item.step, axis)
    if step < 1:
        raise BadArgument(f"{axis}: expected a step of at least 1, got {step}")
    if start is None or stop is None:
        first, last = (0, channels) if axis == "c" else extents()[axis]
        start, stop = first if start is None else start, last if stop is None else stop
    if start < allowed.start or stop > allowed.stop:
        raise BadArgument(f"{axis}: expected {_among(axis, channels)}, got {start}:{stop}")
    if stop < start:
        raise BadArgument(f"{axis}: expected a start that is not beyond the stop, got {start}:{stop}")
    return Picked(range(start, stop, step))


def _integer(value: Any, axis: str) -> int:
    if isinstance(value, bool):
        raise BadArgument(f"{axis}: expected an integer or a slice, got {value!r}")
    try:
        return operator.index(value)
    except TypeError as error:
        raise BadArgument(f"{axis}: expected an integer or a slice, got {value!r}") from error


def _among(axis: str, channels: int) -> str:
    return f"channels from 0:{channels}" if axis == "c" else "a 32-bit position"
