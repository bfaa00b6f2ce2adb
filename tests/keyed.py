"""Requests with an Idempotency-Key."""

from __future__ import annotations

import http.client
from contextlib import closing
from typing import NamedTuple

from tests.conftest import Server


class Keyed(NamedTuple):
    """The answer to such a request."""

    status: int
    body: bytes
    replayed: bool
    """True if it is that of an earlier request."""


def post(server: Server, path: str, key: str, body: bytes) -> Keyed:
    """Send a POST with a key, and the token of an admin, on a connection of its own."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.request("POST", path, body, {**server.headers, "Idempotency-Key": key})
        with connection.getresponse() as answer:
            return Keyed(answer.status, answer.read(), answer.getheader("Idempotent-Replayed") == "true")
