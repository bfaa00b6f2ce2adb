"""Requests of data instances."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy
import urllib3

from dvidclient import answers
from dvidclient.arguments import Int32s, UInt64s
from dvidclient.data.instance import Instance
from dvidclient.errors import ServerRefused

Answer = TypeVar("Answer")

MISSING = 404
"""The status where there is not what was asked for."""

BATCH = 1 << 18
"""How many labels or points a request lists at most: some 4 MB of JSON."""


def ask(
    instance: Instance,
    path: str,
    what: str,
    receive: Callable[[urllib3.BaseHTTPResponse], Answer],
    *,
    method: str = "GET",
    document: Any = None,
    body: bytes | None = None,
    query: Mapping[str, Any] | None = None,
    once: bool = False,
) -> Answer:
    """Asks for something.

    Args:
        instance: whose request it is.
        path: behind its own.
        what: what is asked for, in words, for error messages.
        receive: reads the answer.
        method: HTTP method.
        document: what to send as JSON.
        body: what to send else.
        query: options; those that are None or False, and a scale of 0, are what servers take anyway, and are left out.
        once: it is a change, which must not take effect twice.
    """
    return instance.connection.request(
        method,
        f"{instance.path}/{path}",
        what=what,
        receive=receive,
        document=document,
        body=body,
        query=_given(query),
        once=once,
    )


def change(
    instance: Instance,
    path: str,
    what: str,
    receive: Callable[[urllib3.BaseHTTPResponse], Answer],
    *,
    method: str = "POST",
    **sent: Any,
) -> Answer:
    """Asks for a change, so that it takes effect once; arguments as of ``ask``."""
    return ask(instance, path, what, receive, method=method, once=True, **sent)


def is_there(instance: Instance, path: str, what: str) -> bool:
    """Whether the server has what a path names; arguments as of ``ask``."""
    try:
        ask(instance, path, what, answers.nothing, method="HEAD")
    except ServerRefused as refused:
        if refused.status != MISSING:
            raise
        return False
    return True


def numbers_for(
    instance: Instance,
    path: str,
    what: str,
    wanted: UInt64s | Int32s,
    query: Mapping[str, Any] | None = None,
) -> UInt64s:
    """The number that a server has for each label or point of a list; asked for in several requests where they are many."""
    parts = []
    for start in range(0, len(wanted), BATCH):
        part = wanted[start : start + BATCH]
        receive = answers.listed_labels(len(part))
        parts.append(ask(instance, path, what, receive, document=part.tolist(), query=query))
    return numpy.concatenate(parts) if parts else numpy.empty(0, numpy.uint64)


def _given(query: Mapping[str, Any] | None) -> dict[str, Any]:
    found = {key: value for key, value in (query or {}).items() if value is not None and value is not False}
    if found.get("scale") == 0:
        del found["scale"]
    return found
