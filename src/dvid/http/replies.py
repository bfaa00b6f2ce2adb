"""From a handler's reply, or an error, to the status, headers and body of an HTTP answer."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, cast

import falcon

from dvid.errors import Busy, DvidError, TooLarge
from dvid.http.gate import Gate
from dvid.routes import TEXT, Reply

log = logging.getLogger("dvid.http")

_IN_MEMORY = 16 << 20
"""Largest answer of a length not known beforehand that is kept in memory until it is complete."""
_PIECE = 256 << 10
_WORTH_COMPRESSING = 1024
_LONGEST_MESSAGE = 1000

Pieces = Iterator[bytes]


@dataclass(slots=True)
class Answer:
    """What is sent."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes | Pieces = b""
    length: int = 0
    """Bytes of the body."""
    unfinished: list[Callable[[], None]] = field(default_factory=list)
    """What to call when the body was sent, or will not be."""

    def close(self) -> None:
        """Let go of everything the body needs."""
        if not isinstance(self.body, bytes):
            _close(self.body)
        while self.unfinished:
            self.unfinished.pop()()


def answer_of(reply: Reply, environ: Mapping[str, str], limits: Any, deadline: float) -> Answer:
    """The answer that a reply becomes.

    Nothing is sent before the length of the whole is known: so an error on the way is an error for the client, too,
    instead of an answer that looks complete and is not.

    Raises:
        TooLarge: the answer is over `limits.answerBytes`.
        Busy: it took longer than `limits.requestSeconds`.
    """
    headers = [] if reply.status in (204, 304) else [("content-type", reply.media_type)]
    headers += [(name.lower(), value) for name, value in reply.headers.items()]
    body = reply.body
    if isinstance(body, bytes | bytearray | memoryview):
        return _whole(reply, headers, bytes(body), environ, limits.answer_bytes)
    if environ["REQUEST_METHOD"] == "HEAD" and reply.length is not None:
        _close(body)
        return Answer(reply.status, [*headers, ("content-length", str(reply.length))])
    if reply.length is not None:
        _check(reply.length, limits.answer_bytes)
        headers.append(("content-length", str(reply.length)))
        return Answer(reply.status, headers, _paced(iter(body), deadline), reply.length)
    pieces, length = _collect(iter(body), limits.answer_bytes, deadline)
    if isinstance(pieces, list):
        if len(pieces) == 1 or _is_text(reply.media_type):
            return _whole(reply, headers, b"".join(pieces), environ, limits.answer_bytes)
        pieces = iter(pieces)
    headers.append(("content-length", str(length)))
    return Answer(reply.status, headers, pieces, length)


def _whole(reply: Reply, headers: list[tuple[str, str]], body: bytes, environ: Mapping[str, str], most: int) -> Answer:
    _check(len(body), most)
    if len(body) > _WORTH_COMPRESSING and _is_text(reply.media_type):
        headers.append(("vary", "Accept-Encoding"))
        if _takes_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")) and "Content-Encoding" not in reply.headers:
            from isal import isal_zlib

            body = isal_zlib.compress(body, 1, 31)  # 31: with the header of a gzip file
            headers.append(("content-encoding", "gzip"))
    if reply.status not in (204, 304):
        headers.append(("content-length", str(len(body))))
    return Answer(reply.status, headers, body, len(body))


def _check(length: int, most: int) -> None:
    if length > most:
        raise TooLarge(f"the answer has {length} bytes, the limit is {most} (limits.answerBytes): ask for less at once")


def _is_text(media_type: str) -> bool:
    return media_type.startswith("text/") or "json" in media_type


def _takes_gzip(accepted: str) -> bool:
    if "gzip" not in accepted:
        return False
    for part in accepted.split(","):
        coding, _, parameters = part.partition(";")
        if coding.strip().lower() == "gzip":
            quality = parameters.strip().lower().removeprefix("q=").strip()
            return quality.strip("0.") != "" or quality == ""
    return False


def _check_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise Busy("the request took longer than allowed (limits.requestSeconds): ask for less at once")


