"""What callers give, checked once: labels, points and boxes. Arrays hold z, y, x; requests want x, y, z, and only here the one becomes the other."""

from __future__ import annotations

import operator
from typing import Any, TypeAlias

import numpy
import numpy.typing

from dvidclient.errors import BadArgument

BoxZYX: TypeAlias = tuple[slice, slice, slice]
"""A box of voxels: slices along z, y and x, as ``numpy.s_[0:64, 0:64, 0:64]`` makes them."""

UInt64s: TypeAlias = numpy.typing.NDArray[numpy.uint64]
Int32s: TypeAlias = numpy.typing.NDArray[numpy.int32]

LARGEST_LABEL = 2**64 - 1
SMALLEST_AT = -(2**31)
LARGEST_AT = 2**31 - 1


def label(value: Any, field: str = "label") -> int:
    """A label: 1 to 2^64 - 1.

    Raises:
        BadArgument: it is none.
    """
    number = _integer(value, field)
    if not 0 < number <= LARGEST_LABEL:
        raise BadArgument(f"{field}: expected a label from 1 to 2^64 - 1, got {value!r}")
    return number


def labels(values: Any, field: str = "labels") -> UInt64s:
    """Labels, 0 among them or not, as a uint64 array (n).

    Raises:
        BadArgument: one of them is none, or it is no list of numbers.
    """
    given = array(list(values) if isinstance(values, (set, frozenset, range)) else values, field)
    if given.ndim == 1 and given.size == 0:
        return numpy.empty(0, numpy.uint64)
    # numpy makes objects of numbers beyond 2^63 that come with smaller ones, or floats.
    if given.ndim == 1 and given.dtype.kind in "fO" and not isinstance(values, numpy.ndarray):
        given = numpy.array([_integer(value, field) for value in values], object)
    numbers = given.ndim == 1 and (given.dtype.kind in "iu" or all(isinstance(value, int) for value in given))
    if not numbers or given.min() < 0 or given.max() > LARGEST_LABEL:
        raise BadArgument(f"{field}: expected labels from 0 to 2^64 - 1, got {_shortened(values)}")
    return given.astype(numpy.uint64)


def points_zyx(points: Any, field: str = "points_zyx") -> Int32s:
    """Points z, y, x of voxels as an int32 array (n, 3).

    Raises:
        BadArgument: they are no integers, do not fit into 32 bits, or it is no such array.
    """
    given = array(points, field)
    if given.size == 0 and given.shape in ((0,), (0, 3)):
        return numpy.empty((0, 3), numpy.int32)
    if given.ndim != 2 or given.shape[1] != 3 or given.dtype.kind not in "iu":
        raise BadArgument(
            f"{field}: expected integers of the shape (n, 3), z, y, x for each point, got {given.dtype} of the shape {given.shape}"
        )
    if given.min() < SMALLEST_AT or given.max() > LARGEST_AT:
        raise BadArgument(f"{field}: expected coordinates of 32 bits, got {given.min()} to {given.max()}")
    return given.astype(numpy.int32)


def point_zyx(point: Any, field: str = "point_zyx") -> tuple[int, int, int]:
    """One point z, y, x."""
    given = array(point, field)
    if given.shape != (3,):
        raise BadArgument(f"{field}: expected z, y, x, got {point!r}")
    z, y, x = points_zyx(given[None], field)[0].tolist()
    return (z, y, x)


def points_xyz(points_zyx: Int32s) -> Int32s:
    """Points z, y, x as requests want them: x, y, z."""
    return points_zyx[:, ::-1]


def path_xyz(point: Any, field: str = "point_zyx") -> str:
    """A point z, y, x as paths want it: ``x_y_z``."""
    z, y, x = point_zyx(point, field)
    return f"{x}_{y}_{z}"


