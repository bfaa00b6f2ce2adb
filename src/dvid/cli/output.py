"""Tables, progress bars and numbers as the commands show them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console

from dvid.geometry import Box, reverse3

_WIDTH = 200  # of output that no terminal bounds: nothing is cut off in files and pipes


class Advance(Protocol):
    """Tells a progress bar how much more is done."""

    def __call__(self, amount: int) -> None:
        """So much more."""
        ...


def console(file: IO[str] | None = None) -> Console:
    """Where tables go: as wide as the terminal, or wide enough for a file."""
    from rich.console import Console

    file = file or sys.stdout
    return Console(file=file, width=None if file.isatty() else _WIDTH, highlight=False, soft_wrap=False)


@contextmanager
def progress_bar(what: str, total: int, done: int = 0, *, unit: str = "bytes") -> Iterator[Advance]:
    """A progress bar on standard error.

    Args:
        what: is being done.
        total: how much is to be done.
        done: how much was done before; it counts for the bar, not for the speed.
        unit: "bytes", or what is counted.
    """
    from rich import progress

    amounts: tuple[progress.ProgressColumn, ...] = (
        (progress.DownloadColumn(binary_units=True), progress.TransferSpeedColumn())
        if unit == "bytes"
        else (progress.MofNCompleteColumn(), progress.TextColumn(unit))
    )
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        *amounts,
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console(sys.stderr), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=max(total, 1), completed=done)

        def advance(amount: int) -> None:
            bar.advance(task, amount)

        yield advance


def say(text: str) -> None:
    """Tell something on standard error, beside the results on standard output."""
    print(text, file=sys.stderr, flush=True)


def in_bytes(count: int) -> str:
    """A number of bytes in the largest unit that gives at least 1."""
    size, units = float(count), iter(("bytes", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    for larger in units:
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{count} bytes" if unit == "bytes" else f"{size:.1f} {unit}"


def in_xyz(box: Box) -> str:
    """A box as its size and its first voxel, x first: "64 x 64 x 32 at 0,0,0"."""
    size, start = reverse3(box.shape_zyx), reverse3(box.start_zyx)
    return f"{' x '.join(map(str, size))} at {','.join(map(str, start))}"
