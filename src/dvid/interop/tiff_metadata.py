"""What TIFF files say about themselves: voxel sizes, and whether all of a file is there."""

from __future__ import annotations

import math
import os
import re
import struct
from typing import Any

import tifffile

from dvid.errors import BadRequest
from dvid.interop.resolution import Size, parse_lengths, to_nanometers
from dvid.interop.volumes import SinkPlan

MAX_PAGES = 1 << 20


def describe_resolution(plan: SinkPlan) -> dict[str, Any]:
    """What the JSON description of a file written here says about its voxels."""
    if plan.voxel_size_zyx is None:
        return {}
    return {"voxel_size_zyx": list(plan.voxel_size_zyx), "units": plan.units}


def read_resolution(file: tifffile.TiffFile) -> tuple[Size | None, str | None]:
    """Voxel size and unit, as ImageJ, OME or the description of files written here give them; None where they don't."""
    if file.is_imagej:
        about = file.imagej_metadata or {}
        x, y = file.pages.first.resolution
        lengths = parse_lengths([about.get("spacing"), 1 / y if y else None, 1 / x if x else None], 3)
        if lengths is not None and about.get("unit") is not None:
            return to_nanometers((lengths[0], lengths[1], lengths[2]), [about["unit"]] * 3)
    elif file.is_ome:
        pixels = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", file.ome_metadata or "")
        stated = dict(re.findall(r'(PhysicalSize\w+)="([^"]*)"', pixels.group())) if pixels else {}
        lengths = parse_lengths([_as_number(stated.get(f"PhysicalSize{axis}")) for axis in "ZYX"], 3)
        if lengths is not None:
            units = [stated.get(f"PhysicalSize{axis}Unit", "µm") for axis in "ZYX"]
            return to_nanometers((lengths[0], lengths[1], lengths[2]), units)
    elif file.is_shaped:
        for about in file.shaped_metadata or ():
            lengths = parse_lengths(about.get("voxel_size_zyx"), 3)
            if lengths is not None:
                units = about.get("units")
                return (lengths[0], lengths[1], lengths[2]), units if isinstance(units, str) else None
    return None, None


def check_pages(path: str) -> None:
    """Walks the chain of pages, because a chain that is cut short would pass for a smaller stack."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = head[2:4] in (b"\x2b\x00", b"\x00\x2b")
        count_format, link_format, entry = ("Q", "Q", 20) if big else ("H", "I", 12)
        (offset,) = struct.unpack_from(order + link_format, head, 8 if big else 4)
        seen: set[int] = set()
        while offset:
            if offset in seen or len(seen) >= MAX_PAGES:
                raise BadRequest(f"{path} is damaged: its chain of pages has no end")
            if offset >= size:
                raise BadRequest(f"{path} is cut short: a page at byte {offset} is past its end at {size}")
            seen.add(offset)
            file.seek(offset)
            (entries,) = struct.unpack(order + count_format, file.read(struct.calcsize(count_format)))
            file.seek(entries * entry, os.SEEK_CUR)
            (offset,) = struct.unpack(order + link_format, file.read(struct.calcsize(link_format)))


def check_whole(file: tifffile.TiffFile, path: str) -> None:
    """Refuses a file with fewer pixels than it says: cut short, it would pass for its first plane alone."""
    stated = None
    if file.is_imagej:
        images = (file.imagej_metadata or {}).get("images", 1)
        stated = images * file.pages.first.size if isinstance(images, int) else None
    elif file.is_shaped:
        shapes = [about.get("shape") for about in file.shaped_metadata or ()]
        stated = sum(math.prod(shape) for shape in shapes if isinstance(shape, (list, tuple)))
    held = sum(series.size for series in file.series)
    if stated is not None and held < stated:
        raise BadRequest(f"{path} is cut short: it says that it has {stated} values, and has {held}")


def _as_number(text: str | None) -> float:
    try:
        return float(text) if text is not None else math.nan
    except ValueError:
        return math.nan
