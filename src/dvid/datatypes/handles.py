"""Data instances as Python objects: what `dvid.open(...)[repo][node][name]` gives."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from dvid.versions.edit import Edit
from dvid.versions.view import View

T = TypeVar("T")


class Source(Protocol):
    """Where instances are read and written: `dvid.database.Database`."""

    def view(self, selector: str, name: str) -> AbstractContextManager[View]:
        """An instance at a node, to read."""
        ...

    def edit(self, selector: str, name: str, operation: Callable[[Edit], T]) -> T:
        """Run an operation on an instance at a node, in one transaction."""
        ...


class Handle:
    """A data instance at a node. It holds nothing: every use reads or writes the store anew."""

    def __init__(self, source: Source, selector: str, name: str) -> None:
        self._source = source
        self._selector = selector
        self.name = name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} at node {self._selector}>"

    def view(self) -> AbstractContextManager[View]:
        """The instance to read, for the operations of its datatype."""
        return self._source.view(self._selector, self.name)

    def edit(self, operation: Callable[[Edit], T]) -> T:
        """Run an operation of the datatype in one transaction."""
        return self._source.edit(self._selector, self.name, operation)

    @property
    def info(self) -> dict[str, Any]:
        """Type, settings, extents and tags, as the HTTP API answers them."""
        from dvid.datatypes.base import describe

        with self.view() as view:
            return describe(view)
