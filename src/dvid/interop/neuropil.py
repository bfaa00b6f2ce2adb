"""The anatomy of a made-up piece of neuropil: neurites, mitochondria and synapses as balls along winding paths.

Neurites grow one after another, the thick ones first, each as a chain of overlapping balls that keeps clear of the
neurites already there; what space is left belongs to whichever neurite is nearest. A volume of 1024^3 voxels takes
some hundred thousand balls, so that anatomy is small beside the voxels that are drawn from it (`micrograph`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

MARGIN = 48
"""Voxels around the volume in which neurites grow too, so that its faces look like its inside."""

GRID = 32
"""Edge in voxels of the cells of the search grid over balls."""

LARGEST_RADIUS = 40.0
SMALLEST_RADIUS = 6.0

# Mean radius in voxels and share of the trials: a few thick dendrites, many thin axons.
CALIBRES = np.array(
    [[34.0, 0.000006], [23.0, 0.00003], [16.0, 0.00020], [11.0, 0.0008], [8.0, 0.0020]],
    dtype=np.float64,
)


@dataclass(frozen=True, slots=True)
class Balls:
    """Spheres in voxel coordinates, each of the neurite `label`; all arrays have the same length.

    Attributes:
        centre_zyx: float32 (n, 3).
        radius: float32 (n,), in voxels.
        label: int64 (n,), from 1.
    """

    centre_zyx: Floats
    radius: Floats
    label: Labels


@dataclass(frozen=True, slots=True)
class Anatomy:
    """What a volume holds: neurites fill it; mitochondria and synapses lie inside neurites of the same label."""

    neurites: Balls
    mitochondria: Balls
    synapses: Balls


def grow_anatomy(shape_zyx: tuple[int, int, int], seed: int) -> Anatomy:
    """Grows the anatomy of a volume.

    Args:
        shape_zyx: Size of the volume in voxels.
        seed: The same seed and shape give the same anatomy.

    Returns:
        The balls, in coordinates whose origin is the first voxel of the volume.
    """
    extent = np.array([size + 2 * MARGIN for size in shape_zyx], dtype=np.float64)
    # The densest packing seen takes one ball per 1,900 voxels; the room is twice that.
    room = int(np.prod(extent) / 900) + 1024
    table, labels, count = _grow_neurites(extent, CALIBRES, np.uint64(seed), room)
    table, labels = table[:count], labels[:count]
    mitochondria, mitochondria_labels = _place_mitochondria(table, labels, np.uint64(seed + 1))
    synapses, synapse_labels = _place_synapses(table, labels, np.uint64(seed + 2))
    return Anatomy(
        _as_balls(table, labels), _as_balls(mitochondria, mitochondria_labels), _as_balls(synapses, synapse_labels)
    )


def _as_balls(table: npt.NDArray[np.float64], labels: Labels) -> Balls:
    centre = np.ascontiguousarray(table[:, :3] - MARGIN, dtype=np.float32)
    return Balls(centre, np.ascontiguousarray(table[:, 3], dtype=np.float32), np.ascontiguousarray(labels))


@njit(cache=True, nogil=True)
def _uniform(state):  # type: ignore[no-untyped-def]
    """The next number of [0, 1) of a splitmix64 sequence: its own, so that no library version changes a sample."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    x = state[0]
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return float(x >> np.uint64(11)) / 9007199254740992.0


@njit(cache=True, nogil=True)
def _normal(state):  # type: ignore[no-untyped-def]
    radius = np.sqrt(-2.0 * np.log(1.0 - _uniform(state)))
    return radius * np.cos(2.0 * np.pi * _uniform(state))


