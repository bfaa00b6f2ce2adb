"""How a kernel is declared: it is compiled, or loaded from the cache on disk, when it is first called.

Loading them all takes most of a second, which a program that reads no voxels should not spend.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

R = TypeVar("R")

_PAUSE = 0.002
"""Only one kernel is compiled at a time: a request that needs another one is to get its turn before all are."""

_declared: list[Kernel[Any]] = []


class Kernel(Generic[R]):
    """A function that is compiled for one signature. Compiled code cannot call it: it is for Python to call."""

    def __init__(self, function: Callable[..., R], signature: Any, options: dict[str, Any]) -> None:
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self._function, self._signature, self._options = function, signature, options
        self._compiled: Callable[..., R] | None = None

    def __call__(self, *arguments: Any) -> R:
        """Run it."""
        return (self._compiled or self.load())(*arguments)

    def load(self) -> Callable[..., R]:
        """Compile it, or load it from the cache."""
        import numba

        # Two threads may do this at once; both come to the same.
        made = cast(Callable[..., R], numba.njit(self._signature, cache=True, **self._options)(self._function))
        self._compiled = made
        return made


def kernel(signature: Any, **options: Any) -> Callable[[Callable[..., R]], Kernel[R]]:
    """Declare a kernel: `signature` and `options` are those of `numba.njit`."""

    def declare(function: Callable[..., R]) -> Kernel[R]:
        made = Kernel(function, signature, options)
        _declared.append(made)
        return made

    return declare


def load_all() -> None:
    """Load every kernel that was declared so far."""
    for one in _declared:
        one.load()
        time.sleep(_PAUSE)
