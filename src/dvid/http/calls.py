"""A request as handlers see it: who asks, for what, with which body."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import falcon
import msgspec

from dvid.config import Config, Limits
from dvid.database import Database
from dvid.errors import BadRequest, Busy, Forbidden, LengthRequired, Stalled, TooLarge
from dvid.http.access import Caller
from dvid.http.board import Board
from dvid.http.gate import Exchange, Gate
from dvid.http.journal import Journal
from dvid.http.retries import Attempt
from dvid.routes import Reply
from dvid.storage.protocol import Transaction
from dvid.versions.catalogue import Directory
from dvid.versions.edit import Edit
from dvid.versions.records import InstanceRecord
from dvid.versions.view import View
from dvid.versions.viewing import Viewing

EXCHANGE = "dvid.exchange"
"""Where a request's environment has what the gate knows of it (`dvid.http.gate.Exchange`)."""

_decode_json = msgspec.json.Decoder().decode
_PIECE = 1 << 20
_MOST_JSON = 4 << 20
"""Longest JSON that is read whole. As Python objects it may take 25 times as much memory."""


def _parsed(data: bytes) -> Any:
    try:
        return _decode_json(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the request's body is not JSON: {error}") from None


def skip_body(environ: Mapping[str, Any], gate: Gate, received: int, most: int) -> bool:
    """Read and drop the rest of a request's body.

    Args:
        environ: the WSGI environment.
        gate: is left while the client is waited for.
        received: bytes that were read of it.
        most: bytes it may have in all.

    Returns:
        False if there is more of it, or it cannot be read.
    """
    try:
        announced = int(environ["CONTENT_LENGTH"]) if "CONTENT_LENGTH" in environ else None
    except ValueError:
        return False
    if announced is not None and received >= announced:
        return True
    if received == 0 and "HTTP_EXPECT" in environ:  # the client waits with its body until somebody asks for it
        return False
    if received > most or (announced is not None and announced > most):
        return False
    while received <= most and (announced is None or received < announced):
        size = _PIECE if announced is None else min(_PIECE, announced - received)
        try:
            with gate.reading(environ[EXCHANGE]):
                piece = environ["wsgi.input"].read(size)
        except Exception:  # noqa: BLE001 - whatever it is, the client has gone
            return False
        if not piece:
            return announced is None
        received += len(piece)
    return received <= most


@dataclass(frozen=True, slots=True)
class Service:
    """What all requests of a worker have in common."""

    database: Database
    config: Config
    board: Board
    journal: Journal
    gate: Gate


class Request:
    """What any handler may ask of a request."""

    __slots__ = ("_falcon", "_service", "attempt", "caller", "deadline", "received")

    def __init__(self, request: falcon.Request, service: Service, caller: Caller) -> None:
        self._falcon, self._service = request, service
        self.caller = caller
        """What its sender may do."""
        self.received = 0
        """Bytes of the body that were read."""
        self.deadline = time.monotonic() + service.config.limits.request_seconds
        """When it has to be done."""
        self.attempt: Attempt | None = None
        """Keeps the reply, where the request has an `Idempotency-Key`."""

    @property
    def database(self) -> Database:
        """The store that is served."""
        return self._service.database

    @property
    def config(self) -> Config:
        """The server's settings."""
        return self._service.config

    @property
    def board(self) -> Board:
        """What the workers of the server share."""
        return self._service.board

    @property
    def journal(self) -> Journal:
        """The requests that were answered."""
        return self._service.journal

    @property
    def gate(self) -> Gate:
        """The requests that are worked on."""
        return self._service.gate

    @property
    def user(self) -> str:
        """Who asks, as they say themselves (`?u=`)."""
        return str(self._falcon.get_param("u") or "")

    @property
    def app(self) -> str:
        """With which program (`?app=`)."""
        return str(self._falcon.get_param("app") or "")

    @property
    def asks_for_its_turn(self) -> bool:
        """True if it is to be refused when too many heavy requests are running (`?throttle=on`)."""
        return bool(self._falcon.get_param_as_bool("throttle"))

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
            LengthRequired: it has no announced length.
        """
        if self._falcon.content_length is None and self._chunked:
            # The HTTP server does not tell a broken connection from the end of a chunked body.
            raise LengthRequired(
                "a Content-Length is needed with this body: without it, one that was cut on its way looks complete"
            )
        return self._whole(limit)

    def _whole(self, limit: int | None = None) -> bytes:
        announced = self._check_length(limit)
        if announced is not None and announced <= _PIECE:
            data = self.read(announced)
        else:
            pieces = io.BytesIO()  # grows with what comes, whatever was announced; its value is not copied
            while piece := self.read(_PIECE):
                pieces.write(piece)
                if limit is not None and self.received > limit:
                    raise TooLarge(f"the request's body has more than {limit} bytes, the most that is taken here")
            data = pieces.getvalue()
        if announced is not None and len(data) != announced:
            raise BadRequest(f"the request's body ends after {len(data)} bytes; Content-Length says {announced}")
        return data

    def _check_length(self, limit: int | None = None) -> int | None:
        allowed = self.limits.body_bytes
        announced = self._falcon.content_length
        if announced is not None and announced > allowed:
            raise TooLarge(f"the request's body has {announced} bytes, the limit is {allowed} (limits.bodyBytes)")
        if announced is not None and limit is not None and announced > limit:
            raise TooLarge(f"the request's body has {announced} bytes, the most that is taken here is {limit}")
        return int(announced) if announced is not None else None if self._chunked else 0

    def read(self, size: int) -> bytes:
        """The next part of the request's body, at most `size` bytes; empty at its end.

        A body without Content-Length may seem to end early: only what can be told from its beginning may be read so.

        Raises:
            TooLarge: the body is longer than the server's `bodyBytes`.
            Busy: the request takes longer than the server's `requestSeconds`.
            Stalled: nothing of it came for the server's `silenceSeconds`.
        """
        if time.monotonic() > self.deadline:
            raise Busy("the request's body came too slowly: it took longer than limits.requestSeconds")
        announced = self._check_length()
        size = min(size, _PIECE)  # in pieces: the server hands on what it has, and never gathers a large body twice
        if announced is not None:
            size = min(size, announced - self.received)
        if size <= 0:
            return b""
        exchange: Exchange = self._falcon.env[EXCHANGE]
        with self.gate.reading(exchange):
            piece: bytes = self._falcon.env["wsgi.input"].read(size)
        self.received += len(piece)
        # The end of a chunked body looks the same.
        if len(piece) < size and (exchange.cut if announced is not None else exchange.tried is not None):
            raise Stalled(
                f"the request's body stopped after {self.received} bytes: nothing came for "
                f"{self.limits.silence_seconds:g} s (limits.silenceSeconds)"
            )
        if self.attempt is not None:
            self.attempt.take(piece)
        if announced is None and self.received > self.limits.body_bytes:
            raise TooLarge(f"the request's body has more than {self.limits.body_bytes} bytes (limits.bodyBytes)")
        return piece

    def read_rest(self) -> None:
        """Read what is left of the request's body.

        Raises:
            BadRequest: it ends before its announced length.
        """
        while self.read(_PIECE):
            pass
        announced = self._falcon.content_length
        if announced is not None and self.received != announced:
            raise BadRequest(f"the request's body ends after {self.received} bytes; Content-Length says {announced}")

    def keeper(self) -> Callable[[Transaction, Reply], Reply]:
        """What puts a reply into the transaction that it tells of, and gives it: see `dvid.http.retries`."""
        attempt = self.attempt
        if attempt is None:
            return lambda _, reply: reply
        self.read_rest()

        def kept(transaction: Transaction, reply: Reply) -> Reply:
            attempt.keep(transaction, reply)
            return reply

        return kept

    def transact(self, operation: Callable[[Transaction, Directory], Reply]) -> Reply:
        """Run an operation on the metadata in a transaction, and keep its reply."""
        keep = self.keeper()
        return self.database.transact(
            lambda transaction, directory: keep(transaction, operation(transaction, directory))
        )

    @property
    def _chunked(self) -> bool:
        return "HTTP_TRANSFER_ENCODING" in self._falcon.env

    def json(self) -> Any:
        """The request's body as JSON.

        Raises:
            BadRequest: it is not JSON.
            TooLarge: it has more than 4 MiB.
        """
        return _parsed(self._whole(_MOST_JSON))  # JSON that was cut is no JSON: chunked bodies will do

    def json_object(self) -> dict[str, Any]:
        """The request's body as a JSON object; an empty body counts as an empty object.

        Raises:
            BadRequest: it is something else.
            TooLarge: it has more than 4 MiB.
        """
        data = self._whole(_MOST_JSON)
        value = _parsed(data) if data else {}
        if not isinstance(value, dict):
            raise BadRequest('a JSON object was expected, like {"name": "value"}')
        return value


class NodeRequest(Request):
    """A request to a repo or node."""

    __slots__ = ("selector",)

    def __init__(self, request: falcon.Request, service: Service, caller: Caller, selector: str) -> None:
        super().__init__(request, service, caller)
        self.selector = selector


class InstanceRequest(NodeRequest):
    """A request to a data instance (a `dvid.routes.Call`)."""

    __slots__ = ("_opened", "name")

    def __init__(self, request: falcon.Request, service: Service, caller: Caller, selector: str, name: str) -> None:
        super().__init__(request, service, caller, selector)
        self.name = name
        self._opened: Viewing | None = None

    def look(self) -> View:
        """The instance at the node asked for, before the handler is known: what `view` gives first is this view."""
        self._opened = self.database.view(self.selector, self.name)
        return self._opened.open()

    def view(self) -> AbstractContextManager[View]:
        """The instance at the node asked for, to read."""
        opened, self._opened = self._opened, None
        return self.database.view(self.selector, self.name) if opened is None else opened

    def turn_to(self, name: str) -> None:
        """Go on as a request to another instance of the repo, at the same node."""
        self.look_away()
        self.name = name

    def look_away(self) -> None:
        """Close the view of `look`, unless `view` has handed it on."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def edit(self, operation: Callable[[Edit], Reply]) -> Reply:
        """Run an operation on the instance at the node asked for, in one transaction, and keep its reply."""
        if self.config.server.read_only:
            raise Forbidden("this server is read-only")
        keep = self.keeper()
        return self.database.edit(
            self.selector,
            self.name,
            lambda edit: keep(edit.snapshot, operation(edit)),
            user=self.user,
            app=self.app,
            unlocked=self.caller.lifts_locks,
        )

    def configure(
        self,
        operation: Callable[[Transaction, InstanceRecord], Reply],
        before: Callable[[Transaction, InstanceRecord, int], None] | None = None,
    ) -> Reply:
        """Run an operation on the instance's record, in one transaction, whether or not the node is committed."""
        if self.config.server.read_only:
            raise Forbidden("this server is read-only")
        keep = self.keeper()
        return self.database.configure(
            self.selector,
            self.name,
            lambda transaction, instance: keep(transaction, operation(transaction, instance)),
            before,
        )