@njit(cache=True, nogil=True)
def _clearance(table, labels, heads, nexts, z, y, x, label, tail, reach):  # type: ignore[no-untyped-def]
    """Distance in voxels from a point to the nearest surface of another neurite's ball, at most `reach`.

    Balls of the same label are in the way too if they are older than ball `tail`: a neurite keeps clear of itself.
    """
    span = int(np.ceil((reach + LARGEST_RADIUS) / GRID))
    gz, gy, gx = int(z) // GRID, int(y) // GRID, int(x) // GRID
    best = reach
    for cz in range(max(gz - span, 0), min(gz + span + 1, heads.shape[0])):
        for cy in range(max(gy - span, 0), min(gy + span + 1, heads.shape[1])):
            for cx in range(max(gx - span, 0), min(gx + span + 1, heads.shape[2])):
                ball = heads[cz, cy, cx]
                while ball >= 0:
                    if labels[ball] != label or ball < tail:
                        dz, dy, dx = table[ball, 0] - z, table[ball, 1] - y, table[ball, 2] - x
                        gap = np.sqrt(dz * dz + dy * dy + dx * dx) - table[ball, 3]
                        best = min(best, gap)
                    ball = nexts[ball]
    return best


@njit(cache=True, nogil=True)
def _grow_neurites(extent, calibres, seed, room):  # type: ignore[no-untyped-def]
    table = np.empty((room, 4), np.float64)
    labels = np.empty(room, np.int64)
    nexts = np.empty(room, np.int64)
    heads = np.full((int(extent[0]) // GRID + 1, int(extent[1]) // GRID + 1, int(extent[2]) // GRID + 1), -1, np.int64)
    state = np.array([seed * np.uint64(0x2545F4914F6CDD1D) + np.uint64(1)], dtype=np.uint64)
    volume = extent[0] * extent[1] * extent[2]
    count = 0
    label = 0
    direction = np.empty(3, np.float64)
    heading = np.empty(3, np.float64)
    found = np.empty(3, np.float64)
    for calibre in range(calibres.shape[0]):
        mean = calibres[calibre, 0]
        for _ in range(int(volume * calibres[calibre, 1]) + 8):
            start_z, start_y, start_x = (
                _uniform(state) * extent[0],
                _uniform(state) * extent[1],
                _uniform(state) * extent[2],
            )
            clear = _clearance(table, labels, heads, nexts, start_z, start_y, start_x, -1, 0, mean)
            if clear < 0.8 * mean or count >= room:
                continue
            label += 1
            # Most neurites run along z, none strictly.
            direction[0], direction[1], direction[2] = 1.3 * _normal(state) + 0.8, _normal(state), _normal(state)
            direction /= np.sqrt((direction * direction).sum())
            for way in range(2):
                z, y, x = start_z, start_y, start_x
                radius = min(mean, clear)
                for axis in range(3):
                    heading[axis] = direction[axis] if way == 0 else -direction[axis]
                for step in range(4000):
                    if count >= room:
                        break
                    if not (way == 1 and step == 0):
                        table[count, 0], table[count, 1], table[count, 2], table[count, 3] = z, y, x, radius
                        labels[count] = label
                        gz, gy, gx = int(z) // GRID, int(y) // GRID, int(x) // GRID
                        nexts[count] = heads[gz, gy, gx]
                        heads[gz, gy, gx] = count
                        count += 1
                    # Calibre wanders around its mean: varicosities and necks.
                    wished = radius * np.exp(0.16 * _normal(state) + 0.12 * np.log(mean / radius))
                    wished = min(max(wished, SMALLEST_RADIUS), LARGEST_RADIUS)
                    stride = max(3.0, 0.45 * radius)
                    tail = count - 14 if step > 14 else 0
                    best = -1.0
                    for trial in range(6):
                        wobble = 0.16 + 0.14 * trial
                        dz = heading[0] + wobble * _normal(state)
                        dy = heading[1] + wobble * _normal(state)
                        dx = heading[2] + wobble * _normal(state)
                        norm = np.sqrt(dz * dz + dy * dy + dx * dx)
                        dz, dy, dx = dz / norm, dy / norm, dx / norm
                        tz, ty, tx = z + stride * dz, y + stride * dy, x + stride * dx
                        if not (0 <= tz < extent[0] and 0 <= ty < extent[1] and 0 <= tx < extent[2]):
                            continue
                        gap = _clearance(table, labels, heads, nexts, tz, ty, tx, label, tail, wished)
                        if gap > best:
                            best = gap
                            found[0], found[1], found[2] = dz, dy, dx
                        if gap >= 0.95 * wished:
                            break
                    if best < 0.7 * SMALLEST_RADIUS:
                        break
                    z, y, x = z + stride * found[0], y + stride * found[1], x + stride * found[2]
                    heading[:] = found
                    radius = max(min(wished, best * 1.08), SMALLEST_RADIUS * 0.7)
    return table, labels, count


@njit(cache=True, nogil=True)
def _place_mitochondria(table, labels, seed):  # type: ignore[no-untyped-def]
    """Chains of balls along stretches of the thicker neurites' paths, beside the axis."""
    state = np.array([seed * np.uint64(0x2545F4914F6CDD1D) + np.uint64(7)], dtype=np.uint64)
    placed = np.empty((table.shape[0], 4), np.float64)
    owners = np.empty(table.shape[0], np.int64)
    count = 0
    left = 0
    radius = 0.0
    off_z, off_y, off_x = 0.0, 0.0, 0.0
    for ball in range(1, table.shape[0]):
        step_z = table[ball, 0] - table[ball - 1, 0]
        step_y = table[ball, 1] - table[ball - 1, 1]
        step_x = table[ball, 2] - table[ball - 1, 2]
        joined = labels[ball] == labels[ball - 1] and step_z**2 + step_y**2 + step_x**2 < 4 * LARGEST_RADIUS**2
        own = table[ball, 3]
        if not joined or own < 10.0:
            left = 0
            continue
        if left == 0:
            if _uniform(state) < 0.05:
                left = 4 + int(8 * _uniform(state))
                radius = min(own * (0.45 + 0.25 * _uniform(state)), 10.0 + 8.0 * _uniform(state))
                slack = max(own - radius - 4.0, 0.0) * 0.8
                off_z, off_y, off_x = (
                    slack * _normal(state) * 0.5,
                    slack * _normal(state) * 0.5,
                    slack * _normal(state) * 0.5,
                )
            continue
        left -= 1
        radius = max(min(radius * np.exp(0.06 * _normal(state)), own * 0.72), 5.0)
        placed[count, 0], placed[count, 1], placed[count, 2] = (
            table[ball, 0] + off_z,
            table[ball, 1] + off_y,
            table[ball, 2] + off_x,
        )
        placed[count, 3] = radius
        owners[count] = labels[ball]
        count += 1
    return placed[:count], owners[:count]


@njit(cache=True, nogil=True)
def _place_synapses(table, labels, seed):  # type: ignore[no-untyped-def]
    """Vesicle clouds near the surface of some boutons."""
    state = np.array([seed * np.uint64(0x2545F4914F6CDD1D) + np.uint64(11)], dtype=np.uint64)
    placed = np.empty((table.shape[0], 4), np.float64)
    owners = np.empty(table.shape[0], np.int64)
    count = 0
    for ball in range(table.shape[0]):
        own = table[ball, 3]
        if own < 11.0 or _uniform(state) > 0.06:
            continue
        dz, dy, dx = _normal(state), _normal(state), _normal(state)
        norm = np.sqrt(dz * dz + dy * dy + dx * dx) + 1e-9
        placed[count, 0] = table[ball, 0] + own * dz / norm
        placed[count, 1] = table[ball, 1] + own * dy / norm
        placed[count, 2] = table[ball, 2] + own * dx / norm
        placed[count, 3] = 16.0 + 12.0 * _uniform(state)
        owners[count] = labels[ball]
        count += 1
    return placed[:count], owners[:count]
