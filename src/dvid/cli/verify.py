"""`dvid verify`: read everything in a store and say what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from dvid.cli.backups import store_folder
from dvid.cli.complaints import FAILURE
from dvid.cli.options import StoreFolder

if TYPE_CHECKING:
    from dvid.versions.envelope import Value
    from dvid.versions.inventory import Problem
    from dvid.versions.records import InstanceRecord


def verify(data: StoreFolder = None) -> None:
    """Read all of a store and list what is wrong with it; exit code 1 if anything is.

    Looks at checksums, records, what refers to what, and whether blocks decode to what they should.
    Servers may read and write the store meanwhile.
    """
    from dvid.cli.output import progress_bar, say
    from dvid.storage import open_store
    from dvid.versions.verify import verify as check

    folder = store_folder(data)
    store = open_store(folder, read_only=True)
    try:
        total, found, read = store.size().entries, 0, 0
        with progress_bar("reading", total, unit="entries") as advance:

            def progress(entries: int) -> None:
                nonlocal read
                read += entries
                advance(entries)

            for problem in check(store, check_content, progress):
                found += 1
                print(_line(problem), flush=True)
    finally:
        store.close()
    say(f"read {read} entries of {folder}: {f'{found} are bad' if found else 'all are good'}")
    if found:
        raise typer.Exit(FAILURE)


def check_content(instance: InstanceRecord, table: bytes, key: bytes, value: Value) -> None:
    """Check one value of an instance: a block of a volume decodes to a block, anything else decompresses.

    Raises:
        DvidError: it does not.
    """
    from dvid.datatypes.base import datatype
    from dvid.datatypes.imageblk.layout import layout_of
    from dvid.datatypes.imageblk.reading import decoded_block
    from dvid.datatypes.imageblk.volume import Volume
    from dvid.versions.envelope import expand
    from dvid.versions.layout import DATA, block_of

    if issubclass(datatype(instance.typename).handle, Volume) and table == DATA:
        block_of(key)
        decoded_block(value, layout_of(instance))
    else:
        expand(value)


def _line(problem: Problem) -> str:
    where = f"key {problem.key.hex()}"
    if problem.instance:
        where += f", instance {problem.instance!r}"
    if problem.node:
        where += f", node {problem.node}"
    return f"{where}: {' '.join(problem.what.split())}"
