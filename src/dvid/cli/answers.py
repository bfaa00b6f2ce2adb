"""What servers answer to commands."""

from __future__ import annotations

import json
from typing import Any

import urllib3

LARGEST_ANSWER = 1 << 30


def whole_answer(response: urllib3.BaseHTTPResponse) -> bytes:
    """The body of an answer."""
    return response.read(LARGEST_ANSWER)


def json_answer(response: urllib3.BaseHTTPResponse) -> Any:
    """The JSON of an answer, or None where it is empty."""
    text = whole_answer(response)
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise urllib3.exceptions.ProtocolError(f"expected JSON, got {text[:80]!r}") from None
