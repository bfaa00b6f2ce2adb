"""`dvid verify`: read everything in a store and say what is wrong, and mend what can be mended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from dvid.cli.backups import open_stores
from dvid.cli.complaints import FAILURE
from dvid.cli.options import Settings, StoreFolder

if TYPE_CHECKING:
    from dvid.database import Database
    from dvid.storage.protocol import Snapshot
    from dvid.versions.edit import Edit
    from dvid.versions.envelope import Value
    from dvid.versions.inventory import Problem
    from dvid.versions.records import InstanceRecord, NodeRecord
    from dvid.versions.verify import InstanceCheck


def verify(
    data: StoreFolder = None,
    config: Settings = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Bring index, members and sizes of labels in line with voxels and mapping, make lower resolutions that are out "
            "of date again, and read everything again.",
        ),
    ] = False,
) -> None:
    """Read all of a store and list what is wrong with it; exit code 1 if anything is.

    Looks at checksums, records, what refers to what, whether blocks decode to what they should, and whether
    voxels, index, mapping, members and sizes of labels agree at every version.
    Blocks of lower resolutions of labels are made again and compared, except in instances to which clients have sent such blocks, or blocks
    without asking for lower resolutions (`POST .../blocks` without `downres=true`).
    Servers may read and write the store meanwhile.
    """
    with open_stores(data, config) as (database, _):
        found = _read(database)
    if repair and found:
        _repair(data, config, sorted({problem.instance for problem in found if problem.instance}))
        with open_stores(data, config) as (database, _):
            found = _read(database)
    if any(not problem.is_note for problem in found):
        raise typer.Exit(FAILURE)


def _read(database: Database) -> list[Problem]:
    """Read everything and list what is wrong; of the many problems that there may be, those worth knowing later."""
    from dvid.cli.output import progress_bar, say
    from dvid.versions.verify import verify as check

    total = sum(store.size().entries for store in (database.store, *database.others.values()))
    count = notes = read = 0
    kept: dict[tuple[str, bool], Problem] = {}
    with progress_bar("reading", total, unit="entries") as advance:

        def progress(entries: int) -> None:
            nonlocal read
            read += entries
            advance(entries)

        for problem in check(database.store, check_content, progress, database.others, check_instance):
            notes += problem.is_note
            count += not problem.is_note
            kept.setdefault((problem.instance, problem.is_note), problem)
            print(_line(problem), flush=True)
    told = f"{count} problems" if count else "all are good"
    say(f"read {read} entries: {told}{f', {notes} notes' if notes else ''}")
    return list(kept.values())


def check_content(instance: InstanceRecord, table: bytes, key: bytes, value: Value) -> None:
    """Check one value of an instance: a block of a volume decodes to a block, anything else decompresses.

    Raises:
        DvidError: it does not.
    """
    from dvid.codecs.images import decode_jpeg_block
    from dvid.datatypes.base import datatype
    from dvid.datatypes.imageblk.layout import layout_of
    from dvid.datatypes.imageblk.volume import Volume
    from dvid.errors import CorruptValue
    from dvid.versions.envelope import Format, expand
    from dvid.versions.layout import DATA, block_of

    kind = datatype(instance.typename)
    if kind.upkeep is not None:
        kind.upkeep.check_value(instance, table, key, value)
        return
    if not (issubclass(kind.handle, Volume) and table == DATA):
        expand(value)
        return
    block_of(key)
    voxels = layout_of(instance)
    if value.format == Format.JPEG:
        decode_jpeg_block(value.payload, voxels.block_zyx)  # refuses images of another size
    elif len(data := expand(value)) != voxels.block_bytes:
        raise CorruptValue(f"a block has {len(data)} bytes, not {voxels.block_bytes}")


def check_instance(instance: InstanceRecord) -> InstanceCheck | None:
    """What checks whether the values of an instance fit together, if its type can tell."""
    from dvid.datatypes.base import datatype

    upkeep = datatype(instance.typename).upkeep
    return None if upkeep is None else upkeep.check


def _repair(data: str | None, config: str | None, names: list[str]) -> None:
    from dvid.cli.output import say
    from dvid.config import load_config
    from dvid.database import Database
    from dvid.datatypes.base import datatype
    from dvid.versions import instances, repos

    with Database.from_config(load_config(config, {"data": data}), read_only=False) as database:
        with database.read() as (snapshot, _):
            found = [
                (repo.root_uuid, instance)
                for repo in repos.list_repos(snapshot)
                for instance in instances.list_instances(snapshot, repo.number)
                if instance.name in names
            ]
        for root, instance in found:
            upkeep = datatype(instance.typename).upkeep
            if upkeep is None:
                continue
            sources = partial(_sources, database, root, instance.name)
            for mended in upkeep.repair(sources, partial(_edit, database, instance.name)):
                where = f"instance {instance.name!r}, node {mended.node}, {mended.what}"
                say(f"{where}: {mended.count} mended" + (f"; not mended: {mended.failure}" if mended.failure else ""))


@contextmanager
def _sources(
    database: Database, root: str, name: str
) -> Iterator[tuple[Snapshot, Snapshot, InstanceRecord, Mapping[int, NodeRecord]]]:
    from dvid.versions import nodes

    with database.read_all() as (snapshots, directory):
        metadata = snapshots.metadata
        number = directory.node(metadata, root).record.repo
        instance = directory.instance(metadata, number, name)
        known = {node.version: node for node in nodes.list_nodes(metadata, directory.repo(metadata, number))}
        yield metadata, snapshots.of(instance), instance, known


def _edit(database: Database, name: str, node: str, operation: Callable[[Edit], int]) -> int:
    return database.edit(node, name, operation, app="dvid verify", unlocked=True)


def _line(problem: Problem) -> str:
    where = f"{'note: ' if problem.is_note else ''}key {problem.key.hex()}"
    if problem.instance:
        where += f", instance {problem.instance!r}"
    if problem.node:
        where += f", node {problem.node}"
    return f"{where}: {' '.join(problem.what.split())}"
