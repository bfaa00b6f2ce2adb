"""Arguments and options that many requests for labels share."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec
import numpy as np

from dvid.errors import BadRequest
from dvid.labels.mapping import body_of
from dvid.labels.numbering import LARGEST
from dvid.labels.tables import Labels
from dvid.routes import Argument, Call, flag
from dvid.versions.view import View

_LABEL = re.compile(r"\d{1,20}", re.ASCII)
_numbers = msgspec.json.Decoder(list[int]).decode

MAX_LIST_BYTES = 64 << 20
"""Lists of labels and points are read whole; this is the longest one taken."""


def label(text: str) -> int:
    """Parse a label, other than 0.

    Raises:
        BadRequest: it is no label.
    """
    if not _LABEL.fullmatch(text) or not 1 <= int(text) <= LARGEST:
        raise BadRequest(f"a label from 1 to {LARGEST} was expected, not {text[:40]!r}")
    return int(text)


def listed(data: bytes, what: str = "labels") -> list[int]:
    """Labels from a JSON list; 0 may be one of them.

    Raises:
        BadRequest: it is no list of labels.
    """
    try:
        found = _numbers(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"a JSON list of {what} was expected, like [1, 2, 3]: {error}") from None
    if found and not (min(found) >= 0 and max(found) < 2**64):
        raise BadRequest(f"a JSON list of {what} was expected: numbers from 0 to 2^64 - 1")
    return found


def checked_body(call: Call, digest: str) -> bytes:
    """The request's body, which is what a client says its MD5 is (`?hash=`), if it does.

    Raises:
        BadRequest: it is not.
    """
    data = call.body(MAX_LIST_BYTES)
    if digest and hashlib.md5(data, usedforsecurity=False).hexdigest() != digest.lower():
        raise BadRequest(f"the MD5 of the request's body is not {digest[:40]!r}")
    return data


def label_array(labels: list[int]) -> Labels:
    """Labels as an array."""
    return np.array(labels, np.uint64)


def need_index(view: View) -> None:
    """Refuse a request that needs to know where labels are.

    Raises:
        BadRequest: the instance keeps no index.
    """
    if not view.instance.settings["IndexedLabels"]:
        raise BadRequest(
            f"instance {view.instance.name!r} keeps no index of its labels: it was made with IndexedLabels=false"
        )


def need_supervoxel(view: View, label: int) -> None:
    """Refuse a number that is no supervoxel's any longer, as the reference server does; others need not exist.

    Raises:
        BadRequest: the supervoxel was split, or the number is that of a body that was made of supervoxels of other numbers.
    """
    if body_of(view, label) == 0:
        raise BadRequest(
            f"{label} is no supervoxel at this version: it was split, or is the number of a body made of others"
        )


LABEL = Argument("label", "A body, or with supervoxels=true a supervoxel.", label, example="12345")
SUPERVOXELS = Argument(
    "supervoxels", "true: supervoxels are meant, not bodies.", flag, schema={"type": "boolean"}, default=False
)
HASH: Any = Argument(
    "hash", "MD5 of the request's body, hexadecimal: the request is refused if it differs.", default=""
)
