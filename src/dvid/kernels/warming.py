"""Loading the kernels ahead of the first request that needs them."""

from __future__ import annotations

import importlib
import pkgutil

import dvid.kernels
from dvid.kernels.compiling import load_all


def warm() -> None:
    """Load every kernel: about 0.5 s from the cache on disk, some 30 s of processor time where they must be compiled.

    A server calls this in a background thread; a request that comes earlier loads those that it needs.
    """
    for module in pkgutil.iter_modules(dvid.kernels.__path__, "dvid.kernels."):
        importlib.import_module(module.name)
    load_all()


if __name__ == "__main__":
    warm()
