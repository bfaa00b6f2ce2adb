"""An open HDF5 file of volumes: one reader or writer at a time, and each change whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py

from mockserver.h5errors import FileUnusable, NotThere, Refused
from mockserver.h5journal import JournaledFile, is_pending, journal_path, recover
from mockserver.h5tree import Node, Tree
from mockserver.h5turns import Turns
from mockserver.h5volume import Volume

SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Of each volume that is open.
CHUNK_CACHE_BYTES = 32 << 20
MOST_OPEN_VOLUMES = 4
_ERRORS_OF_HDF5 = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError)


class DataFile:
    """An HDF5 file. Safe to use from several threads.

    Args:
        path: where it is; its journal is beside it.
        descriptor: of the file, opened and locked by ``open_locked``. Stays open.
        read_only: whether all changes are refused.
        watch: called with what is about to be asked of the HDF5 library, and with an empty string when it has answered.

    Attributes:
        tree: its repositories and versions.
        turns: of the threads that use it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        descriptor: int,
        *,
        read_only: bool = False,
        watch: Callable[[str], None] = lambda doing: None,
    ) -> None:
        self.path = Path(path)
        self.read_only = read_only
        self._descriptor = descriptor
        self.turns = Turns()
        self._watch = watch
        self._volumes: dict[tuple[str, str], Volume] = {}
        self._raw: JournaledFile | None = None
        self._h5: h5py.File | None = None
        self._closed = False
        self._open()

    @contextlib.contextmanager
    def reading(self, doing: str, *, much: bool = False) -> Iterator[h5py.File]:
        """The file, for this thread alone.

        Args:
            doing: what for, in words.
            much: whether this is a piece of much: threads that read little come in between.

        Raises:
            Refused: with status 500, where the HDF5 library cannot read something.
        """
        with self.turns.turn(much=much):
            self._watch(doing)
            try:
                yield self._opened()
            except Refused:
                raise
            except _ERRORS_OF_HDF5 as error:
                raise Refused(f"{doing}: {_one_line(error)}", 500) from error
            finally:
                self._watch("")

    @contextlib.contextmanager
    def writing(self, doing: str, *, versions: bool = False) -> Iterator[h5py.File]:
        """The file, for this thread alone; at the end all changes are kept for good, after an exception none is.

        Args:
            doing: what for, in words.
            versions: whether repositories or versions are changed, and not only data.

        Raises:
            Refused: the file is only read; or with status 500, where something cannot be written.
        """
        if self.read_only:
            raise Refused(f"{doing}: the file is served read-only", 403)
        with self.turns.turn():
            self._watch(doing)
            self._volumes.clear()
            try:
                file = self._opened()
                yield file
                file.flush()
                assert self._raw is not None
                self._raw.commit()
                if versions:
                    self.tree = Tree(file)
            except BaseException as error:
                self._start_over()
                if isinstance(error, _ERRORS_OF_HDF5) and not isinstance(error, Refused):
                    raise Refused(f"{doing}: {_one_line(error)}", 500) from error
                raise
            finally:
                self._volumes.clear()
                self._watch("")

    def close(self) -> None:
        """Closes the file; what is committed is in it."""
        with self.turns.turn():
            self._closed = True
            self._close()

    def group(self, node: Node) -> h5py.Group:
        """The group of a version, with what it holds by itself."""
        return self._opened()[node.path]

    def holder(self, node: Node, name: str) -> Node:
        """The version whose data of a volume or of key-values a node shows: itself, or the nearest before it.

        Raises:
            NotThere: there is none of the name.
        """
        file = self._opened()
        # To the HDF5 library a name may be a path: '/datasets' is all there is, '.' the group of the node itself.
        is_name = "/" not in name and name not in ("", ".")
        for candidate in self.tree.lineage(node) if is_name else ():
            if name in file[candidate.path]:
                return candidate
        raise NotThere(f"there is no data named {name!r} at node {node.uuid!r}", 400)

    def volume(self, node: Node, name: str) -> Volume:
        """The volume that a node shows under a name; the same object until the next change.

        Raises:
            NotThere: there is none.
            Refused: it is no volume.
        """
        key = (node.uuid, name)
        if (known := self._volumes.get(key)) is not None:
            return known
        thing = self.group(self.holder(node, name))[name]
        if not isinstance(thing, h5py.Dataset):
            raise Refused(f"{name!r} is no volume: it holds key-values")
        if len(self._volumes) == MOST_OPEN_VOLUMES:
            self._volumes.clear()
        self._volumes[key] = Volume(thing)
        return self._volumes[key]

    def own(self, node: Node, name: str) -> Any:
        """The dataset or group of a name, of this node alone: the first change at a version copies what it had from its parent.

        Raises:
            NotThere: there is none of the name.
            Refused: the node takes no changes.
        """
        self.check_open(node)
        file = self._opened()
        holder = self.holder(node, name)
        if holder is not node:
            file.copy(file[holder.path][name], file[node.path], name)
        return file[node.path][name]

    def check_open(self, node: Node) -> None:
        """Whether the data of a node may be changed.

        Raises:
            Refused: the node takes no changes.
        """
        if not node.is_open:
            why = "is committed" if node.locked else "has children"
            raise Refused(f"node {node.uuid!r} {why}: write to a child of it (POST .../newversion)")

    def _opened(self) -> h5py.File:
        if self._closed:
            raise Refused("the file is closed, the server stops", 503)
        if self._h5 is None:
            self._open()
        assert self._h5 is not None
        return self._h5

    def _open(self) -> None:
        raw = JournaledFile(self._descriptor, None if self.read_only else journal_path(self.path))
        try:
            file = h5py.File(raw, "r" if self.read_only else "r+", rdcc_nbytes=CHUNK_CACHE_BYTES)
            tree = Tree(file)
        except BaseException:
            raw.close()
            raise
        self._raw, self._h5, self.tree = raw, file, tree

    def _close(self) -> None:
        self._volumes.clear()
        if self._h5 is not None:
            # What was not committed is written to the journal only, and dropped with it.
            if self._raw is not None:
                self._raw.abandon()
            with contextlib.suppress(Exception):
                self._h5.close()
        if self._raw is not None:
            self._raw.close()
        self._h5 = self._raw = None

    def _start_over(self) -> None:
        self._close()
        with contextlib.suppress(*_ERRORS_OF_HDF5):
            self._open()


