"""`dvid verify`: read everything in a store and say what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from dvid.cli.backups import open_stores
from dvid.cli.complaints import FAILURE
from dvid.cli.options import Settings, StoreFolder

if TYPE_CHECKING:
    from dvid.versions.envelope import Value
    from dvid.versions.inventory import Problem
    from dvid.versions.records import InstanceRecord


def verify(data: StoreFolder = None, config: Settings = None) -> None:
    """Read all of a store and list what is wrong with it; exit code 1 if anything is.

    Looks at checksums, records, what refers to what, and whether blocks decode to what they should.
    Servers may read and write the store meanwhile.
    """
    from dvid.cli.output import progress_bar, say
    from dvid.versions.verify import verify as check

    with open_stores(data, config) as (database, _):
        total = sum(store.size().entries for store in (database.store, *database.others.values()))
        found = read = 0
        with progress_bar("reading", total, unit="entries") as advance:

            def progress(entries: int) -> None:
                nonlocal read
                read += entries
                advance(entries)

            for problem in check(database.store, check_content, progress, database.others):
                found += 1
                print(_line(problem), flush=True)
    say(f"read {read} entries: {f'{found} problems' if found else 'all are good'}")
    if found:
        raise typer.Exit(FAILURE)


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

    if not (issubclass(datatype(instance.typename).handle, Volume) and table == DATA):
        expand(value)
        return
    block_of(key)
    voxels = layout_of(instance)
    if value.format == Format.JPEG:
        decode_jpeg_block(value.payload, voxels.block_zyx)  # refuses images of another size
    elif len(data := expand(value)) != voxels.block_bytes:
        raise CorruptValue(f"a block has {len(data)} bytes, not {voxels.block_bytes}")


def _line(problem: Problem) -> str:
    where = f"key {problem.key.hex()}"
    if problem.instance:
        where += f", instance {problem.instance!r}"
    if problem.node:
        where += f", node {problem.node}"
    return f"{where}: {' '.join(problem.what.split())}"
