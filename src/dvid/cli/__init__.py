"""The `dvid` command: a thin layer of words over the service, a running server and the formats of other programs.

Everything heavy is imported by the command that needs it, so that `dvid --help` answers at once.
"""

from __future__ import annotations

import sys

import typer

from dvid.cli.backups import backup, restore
from dvid.cli.browse import browse
from dvid.cli.complaints import exit_code, one_line
from dvid.cli.demo import demo
from dvid.cli.exporting import export_volume
from dvid.cli.importing import import_volume
from dvid.cli.info import info
from dvid.cli.nodes import node_app
from dvid.cli.repos import repo_app, repos_app
from dvid.cli.sample import sample
from dvid.cli.serve import serve
from dvid.cli.serve_h5 import serve_h5
from dvid.cli.transfers import fetch, push_volume
from dvid.cli.verify import verify

app = typer.Typer(
    name="dvid",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A versioned data service for image volumes.\n\n"
    "Try it with 'dvid demo'. Commands that read or change repos ask a running server (--server URL, or the variable "
    "DVID_SERVER, or http://127.0.0.1:8000); with --data DIR they work on the store in that folder themselves, whether "
    "a server runs on it or not.",
)
app.command("serve", rich_help_panel="The service")(serve)
app.command("demo", rich_help_panel="The service")(demo)
app.command("serve-h5", rich_help_panel="The service")(serve_h5)
app.command("browse", rich_help_panel="The service")(browse)
app.command("info", rich_help_panel="Repos and versions")(info)
app.add_typer(repos_app, rich_help_panel="Repos and versions")
app.add_typer(repo_app, rich_help_panel="Repos and versions")
app.add_typer(node_app, rich_help_panel="Repos and versions")
app.command("import", rich_help_panel="Volumes")(import_volume)
app.command("export", rich_help_panel="Volumes")(export_volume)
app.command("fetch", rich_help_panel="Volumes")(fetch)
app.command("push-volume", rich_help_panel="Volumes")(push_volume)
app.command("sample", rich_help_panel="Volumes")(sample)
app.command("backup", rich_help_panel="Care of a store")(backup)
app.command("restore", rich_help_panel="Care of a store")(restore)
app.command("verify", rich_help_panel="Care of a store")(verify)


def main() -> None:
    """Run the command line; the exit code is 0, 1 for a failure, 2 for bad use, 130 after Ctrl-C."""
    try:
        code = app(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        print("dvid: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        print(f"dvid: {one_line(error)}", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)
