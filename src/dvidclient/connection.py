"""Requests to one server: one pool of connections, timeouts, repeated tries, errors that say what happened."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import json
import math
import os
import random
import re
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self, TypeVar

import urllib3

from dvidclient import answers
from dvidclient.arguments import text
from dvidclient.errors import BadArgument, NoAnswer, ServerRefused

Answer = TypeVar("Answer")

# A server or a proxy answers these when it cannot do now what it may well do in a moment.
BUSY = frozenset({429, 502, 503, 504})
LONGEST_PAUSE = 10.0
LONGEST_MESSAGE = 4096
# More threads than that hardly get voxels any sooner from one server, and many servers take some hundred connections in all.
REQUESTS = 64


class Connection:
    """A server and the way to it. Safe to use from several threads, and in processes that are forked off.

    Args:
        hostname: ``localhost:8000`` or a URL, ``http://`` or ``https://``, with or without a path in front of ``/api``.
        token: sent as ``Authorization: Bearer``; as ``admintoken=``, too, to a server that says that it wants it so. An admin's token lifts the lock of committed nodes: give it only where that is meant.
        user: who asks (``u=``); servers keep it with what is changed.
        app: with which program (``app=``).
        timeout: seconds without any progress after which a request has failed.
        retries: how often a request that can be repeated is tried again.
        connections: how many requests are under way at a time; what is asked for beyond that waits. There are as many connections
            as were needed at the same time, and they are kept open to be used again, until ``close()``.

    Raises:
        BadArgument: for a hostname that is no address, a token that no header can carry, or numbers that are out of range.
    """

    def __init__(
        self,
        hostname: str,
        *,
        token: str | None = None,
        user: str | None = None,
        app: str | None = None,
        timeout: float = 60.0,
        retries: int = 3,
        connections: int = REQUESTS,
    ) -> None:
        self.base_url = base_url(hostname)
        _check_limits(timeout, retries, connections)
        _check_token(token)
        self._options = (token, user, app, timeout, retries, connections)
        self.retries = retries
        self.timeout = timeout
        self._token = token
        self._asker = urllib.parse.urlencode({key: value for key, value in (("u", user), ("app", app)) if value})
        self._headers = {"User-Agent": user_agent()}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._heeds_keys: bool | None = None
        self._lock = threading.Lock()
        self._open_pool()

    def _open_pool(self) -> None:
        _, _, _, timeout, _, connections = self._options
        self._pool = urllib3.PoolManager(
            maxsize=connections,
            block=True,
            timeout=urllib3.Timeout(connect=min(timeout, 10.0), read=timeout),
            retries=False,
        )
        self._process = os.getpid()

    def _pool_here(self) -> urllib3.PoolManager:
        """The pool of this process: two that shared a socket since a fork would get each other's answers."""
        if self._process != os.getpid():
            self._lock = threading.Lock()  # a thread that is not here may have held the other one
            self._open_pool()
        return self._pool

    def close(self) -> None:
        """Closes the connections; those of requests that are under way when these have ended. What is asked for later opens new ones."""
        if self._process == os.getpid():
            self._pool.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        # One for all that one process is sent, so that there is one pool in it, too.
        return _shared, (self.base_url, *self._options)

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine, as far as its address tells."""
        host = urllib.parse.urlsplit(self.base_url).hostname or ""
        return host in ("localhost", "::1") or re.fullmatch(r"127\.\d+\.\d+\.\d+", host) is not None

    def ask(self, path: str, what: str, *, document: Any = None, query: Mapping[str, Any] | None = None) -> Any:
        """The JSON that the server answers to a GET; with a document as its body where one is given."""
        return self.request("GET", path, what=what, receive=answers.document, document=document, query=query)

    def get_json(self, path: str, what: str) -> dict[str, Any]:
        """The JSON object that the server answers."""
        return self.request("GET", path, what=what, receive=answers.description)

    def get_text(self, path: str, what: str) -> str:
        """The text that the server answers."""
        return self.request("GET", path, what=what, receive=answers.text)

    def get_bytes(
        self,
        path: str,
        what: str,
        *,
        document: Any = None,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        most: int | None = None,
    ) -> bytes:
        """The whole body that the server answers: an error where it has more than ``most`` bytes, default 4 GiB."""
        receive = functools.partial(answers.whole, most=most)
        return self.request("GET", path, what=what, receive=receive, document=document, body=body, query=query)

    def tell(
        self,
        path: str,
        what: str,
        *,
        document: Any = None,
        query: Mapping[str, Any] | None = None,
        method: str = "POST",
    ) -> Any:
        """Sends a change, with a JSON document where one is given, so that it takes effect once; returns what the server says to it.

        That is the JSON of the answer, a string for text that is none, or None for nothing.

        It has an ``Idempotency-Key``. Where its answer does not come, it is sent again only if the server heeds such keys.
        """
        return self.request(method, path, what=what, receive=answers.said, document=document, query=query, once=True)

    def post_voxels(self, path: str, voxels: memoryview | bytes, what: str) -> None:
        """Sends voxels; sent again where the answer does not come."""
        self.request("POST", path, what=what, receive=answers.nothing, body=voxels)

    def request(
        self,
        method: str,
        path: str,
        *,
        what: str,
        receive: Callable[[urllib3.BaseHTTPResponse], Answer],
        document: Any = None,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        once: bool = False,
    ) -> Answer:
        """One request and its answer.

        Args:
            method: HTTP method.
            path: path and query after the base URL, already quoted.
            what: what it is for, in words, for error messages.
            receive: reads the body of a successful answer; called anew for each try.
            document: what to send as JSON.
            body: what to send else, bytes or a memoryview.
            query: further options; those that are None are left out.
            once: it must not take effect twice: sent with an ``Idempotency-Key``, and again only where the server heeds it,
                or was not reached at all.

        Raises:
            ServerRefused: the server answered with another status than a success.
            NoAnswer: no whole answer came.
        """
        given = {key: _query_value(value) for key, value in (query or {}).items() if value is not None}
        url = self.base_url + _with_query(path, urllib.parse.urlencode(given, safe=",:~"))
        asked = _with_query(url, self._asker)  # not for messages: a token may be in it
        headers = dict(self._headers)
        if document is not None:
            headers["Content-Type"], body = "application/json", json.dumps(document).encode()
        elif body is not None:
            headers["Content-Type"] = "application/octet-stream"
        if once:
            headers["Idempotency-Key"] = uuid.uuid4().hex
        tries = 1 + self.retries
        for attempt in range(1, tries + 1):
            pause = 0.0
            try:
                with self._answer(method, asked, headers, body) as response:
                    if 200 <= response.status < 300:
                        answer = receive(response)
                        answers.leave(response)
                        return answer
                    said = response.read(LONGEST_MESSAGE).decode("utf-8", "replace").strip()
                    failure: ServerRefused | NoAnswer = ServerRefused(
                        method, url, response.status, said or response.reason or "", what
                    )
                    pause = _seconds(response.headers.get("Retry-After"))
                if self._wants_token_in_query(said, asked):
                    return self.request(
                        method, path, what=what, receive=receive, document=document, body=body, query=query, once=once
                    )
                if failure.status not in BUSY:
                    raise failure
            except answers.TooLong as error:
                raise NoAnswer(method, url, None, str(error), what) from error
            except urllib3.exceptions.HTTPError as error:
                failure = NoAnswer(
                    method, url, None, f"{error} (tried {attempt} times)" if attempt > 1 else str(error), what
                )
                failure.__cause__ = error
            if attempt == tries:
                raise failure
            if once and not _never_sent(failure) and not self.heeds_keys:
                if isinstance(failure, NoAnswer):
                    raise NoAnswer(
                        method, url, None, f"{failure.answer}; it is not known whether it took effect", what
                    ) from failure.__cause__
                raise failure
            # Doubled each time, and never the same twice, so that many clients of a busy server do not come back together.
            time.sleep(min(LONGEST_PAUSE, max(pause, 0.1 * 2**attempt * random.uniform(0.5, 1.0))))
        raise AssertionError("unreachable")

    @contextlib.contextmanager
    def _answer(
        self, method: str, url: str, headers: Mapping[str, str], body: Any = None
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """What comes back for one request, to be read."""
        response = self._pool_here().request(
            method,
            url,
            body=body,
            headers=headers,
            preload_content=False,
            decode_content=False,
            redirect=False,
        )
        try:
            yield response
        finally:
            # The connection of an answer read to its end is back in the pool by now. Any other is of no more use, but its place
            # in the pool is: who waits for one would wait for ever.
            response.close()
            response.release_conn()

    def _wants_token_in_query(self, said: str, asked: str) -> bool:
        """Whether a refusal of a request says so that had none there: from then on the token goes there, too."""
        if not self._token or "admintoken" not in said:
            return False
        token = urllib.parse.urlencode({"admintoken": self._token})
        if token in asked:
            return False
        with self._lock:  # other threads may be refused at the same time
            if token not in self._asker:
                self._asker = f"{self._asker}&{token}" if self._asker else token
        return True

    @property
    def heeds_keys(self) -> bool:
        """Whether the server does a request with the same ``Idempotency-Key`` only once, as its help text tells.

        False, and asked again the next time, where the server does not tell.
        """
        if self._heeds_keys is None:
            try:
                with self._answer("GET", f"{self.base_url}/api/help", self._headers) as response:
                    if response.status in BUSY:
                        return False
                    told = answers.text(response) if response.status == 200 else ""
            except urllib3.exceptions.HTTPError:
                return False
            self._heeds_keys = re.search(r"\bIdempotency-Key\b", told) is not None
        return self._heeds_keys


@functools.lru_cache(maxsize=64)
def _shared(
    url: str, token: str | None, user: str | None, app: str | None, timeout: float, retries: int, connections: int
) -> Connection:
    return Connection(url, token=token, user=user, app=app, timeout=timeout, retries=retries, connections=connections)


def base_url(hostname: str) -> str:
    """``http://HOST:PORT`` from what a user may write for a server.

    Raises:
        BadArgument: where it is no address of a server.
    """
    if not isinstance(hostname, str):
        raise BadArgument(f"hostname: expected a string such as 'localhost:8000', got {hostname!r}")
    named = hostname.strip()
    try:
        parts = urllib.parse.urlsplit(named if "://" in named else f"http://{named}")
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment:
        raise BadArgument(f"hostname: expected 'localhost:8000' or 'http://localhost:8000', got {hostname!r}")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def quoted(segment: str, field: str) -> str:
    """A UUID, a name or a key as one segment of a path.

    Raises:
        BadArgument: where it is empty or no string.
    """
    text(segment, field)
    # Clients and proxies take these two out of paths.
    return segment.replace(".", "%2E") if segment in (".", "..") else urllib.parse.quote(segment, safe=":~")


@functools.cache
def user_agent() -> str:
    """What the client calls itself."""
    try:
        return f"dvidclient/{importlib.metadata.version('dvidclient')} urllib3/{importlib.metadata.version('urllib3')}"
    except importlib.metadata.PackageNotFoundError:
        return f"dvidclient urllib3/{importlib.metadata.version('urllib3')}"


def _check_limits(timeout: Any, retries: Any, connections: Any) -> None:
    if not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf:
        raise BadArgument(f"timeout: expected seconds above 0, got {timeout!r}")
    for name, value, least in (("retries", retries, 0), ("connections", connections, 1)):
        if not isinstance(value, int) or value < least:
            raise BadArgument(f"{name}: expected an integer from {least}, got {value!r}")


def _check_token(token: Any) -> None:
    # It is not shown: messages end up in logs.
    if token is not None and not (isinstance(token, str) and re.fullmatch(r"[!-~]*", token)):
        raise BadArgument("token: expected a string of ASCII characters without spaces and line ends")


def _never_sent(failure: Exception) -> bool:
    """Whether there was no connection to send a request on."""
    return isinstance(
        failure.__cause__, (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    )


def _seconds(retry_after: str | None) -> float:
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0.0


def _with_query(path: str, query: str) -> str:
    return path + ("&" if "?" in path else "?") + query if query else path


def _query_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
