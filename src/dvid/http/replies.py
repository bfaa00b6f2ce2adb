"""Replies and errors as HTTP answers."""

from __future__ import annotations

import logging

import falcon

from dvid.errors import DvidError
from dvid.routes import TEXT, Reply

log = logging.getLogger("dvid.http")


def send(reply: Reply, response: falcon.Response) -> None:
    """Put a reply into a Falcon response."""
    response.status = reply.status
    response.content_type = reply.media_type
    for name, value in reply.headers.items():
        response.set_header(name, value)
    body = reply.body
    if isinstance(body, bytes):
        response.data = body
    elif isinstance(body, bytearray | memoryview):
        response.data = bytes(body)
    else:
        response.stream = body  # type: ignore[assignment]  # memoryviews are fine for WSGI servers
        if reply.length is not None:
            response.content_length = reply.length


def send_error(_request: falcon.Request, response: falcon.Response, error: Exception, _params: object) -> None:
    """Answer an error: one line of text that says what was wrong."""
    if isinstance(error, DvidError):
        status, message = error.status, str(error)
    elif isinstance(error, falcon.HTTPError):
        status = int(error.status.split()[0]) if isinstance(error.status, str) else int(error.status)
        message = error.description or error.title or "the request cannot be served"
        if error.headers:
            response.set_headers(error.headers)
    else:
        log.exception("an error that should not happen: %s %s", _request.method, _request.path, exc_info=error)
        status, message = 500, "an error inside the server; its log says more"
    if status >= 500 and isinstance(error, DvidError):
        log.error("%s %s: %s", _request.method, _request.path, message)
    response.status = status
    response.content_type = TEXT
    response.data = (message.rstrip() + "\n").encode(errors="replace")
    response.stream = None