def _paced(pieces: Iterator[bytes | memoryview], deadline: float) -> Pieces:
    try:
        for piece in pieces:
            _check_time(deadline)
            yield bytes(piece)
    finally:
        _close(pieces)


def _collect(pieces: Iterator[bytes | memoryview], most: int, deadline: float) -> tuple[list[bytes] | Pieces, int]:
    """All pieces, in memory or, where they are many, in a file without a name."""
    kept: list[bytes] = []
    length = 0
    try:
        for piece in pieces:
            _check_time(deadline)
            kept.append(bytes(piece))
            length += len(piece)
            _check(length, most)
            if length > _IN_MEMORY:
                return _spool(kept, pieces, length, most, deadline)
        return kept, length
    finally:
        _close(pieces)


def _spool(
    kept: list[bytes], pieces: Iterator[bytes | memoryview], length: int, most: int, deadline: float
) -> tuple[Pieces, int]:
    file = tempfile.TemporaryFile(prefix="dvid-answer-")  # noqa: SIM115 - closed when it was sent
    try:
        file.writelines(kept)
        for piece in pieces:
            _check_time(deadline)
            length += len(piece)
            _check(length, most)
            file.write(piece)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return _read(file, deadline), length


def _read(file: Any, deadline: float) -> Pieces:
    with file:
        while piece := file.read(_PIECE):
            _check_time(deadline)
            yield piece


def _close(pieces: Iterable[Any]) -> None:
    close = getattr(pieces, "close", None)
    if close is not None:
        close()


def error_answer(error: BaseException, environ: Mapping[str, str]) -> Answer:
    """The answer to an error: one line of text that says what was wrong."""
    headers: list[tuple[str, str]] = []
    where = f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO', '')[:500]!r}"
    if isinstance(error, DvidError):
        status, message = error.status, str(error)
        if status >= 500:
            log.error("%s: %d %s", where, status, message)
        headers += [(name.lower(), value) for name, value in getattr(error, "headers", {}).items()]
    elif isinstance(error, falcon.HTTPError):
        status = int(str(error.status).split()[0])
        message = error.description or error.title or "the request cannot be served"
    else:
        log.error("%s: an error that should not happen", where, exc_info=error)
        status, message = 500, "an error inside the server; its log says more"
    if status == 503:
        headers.append(("retry-after", "1"))
    message = " ".join(message.split())  # values of the request may be in it, of any length and with any characters
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[:_LONGEST_MESSAGE]}..."
    body = (message + "\n").encode(errors="replace")
    headers += [("content-type", TEXT), ("content-length", str(len(body)))]
    return Answer(status, headers, body, len(body))


class Body:
    """The pieces of an answer while they are sent.

    Made by a request that has a place in the gate, and takes it over. `begun` is called as the first piece leaves, and
    `done` at the end.
    """

    def __init__(
        self, answer: Answer, gate: Gate, done: Callable[[int, bool], None], begun: Callable[[], None]
    ) -> None:
        self._answer, self._gate, self._done, self._begun = answer, gate, done, begun
        self._next: Callable[[], bytes] = iter(cast("Pieces", answer.body)).__next__
        self._sent = 0
        self._ended = False
        self._wait = gate.begin_wait()

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        self._gate.end_wait(self._wait)
        try:
            piece = self._next()
        except StopIteration:
            raise
        except BaseException as error:
            # The client sees that bytes are missing: fewer came than Content-Length has announced.
            log.error("an answer was cut after %d of %d bytes", self._sent, self._answer.length, exc_info=error)
            raise StopIteration from None
        finally:
            self._wait = self._gate.begin_wait()
        if not self._sent:
            self._begun()
        self._sent += len(piece)
        return piece

    def close(self) -> None:
        """The body was sent, or the client has gone."""
        if not self._ended:
            self._ended = True
            self._begun()
            self._gate.end_wait(self._wait)
            try:
                self._answer.close()
            finally:
                self._gate.leave()
                self._done(self._sent, self._sent < self._answer.length)

    def __enter__(self) -> Body:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
