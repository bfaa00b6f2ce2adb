"""Working through a large volume box by box, with several threads, so that it can be stopped at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from dvid.geometry import Box, Zyx

BOX_BYTES = 16 << 20
"""Voxels of about this many bytes are moved at a time: a request that any server takes, a transaction that is short."""


def choose_step(unit_zyx: Zyx, chunk_zyx: Zyx, whole_zyx: Zyx, voxel_bytes: int) -> Zyx:
    """The size of the boxes to work in: whole units, whole chunks of the other side where that is not too much.

    Args:
        unit_zyx: what a box must consist of, such as the blocks of the volume written to.
        chunk_zyx: what the other side reads or writes at once.
        whole_zyx: size of the volume.
        voxel_bytes: bytes of a voxel.
    """
    step = list(unit_zyx)

    def fits(axis: int, edge: int) -> bool:
        volume = voxel_bytes * edge
        for other in {0, 1, 2} - {axis}:
            volume *= step[other]
        return volume <= BOX_BYTES

    for axis in (2, 1, 0):
        covering = -(-min(chunk_zyx[axis], whole_zyx[axis]) // unit_zyx[axis]) * unit_zyx[axis]
        if fits(axis, covering):
            step[axis] = max(covering, step[axis])
    for axis in (2, 1, 0):  # long rows first: they are what lies side by side
        while step[axis] < whole_zyx[axis] and fits(axis, 2 * step[axis]):
            step[axis] *= 2
    return step[0], step[1], step[2]


def boxes_of(region: Box, unit_zyx: Zyx, step_zyx: Zyx) -> Iterator[Box]:
    """The boxes of a grid that make up a region; no two of them touch the same unit.

    Args:
        region: what they make up together; the outer ones are cut to it.
        unit_zyx: the units lie on a grid through the origin.
        step_zyx: size of a box, in whole units.
    """
    first = region.blocks(unit_zyx).box(unit_zyx).start_zyx
    for z in range(first[0], region.stop_zyx[0], step_zyx[0]):
        for y in range(first[1], region.stop_zyx[1], step_zyx[1]):
            for x in range(first[2], region.stop_zyx[2], step_zyx[2]):
                yield Box.at((z, y, x), step_zyx) & region


def work_through(
    boxes: Iterable[Box], work: Callable[[Box], None], done: Callable[[list[Box]], None], workers: int
) -> None:
    """Work on boxes, several at a time.

    Whatever ends it, Ctrl-C too, the boxes under way are finished first, and `done` hears of them.

    Args:
        boxes: what to work on.
        work: does one; runs in several threads.
        done: hears of those that are finished, in the thread of the caller.
        workers: number of threads.
    """
    running: dict[Future[None], Box] = {}

    def collect(at_most: int) -> None:
        while len(running) > at_most:
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            failed = next((future for future in finished if future.exception() is not None), None)
            done([running.pop(future) for future in finished if future.exception() is None])
            if failed is not None:
                failed.result()

    with ThreadPoolExecutor(workers, "boxes") as pool:
        try:
            for box in boxes:
                running[pool.submit(work, box)] = box
                collect(workers)  # one more than threads waits, so that none is ever idle
            collect(0)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            finished = [f for f in running if f.done() and not f.cancelled() and f.exception() is None]
            done([running[future] for future in finished])
            raise
