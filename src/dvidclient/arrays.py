"""The arrays that volumes come as: vigra's where it can be imported, the client's own elsewhere."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from dvidclient import axistags as own


@functools.cache
def array_module() -> Any:
    """``vigra``, or ``dvidclient.axistags`` where vigra is absent or does not fit the installed numpy."""
    try:
        with warnings.catch_warnings():
            # Python 3.8 and later warn about vigra's own source when they first compile it.
            warnings.simplefilter("ignore", SyntaxWarning)
            import vigra
    except (ImportError, AttributeError):  # built for another numpy, it stops with either
        return own
    return vigra


def native_axistags(axes: str, resolutions: Mapping[str, tuple[float, str]] | None = None) -> Any:
    """Axis tags of the kind that arrays carry here, from letters such as ``"cxyz"``.

    Args:
        axes: the letters.
        resolutions: by letter, the length of a step and its unit, which tags keep as ``resolution`` and ``description``.
    """
    module = array_module()
    tags = module.defaultAxistags(axes)
    if not resolutions:
        return tags
    known = {"": (0.0, ""), **resolutions}
    return module.AxisTags(
        [module.AxisInfo(info.key, info.typeFlags, *known.get(info.key, known[""])) for info in tags]
    )


def resolutions_of(axistags: Any) -> dict[str, tuple[float, str]]:
    """By letter, the length of a step and the description of all axes of which the tags know it."""
    if isinstance(axistags, str):
        return {}
    return {info.key: (float(info.resolution), str(info.description)) for info in axistags if info.resolution > 0}


def axis_keys(axistags: Any) -> str:
    """The letters of axis tags of any kind, or of a string of letters.

    Raises:
        TypeError: where the argument is neither.
    """
    if isinstance(axistags, str):
        return axistags
    keys = getattr(axistags, "keys", None)
    if keys is None:
        raise TypeError(f"expected axis tags or a string of axes such as 'cxyz', got {axistags!r}")
    return "".join(keys())


def tagged(array: np.ndarray[Any, Any], axes: Any) -> Any:
    """A view of ``array`` with axis tags, or letters as tags: a ``vigra.VigraArray`` or a ``TaggedArray``."""
    return array_module().taggedView(array, native_axistags(axis_keys(axes), resolutions_of(axes)))


def in_axis_order(array: Any, axes: str) -> np.ndarray[Any, Any]:
    """A plain view of ``array`` whose axes follow ``axes``; an array without tags is taken to be in that order.

    Raises:
        ValueError: where the array has tags that are not these axes.
    """
    plain = np.asarray(array)
    tags = getattr(array, "axistags", None)
    keys = axes if tags is None else axis_keys(tags)
    if sorted(keys) != sorted(axes):
        raise ValueError(f"expected an array with the axes {axes!r}, got one with {keys!r}")
    return plain if keys == axes else plain.transpose([keys.index(key) for key in axes])


def fitting(values: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Values as an array whose values lie in the range of ``dtype``.

    An array must have a type that always fits. Numbers and lists have none that anyone chose: there each value must fit.

    Raises:
        ValueError: they do not.
    """
    array = np.asarray(values)
    if np.can_cast(array.dtype, dtype, "safe"):
        return array
    if not hasattr(values, "dtype") and _each_fits(array, dtype):
        return array.astype(dtype)
    raise ValueError(f"expected values that fit {dtype}, got {array.dtype}")


def _each_fits(array: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> bool:
    if array.dtype.kind == "f" and dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.array_equal(np.isfinite(array), np.isfinite(array.astype(dtype)))
    if array.dtype.kind not in "iu" or dtype.kind not in "iuf" or not array.size:
        return False
    limits: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return bool(limits.min <= array.min() and array.max() <= limits.max)
