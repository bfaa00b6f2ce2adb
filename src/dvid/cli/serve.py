"""`dvid serve`: run a server."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dvid.errors import ConfigError, StoreUnusable


def serve(
    config: Annotated[str | None, typer.Argument(metavar="[CONFIG.toml]", help="The file with the settings.")] = None,
    data: Annotated[str | None, typer.Option(help="The folder of the data. Default: ~/.local/share/dvid.")] = None,
    http: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")
    ] = None,
    workers: Annotated[str | None, typer.Option(metavar="N", help="Number of processes.")] = None,
    threads: Annotated[str | None, typer.Option(metavar="N", help="Number of requests each process works on.")] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse everything that would change data.")] = False,
) -> None:
    """Serve a store over HTTP, until Ctrl-C or SIGTERM."""
    from dvid.config import load_config

    try:
        settings = load_config(
            config,
            {
                "data": data,
                "server.httpAddress": http,
                "server.workers": workers,
                "server.threads": threads,
                "server.readOnly": True if read_only else None,
            },
        )
        from dvid.http.service import serve as run

        run(settings)
    except (ConfigError, StoreUnusable) as error:
        print(f"dvid serve: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
