"""Requests to one server: one pool of connections, timeouts, repeated tries, errors that say what happened."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import random
import time
import urllib.parse
from collections.abc import Callable
from typing import Any, TypeVar

import urllib3

from dvidclient.errors import BadArgument, NoAnswer, ServerRefused

Answer = TypeVar("Answer")

# A server or a proxy answers these when it cannot do now what it may well do in a moment.
BUSY = frozenset({429, 502, 503, 504})
LONGEST_PAUSE = 10.0
LONGEST_MESSAGE = 4096
LONGEST_JSON = 64 << 20


class Connection:
    """A server and the way to it. Safe to use from several threads.

    Args:
        hostname: ``localhost:8000`` or a URL, ``http://`` or ``https://``, with or without a path in front of ``/api``.
        token: sent as ``Authorization: Bearer``. An admin's token lifts the lock of committed nodes: give it only where that is meant.
        timeout: seconds without any progress after which a request has failed.
        retries: how often a request that can be repeated is tried again.
        connections: how many are kept open.

    Raises:
        BadArgument: for a hostname that is no address.
    """

    def __init__(
        self, hostname: str, *, token: str | None = None, timeout: float = 60.0, retries: int = 3, connections: int = 8
    ) -> None:
        self.base_url = base_url(hostname)
        self.retries = retries
        self._headers = {"User-Agent": user_agent()}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._pool = urllib3.PoolManager(
            maxsize=connections, timeout=urllib3.Timeout(connect=min(timeout, 10.0), read=timeout), retries=False
        )

    def get_json(self, path: str, what: str) -> dict[str, Any]:
        """The JSON object that the server answers."""
        return self.request("GET", path, what=what, receive=functools.partial(_json_object, path=path))

    def get_text(self, path: str, what: str) -> str:
        """The text that the server answers."""
        return self.request("GET", path, what=what, receive=_text)

    def post_json(self, path: str, document: dict[str, Any], what: str) -> None:
        """Sends a JSON object, once."""
        body = json.dumps(document).encode()
        self.request(
            "POST", path, what=what, receive=_text, body=body, content_type="application/json", repeatable=False
        )

    def post_voxels(self, path: str, voxels: memoryview, what: str) -> None:
        """Sends voxels; sent again where the answer does not come."""
        self.request("POST", path, what=what, receive=_text, body=voxels, content_type="application/octet-stream")

    def request(
        self,
        method: str,
        path: str,
        *,
        what: str,
        receive: Callable[[urllib3.BaseHTTPResponse], Answer],
        body: Any = None,
        content_type: str | None = None,
        repeatable: bool = True,
    ) -> Answer:
        """One request and its answer.

        Args:
            method: HTTP method.
            path: path and query after the base URL, already quoted.
            what: what it is for, in words, for error messages.
            receive: reads the body of a successful answer; called anew for each try.
            body: what to send, bytes or a memoryview.
            content_type: the media type of ``body``.
            repeatable: whether a request that failed on the way may be sent again.

        Raises:
            ServerRefused: the server answered with another status than a success.
            NoAnswer: no whole answer came.
        """
        url = self.base_url + path
        headers = {**self._headers, **({"Content-Type": content_type} if content_type else {})}
        tries = 1 + (self.retries if repeatable else 0)
        for attempt in range(1, tries + 1):
            pause = 0.0
            try:
                response = self._pool.request(
                    method, url, body=body, headers=headers, preload_content=False, decode_content=False, redirect=False
                )
                try:
                    if 200 <= response.status < 300:
                        answer = receive(response)
                        response.drain_conn()
                        return answer
                    said = response.read(LONGEST_MESSAGE).decode("utf-8", "replace").strip()
                    failure: ServerRefused | NoAnswer = ServerRefused(
                        method, url, response.status, said or response.reason or "", what
                    )
                    if response.status not in BUSY:
                        raise failure
                    pause = _seconds(response.headers.get("Retry-After"))
                finally:
                    # The connection of an answer read to its end is back in the pool by now; any other is of no more use.
                    response.close()
            except urllib3.exceptions.HTTPError as error:
                failure = NoAnswer(
                    method, url, None, f"{error} (tried {attempt} times)" if attempt > 1 else str(error), what
                )
                failure.__cause__ = error
            if attempt == tries:
                raise failure
            # Doubled each time, and never the same twice, so that many clients of a busy server do not come back together.
            time.sleep(min(LONGEST_PAUSE, max(pause, 0.1 * 2**attempt * random.uniform(0.5, 1.0))))
        raise AssertionError("unreachable")


def base_url(hostname: str) -> str:
    """``http://HOST:PORT`` from what a user may write for a server.

    Raises:
        BadArgument: where it is no address of a server.
    """
    if not isinstance(hostname, str):
        raise BadArgument(f"hostname: expected a string such as 'localhost:8000', got {hostname!r}")
    text = hostname.strip()
    try:
        parts = urllib.parse.urlsplit(text if "://" in text else f"http://{text}")
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment:
        raise BadArgument(f"hostname: expected 'localhost:8000' or 'http://localhost:8000', got {hostname!r}")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def quoted(segment: str, field: str) -> str:
    """A UUID or a name as one segment of a path.

    Raises:
        BadArgument: where it is empty or no string.
    """
    if not isinstance(segment, str) or not segment:
        raise BadArgument(f"{field}: expected a string that is not empty, got {segment!r}")
    return urllib.parse.quote(segment, safe=":~")


@functools.cache
def user_agent() -> str:
    """What the client calls itself."""
    try:
        return f"dvidclient/{importlib.metadata.version('dvid')} urllib3/{importlib.metadata.version('urllib3')}"
    except importlib.metadata.PackageNotFoundError:
        return f"dvidclient urllib3/{importlib.metadata.version('urllib3')}"


def _seconds(retry_after: str | None) -> float:
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0.0


def _text(response: urllib3.BaseHTTPResponse) -> str:
    return response.read(LONGEST_JSON).decode("utf-8", "replace")


def _json_object(response: urllib3.BaseHTTPResponse, path: str) -> dict[str, Any]:
    text = _text(response)
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise urllib3.exceptions.ProtocolError(f"expected a JSON object from {path}, got {text[:200]!r}")
    return document
