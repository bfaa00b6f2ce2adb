"""An LMDB environment as this service opens it: one directory, shared by the threads and the processes of a machine.

LMDB must not open the same files twice in one process, nor be used across a fork: `acquire` hands out one shared
environment per directory and process, and a forked child gets an error in place of its parent's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import lmdb

from dvid.errors import BadRequest, Busy, CorruptValue, DvidError, StoreFull, StoreUnusable
from dvid.storage.group_commit import Batch, GroupCommit
from dvid.storage.protocol import MAX_KEY

FORMAT_FILE: Final = "FORMAT"
"""Name of the file that marks a directory as a store."""
FORMAT: Final = "dvid store, engine lmdb, format 1\n"
"""What that file says. The number grows when an older program could not read the store any more."""
DATA_FILE: Final = "data.mdb"
MAX_READERS: Final = 1024
"""Snapshots that may be open at one time, in all processes together."""
SYNC_SECONDS: Final = 1.0
"""How often a relaxed store is written to disk."""
READER_CHECK_TICKS: Final = 30
"""How often, in these ticks, the reader slots of dead processes are cleared."""
TEBIBYTE: Final = 1 << 40
MIBIBYTE: Final = 1 << 20


class Settings(NamedTuple):
    """How a store is opened; all users of one directory in one process have the same."""

    relaxed: bool
    """Commits are not synced one by one."""
    read_only: bool
    """Nothing can be written through this environment."""
    max_size: int | None
    """Most bytes the stored data may take; None: what the disk holds."""
    map_size: int | None
    """Bytes of address space to reserve; None: enough for the whole disk."""


class Environment:
    """One open LMDB environment and what its users in this process share."""

    def __init__(self, path: str, settings: Settings, begin_batch: Callable[[Environment], Batch[Any]]) -> None:
        """Open the store in the directory `path`, which is made a store if it is empty and not read only."""
        self.path = path
        self.settings = settings
        self.users = 0
        self.live: set[int] = set()
        """The snapshots open now: the files stay mapped until they have ended."""
        self.closed = False
        self.dirty = False
        """Something was committed since the last sync (of a relaxed store)."""
        mark(path, create=not settings.read_only)
        self.env = _open(path, settings)
        self.begin: Callable[..., Any] = self.env.begin
        self._begin_batch = begin_batch
        self.renew_writer()
        self.clear_stale_readers()
        self._settle()
        self._stop = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="dvid-store-keeper", daemon=True)
        self._keeper.start()

    def renew_writer(self) -> None:
        """Begin with an empty queue of writes."""
        self.writer: GroupCommit[Any] = GroupCommit(lambda: self._begin_batch(self))

    def clear_stale_readers(self) -> None:
        """Free the reader slots of processes that died: they keep old pages from being used again."""
        self.env.reader_check()

    def _settle(self) -> None:
        """Let readers see a commit whose process was killed when it had written it and not told the others yet.

        LMDB does this when the next writer begins; until then the commit, which nobody was answered, is pending.
        """
        if self.settings.read_only:
            return
        try:
            self.env.begin(write=True).abort()
        except lmdb.Error as error:
            raise explain(error, self) from error

    def sync(self) -> None:
        """Force what was committed to disk."""
        if self.settings.read_only:
            return
        self.dirty = False
        try:
            self.env.sync(True)
        except lmdb.Error as error:
            self.dirty = True
            raise explain(error, self) from error

    def close(self) -> None:
        """Finish the writes, begin nothing more, and let go of the files once the last snapshot has ended."""
        if not self.settings.read_only:
            self.writer.submit(lambda _: None)  # what was asked for before comes before it
        self.begin = _closed
        self._stop.set()
        self._keeper.join()
        try:
            if self.dirty:
                self.sync()
        finally:
            self.closed = True
            self.finish()

    def finish(self) -> None:
        """Unmap the files if nobody can be reading any more."""
        with _registry_lock:
            if self.closed and not self.live:
                self.env.close()
                if _environments.get(self.path) is self:
                    del _environments[self.path]

    def _keep(self) -> None:
        """What is done now and then: syncing a relaxed store, clearing up after processes that died."""
        ticks = 0
        while not self._stop.wait(SYNC_SECONDS):
            ticks += 1
            # A failure leaves the store dirty: the next tick, or whoever asks for a sync, tries again.
            with contextlib.suppress(DvidError, lmdb.Error):
                if self.dirty:
                    self.sync()
                if ticks % READER_CHECK_TICKS == 0:
                    self.clear_stale_readers()


# --- one environment per directory and process ----------------------------------------------------------------------

_environments: dict[str, Environment] = {}
_inherited: dict[str, Any] = {}
"""Of the process that forked this one."""
_registry_lock = threading.RLock()


def acquire(path: str, settings: Settings, begin_batch: Callable[[Environment], Batch[Any]]) -> Environment:
    """The environment of the directory `path` in this process; `release` gives it back.

    Raises:
        StoreUnusable: it cannot be opened, or is open in this process with other settings.
    """
    real = os.path.realpath(path)
    with _registry_lock:
        environment = _environments.get(real)
        if real in _inherited:
            _forked()
        if environment is None:
            environment = Environment(real, settings, begin_batch)
            _environments[real] = environment
        elif environment.closed:
            raise StoreUnusable(f"the store {real} is being closed: {len(environment.live)} snapshots are still open")
        elif environment.settings != settings:
            raise StoreUnusable(
                f"the store {real} is open in this process with {environment.settings}: "
                f"it cannot be opened with {settings} as well"
            )
        environment.users += 1
        return environment


def release(environment: Environment) -> None:
    """Give an environment back; the last user in the process closes it."""
    with _registry_lock:
        environment.users -= 1
        if environment.users == 0:
            environment.close()


def _forget_after_fork() -> None:
    """In a forked child: LMDB's locks and mappings belong to the parent, so nothing of them may be used here."""
    global _registry_lock
    _registry_lock = threading.RLock()
    for environment in _environments.values():
        # Never closed, not even by the garbage collector: that would undo locks of the parent.
        _inherited[environment.path] = environment.env
        environment.env = _Inherited()
        environment.begin = _forked
        environment.renew_writer()
    _environments.clear()


