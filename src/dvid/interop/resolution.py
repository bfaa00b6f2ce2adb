"""Voxel sizes as formats state them, brought to nanometres where the unit is known."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

NANOMETERS = "nanometers"

# Names and symbols of lengths in TIFF (ImageJ, OME), OME-Zarr, NGFF and HDF5 attributes, in nanometres.
_IN_NANOMETERS = {
    "nm": 1.0, "nanometer": 1.0, "nanometre": 1.0, "nanometers": 1.0, "nanometres": 1.0,
    "um": 1e3, "µm": 1e3, "μm": 1e3, "\\u00b5m": 1e3, "micron": 1e3, "microns": 1e3,
    "micrometer": 1e3, "micrometre": 1e3, "micrometers": 1e3, "micrometres": 1e3,
    "mm": 1e6, "millimeter": 1e6, "millimetre": 1e6, "millimeters": 1e6, "millimetres": 1e6,
    "cm": 1e7, "centimeter": 1e7, "centimetre": 1e7,
    "m": 1e9, "meter": 1e9, "metre": 1e9, "meters": 1e9, "metres": 1e9,
    "å": 0.1, "angstrom": 0.1, "ångström": 0.1,
    "pm": 1e-3, "picometer": 1e-3, "picometre": 1e-3,
}  # fmt: skip

Size = tuple[float, float, float]


def to_nanometers(size_zyx: Size, units: Iterable[object]) -> tuple[Size, str | None]:
    """Brings lengths along z, y, x to nanometres.

    Args:
        size_zyx: The lengths.
        units: Of each, as a file gives them: names, symbols, or None.

    Returns:
        The lengths and their unit: in nanometres if all units are known, otherwise as they were, with the unit that
        all share or None.
    """
    names = [_as_name(unit) for unit in units]
    if all(name in _IN_NANOMETERS for name in names):
        z, y, x = (_rounded(length * _IN_NANOMETERS[name]) for length, name in zip(size_zyx, names, strict=True))
        return (z, y, x), NANOMETERS
    return size_zyx, (names[0] or None) if len(set(names)) == 1 else None


def parse_lengths(value: object, count: int) -> tuple[float, ...] | None:
    """Reads positive lengths from an attribute: `count` numbers, or one for all; None if it is anything else."""
    lengths = parse_numbers(value, count)
    return lengths if lengths is not None and all(length > 0 for length in lengths) else None


def parse_numbers(value: object, count: int) -> tuple[float, ...] | None:
    """Reads finite numbers from an attribute: `count` of them, or one for all; None if it is anything else."""
    try:
        numbers = np.asarray(value, dtype=np.float64).ravel()
    except (ValueError, TypeError):
        return None
    if isinstance(value, (str, bytes)) or numbers.size not in (1, count):
        return None
    found = tuple(float(number) for number in (numbers if numbers.size == count else numbers.repeat(count)))
    return found if all(math.isfinite(number) for number in found) else None


def _as_name(unit: object) -> str:
    if isinstance(unit, bytes):
        unit = unit.decode("utf-8", "replace")
    return "" if unit is None else str(unit).strip().lower()


def _rounded(length: float) -> float:
    # 0.0046 um times 1000 is 4.6 nm, not 4.600000000000001.
    return float(f"{length:.9g}")
