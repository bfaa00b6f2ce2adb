"""A request as handlers see it: who asks, for what, with which body."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import falcon
import msgspec

from dvid.config import Config, Limits
from dvid.database import Database
from dvid.errors import BadRequest, Forbidden, TooLarge
from dvid.storage.protocol import Transaction
from dvid.versions.catalogue import Directory
from dvid.versions.records import InstanceRecord
from dvid.versions.view import Edit, View

T = TypeVar("T")

_decode_json = msgspec.json.Decoder().decode
_PIECE = 1 << 20


def _parsed(data: bytes) -> Any:
    try:
        return _decode_json(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the request's body is not JSON: {error}") from None


class Request:
    """What any handler may ask of a request."""

    __slots__ = ("_falcon", "_read", "admin", "config", "database")

    def __init__(self, request: falcon.Request, database: Database, config: Config, *, admin: bool) -> None:
        self._falcon = request
        self._read = 0  # bytes of the body
        self.database = database
        self.config = config
        self.admin = admin
        """True if the caller has shown admin rights."""

    @property
    def user(self) -> str:
        """Who asks, as they say themselves (`?u=`)."""
        return str(self._falcon.get_param("u") or "")

    @property
    def app(self) -> str:
        """With which program (`?app=`)."""
        return str(self._falcon.get_param("app") or "")

    @property
    def limits(self) -> Limits:
        """The server's limits."""
        return self.config.limits

    @property
    def method(self) -> str:
        """GET, HEAD, POST or DELETE."""
        return str(self._falcon.method)

    def header(self, name: str) -> str | None:
        """A request header."""
        value = self._falcon.get_header(name)
        return None if value is None else str(value)

    def body(self, limit: int | None = None) -> bytes:
        """The request's body.

        Raises:
            TooLarge: it is longer than `limit` or the server's `bodyBytes`.
            BadRequest: it ends before its announced length.
        """
        allowed = self.limits.body_bytes if limit is None else min(limit, self.limits.body_bytes)
        announced = self._falcon.content_length
        if announced is not None and announced > allowed:
            raise TooLarge(f"the request's body has {announced} bytes, the limit is {allowed} (limits.bodyBytes)")
        pieces, size = [], 0
        while piece := self.read(allowed + 1 - size):
            size += len(piece)
            if size > allowed:
                raise TooLarge(f"the request's body has more than {allowed} bytes, the limit (limits.bodyBytes)")
            pieces.append(piece)
        if announced is not None and size != announced:
            raise BadRequest(f"the request's body ends after {size} bytes; Content-Length says {announced}")
        return b"".join(pieces)

    def read(self, size: int) -> bytes:
        """The next part of the request's body, at most `size` bytes; empty at its end."""
        announced = self._falcon.content_length
        if announced is not None:
            size = min(size, announced - self._read)
        if size <= 0:
            return b""
        # In pieces: the server hands on what it has, and never gathers a large body a second time.
        piece = bytes(self._falcon.stream.read(min(size, _PIECE)))
        self._read += len(piece)
        return piece

    def json(self) -> Any:
        """The request's body as JSON.

        Raises:
            BadRequest: it is not JSON.
        """
        return _parsed(self.body())

    def json_object(self) -> dict[str, Any]:
        """The request's body as a JSON object; an empty body counts as an empty object.

        Raises:
            BadRequest: it is something else.
        """
        data = self.body()
        value = _parsed(data) if data else {}
        if not isinstance(value, dict):
            raise BadRequest('a JSON object was expected, like {"name": "value"}')
        return value


class NodeRequest(Request):
    """A request to a repo or node."""

    __slots__ = ("selector",)

    def __init__(
        self, request: falcon.Request, database: Database, config: Config, *, admin: bool, selector: str
    ) -> None:
        super().__init__(request, database, config, admin=admin)
        self.selector = selector


class InstanceRequest(NodeRequest):
    """A request to a data instance (a `dvid.routes.Call`)."""

    __slots__ = ("name",)

    def __init__(
        self, request: falcon.Request, database: Database, config: Config, *, admin: bool, selector: str, name: str
    ) -> None:
        super().__init__(request, database, config, admin=admin, selector=selector)
        self.name = name

    def view(self) -> AbstractContextManager[View]:
        """The instance at the node asked for, to read."""
        return self.database.view(self.selector, self.name)

    def edit(self, operation: Callable[[Edit], T]) -> T:
        """Run an operation on the instance at the node asked for, in one transaction."""
        if self.config.server.read_only:
            raise Forbidden("this server is read-only")
        return self.database.edit(
            self.selector, self.name, operation, user=self.user, app=self.app, unlocked=self.admin
        )

    def configure(self, operation: Callable[[Transaction, InstanceRecord], T]) -> T:
        """Run an operation on the instance's record, in one transaction, whether or not the node is committed."""
        if self.config.server.read_only:
            raise Forbidden("this server is read-only")

        def run(transaction: Transaction, directory: Directory) -> T:
            repo = directory.node(transaction, self.selector).record.repo
            return operation(transaction, directory.instance(transaction, repo, self.name))

        return self.database.transact(run)
