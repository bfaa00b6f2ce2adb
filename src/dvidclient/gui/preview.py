"""A slice of a volume, to be looked at: which voxels are asked for, and their colours. Nothing here knows of windows."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvidclient.connection import Connection, quoted
from dvidclient.errors import Unsupported
from dvidclient.gui.catalogue import VolumeEntry, Xyz

# A few voxels that are far brighter than all others, as cameras make them, shall not leave the rest black.
PERCENTILES = (0.1, 99.9)

# Of a slice, before it is made smaller to fit. A slice of 5792 x 5792 gray voxels or of 2048 x 2048 labels.
MOST_BYTES = 32 << 20

PLANES = {"xy": (0, 1, 2), "xz": (0, 2, 1), "yz": (1, 2, 0)}
"""The axes along a picture's width and height, and the one that the slice stands on: 0 is x, 1 is y, 2 is z."""


@dataclass(frozen=True, slots=True)
class SlicePlan:
    """Which voxels are asked for."""

    scale: int
    """The resolution: each further one has half the voxels along each axis."""
    offset_xyz: Xyz
    """In voxels of the scale."""
    size_xyz: Xyz
    plane: str
    step: int
    """Every so many voxels along both sides become one pixel."""
    whole: bool
    """False where the slice is too large and only its middle is shown."""

    @property
    def size_text(self) -> str:
        """Size of the box as requests have it."""
        return "_".join(map(str, self.size_xyz))

    @property
    def offset_text(self) -> str:
        """First voxel of the box as requests have it."""
        return "_".join(map(str, self.offset_xyz))


@dataclass(frozen=True, slots=True)
class Picture:
    """A slice as it is shown."""

    plan: SlicePlan
    pixels: NDArray[np.uint8]
    """(height, width, 4): red, green, blue, opacity."""
    pixel_aspect: float
    """Height of a pixel in the world divided by its width."""
    caption: str


def middle(volume: VolumeEntry, plane: str) -> int:
    """The position of the slice through the middle, on the axis that it stands on.

    Raises:
        Unsupported: the server does not tell the extents.
    """
    low, high = bounds(volume, plane)
    return (low + high) // 2


def bounds(volume: VolumeEntry, plane: str) -> tuple[int, int]:
    """First and last position of slices in a plane.

    Raises:
        Unsupported: the server does not tell the extents, so far there are none, or so it seems.
    """
    if volume.min_xyz is None or volume.max_xyz is None:
        raise Unsupported("nothing was written to this volume so far, or the server does not tell where")
    axis = PLANES[plane][2]
    return volume.min_xyz[axis], volume.max_xyz[axis]


