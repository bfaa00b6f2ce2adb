"""How a route of the HTTP API is declared: once, with its arguments, options and media types.

Parsing, help texts, the OpenAPI description and the docs page all come from these declarations. A handler is an
ordinary function: it gets a call and the parsed arguments, and gives a reply. It never sees an HTTP request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from dvid.errors import BadRequest
from dvid.geometry import MAX_COORDINATE, MIN_COORDINATE, Xyz

if TYPE_CHECKING:
    from dvid.storage.protocol import Transaction
    from dvid.versions.edit import Edit
    from dvid.versions.records import InstanceRecord
    from dvid.versions.view import View

OCTETS = "application/octet-stream"
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"

_json = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Reply:
    """What a handler answers."""

    body: bytes | bytearray | memoryview | Iterable[bytes | memoryview] = b""
    """The whole body, or its pieces, made while they are sent."""
    media_type: str = OCTETS
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    """Length in bytes of a body in pieces, where it is known beforehand."""


def json_reply(value: Any, media_type: str = JSON) -> Reply:
    """A value as JSON."""
    return Reply(_json.encode(value), media_type)


def text_reply(text: str) -> Reply:
    """Plain text."""
    return Reply(text.encode(), TEXT)


class Call(Protocol):
    """A request to an instance, as handlers see it."""

    @property
    def user(self) -> str:
        """Who asks (`?u=`), or the empty string."""
        ...

    def header(self, name: str) -> str | None:
        """A request header."""
        ...

    def body(self, limit: int | None = None) -> bytes:
        """The request's body, at most `limit` bytes and at most what the server allows (TooLarge beyond)."""
        ...

    def read(self, size: int) -> bytes:
        """The next part of the request's body, at most `size` bytes; empty at its end."""
        ...

    def json(self) -> Any:
        """The request's body as JSON."""
        ...

    @property
    def limits(self) -> Any:
        """The server's limits (dvid.config)."""
        ...

    @property
    def config(self) -> Any:
        """The server's settings (dvid.config)."""
        ...

    def view(self) -> AbstractContextManager[View]:
        """The instance at the node asked for, to read."""
        ...

    def turn_to(self, name: str) -> None:
        """Go on as a request to another instance of the repo, at the same node."""
        ...

    def edit(self, operation: Callable[[Edit], Reply]) -> Reply:
        """Run an operation on the instance at the node asked for, in one transaction; what it replies.

        The operation makes the reply, whole and of at most 64 KiB: it is kept in the same transaction if the request
        may be sent again (`Idempotency-Key`).
        """
        ...

    def configure(
        self,
        operation: Callable[[Transaction, InstanceRecord], Reply],
        before: Callable[[Transaction, InstanceRecord, int], None] | None = None,
    ) -> Reply:
        """The same for an operation on the instance's record, whether or not the node is committed.

        `before` is run first, on the instance's data, with its record and the root version of its repo: in the same
        transaction, or in one that ends before it where the data are in a store of their own.
        """
        ...


# ---- arguments ----------------------------------------------------------------------------------

REQUIRED: Any = object()


@dataclass(frozen=True, slots=True)
class Argument:
    """A part of the path, or an option of the query."""

    name: str
    about: str
    parse: Callable[[str], Any] = str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    """JSON schema of the text, for OpenAPI."""
    default: Any = REQUIRED
    """Value where it is not given. Parts of the path in [brackets] may be absent, too."""
    example: str = ""
    foreign: bool = False
    """True if it names other data than the request's own, such as a region: answers to it are not kept by clients."""

    def read(self, text: str) -> Any:
        """Parse the text of a request.

        Raises:
            BadRequest: it is not what the argument takes.
        """
        try:
            return self.parse(text)
        except BadRequest as error:
            raise BadRequest(f"{self.name}: {error}") from error


_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)


def integer(minimum: int, maximum: int) -> Callable[[str], int]:
    """A parser of whole numbers in a range."""

    def parse(text: str) -> int:
        if not _INTEGER.fullmatch(text) or not minimum <= int(text) <= maximum:
            raise BadRequest(f"a whole number from {minimum} to {maximum} was expected, not {text[:40]!r}")
        return int(text)

    return parse


def integers(text: str, separator: str, what: str, count: int | None = None) -> tuple[int, ...]:
    """Parse whole 32-bit numbers with a separator between them.

    Raises:
        BadRequest: `text` is not such a list, or not of `count` numbers.
    """
    parts = text.split(separator)
    if (count is not None and len(parts) != count) or not all(_INTEGER.fullmatch(part) for part in parts):
        n = "" if count is None else f"{count} "
        raise BadRequest(f"{what}: {n}whole numbers separated by {separator!r} were expected, not {text[:60]!r}")
    numbers = tuple(map(int, parts))
    if min(numbers) < MIN_COORDINATE or max(numbers) > MAX_COORDINATE:
        raise BadRequest(f"{what}: {text[:60]!r} has a number outside the 32-bit range")
    return numbers


@lru_cache(4096)  # viewers ask for the same sizes and places again and again
def xyz(text: str) -> Xyz:
    """Parse a point or size like 10_20_30."""
    return integers(text, "_", "a 3D coordinate x_y_z", 3)  # type: ignore[return-value]


@lru_cache(4096)
def coordinates(text: str) -> tuple[int, ...]:
    """Parse two or three coordinates like 10_20."""
    numbers = integers(text, "_", "coordinates")
    if len(numbers) not in (2, 3):
        raise BadRequest(f"two or three numbers were expected, not {len(numbers)}")
    return numbers


def flag(text: str) -> bool:
    """Parse an option that is on or off."""
    lowered = text.lower()
    if lowered in ("true", "on", "1", "yes"):
        return True
    if lowered in ("false", "off", "0", "no", ""):
        return False
    raise BadRequest(f"true or false was expected, not {text[:40]!r}")


def choice(*options: str) -> Callable[[str], str]:
    """A parser of one of several words."""

    def parse(text: str) -> str:
        if text not in options:
            raise BadRequest(f"one of {', '.join(filter(None, options))} was expected, not {text[:40]!r}")
        return text

    return parse


_KIND = re.compile(r":\w+\}")


# ---- routes -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path, and what serves it."""

    method: str
    path: str
    """Path below the datatype's or the server's root, like "/blocks/{start}/{count}"; "[...]" may be left out."""
    handler: Callable[..., Reply]
    about: str
    """What it does, for people: a paragraph or more, first line first."""
    arguments: Sequence[Argument] = ()
    options: Sequence[Argument] = ()
    body: str = ""
    """What the request's body holds; empty if there is none."""
    answers: str = OCTETS
    """Media type of the answer."""
    writes: bool = False
    of_node: bool = True
    """False for writes to what all versions share (tags, syncs): they are taken on committed nodes, too."""
    throttled: bool = False
    """True if `throttle=true` makes it wait for its turn among the heavy requests."""
    admin: bool = False
    immutable: bool = False
    """True if the answer depends only on the path, the query and the instance's data at the node: on a committed node
    clients need not fetch it twice (ETag)."""

    @property
    def shown(self) -> str:
        """The path as people and tools are shown it: without "{name:path}", how a router is told that "/" belongs to it."""
        return _KIND.sub("}", self.path)

    def expanded(self) -> Iterator[str]:
        """The paths with and without their optional last parts."""
        head, *optional = self.path.split("[")
        yield head
        for part in optional:
            head += part.rstrip("]")
            yield head
