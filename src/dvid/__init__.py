"""A versioned data service for image volumes, segmentations and what is attached to them.

`dvid.open("DIR")` gives the repos of a store to a Python program; `dvid serve` serves them over HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dvid.inprocess import Library

__all__ = ["open"]


def open(  # noqa: A001 - dvid.open reads well
    path: str, *, durability: Literal["durable", "relaxed"] = "durable", read_only: bool = False
) -> Library:
    """Open the store in a directory; an empty or absent directory becomes a new store.

    A server may have the same store open at the same time.

    Raises:
        StoreUnusable: the directory holds something else, or cannot be used.
    """
    from dvid.inprocess import open_library  # what a program imports of dvid need not load all of it

    return open_library(path, durability=durability, read_only=read_only)
