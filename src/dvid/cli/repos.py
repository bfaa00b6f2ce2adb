"""`dvid repos ...` and `dvid repo UUID ...`: making, changing and deleting repos and their data instances."""

from __future__ import annotations

from typing import Annotated

import typer

from dvid.cli.opening import open_target
from dvid.cli.options import Data, NewOptions, Passcode, Server, Yes, key_values, make_sure

repos_app = typer.Typer(name="repos", no_args_is_help=True, help="Make and delete repos.")
repo_app = typer.Typer(
    name="repo",
    no_args_is_help=True,
    subcommand_metavar="COMMAND [ARGS]...",
    help="Make, rename and delete the data instances of a repo, as in 'dvid repo 3f8c new uint8blk grayscale'.",
)


@repos_app.command("new")
def new_repo(
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="A short name for people.")],
    description: Annotated[str, typer.Argument(metavar="DESCRIPTION", help="What it holds.")] = "",
    passcode: Annotated[str, typer.Option(metavar="TEXT", help="Guard deletion with a passcode.")] = "",
    server: Server = None,
    data: Data = None,
) -> None:
    """Make a repo with one open node, and print its UUID. With --data, an empty or missing folder becomes a store."""
    with open_target(server, data, create=True) as target:
        print(target.make_repo(alias, description, passcode))


@repos_app.command("delete")
def delete_repo(
    uuid: Annotated[str, typer.Argument(metavar="UUID", help="Of any node of the repo, or the beginning of it.")],
    passcode: Passcode = "",
    yes: Yes = False,
    server: Server = None,
    data: Data = None,
) -> None:
    """Delete a repo with all its versions and data."""
    with open_target(server, data) as target:
        found = target.node(uuid)
        make_sure(f"Delete the repo of node {found} with all its data?", yes)
        target.delete_repo(found, passcode)


@repo_app.callback()
def _repo(
    context: typer.Context,
    uuid: Annotated[str, typer.Argument(metavar="UUID", help="Of a node of the repo, or the beginning of it.")],
) -> None:
    context.obj = uuid


@repo_app.command("new")
def new_instance(
    context: typer.Context,
    typename: Annotated[str, typer.Argument(metavar="TYPE", help="Such as uint8blk, roi or keyvalue.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the new instance.")],
    settings: NewOptions = None,
    server: Server = None,
    data: Data = None,
) -> None:
    """Make a data instance, on an open node."""
    given = key_values(settings)
    with open_target(server, data) as target:
        target.make_instance(context.obj, typename, name, given)


@repo_app.command("rename")
def rename_instance(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the instance.")],
    new_name: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
    server: Server = None,
    data: Data = None,
) -> None:
    """Give a data instance another name, at all versions."""
    with open_target(server, data) as target:
        target.rename_instance(context.obj, name, new_name)


@repo_app.command("delete")
def delete_instance(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the instance.")],
    yes: Yes = False,
    server: Server = None,
    data: Data = None,
) -> None:
    """Delete a data instance with all versions of its data."""
    with open_target(server, data) as target:
        make_sure(f"Delete the instance {name!r} with all versions of its data?", yes)
        target.delete_instance(context.obj, name)