os.register_at_fork(after_in_child=_forget_after_fork)


def _forked(*_: object) -> NoReturn:
    raise StoreUnusable(
        "the store was open in the process that forked this one, and cannot be used or opened here: "
        "start processes by spawn, or before the store is opened"
    )


def _closed(*_: object) -> NoReturn:
    raise StoreUnusable("the store is closed")


class _Inherited:
    """Stands for an environment of the parent process."""

    def __getattr__(self, name: str) -> NoReturn:
        _forked()


# --- opening --------------------------------------------------------------------------------------------------------


def mark(path: str, *, create: bool) -> None:
    """Check that `path` is a store of this format; an empty or missing directory is marked as one if `create`."""
    marker = Path(path, FORMAT_FILE)
    try:
        found = marker.read_bytes()
    except FileNotFoundError:
        found = b""
    except OSError as error:
        raise StoreUnusable(f"cannot open the store {path}: {error.strerror}") from error
    if found:
        if found != FORMAT.encode():
            said = found[:80].decode("ascii", "replace").strip()
            raise StoreUnusable(f"{path} holds {said!r}; this program reads {FORMAT.strip()!r}")
        return
    try:
        if create:
            os.makedirs(path, exist_ok=True)
        others = [name for name in os.listdir(path) if not name.startswith("." + FORMAT_FILE)]
        # Another process may have made the store since the first look.
        if FORMAT_FILE in others:
            mark(path, create=create)
            return
        if set(others) - {"lost+found"}:
            raise StoreUnusable(f"{path} is not a dvid store: it has no file {FORMAT_FILE} and is not empty")
        if not create:
            raise StoreUnusable(f"{path} is an empty directory, not a dvid store, and is to be opened read-only")
        write_marker(path)
    except OSError as error:
        raise StoreUnusable(f"cannot make a store in {path}: {error.strerror}") from error