def box_zyx(box: Any, field: str = "box_zyx") -> BoxZYX:
    """A box with all its bounds.

    Raises:
        BadArgument: it is no three slices with starts and stops.
    """
    bounds = bounds_zyx(box, field)
    if any(bound is None for start, stop in bounds for bound in (start, stop)):
        raise BadArgument(
            f"{field}: expected slices with a start and a stop, such as numpy.s_[0:64, 0:64, 0:64], got {box!r}"
        )
    z, y, x = (slice(start, stop) for start, stop in bounds)
    return (z, y, x)


def bounds_zyx(box: Any, field: str = "bounds_zyx") -> list[tuple[int | None, int | None]]:
    """Starts and stops along z, y and x; None where a slice leaves it open.

    Raises:
        BadArgument: it is no three slices in steps of 1, or a stop lies before its start.
    """
    if not isinstance(box, tuple) or len(box) != 3 or not all(isinstance(part, slice) for part in box):
        raise BadArgument(f"{field}: expected slices along z, y and x, such as numpy.s_[0:64, 0:64, 0:64], got {box!r}")
    found: list[tuple[int | None, int | None]] = []
    for part in box:
        start, stop = (None if bound is None else _integer(bound, field) for bound in (part.start, part.stop))
        if part.step not in (None, 1):
            raise BadArgument(f"{field}: expected slices in steps of 1, got {part!r}")
        if start is not None and stop is not None and stop < start:
            raise BadArgument(f"{field}: expected a stop behind its start, got {part!r}")
        if any(bound is not None and not SMALLEST_AT <= bound <= LARGEST_AT + 1 for bound in (start, stop)):
            raise BadArgument(f"{field}: expected bounds of 32 bits, got {part!r}")
        found.append((start, stop))
    return found


def bounds_query(box: BoxZYX | None, field: str = "bounds_zyx") -> dict[str, int | None]:
    """Bounds as requests for sparse volumes want them: the first and the last coordinate of each axis, both included."""
    if box is None:
        return {}
    query: dict[str, int | None] = {}
    for axis, (start, stop) in zip("zyx", bounds_zyx(box, field), strict=True):
        query[f"min{axis}"] = start
        query[f"max{axis}"] = None if stop is None else stop - 1
    return query


def shape_of(box: BoxZYX) -> tuple[int, int, int]:
    """Voxels along z, y and x."""
    z, y, x = (part.stop - part.start for part in box)
    return (z, y, x)


def closed(box: Any, field: str = "bounds_zyx") -> BoxZYX:
    """A box with all its bounds: those that are left open are as far out as can be."""
    z, y, x = (
        slice(SMALLEST_AT if start is None else start, LARGEST_AT + 1 if stop is None else stop)
        for start, stop in bounds_zyx(box, field)
    )
    return (z, y, x)


def blocks_of(box: BoxZYX, block_shape_zyx: tuple[int, ...]) -> BoxZYX:
    """The blocks that reach into a box of voxels: slices of block coordinates."""
    z, y, x = (
        slice(part.start // edge, -(-part.stop // edge)) for part, edge in zip(box, block_shape_zyx, strict=True)
    )
    return (z, y, x)


def array(values: Any, field: str) -> numpy.typing.NDArray[Any]:
    """An array of what numpy makes one of.

    Raises:
        BadArgument: it makes none of it, such as of lists of different lengths.
    """
    try:
        return numpy.asarray(values)
    except ValueError:
        raise BadArgument(f"{field}: expected an array, got {_shortened(values)}") from None


def text(value: Any, field: str) -> str:
    """A string that is not empty, and that UTF-8 can say.

    Raises:
        BadArgument: it is none.
    """
    if not isinstance(value, str) or not value:
        raise BadArgument(f"{field}: expected a string that is not empty, got {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadArgument(f"{field}: expected a string without surrogates, got {value!r}") from None
    return value


def _integer(value: Any, field: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise BadArgument(f"{field}: expected integers, got {value!r}") from None


def _shortened(values: object) -> str:
    shown = repr(values)
    return shown if len(shown) <= 100 else f"{shown[:100]}..."
