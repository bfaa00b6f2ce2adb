"""Voxels in the forms that browsers show: JPEG, PNG, and the compressed segmentation of Neuroglancer."""

from __future__ import annotations

import gzip
import io
from typing import Any

import numpy as np

from mockserver.h5errors import Refused

QUALITY = 90
MOST_SIDE = 65500  # of a JPEG
SEGMENTATION_BLOCK = (8, 8, 8)

Voxels = np.ndarray[Any, np.dtype[Any]]


def picture(pixels: Voxels, form: str) -> tuple[bytes, str]:
    """An image and its media type.

    Args:
        pixels: rows, columns, channels: 8 bit with 1, 3 or 4 channels, or, as PNG, 16 bit with one.
        form: ``png``, ``jpg`` or ``jpeg``, with or without ``:QUALITY``.

    Raises:
        Refused: there is no such image, or nothing here that writes it.
    """
    name, _, quality = form.partition(":")
    if name not in ("png", "jpg", "jpeg") or (quality and not (quality.isdecimal() and 1 <= int(quality) <= 100)):
        raise Refused(f"format: expected png, jpg or jpg:QUALITY, got {form!r}")
    rows, columns, channels = pixels.shape
    jpeg = name != "png"
    depth = (pixels.dtype.name, channels)
    if depth not in [("uint8", 1), ("uint8", 3), ("uint8", 4)] and (jpeg or depth != ("uint16", 1)):
        raise Refused(f"no {name} image has {channels} channels of {pixels.dtype.name}")
    if max(rows, columns) > MOST_SIDE:
        raise Refused(f"an image has at most {MOST_SIDE} pixels along a side, asked for {columns} x {rows}")
    try:
        from PIL import Image
    except ImportError as error:
        raise Refused("images need the library 'pillow', which is not installed", 501) from error
    # JPEG has no place for the fourth channel.
    squeezed = pixels[..., 0] if channels == 1 else pixels[..., :3] if jpeg else pixels
    body = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(squeezed))
    if jpeg:
        image.save(body, "JPEG", quality=int(quality or QUALITY))
        return body.getvalue(), "image/jpeg"
    image.save(body, "PNG", compress_level=1)
    return body.getvalue(), "image/png"


def compressed_segmentation(labels_zyx: Voxels) -> bytes:
    """Labels (z, y, x) of 32 or 64 bits in Neuroglancer's format, in blocks of 8^3, gzipped.

    Raises:
        Refused: the voxels are no labels, or nothing here writes the format.
    """
    if labels_zyx.dtype.name not in ("uint32", "uint64"):
        raise Refused(f"compressed segmentation holds labels of 32 or 64 bits, not {labels_zyx.dtype.name}")
    try:
        import compressed_segmentation as format_of_neuroglancer
    except ImportError as error:
        raise Refused(
            "labels for Neuroglancer need the library 'compressed-segmentation', which is not installed", 501
        ) from error
    labels_xyz = np.asfortranarray(labels_zyx.T)
    return gzip.compress(format_of_neuroglancer.compress(labels_xyz, SEGMENTATION_BLOCK, order="F"), 1)
