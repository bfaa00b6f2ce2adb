"""Answers that are sent in pieces, as they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from dvid.routes import OCTETS, Call, Reply
from dvid.versions.view import View

_EAGER_BYTES = 1 << 18


def streamed(
    call: Call,
    pieces: Callable[[View], Iterator[bytes | memoryview]],
    media_type: str = OCTETS,
    length: int | None = None,
) -> Reply:
    """An answer in pieces, all read from one view.

    The first ones, of 256 KiB, are made before it is sent: what goes wrong there has its status. A shorter answer is whole.

    Args:
        call: the request.
        pieces: makes the pieces from a view of the instance.
        media_type: of the answer.
        length: bytes of all pieces, where they are known beforehand.
    """

    def from_view() -> Iterator[bytes | memoryview]:
        with call.view() as view:
            yield from pieces(view)

    rest, started, size = from_view(), [], 0
    for piece in rest:
        started.append(piece)
        size += len(piece)
        if size >= _EAGER_BYTES:
            return Reply(chain(started, rest), media_type, length=length)
    return Reply(b"".join(started), media_type)
