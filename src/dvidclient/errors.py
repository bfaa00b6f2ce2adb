"""The client's errors: what the caller got wrong, what the server refused, what did not come back."""

from __future__ import annotations

from typing import Any


class ClientError(Exception):
    """Base of all errors the client raises on purpose."""


class BadArgument(ClientError, ValueError):
    """An argument is wrong; nothing was sent."""


class MetadataError(ClientError, ValueError):
    """Metadata of a volume does not have the expected form.

    Attributes:
        field: the place, such as ``Axes[1].Size``.
    """

    def __init__(self, field: str, expected: str, value: object) -> None:
        super().__init__(f"{field}: expected {expected}, got {value!r}")
        self.field = field
        self._given = (field, expected, value)

    def __reduce__(self) -> tuple[Any, ...]:
        # An error has the arguments of its base, with which this one cannot be made anew in another process.
        return type(self), self._given


class RequestFailed(ClientError):
    """A request did not do what was asked.

    Attributes:
        method: HTTP method.
        url: what was asked for.
        status: HTTP status, or None where no whole answer came.
        answer: what the server said, or what went wrong with the connection.
        what: what the request was for, in words (``reading x 0:64, y 0:64, z 0:64 of volume 'em'``).
    """

    def __init__(self, method: str, url: str, status: int | None, answer: str, what: str) -> None:
        outcome = "no whole answer" if status is None else f"status {status}"
        super().__init__(f"{what} failed: {method} {url}: {outcome}: {answer}")
        self.method = method
        self.url = url
        self.status = status
        self.answer = answer
        self.what = what

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.method, self.url, self.status, self.answer, self.what)


class ServerRefused(RequestFailed):
    """The server answered with a status that is not a success."""


class NoAnswer(RequestFailed):
    """The server could not be reached, or its answer broke off, also after repeated tries."""


class Unsupported(ClientError):
    """The server does not have what was asked for."""
