"""The errors of the HDF5 server: a file that cannot be served, and a request that cannot be answered."""

from __future__ import annotations


class FileUnusable(Exception):
    """A file cannot be served or written to; the message is one line that names it and says why."""


class Refused(ValueError):
    """A request, or a call, asks for what cannot be; nothing was changed.

    Attributes:
        status: the HTTP status to answer with.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class NotThere(Refused):
    """What is asked for does not exist."""

    def __init__(self, message: str, status: int = 404) -> None:
        super().__init__(message, status)
