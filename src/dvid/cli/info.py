"""`dvid info`: what a server or a store holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dvid.cli.opening import open_target
from dvid.cli.options import Data, Server
from dvid.cli.target import Document, Target, VolumeInfo
from dvid.errors import DvidError, UnknownNode

if TYPE_CHECKING:
    from rich.table import Table


def info(
    uuid: Annotated[
        str | None, typer.Argument(metavar="UUID", help="Of a node: show the nodes and instances of its repo.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, as GET /api/repos/info answers it.")] = False,
    server: Server = None,
    data: Data = None,
) -> None:
    """Show repos, their nodes, their data instances and sizes."""
    with open_target(server, data, read_only=True) as target:
        if uuid is None:
            found = target.repos()
        else:
            node = target.node(uuid)
            found = {root: repo for root, repo in target.repos().items() if repo and node in repo["DAG"]["Nodes"]}
            if not found:
                raise UnknownNode(f"no repo of {target.name} has the node {uuid!r}")
        if as_json:
            print(json.dumps(found, indent=2))
            return
        _show(target, found, nodes=uuid is not None)


def _show(target: Target, found: dict[str, Document], *, nodes: bool) -> None:
    from dvid.cli.output import console

    out = console()
    size = target.size()
    repos = [repo for repo in found.values() if repo]
    out.print(f"{target.name}: {_count(len(repos), 'repo')}" + (f", {size}" if size else ""), markup=False)
    for repo in repos:
        out.print()
        known = repo["DAG"]["Nodes"]
        opened = sum(not node["Locked"] for node in known.values())
        title = f"{repo['Alias'] or '(no alias)'}  {repo['Root']}  {_count(len(known), 'node')}, {opened} open"
        out.print(title + (f"  {repo['Description']}" if repo["Description"] else ""), markup=False)
        if repo["DataInstances"]:
            out.print(_instances(repo["DataInstances"]))
        if nodes:
            out.print(_nodes(known))


def _instances(instances: dict[str, Document]) -> Table:
    table = _table("instance", "type", "size x, y, z", "voxel size x, y, z", "blocks", "voxel bytes")
    for name, document in sorted(instances.items()):
        _add(table, name, document["Base"]["TypeName"], *_volume_columns(document))
    return table


def _volume_columns(document: Document) -> tuple[str, str, str, str]:
    from dvid.cli.output import in_bytes, in_xyz

    try:
        volume = VolumeInfo.of(document)
    except (DvidError, KeyError, TypeError, ValueError):  # not a volume, or of a type that describes itself otherwise
        return "", "", "", ""
    size = in_xyz(volume.extents) if volume.extents else "empty"
    amount = in_bytes(volume.extents.voxels * volume.voxel_bytes) if volume.extents else ""
    voxel = ", ".join(f"{edge:g}" for edge in reversed(volume.voxel_size_zyx))
    block = " x ".join(map(str, reversed(volume.block_zyx)))
    units = volume.units if volume.units is not None else ", ".join(reversed(volume.units_zyx))
    return size, f"{voxel} {units}".rstrip(), block, amount


def _nodes(nodes: dict[str, Document]) -> Table:
    table = _table("node", "branch", "state", "parents", "made", "note")
    uuids = {node["VersionID"]: uuid for uuid, node in nodes.items()}
    for uuid, node in sorted(nodes.items(), key=lambda pair: int(pair[1]["VersionID"])):
        parents = ", ".join(uuids.get(version, str(version))[:8] for version in node["Parents"] or [])
        state = "committed" if node["Locked"] else "open"
        _add(table, uuid, node["Branch"] or "master", state, parents, str(node["Created"])[:19], node["Note"])
    return table


def _table(*columns: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table: Table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="", show_edge=False)
    first: dict[str, Any] = {"no_wrap": True}
    for column in columns:
        table.add_column(column, overflow="fold", **first)
        first = {}
    return table


def _add(table: Table, *cells: str) -> None:
    from rich.text import Text

    table.add_row(*map(Text, cells))  # what stands in brackets would be taken for markup


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
