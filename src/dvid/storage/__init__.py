"""Ordered transactional key-value stores behind one small protocol."""

from __future__ import annotations

import os
from typing import Literal, get_args

from dvid.errors import ConfigError
from dvid.storage.lmdb import LmdbStore
from dvid.storage.protocol import MAX_KEY, Buffer, Entry, Snapshot, Store, StoreSize, Transaction

__all__ = [
    "MAX_KEY",
    "Buffer",
    "Durability",
    "Entry",
    "Snapshot",
    "Store",
    "StoreSize",
    "Transaction",
    "open_store",
]

Durability = Literal["durable", "relaxed"]
"""What a commit promises.

durable: what `transact` has returned is on disk, and survives a power cut.
relaxed: it is in the memory of the operating system, and survives the death of the process, even by kill -9. It is
written to disk once a second and when the store is closed. A power cut or a crash of the operating system loses up to
the last seconds; and as a disk may write in any order, it can damage the whole store, which then has to be restored
from a backup.
"""


def open_store(
    path: str | os.PathLike[str],
    *,
    durability: Durability = "durable",
    read_only: bool = False,
    max_size: int | None = None,
    map_size: int | None = None,
) -> Store:
    """Open the store in a directory of a local disk; an empty or missing directory is made a store.

    Several processes may have it open, and each may open it several times. A process that was forked while it was open
    can neither use nor open it: start worker processes by spawn, or before.

    Args:
        path: the directory.
        durability: what a commit promises.
        read_only: refuse writes; the directory must be a store already.
        max_size: most bytes the data may take; writes beyond it are refused, deletions are not. The files may take
            somewhat more: 1/16 of it, at least 4 MiB. None: as much as the disk holds.
        map_size: bytes of address space to reserve, the most the file can grow to. None: more than the disk holds.

    Raises:
        ConfigError: `durability` is neither of the two.
        StoreUnusable: the directory is not a store of this format, or cannot be opened.
    """
    if durability not in get_args(Durability):
        raise ConfigError(f"durability is 'durable' or 'relaxed', not {durability!r}")
    return LmdbStore(path, relaxed=durability == "relaxed", read_only=read_only, max_size=max_size, map_size=map_size)