def open_locked(path: str | os.PathLike[str], *, read_only: bool = False) -> int:
    """Opens a file for one program alone (or for readers alone), and puts it right if its last program was killed.

    Returns:
        A descriptor. The lock is the one that the HDF5 library itself uses: other programs that open the file are told.

    Raises:
        FileUnusable: there is no such file, or it is no HDF5 file, or in use.
    """
    name = os.fspath(path)
    try:
        descriptor = os.open(name, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        hint = ""
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM) and os.access(name, os.R_OK):
            hint = " for writing (it can be served with --read-only)"
        raise FileUnusable(f"{name} cannot be opened{hint}: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileUnusable(f"{name} is no regular file")
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if read_only else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            raise FileUnusable(f"{name} is in use by another program, which has it locked") from error
        journal = journal_path(name)
        if read_only and is_pending(journal):
            raise FileUnusable(
                f"{name} lacks its last change, which its killed server left in {journal}: open it once for writing"
            )
        try:
            if not read_only:
                recover(descriptor, journal)
        except OSError as error:
            raise FileUnusable(f"{journal}: {error.strerror}") from error
        if not _has_signature(descriptor):
            raise FileUnusable(f"{name} is not an HDF5 file")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _has_signature(descriptor: int) -> bool:
    at, size = 0, os.fstat(descriptor).st_size
    while at < size:
        if os.pread(descriptor, len(SIGNATURE), at) == SIGNATURE:
            return True
        at = at * 2 or 512
    return False


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
