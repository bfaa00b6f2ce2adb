import asyncio
import copy
import threading
import time

import numpy as np
import pytest
from tests.waiting import eventually

import dvidclient
from dvidclient import aio
from dvidclient.errors import BadArgument, NoAnswer
from dvidclient.volume_metainfo import MetaInfo


@pytest.fixture
def em(server_url, node, name):
    return (
        dvidclient.connect(server_url)
        .node(node)
        .create_volume(name, MetaInfo((64, 64, 64), "u1", "zyx", voxel_size=(8, 8, 8), units=("nm", "nm", "nm")))
    )


def test_volumes_are_read_and_written_by_many_tasks_at_once(server_url, node, em):
    async def work():
        async with aio.connect(server_url, threads=4) as server:
            volume = await (await server.node(node)).instance(em.name)
            await asyncio.gather(*(volume.write(np.s_[z : z + 8], z) for z in range(0, 64, 8)))
            planes = await asyncio.gather(*(volume.read(np.s_[z, :4]) for z in range(64)))
            assert await volume.get("shape") == (64, 64, 64)
            return planes

    for z, plane in enumerate(asyncio.run(work())):
        assert plane.shape == (4, 64)
        assert (plane == z // 8 * 8).all()


def test_all_methods_of_an_instance_are_awaited_and_properties_are_asked_for(server_url, node, em):
    async def work():
        async with aio.connect(server_url) as server:
            volume = await (await server.node(node)).instance(em.name)
            assert (await volume.refresh()) is volume.blocking
            assert (await volume.to_world([1, 2, 3], unit=None)).tolist() == [8, 16, 24]
            assert await volume.get("voxel_size") == (8.0, 8.0, 8.0)
            assert (await volume.run(np.asarray, volume.blocking)).shape == (64, 64, 64)
            with pytest.raises(AttributeError, match=r"has no method 'shape'; for properties: await get\('shape'\)"):
                await volume.shape()
            with pytest.raises(AttributeError, match="has no method 'nonsense'"):
                await volume.nonsense()

    asyncio.run(work())


def test_an_awaited_instance_can_be_copied(em):
    awaited = aio.AsyncInstance(em, None)
    assert copy.copy(awaited).blocking is em


def test_errors_come_to_who_awaits(server_url, node, em):
    async def work():
        async with aio.connect(server_url) as server:
            opened = await server.node(node)
            with pytest.raises(BadArgument, match="has no data instance"):
                await opened.instance("nothing")
            with pytest.raises(BadArgument, match="z: expected a step of at least 1"):
                await (await opened.instance(em.name)).read(np.s_[::-1])
        with pytest.raises(NoAnswer):
            async with aio.connect("127.0.0.1:9", retries=0):
                pass

    asyncio.run(work())


async def until(check):
    """Waits, as the loop goes on, until something is true."""
    end = time.monotonic() + 60
    while not check():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def test_the_loop_goes_on_while_a_server_is_slow(proxy, node, em):
    held = threading.Event()
    proxy.faults = lambda method, path: held.wait(60) and None if "/raw/" in path else None

    async def work():
        async with aio.connect(proxy.url) as server:
            volume = await (await server.node(node)).instance(em.name)
            reading = asyncio.create_task(volume.read())
            await until(lambda: proxy.asked("/raw/"))
            assert not reading.done()
            held.set()
            assert (await reading).shape == (64, 64, 64)

    asyncio.run(work())


def test_who_is_cancelled_waits_no_longer_and_the_write_takes_effect(proxy, node, em):
    held = threading.Event()
    proxy.faults = lambda method, path: held.wait(60) and None if method == "POST" else None

    async def work():
        async with aio.connect(proxy.url) as server:
            volume = await (await server.node(node)).instance(em.name)
            writing = asyncio.create_task(volume.write(np.s_[0:64, 0:64, 0:64], 7))
            await until(lambda: any(method == "POST" for method, _, _ in proxy.seen))
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            assert not held.is_set()
            held.set()

    asyncio.run(work())
    eventually(lambda: (em[...] == 7).all())
