"""How the axes of a stored array become z, y, x and channels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dvid.errors import BadRequest

LETTERS = "zyxct"
"""Axes an array may have: space, channels, and time, of which there must be a single point."""

MOST_CHANNELS = 4
"""Of a 4-D array without named axes, the first or last axis is taken for the channels if it is no longer than this."""


@dataclass(frozen=True, slots=True)
class AxisLayout:
    """Where z, y, x and the channels are in a stored array.

    Attributes:
        axes: A letter for each stored axis, such as "czyx".
        shape: The stored shape.
    """

    axes: str
    shape: tuple[int, ...]

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Size of the volume; 1 along an axis that is not stored."""
        return (self.size("z"), self.size("y"), self.size("x"))

    @property
    def channels(self) -> int:
        """Values per voxel."""
        return self.size("c")

    def size(self, letter: str) -> int:
        """Length of an axis; 1 if it is not stored."""
        return self.shape[self.axes.index(letter)] if letter in self.axes else 1

    def pick_zyx(self, stored: Sequence[Any], missing: Any = 1) -> tuple[Any, Any, Any]:
        """The values for z, y and x out of one value per stored axis."""
        z, y, x = (stored[self.axes.index(letter)] if letter in self.axes else missing for letter in "zyx")
        return z, y, x

    def select(self, start_zyx: tuple[int, int, int], shape_zyx: tuple[int, int, int]) -> tuple[slice, ...]:
        """The slices of the stored array that hold a box, one per stored axis."""
        spans = {letter: slice(a, a + n) for letter, a, n in zip("zyx", start_zyx, shape_zyx, strict=True)}
        return tuple(spans.get(letter, slice(None)) for letter in self.axes)

    def arrange(self, box: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A view of a selected box with axes z, y, x, and c where there are several channels."""
        present = [letter for letter in "zyxc" if letter in self.axes]
        kept = [letter for letter in self.axes if letter != "t"]
        box = box.reshape([n for n, letter in zip(box.shape, self.axes, strict=True) if letter != "t"])
        box = box.transpose([kept.index(letter) for letter in present])
        shape = dict(zip(present, box.shape, strict=True))
        tail = (self.channels,) if self.channels > 1 else ()
        return box.reshape(shape.get("z", 1), shape.get("y", 1), shape.get("x", 1), *tail)


def layout_array(shape: Sequence[int], named: str | None, what: str) -> AxisLayout:
    """Finds the axes of a stored array.

    Args:
        shape: Of the array.
        named: The axes as its attributes or the user give them, a letter each, or None: then 2-D is yx, 3-D is zyx, and
            4-D is zyxc or czyx, whichever has at most 4 channels.
        what: The array, for messages.

    Raises:
        BadRequest: If the axes do not fit the array, or cannot be told.
    """
    shape = tuple(int(size) for size in shape)
    if 0 in shape:
        raise BadRequest(f"{what} is empty: its shape is {shape}")
    axes = named.lower() if named is not None else _guess_axes(shape, what)
    if len(axes) != len(shape) or len(set(axes)) != len(axes) or not set(axes) <= set(LETTERS):
        raise BadRequest(
            f"{what} has the shape {shape}: the axes {axes!r} do not fit it (one each of {', '.join(LETTERS)})"
        )
    if "y" not in axes or "x" not in axes:
        raise BadRequest(f"{what} has the axes {axes!r}: a volume has at least y and x")
    if "t" in axes and shape[axes.index("t")] != 1:
        raise BadRequest(f"{what} has {shape[axes.index('t')]} points in time (axes {axes!r}): only one can be read")
    return AxisLayout(axes, shape)


def _guess_axes(shape: tuple[int, ...], what: str) -> str:
    if len(shape) in (2, 3):
        return "zyx"[-len(shape) :]
    if len(shape) == 4:
        first, last = shape[0] <= MOST_CHANNELS, shape[3] <= MOST_CHANNELS
        if first != last:
            return "czyx" if first else "zyxc"
        raise BadRequest(
            f"{what} has the shape {shape}, and nothing tells its channels from z: name its axes, as zyxc or czyx"
        )
    if len(shape) == 5 and shape[0] == 1:
        return "tczyx"
    raise BadRequest(f"{what} has the shape {shape}: a volume has 2 to 4 axes, or 5 with one point in time")


def parse_axes(value: object, dimensions: int) -> str | None:
    """Reads axes as attributes give them; None if the attribute is of another kind or says nothing usable.

    Args:
        value: "zyx", a list of names (or of objects with a name, as OME-Zarr has them), or vigra's JSON of axistags.
        dimensions: Of the array.
    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = [tag["key"] for tag in json.loads(value)["axes"]]
        except (ValueError, KeyError, TypeError):
            return None
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, str):
        names: list[object] = list(value.replace(",", "").replace(" ", ""))
    elif isinstance(value, (list, tuple)):
        names = [item.get("name") if isinstance(item, dict) else item for item in value]
    else:
        return None
    letters = "".join(_as_letter(name) for name in names)
    return letters if 0 < len(letters) == len(names) == dimensions and len(set(letters)) == dimensions else None


def _as_letter(name: object) -> str:
    if isinstance(name, bytes):
        name = name.decode("utf-8", "replace")
    name = {"channel": "c", "channels": "c", "time": "t"}.get(str(name).lower(), str(name).lower())
    return name if len(name) == 1 and name in LETTERS else ""
