"""A file whose changes are all made or not made at all, whenever its program is killed.

HDF5 scatters what belongs together over many writes, and a file is broken where a program ends between two of them. So the HDF5
library is given this object instead of the file: what it writes over bytes that count is kept in a second file beside the first,
the journal, and copied into the file only when the change is complete. A journal that was completed but not yet copied is copied when
the file is next opened; one that was not completed is dropped. (What lies beyond the end that the file had after the last change
does not count yet, and is written there at once.)

The journal, ``FILE.journal``: pages of 4096 bytes, then one JSON line with their numbers, the sizes of the file and the CRC-32
of all that, then the length of this line as 8 bytes, little-endian, and the eight letters ``H5JOURN1``.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

PAGE = 4096
PIECE = 1 << 20
MAGIC = b"H5JOURN1"
LONGEST_INDEX = 256 << 20
MOST_BYTES = 1 << 62
_NOT_COPIED = "a change is complete in the journal and could not be copied into the file: open it anew"
# macOS has the slower one only.
_sync = getattr(os, "fdatasync", os.fsync)


def journal_path(path: str | os.PathLike[str]) -> Path:
    """Where the journal of a file lies."""
    return Path(f"{os.fspath(path)}.journal")


class JournaledFile(io.RawIOBase):
    """What h5py needs of a file, over a descriptor. Not safe to use from several threads at once.

    Args:
        descriptor: of the file; stays open when this object is closed.
        journal: where the journal goes; None for a file that is only read.
    """

    def __init__(self, descriptor: int, journal: Path | None) -> None:
        self._file = descriptor
        self._journal_path = journal
        self._journal: IO[bytes] | None = None
        self._position = 0
        if journal is not None:
            recover(descriptor, journal)
        self._slots: dict[int, int] = {}
        self._committed = self._size = 0
        self._beyond = self._changed = self._complete = self._abandoned = False
        self._forget()

    def commit(self) -> None:
        """Makes all that was written since the last commit part of the file, for good: also after a loss of power."""
        if not self._changed:
            return
        assert self._journal is not None, "a file that is only read has no changes"
        if self._beyond:
            _sync(self._file)
        journal = self._journal.fileno()
        _complete(journal, self._slots, self._committed, self._size)
        _sync(journal)
        # From here on the change is made. Where it cannot be copied now, the journal must outlive this object.
        self._complete = True
        _apply(self._file, journal, self._slots, self._committed, self._size)
        os.ftruncate(journal, 0)
        self._forget()

    def roll_back(self) -> None:
        """Drops all that was written since the last commit."""
        if self._complete:
            raise OSError(_NOT_COPIED)
        if self._changed:
            os.ftruncate(self._file, self._committed)
            if self._journal is not None:
                os.ftruncate(self._journal.fileno(), 0)
        self._forget()

    def abandon(self) -> None:
        """From here on writes may fail without a word, as nothing will be committed: the HDF5 library closes its file.

        Where it cannot write what it has in memory, it keeps half of the file open, and crashes when that is cleared away.
        """
        self._abandoned = True

    def close(self) -> None:
        """Drops what was not committed and closes the journal."""
        if self.closed:
            return
        with contextlib.suppress(OSError):
            self.roll_back()
        if self._journal is not None:
            self._journal.close()
            assert self._journal_path is not None
            if not self._complete:
                with contextlib.suppress(OSError):
                    self._journal_path.unlink()
        super().close()

    def _forget(self) -> None:
        self._committed = self._size = os.fstat(self._file).st_size
        self._slots = {}
        self._beyond = self._changed = self._complete = False

    def __del__(self) -> None:
        """Nothing, where other files would close: one that was left behind must not change what another has opened since."""

    # What h5py asks of a file

    def readable(self) -> bool:
        """True."""
        return True

    def writable(self) -> bool:
        """Whether there is a journal."""
        return self._journal_path is not None

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As for any file."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer; zeros beyond the end."""
        self._check_open()
        target = memoryview(buffer).cast("B")
        start, end = self._position, self._position + len(target)
        got = 0
        while got < len(target):
            read = os.preadv(self._file, [target[got:]], start + got)
            if read == 0:
                target[got:] = bytes(len(target) - got)
                break
            got += read
        for page in self._journaled(start, end):
            at = page * PAGE
            first, last = max(at, start), min(at + PAGE, end, self._committed)
            if first < last:
                target[first - start : last - start] = self._page(page)[first - at : last - at]
        self._position = end
        return len(target)

    def write(self, data: Any) -> int:
        """Writes to the journal, or beyond the committed end at once."""
        self._check_open()
        source = memoryview(data).cast("B")
        if not self._abandoned:
            return self._write(source)
        with contextlib.suppress(OSError):
            self._write(source)
        return len(source)

    def _write(self, source: memoryview) -> int:
        if self._complete:
            raise OSError(_NOT_COPIED)
        start, end = self._position, self._position + len(source)
        if self._journal is None:
            if self._journal_path is None:
                raise PermissionError("the file is only read")
            self._journal = _new_journal(self._journal_path)
        self._changed = True
        inside = max(0, min(end, self._committed) - start)
        if inside:
            self._write_pages(start, source[:inside])
        if inside < len(source):
            self._beyond = True
            _write_all(self._file, source[inside:], start + inside)
        self._position = end
        self._size = max(self._size, end)
        return len(source)

    def truncate(self, size: int | None = None) -> int:
        """Sets the size that the file gets with the next commit."""
        self._check_open()
        wanted = self._position if size is None else size
        if wanted != self._size:
            if self._journal is None and self._journal_path is not None:
                self._journal = _new_journal(self._journal_path)
            self._changed = True
            self._size = wanted
        return wanted

    def flush(self) -> None:
        """Nothing: ``commit`` writes."""

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the file is closed")

    def _journaled(self, start: int, end: int) -> Iterable[int]:
        pages = range(start // PAGE, -(-end // PAGE))
        if len(self._slots) < len(pages):
            return [page for page in self._slots if page in pages]
        return [page for page in pages if page in self._slots]

    def _page(self, page: int) -> bytes:
        """A page as it is with the changes."""
        slot = self._slots.get(page)
        if slot is None:
            return os.pread(self._file, PAGE, page * PAGE).ljust(PAGE, b"\0")
        assert self._journal is not None
        return os.pread(self._journal.fileno(), PAGE, slot * PAGE)

    def _write_pages(self, start: int, source: memoryview) -> None:
        first, last = start // PAGE, (start + len(source) - 1) // PAGE
        head = start - first * PAGE
        tail = (last + 1) * PAGE - start - len(source)
        before = self._page(first)[:head] if head else b""
        after = self._page(last)[PAGE - tail :] if tail else b""
        whole = memoryview(b"".join((before, source, after)))
        for page in range(first, last + 1):
            self._slots.setdefault(page, len(self._slots))
        assert self._journal is not None
        journal = self._journal.fileno()
        for page, slot, count in _runs((page, self._slots[page]) for page in range(first, last + 1)):
            at = (page - first) * PAGE
            _write_all(journal, whole[at : at + count * PAGE], slot * PAGE)


def is_pending(journal: Path) -> bool:
    """Whether a change is complete in a journal, and perhaps not yet in its file."""
    try:
        with open(journal, "rb") as opened:
            return _completed(opened.fileno()) is not None
    except FileNotFoundError:
        return False


def recover(descriptor: int, journal: Path) -> bool:
    """Copies a complete journal into its file, and drops any other; whether there was a complete one.

    Raises:
        OSError: where that cannot be done.
    """
    try:
        opened = open(journal, "r+b")  # noqa: SIM115
    except FileNotFoundError:
        return False
    with opened:
        found = _completed(opened.fileno())
        if found is not None:
            _apply(descriptor, opened.fileno(), *found)
    journal.unlink()
    return found is not None


def _new_journal(path: Path) -> IO[bytes]:
    """An empty journal that is found again after a loss of power."""
    journal = open(path, "w+b")  # noqa: SIM115
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return journal


def _complete(journal: int, slots: dict[int, int], committed: int, size: int) -> None:
    pages = sorted(slots, key=slots.__getitem__)
    crc = _crc(journal, len(pages))
    index = json.dumps({"pages": pages, "before": committed, "size": size}).encode()
    line = json.dumps({"crc": zlib.crc32(index, crc)}).encode() + b"\n" + index
    _write_all(journal, memoryview(line + len(line).to_bytes(8, "little") + MAGIC), len(pages) * PAGE)


def _completed(journal: int) -> tuple[dict[int, int], int, int] | None:
    """The pages of a journal, the size that its file had, and the size that it gets; None where it was not completed."""
    end = os.fstat(journal).st_size
    trailer = os.pread(journal, 16, max(0, end - 16))
    if len(trailer) != 16 or trailer[8:] != MAGIC:
        return None
    length = int.from_bytes(trailer[:8], "little")
    if not 0 < length <= min(LONGEST_INDEX, end - 16):
        return None
    head, _, index = os.pread(journal, length, end - 16 - length).partition(b"\n")
    try:
        crc, found = json.loads(head)["crc"], json.loads(index)
        pages, committed, size = found["pages"], found["before"], found["size"]
        valid = all(isinstance(number, int) and 0 <= number < MOST_BYTES for number in (committed, size))
        valid = valid and all(isinstance(page, int) and 0 <= page < MOST_BYTES // PAGE for page in pages)
    except (ValueError, KeyError, TypeError):
        return None
    if not valid or len(pages) * PAGE != end - 16 - length or zlib.crc32(index, _crc(journal, len(pages))) != crc:
        return None
    return {page: slot for slot, page in enumerate(pages)}, committed, size


def _apply(descriptor: int, journal: int, slots: dict[int, int], committed: int, size: int) -> None:
    """Copies the pages into the file. May be repeated, so that it may be interrupted."""
    # What lies beyond the end of before was written to the file itself, and perhaps after the page was put together.
    end = min(committed, size)
    for page, slot, count in _runs(sorted(slots.items())):
        for done in range(0, count * PAGE, PIECE):
            piece = os.pread(journal, min(PIECE, count * PAGE - done), slot * PAGE + done)
            _write_all(descriptor, memoryview(piece)[: max(0, end - page * PAGE - done)], page * PAGE + done)
    os.ftruncate(descriptor, size)
    _sync(descriptor)


def _crc(journal: int, pages: int) -> int:
    crc = 0
    for at in range(0, pages * PAGE, PIECE):
        crc = zlib.crc32(os.pread(journal, min(PIECE, pages * PAGE - at), at), crc)
    return crc


def _runs(slots: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """First page, first slot and number of pages, for pages that lie side by side in the file and in the journal."""
    for _, group in itertools.groupby(slots, key=lambda pair: pair[0] - pair[1]):
        run = list(group)
        # The difference of two numbers stays the same along a run, but also across a gap in both.
        begin = 0
        for at in range(1, len(run) + 1):
            if at == len(run) or run[at][0] != run[at - 1][0] + 1:
                yield run[begin][0], run[begin][1], at - begin
                begin = at


def _write_all(descriptor: int, data: memoryview, at: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, at)
        data, at = data[written:], at + written
