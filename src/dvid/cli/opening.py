"""Which target a command works on.

The rule: with --data DIR it is the store in DIR; without, the server of --server, of DVID_SERVER, or of
http://127.0.0.1:8000.
"""

from __future__ import annotations

import os

import typer

from dvid.cli.target import Target

SERVER_VARIABLE = "DVID_SERVER"
DEFAULT_SERVER = "http://127.0.0.1:8000"


def open_target(server: str | None, data: str | None, *, read_only: bool = False, create: bool = False) -> Target:
    """What the options name.

    Args:
        server: the value of --server.
        data: the value of --data.
        read_only: nothing is to be changed.
        create: an empty or missing folder may be made a store.

    Raises:
        typer.BadParameter: both are given.
        StoreUnusable: the folder is not a store.
    """
    if data is not None and server is not None:
        raise typer.BadParameter("--server and --data exclude each other: ask a server, or open a store")
    if data is not None:
        from dvid.cli.local import StoreTarget

        return StoreTarget(data, read_only=read_only, create=create)
    from dvid.cli.remote import ServerTarget

    return ServerTarget(server or os.environ.get(SERVER_VARIABLE) or DEFAULT_SERVER)
