"""`dvid serve-h5`: serve the volumes of one HDF5 file."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def serve_h5(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The HDF5 file, as docs/hdf5-server.md describes it.")],
    host: Annotated[str, typer.Option(metavar="HOST", help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="Port 0 takes a free one.")] = 8000,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Refuse everything that would change the file.")
    ] = False,
) -> None:
    """Serve the volumes of an HDF5 file over HTTP, until Ctrl-C or SIGTERM."""
    try:
        from mockserver.h5errors import FileUnusable
        from mockserver.h5supervisor import serve
    except ImportError as error:
        print(f"dvid serve-h5: {error}. It comes with: pip install 'dvidclient[hdf5]'", file=sys.stderr)
        raise typer.Exit(2) from None
    try:
        serve(file, host, port, read_only=read_only)
    except FileUnusable as error:
        print(f"dvid serve-h5: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
