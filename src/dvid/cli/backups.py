"""`dvid backup` and `dvid restore`: consistent copies of a store."""

from __future__ import annotations

from typing import Annotated

import typer

from dvid.cli.options import StoreFolder


def store_folder(data: str | None) -> str:
    """The folder of the store: that of --data, else the one that `dvid serve` uses without a configuration file.

    Raises:
        ConfigError: a setting of the environment is wrong.
    """
    from dvid.config import load_config

    return load_config(None, {"data": data}).default_store.path


def backup(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="An empty or missing folder for the copy.")],
    data: StoreFolder = None,
) -> None:
    """Copy a store while servers read and write it: the copy is what the store was at one moment.

    The copy is a store itself: 'dvid serve --data DIR' serves it, 'dvid restore' makes a store of it again.
    """
    from dvid.cli.output import in_bytes, say
    from dvid.storage import open_store

    store = open_store(store_folder(data), read_only=True)
    try:
        store.backup(directory)
    finally:
        store.close()
    say(f"wrote a backup of {in_bytes(_size(directory))} to {directory}")


def restore(
    backup: Annotated[str, typer.Argument(metavar="BACKUP", help="What 'dvid backup' wrote.")],
    directory: Annotated[str, typer.Argument(metavar="DIR", help="An empty or missing folder for the store.")],
) -> None:
    """Make a store of a backup. What is in a folder already is never overwritten."""
    from dvid.cli.output import in_bytes, say
    from dvid.storage import open_store

    store = open_store(backup, read_only=True)
    try:
        store.backup(directory)
    finally:
        store.close()
    say(f"restored {in_bytes(_size(directory))} to {directory}; 'dvid verify --data {directory}' reads all of it")


def _size(directory: str) -> int:
    from dvid.storage import open_store

    store = open_store(directory, read_only=True)
    try:
        return store.size().file
    finally:
        store.close()
