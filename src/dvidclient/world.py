"""Positions in the world: voxels and lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dvidclient.errors import BadArgument

Array = np.ndarray[Any, np.dtype[Any]]

METRES = {
    "m": 1.0,
    "cm": 1e-2,
    "mm": 1e-3,
    "um": 1e-6,
    "nm": 1e-9,
    "pm": 1e-12,
    "angstrom": 1e-10,
}
_NAMES = {
    "metre": "m",
    "meter": "m",
    "centimetre": "cm",
    "centimeter": "cm",
    "millimetre": "mm",
    "millimeter": "mm",
    "micrometre": "um",
    "micrometer": "um",
    "micron": "um",
    "µm": "um",  # the micro sign
    "μm": "um",  # the Greek letter
    "nanometre": "nm",
    "nanometer": "nm",
    "picometre": "pm",
    "picometer": "pm",
    "å": "angstrom",
    "angstrom": "angstrom",
    "ångström": "angstrom",
}
# Positions that arithmetic has put a hair beside a boundary of voxels lie on it: so far off it, and so many times its last digit.
_HAIR, _LAST_DIGITS = 1e-9, 8


def metres(unit: str) -> float:
    """The length of a unit in metres: ``nm``, ``nanometers``, ``um``, ``µm``, ``micron``, ``mm``, ``m``, ``angstrom``, ...

    Raises:
        BadArgument: it is no such unit.
    """
    symbol = str(unit).strip()
    if symbol in METRES:
        return METRES[symbol]
    for name in (symbol.lower(), symbol.lower().removesuffix("s")):
        if name in _NAMES:
            return METRES[_NAMES[name]]
    raise BadArgument(f"unit: expected a unit of length such as 'nm' or 'micrometers', got {unit!r}")


def is_unit(unit: str) -> bool:
    """Whether ``metres`` knows a unit."""
    try:
        metres(unit)
    except BadArgument:
        return False
    return True


def steps_in(voxel_size: Sequence[float], units: Sequence[str], unit: str | None) -> Array:
    """The size of a voxel along each axis in one unit; in the units it has where ``unit`` is None."""
    sizes = np.asarray(voxel_size, np.float64)
    if unit is None:
        return sizes
    # Where it is in that unit already, nothing is multiplied, and so nothing is rounded.
    factors = [1.0 if own == unit else metres(own) / metres(unit) for own in units]
    scaled: Array = sizes * np.asarray(factors)
    return scaled


def to_world(positions: Any, steps: Array) -> Array:
    """Where voxels begin, from their positions; both arrays (..., axes)."""
    places: Array = _points(positions, "positions", len(steps)) * steps
    return places


def to_voxels(world: Any, steps: Array) -> Array:
    """The positions, int64, of the voxels that points lie in; both arrays (..., axes)."""
    places = _points(world, "world", len(steps)) / steps
    nearest = np.rint(places)
    on_boundary = np.abs(places - nearest) <= _HAIR + _LAST_DIGITS * np.spacing(np.abs(nearest))
    return np.asarray(np.where(on_boundary, nearest, np.floor(places)), np.int64)


def _points(values: Any, name: str, axes: int) -> Array:
    try:
        points = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise BadArgument(f"{name}: expected numbers, got {values!r}") from error
    if points.ndim == 0 or points.shape[-1] != axes or not np.isfinite(points).all():
        raise BadArgument(f"{name}: expected an array (..., {axes}) of finite numbers, got the shape {points.shape}")
    return points
