"""The `dvid` command."""

from __future__ import annotations

import typer

from dvid.cli.serve import serve

app = typer.Typer(no_args_is_help=True, add_completion=False, help="A versioned data service for image volumes.")
app.command()(serve)


@app.callback()
def _commands() -> None:
    pass


def main() -> None:
    """Run the command line."""
    app()
