"""What the texts of a request mean: boxes of voxels, and JSON objects."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from dvidclient.boxes import Box
from mockserver.h5errors import Refused

MOST_REQUEST_BYTES = 512 << 20
MOST_JSON_BYTES = 1 << 20
# What is larger is no longer little: it waits while others come in between.
MOST_LITTLE_VOXELS = 64**3
MOST_LITTLE_BYTES = 1 << 20
_AXIS = {"0": "x", "1": "y", "2": "z", "x": "x", "y": "y", "z": "z"}


@dataclass(frozen=True, slots=True)
class Cutout:
    """A box, and the axes that it was asked for along.

    Attributes:
        box: the voxels.
        axes: two or three of ``xyz``: the columns, the rows and, of a volume, the planes.
    """

    box: Box
    axes: str

    @property
    def is_much(self) -> bool:
        """Whether it is so much that others come in between."""
        return self.box.voxels > MOST_LITTLE_VOXELS


def cutout(dims: str, size: str, offset: str) -> Cutout:
    """Reads ``0_1_2/64_64_64/0_0_0``; axes also as ``xyz``, numbers also separated by commas.

    Args:
        dims: two or three axes in ascending order.
        size: voxels along each of them.
        offset: first voxel, x, y and z; of a slice along x and y, z may be left out.

    Raises:
        Refused: it is something else.
    """
    letters = re.split("[_,]", dims) if re.search("[_,]", dims) else list(dims)
    if not all(letter in _AXIS for letter in letters):
        raise Refused(f"dims: expected axes such as 0_1_2 or xy, got {dims!r}")
    axes = "".join(_AXIS[letter] for letter in letters)
    if axes not in ("xy", "xz", "yz", "xyz"):
        raise Refused(f"dims: expected xy, xz, yz or xyz, by letters or numbers, got {dims!r}")
    sizes = _numbers("size", size, (len(axes),), 1)
    at = _numbers("offset", offset, (2, 3) if axes == "xy" else (3,), -(2**31))
    at = [*at, 0][:3]
    long = {"x": 1, "y": 1, "z": 1} | dict(zip(axes, sizes, strict=True))
    stop = [low + long[axis] for low, axis in zip(at, "xyz", strict=True)]
    if max(stop) > 2**31:
        raise Refused(f"positions are below 2^31, asked for up to {max(stop) - 1}")
    return Cutout(Box((at[0], at[1], at[2]), (stop[0], stop[1], stop[2])), axes)


def asks_for_much(path: str, body_bytes: int) -> bool:
    """Whether a request sends much, or asks for a large box, as far as can be told from its path."""
    if body_bytes > MOST_LITTLE_BYTES:
        return True
    parts = path.split("/")[5:]
    at = parts[1:4] if parts[:1] == ["raw"] else parts[:3]
    try:
        return len(at) == 3 and cutout(*at).is_much
    except Refused:
        return False


def json_object(body: bytes, what: str) -> dict[str, Any]:
    """The JSON object of a body; nothing is an empty one.

    Raises:
        Refused: it holds something else.
    """
    if not body.strip():
        return {}
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{what}: expected a JSON object, got {body[:100]!r}") from error
    if not isinstance(found, dict):
        raise Refused(f"{what}: expected a JSON object, got {body[:100]!r}")
    return found


def text_field(document: dict[str, Any], key: str) -> str:
    """A text of a document, empty where it is left out.

    Raises:
        Refused: it is no text.
    """
    value = document.get(key, "")
    if not isinstance(value, str):
        raise Refused(f"{key}: expected a text, got {value!r}")
    return value


def point(document: dict[str, Any], key: str) -> list[int]:
    """Three whole numbers of a document.

    Raises:
        Refused: it has none.
    """
    value = document.get(key)
    if not (isinstance(value, list) and len(value) == 3 and all(type(number) is int for number in value)):
        raise Refused(f"{key}: expected a list of 3 whole numbers, got {value!r}")
    return value


def three_sizes(body: bytes) -> tuple[float, ...]:
    """The JSON list of three numbers above 0 that a body holds.

    Raises:
        Refused: it holds something else.
    """
    try:
        sizes = json.loads(body)
    except (ValueError, RecursionError):
        sizes = None
    if not isinstance(sizes, list) or len(sizes) != 3 or not all(type(size) in (int, float) for size in sizes):
        raise Refused(f"expected a JSON list of 3 numbers, got {body[:100]!r}")
    if not all(0 < size < math.inf for size in sizes):
        raise Refused(f"expected numbers above 0, got {sizes}")
    return tuple(map(float, sizes))


def _numbers(name: str, text: str, counts: tuple[int, ...], least: int) -> list[int]:
    parts = re.split("[_,]", text)
    if len(parts) not in counts or not all(re.fullmatch(r"[+-]?[0-9]{1,12}", part) for part in parts):
        raise Refused(f"{name}: expected {counts[-1]} whole numbers such as {'_'.join('8' * counts[-1])}, got {text!r}")
    numbers = [int(part) for part in parts]
    if any(not least <= number < 2**31 for number in numbers):
        raise Refused(f"{name}: expected numbers from {least} to 2^31 - 1, got {text!r}")
    return numbers
