"""Draws an anatomy (`neuropil`) as an electron micrograph and as its segmentation, block by block.

A voxel belongs to the neurite whose ball is nearest in power distance (squared distance less squared radius), at a
position bent by a smooth field of waves so that membranes curve. The distance to the next neurite's region gives the
membrane. Every block is drawn from its coordinates alone: slabs of any thickness fit together seamlessly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from dvid.interop.balls import (
    activity,
    depth_inside,
    gather,
    keep_contenders,
    keep_touching,
    list_contenders,
    nearest,
    sort_into_grid,
)
from dvid.interop.neuropil import LARGEST_RADIUS, Anatomy

BLOCK = 16
"""Edge in voxels of the blocks that gather their balls together."""

CELL = 8
"""Edge in voxels of the parts of a block: space bends linearly within one, and only balls that may win there count."""

TILE = 128
"""Edge of the periodic tiles of noise."""

REACH = 1.6 * LARGEST_RADIUS
"""How far from a block the centres of neurites' balls matter to it, in voxels."""

# Sums of sines bend space: (wavelength in voxels, amplitude in voxels).
_WAVES = ((150.0, 5.0), (90.0, 4.0), (55.0, 2.8), (36.0, 1.8), (24.0, 1.0))
_WAVES_EACH = 4


class _Tiles(NamedTuple):
    """Periodic cubes of noise, int8 with 40 to the standard deviation, from fine to coarse."""

    grain: npt.NDArray[np.int8]
    speck: npt.NDArray[np.int8]
    cloud: npt.NDArray[np.int8]


class Micrograph:
    """Draws slabs of one anatomy.

    Attributes:
        shape_zyx: Size of the whole volume.
    """

    def __init__(self, anatomy: Anatomy, shape_zyx: tuple[int, int, int], seed: int) -> None:
        self.shape_zyx = shape_zyx
        self._seed = np.uint64(seed)
        self._neurites = sort_into_grid(anatomy.neurites)
        self._mitochondria = sort_into_grid(anatomy.mitochondria)
        self._synapses = sort_into_grid(anatomy.synapses)
        rng = np.random.Generator(np.random.PCG64(seed))
        self._waves = _make_waves(rng)
        self._tiles = _Tiles(_make_tile(rng, 1), _make_tile(rng, 4), _make_tile(rng, 48))

    def draw(self, start_z: int, depth: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint64]]:
        """Draws the planes from `start_z` on.

        Returns:
            The image, uint8 (depth, y, x), and the neurites' labels, uint64 of the same shape, from 1.
        """
        _, height, width = self.shape_zyx
        image = np.empty((depth, height, width), np.uint8)
        labels = np.empty((depth, height, width), np.uint64)
        _draw(
            image, labels, start_z, self._seed, self._waves, self._tiles, self._neurites, self._mitochondria, self._synapses
        )  # fmt: skip
        return image, labels


