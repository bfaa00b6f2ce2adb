"""What the answers to all requests have in common."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Sequence
from typing import Any

import falcon

from mockserver.h5datafile import DataFile
from mockserver.h5errors import Refused
from mockserver.h5tree import Node, Repo

BINARY = "application/octet-stream"


class Answers:
    """Answers requests about a file.

    Args:
        data: the file.
        most_bytes: the most bytes of voxels or of a value in one request or answer.
        paths: all routes, for those who ask which there are.
    """

    def __init__(self, data: DataFile, most_bytes: int, paths: Sequence[str]) -> None:
        self.data = data
        self.most_bytes = most_bytes
        self.paths = paths

    def node(self, text: str) -> Node:
        """The node that a segment of the path names."""
        return self.data.tree.find(plain(text))

    def repo(self, text: str) -> Repo:
        """The repository of that node."""
        return self.data.tree.repos[self.node(text).repo]

    def body(self, req: falcon.Request, most: int) -> bytes:
        """What was sent.

        Raises:
            Refused: it is longer than it may be.
        """
        if (req.content_length or 0) > most:
            raise Refused(f"the body has {req.content_length} bytes, the limit is {most}", 413)
        body: bytes = req.bounded_stream.read()
        return body


def plain(segment: str) -> str:
    """A segment of the path, as it was before it was quoted.

    Raises:
        Refused: it is no text.
    """
    try:
        return urllib.parse.unquote(segment, errors="strict")
    except UnicodeDecodeError as error:
        raise Refused(f"the path has a segment that is no UTF-8: {segment!r}") from error


def answer(resp: falcon.Response, document: Any, content_type: str = falcon.MEDIA_JSON) -> None:
    """Answers JSON."""
    resp.data, resp.content_type = json.dumps(document).encode(), content_type


def say(resp: falcon.Response, text: str, status: int = 200) -> None:
    """Answers text."""
    resp.text, resp.content_type, resp.status = text, "text/plain; charset=utf-8", status
