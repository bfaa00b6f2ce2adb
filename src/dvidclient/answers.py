"""What bodies of answers hold: each function reads one of a kind, or says that the answer is something else.

Boxes of voxels, which go straight into arrays, are read by ``dvidclient.wire``.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from typing import Any

import numpy
import numpy.typing
import urllib3

from dvidclient import arguments
from dvidclient.arguments import UInt64s
from dvidclient.errors import BadArgument
from dvidclient.sparse import SparseVolume

# A request whose answer is broken is like one whose answer broke off: it is sent again where that can do no harm, and in the
# end NoAnswer says what was wrong.
Broken = urllib3.exceptions.ProtocolError

_DECODER = json.JSONDecoder()

PIECE_BYTES = 1 << 20

LARGEST_TEXT = 64 << 20
"""Of what servers say of themselves, of repos and instances, and to changes, in bytes."""
LARGEST_DOCUMENT = 1 << 30
"""Of data that come as JSON; the objects made of it take some times as much memory."""
LARGEST_BODY = 4 << 30
"""Of data that come as bytes."""
LARGEST_REST = 64 << 10
"""Of what nobody wants to know, and that is read only so that its connection can be used again."""

_LISTED_BYTES = 64
"""For an element of a list, a number of 64 bits or less, with whatever white space around it."""


class TooLong(Broken):
    """An answer that is longer than it may be. It is not asked for again: it would take as long, and be as long."""


def whole(response: urllib3.BaseHTTPResponse, most: int | None = None) -> bytes:
    """All bytes.

    Args:
        response: the answer.
        most: how many they may be; default: ``LARGEST_BODY``.

    Raises:
        urllib3.exceptions.ProtocolError: they end before the length that the server declared, or are more than ``most``.
    """
    most = LARGEST_BODY if most is None else most
    if response.length_remaining is not None and response.length_remaining > most:
        raise TooLong(f"expected at most {most} bytes, the server sends {response.length_remaining}")
    # A read of so many bytes takes memory for them before they come, and the one that finds no more tells that some are missing.
    # The buffer hands out what it holds without a copy.
    body = io.BytesIO()
    while piece := response.read(PIECE_BYTES):
        if body.tell() + len(piece) > most:
            raise TooLong(f"expected at most {most} bytes, the server sends more")
        body.write(piece)
    return body.getvalue()


def leave(response: urllib3.BaseHTTPResponse) -> None:
    """Reads what is left of an answer, where that is little."""
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        response.read(LARGEST_REST)


def text(response: urllib3.BaseHTTPResponse) -> str:
    """Text; what is no UTF-8 in it is replaced."""
    return whole(response, LARGEST_TEXT).decode("utf-8", "replace")


def said(response: urllib3.BaseHTTPResponse) -> Any:
    """What a server says to a change: JSON, a string for text that is none, or None for nothing."""
    found = text(response)
    if not found.strip():
        return None
    try:
        return json.loads(found)
    except (ValueError, RecursionError):
        return found


def document(response: urllib3.BaseHTTPResponse, most: int | None = None) -> Any:
    """JSON, of at most ``LARGEST_DOCUMENT`` bytes if not told otherwise."""
    data = whole(response, LARGEST_DOCUMENT if most is None else most)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Broken(f"expected JSON, got {data[:100]!r}: {error}") from None


def documents(response: urllib3.BaseHTTPResponse) -> list[Any]:
    """Some JSON documents one behind the other, or one list of them."""
    sent = whole(response, LARGEST_DOCUMENT).decode("utf-8", "replace").strip()
    found: list[Any] = []
    at = 0
    try:
        while at < len(sent):
            one, at = _DECODER.raw_decode(sent, at)
            found.append(one)
            while at < len(sent) and sent[at].isspace():
                at += 1
    except (ValueError, RecursionError) as error:
        raise Broken(f"expected JSON documents, got {sent[at : at + 100]!r}: {error}") from None
    return found[0] if len(found) == 1 and isinstance(found[0], list) else found


def entries(response: urllib3.BaseHTTPResponse, count: int | None = None) -> list[Any]:
    """A JSON list; null is an empty one.

    Args:
        response: the answer.
        count: how many numbers, or true and false, it should hold: what is far longer is not read.
    """
    found = document(response, None if count is None else LARGEST_REST + count * _LISTED_BYTES)
    if found is not None and not isinstance(found, list):
        raise Broken(f"expected a JSON list, got {str(found)[:100]}")
    return found or []


def fields(response: urllib3.BaseHTTPResponse, most: int | None = None) -> dict[str, Any]:
    """A JSON object."""
    found = document(response, most)
    if not isinstance(found, dict):
        raise Broken(f"expected a JSON object, got {str(found)[:100]}")
    return found


def description(response: urllib3.BaseHTTPResponse) -> dict[str, Any]:
    """What a server says of itself, a repo or an instance: a JSON object."""
    return fields(response, LARGEST_TEXT)


def numbers(*names: str) -> Callable[[urllib3.BaseHTTPResponse], tuple[int, ...]]:
    """The integers that a JSON object has under some names."""

    def read(response: urllib3.BaseHTTPResponse) -> tuple[int, ...]:
        document = fields(response)
        found = tuple(document.get(name) for name in names)
        if not all(isinstance(one, int) for one in found):
            raise Broken(f"expected a JSON object with integers {', '.join(names)}, got {str(document)[:100]}")
        return found  # type: ignore[return-value]  # all are integers

    return read


def number(name: str) -> Callable[[urllib3.BaseHTTPResponse], int]:
    """The integer that a JSON object has under a name."""
    read = numbers(name)
    return lambda response: read(response)[0]


def mutation(response: urllib3.BaseHTTPResponse) -> int | None:
    """The number of a mutation, where the server tells it."""
    answer = said(response)
    found = answer.get("MutationID") if isinstance(answer, dict) else None
    return found if isinstance(found, int) else None


def listed_labels(count: int | None = None) -> Callable[[urllib3.BaseHTTPResponse], UInt64s]:
    """Labels, or other numbers of 64 bits, as a JSON list of so many."""

    def read(response: urllib3.BaseHTTPResponse) -> UInt64s:
        found = _labels(entries(response, count))
        if count is not None and len(found) != count:
            raise Broken(f"expected {count} numbers, got {len(found)}")
        return found

    return read


def truths(count: int) -> Callable[[urllib3.BaseHTTPResponse], numpy.typing.NDArray[numpy.bool_]]:
    """A JSON list of so many true and false."""

    def read(response: urllib3.BaseHTTPResponse) -> numpy.typing.NDArray[numpy.bool_]:
        found = entries(response, count)
        if len(found) != count or not all(isinstance(one, bool) for one in found):
            raise Broken(f"expected {count} times true or false, got {str(found)[:100]}")
        return numpy.array(found, bool)

    return read


def paired_labels(*names: str) -> Callable[[urllib3.BaseHTTPResponse], list[UInt64s]]:
    """The lists of labels, or other numbers of 64 bits, that a JSON object has under some names, all of the same length."""

    def read(response: urllib3.BaseHTTPResponse) -> list[UInt64s]:
        document = fields(response)
        found = [_labels(document.get(name)) for name in names]
        if len({len(one) for one in found}) > 1:
            raise Broken(f"expected lists {', '.join(names)} of the same length, got {[len(one) for one in found]}")
        return found

    return read


def _labels(values: Any) -> UInt64s:
    try:
        return arguments.labels(values, "answer")
    except BadArgument as error:
        raise Broken(str(error)) from None


def labels(response: urllib3.BaseHTTPResponse, count: int | None = None) -> UInt64s:
    """Little-endian uint64 numbers one behind the other, so many at most."""
    data = whole(response, None if count is None else 8 * count)
    if len(data) % 8:
        raise Broken(f"expected numbers of 8 bytes, got {len(data)} bytes")
    return numpy.frombuffer(data, "<u8").astype(numpy.uint64)


def sparse_volume(response: urllib3.BaseHTTPResponse) -> SparseVolume:
    """A sparse volume with its header; nothing is one without voxels."""
    data = whole(response)
    try:
        return SparseVolume.from_wire(data) if data else SparseVolume.from_coordinates([])
    except BadArgument as error:
        raise Broken(str(error)) from None


def status(response: urllib3.BaseHTTPResponse) -> int:
    """The status of a success."""
    return response.status


def nothing(response: urllib3.BaseHTTPResponse) -> None:
    """What the body says is of no interest."""