def _make_waves(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Rows of (axis bent, amplitude, wave vector z, y, x in radians per voxel, phase)."""
    rows = []
    for axis in range(3):
        for wavelength, amplitude in _WAVES:
            for _ in range(_WAVES_EACH):
                direction = rng.normal(size=3)
                direction *= 2 * np.pi / wavelength / np.linalg.norm(direction)
                rows.append([axis, amplitude / np.sqrt(_WAVES_EACH / 2), *direction, rng.uniform(0, 2 * np.pi)])
    return np.array(rows)


def _make_tile(rng: np.random.Generator, passes: int) -> npt.NDArray[np.int8]:
    tile = rng.normal(size=(TILE, TILE, TILE))
    # The Fourier transform of `passes` smoothings with (1/4, 1/2, 1/4) along each axis.
    response = (0.5 + 0.5 * np.cos(2 * np.pi * np.fft.fftfreq(TILE))) ** passes
    half = response[: TILE // 2 + 1]
    spectrum = np.fft.rfftn(tile) * response[:, None, None] * response[None, :, None] * half[None, None, :]
    tile = np.fft.irfftn(spectrum, s=tile.shape, axes=(0, 1, 2))
    return np.asarray(np.clip(tile * (40 / tile.std()), -127, 127), dtype=np.int8)


@njit(cache=True, nogil=True)
def _bend(waves, z, y, x, out):  # type: ignore[no-untyped-def]
    shift_z, shift_y, shift_x = 0.0, 0.0, 0.0
    third = waves.shape[0] // 3
    for wave in range(third):
        shift_z += waves[wave, 1] * np.sin(
            waves[wave, 2] * z + waves[wave, 3] * y + waves[wave, 4] * x + waves[wave, 5]
        )
    for wave in range(third, 2 * third):
        shift_y += waves[wave, 1] * np.sin(
            waves[wave, 2] * z + waves[wave, 3] * y + waves[wave, 4] * x + waves[wave, 5]
        )
    for wave in range(2 * third, 3 * third):
        shift_x += waves[wave, 1] * np.sin(
            waves[wave, 2] * z + waves[wave, 3] * y + waves[wave, 4] * x + waves[wave, 5]
        )
    out[0], out[1], out[2] = z + shift_z, y + shift_y, x + shift_x


@njit(cache=True, nogil=True)
def _bend_row(corners, weight_z, weight_y, row):  # type: ignore[no-untyped-def]
    """The bent position z, y, x at the start of a row of a cell, and how much it changes along the row."""
    for axis in range(3):
        near = (corners[0, 0, 0, axis] * (1 - weight_y) + corners[0, 1, 0, axis] * weight_y) * (1 - weight_z)
        near += (corners[1, 0, 0, axis] * (1 - weight_y) + corners[1, 1, 0, axis] * weight_y) * weight_z
        far = (corners[0, 0, 1, axis] * (1 - weight_y) + corners[0, 1, 1, axis] * weight_y) * (1 - weight_z)
        far += (corners[1, 0, 1, axis] * (1 - weight_y) + corners[1, 1, 1, axis] * weight_y) * weight_z
        row[axis] = near
        row[axis + 3] = far - near


@njit(cache=True, nogil=True, inline="always")
def _hash(value):  # type: ignore[no-untyped-def]
    x = np.uint64(value) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return x ^ (x >> np.uint64(32))


@njit(cache=True, nogil=True, inline="always")
def _tile_at(tile, z, y, x, shift):  # type: ignore[no-untyped-def]
    mask = np.uint64(TILE - 1)
    tile_z = (np.uint64(z) + shift) & mask
    tile_y = (np.uint64(y) + (shift >> np.uint64(8))) & mask
    tile_x = (np.uint64(x) + (shift >> np.uint64(16))) & mask
    return tile[tile_z, tile_y, tile_x] * np.float32(1 / 40)


@njit(cache=True, nogil=True)
def _vesicle(z, y, x):  # type: ignore[no-untyped-def]
    """Darkness of the vesicle in the cell of 9 voxels around a point: a ring of radius 2.7 with a pale lumen."""
    cell_z, cell_y, cell_x = np.floor(z / 9.0), np.floor(y / 9.0), np.floor(x / 9.0)
    key = _hash(np.int64(cell_z) * 73856093 + np.int64(cell_y) * 19349663 + np.int64(cell_x) * 83492791 + (1 << 40))
    if key & np.uint64(7) == np.uint64(0):
        return np.float32(0)
    dz = z - cell_z * 9.0 - 3.4 - 2.2 * float((key >> np.uint64(8)) & np.uint64(255)) / 255.0
    dy = y - cell_y * 9.0 - 3.4 - 2.2 * float((key >> np.uint64(16)) & np.uint64(255)) / 255.0
    dx = x - cell_x * 9.0 - 3.4 - 2.2 * float((key >> np.uint64(24)) & np.uint64(255)) / 255.0
    off = np.sqrt(dz * dz + dy * dy + dx * dx) - 2.7
    return np.float32(np.exp(-off * off / 0.9))


@njit(cache=True, nogil=True)
def _shade(label, edge, inside, vesicles, active, tiles, seed, zyx, bent):  # type: ignore[no-untyped-def]
    """The brightness of a voxel, 0 to 255.

    Args:
        label: Of the neurite.
        edge: Distance to the next neurite, in voxels.
        inside: Depth inside a mitochondrion, in voxels.
        vesicles: Depth inside a cloud of vesicles, in voxels.
        active: Nearness to an active zone, 0 to 1.
        tiles: The noise.
        seed: Of the sample.
        zyx: The voxel.
        bent: Its bent position.
    """
    z, y, x = zyx
    character = _hash(label + 977)
    fine = _tile_at(tiles.grain, z, y, x, seed)
    spots = _tile_at(tiles.speck, z, y, x, character)
    blotch = _tile_at(tiles.cloud, z, y, x, character)
    value = np.float32(178) + np.float32(character & np.uint64(15)) * np.float32(1.4) + np.float32(7) * blotch
    if (character >> np.uint64(4)) & np.uint64(15) == np.uint64(0):
        value -= np.float32(48)  # dark cytoplasm, as of glia
    value -= np.float32(24) * max(spots - np.float32(0.5), np.float32(0))
    if inside > -3:
        lean = 1.0 if character & np.uint64(256) else -1.0
        fold = np.float32(np.sin(bent[0] * 0.25 + bent[1] * 0.5 * lean + bent[2] * 0.55 + 2.2 * blotch))
        matrix = np.float32(118) + np.float32(16) * fold + np.float32(5) * spots
        if fold < -0.35 and inside > 3:
            matrix -= np.float32(22)
        value += (matrix - value) * min(max(inside + np.float32(0.5), np.float32(0)), np.float32(1))
        value += (np.float32(72) - value) * np.float32(0.85) * np.exp(-inside * inside / np.float32(3.2))
    elif vesicles + np.float32(5) * blotch > 0 and edge > 5:
        value -= np.float32(78) * _vesicle(bent[0], bent[1], bent[2]) + np.float32(8)
    breadth = np.float32(9) + np.float32(30) * active
    if edge * edge < 6 * breadth:
        strength = min(np.float32(0.88) + np.float32(0.07) * blotch + active, np.float32(1))
        darkness = np.exp(-edge * edge / breadth) * strength
        value += (np.float32(52) - np.float32(20) * active - value) * darkness
    dice = _hash(((z * 65536 + y) * 65536 + x) ^ np.int64(seed << np.uint64(50)))
    noise = float(dice & np.uint64(255)) + float((dice >> np.uint64(8)) & np.uint64(255))
    noise += float((dice >> np.uint64(16)) & np.uint64(255)) - 382.5
    value += np.float32(noise * 0.045) + np.float32(7) * fine
    return min(max(value, np.float32(0)), np.float32(255))


@njit(cache=True, nogil=True)
def _draw(image, label_image, start_z, seed, waves, tiles, neurites, mitochondria, synapses):  # type: ignore[no-untyped-def]
    depth, height, width = image.shape
    parts = BLOCK // CELL
    nodes = np.empty((parts + 1, parts + 1, parts + 1, 3), np.float64)
    low, high = np.empty(3, np.float32), np.empty(3, np.float32)
    row = np.empty(6, np.float32)
    planes, plane_labels = np.empty((1 << 16, 4), np.float32), np.empty(1 << 16, np.int64)
    found, kept = np.empty((3, 1 << 16), np.int64), np.empty((3, 1 << 16), np.int64)
    # Blocks lie on multiples of BLOCK of the whole volume, so that slabs of any thickness give the same voxels.
    for block_z in range(start_z // BLOCK, (start_z + depth - 1) // BLOCK + 1):
        for block_y in range((height - 1) // BLOCK + 1):
            for block_x in range((width - 1) // BLOCK + 1):
                low[:] = 1e9
                high[:] = -1e9
                for node in np.ndindex(nodes.shape[:3]):
                    _bend(
                        waves,
                        block_z * BLOCK + node[0] * CELL,
                        block_y * BLOCK + node[1] * CELL,
                        block_x * BLOCK + node[2] * CELL,
                        nodes[node],
                    )
                    for axis in range(3):
                        low[axis] = min(low[axis], nodes[node][axis])
                        high[axis] = max(high[axis], nodes[node][axis])
                reach = REACH
                count = gather(neurites, low, high, reach, found[0])
                while count == 0 and reach < 1e7:
                    reach *= 2
                    count = gather(neurites, low, high, reach, found[0])
                count = keep_contenders(neurites, found[0], count, low, high, found[0])
                mito_count = gather(mitochondria, low, high, 24.0, found[1])
                synapse_count = gather(synapses, low, high, 36.0, found[2])
                for part in np.ndindex((parts, parts, parts)):
                    first_z = block_z * BLOCK + part[0] * CELL
                    first_y = block_y * BLOCK + part[1] * CELL
                    first_x = block_x * BLOCK + part[2] * CELL
                    if first_z >= start_z + depth or first_z + CELL <= start_z or first_y >= height or first_x >= width:
                        continue
                    corners = nodes[part[0] : part[0] + 2, part[1] : part[1] + 2, part[2] : part[2] + 2]
                    for axis in range(3):
                        low[axis] = corners[:, :, :, axis].min()
                        high[axis] = corners[:, :, :, axis].max()
                    listed = list_contenders(neurites, found[0], count, low, high, planes, plane_labels)
                    mid_z, mid_y, mid_x = (low[0] + high[0]) / 2, (low[1] + high[1]) / 2, (low[2] + high[2]) / 2
                    kept_mitos = keep_touching(mitochondria, found[1], mito_count, low, high, 4.0, kept[1])
                    kept_synapses = keep_touching(synapses, found[2], synapse_count, low, high, 16.0, kept[2])
                    for z in range(max(first_z, start_z), min(first_z + CELL, start_z + depth)):
                        for y in range(first_y, min(first_y + CELL, height)):
                            _bend_row(corners, (z - first_z) / CELL, (y - first_y) / CELL, row)
                            for x in range(first_x, min(first_x + CELL, width)):
                                weight = np.float32((x - first_x) / CELL)
                                bent = (row[0] + row[3] * weight, row[1] + row[4] * weight, row[2] + row[5] * weight)
                                label, edge = nearest(
                                    planes, plane_labels, listed, bent[0] - mid_z, bent[1] - mid_y, bent[2] - mid_x
                                )
                                inside, vesicles = np.float32(-1e3), np.float32(-1e3)
                                active = np.float32(0)
                                if kept_mitos:
                                    inside = depth_inside(mitochondria, kept[1], kept_mitos, label, *bent)
                                    inside = min(inside, edge - np.float32(7))
                                if kept_synapses:
                                    vesicles = depth_inside(synapses, kept[2], kept_synapses, label, *bent)
                                    active = activity(synapses, kept[2], kept_synapses, *bent)
                                label_image[z - start_z, y, x] = label
                                image[z - start_z, y, x] = np.uint8(
                                    _shade(label, edge, inside, vesicles, active, tiles, seed, (z, y, x), bent)
                                )
