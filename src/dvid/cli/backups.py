"""`dvid backup` and `dvid restore`: consistent copies of a store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from dvid.cli.options import Settings, StoreFolder

if TYPE_CHECKING:
    from dvid.database import Database
    from dvid.storage import Store


@contextmanager
def open_stores(data: str | None, config: str | None, *, read_only: bool = True) -> Iterator[tuple[Database, str]]:
    """The stores that a server with these settings has; and the name of the one that holds the repos.

    Args:
        data: the value of --data; by default the folder that `dvid serve` uses.
        config: the value of --config.
        read_only: open them to be read only.

    Raises:
        ConfigError: a setting is wrong.
        StoreUnusable: a folder is not a store.
    """
    from dvid.config import load_config
    from dvid.database import Database

    settings = load_config(config, {"data": data})
    with Database.from_config(settings, read_only=True) as database:  # makes no store where there is none
        if read_only or not database.others:
            yield database, settings.metadata_store.name
            return
    with Database.from_config(settings, read_only=False) as database:
        yield database, settings.metadata_store.name


def backup(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="An empty or missing folder for the copy.")],
    data: StoreFolder = None,
    config: Settings = None,
) -> None:
    """Copy a store while servers read and write it: the copy is what the store was at one moment.

    The copy is a store itself: 'dvid serve --data DIR' serves it, 'dvid restore' makes a store of it again.
    Of several stores (--config) each is copied to DIR/NAME; writes to all but the first wait meanwhile.
    """
    from dvid.cli.output import in_bytes, say
    from dvid.errors import BadRequest

    with open_stores(data, config, read_only=False) as (database, name):
        if not database.others:
            database.store.backup(directory)
            say(f"wrote a backup of {in_bytes(_size(directory))} to {directory}")
            return
        if os.path.lexists(directory) and (not os.path.isdir(directory) or os.listdir(directory)):
            raise BadRequest(f"a backup goes into an empty directory: {directory} is not one")
        # Nobody writes data of other stores, or commits, until all are copied; what the first one gets meanwhile, new
        # versions and the data of its own instances, contradicts nothing of the others.
        stores = {**database.others, name: database.store}
        work: Callable[[], None] = partial(_copy_each, stores, directory)
        for other in reversed(database.others):
            work = partial(database.others[other].exclude, work)
        work()
        for each in stores:
            folder = os.path.join(directory, quote(each, safe=" "))
            say(f"wrote a backup of {in_bytes(_size(folder))} of store {each!r} to {folder}")


def _copy_each(stores: dict[str, Store], directory: str) -> None:
    for name, store in stores.items():
        store.backup(os.path.join(directory, quote(name, safe=" ")))


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