def plan_slice(volume: VolumeEntry, plane: str, position: int, width: int, height: int) -> SlicePlan:
    """Chooses the resolution that fits a widget, and what to ask for at it.

    Args:
        volume: with extents.
        plane: ``xy``, ``xz`` or ``yz``.
        position: on the axis that the slice stands on, in voxels of full resolution.
        width: of the widget, in pixels.
        height: of the widget, in pixels.

    Raises:
        Unsupported: as ``bounds``.
    """
    across, down, through = PLANES[plane]
    first, last = bounds(volume, plane)
    assert volume.min_xyz is not None
    assert volume.max_xyz is not None
    position = min(max(position, first), last)

    def box(scale: int) -> tuple[list[int], list[int]]:
        assert volume.min_xyz is not None
        assert volume.max_xyz is not None
        low = [edge >> scale for edge in volume.min_xyz]
        size = [(high >> scale) - at + 1 for high, at in zip(volume.max_xyz, low, strict=True)]
        low[through], size[through] = position >> scale, 1
        return low, size

    # The coarsest that still has a voxel for each pixel; a coarser one where even that is too much to ask for.
    scale = 0
    while scale < volume.scales:
        _, finer = box(scale)
        _, size = box(scale + 1)
        fits = size[across] >= width or size[down] >= height
        if not fits and finer[across] * finer[down] * volume.voxel_bytes <= MOST_BYTES:
            break
        scale += 1
    low, size = box(scale)
    # Of what is still too large the middle is shown: to thin it out here, all of it would have to come over the wire.
    # No side is made shorter than the square would have it.
    most = MOST_BYTES // volume.voxel_bytes
    whole = size[across] * size[down] <= most
    if not whole:
        edge = int(most**0.5)
        limit = {
            across: max(edge, most // size[down]),
            down: max(edge, most // size[across]),
        }
        for axis, longest in limit.items():
            shorter = min(size[axis], longest)
            low[axis] += (size[axis] - shorter) // 2
            size[axis] = shorter
    step = max(1, min(size[across] // max(1, width), size[down] // max(1, height)))
    return SlicePlan(scale, _xyz(low), _xyz(size), plane, step, whole)


def _xyz(numbers: list[int]) -> Xyz:
    x, y, z = numbers
    return (x, y, z)


def read_slice(connection: Connection, uuid: str, name: str, volume: VolumeEntry, plan: SlicePlan) -> NDArray[Any]:
    """The voxels of a slice.

    Args:
        connection: to the server.
        uuid: of the version.
        name: of the volume.
        volume: what it is.
        plan: which voxels.

    Returns:
        (down, across) of the volume's dtype, with a third axis for several channels.

    Raises:
        Unsupported: the answer is not as long as the voxels are.
        RequestFailed: the server did not answer them.
    """
    query: dict[str, Any] = {}
    if plan.scale:
        query["scale"] = plan.scale
    if volume.gzips:
        query["compression"] = "gzip"  # labels of a slice shrink to a fraction
    path = f"/api/node/{quoted(uuid, 'uuid')}/{quoted(name, 'name')}/raw/0_1_2/{plan.size_text}/{plan.offset_text}"
    answer = connection.get_bytes(path, f"reading a slice of {name!r}", query=query)
    x, y, z = plan.size_xyz
    expected = x * y * z * volume.voxel_bytes
    if volume.gzips and answer[:2] == b"\x1f\x8b" and len(answer) != expected:
        try:
            answer = zlib.decompressobj(wbits=31).decompress(answer, expected + 1)
        except zlib.error as error:
            raise Unsupported(f"reading a slice of {name!r}: the answer is no gzip data: {error}") from None
    if len(answer) != expected:
        raise Unsupported(
            f"reading a slice of {name!r}: expected {expected} bytes of {volume.dtype}, got {len(answer)}"
        )
    voxels = np.frombuffer(answer, np.dtype(volume.dtype).newbyteorder("<")).reshape(z, y, x, volume.channels)
    flat = voxels.squeeze(axis=2 - PLANES[plan.plane][2])
    return flat[..., 0] if volume.channels == 1 else flat


def thinned(voxels: NDArray[Any], step: int, *, labels: bool) -> NDArray[Any]:
    """Every ``step`` voxels along both sides as one: their mean for images, one of them for labels.

    Args:
        voxels: (down, across) or (down, across, channels).
        step: at least 1.
        labels: whether they name things; what lies between two names is neither.
    """
    if step == 1:
        return voxels
    if labels:
        return voxels[step // 2 :: step, step // 2 :: step]
    down, across = (length // step for length in voxels.shape[:2])
    squares = voxels[: down * step, : across * step].reshape(down, step, across, step, *voxels.shape[2:])
    mean: NDArray[Any] = squares.mean(axis=(1, 3), dtype=np.float32)
    return mean


def label_colours(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """A colour for each label, always the same, and the one that ``dvid serve`` gives it: label 0 is black.

    Args:
        labels: integers of any shape.

    Returns:
        The same shape, with an axis of red, green and blue behind.
    """
    # The finalizer of MurmurHash3: https://github.com/aappleby/smhasher/blob/master/src/MurmurHash3.cpp
    mixed = labels.astype(np.uint64)
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        mixed ^= mixed >> np.uint64(33)
        mixed *= np.uint64(factor)
    mixed ^= mixed >> np.uint64(33)
    bytes_of = mixed.astype("<u8", order="C").view(np.uint8).reshape(*labels.shape, 8)
    return np.ascontiguousarray(bytes_of[..., :3])


def coloured(voxels: NDArray[Any], dtype: str, *, labels: bool) -> NDArray[np.uint8]:
    """Colours of voxels.

    Labels get a colour each, three and four channels are red, green, blue (and opacity, unless nothing could be seen),
    one channel is gray. What is no 8-bit image is stretched, but for the darkest and the brightest thousandth of it.

    Args:
        voxels: (height, width) or (height, width, channels).
        dtype: of the volume, which the voxels may no longer have.
        labels: whether they name things.

    Returns:
        (height, width, 4) red, green, blue, opacity.
    """
    out = np.full((*voxels.shape[:2], 4), 255, np.uint8)
    if labels:
        out[..., :3] = label_colours(voxels)
        return out
    if voxels.ndim == 3 and voxels.shape[2] not in (3, 4):
        voxels = voxels[..., 0]
    gray = np.asarray(voxels, np.float32)
    if dtype != "uint8":
        low, high = _ends(gray[np.isfinite(gray)])
        gray = np.nan_to_num(
            (gray - low) * (255 / (high - low) if high > low else 0.0), nan=0.0, posinf=255.0, neginf=0.0
        )
    shades = np.rint(gray).clip(0, 255).astype(np.uint8)
    if shades.ndim == 2:
        out[..., :3] = shades[..., None]
    else:
        shown = 4 if shades.shape[2] == 4 and shades[..., 3].any() else 3
        out[..., :shown] = shades[..., :shown]
    return out


def _ends(finite: NDArray[np.float32]) -> tuple[float, float]:
    """The values that become black and white."""
    if not finite.size:
        return 0.0, 0.0
    low, high = np.percentile(finite, PERCENTILES)
    # Where nearly all is background, what is left is what one wants to see.
    return (float(low), float(high)) if low < high else (float(finite.min()), float(finite.max()))


def picture(
    connection: Connection,
    uuid: str,
    name: str,
    volume: VolumeEntry,
    plane: str,
    position: int,
    width: int,
    height: int,
) -> Picture:
    """Asks for a slice and colours it. Takes as long as the server does: for the background.

    Args:
        connection: to the server.
        uuid: of the version.
        name: of the volume.
        volume: what it is, with extents.
        plane: ``xy``, ``xz`` or ``yz``.
        position: on the axis that the slice stands on.
        width: of the widget, in pixels.
        height: of the widget, in pixels.

    Raises:
        Unsupported, RequestFailed: as ``read_slice``.
    """
    plan = plan_slice(volume, plane, position, width, height)
    voxels = thinned(read_slice(connection, uuid, name, volume, plan), plan.step, labels=volume.is_labels)
    across, down, _ = PLANES[plane]
    aspect = volume.voxel_size_xyz[down] / volume.voxel_size_xyz[across] if volume.voxel_size_xyz else 1.0
    return Picture(plan, coloured(voxels, volume.dtype, labels=volume.is_labels), aspect, _caption(volume, plan))


def _caption(volume: VolumeEntry, plan: SlicePlan) -> str:
    across, down, _ = PLANES[plan.plane]
    shown = f"{plan.size_xyz[across]} × {plan.size_xyz[down]} voxels"
    if not plan.whole:
        shown = f"the middle {shown}"
    if plan.scale:
        shown += f" of scale {plan.scale}"
    if plan.step > 1:
        shown += f", each {plan.step} × {plan.step} as one"
    if volume.channels not in (1, 3, 4):
        shown += f", channel 0 of {volume.channels}"
    return shown
