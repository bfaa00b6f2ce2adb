"""A made-up piece of brain: an EM-like image and the segmentation that it was drawn from.

The same shape and seed give the same voxels, in slabs of any thickness. Only the anatomy (`neuropil`) and the slabs
being drawn are in memory.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dvid.errors import BadRequest, TooLarge
from dvid.interop.resolution import NANOMETERS
from dvid.interop.sinks import create_sink
from dvid.interop.volumes import ShapeZYX, SizeZYX, VolumeSink, refuse_existing

SLAB_DEPTH = 16
CHUNK_ZYX = (SLAB_DEPTH, 128, 128)
VOXEL_SIZE_ZYX = (8.0, 8.0, 8.0)
"""In nanometres: what the drawn membranes and organelles would measure."""

MAX_VOXELS = 1 << 36

PIECE_DEPTH = 64
PIECE = 10_000_000
"""A supervoxel is what 64 planes hold of a neurite: the first 64, of neurite 17, hold supervoxel 17, the next 10000017."""


@dataclass(frozen=True, slots=True)
class Slab:
    """Some planes of a sample.

    Attributes:
        start_z: The first plane.
        image: uint8 (z, y, x).
        labels: uint64 of the same shape: the neurite of each voxel, from 1.
    """

    start_z: int
    image: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint64]


def iter_slabs(
    shape_zyx: ShapeZYX, seed: int = 0, depth: int = SLAB_DEPTH, threads: int | None = None
) -> Iterator[Slab]:
    """Draws a sample slab by slab, from z = 0 on.

    Args:
        shape_zyx: Size in voxels.
        seed: Of the sample, from 0 to 2^63 - 1.
        depth: Planes per slab; multiples of 16 are fastest.
        threads: How many slabs are drawn, and kept in memory, at a time; None for one per core.

    Raises:
        BadRequest: If shape, seed or depth is out of range.
        TooLarge: If the sample would have more than 2^36 voxels.
    """
    shape = _check(shape_zyx, seed)
    if depth < 1:
        raise BadRequest(f"a slab has at least one plane: got {depth}")
    return _draw_slabs(shape, seed, depth, threads or os.cpu_count() or 1)


def generate_em(shape_zyx: ShapeZYX, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Draws the image of a sample, uint8 (z, y, x); raises as `iter_slabs` does."""
    image = np.empty(_check(shape_zyx, seed), np.uint8)
    for slab in iter_slabs(shape_zyx, seed):
        image[slab.start_z : slab.start_z + len(slab.image)] = slab.image
    return image


def generate_segmentation(shape_zyx: ShapeZYX, seed: int = 0) -> npt.NDArray[np.uint64]:
    """Draws the segmentation of a sample, uint64 (z, y, x), labels from 1; raises as `iter_slabs` does."""
    labels = np.empty(_check(shape_zyx, seed), np.uint64)
    for slab in iter_slabs(shape_zyx, seed):
        labels[slab.start_z : slab.start_z + len(slab.labels)] = slab.labels
    return labels


def write_sample(
    path: str,
    shape_zyx: ShapeZYX,
    seed: int = 0,
    *,
    segmentation_path: str | None = None,
    mapping_path: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Writes a sample to a file or folder; the format is told by its extension, as `create_sink` does.

    Args:
        path: Of the image, uint8.
        shape_zyx: Size in voxels.
        seed: Of the sample.
        segmentation_path: Of its segmentation, uint64, where one is wanted.
        mapping_path: Of a CSV file, where the segmentation is to be of supervoxels, pieces of neurites: its rows are a
            supervoxel and its neurite.
        progress: Called with the number of planes written so far.

    Raises:
        BadRequest: As `iter_slabs` and `create_sink` raise.
        Conflict: If there is something at a path already.
    """
    shape = _check(shape_zyx, seed)
    image = _create(path, shape, np.dtype(np.uint8))
    try:
        labels = _create(segmentation_path, shape, np.dtype(np.uint64)) if segmentation_path is not None else None
        try:
            pieces: dict[int, set[int]] | None = None if mapping_path is None else {}
            for slab in iter_slabs(shape, seed, SLAB_DEPTH):
                image.write((slab.start_z, 0, 0), slab.image)
                if labels is not None:
                    labels.write((slab.start_z, 0, 0), _supervoxels(slab) if pieces is not None else slab.labels)
                if pieces is not None:
                    pieces.setdefault(slab.start_z // PIECE_DEPTH, set()).update(np.unique(slab.labels).tolist())
                if progress is not None:
                    progress(slab.start_z + len(slab.image))
            if mapping_path is not None and pieces is not None:
                _write_mapping(mapping_path, pieces)
        finally:
            if labels is not None:
                labels.close()
    finally:
        image.close()


def _supervoxels(slab: Slab) -> npt.NDArray[np.uint64]:
    """The supervoxels of a slab, whose planes all belong to one piece."""
    beyond = np.uint64(slab.start_z // PIECE_DEPTH * PIECE)
    return np.where(slab.labels == 0, slab.labels, slab.labels + beyond)


def _write_mapping(path: str, pieces: dict[int, set[int]]) -> None:
    try:
        with open(path, "x") as file:
            file.write("supervoxel,body\n")
            for piece, neurites in sorted(pieces.items()):
                file.writelines(f"{neurite + piece * PIECE},{neurite}\n" for neurite in sorted(neurites - {0}))
    except FileExistsError:
        raise refuse_existing(path) from None


def _create(path: str, shape: ShapeZYX, dtype: np.dtype[np.uint8] | np.dtype[np.uint64]) -> VolumeSink:
    size: SizeZYX = VOXEL_SIZE_ZYX
    return create_sink(path, shape_zyx=shape, dtype=dtype, chunk_zyx=CHUNK_ZYX, voxel_size_zyx=size, units=NANOMETERS)


def _check(shape_zyx: ShapeZYX, seed: int) -> ShapeZYX:
    z, y, x = (int(size) for size in shape_zyx)
    if min(z, y, x) < 1:
        raise BadRequest(f"a sample has at least one voxel along each axis: got {(z, y, x)} (z, y, x)")
    if z * y * x > MAX_VOXELS:
        raise TooLarge(f"a sample has at most {MAX_VOXELS} voxels: {(z, y, x)} (z, y, x) makes {z * y * x}")
    if not 0 <= seed < 1 << 63:
        raise BadRequest(f"a seed is from 0 to 2^63 - 1: got {seed}")
    return z, y, x


def _draw_slabs(shape: ShapeZYX, seed: int, depth: int, threads: int) -> Iterator[Slab]:
    # numba takes half a second to import: only who draws pays for it.
    from dvid.interop.micrograph import Micrograph
    from dvid.interop.neuropil import grow_anatomy

    micrograph = Micrograph(grow_anatomy(shape, seed), shape, seed)

    def draw(start_z: int) -> Slab:
        return Slab(start_z, *micrograph.draw(start_z, min(depth, shape[0] - start_z)))

    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Slab]] = deque()
        for start_z in range(0, shape[0], depth):
            if len(waiting) == threads:
                yield waiting.popleft().result()
            waiting.append(pool.submit(draw, start_z))
        while waiting:
            yield waiting.popleft().result()
