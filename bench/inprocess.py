"""Reads of boxes in one process: this project's store against TensorStore's zarr3 with lz4, in the same run.

Rounds of both alternate, so that whatever else the machine does hits both; the ratio is the median over the pairs of
rounds. Every answer is compared with the data; all fits in memory. TensorStore's chunks are 64^3, its cache is off, as
it is by default. See bench/README.md.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore

import dvid
from dvid.interop.sample import generate_em

Read = Callable[[tuple[slice, ...]], Any]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--size", type=int, default=512, help="edge of the volume in voxels")
    options.add_argument(
        "--blocks", type=int, nargs="+", default=[32, 64], help="edges of our blocks; 32 is the default"
    )
    options.add_argument("--rounds", type=int, default=9, help="pairs of rounds for each size of box")
    options.add_argument("--seconds", type=float, default=0.5, help="length of a round")
    given = options.parse_args()
    volume = generate_em((given.size,) * 3)
    with tempfile.TemporaryDirectory(prefix="dvid-bench-") as folder:
        theirs = tensorstore_reader(Path(folder) / "zarr", volume)
        print(f"{given.size}^3 uint8, medians of {given.rounds} pairs of rounds of {given.seconds} s\n")
        print("| box | our blocks | dvid reads/s | tensorstore reads/s | ratio (worst to best) |")
        print("| --- | --- | --- | --- | --- |")
        for block in given.blocks:
            ours, closing = our_reader(Path(folder) / f"dvid-{block}", volume, block)
            for edge, step in ((64, 64), (100, 1), (256, 64)):
                figures = row(ours, theirs, volume, edge, step, given.rounds, given.seconds)
                print(f"| {edge}^3{'' if step > 1 else ' unaligned'} | {block}^3 | {figures} |", flush=True)
            closing()


def our_reader(path: Path, volume: np.ndarray[Any, Any], block: int) -> tuple[Read, Callable[[], None]]:
    library = dvid.open(str(path))
    node = library.create_repo("bench")["master"]
    stored = node.create("uint8blk", "gray", BlockSize=f"{block},{block},{block}")
    for z in range(0, len(volume), block):
        stored[z : z + block, 0 : volume.shape[1], 0 : volume.shape[2]] = volume[z : z + block]
    return stored.__getitem__, library.close


def tensorstore_reader(path: Path, volume: np.ndarray[Any, Any]) -> Read:
    lz4 = {"name": "blosc", "configuration": {"cname": "lz4", "clevel": 1, "shuffle": "noshuffle"}}
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": str(path)},
        "metadata": {
            "shape": volume.shape,
            "data_type": "uint8",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [64, 64, 64]}},
            "codecs": [{"name": "bytes"}, lz4],
        },
    }
    stored = tensorstore.open(spec, create=True).result()
    stored.write(volume).result()
    return lambda box: stored[box].read().result()


def row(
    ours: Read, theirs: Read, volume: np.ndarray[Any, Any], edge: int, step: int, rounds: int, seconds: float
) -> str:
    places = boxes(volume.shape[0], edge, step)
    pairs = []
    for number in range(rounds + 1):
        order = (ours, theirs) if number % 2 == 0 else (theirs, ours)
        rates = {read: rate(read, places, volume, seconds) for read in order}
        if number:  # the first is for warming up
            pairs.append((rates[ours], rates[theirs]))
    ratios = sorted(a / b for a, b in pairs)
    a, b = (statistics.median(rates) for rates in zip(*pairs, strict=True))
    median = statistics.median(ratios)
    return f"{a:.0f} | {b:.0f} | {median:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def boxes(size: int, edge: int, step: int) -> Iterator[tuple[slice, ...]]:
    """Places of boxes, the same for every run."""
    random = np.random.default_rng(1)
    corners = random.integers(0, (size - edge) // step + 1, (997, 3)) * step
    return itertools.cycle([tuple(slice(int(a), int(a) + edge) for a in corner) for corner in corners])


def rate(read: Read, places: Iterator[tuple[slice, ...]], volume: np.ndarray[Any, Any], seconds: float) -> float:
    """Reads a second; the time for comparing the answers does not count."""
    count, spent = 0, 0.0
    while spent < seconds:
        box = next(places)
        begin = time.perf_counter()
        answer = read(box)
        spent += time.perf_counter() - begin
        count += 1
        if not np.array_equal(answer, volume[box]):
            raise SystemExit(f"wrong voxels in the box {box}")
    return count / spent


if __name__ == "__main__":
    main()
