"""The client for programs with an event loop: the same calls, awaited, each done in a thread of its own pool.

    async with dvidclient.aio.connect("localhost:8000") as server:
        node = await server.node("3f1c")
        em, bodies = await asyncio.gather(node.instance("em"), node.instance("bodies"))
        voxels, labels = await asyncio.gather(em.read(np.s_[0:64]), bodies.read(np.s_[0:64]))
        await bodies.merge(23, [42, 108])

A call whose task is cancelled, or that a timeout ends, is not waited for any longer; its thread goes on to the end of what it asked the
server for, so that a write may take effect all the same. Calls wait for a thread where all are busy.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Generic, ParamSpec, TypeVar

from dvidclient import server as blocking
from dvidclient.data.instance import Instance
from dvidclient.node import Node
from dvidclient.progress import Progress

Wrapped = TypeVar("Wrapped")
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

THREADS = 8


@asynccontextmanager
async def connect(
    url: str, token: str | None = None, *, threads: int = THREADS, **options: Any
) -> AsyncIterator[AsyncServer]:
    """Opens a server, and closes its connections in the end.

    Args:
        url: ``localhost:8000`` or a URL.
        token: as for ``dvidclient.connect``.
        threads: how many calls are done at a time. A large box is read by ``workers`` more.
        options: what else ``dvidclient.connect`` takes.
    """
    with ThreadPoolExecutor(threads, "dvidclient-aio") as pool:
        calls = Calls(pool)
        server: blocking.Server | None = None
        try:
            server = await calls.run(blocking.connect, url, token, **options)
            yield AsyncServer(server, calls)
        finally:
            # Not in this thread: it waits for calls that nobody waits for any longer.
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)
            if server is not None:
                server.close()


class Calls:
    """Does blocking calls in the threads of a pool."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    async def run(self, call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """What a call returns, done in a thread with the context variables of the task."""
        bound = functools.partial(contextvars.copy_context().run, call, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._pool, bound)


class Awaited(Generic[Wrapped]):
    """An object of the client, whose calls are awaited.

    Attributes:
        blocking: the object. What it tells without asking the server can be read from it.
    """

    def __init__(self, wrapped: Wrapped, calls: Calls) -> None:
        self.blocking = wrapped
        self._calls = calls

    async def run(self, call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """Does any call of the client in a thread: ``await volume.run(volume.blocking.to_xarray)``."""
        return await self._calls.run(call, *args, **kwargs)

    async def get(self, name: str) -> Any:
        """A property that may ask the server: ``await volume.get("shape")``."""
        return await self._calls.run(getattr, self.blocking, name)

    def __repr__(self) -> str:
        return f"<awaited {type(self.blocking).__name__}>"


class AsyncServer(Awaited[blocking.Server]):
    """A server."""

    async def node(self, selector: str) -> AsyncNode:
        """A version: its UUID or the beginning of it, or ``UUID:branch`` for the last one of a branch."""
        return AsyncNode(await self.run(self.blocking.node, selector), self._calls)


class AsyncNode(Awaited[Node]):
    """A version."""

    async def instance(self, name: str) -> AsyncInstance:
        """A data instance at this version."""
        return AsyncInstance(await self.run(self.blocking.__getitem__, name), self._calls)


class AsyncInstance(Awaited[Instance]):
    """A data instance at a version: all its methods, awaited (``await bodies.merge(23, [42])``)."""

    async def read(
        self, key: Any = ..., *, out: Any = None, workers: int | None = None, progress: Progress = None
    ) -> Any:
        """``Volume.read``: what brackets would pick."""
        volume: Any = self.blocking
        return await self._calls.run(volume.read, key, out=out, workers=workers, progress=progress)

    async def write(
        self, key: Any, voxels: Any, *, mutate: bool = True, workers: int | None = None, progress: Progress = None
    ) -> None:
        """``Volume.write``: what brackets would pick."""
        volume: Any = self.blocking
        await self._calls.run(volume.write, key, voxels, mutate=mutate, workers=workers, progress=progress)

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        # Of the class, as a property of the object would ask the server here and now.
        if name.startswith("_") or name == "blocking":  # also of copies, before they have what they wrap
            raise AttributeError(name)
        if not callable(getattr(type(self.blocking), name, None)):
            raise AttributeError(
                f"{self.blocking.typename} has no method {name!r}; for properties: await get({name!r})"
            )
        return functools.partial(self._calls.run, getattr(self.blocking, name))
