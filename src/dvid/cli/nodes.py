"""`dvid node UUID ...`: committing nodes, building on them, and what can be done to one instance."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dvid.cli.fvdb import fvdb
from dvid.cli.labels import INSTANCE, composite, dump, export_shards, repair_max_label, set_next_label
from dvid.cli.opening import open_target
from dvid.cli.options import Data, Server, Workers, three_integers


class _NodeGroup(TyperGroup):
    """Takes `NAME load ...` beside plain commands: the words that follow the name of an instance."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if len(args) > 1 and args[0] not in self.commands and args[1] in _OF_INSTANCE:
            ctx.meta[INSTANCE] = args[0]
            _, command, rest = super().resolve_command(ctx, [_OF_INSTANCE[args[1]], *args[2:]])
            return f"{args[0]} {args[1]}", command, rest
        if args and args[0] in _OF_INSTANCE.values():
            raise typer.BadParameter(f"the name of an instance goes first: 'dvid node UUID {args[0]} ...'")
        return super().resolve_command(ctx, args)


_OF_INSTANCE = {
    word: f"NAME {word}"
    for word in ("load", "composite", "dump", "set-nextlabel", "repair-maxlabel", "fvdb", "export-shards")
}

node_app = typer.Typer(
    name="node",
    cls=_NodeGroup,
    no_args_is_help=True,
    subcommand_metavar="COMMAND [ARGS]...",
    help="Commit a node, build on it, or work on one of its instances: load slices, look into a segmentation.",
)

Note = Annotated[str, typer.Option(metavar="TEXT", help="What to say of the node.")]


@node_app.callback()
def _node(
    context: typer.Context,
    uuid: Annotated[
        str, typer.Argument(metavar="UUID", help="Of the node, or the beginning of it, or UUID:branch, or a tag.")
    ],
) -> None:
    context.obj = uuid


@node_app.command("commit")
def commit(context: typer.Context, note: Note = "", server: Server = None, data: Data = None) -> None:
    """Lock the node: from then on it can be read and built upon, and not changed. Prints its UUID."""
    with open_target(server, data) as target:
        print(target.commit(context.obj, note))


@node_app.command("newversion")
def new_version(context: typer.Context, note: Note = "", server: Server = None, data: Data = None) -> None:
    """Make an open child of a committed node, on its branch. Prints the child's UUID."""
    with open_target(server, data) as target:
        print(target.new_version(context.obj, note))


@node_app.command("branch")
def branch(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="BRANCH", help="Name of the new branch.")],
    note: Note = "",
    server: Server = None,
    data: Data = None,
) -> None:
    """Make an open child of a committed node, the first of a new branch. Prints the child's UUID."""
    with open_target(server, data) as target:
        print(target.branch(context.obj, name, note))


@node_app.command("tag")
def tag(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="TAG", help="The name; unique in the store.")],
    server: Server = None,
    data: Data = None,
) -> None:
    """Give a committed node a name that can be used in place of a UUID."""
    with open_target(server, data) as target:
        print(target.tag(context.obj, name))


@node_app.command("NAME load")
def load(
    context: typer.Context,
    offset: Annotated[str, typer.Argument(metavar="OFFSET", help="x,y,z of the first voxel, like 0,0,100.")],
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES",
            help="Images of XY slices (PNG, JPEG, TIFF), z growing, or a pattern in quotes: slice 2 before slice 10.",
        ),
    ],
    workers: Workers = 2,
    server: Server = None,
    data: Data = None,
) -> None:
    """Load XY images into the volume NAME, of an image or of labels, as in 'dvid node 3f8c grayscale load 0,0,100 "em/*.png"'."""
    from dvid.cli.importing import load_slices

    name: str = context.meta[INSTANCE]
    with open_target(server, data) as target:
        load_slices(target, target.node(context.obj), name, three_integers(offset, "OFFSET"), files, workers)


node_app.command("NAME composite")(composite)
node_app.command("NAME dump")(dump)
node_app.command("NAME fvdb")(fvdb)
node_app.command("NAME export-shards")(export_shards)
node_app.command("NAME set-nextlabel")(set_next_label)
node_app.command("NAME repair-maxlabel")(repair_max_label)