def write_marker(path: str) -> None:
    """Mark the directory as a store, atomically and durably."""
    handle, temporary = tempfile.mkstemp(prefix="." + FORMAT_FILE, dir=path)
    with open(handle, "wb") as file:
        file.write(FORMAT.encode())
        os.fchmod(handle, 0o644)
        file.flush()
        os.fsync(handle)
    os.replace(temporary, os.path.join(path, FORMAT_FILE))
    sync_directory(path)


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _address_space(path: str) -> int:
    """Bytes to reserve: a file cannot outgrow its disk, so the map never needs to grow. Address space costs nothing."""
    disk = os.statvfs(path)
    wanted = TEBIBYTE
    while wanted < 2 * disk.f_frsize * disk.f_blocks and wanted < 16 * TEBIBYTE:
        wanted *= 2
    return wanted


def _open(path: str, settings: Settings) -> Any:
    map_size = settings.map_size or _address_space(path)
    while True:
        try:
            return lmdb.open(
                path,
                map_size=map_size,
                subdir=True,
                readonly=settings.read_only,
                sync=not settings.relaxed,
                create=False,
                mode=0o644,
                meminit=False,
                max_readers=MAX_READERS,
                max_spare_txns=64,
            )
        except lmdb.MemoryError as error:
            # The address space is limited (ulimit -v): reserve less.
            map_size //= 2
            if map_size < MIBIBYTE:
                raise StoreUnusable(f"cannot open the store {path}: no address space left (see ulimit -v)") from error
        except lmdb.Error as error:
            raise StoreUnusable(f"cannot open the store {path}: {error}") from error
        except OSError as error:
            raise StoreUnusable(f"cannot open the store {path}: {error.strerror}") from error


# --- errors ---------------------------------------------------------------------------------------------------------


def explain(
    error: lmdb.Error, environment: Environment, key: bytes | None = None, directory: str | None = None
) -> DvidError:
    """The error of this service that an error of LMDB means.

    Args:
        error: what LMDB raised.
        environment: where.
        key: the key that was being used, if any.
        directory: the directory that was being written, if not that of the store.
    """
    path = directory or environment.path
    if key is not None and not 0 < len(key) <= MAX_KEY:
        return BadRequest(f"a key of {len(key)} bytes: keys are 1 to {MAX_KEY} bytes long")
    match error:
        case lmdb.MapFullError():
            size = environment.env.info()["map_size"]
            return StoreFull(
                f"the store {path} fills the {size} bytes of address space this process could reserve for it "
                "(see ulimit -v): nothing was written"
            )
        case lmdb.MapResizedError():
            return StoreUnusable(
                f"another process has made the store {path} larger than the address space that this one reserved: "
                "open it again"
            )
        case lmdb.TxnFullError():
            return StoreFull("the transaction changes too much at once: nothing was written; write less in one request")
        case lmdb.ReadersFullError():
            return Busy(f"{MAX_READERS} snapshots of the store {path} are open, the most there may be")
        case lmdb.CorruptedError() | lmdb.PageNotFoundError():
            where = "" if key is None else f" at the key {key.hex()}"
            return CorruptValue(f"the store {path} is damaged{where}: {error}. Restore it from a backup")
        case lmdb.MemoryError():
            return StoreFull(f"out of memory while writing to the store {path}: nothing was written")
        case _:
            code = getattr(error, "code", 0)
            # LMDB reports a short write, which is what a disk that fills up answers, as EIO.
            if code in (errno.ENOSPC, errno.EDQUOT) or (code == errno.EIO and _disk_is_full(path)):
                return StoreFull(f"the disk of {path} is full: nothing was written, reads go on")
            return StoreUnusable(f"the store {path} failed: {error}")


def _disk_is_full(path: str) -> bool:
    try:
        disk = os.statvfs(path)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < 64 * MIBIBYTE
