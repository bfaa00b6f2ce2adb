"""Group commit: what is asked for while one commit runs shares the next one, and so one sync of the disk.

There is no thread of its own. Whoever finds nobody leading leads: runs every operation that waits in one transaction,
commits it, wakes those who asked, and hands the lead to the first of those who came meanwhile.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

from dvid.errors import StoreFull, StoreUnusable

T = TypeVar("T")
W = TypeVar("W")
W_co = TypeVar("W_co", covariant=True)

MAX_OPERATIONS: Final = 256
"""Most operations that share one commit."""
MAX_BYTES: Final = 64 << 20
"""A group that has written this many bytes takes no further operation."""


class Batch(Protocol[W_co]):
    """One write transaction of the engine, in which several operations can run."""

    written: int
    """Bytes put so far."""

    def run(self, operation: Callable[[W_co], Any]) -> Any:
        """Run an operation; if it raises, nothing of it remains, and what ran before is untouched."""
        ...

    def commit(self) -> None:
        """Make all of it durable; raises StoreFull if there is no room, and then nothing was written."""
        ...

    def abort(self) -> None:
        """Drop all of it; of no effect after `commit` or another `abort`."""
        ...

    def is_open(self) -> bool:
        """Whether it was neither committed nor aborted yet, also if either was interrupted."""
        ...


class _Request:
    """An operation somebody waits for."""

    __slots__ = ("alone", "done", "error", "operation", "result", "thread", "wake")

    def __init__(self, operation: Callable[[Any], Any], thread: int, alone: bool) -> None:
        self.operation = operation
        self.thread = thread
        self.alone = alone
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = False
        self.wake: threading.Lock | None = None


class GroupCommit(Generic[W]):
    """Runs the operations of many threads in few transactions."""

    def __init__(self, begin: Callable[[], Batch[W]]) -> None:
        """Take a function that begins a write transaction, waiting for the writers of other processes."""
        self._begin = begin
        self._mutex = threading.Lock()
        self._queue: deque[_Request] = deque()
        self._leader: _Request | None = None
        """The request whose thread leads, or has been woken to lead: it is the first of the queue then."""

    def submit(self, operation: Callable[[W], T], *, alone: bool = False) -> T:
        """Run `operation` in a transaction and commit it; its result, or what it raised.

        `alone`: it shares no transaction, so that what ran before it is committed, and it runs in this thread.
        """
        leader = self._leader
        me = threading.get_ident()
        if leader is not None and leader.thread == me:
            raise RuntimeError("transact was called inside a transaction: use the transaction that is open")
        request = _Request(operation, me, alone)
        try:
            with self._mutex:
                self._queue.append(request)
                if self._leader is None:
                    self._leader = request
                else:
                    request.wake = threading.Lock()
                    request.wake.acquire()
            if request.wake is not None:
                request.wake.acquire()
            if not request.done:
                self._lead(request)
        except BaseException:
            # Interrupted (Ctrl-C) while waiting or leading: nobody may be left waiting for this thread.
            self._withdraw(request)
            raise
        if request.error is not None:
            try:
                raise request.error
            finally:
                # The traceback holds this frame: without this the two would keep each other alive.
                request.error = None
        result: T = request.result
        return result

    def _withdraw(self, request: _Request) -> None:
        with self._mutex:
            if request in self._queue:
                self._queue.remove(request)
        self._hand_over(request)

    def _hand_over(self, request: _Request) -> None:
        """End the lead of `request`, if it leads: wake the next to lead."""
        with self._mutex:
            if self._leader is not request:
                return
            if self._queue:
                self._leader = heir = self._queue[0]
                if heir.wake is not None:
                    heir.wake.release()
            else:
                self._leader = None

    def _lead(self, own: _Request) -> None:
        group: list[_Request] = []
        batch: Batch[W] | None = None
        try:
            batch = self._begin()
            try:
                self._run(batch, group)
                full = self._commit(batch, group)
                for request, _ in full if len(group) > 1 else ():
                    self._run_alone(request)
                for request in group:
                    request.done = True
            except BaseException as error:
                self._fail(group, own, error, batch)
                raise
            finally:
                batch.abort()
        finally:
            self._hand_over(own)
            for request in group:
                if request.done and request is not own and request.wake is not None:
                    request.wake.release()

    def _run(self, batch: Batch[W], group: list[_Request]) -> None:
        """Run what waits, also what comes while it runs, until the group is large enough."""
        queue = self._queue
        while len(group) < MAX_OPERATIONS and batch.written < MAX_BYTES:
            with self._mutex:
                if not queue or (group and (queue[0].alone or group[-1].alone)):
                    return
                request = queue.popleft()
            group.append(request)
            try:
                request.result = batch.run(request.operation)
            except KeyboardInterrupt as error:
                # Ctrl-C is meant for the main thread, which may be running the operation of another.
                if threading.current_thread() is threading.main_thread():
                    raise
                request.error = error
            except BaseException as error:  # noqa: BLE001 - it belongs to the thread that asked
                request.error = error

    @staticmethod
    def _commit(batch: Batch[W], group: list[_Request]) -> list[tuple[_Request, StoreFull]]:
        """Commit; which requests found no room, and may find it alone."""
        full = [(request, request.error) for request in group if isinstance(request.error, StoreFull)]
        try:
            batch.commit()
        except StoreFull as error:
            for request in group:
                if request.error is None:
                    request.error = error
                    full.append((request, error))
        return full

    def _run_alone(self, request: _Request) -> None:
        request.error = _interrupted()
        try:
            batch = self._begin()
            try:
                request.result = batch.run(request.operation)
                batch.commit()
                request.error = None
            finally:
                batch.abort()
        except Exception as error:  # noqa: BLE001 - it belongs to the thread that asked
            request.error = error

    def _fail(self, group: list[_Request], own: _Request, error: BaseException, batch: Batch[W]) -> None:
        """The transaction could not be committed, or this thread was interrupted: let the others know."""
        others = [request for request in group if request is not own and not request.done]
        if not isinstance(error, Exception) and batch.is_open():
            # Nothing of it was written: another thread leads it.
            batch.abort()
            with self._mutex:
                for request in reversed(others):
                    request.result = request.error = None
                    self._queue.appendleft(request)
            return
        # After an interrupt the batch is closed because it was committed, unless that failed at the same moment.
        committed = not isinstance(error, Exception) and not isinstance(error.__context__, Exception)
        for request in others:
            if request.error is None and not committed:
                request.error = _copy(error) if isinstance(error, Exception) else _interrupted()
            request.done = True


def _interrupted() -> StoreUnusable:
    return StoreUnusable("the commit was interrupted: whether it was written is not known")


def _copy(error: Exception) -> Exception:
    """An error to raise in another thread: one object raised in several would mix up their tracebacks."""
    try:
        copy = type(error)(*error.args)
    except TypeError:
        copy = StoreUnusable(str(error))
    copy.__cause__ = error
    return copy
