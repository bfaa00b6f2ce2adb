"""`dvid browse`: a window on what a server holds."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from dvid.cli.complaints import FAILURE
from dvid.cli.opening import SERVER_VARIABLE


def browse(
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="URL",
            help="The server to look into. Default: the variable DVID_SERVER, else the window asks for one.",
        ),
    ] = None,
) -> None:
    """Open a window on a server: its repos, the graph of their versions, their data instances, slices of them.

    This server, and no other one whose address is typed into the window, is told the token in the variable DVID_ADMIN_TOKEN.

    Needs Qt, which comes with the extra 'gui' of dvidclient.
    """
    from dvidclient.gui import why_no_windows

    if fault := why_no_windows():
        print(f"dvid: {fault}", file=sys.stderr)
        raise typer.Exit(FAILURE)
    from dvidclient.gui.contents_browser import run

    raise typer.Exit(run(url or os.environ.get(SERVER_VARIABLE)))
